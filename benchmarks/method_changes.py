"""Which part of D²4FAD helps, where a plain nearest-patch baseline beats it, and which change closes the gap.

    python benchmarks/method_changes.py --out DIR                       # the samples, embedded teacher
    python benchmarks/method_changes.py --out DIR --root DATA --tasks A B C --teacher-module teacher.py

For each task and training seed: train on the other tasks, then score the task's test images under every reading of
`change_readings.py`, per image, with the same draws of supports. Baselines and shortcuts see the same draws. Each cell
is kept in DIR (scores.npz, and the training's own state), so a run that was stopped goes on; DIR/table.csv and
DIR/table.md are written at the end. A teacher module is a Python file with a function `build()` that returns an
nn.Module. Which change is best must be read from development tasks only.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from change_intervals import interval, resampled
from change_readings import READINGS, SCORES, Reading, Residuals, Scale, check_against_package
from torch import Tensor, nn

from d24fad_lite import D24FAD, D24FADConfig, Task, draw_supports, evaluate, fit, open_benchmark
from d24fad_lite.evaluation.baselines.mean_feature import MeanFeature
from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch
from d24fad_lite.evaluation.baselines.shortcuts import shortcut_reports
from d24fad_lite.evaluation.baselines.variants import self_distillation_only, teacher_student_only
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.evaluation.shared_teacher import SharedTeacher
from d24fad_lite.model.checkpoint import read_tensors
from d24fad_lite.model.features import SupportBank
from d24fad_lite.training.state import STATE_FILE

BATCH = 32
METHOD = "D²4FAD"
# What is trained anew, by name: (settings, names of the readings that are taken).
TRAININGS: dict[str, Any] = {
    "method": (lambda c: c, None),
    "elements": (lambda c: c.replace(attention_scale="elements"), "trained with element-scaled attention"),
    "tsd only": (teacher_student_only, "trained by TSD only, its map"),
    "ssd only": (self_distillation_only, "trained by SSD only, its map"),
}


class Bench:
    """The settings of a run, its tasks and its one frozen teacher."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.o = options
        self.bench = open_benchmark(options.root)
        self.tasks = options.tasks or list(self.bench)
        self.train_tasks = {name: thinned(task, options.train_images, None) for name, task in self.bench.items()}
        self.test_tasks = {name: thinned(self.bench[name], None, options.test_images) for name in self.tasks}
        self.draws = {
            name: draw_supports(len(self.bench[name].train), options.shots, options.draws, 0) for name in self.tasks
        }
        teacher: str | nn.Module = options.teacher
        if options.teacher_module:
            teacher = load_module(options.teacher_module)
        self.config = D24FADConfig(teacher=teacher, weights=options.weights, image_size=options.size)
        first = D24FAD(self.config)
        self.teacher = first.teacher
        self.scale = Scale(options.size, self.config.blur_sigma)
        settings = {
            key: str(value)
            for key, value in sorted(vars(options).items())
            if key not in ("out", "tasks", "seeds", "trainings")
        }
        settings["teacher fingerprint"] = self.teacher.fingerprint()
        stored = Path(options.out) / "settings.json"
        if stored.is_file() and json.loads(stored.read_text()) != settings:
            raise SystemExit(f"{stored} is of a run with other settings; choose another --out")
        stored.parent.mkdir(parents=True, exist_ok=True)
        write(stored, json.dumps(settings, indent=1))

    def model(self, training: str, seed: int) -> D24FAD:
        """An untrained detector; the teacher stays the same for all seeds."""
        model = D24FAD(TRAININGS[training][0](self.config).replace(seed=seed))
        model.teacher = self.teacher
        return model

    def folder(self, training: str, task: str, seed: int) -> Path:
        return Path(self.o.out) / training.replace(" ", "_") / task / f"seed{seed}"


def thinned(task: Task, train: int | None, test: int | None) -> Task:
    """At most so many normal training images, and test images of each class, evenly spaced in file order."""
    part = copy.copy(task)
    if train is not None and train < len(task.train):
        part.train = task.train.subset(spaced(np.arange(len(task.train)), train))
    if test is not None:
        rows = [spaced(np.flatnonzero(task.test.labels == label), test) for label in (0, 1)]
        part.test = task.test.subset(np.sort(np.concatenate(rows)))
    return part


