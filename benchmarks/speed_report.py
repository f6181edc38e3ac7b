"""The results of `speed.py` as a Markdown page and a figure; nothing is measured here."""

from __future__ import annotations

from pathlib import Path

TARGETS = {"evaluation fp32": {2: 2.9, 8: 8.5}, "evaluation bf16": {8: 16.0}, "independent": 2.2, "in-batch": 15.0}


def write_table(results: dict, path: Path) -> None:
    """Write the page; every figure comes from `results`."""
    s = results["setting"]
    lines = [
        "# Speed",
        "",
        "Written by `python benchmarks/speed.py --publish`; do not edit. Ratios are medians over "
        f"{s['rounds']} rounds in which both sides ran in turn (lowest to highest in brackets); *CPU* is the same "
        "of processor time, which neighbours on the machine disturb less.",
        "",
        f"{s['teacher']}, {s['image_size']} px, batch {s['batch']}, random weights; {s['threads']} threads, "
        f"{s['cpu']}, PyTorch {s['torch']}. *Released way*: supports encoded again for every query, teacher "
        "inside autograd, default memory layout, SciPy blur image by image (`released_way.py`).",
        "",
        "![ratios](speed.png)",
        "",
        *_evaluation(results),
        *_training(results),
        *_rates(results),
        *_growth(results),
        *_rest(results),
    ]
    path.write_text("\n".join(lines) + "\n")


def _evaluation(results: dict) -> list[str]:
    rows = []
    for row in results["evaluation"]:
        for p in ("fp32", "bf16"):
            target = None if results["setting"]["quick"] else TARGETS[f"evaluation {p}"].get(row["shots"])
            rows.append(
                [
                    row["shots"],
                    p,
                    _seconds(row["seconds_released"]),
                    _seconds(row[p]["seconds"]),
                    *_ratio(row[p], target),
                    f"{row['gflop_released'] / row['gflop_kit']:.1f}",
                    f"{row[p]['score_difference']:.1e}",
                ]
            )
    return [
        "## Evaluation, one query batch",
        "",
        "With its share of the one encoding of the supports, spread over a test set of 400 images. Scores are "
        "compared with the released way's: the largest relative difference.",
        "",
        *_table(
            ["K", "precision", "released way", "kit", "ratio", "CPU", "target", "FLOP ratio", "score difference"], rows
        ),
    ]


def _training(results: dict) -> list[str]:
    row = results["training"]
    rows = [["released way", _seconds(row["seconds_released"]), f"{row['gflop']['released'] / 1e3:.3f}", "", "", ""]]
    for name in ("independent", "in-batch"):
        target = None if results["setting"]["quick"] else TARGETS[name]
        rows.append(
            [name, _seconds(row[name]["seconds"]), f"{row['gflop'][name] / 1e3:.3f}", *_ratio(row[name], target)]
        )
    return [
        f"## Training step, K={row['shots']}",
        "",
        f"Teacher features cached. The first loss differs from the released way's by {row['loss_difference']:.1e} "
        "(relative).",
        "",
        *_table(["episodes", "time", "TFLOP", "ratio", "CPU", "target"], rows),
    ]


def _rates(results: dict) -> list[str]:
    r = results["roofline"]
    rows = [[name, f"{value:.0f}"] for name, value in r["gflop_per_s"].items()]
    gains = [
        [name, f"{g['ratio']:.2f} ({g['low']:.2f} to {g['high']:.2f})", f"{g['cpu_ratio']:.2f}"]
        for name, g in r["gain"].items()
    ]
    return [
        "## Share of the roofline",
        "",
        f"Teacher and student together run at {100 * r['share_of_convolution']:.0f} % of the rate of one large 3x3 "
        f"convolution, and at {100 * r['share_of_own_convolutions']:.0f} % of that of their own convolutions, run "
        f"one after the other with nothing between, both by processor time (target: 80 %). Images/s: "
        f"{r['images_per_s']['encode']:.1f}, in bf16 {r['images_per_s']['encode bf16']:.1f}.",
        "",
        *_table(["pass", "GFLOP/s"], rows),
        *_table(["switch, encoding a batch", "gain", "CPU"], gains),
    ]


