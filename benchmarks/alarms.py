"""Does the promised false-alarm rate hold? 200 draws of supports and calibration images, every method.

    python benchmarks/alarms.py                                  # fresh synthetic tasks, writes benchmarks/ALARMS.md
    python benchmarks/alarms.py --data ROOT --task TASK          # normal images of your own, printed and not written

Each draw takes K supports and n further normal images; what the threshold says of all other normal images is compared
with the promise: at most alpha on average over draws with further normals, about alpha with the supports alone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

import d24fad_lite as d2
from d24fad_lite.evaluation.scorer import as_scorer
from d24fad_lite.evaluation.uncertainty.thresholds import conformal_threshold

PAGE = Path(__file__).resolve().parent / "ALARMS.md"
DRAWS, SHOTS, SIDE, BATCH = 200, 4, 64, 32
PROMISES = ((0.05, 19), (0.1, 9), (0.1, 30))  # alpha, further normal images
METHODS = ("untrained", "matched", "nearest-patch", "mirrored-patch", "mean-feature")
TASKS = ("RSNA",)
NORMALS = 80  # of a synthetic task


def main() -> None:
    """Measure, print, and write the page where the images are the kit's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--task", nargs="+", default=list(TASKS))
    parser.add_argument("--teacher", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", default="imagenet")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.data or d2.write_samples(Path(folder) / "world", seed=7, train=NORMALS, tasks=options.task)
        bench = d2.open_benchmark(root)
        config = d2.D24FADConfig(teacher=options.teacher, weights=options.weights, image_size=SIDE)
        lines = [HEAD, RULE]
        for name in options.task:
            pool = normal_images(bench[name])
            for method in METHODS:
                lines += rows(name, method, pool, config)
                print("\n".join(lines[-len(PROMISES) :]), flush=True)
    if options.data is None:
        PAGE.write_text(TEXT + "\n".join(lines) + "\n", encoding="utf-8")


def normal_images(task: d2.Task) -> torch.Tensor:
    """All normal images of a task, [N, 3, S, S]."""
    normal = np.flatnonzero(np.asarray(task.test.labels) == 0)
    return torch.cat([task.train.images(SIDE), task.test.images(SIDE, normal)])


def rows(task: str, method: str, pool: torch.Tensor, config: d2.D24FADConfig) -> list[str]:
    """A line for each promise: the mean rate over the draws with its interval, beside what was promised."""
    scorer = as_scorer(d2.create_detector(method, config).eval())
    generator = np.random.default_rng(0)
    orders = np.stack([generator.permutation(len(pool)) for _ in range(DRAWS)])
    distinct, positions = np.unique(orders[:, :SHOTS], return_inverse=True)
    prepared = scorer.prepare(pool[distinct], positions.reshape(DRAWS, SHOTS))
    scores = np.concatenate([scorer.score(part, prepared).scores for part in pool.split(BATCH)], axis=1)  # (D, N)
    lines = []
    for alpha, count in PROMISES:
        rates = []
        for order, of_draw in zip(orders, scores):
            further, new = order[SHOTS : SHOTS + count], order[SHOTS + count :]
            rates.append(conformal_threshold(of_draw[further], alpha).alarms(of_draw[new]).mean())
        mean, half = np.mean(rates), 1.96 * np.std(rates, ddof=1) / DRAWS**0.5
        kept = "yes" if mean - half <= alpha else "NO"
        measured = f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"
        lines.append(f"| {task} | {method} | {count} | {alpha:.2f} | {measured} | {kept} |")
    return lines


HEAD = "| task | method | further normals | promised | measured, mean of draws | within |"
RULE = "| --- " * 6 + "|"
TEXT = f"""# Is the promised false-alarm rate kept?

Written by `python benchmarks/alarms.py`: {DRAWS} draws of {SHOTS} supports and of further normal images from
{NORMALS} synthetic normal images of a task and its normal test images, at {SIDE} px; the threshold of each draw (split
conformal) is tried on all normal images that it has not seen. The promise is about the mean over draws: a single
threshold may lie far from it. The interval covers the draws, which share images, so it is somewhat too narrow.

"""


if __name__ == "__main__":
    main()
