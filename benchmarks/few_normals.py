"""What is the best honest reading of a few normal images? A bench for candidates that need no training.

    python benchmarks/few_normals.py                         # fresh sample worlds, writes benchmarks/FEW_NORMALS.md
    python benchmarks/few_normals.py --worlds FOLDER         # the worlds are kept there for the next time
    python benchmarks/few_normals.py --data ROOT --task A B  # images of your own, printed and not written

Every candidate sees the same draws of supports and the same features. The bar is nearest patch under its better score,
chosen on these very labels in its favour. Nothing here may be tried on the shipped samples: they are a test set.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from few_normals_candidates import BARS, CANDIDATES, FROZEN
from few_normals_view import BATCH, Encoded, View
from gpu_record import processor_name
from measuring import random_images
from timing import interleave

import d24fad_lite as d2
from d24fad_lite.data.supports import draw_supports
from d24fad_lite.evaluation.baselines.nearest_patch import distance_maps
from d24fad_lite.evaluation.metrics import PixelAuroc
from d24fad_lite.evaluation.uncertainty.across import Resampled, mean_of_tasks, resampled
from d24fad_lite.evaluation.uncertainty.intervals import percentile_interval

PAGE = Path(__file__).resolve().parent / "FEW_NORMALS.md"
SIDE, SHOTS, DRAWS = 128, 4, 20
PIXEL_DRAWS = 5
JUDGED = "Judged afterwards"
WORLDS = (("plain", 301), ("hard", 302))  # level, seed: drawn for development, shipped nowhere
JUDGES = (("plain", 303), ("hard", 304))  # looked at once, when the choice had been frozen
TEACHERS = (("tf_efficientnet_lite0", "imagenet"), ("resnet18", "embedded"))


@dataclass
class Drawn:
    """Scores of one candidate on one task, as a paired comparison reads them."""

    task: str
    method: str
    labels: np.ndarray
    names: list[str]
    groups: list[str | None]
    scores: np.ndarray
    support_hashes: list[list[str]]
    pixel: float | None
    milliseconds: float
    shots: int = SHOTS
    seed: int = 0
    protocol: str = "per image"

    @property
    def draws(self) -> int:
        """Number of support draws."""
        return len(self.scores)


def main() -> None:
    """Measure, print, and write the page where the images are the kit's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--task", nargs="+")
    parser.add_argument("--worlds", type=Path)
    parser.add_argument("--brief", action="store_true", help="the choice and the bar alone")
    options = parser.parse_args()
    parts = []
    for name, bench in benchmarks(options.data, options.worlds):
        for teacher, weights in TEACHERS:
            tasks = options.task or list(bench)
            brief = options.brief or name.startswith(JUDGED)
            names = (FROZEN, *BARS) if brief else tuple(CANDIDATES)
            found = [drawn_scores(bench[task], d2.Teacher(teacher, weights, SIDE), names) for task in tasks]
            parts.append(f"### {name}; {teacher} ({weights})\n\n{table(found)}\n")
            print(parts[-1], flush=True)
    if options.data is None and not options.brief:
        PAGE.write_text(TEXT + "\n".join([*parts, costs()]), encoding="utf-8")


def benchmarks(
    data: Path | None, kept: Path | None, worlds: Sequence[tuple[str, int]] = (*WORLDS, *JUDGES)
) -> Iterator[tuple[str, d2.Benchmark]]:
    """Name and benchmark: the images at `data`, else sample worlds, which stay in `kept` if it is given."""
    if data is not None:
        yield f"images of {data.name}", d2.open_benchmark(data)
        return
    with tempfile.TemporaryDirectory() as folder:
        for level, seed in worlds:
            root = (kept or Path(folder)) / f"{level}{seed}"
            if not root.exists():
                d2.write_samples(root, seed=seed, severity=level)
            purpose = "Development" if (level, seed) in WORLDS else JUDGED
            yield f"{purpose}: sample world (synthetic), {level}, seed {seed}", d2.open_benchmark(root)


def drawn_scores(task: d2.Task, teacher: d2.Teacher, names: Collection[str]) -> dict[str, Drawn]:
    """Scores of the named candidates on a task, over the same draws."""
    views, draws = views_of(task, teacher, SIDE, SHOTS, DRAWS)
    encoded = views[0].task
    facts = (task.test.labels, task.test.names, task.test.groups)
    hashes = [task.train.hashes(row) for row in draws]
    found = {}
    for name, candidate in CANDIDATES.items():
        if name not in names:
            continue
        candidate(views[0])  # what several candidates share is computed before the clock starts
        began = time.perf_counter()
        results = [candidate(view) for view in views]
        seconds = time.perf_counter() - began
        scores = np.stack([score.numpy() for score, _ in results]).astype(np.float64)
        pixel = pixel_auroc(task, [patches for _, patches in results[:PIXEL_DRAWS]], encoded.grid.shape[2:])
        found[name] = Drawn(task.name, name, *facts, scores, hashes, pixel, 1000 * seconds / scores.size)
    return found


def views_of(task: d2.Task, teacher: d2.Teacher, side: int, shots: int, count: int) -> tuple[list[View], np.ndarray]:
    """The test images of a task beside each of `count` draws of supports, and these draws, int [D, K]."""
    draws = draw_supports(len(task.train), shots, count, seed=0)
    distinct, positions = np.unique(draws, return_inverse=True)
    encoded = Encoded.of(teacher.eval(), task.test.images(side), task.train.images(side, distinct))
    first = encoded.first_support
    chosen = torch.from_numpy(first + positions.reshape(draws.shape))
    return [View(encoded, torch.arange(first), row) for row in chosen], draws


