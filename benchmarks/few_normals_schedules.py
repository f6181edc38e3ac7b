"""D²4FAD trained so that self-distillation does not collapse: does any schedule add to what needs no training?

    python benchmarks/few_normals_schedules.py                    # a sample world; writes FEW_NORMALS_SCHEDULES.md
    python benchmarks/few_normals_schedules.py --teacher tf_efficientnet_lite0 --steps 150    # less of it
    python benchmarks/few_normals_schedules.py --data ROOT --task A B C    # images of your own; printed, not written
    python benchmarks/few_normals_schedules.py --keep FOLDER      # scores are kept there; a stopped run goes on

SSD is nought when the student gives every image the same features. What may stop it: no gradient through the supports;
a hinge on the student's spread, as in VICReg, here against the teacher's spread; TSD at full weight first; all of it.
Each is trained on the other tasks' normal images and read in both published ways; as released and all of it are also
trained on hundreds of procedural tasks. Settings were written down before the first run. Minutes on a GPU; on a
processor half an hour with the small teacher, two hours with a ResNet-18.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from few_normals import DRAWS, SHOTS, SIDE, TEACHERS, WORLDS, Drawn, views_of
from few_normals_cells import Found, arguments, reported, tables, untrained
from few_normals_procedural import procedural_tasks
from few_normals_view import BATCH
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.model.device import pick_device
from d24fad_lite.model.features import TeacherFeatures

PAGE = Path(__file__).resolve().parent / "FEW_NORMALS_SCHEDULES.md"
SEEDS = (0, 1, 2)
STEPS = 300
TASKS_IN_BATCH, OF_TASK, RATE, BETAS = 2, 8, 5e-4, (0.5, 0.999)
SPREAD_WEIGHT, FIRST_LAMBDA = 1.0, 1.0
PROCEDURAL_TASKS, PROCEDURAL_IMAGES = 200, 16
READINGS = ("released", "paper")


@dataclass(frozen=True)
class Schedule:
    """What differs from the released training."""

    stop_gradient: bool = False
    keep_spread: bool = False
    teacher_first: bool = False


SCHEDULES = {
    "as released": Schedule(),
    "no gradient through supports": Schedule(stop_gradient=True),
    "spread kept (VICReg)": Schedule(keep_spread=True),
    "lambda 1, then 0.1": Schedule(teacher_first=True),
    "all three": Schedule(True, True, True),
}
ALSO_PROCEDURAL = ("as released", "all three")


def main() -> None:
    """Train and measure, print, and write the page where the images are the kit's own."""
    parser = arguments(__doc__)
    parser.add_argument("--teacher", choices=dict(TEACHERS))
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False  # so that the frozen readings are those of a processor
    device, parts = pick_device(options.device), []
    for name, weights in [one for one in TEACHERS if options.teacher in (None, one[0])]:
        trainer = Trainer(name, weights, device, options.steps)
        parts += tables(options, WORLDS[:1], (name, weights), options.steps, trainer.of_source)
    if options.data is None:
        PAGE.write_text(text(options.steps) + "\n".join(parts), encoding="utf-8")


