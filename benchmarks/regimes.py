"""In which regime does D²4FAD's own map work? Each setting trains a student for each held-out task and reads it.

    python benchmarks/regimes.py --out DIR                           # every setting, the teacher that is at hand
    python benchmarks/regimes.py --out DIR --settings "released" "tsd first" --seeds 0 1 2 --folds RSNA APTOS
    python benchmarks/regimes.py --out DIR --table REGIMES.md        # the table of what is on disk, nothing trained

The tasks are drawn from the sample world at a development seed, never at the shipped one; supports and test images are
those of the held-out task, training images those of the others (and their styles, `d2.styled_tasks`). Every cell keeps
its scores, so a run that was stopped goes on. Each setting stands beside its untrained twin: the same initial student,
the same draws of supports, the same test images, so differences are paired.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from change_intervals import interval, resampled

import d24fad_lite as d2
from d24fad_lite.model.weights.local import best_local_teacher

MAPS = {
    "released": ("released", {}),
    "tsd": ("released", {"map_source": "tsd"}),
    "paper": ("paper", {}),
    "untrained twin": ("released", {}),
    "matched": ("matched", {}),
}
BATCH = 16


@dataclass(frozen=True)
class Regime:
    """How a student is trained: everything beside the images and the teacher.

    steps: of the optimiser, in batches of 16 queries; 0 leaves the student untrained. styles: styled tasks beside the
    real ones. first: share of the steps with TSD alone, before both losses. config: further settings of D24FADConfig.
    """

    lambda_tsd: float = 0.1
    lambda_ssd: float = 1.0
    lr: float = 1e-4
    steps: int = 300
    styles: int = 0
    first: float = 0.0
    lr_schedule: str = "cosine"
    stop_gradient: bool = False
    distance: str = "flattened"
    attention_scale: str = "channels"
    weighting: str = "learned"
    student_padding: str = "zeros"

    def config(self, **changes: Any) -> dict[str, Any]:
        names = (
            "lambda_tsd",
            "lambda_ssd",
            "stop_gradient",
            "distance",
            "attention_scale",
            "weighting",
            "student_padding",
        )
        return {name: getattr(self, name) for name in names} | changes


def _settings() -> dict[str, Regime]:
    fast: dict[str, Any] = dict(lr=5e-3)
    many: dict[str, Any] = dict(styles=100, **fast)
    rows = {"released, lr 1e-4": Regime(), "released, lr 5e-3": Regime(**fast)}
    for tsd, ssd in ((1.0, 0.1), (1.0, 1.0), (1.0, 0.01), (1.0, 0.0), (0.0, 1.0), (0.3, 1.0)):
        for styles in (0, 16, 100):
            rows[f"lambda {tsd:g} : {ssd:g}, {styles + 4} tasks"] = Regime(tsd, ssd, styles=styles, **fast)
    rows |= {
        "released, 104 tasks": Regime(**many),
        "stop-gradient, released": Regime(stop_gradient=True, **fast),
        "stop-gradient, 1 : 1, 104 tasks": Regime(1, 1, stop_gradient=True, **many),
        "TSD first, then released, 104 tasks": Regime(first=0.7, **many),
        "TSD first, then 1 : 1, 4 tasks": Regime(1, 1, first=0.7, **fast),
        "pointwise, 1 : 0.1, 104 tasks": Regime(1, 0.1, distance="pointwise", **many),
        "element-scaled attention, 1 : 0.1, 104 tasks": Regime(1, 0.1, attention_scale="elements", **many),
        "uniform weights, 1 : 0.1, 104 tasks": Regime(1, 0.1, weighting="mean", **many),
        "reflecting student, 1 : 0.1, 104 tasks": Regime(1, 0.1, student_padding="reflect", **many),
        "30 steps, 1 : 0.1, 104 tasks": Regime(1, 0.1, styles=100, lr=1e-3, steps=30),
        "lr 1e-4, 1 : 0.1, 104 tasks": Regime(1, 0.1, styles=100),
        "constant lr 1e-3, 1 : 0.1, 4 tasks": Regime(1, 0.1, lr=1e-3, lr_schedule="constant"),
        "1,000 steps, 1 : 0.1, 104 tasks": Regime(1, 0.1, steps=1000, **many),
        "1,000 steps, 1 : 1, 104 tasks": Regime(1, 1, steps=1000, **many),
    }
    return rows


SETTINGS = _settings()


class Study:
    """The world, the teacher and the folder of a run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.o, self.out = options, Path(options.out)
        teacher, weights, notice = best_local_teacher()
        if options.teacher:
            teacher, weights, notice = options.teacher, options.weights, None
        if notice:
            print(notice)
        self.config = d2.D24FADConfig(teacher=teacher, weights=weights)
        self.teacher = d2.D24FAD(self.config).teacher
        self.bench = d2.open_benchmark(self._world())
        self.folds = options.folds or list(self.bench)
        self._styled: dict[tuple[str, int], Any] = {}

    def _world(self) -> Path:
        from d24fad_lite.data.samples.world import write_samples

        if self.o.root:
            return Path(self.o.root)
        folder = self.out / f"world-{self.o.level}-seed{self.o.world_seed}"
        if not folder.is_dir():
            write_samples(folder, seed=self.o.world_seed, severity=self.o.level, train=40, test=self.o.test_images)
        return folder

    def tasks(self, held_out: str, styles: int) -> Any:
        key = held_out, styles
        if key not in self._styled:
            self._styled[key] = d2.styled_tasks(self.bench.without(held_out), styles, seed=0, images=16)
        return self._styled[key]

    def model(self, regime: Regime, seed: int, **changes: Any) -> d2.D24FAD:
        model = d2.D24FAD(self.config.replace(seed=seed, **regime.config(**changes)))
        model.teacher = self.teacher
        return model


