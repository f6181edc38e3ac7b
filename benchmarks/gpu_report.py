"""GPU.md from the results of `gpu.py`; every figure and finding comes from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gpu_findings import findings, groups_of, rows_of, shares


def write_page(results: dict, path: Path) -> None:
    """Write the page; parts whose section did not run are left out, failures are told."""
    parts: list[Callable[[dict], list[str]]] = [_images, _steps, _peaks, _whole, _switches, _agreement, _loading]
    lines = _head(results)
    for part in (*parts, findings, _failures):
        try:
            lines += part(results)
        except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:  # a run that was cut short
            lines += [f"({part.__name__.strip('_')}: incomplete, {type(error).__name__})", ""]
    path.write_text("\n".join(lines).rstrip() + "\n")


def _head(results: dict) -> list[str]:
    m, s = results["machine"], results["setting"]
    versions = ", ".join(f"{name} {number}" for name, number in m["versions"].items() if number)
    card = m.get("card", "no CUDA card")
    about = [
        f"{m.get(k)} {unit}".strip() for k, unit in (("memory_gib", "GiB"), ("multiprocessors", "SMs")) if m.get(k)
    ]
    more = [str(m[k]) for k in ("power_limit", "highest_clock") if m.get(k)]
    return [
        "# On a CUDA card",
        "",
        "Written by `python benchmarks/gpu.py`; do not edit.",
        "",
        f"{', '.join([card, *about, *more])}; driver {m.get('driver')}, CUDA {m['cuda']}, cuDNN {m['cudnn']}; "
        f"{versions}, Python {m['python']}; {m['processor']}, {m['cores']} cores, {m['threads']} threads; {m['date']}.",
        "",
        f"Each figure is the median of {s['rounds']} rounds; in a round every candidate of its table row's group runs "
        "one block of calls in turn (30 ms or more, at most 40 calls), which ends with the device idle "
        "(`synchronize`). Two or more calls before are not measured. Random weights, "
        f"{s['image_size']} px. fp32: TF32 off; tf32: on for convolutions and matrix products; bf16: autocast. "
        "Layouts: PyTorch's default; channels_last; the kit's (channels_last and folded batch norms). "
        f"As shipped: images from the processor, scores back to it, PyTorch's own switches "
        f"(TF32 in convolutions {_on(m['shipped']['cudnn.allow_tf32'])}, in matrix products "
        f"{_on(m['shipped']['cuda.matmul.allow_tf32'])})." + (" **Tiny sizes, a test run.**" if s["quick"] else ""),
        "",
    ]


def _images(results: dict) -> list[str]:
    rows = rows_of(results, "images")
    small = min(results["setting"]["batches"])
    table = []
    for key, group in groups_of(rows, "teacher", "part", "precision", "layout").items():
        best = max(group, key=lambda r: r["images_per_s"])
        at_small = [f"{r['images_per_s']:,.0f}" for r in group if r["batch"] == small]
        table.append([*key, *(at_small or ["-"]), f"{best['images_per_s']:,.0f}", best["batch"], f"{best['ms']:.2f}"])
    cpu = [[r["teacher"], r["part"], f"{r['images_per_s']:,.1f}"] for r in rows_of(results, "processor")]
    columns = ["teacher", "part", "precision", "layout", f"images/s at {small}", "images/s, best", "batch", "ms"]
    return [
        "## Images per second",
        "",
        *_table(columns, sorted(table, key=lambda r: [str(c) for c in r[:4]])),
        *(["The processor of the same machine, fp32, the kit's way:", ""] if cpu else []),
        *_table(["teacher", "part", f"images/s at {small}"], cpu),
    ]


def _steps(results: dict) -> list[str]:
    names = ("teacher", "precision", "shots", "episodes", "features", "batch")
    table = [
        [
            *(r[name] for name in names),
            f"{r['ms']:.1f} ({r['low']:.1f} to {r['high']:.1f})",
            f"{r['queries_per_s']:,.0f}",
            f"{r['peak_mib']:,.0f}",
        ]
        for r in rows_of(results, "training")
    ]
    return [
        "## Training step",
        "",
        "The kit's own step: cached teacher features gathered and moved, losses, gradient, Adam. Features on the CPU "
        "are the kit's way; on the device, the same cache moved there before. Peak memory is the card's.",
        "",
        *_table(["teacher", "precision", "K", "episodes", "features", "batch", "ms", "queries/s", "peak MiB"], table),
    ]


def _peaks(results: dict) -> list[str]:
    rows = rows_of(results, "peaks")
    table = [
        [
            r["what"],
            r["precision"],
            f"{r['gb_per_s']:,.0f} GB/s" if "gb_per_s" in r else f"{r['tflop_per_s']:.1f} TFLOP/s",
        ]
        for r in rows
    ]
    side = results["setting"]["side"]
    return [
        "## Share of the card's peak",
        "",
        f"Peak measured here: a product of {side} x {side} matrices, a 3x3 convolution of 256 channels, and a copy "
        "within the card's memory (bytes read and written).",
        "",
        *_table(["work", "precision", "rate"], table),
        "Operations counted by FlopCounterMode, divided by the measured time and by the matrix product's rate:",
        "",
        *_table(
            ["work", "precision", "TFLOP/s", "share"],
            [[*k, f"{t:.2f}", f"{100 * s:.1f} %"] for k, t, s in shares(results)],
        ),
    ]


def _whole(results: dict) -> list[str]:
    w = results["sections"].get("whole", {})
    if "epochs" not in w:
        return []
    table = [
        [
            r["state"],
            r["reading"],
            f"{r['auroc']:.3f} [{r['ci'][0]:.3f}, {r['ci'][1]:.3f}]",
            f"{r['protocol']}, K={r['shots']}, {r['draws']} draws, n={r['normal']}+{r['anomalous']}",
            f"{r['evaluation_seconds']:.1f}",
        ]
        for r in w["rows"]
    ]
    ends = w.get("losses", [])
    losses = [[r["epoch"], *(f"{r[k]:.4f}" for k in ("loss", "loss_tsd", "loss_ssd"))] for r in ends]
    epoch = f"{w['seconds_per_epoch']:.2f} s each (median)" if w["seconds_per_epoch"] else ""
    return [
        "## One whole training",
        "",
        f"**Synthetic images** (the sample world, drawn anew): {w['images']} normal images of {', '.join(w['tasks'])}, "
        f"one task left out and read; teacher {w['teacher']}, weights {w['weights']}, K=4, batch 16, as shipped. "
        f"{w['epochs']} epochs of {results['setting']['epochs']} in {w['seconds_fit']:.0f} s: {epoch}, the first with "
        f"the teacher's features {w['seconds_first_epoch']:.1f} s; drawing took {w['drawing_seconds']:.0f} s. "
        "Intervals: 95 % bootstrap over draws and test images.",
        "",
        *_table(["detector", "reading", "image AUROC", "protocol", "seconds"], table),
        *_table(["epoch", "loss", "TSD", "SSD"], losses),
    ]


def _switches(results: dict) -> list[str]:
    table = [
        [
            r["switch"],
            r["teacher"],
            r["batch"],
            f"{r['ready_seconds']:.1f}",
            f"{r['ms_plain']:.2f}",
            f"{r['ms']:.2f}",
            f"{r['ratio']:.2f} ({r['low']:.2f} to {r['high']:.2f})",
            f"{r['pays_after_images']:,}" if r["pays_after_images"] else "never",
            f"{r['difference']:.1e}",
        ]
        for r in rows_of(results, "switches")
    ]
    columns = [
        "switch",
        "teacher",
        "batch",
        "s until ready",
        "ms without",
        "ms with",
        "ratio",
        "pays after images",
        "difference",
    ]
    text = (
        "Teacher and student as the kit runs them (folded, channels_last), bf16. compile: torch.compile, default mode; "
        "autotune: cuDNN chooses algorithms by trial (`cudnn.benchmark`). Difference: largest, relative to a level's "
        "largest value."
    )
    return ["## Switches that the kit leaves off", "", text, "", *_table(columns, table)] if table else []


def _agreement(results: dict) -> list[str]:
    rows = rows_of(results, "agreement")
    table = [
        [r["teacher"], r["reading"], r["precision"], *(f"{r[k]:.1e}" for k in ("score", "map", "blur_alone"))]
        for r in rows
    ]
    count = rows[0]["images"] if rows else 0
    text = f"Largest relative difference to the processor's fp32, over {count} sample images; nothing trained."
    return [
        "## Processor and card",
        "",
        text,
        "",
        *_table(["teacher", "reading", "precision", "score", "map", "blur alone"], table),
    ]


def _loading(results: dict) -> list[str]:
    rows = rows_of(results, "loading")
    workers = results["sections"].get("loading", {}).get("workers")
    text = f"From files to float tensors on the processor ({workers} threads decode), and from there to the card."
    return [
        "## Reading images",
        "",
        text,
        "",
        *_table(["way", "images/s"], [[r["what"], f"{r['images_per_s']:,.0f}"] for r in rows]),
    ]


def _failures(results: dict) -> list[str]:
    lines = [
        f"- {name}, {item['what']}: {item['error']}"
        for name, s in results["sections"].items()
        for item in s["failures"]
    ]
    lines += [f"- {name}: no time for {what}" for name, s in results["sections"].items() for what in s["skipped"]]
    return ["## What failed or was left out", "", *lines, ""] if lines else []


def _on(value: bool) -> str:
    return "on" if value else "off"


def _table(header: list[str], rows: list[list]) -> list[str]:
    if not rows:
        return []
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]