def pixel_auroc(task: d2.Task, low_maps: Sequence[torch.Tensor | None], grid: torch.Size) -> float | None:
    """Pixel AUROC, mean over the draws of these maps [B, P]; None without maps or masks."""
    known = np.flatnonzero(task.test.mask_known)
    masks = task.test.masks(SIDE, known) if len(known) else None
    if masks is None:
        return None
    values = []
    for low in low_maps:
        if low is None:
            return None
        maps = distance_maps(low[known].unflatten(1, grid), SIDE, 4.0).numpy()
        stream = PixelAuroc(float(maps.min()), float(maps.max()))
        stream.add(maps, masks.numpy().reshape(maps.shape) > 0)
        values.append(stream.value)
    return float(np.mean([value for value in values if value is not None])) if values else None


def table(found: list[dict[str, Drawn]]) -> str:
    """Markdown: a row for each candidate, the best mean first."""
    tasks = [next(iter(of_task.values())).task for of_task in found]
    samples = [resampled({name: [report] for name, report in of_task.items()}) for of_task in found]
    mean = mean_of_tasks(samples)
    bar = max(BARS, key=lambda name: mean.means[mean.names.index(name)])
    order = np.argsort(-mean.means, kind="stable")
    size = ", ".join(f"{name} {len(next(iter(of.values())).labels)}" for name, of in zip(tasks, found, strict=True))
    head = ["candidate", *tasks, "mean", f"over {bar}", "worst task", "pixel", "ms"]
    lines = [
        f"Image AUROC, per image, K = {SHOTS}, {DRAWS} draws; test images: {size}.",
        "",
        f"| {' | '.join(head)} |",
        "| --- " * len(head) + "|",
    ]
    lines += [_row(mean, samples, found, int(column), bar) for column in order]
    return "\n".join(lines)


def _row(mean: Resampled, samples: list[Resampled], found: list[dict[str, Drawn]], column: int, bar: str) -> str:
    name, reference = mean.names[column], mean.names.index(bar)
    low, high = percentile_interval(mean.samples[:, column] - mean.samples[:, reference])
    over = mean.means[column] - mean.means[reference]
    worst = min(float(task.means[column] - task.means[reference]) for task in samples)
    pixels = [of_task[name].pixel for of_task in found]
    pixel = "" if None in pixels else f"{np.mean([p for p in pixels if p is not None]):.3f}"
    cost = np.mean([of_task[name].milliseconds for of_task in found])
    cells = [f"{task.means[column]:.3f}" for task in samples]
    return (
        f"| {name} | {' | '.join(cells)} | {mean.means[column]:.3f} | {over:+.3f} [{low:+.3f}, {high:+.3f}] "
        f"| {worst:+.3f} | {pixel} | {cost:.2f} |"
    )


def costs() -> str:
    """Markdown: images per second of nearest patch and of the choice, encoding included, in turn within one run."""
    head = ["teacher", "nearest patch", "mirrored-patch", "ratio", "with the own mirror image", "ratio"]
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    images, supports = random_images(BATCH, 3, SIDE, SIDE), random_images(SHOTS + 1, 3, SIDE, SIDE)[1:]
    for name, weights in TEACHERS:
        config = d2.D24FADConfig(teacher=name, weights=weights, image_size=SIDE)
        bar = d2.create_detector("nearest-patch", config).eval()
        ours = d2.MirroredPatchDetector(config, bar.teacher).eval()
        bank, kept = ours.encode_supports(supports), bar.encode_supports(supports)
        one, own = (partial(ours.predict, images, replace(bank, symmetric=known)) for known in (False, True))
        runs = {"bar": partial(bar.predict, images, kept), "one": one, "own": own}
        with torch.inference_mode():
            timings = interleave(runs, rounds=7)
        rates = {run: f"{BATCH / timings.seconds(run):.1f}" for run in runs}
        ratio = {run: f"{timings.seconds('bar') / timings.seconds(run):.2f}" for run in ("one", "own")}
        lines.append(f"| {name} | {rates['bar']} | {rates['one']} | {ratio['one']} | {rates['own']} | {ratio['own']} |")
    text = f"Images per second, {SHOTS} supports, {SIDE} px, batches of {BATCH}, {torch.get_num_threads()} threads"
    return f"### Cost\n\n{text}, {processor_name()}.\n\n" + "\n".join(lines) + "\n"


TEXT = f"""# The best honest reading of a few normal images: a ledger

Written by `python benchmarks/few_normals.py`. All images are synthetic, none of them shipped. Two worlds may choose
among candidates, so the best row of their tables is no fair estimate of itself. The choice, `mirrored-patch`, was
frozen; then two further worlds were looked at, once, for it and the bar alone. Losers stay in the tables.

- All candidates read the same frozen features of the same {DRAWS} draws of {SHOTS} supports at {SIDE} px.
  Nothing is trained.
- "over" is the difference to nearest patch under its better score, with a 95 % interval over draws and test images
  (paired), and "worst task" the lowest such difference of a task. {len(CANDIDATES)} candidates are compared without a
  correction, so in the development tables an interval that is just clear of zero proves nothing.
- "pixel" is the pixel AUROC (mean of {PIXEL_DRAWS} draws, mean of tasks); "ms" a processor's milliseconds per image for
  what a candidate adds after the shared distances. What `mirrored-patch` costs as a whole is in the last table.

"""


if __name__ == "__main__":
    main()
