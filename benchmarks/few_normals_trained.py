"""Does anything learned on other tasks add to the best reading that needs no training?

    python benchmarks/few_normals_trained.py                      # the judges of few_normals.py, writes a page
    python benchmarks/few_normals_trained.py --data ROOT --task A B C   # images of your own, printed, not written

For each task a comparator is trained on the other tasks' normal training images: it learns how to weigh thirteen
descriptors of an image (distances of nearest patch, own mirror image, pooled feature and others, each relative to what
the supports show among each other) so as to tell the images from copies of themselves with synthetic lesions of all
scales, diffuse ones first. The task itself is met with its supports alone. Settings were written down before the first
run; three seeds draw lesions, supports and images anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from few_normals import DRAWS, JUDGES, SHOTS, SIDE, TEACHERS, Drawn, benchmarks, views_of
from few_normals_candidates import BARS, CANDIDATES, FROZEN, scored
from few_normals_lesions import LESIONS
from few_normals_view import Encoded, View
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.data.supports import draw_supports
from d24fad_lite.evaluation.uncertainty.across import mean_of_tasks, resampled

PAGE = Path(__file__).resolve().parent / "FEW_NORMALS_TRAINED.md"
SEEDS = (0, 1, 2)
TRAINED = "comparator trained on the other tasks"
TRAINING_QUERIES, TRAINING_DRAWS = 20, 10  # of each other task: normal images, each with one lesion of every kind
SMALLEST = 1e-6
DESCRIPTORS = (
    *("patches, mean", "patches, top tenth", "patches, max", "map, top tenth", "map, max"),
    *("level 1, mean", "level 1, top tenth", "level 2, mean", "level 2, top tenth"),
    *("own mirror, mean", "own mirror, top tenth", "pooled feature", "texture"),
)


def main() -> None:
    """Train and measure for each task in turn, print, and write the page where the images are the kit's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--task", nargs="+")
    parser.add_argument("--worlds", type=Path)
    options = parser.parse_args()
    lines = [f"| images | teacher | {' | '.join((*BARS, FROZEN, TRAINED))} | trained - frozen | by task |"]
    lines.append("| --- " * (len(BARS) + 6) + "|")
    for name, bench in benchmarks(options.data, options.worlds, JUDGES):
        for teacher, weights in TEACHERS:
            tasks = [bench[task] for task in options.task or list(bench)]
            lines.append(f"| {name} | {teacher} ({weights}) | {_row(tasks, d2.Teacher(teacher, weights, SIDE))} |")
            print(lines[-1], flush=True)
    if options.data is None:
        PAGE.write_text(TEXT + "\n".join(lines) + "\n", encoding="utf-8")


def _row(tasks: Sequence[d2.Task], teacher: d2.Teacher) -> str:
    """Mean image AUROCs, and the paired difference of the trained comparator to the frozen reading."""
    training = {task.name: [training_rows(task, teacher, seed) for seed in SEEDS] for task in tasks}
    samples = []
    for task in tasks:
        others = [training[other.name] for other in tasks if other.name != task.name]
        models = [fitted([of_task[seed] for of_task in others]) for seed in SEEDS]
        samples.append(resampled(measured(task, teacher, models)))
    mean = mean_of_tasks(samples)
    first, second = mean.names.index(TRAINED), mean.names.index(FROZEN)
    difference = mean.against(first, second)
    by_task = ", ".join(
        f"{task.name} {one.means[first] - one.means[second]:+.3f}" for task, one in zip(tasks, samples, strict=True)
    )
    means = " | ".join(f"{mean.means[mean.names.index(name)]:.3f}" for name in (*BARS, FROZEN, TRAINED))
    return (
        f"{means} | {difference['difference']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}] | {by_task}"
    )


