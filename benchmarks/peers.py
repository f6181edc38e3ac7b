"""The kit beside its peers anomalib (PatchCore, Reverse Distillation) and imgad (kNN), in one run.

    python benchmarks/peers.py                        # synthetic tasks, writes benchmarks/PEERS.md
    python benchmarks/peers.py --quick                # fewer draws and rounds, printed and not written
    python benchmarks/peers.py --data ROOT --task A B # a folder of tasks of your own, AUROC only, printed only

Same images, weights, supports and draws for all. The peers are an extra of their own, best kept in an environment of
its own, since they bring many packages:

    python -m venv peers && peers/bin/pip install -e ".[notebooks,peers]" && peers/bin/python benchmarks/peers.py
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import stats

import d24fad_lite as d2
from d24fad_lite.evaluation.uncertainty.paired import compare_paired

if TYPE_CHECKING:
    from d24fad_lite.evaluation.report import EvaluationReport

HERE = Path(__file__).resolve().parent
PAGE = HERE / "PEERS.md"
PEERS = ("anomalib", "imgad")
LIBRARIES = ("torch", "timm", "anomalib", "imgad", "lightning")
SHOTS, SIZE, BATCH = 4, 128, 16
TEACHERS = (("tf_efficientnet_lite0", "imagenet"), ("resnet18", "embedded"))  # of the AUROC
LIKE = (  # methods of one kind, the pairs of the speed table; then the kit's best reading without training
    ("kit nearest-patch", "anomalib PatchCore, all patches"),
    ("kit nearest-patch", "anomalib PatchCore, 10 % coreset, its default"),
    ("kit mean-feature", "imgad kNN (k = 1) of whole-image features"),
    ("kit mirrored-patch", "anomalib PatchCore, all patches"),
)
METHODS = (("nearest-patch", "max"), ("nearest-patch", "mean"), ("mirrored-patch", "max"), ("mean-feature", "max"))
Difference = tuple[float, float, float]  # mean, low, high
SPEED_TEACHERS = ("resnet18", "wide_resnet50_2")


def require_peers() -> None:
    """Stop with one sentence where a peer is missing."""
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(
            f"benchmarks/peers.py needs {' and '.join(missing)}: install the extra [peers] into an environment of its "
            'own, as in `python -m venv peers && peers/bin/pip install -e ".[notebooks,peers]"`'
        )


def main() -> None:
    """Measure, print progress, and write the page where the images are the kit's own."""
    o = _options()
    require_peers()
    sys.path.insert(0, str(HERE))
    if o.job:
        import peers_memory

        what, teacher, batch, threads = o.job
        print(json.dumps(peers_memory.job(what, teacher, int(batch), int(threads))))
        return
    torch.set_num_threads(o.threads)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        roots = {o.data.name: o.data} if o.data else _worlds(folder, o)
        found = {title: auroc(root, o, folder) for title, root in roots.items()}
        text = HEAD.format(**_setting(o)) + auroc_section(found, o)
        if o.data is None:
            text += speed_section(o, folder) + lines_section(next(iter(roots.values())) / o.task[0])
    print(f"{text}\n{time.perf_counter() - started:.0f} s in all")
    if o.data is None and not o.quick:
        PAGE.write_text(text, encoding="utf-8")


def _worlds(folder: Path, o: argparse.Namespace) -> dict[str, Path]:
    """Fresh synthetic tasks of two difficulties."""
    return {
        f"Sample world (synthetic), {level}, seed 7": d2.write_samples(
            folder / level, seed=7, severity=level, test=o.images, tasks=o.task
        )
        for level in ("plain", "medium")
    }