def train(study: Study, regime: Regime, held_out: str, seed: int) -> d2.D24FAD:
    """A student of the other tasks and their styles."""
    model = study.model(regime, seed)
    if regime.steps == 0:
        return model.eval()
    tasks = study.tasks(held_out, regime.styles)
    images = sum(len(task.train) for task in tasks.values())
    parts = [(regime.first, {"lambda_ssd": 0.0}), (1 - regime.first, {})]
    for share, changes in parts:
        if share == 0:
            continue
        part = study.model(regime, seed, **changes)
        part.load_trainable_state_dict(model.trainable_state_dict())
        epochs = max(1, round(regime.steps * share * BATCH / images))
        d2.fit(
            part,
            tasks,
            shots=study.o.shots,
            epochs=epochs,
            seed=seed,
            lr=regime.lr,
            batch_size=BATCH,
            episodes="in-batch",
            lr_schedule=regime.lr_schedule,
            cache="disk",
            device="cpu",
            progress=False,
        )
        model = part
    return model.eval()


@torch.no_grad()
def losses(study: Study, model: d2.D24FAD, held_out: str) -> dict[str, float]:
    """TSD and SSD of normal images of the held-out task, each against four others, in eval mode."""
    count = min(24, len(study.bench[held_out].train))
    images = study.bench[held_out].train.images(model.config.image_size, range(count))
    rows = torch.tensor([[(i + j + 1) % count for i in range(count)] for j in range(4)])
    out = model(study.teacher(images), support_rows=rows)
    return {"tsd": float(out.loss_tsd), "ssd": float(out.loss_ssd)}


def cell(study: Study, name: str, held_out: str, seed: int) -> None:
    """Train one student, score the held-out task under every map, and keep scores and losses."""
    folder = study.out / "cells" / name.replace(" ", "_").replace(":", "-").replace(",", "") / held_out
    target = folder / f"seed{seed}.npz"
    if target.is_file():
        return
    began, regime = time.perf_counter(), SETTINGS[name]
    model = train(study, regime, held_out, seed)
    trained = time.perf_counter() - began
    twin = study.model(regime, seed).eval()
    facts = {
        "before": losses(study, twin, held_out),
        "after": losses(study, model, held_out),
        "seconds": trained,
        "regime": asdict(regime),
    }
    kept: dict[str, np.ndarray] = {}
    for map_name, (reading, switches) in MAPS.items():
        if map_name == "matched" and name != next(iter(SETTINGS)):
            continue  # nothing trained is read by it: once is enough
        source = twin if map_name == "untrained twin" else model
        report = d2.evaluate(source.read_as(reading, **switches), study.bench[held_out], study.o.shots, study.o.draws)
        kept[f"{map_name} scores"] = report.scores.astype(np.float32)
        kept[f"{map_name} pixel"] = np.array(report.pixel_aurocs if report.pixel_aurocs is not None else [np.nan])
    folder.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial.npz")
    np.savez(partial, facts=json.dumps(facts), **kept)
    partial.replace(target)
    print(
        f"{name} | {held_out} | seed {seed}: {trained:.0f} s, TSD {facts['before']['tsd']:.2f} -> "
        f"{facts['after']['tsd']:.2f}, SSD {facts['before']['ssd']:.2f} -> {facts['after']['ssd']:.3f}",
        flush=True,
    )