def spaced(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the rows, evenly spaced."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]


def load_module(path: Path) -> nn.Module:
    """What `build()` in a Python file returns."""
    spec = importlib.util.spec_from_file_location("teacher_module", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build()


def train(bench: Bench, training: str, task: str, seed: int) -> dict[str, D24FAD]:
    """The detector before training, at its end, and with averaged weights, all from one run."""
    o, folder = bench.o, bench.folder(training, task, seed)
    averaged = bench.model(training, seed)
    others = {name: other for name, other in bench.train_tasks.items() if name != task}
    fit(
        averaged,
        others,
        shots=o.shots,
        epochs=o.epochs,
        seed=seed,
        lr=o.lr,
        ema=o.ema,
        episodes="in-batch",
        out=folder,
        progress=False,
    )
    tensors, _ = read_tensors(folder / STATE_FILE)
    last = bench.model(training, seed)
    last.load_trainable_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    return {"initial": bench.model(training, seed), "last": last, "averaged": averaged}


def readings_of(training: str, config: D24FADConfig) -> list[Reading]:
    """All readings for the method; for other trainings their own map at the end and averaged."""
    name = TRAININGS[training][1]
    if name is None:
        return READINGS
    part = "tsd" if config.map_source == "tsd" else "elements" if training == "elements" else "weighted"
    settings = dict(map_source=config.map_source, attention_scale=config.attention_scale)
    return [Reading(name, (part,), settings), Reading(f"EMA: {name}", (part,), settings, "averaged")]


def score(
    bench: Bench,
    readings: list[Reading],
    models: dict[str, D24FAD],
    task: Task,
    seen: SharedTeacher,
    frozen: dict[int, dict[str, Any]],
) -> np.ndarray:
    """Scores [readings, 2, D, N] of all test images."""
    draws = bench.draws[task.name]
    unique, places = np.unique(draws, return_inverse=True)
    places = places.reshape(draws.shape)
    images = task.train.images(bench.o.size, unique)
    used = {r.weights for r in readings}
    with torch.no_grad():
        views = {name: both_spaces(model) for name, model in models.items() if name in used}
        banks = {name: encode(model, seen, images) for name, model in views.items()}
        mirrored = seen(images.flip(3)).levels
        blocks = []
        for start in range(0, len(task.test), BATCH):
            features = seen(task.test.images(bench.o.size, np.arange(start, min(start + BATCH, len(task.test)))))
            kept = frozen.setdefault(start, {})
            parts = {
                name: Residuals(model, model.encode_queries(features), banks[name], mirrored, places, kept)
                for name, model in views.items()
            }
            block = torch.stack([bench.scale.scores(added(parts[r.weights], r)) for r in readings])
            if start == 0:
                for reading, values in zip(readings, block, strict=True):
                    check_against_package(views[reading.weights], reading, parts[reading.weights], values)
            blocks.append(block)
    return torch.cat(blocks, dim=3).numpy()


def added(parts: Residuals, reading: Reading) -> list[Tensor]:
    """Per level the sum of a reading's residuals."""
    return [sum(levels[1:], levels[0]) for levels in zip(*(parts.part(name) for name in reading.parts), strict=True)]


def both_spaces(model: D24FAD) -> D24FAD:
    """The same detector, whose banks also hold the supports' teacher levels."""
    model.config = model.config.replace(compare_in="both")
    return model.eval()


def encode(model: D24FAD, seen: SharedTeacher, images: Tensor) -> SupportBank:
    """A bank of supports, in parts of one batch."""
    return SupportBank.join([model.encode_supports(seen(part)) for part in images.split(BATCH)])


def cells(bench: Bench) -> None:
    """Train and score whatever is not on disk yet, task by task."""
    todo = [(task, training, seed) for task in bench.tasks for training in bench.o.trainings for seed in bench.o.seeds]
    seen, frozen, current = None, {}, None
    for count, (name, training, seed) in enumerate(todo, start=1):
        target = bench.folder(training, name, seed) / "scores.npz"
        if target.is_file():
            continue
        if current != name:
            seen, frozen, current = SharedTeacher(bench.teacher, 2**31), {}, name
        began = time.process_time()
        models = train(bench, training, name, seed)
        trained = time.process_time()
        readings = readings_of(training, bench.model(training, seed).config)
        values = score(bench, readings, models, bench.test_tasks[name], seen, frozen)
        partial = target.with_suffix(".partial.npz")
        np.savez(partial, scores=values.astype(np.float32), names=[r.name for r in readings])
        partial.replace(target)
        print(
            f"{count}/{len(todo)} {name}, {training}, seed {seed}: trained {trained - began:.0f} s, "
            f"scored {time.process_time() - trained:.0f} s (CPU)",
            flush=True,
        )


def baselines(bench: Bench, name: str) -> dict[str, EvaluationReport]:
    """Nearest patch, mean feature and the best shortcut on the same draws; kept on disk."""
    folder, task, o = Path(bench.o.out) / "baselines" / name, bench.test_tasks[name], bench.o
    seen = SharedTeacher(bench.teacher, 2**31)
    scorers = [
        NearestPatch(seen, None, "max", maps=False),
        NearestPatch(seen, None, "mean", maps=False),
        MeanFeature(seen),
    ]
    reports = {}
    for scorer in scorers:
        place = folder / scorer.name.replace(" ", "_").replace(",", "")
        if not (place / "report.json").is_file():
            evaluate(scorer, task, o.shots, o.draws, 0, pixel=False).save(place)
        reports[scorer.name] = EvaluationReport.load(place)
    if not (folder / "shortcut" / "report.json").is_file():
        best = max(shortcut_reports(task, reports[scorers[0].name], o.size), key=lambda report: report.auroc)
        best.save(folder / "shortcut")
    reports["best shortcut"] = EvaluationReport.load(folder / "shortcut")
    return reports


def gather(bench: Bench, name: str) -> dict[tuple[str, str], np.ndarray]:
    """(method, image score) -> scores [seeds, D, N] of what is on disk."""
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for training in bench.o.trainings:
        for seed in bench.o.seeds:
            path = bench.folder(training, name, seed) / "scores.npz"
            if path.is_file():
                with np.load(path) as stored:
                    for method, values in zip(stored["names"], stored["scores"], strict=True):
                        for kind, rows in zip(SCORES, values, strict=True):
                            found.setdefault((str(method), kind), []).append(rows)
    table = {key: np.stack(rows) for key, rows in found.items()}
    for method, report in baselines(bench, name).items():
        base, kind = method.rsplit(", ", 1) if method.startswith("nearest patch") else (method, "-")
        table[base, kind] = report.scores[None]
    return table


def tabulate(bench: Bench) -> pd.DataFrame:
    """One row per task, method and image score, and the mean over tasks; differences are paired."""
    rows, sampled = [], {}
    for index, name in enumerate(bench.tasks):
        task = bench.test_tasks[name]
        for key, scores in gather(bench, name).items():
            sampled[name, *key] = (resampled(task, scores, index), scores.shape[0])
    keys = list(dict.fromkeys(key[1:] for key in sampled))
    for name in [*bench.tasks, "mean over tasks"]:
        members = bench.tasks if name == "mean over tasks" else [name]
        usable = [key for key in keys if all((task, *key) in sampled for task in members)]
        means = {key: np.mean([sampled[task, *key][0] for task in members], axis=0) for key in usable}
        patch = max((key for key in usable if key[0] == "nearest patch"), key=lambda key: means[key][0])
        for key in usable:
            reference = means[METHOD, key[1]] if (METHOD, key[1]) in means else means[METHOD, "max"]
            rows.append(
                {
                    "task": name,
                    "method": key[0],
                    "image score": key[1],
                    "seeds": min(sampled[task, *key][1] for task in members),
                    **interval("AUROC", means[key]),
                    **interval("over D²4FAD", means[key] - reference),
                    **interval(f"over {' '.join(patch)}", means[key] - means[patch]),
                }
            )
    return pd.DataFrame(rows)


def markdown(bench: Bench, frame: pd.DataFrame) -> str:
    """One table per task, best first."""
    o = bench.o
    teacher = "of a module" if o.teacher_module else f"{o.teacher}, {o.weights} weights"
    text = [
        f"Image AUROC, per image, K = {o.shots}, {o.draws} draws, training seeds {o.seeds}, {o.epochs} epochs of "
        f"{o.train_images or 'all'} images of each training task (in-batch episodes, lr {o.lr}), EMA decay "
        f"{o.ema}, {o.size} px, teacher {teacher}. Intervals: 95 %, seeds, draws and test images resampled; "
        'differences paired; "over D²4FAD" against the same image score.'
    ]
    for name, part in frame.groupby("task", sort=False):
        task = bench.test_tasks.get(name)
        size = (
            ""
            if task is None
            else f" (test: {int((task.test.labels == 0).sum())} normal, {int((task.test.labels == 1).sum())} anomalous)"
        )
        part = part.dropna(axis=1, how="all").sort_values("AUROC", ascending=False)
        heads = [c for c in part.columns[4:] if not c.endswith((", low", ", high"))]
        text += [
            "",
            f"### {name}{size}",
            "",
            "| method | score | seeds | " + " | ".join(heads) + " |",
            "|---|---|---|" + "---|" * len(heads),
        ]
        for row in part.to_dict("records"):
            values = [
                f"{row[h]:{'+' if h != 'AUROC' else ''}.3f} [{row[h + ', low']:.3f}, {row[h + ', high']:.3f}]"
                for h in heads
            ]
            text.append(f"| {row['method']} | {row['image score']} | {row['seeds']} | " + " | ".join(values) + " |")
    return "\n".join(text) + "\n"


def write(path: Path, text: str) -> None:
    """All of it or nothing."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def main() -> None:
    """Train, score, tabulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the cells and tables")
    parser.add_argument("--root", type=Path, default=Path("data_samples"), help="folder of tasks")
    parser.add_argument("--tasks", nargs="*", help="tasks to hold out in turn (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="training seeds")
    parser.add_argument("--trainings", nargs="+", default=["method"], choices=list(TRAININGS))
    parser.add_argument("--teacher", default="resnet18", help="timm name")
    parser.add_argument("--weights", default="embedded", help="of the teacher, as in D24FADConfig")
    parser.add_argument("--teacher-module", type=Path, help="Python file with build() -> nn.Module")
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--ema", type=float, default=0.95)
    parser.add_argument("--train-images", type=int, help="at most so many normal images of each training task")
    parser.add_argument("--test-images", type=int, help="at most so many test images of each class")
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    bench = Bench(options)
    cells(bench)
    frame = tabulate(bench)
    frame.to_csv(options.out / "table.csv", index=False)
    write(options.out / "table.md", markdown(bench, frame))
    print(f"written: {options.out / 'table.csv'} and table.md")


if __name__ == "__main__":
    main()