def training_rows(task: d2.Task, teacher: d2.Teacher, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors [R, 13] and labels [R] of a task's normal training images and of their copies with lesions."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(task.train))
    count = min(TRAINING_QUERIES, len(order) - SHOTS)
    normal, rest = task.train.images(SIDE, order[:count]), order[count:]
    supports = task.train.images(SIDE, rest[: SHOTS * TRAINING_DRAWS])
    queries = torch.cat([normal, *(lesion(normal, rng) for lesion in LESIONS)])
    encoded = Encoded.of(teacher.eval(), queries, supports)
    rows, labels = [], np.repeat([0, 1], [count, count * len(LESIONS)])
    for row in draw_supports(len(supports), SHOTS, TRAINING_DRAWS, seed=seed):
        view = View(encoded, torch.arange(len(queries)), torch.from_numpy(encoded.first_support + row))
        rows.append(described(view))
    return np.concatenate(rows), np.tile(labels, TRAINING_DRAWS)


def fitted(rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> Pipeline:
    """A logistic regression on the rows of several tasks; normal and anomalous rows count the same."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    return model.fit(*(np.concatenate(part) for part in zip(*rows, strict=True)))


def measured(task: d2.Task, teacher: d2.Teacher, models: Sequence[Pipeline]) -> dict[str, list[Drawn]]:
    """Scores of the bar, the frozen reading and the trained comparators on a task, over the same draws."""
    views, draws = views_of(task, teacher, SIDE, SHOTS, DRAWS)
    facts = (task.test.labels, task.test.names, task.test.groups)
    hashes = [task.train.hashes(row) for row in draws]
    found = {}
    for name in (*BARS, FROZEN):
        scores = np.stack([CANDIDATES[name](view)[0].numpy() for view in views]).astype(np.float64)
        one = Drawn(task.name, name, *facts, scores, hashes, None, 0.0)
        found[name] = [replace(one, seed=seed) for seed in SEEDS]  # nothing is drawn in it but the supports
    rows = [described(view) for view in views]
    found[TRAINED] = [
        Drawn(task.name, TRAINED, *facts, np.stack([m.decision_function(r) for r in rows]), hashes, None, 0.0, seed=s)
        for s, m in zip(SEEDS, models, strict=True)
    ]
    return found


def described(view: View) -> np.ndarray:
    """Descriptors [B, 13] of the queries: logarithms, relative to the supports, each compared with the others."""
    usual = torch.cat([_raw(one) for one in view.left_out()]).mean(dim=0)
    return (_raw(view).clamp_min(SMALLEST) / usual.clamp_min(SMALLEST)).log().double().cpu().numpy()


def _raw(view: View) -> Tensor:
    near, itself, symmetric = view.mirrored_patches()
    maps = (near.or_nearer(itself) if symmetric else near).map(view.task.grids).flatten(1)
    parts = [(near.patches, "mean"), (near.patches, "top"), (near.patches, "max"), (maps, "top"), (maps, "max")]
    parts += [(level, kind) for level in near.levels for kind in ("mean", "top")]
    parts += [(itself.patches, "mean"), (itself.patches, "top")]
    whole = [CANDIDATES[name](view)[0] for name in ("pooled feature", "texture (spread of channels)")]
    return torch.stack([*(scored(values, kind) for values, kind in parts), *whole], dim=1)


TEXT = f"""# Does anything learned on other tasks add to the best reading without training?

Written by `python benchmarks/few_normals_trained.py`. Image AUROC per image, mean of tasks, all synthetic; K = {SHOTS},
{DRAWS} draws, {SIDE} px. For each task a logistic regression over {len(DESCRIPTORS)} descriptors was trained on the
other tasks of the same world: {TRAINING_QUERIES} normal training images of each and {len(LESIONS)} copies of them with
lesions ({", ".join(lesion.__name__ for lesion in LESIONS)}), {TRAINING_DRAWS} draws of supports, {len(SEEDS)} seeds. No
test image and no image of the task itself was used but its supports. "trained - frozen" is the difference to
`mirrored-patch` with a 95 % interval over draws, test images and seeds, paired.

"""


if __name__ == "__main__":
    main()
