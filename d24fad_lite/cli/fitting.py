"""`d24fad fit` and `d24fad pretrain`: training, resumable by saying the same command again."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from d24fad_lite.cli.errors import resumable, say, tell
from d24fad_lite.cli.options import (
    TEACHER_HELP,
    Device,
    TeacherModule,
    import_teacher,
    make_config,
    require_writable,
)
from d24fad_lite.csv_files import write_frame
from d24fad_lite.listings import names_of
from d24fad_lite.training.settings import FitSettings

if TYPE_CHECKING:
    from d24fad_lite.model.config import D24FADConfig
    from d24fad_lite.training.history import History


LeftOut = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TASK",
        help='Task that training must not see; comma or repeat; a name with a comma in "..".  [default: none]',
    ),
]
PresetTeacher = Annotated[str, typer.Option(metavar="NAME", help=f"{TEACHER_HELP}  [default: the preset's; resnet18]")]
PresetWeights = Annotated[
    str,
    typer.Option(
        metavar="SOURCE",
        help="embedded (shipped), imagenet (from a cache, a package or the network), "
        "local (never downloaded), random, local-dir:FOLDER, or the path of a checkpoint. Of hf: local, download or "
        "random.  [default: the preset's; embedded; of hf: local]",
    ),
]
Switches = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A switch of D24FADConfig, e.g. distance=pointwise; repeat."),
]


def fit(
    out: Annotated[Path, typer.Option(help="Folder for model.safetensors, history.csv and the state of training.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="ROOT",
            show_default=False,
            help="Folder of tasks to train on: ROOT/TASK/train/good. Not asked for by a --method that is not trained.",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="d24fad, or one of its halves alone: tsd-only, ssd-only; nearest-patch, mirrored-patch, mean-feature, "
            "matched and untrained are not trained, and saved at once.",
        ),
    ] = "d24fad",
    leave_out: LeftOut = None,
    teacher: PresetTeacher = "",
    weights: PresetWeights = "",
    teacher_module: TeacherModule = "",
    image_size: Annotated[int, typer.Option(metavar="PX", help="Side of the square images in pixels.")] = 128,
    preset: Annotated[
        str,
        typer.Option(
            help="kit, official (the released code's arithmetic), paper or matched (as kit, read as matched)."
        ),
    ] = "kit",
    reading: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="How the saved detector is read unless evaluate or predict say otherwise: released, "
            "paper or matched.  [default: the preset's; released]",
        ),
    ] = "",
    switch: Switches = None,
    shots: Annotated[int, typer.Option(help="Supports K per query.")] = FitSettings.shots,
    epochs: Annotated[int, typer.Option(help="Passes over the training images; the method: 70.")] = FitSettings.epochs,
    seed: Annotated[int, typer.Option(min=0, help="Of the initial weights and the episodes.")] = FitSettings.seed,
    batch_size: Annotated[int, typer.Option(help="Queries per step.")] = FitSettings.batch_size,
    lr: Annotated[float, typer.Option(help="Learning rate of Adam.")] = FitSettings.lr,
    lr_schedule: Annotated[
        str, typer.Option(help="constant (the method), or cosine: a rise, then down to nothing.")
    ] = FitSettings.lr_schedule,
    episodes: Annotated[
        str, typer.Option(help="independent (the method), or in-batch (about K times faster).")
    ] = FitSettings.episodes,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = FitSettings.precision,
    validation: Annotated[
        float, typer.Option(help="Fraction of the training normals held out for val_loss.")
    ] = FitSettings.validation,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a lower val_loss.  [default: never]")
    ] = FitSettings.patience,
    ema: Annotated[
        float, typer.Option(help="Decay of averaged weights, below 1, e.g. 0.99; 0: the last ones.")
    ] = FitSettings.ema,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option(help="Go on from the last full epoch found in --out.")] = True,
) -> None:
    """Train a detector on all tasks except one, so that the one left out can be tested as an unseen task.

    Why: the detector must work on a kind of image that it never saw; only normal training images of the other tasks
    are used, nothing of any test set. Stop with Ctrl-C at any time: the same command goes on from the last epoch, to
    the same weights.

    \b
    Examples:
      d24fad fit --data samples --leave-out RSNA --out run
      d24fad fit --data my_tasks --leave-out HIS --weights imagenet --epochs 70 --precision bf16 --out run
      d24fad fit --data my_tasks --validation 0.2 --patience 5 --set weighting=mean --out run
      d24fad fit --data my_tasks --leave-out HIS --preset paper --reading matched --out run
      d24fad fit --data my_tasks --teacher-module my_package.nets:squeezenet --out run
      d24fad fit --method nearest-patch --teacher wide_resnet50_2 --weights imagenet --out run
    """
    from d24fad_lite.data.benchmark import open_benchmark, task_names
    from d24fad_lite.evaluation.baselines.by_name import named_method
    from d24fad_lite.model.detector import D24FAD
    from d24fad_lite.model.device import pick_device
    from d24fad_lite.training.fit import fit as train
    from d24fad_lite.training.processes import is_main

    settings = FitSettings(
        shots=shots,
        epochs=epochs,
        seed=seed,
        batch_size=batch_size,
        lr=lr,
        lr_schedule=lr_schedule,
        episodes=episodes,
        precision=precision,
        validation=validation,
        patience=patience,
        ema=ema,
    )
    own = import_teacher(teacher_module) if teacher_module else teacher
    config = make_config(preset, switch, reading, teacher=own, weights=weights, image_size=image_size, seed=seed)
    if not named_method(method, "--method").trained:
        return _save_untrained(method, config, settings, out)
    if data is None:
        raise ValueError(f"--data ROOT is missing: --method {method} is trained on the normal images of other tasks")
    left_out = names_of(leave_out, task_names(data))
    tasks = open_benchmark(data).without(*left_out)
    if not tasks:
        raise ValueError(f"nothing is left to train on: --leave-out {', '.join(left_out)} names every task in {data}")
    pick_device(device, "--device")
    require_writable(out)
    model = D24FAD(named_method(method).settings(config))
    shown: Any = True if sys.stderr.isatty() else EpochLines(epochs)
    with resumable("the same command goes on from the last full epoch"):
        history = train(model, tasks, **settings.keywords(), out=out, resume=resume, device=device, progress=shown)
    if not is_main():
        return  # the first of several processes writes and tells
    facts = dict(trained_on=list(tasks), left_out=left_out, shots=shots, seed=seed, epochs=history.kept_epoch)
    path = model.save(out / "model.safetensors", **facts)
    _conclude(history, epochs, list(tasks), path)


class EpochLines:
    """A line on stderr for each epoch, where nobody watches a bar: a log, a cluster, a pipe.

    Parameters
    ----------
    epochs : how many the training has
    """

    def __init__(self, epochs: int) -> None:
        self.epochs, self.seconds = epochs, 0.0
        self.count = 0

    def __call__(self, row: dict[str, Any]) -> None:
        """Say what a row of the history holds, and how long the rest will take at the pace so far."""
        self.count, self.seconds = self.count + 1, self.seconds + row["seconds"]
        held_out = "" if math.isnan(row["val_loss"]) else f", held out {row['val_loss']:.4f}"
        left = (self.epochs - row["epoch"]) * self.seconds / self.count
        say(
            f"epoch {row['epoch']} of {self.epochs}: loss {row['loss']:.4f} (TSD {row['loss_tsd']:.4f}, "
            f"SSD {row['loss_ssd']:.4f}{held_out}), {row['seconds']:.1f} s, about {left:.0f} s left"
        )


def _save_untrained(method: str, config: D24FADConfig, settings: FitSettings, out: Path) -> None:
    """Write the detector of a method that is not trained; name the settings of training that were given for nothing."""
    from d24fad_lite.evaluation.baselines.by_name import create_detector

    require_writable(out)
    path = create_detector(method, config).save(out / "model.safetensors", trained_on=[])
    usual, own = FitSettings().keywords() | {"seed": settings.seed}, settings.keywords()
    unused = [f"--{name.replace('_', '-')}" for name, value in own.items() if value != usual[name]]
    ignored = f", so {', '.join(unused)} changed nothing" if unused else ""
    tell(f"{method} is not trained{ignored}; saved {path}")


def _conclude(history: History, epochs: int, tasks: list[str], path: Path) -> None:
    """Write the history beside the model and say in a few lines what was trained."""
    write_frame(path.parent / "history.csv", history.to_frame())
    count = len(history)
    if count > epochs:
        say(f"note: {path.parent} already held {count} epochs, more than --epochs {epochs}; the model has all of them")
    tell(
        f"{count} epoch{'s' * (count > 1)} on {', '.join(tasks)}: loss {history.rows[0]['loss']:.4f} -> "
        f"{history.final_loss:.4f}, weights of epoch {history.kept_epoch}"
    )
    tell(f"saved {path}")


def pretrain(
    out: Annotated[Path, typer.Option(help="Folder for the fractals, the checkpoints and teacher.safetensors.")],
    steps: Annotated[
        int,
        typer.Option(min=0, help="Optimiser steps of a single stage, for a try; 0: the stages of the shipped weights."),
    ] = 0,
    architecture: Annotated[str, typer.Option(metavar="NAME", help="timm model to train.")] = "resnet18",
    seed: Annotated[int, typer.Option(min=0, help="Of the fractals, the initial weights and the views.")] = 0,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint found in --out.")] = True,
    probe: Annotated[
        Path | None,
        typer.Option(
            metavar="ROOT",
            help="Afterwards, measure the teacher on this folder of tasks, beside a random one.",
            show_default=False,
        ),
    ] = None,
    embed: Annotated[
        bool, typer.Option("--embed", help="Afterwards, store it as the weights that weights='embedded' loads.")
    ] = False,
) -> None:
    """Make a teacher from nothing but formulas: a classifier of fractals, without a single photograph.

    Why: to see where the embedded weights come from, to repeat them, or to make some for another backbone. Takes from
    minutes on a GPU to about an hour on two cores; stop with Ctrl-C, and the same command goes on.

    \b
    Examples:
      d24fad pretrain --out teacher
      d24fad pretrain --out teacher --probe samples
      d24fad pretrain --out teacher50 --architecture resnet50
      d24fad fit --data samples --leave-out RSNA --weights teacher/teacher.safetensors --out run
    """
    from d24fad_lite.data.benchmark import open_benchmark
    from d24fad_lite.model.device import pick_device
    from d24fad_lite.training.pretrain.recipe import Recipe, Stage
    from d24fad_lite.training.pretrain.recipe import pretrain as train

    stages = (Stage(steps),) if steps else Recipe.stages
    recipe = Recipe(architecture=architecture, seed=seed, stages=stages)
    if probe is not None:
        open_benchmark(probe)  # a wrong folder is named before an hour of work, not after
    require_writable(out)
    with resumable("the same command goes on from the last checkpoint"):
        path = train(out, recipe, device=pick_device(device, "--device"), resume=resume, progress=sys.stderr.isatty())
    tell(f"saved {path}")
    if embed:
        from d24fad_lite.training.pretrain.export import export

        tell(f"stored {export(path)}")
    if probe is not None:
        _probe(architecture, path, probe)


def _probe(architecture: str, weights: Path, data: Path) -> None:
    """Measure the teacher beside one of random weights, and print both with their difference."""
    from d24fad_lite.data.benchmark import open_benchmark
    from d24fad_lite.evaluation.baselines.teacher_probe import probe_teachers
    from d24fad_lite.model.teacher import Teacher

    teachers = {"random": Teacher(architecture, "random"), "fractals": Teacher(architecture, str(weights))}
    probed = probe_teachers(teachers, open_benchmark(data), progress=sys.stderr.isatty())
    shown = next(iter(probed.reports.values()))
    tell(
        f"image AUROC of the nearest support patch (max / mean of its distances), per image, K = {shown.shots}, "
        f"{shown.draws} draws, {data.name}"
    )
    tell(probed.table().to_string())
    difference, low, high = probed.difference("fractals", "random")
    tell(f"fractals minus random, mean of tasks: {difference:+z.3f} [{low:+z.3f}, {high:+z.3f}]")
