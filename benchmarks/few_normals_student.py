"""A student trained as comparator on other tasks: does it add to the best reading that needs no training?

    python benchmarks/few_normals_student.py                      # two sample worlds; writes FEW_NORMALS_STUDENT.md
    python benchmarks/few_normals_student.py --data ROOT --task A B C      # images of your own; printed, not written
    python benchmarks/few_normals_student.py --size full          # trained longer and on more; for a GPU
    python benchmarks/few_normals_student.py --keep FOLDER        # scores are kept there; a stopped run goes on

For each task a small network learns to tell normal images from copies with synthetic lesions of all scales, diffuse
ones first: where the lesion is, and the image score along with it. It reads the residuals of the queries to their
supports and all that `few_normals_trained.py` describes them by; its score begins as the frozen one and leaves it only
where that helps in training. It is trained on the other tasks' normal training images, or on hundreds of procedural
tasks (without the painter of the same name), in full size also on both. The task itself is met with its supports
alone. Settings were written down before the first run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from few_normals import (
    DRAWS,
    JUDGES,
    PIXEL_DRAWS,
    SHOTS,
    SIDE,
    TEACHERS,
    Drawn,
    pixel_auroc,
    views_of,
)
from few_normals_cells import Found, arguments, reported, tables, untrained
from few_normals_lesions import ALL_LESIONS
from few_normals_network import SIZES, WIDTH, Size, Student, trained
from few_normals_procedural import procedural_tasks
from few_normals_rows import Rows, rows_of_normals
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.model.device import pick_device

PAGE = Path(__file__).resolve().parent / "FEW_NORMALS_STUDENT.md"
SEEDS = (0, 1, 2)
OTHERS, PROCEDURAL, BOTH = "student: the other tasks", "student: procedural tasks", "student: both"
KINDS = {"small": (OTHERS, PROCEDURAL), "full": (OTHERS, PROCEDURAL, BOTH)}
PROCEDURAL_QUERIES, PROCEDURAL_DRAWS = 8, 2
QUERIES, TRAINING_DRAWS = 20, 5  # of each other task


def main() -> None:
    """Train and measure, print, and write the page where the images are the kit's own."""
    parser = arguments(__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    options = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False  # so that the frozen readings are those of a processor
    parts = []
    for name, weights in TEACHERS:
        students = Students(d2.Teacher(name, weights, SIDE).eval().to(pick_device(options.device)), options.size)
        parts += tables(options, JUDGES, (name, weights), options.size, students.of_source)
    if options.data is None:
        PAGE.write_text(text(options.size) + "\n".join(parts), encoding="utf-8")


class Students:
    """One frozen teacher, and the students trained with it in one size."""

    def __init__(self, teacher: d2.Teacher, size: str) -> None:
        self.teacher, self.size, self.kinds = teacher, SIZES[size], KINDS[size]

    @cached_property
    def procedural(self) -> list[Procedural]:
        """The procedural tasks of each seed."""
        return [Procedural(self.teacher, seed, self.size) for seed in SEEDS]

    def of_source(self, tasks: Mapping[str, d2.Task]) -> Found:
        """Everything measured on some tasks."""
        met = {name: [training_rows(task, self.teacher, seed) for seed in SEEDS] for name, task in tasks.items()}
        found = []
        for name, task in tasks.items():
            began = time.perf_counter()
            found.append(measured(task, self.teacher, self.trained(name, met)))
            print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
        return found

    def trained(self, target: str, met: Mapping[str, Sequence[Rows]]) -> dict[str, list[Student]]:
        """The students of a target task, one per seed, for each kind of training; its own rows are not used."""
        found: dict[str, list[Student]] = {kind: [] for kind in self.kinds}
        for seed, made in zip(SEEDS, self.procedural, strict=True):
            others = Rows.cat([rows[seed] for name, rows in met.items() if name != target])
            ones, drawn = torch.ones(len(others), device=others.maps.device), made.weights(target)
            found[OTHERS].append(trained(others, ones, seed, self.size))
            found[PROCEDURAL].append(made.student(target))
            if BOTH in found:
                weights = torch.cat([ones / ones.sum(), drawn / drawn.sum()])
                found[BOTH].append(trained(Rows.cat([others, made.rows]), weights, seed, self.size))
        return found


class Procedural:
    """Rows of the procedural tasks for one seed, and which painter each is of."""

    def __init__(self, teacher: d2.Teacher, seed: int, size: Size) -> None:
        parts, names = [], []
        supports = SHOTS * PROCEDURAL_DRAWS
        tasks = procedural_tasks(seed, size.procedural, PROCEDURAL_QUERIES + supports, SIDE)
        for number, (name, pictures) in enumerate(tasks):
            images = torch.from_numpy(pictures)
            queries, others = images[:PROCEDURAL_QUERIES], images[PROCEDURAL_QUERIES:]
            rows = rows_of_normals(teacher, queries, others, SHOTS, PROCEDURAL_DRAWS, seed=1000 * seed + number)
            parts.append(rows)
            names += [name] * len(rows)
        self.seed, self.size, self.rows, self.names = seed, size, Rows.cat(parts), np.array(names)
        self._students: dict[str, Student] = {}

    def student(self, left_out: str) -> Student:
        """The student trained on them without the painter of this name."""
        if left_out not in self._students:
            self._students[left_out] = trained(self.rows, self.weights(left_out), self.seed, self.size)
        return self._students[left_out]

    def weights(self, left_out: str) -> Tensor:
        """1 for each row but those of the painter of this name."""
        return torch.from_numpy(self.names != left_out).float().to(self.rows.maps.device)


def training_rows(task: d2.Task, teacher: d2.Teacher, seed: int) -> Rows:
    """Rows of a task's normal training images."""
    order = np.random.default_rng(seed).permutation(len(task.train))
    count = min(QUERIES, len(order) // 2)
    queries, supports = order[:count], order[count : count + SHOTS * TRAINING_DRAWS]
    images = [task.train.images(SIDE, rows) for rows in (queries, supports)]
    return rows_of_normals(teacher, *images, SHOTS, TRAINING_DRAWS, seed)


@torch.inference_mode()
def measured(task: d2.Task, teacher: d2.Teacher, by_kind: Mapping[str, Sequence[Student]]) -> dict[str, list[Drawn]]:
    """Scores of the bar, the frozen reading and the students on a task, over the same draws."""
    views, draws = views_of(task, teacher, SIDE, SHOTS, DRAWS)
    grid = views[0].task.grid.shape[2:]

    found = untrained(task, views, draws, SEEDS)
    every: dict[tuple[str, int], list[tuple[Tensor, Tensor]]] = {}
    for view in views:
        rows = Rows.of(view, torch.zeros(len(view.queries)), torch.zeros(len(view.queries), *grid))
        for name, models in by_kind.items():
            for seed, student in zip(SEEDS, models, strict=True):
                every.setdefault((name, seed), []).append(student(rows))
    for (name, seed), results in every.items():
        scores, maps = zip(*results, strict=True)
        low = [one.flatten(1).cpu() for one in maps[:PIXEL_DRAWS]]
        pixel = pixel_auroc(task, low, grid)
        found.setdefault(name, []).append(reported(task, draws, name, scores, seed, pixel))
    return found


def text(size: str) -> str:
    """The head of the page."""
    s = SIZES[size]
    return f"""# A student trained as comparator on other tasks

Written by `python benchmarks/few_normals_student.py` (size {size!r}). All images are synthetic. It asks whether
anything learned on other tasks adds to `mirrored-patch`, whose choice had been frozen before; these two worlds chose
nothing. {DRAWS} draws of {SHOTS} supports at {SIDE} px, {len(SEEDS)} training seeds, which draw lesions, supports,
images and first weights anew.

- A student is a network of {WIDTH} channels. It reads how far each position of the query lies from the nearest one of
  the supports and their mirror images, in each channel of each level and relative to what the supports show among each
  other; the maps of `mirrored-patch`; and the descriptors of FEW_NORMALS_TRAINED.md. Its image score is the frozen one
  plus what it learned, which begins at nothing. Trained for {s.steps} steps of {s.batch} queries, half of them with a
  lesion ({", ".join(lesion.__name__ for lesion in ALL_LESIONS)}), on the image score and on the map of lesions at once.
- "the other tasks": {QUERIES} normal training images of each other task of the same world. "procedural tasks":
  {s.procedural} tasks of each seed, one half by the sample world's painters (without the one of the task's name), the
  other half fractals, each in a random style.
- The last columns: the difference to `mirrored-patch` with a 95 % interval over draws, test images and seeds (paired);
  the lowest such difference of a task; pixel AUROC (mean of {PIXEL_DRAWS} draws, of tasks and seeds).

"""


if __name__ == "__main__":
    main()