def auroc(root: Path, o: argparse.Namespace, folder: Path) -> list[tuple[str, EvaluationReport, str]]:
    """Teacher, report and a note of every method on every task, all under the same draws."""
    from peers_methods import Neighbour, PatchCore, ReverseDistillation

    bench, rows = d2.open_benchmark(root), []
    for architecture, weights in o.teachers:
        config = d2.D24FADConfig(teacher=architecture, weights=weights, image_size=SIZE)
        teacher = d2.D24FAD(config).teacher
        scorers: dict[str, tuple[Any, int]] = {
            f"kit {method}{', mean' * (score == 'mean')}": (
                d2.create_detector(method, config.replace(image_score=score), teacher).eval(),
                o.draws,
            )
            for method, score in METHODS
        }
        scorers["kit matched (reads nothing trained)"] = (d2.create_detector("matched", config, teacher), o.draws)
        for share in (0.1, 1):
            peer = PatchCore(teacher, architecture, share)
            scorers[peer.name] = peer, o.draws
        scorers[Neighbour.name] = Neighbour(teacher, architecture, folder), o.draws
        if "resnet" in architecture and o.rd_draws:  # anomalib has a decoder for ResNets alone
            reverse = ReverseDistillation(teacher, architecture, o.steps)
            scorers[reverse.name] = reverse, o.rd_draws
        for name in o.task or bench:
            for method, (scorer, draws) in scorers.items():
                report = d2.evaluate(scorer, bench[name], SHOTS, draws, 0)
                rows.append((f"{architecture} ({weights})", report, method))
                print(f"{architecture} {method}: {report.summary()}", flush=True)
    return rows


def t_interval(values: Any) -> Difference:
    """Mean of values, one for each draw, and its 95 % t interval."""
    mean, error = float(np.mean(values)), float(stats.sem(values)) if len(values) > 1 else float("nan")
    half = error * float(stats.t.ppf(0.975, max(len(values) - 1, 1)))
    return mean, mean - half, mean + half


def over_draws(values: list[float] | None) -> str:
    """Mean with its interval over draws; empty without values."""
    return "" if values is None else "{:.3f} [{:.3f}, {:.3f}]".format(*t_interval(values))


def auroc_section(found: dict[str, list[tuple[str, EvaluationReport, str]]], o: argparse.Namespace) -> str:
    """A table for each world, then the pairs of like methods."""
    lines = ["## AUROC", "", AUROC_TEXT.format(steps=o.steps, draws=o.draws), ""]
    pairs = []
    for title, rows in found.items():
        lines += [f"### {title}", "", AUROC_HEAD, "| --- " * 7 + "|"]
        for teacher, report, method in rows:
            low, high = report.ci
            image = f"{report.auroc:.3f} [{low:.3f}, {high:.3f}]"
            count = f"{report.n_normal}+{report.n_anomalous}"
            pixel = over_draws(report.pixel_aurocs)
            lines.append(f"| {teacher} | {report.task} | {method} | {image} | {pixel} | {report.draws} | {count} |")
        lines.append("")
        pairs += [(title, *pair) for pair in like_pairs(rows)]
    lines += ["### Like beside like", "", PAIRS_TEXT, "", *ahead_in_words(pairs), "", PAIRS_HEAD, "| --- " * 8 + "|"]
    lines += ["| " + " | ".join([*texts, pair, *map(difference_text, parts)]) + " |" for *texts, pair, parts in pairs]
    return "\n".join([*lines, "", ""])


def like_pairs(rows: list[tuple[str, Any, str]]) -> list[tuple[str, str, str, list[Difference | None]]]:
    """Encoder, task, names, and kit minus peer in image and pixel AUROC, for every pair of `LIKE`."""
    reports = {(teacher, report.task, method): report for teacher, report, method in rows}
    pairs = []
    for teacher, task in dict.fromkeys(key[:2] for key in reports):
        for ours, theirs in LIKE:
            kit, peer = reports[teacher, task, ours], reports[teacher, task, theirs]
            paired, pixel = compare_paired(kit, peer), None
            if kit.pixel_aurocs is not None and peer.pixel_aurocs is not None:
                pixel = t_interval(np.subtract(kit.pixel_aurocs, peer.pixel_aurocs))
            image = (paired.difference, paired.low, paired.high)
            pairs.append((teacher, task, f"{ours} - {theirs}", [image, pixel]))
    return pairs


def winner(difference: Difference) -> str:
    """Whose AUROC is higher, where the interval of kit minus peer leaves out zero."""
    _, low, high = difference
    return "kit" if low > 0 else "peer" if high < 0 else "neither clearly"


def difference_text(difference: Difference | None) -> str:
    """Two cells: the difference with its interval, and who is ahead."""
    if difference is None:
        return " | "
    mean, low, high = difference
    ahead = winner(difference)
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}] | " + ("**peer**" if ahead == "peer" else ahead)