def rows_of(study: Study, name: str) -> dict[str, Any] | None:
    """One line of the table, over the folds and seeds that are on disk; None where a fold is missing."""
    sums: dict[str, list[Any]] = {}
    for index, held_out in enumerate(study.folds):
        folder = study.out / "cells" / name.replace(" ", "_").replace(":", "-").replace(",", "") / held_out
        stored = [np.load(path) for path in sorted(folder.glob("seed*.npz")) if ".partial" not in path.name]
        if not stored:
            return None
        for map_name in MAPS:
            if f"{map_name} scores" in stored[0]:
                scores = np.stack([s[f"{map_name} scores"] for s in stored])
                sums.setdefault(map_name, []).append(resampled(study.bench[held_out], scores, index))
                sums.setdefault(f"{map_name} pixel", []).append(np.mean([s[f"{map_name} pixel"] for s in stored]))
        facts = [json.loads(str(s["facts"])) for s in stored]
        for when in ("before", "after"):
            for loss in ("tsd", "ssd"):
                sums.setdefault(f"{loss} {when}", []).append(np.mean([f[when][loss] for f in facts]))
        sums.setdefault("seeds", []).append(len(stored))
    mean = {key: np.mean(values, axis=0) for key, values in sums.items()}
    row: dict[str, Any] = {"setting": name, "seeds": int(min(sums["seeds"]))}
    for map_name in ("released", "untrained twin", "tsd", "paper", "matched"):
        if map_name in mean:
            row |= interval(map_name, mean[map_name]) | {f"{map_name} pixel": float(mean[f"{map_name} pixel"])}
    row |= interval("gain", mean["released"] - mean["untrained twin"])
    return row | {key: float(mean[key]) for key in ("tsd before", "tsd after", "ssd before", "ssd after")}


def table(study: Study) -> str:
    """Every setting on disk as Markdown, best released map first."""
    rows = [row for name in SETTINGS if (row := rows_of(study, name))]
    rows.sort(key=lambda row: -row["released"])
    o = study.o
    where = (
        f"the tasks of {Path(o.root).name}"
        if o.root
        else (f"sample world (synthetic), level {o.level}, development seed {o.world_seed}")
    )
    text = [
        f"Image AUROC / pixel AUROC, mean over {len(study.folds)} held-out tasks ({', '.join(study.folds)}), "
        f"{where}; per image, K = {o.shots}, {o.draws} draws, teacher {study.config.teacher} "
        f"({study.config.weights}). 95 % intervals over seeds, draws and test images; gains are paired.",
        "",
        "| setting | seeds | TSD on unseen normals | SSD | released map, trained | its untrained twin | gain "
        "| TSD map | both maps (paper) |",
        "|---" * 9 + "|",
    ]
    text += [
        f"| {row['setting']} | {row['seeds']} | {row['tsd before']:.2f} -> {row['tsd after']:.2f} "
        f"| {row['ssd before']:.2f} -> {row['ssd after']:.3f} | {spread(row, 'released')} / "
        f"{row['released pixel']:.2f} | {row['untrained twin']:.3f} / {row['untrained twin pixel']:.2f} | "
        f"{spread(row, 'gain', '+')} | {row['tsd']:.3f} / {row['tsd pixel']:.2f} | {row['paper']:.3f} / "
        f"{row['paper pixel']:.2f} |"
        for row in rows
    ]
    best = next((row for row in rows if "matched" in row), None)
    if best:
        text += [
            "",
            f"Beside them, reading nothing that was trained: `matched` {spread(best, 'matched')} / "
            f"{best['matched pixel']:.2f}.",
        ]
    return "\n".join(text) + "\n"


def spread(row: dict[str, Any], name: str, sign: str = "") -> str:
    return f"{row[name]:{sign}.3f} [{row[name + ', low']:{sign}.3f}, {row[name + ', high']:{sign}.3f}]"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder of cells; kept, and gone on with")
    parser.add_argument(
        "--settings", nargs="+", choices=list(SETTINGS), metavar="NAME", help="some of: " + "; ".join(SETTINGS)
    )
    parser.add_argument("--folds", nargs="+", help="held-out tasks; default all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="training seeds")
    parser.add_argument("--level", default="plain", help="of the sample world: plain, medium, hard")
    parser.add_argument("--world-seed", type=int, default=3, help="of the sample world; 0 is the shipped one")
    parser.add_argument("--root", help="a folder of tasks in place of the sample world")
    parser.add_argument("--test-images", type=int, default=24, help="of each class, where the world is drawn")
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--teacher", help="timm name; default: what is at hand without a network")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--table", help="write the table of what is on disk here, and train nothing")
    options = parser.parse_args()
    if not options.root and options.world_seed == 0:
        parser.error("--world-seed 0 is the shipped world, a test set: choose another")
    return options


def main() -> None:
    study = Study(parse())
    if study.o.table:
        Path(study.o.table).write_text(table(study), encoding="utf-8")
        return
    for name in study.o.settings or SETTINGS:
        for held_out in study.folds:
            for seed in study.o.seeds:
                cell(study, name, held_out, seed)
    print(table(study))


if __name__ == "__main__":
    main()