class Trainer:
    """One frozen teacher, and the students trained with it."""

    def __init__(self, name: str, weights: str, device: str, steps: int = STEPS) -> None:
        self.config = d2.D24FADConfig(teacher=name, weights=weights, image_size=SIDE)
        self.teacher = d2.Teacher(name, weights, SIDE).eval().to(device)
        self.device, self.steps = device, steps
        self._procedural: dict[str, list[d2.D24FAD]] = {}

    def of_source(self, tasks: Mapping[str, d2.Task]) -> Found:
        """Everything measured on some tasks."""
        seen = {name: self.encoded(task.train.images(SIDE)) for name, task in tasks.items()}
        return [self.measured(task, seen) for task in tasks.values()]

    def encoded(self, images: Tensor) -> TeacherFeatures:
        """What the teacher sees in images [N, 3, S, S]."""
        with torch.no_grad():
            parts = [self.teacher(part.to(self.device)) for part in images.split(BATCH)]
        levels = [torch.cat(level) for level in zip(*(part.levels for part in parts), strict=True)]
        return TeacherFeatures(levels, torch.cat([part.embedding for part in parts]))

    def trained(self, tasks: Sequence[TeacherFeatures], schedule: Schedule, seed: int) -> d2.D24FAD:
        """A detector trained on the normal images of some tasks: in-batch episodes of two tasks a step."""
        config = self.config.replace(seed=seed, stop_gradient=schedule.stop_gradient)
        model = d2.D24FAD(config, self.teacher).to(self.device).train()
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer, rng = torch.optim.Adam(weights, lr=RATE, betas=BETAS), np.random.default_rng(seed)
        for step in range(self.steps):
            chosen = [tasks[i] for i in rng.permutation(len(tasks))[:TASKS_IN_BATCH]]
            parts = [one.select(rng.permutation(len(one.embedding))[:OF_TASK]) for one in chosen]
            levels = [torch.cat(level) for level in zip(*(part.levels for part in parts), strict=True)]
            query = TeacherFeatures(levels, torch.cat([part.embedding for part in parts]))
            out = model(query, support_rows=mates([len(part.embedding) for part in parts], rng).to(self.device))
            first = schedule.teacher_first and step < self.steps // 2
            loss = out.loss_ssd + (FIRST_LAMBDA if first else config.lambda_tsd) * out.loss_tsd
            if schedule.keep_spread:
                loss = loss + SPREAD_WEIGHT * lost_spread(out.query_features, query.levels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return model.eval()

    def procedural(self, name: str) -> list[d2.D24FAD]:
        """Detectors trained on procedural tasks, one per seed; all painters take part, under styles of their own."""
        if name not in self._procedural:
            self._procedural[name] = []
            for seed in SEEDS:
                tasks = procedural_tasks(seed, PROCEDURAL_TASKS, PROCEDURAL_IMAGES, SIDE)
                seen = [self.encoded(torch.from_numpy(pictures)) for _, pictures in tasks]
                self._procedural[name].append(self.trained(seen, SCHEDULES[name], seed))
        return self._procedural[name]

    def measured(self, task: d2.Task, seen: Mapping[str, TeacherFeatures]) -> dict[str, list[Drawn]]:
        """Scores of the bar, the frozen reading and all trainings on a task, over the same draws."""
        views, draws = views_of(task, self.teacher, SIDE, SHOTS, DRAWS)
        tests = self.encoded(task.test.images(SIDE))
        found = untrained(task, views, draws, SEEDS)
        others = [features for name, features in seen.items() if name != task.name]
        models = {name: [self.trained(others, one, seed) for seed in SEEDS] for name, one in SCHEDULES.items()}
        models |= {f"{name}, procedural tasks": self.procedural(name) for name in ALSO_PROCEDURAL}
        for name, of_seeds in models.items():
            for reading in READINGS:
                scores = [scored(model.read_as(reading), seen[task.name], tests, draws) for model in of_seeds]
                title = f"D²4FAD, {name}; {reading}"
                found[title] = [
                    reported(task, draws, title, one, seed) for seed, one in zip(SEEDS, scores, strict=True)
                ]
        return found


def mates(sizes: Sequence[int], rng: np.random.Generator) -> Tensor:
    """For each image of a batch the positions of K others of its task: int64 [K, B]; tasks lie one after the other."""
    columns, first = [], 0
    for size in sizes:
        for position in range(size):
            others = draw_others(size, position, rng)
            columns.append(first + others)
        first += size
    return torch.from_numpy(np.stack(columns, axis=1))


def draw_others(size: int, position: int, rng: np.random.Generator) -> np.ndarray:
    """K positions below `size` other than `position`, without repeats."""
    return np.delete(np.arange(size), position)[rng.permutation(size - 1)[:SHOTS]]


def lost_spread(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """sum over levels of the mean over channels of max(0, 1 - std g / std f); std over images and positions."""
    spreads = [(g.std(dim=(0, 2, 3)), f.std(dim=(0, 2, 3))) for g, f in zip(student, teacher, strict=True)]
    return torch.stack([(1 - g / f.clamp_min(1e-6)).clamp_min(0).mean() for g, f in spreads]).sum()


@torch.inference_mode()
def scored(model: d2.D24FAD, normals: TeacherFeatures, tests: TeacherFeatures, draws: np.ndarray) -> list[Tensor]:
    """Scores [B] of the test images for each draw of supports among the normal images."""
    queries = model.encode_queries(tests)
    banks = [model.encode_supports(normals.select(draw)) for draw in draws]
    return [model.predict(queries, bank).score for bank in banks]


def text(steps: int) -> str:
    """The head of the page."""
    return f"""# D²4FAD trained so that self-distillation does not collapse

Written by `python benchmarks/few_normals_schedules.py`. All images are synthetic. Does D²4FAD, trained so that SSD
cannot be nought by giving every image the same features, come near `mirrored-patch`, which needs no training?
{DRAWS} draws of {SHOTS} supports at {SIDE} px, {len(SEEDS)} training seeds; {steps} steps of {TASKS_IN_BATCH} tasks
with {OF_TASK} images each, supports among the images of the same task, Adam with a rate of {RATE}; the last weights are
taken.

- "no gradient through supports": `stop_gradient`. "spread kept": a term max(0, 1 - std g / std f), mean over channels,
  sum over levels, weight {SPREAD_WEIGHT:g}; g the student's features, f the teacher's. "lambda 1, then 0.1": TSD at
  full weight in the first half of the steps.
- Trained on the other tasks of the same world. "procedural tasks": on {PROCEDURAL_TASKS} tasks of painters and
  fractals in random styles, among them the painter of the task itself in other styles, which is in favour of these
  rows.
- "released" and "paper" are the two published readings of the same trained detectors. The difference to
  `mirrored-patch` has a 95 % interval over draws, test images and seeds (paired); no correction for the number of rows.

"""


if __name__ == "__main__":
    main()