def ahead_in_words(pairs: list[tuple[Any, ...]]) -> list[str]:
    """For each pair of methods, how often the peer's mean is higher, and how often clearly so."""
    lines = []
    for name in dict.fromkeys(pair[3] for pair in pairs):
        for kind, index in (("image", 0), ("pixel", 1)):
            known = [pair[4][index] for pair in pairs if pair[3] == name and pair[4][index] is not None]
            if known:
                higher = sum(difference[0] < 0 for difference in known)
                clear = {who: sum(winner(difference) == who for difference in known) for who in ("peer", "kit")}
                lines.append(
                    f"- {name}, {kind} AUROC: the peer's mean is higher in {higher} of {len(known)} rows, "
                    f"clearly in {clear['peer']}; the kit's clearly in {clear['kit']}."
                )
    return lines


def speed_section(o: argparse.Namespace, folder: Path) -> str:
    """Rates, where the time of the nearest patch goes, and memory."""
    import peers_memory
    import peers_speed
    from measuring import peak_memory

    rows, profiles = [], {}
    for teacher in SPEED_TEACHERS:
        files = folder / f"files_{teacher}"  # of what imgad reads
        files.mkdir()
        rows += peers_speed.pairs(teacher, BATCH, o.rounds, files)
        profiles[teacher] = peers_speed.profile(teacher, BATCH, o.rounds)
    lines = ["## Speed", "", SPEED_TEXT.format(rounds=o.rounds, batch=BATCH), "", SPEED_HEAD, "| --- " * 6 + "|"]
    for r in rows:
        goal = "faster" if r["low"] > 1 else "**slower**" if r["high"] < 1 else "neither clearly"
        spread = f"{r['ratio']:.2f} ({r['low']:.2f} to {r['high']:.2f})"
        lines.append(f"| {r['teacher']} | {r['row']} | {r['kit']:.1f} | {r['peer']:.1f} | {spread} | {goal} |")
    lines += ["", "Where the time of the nearest patch goes, ms per image:", ""]
    lines += ["| part | " + " | ".join(profiles) + " |", "| --- " * (1 + len(profiles)) + "|"]
    for part in next(iter(profiles.values())):
        lines.append(f"| {part} | " + " | ".join(f"{parts[part]:.2f}" for parts in profiles.values()) + " |")
    arguments = {
        f"{teacher}: {what}": [what, teacher, str(BATCH), str(o.threads)]
        for teacher in SPEED_TEACHERS[-1:]
        for what in peers_memory.JOBS
    }
    memory = peak_memory(HERE / "peers.py", arguments)
    lines += ["", MEMORY_TEXT.format(batch=BATCH), "", MEMORY_HEAD, "| --- " * 4 + "|"]
    lines += [
        f"| {name} | {row['built_mib']} | {row['peak_mib']} | {row['peak_mib'] - row['built_mib']} |"
        for name, row in memory.items()
    ]
    return "\n".join([*lines, "", ""])


def lines_section(root: Path) -> str:
    """How much a user writes for the same job; each text is run first."""
    import peers_lines

    lines = ["## Lines a user writes", "", LINES_TEXT, "", "| library | lines |", "| --- " * 2 + "|"]
    for name, text in peers_lines.SNIPPETS.items():
        peers_lines.run(text, root)
        lines.append(f"| {name} | {peers_lines.count(text)} |")
    for name, text in peers_lines.SNIPPETS.items():
        lines += ["", f"{name}:", "", "```python", text.strip(), "```"]
    return "\n".join([*lines, ""])