def _growth(results: dict) -> list[str]:
    g = results["growth"]
    per_k = ", ".join(f"K={k} {1e3 * t:.1f} ms" for k, t in g["seconds_per_query"].items())
    rows = [[r["size"], f"{r['ms_per_image']:.1f}", f"{r['s_per_megapixel']:.2f}"] for r in results["image_sizes"]]
    memory = [[name, m["peak_mib"], _seconds(m["seconds"])] for name, m in results["memory"].items()]
    return [
        "## Growth",
        "",
        f"Time per query: {per_k}; from 2 to 8 supports {100 * (g['growth_2_to_8']['ratio'] - 1):+.0f} % "
        "(target: at most +10 %).",
        "",
        *_table(["image size", "ms per image", "s per megapixel"], rows),
        "Peak resident memory, each in a process of its own:",
        "",
        *_table(["work", "MiB", "time"], memory),
    ]


def _rest(results: dict) -> list[str]:
    load = results["loading"]
    rows = [[name, f"{value:.0f}"] for name, value in load["images_per_s"].items()]
    agree = [
        [
            r["task"],
            str(r["images"]),
            f"{r['auroc']:.3f}",
            f"{r['auroc_change']:.4f}",
            f"{r['map_correlation']:.5f}",
            f"{r['folding_score_difference']:.1e}",
        ]
        for r in results["agreement"]
    ]
    columns = [
        "task",
        "test images",
        "AUROC",
        "bf16: AUROC change",
        "bf16: map correlation",
        "folding: score difference",
    ]
    return [
        "## Loading",
        "",
        f"{load['images']} files of 256 px. First decode {load['first']['ratio']:.1f} times, kept pixels "
        f"{load['kept']['ratio']:.0f} times as fast as a plain loop.",
        "",
        *_table(["way", "images/s"], rows),
        "## Agreement on the samples",
        "",
        "resnet18, embedded weights, untrained student, K=4, 5 draws, per image, on newly drawn synthetic "
        "samples: what bf16 and batch-norm folding change.",
        "",
        *_table(columns, agree),
    ]


def draw(results: dict, path: Path) -> None:
    """Ratios with their ranges, targets as ticks; and the rates."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    bars = [
        (f"evaluation K={r['shots']}, {p}", r[p], TARGETS[f"evaluation {p}"].get(r["shots"]))
        for r in results["evaluation"]
        for p in ("fp32", "bf16")
    ]
    bars += [(f"training, {name}", results["training"][name], TARGETS[name]) for name in ("independent", "in-batch")]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained", width_ratios=(3, 2))
    names, values = [b[0] for b in bars], [b[1]["ratio"] for b in bars]
    spread = [[b[1]["ratio"] - b[1]["low"] for b in bars], [b[1]["high"] - b[1]["ratio"] for b in bars]]
    left.barh(names, values, xerr=spread, color="#4c78a8", ecolor="#555555")
    marks = [] if results["setting"]["quick"] else [(i, b[2]) for i, b in enumerate(bars) if b[2]]
    for place, target in marks:
        left.plot(
            [target, target],
            [place - 0.4, place + 0.4],
            color="#e45756",
            linewidth=2,
            label="target" if place == marks[0][0] else None,
        )
    left.invert_yaxis()
    if marks:
        left.legend(loc="upper right", frameon=False)
    left.set_xlabel("times as fast as the released way")
    rates = results["roofline"]["gflop_per_s"]
    right.barh(list(rates), list(rates.values()), color="#72b7b2")
    right.invert_yaxis()
    right.set_xlabel("GFLOP/s")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _ratio(timing: dict, target: float | None) -> list[str]:
    met = "" if target is None else f">= {target:g}: " + ("met" if timing["ratio"] >= target else "missed")
    return [f"{timing['ratio']:.1f} ({timing['low']:.1f} to {timing['high']:.1f})", f"{timing['cpu_ratio']:.1f}", met]


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.1f} ms"


def _table(header: list[str], rows: list[list]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]