def _setting(o: argparse.Namespace) -> dict[str, str]:
    """Versions and processor."""
    from gpu_record import processor_name

    return {
        "versions": ", ".join(f"{library} {version(library)}" for library in LIBRARIES),
        "processor": f"{processor_name()}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores",
        "threads": str(o.threads),
        "python": platform.python_version(),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of tasks; AUROC only, printed and not written")
    parser.add_argument("--task", nargs="+", help="tasks (default RSNA and BrainTumor, with --data all)")
    parser.add_argument("--quick", action="store_true", help="2 draws, 2 rounds, few images; printed only")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--rd-draws", type=int, default=3, help="of Reverse Distillation, which trains anew each time")
    parser.add_argument("--steps", type=int, default=20, help="of each training of Reverse Distillation")
    parser.add_argument("--images", type=int, default=30, help="test images of a synthetic task, of either class")
    parser.add_argument("--rounds", type=int, default=3, help="in which both of a pair run")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch")
    parser.add_argument("--teacher", nargs=2, action="append", dest="teachers", metavar=("NAME", "WEIGHTS"))
    parser.add_argument("--job", nargs=4, help=argparse.SUPPRESS)  # a memory measurement in a process of its own
    o = parser.parse_args()
    o.teachers = o.teachers or TEACHERS
    o.task = o.task or (None if o.data else ["RSNA", "BrainTumor"])
    if o.quick:
        o.draws, o.rd_draws, o.steps, o.images, o.rounds = 2, 2, 2, 6, 2
    return o


HEAD = """# The kit and its peers

Written by `python benchmarks/peers.py`; do not edit. {versions}; Python {python}; {processor}; PyTorch with {threads}
thread(s), on the processor alone.

Same images, image size (128 px), encoder, weights and normalisation, K = 4 supports, the same draws for all.
anomalib's networks are used as PyTorch modules, without its training loop. Its Reverse Distillation adds the levels'
maps, as the kit does. imgad's kNN compares whole images and gives no maps; its wrapper of anomalib's models builds the
network anew in `fit` and so cannot be given weights: not measured.

"""
AUROC_HEAD = "| encoder | task | method | image AUROC | pixel AUROC | draws | test images |"
AUROC_TEXT = """Per image, {draws} draws, none of it chosen on test images. Image AUROC with the kit's 95 % bootstrap
interval over draws and test images; pixel AUROC with a 95 % t interval over draws alone (it leaves out the images).
Reverse Distillation is trained on each draw's K supports for {steps} steps, far fewer than its authors', since each
draw trains anew: read its row as what this budget gives, not as the method's worth. anomalib has its decoder for
ResNets alone. D²4FAD itself, trained on the other tasks, is in [AT_WORK.md](AT_WORK.md)."""
PAIRS_TEXT = """Kit minus peer, methods of one kind: image AUROC with the 95 % interval of a paired bootstrap over
draws and test images, pixel AUROC with a paired t interval over draws. The rows share images and draws and are not
corrected for their number. "matched" has no peer here, and Reverse Distillation no trained D²4FAD beside it, so
neither is paired. "mirrored-patch" (chosen on other worlds, FEW_NORMALS.md) stands beside PatchCore, which has the
same kind of memory. imgad's features are the pooled output of the network; the kit's mean feature takes the means of
its three levels and not the last stage."""
PAIRS_HEAD = "| world | encoder | task | kit - peer | image AUROC | ahead | pixel AUROC | ahead |"
SPEED_HEAD = "| encoder | job | kit, images/s | peer, images/s | ratio | kit is |"
SPEED_TEXT = """Random weights (they change no speed), batches of {batch} images in memory, K = 4 supports encoded
before. Both of a pair run in turn for {rounds} rounds: median rates, median of the rounds' ratios and its extremes;
"faster" and "slower" only where every round says so. "encode": images to what is compared; "score": images to scores
and maps (imgad: scores). PatchCore stands beside the kit's nearest patch, Reverse Distillation beside D²4FAD, kNN
beside the kit's mean feature. imgad takes pictures and converts them one by one; "from files" therefore reads PNG
files on both sides."""
MEMORY_HEAD = "| encoder: method | built, MiB | peak, MiB | scoring adds, MiB |"
MEMORY_TEXT = """Memory of a process (Linux) that scores one batch of {batch}: what it holds when built, imports
included, and its peak from there on. A peer's process also holds the kit, whose weights it takes, and the imports of
both peers, so what scoring adds is what compares the methods; Reverse Distillation's includes building the network."""
LINES_TEXT = """The same job: K = 4, several draws, AUROC with its spread. The kit draws, reads and averages; the
others' users write that. Each text below was run before its lines were counted."""


if __name__ == "__main__":
    main()
