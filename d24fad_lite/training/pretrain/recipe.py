"""The recipe of the embedded teacher: a classifier of fractals, one seed, one command, resumable to the bit.

On a CPU with two cores it takes under an hour. Nothing about any test image chooses anything here; what the finished
teacher is worth is measured by `evaluation.teacher_probe`.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from tqdm.auto import tqdm

from d24fad_lite.files import plain
from d24fad_lite.model.checkpoint import CheckpointError, read_tensors, write_tensors
from d24fad_lite.model.device import pick_device
from d24fad_lite.model.weights.hub import timm_config
from d24fad_lite.sole_writer import sole_writer
from d24fad_lite.training.pretrain.fractals import fractal_bank
from d24fad_lite.training.pretrain.views import draw_views
from d24fad_lite.training.state import optimizer_tensors, restore_optimizer

STATE_FILE, RESULT_FILE = "pretrain_state.safetensors", "teacher.safetensors"


@dataclass(frozen=True)
class Stage:
    """A stretch of the run with its own learning rate and views; weights and optimiser go on from one to the next."""

    steps: int = 6000
    lr: float = 2e-3  # AdamW, warm-up over 2 % of the steps, then cosine to 0
    texture: float = 0.3  # of the views, see draw_views
    camera: float = 0.3
    grey: float = 0.15
    ramp: float = 0.4  # hardness grows over this share of the steps: from the hardest views alone it takes off late


POLISH = Stage(steps=1500, lr=7e-4, texture=0.0, camera=0.15, grey=0.1, ramp=0.0)


@dataclass(frozen=True)
class Recipe:
    """Everything that the weights of a pre-trained teacher depend on; the defaults are those of the shipped ones.

    Parameters
    ----------
    architecture : str, default "resnet18"
        timm name of the classifier.
    classes, instances : int, default 1000 and 24
        Iterated function systems, and pictures of each.
    bank_size, image_size : int, default 80 and 64
        Side in pixels of the drawn fractals, and of the views that are trained on.
    stages : tuple of Stage, default Stage() and POLISH
        Stretches of the run, each with its own steps, learning rate and views.
    batch_size : int, default 128
    weight_decay : float, default 0.05
        Of AdamW.
    label_smoothing : float in 0..1, default 0.0
    hardness : float in 0..1, default 1.0
        Of the views at the end of a stage's ramp, see `draw_views`.
    precision : {"bf16", "fp32"}, default "bf16"
        Of the forward pass.
    seed : int, default 0
        Of the fractals, the views and the first weights.
    """

    architecture: str = "resnet18"
    classes: int = 1000
    instances: int = 24
    bank_size: int = 80
    image_size: int = 64
    stages: tuple[Stage, ...] = (Stage(), POLISH)
    batch_size: int = 128
    weight_decay: float = 0.05
    label_smoothing: float = 0.0
    hardness: float = 1.0
    precision: str = "bf16"
    seed: int = 0

    @property
    def steps(self) -> int:
        """Number of steps of the whole run: the sum over its stages."""
        return sum(stage.steps for stage in self.stages)

    def at(self, step: int) -> tuple[Stage, int]:
        """The stage that a step of the run (from 0) belongs to, and the step's number (from 0) within that stage."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise IndexError(f"the recipe ends after {self.steps} steps")

    def facts(self) -> dict[str, Any]:
        """All fields as JSON holds them, with lists for tuples."""
        return plain(asdict(self))


@dataclass
class Progress:
    """How far a pre-training run has come, and how its loss and accuracy went."""

    step: int = 0
    seconds: float = 0.0
    loss: list[float] = field(default_factory=list)  # mean of each block of `Trainer.EVERY` steps
    accuracy: list[float] = field(default_factory=list)


class Trainer:
    """Model, optimiser and pictures of one run; a step is a pure function of (recipe, step number, weights)."""

    EVERY = 100  # steps between checkpoints

    def __init__(self, recipe: Recipe, out: Path, device: torch.device, progress: bool) -> None:
        self.recipe, self.out, self.device = recipe, out, device
        # The file's name holds all that the pictures depend on, so that no recipe takes another one's for its own.
        name = f"fractals_{recipe.classes}x{recipe.instances}_{recipe.bank_size}px_seed{recipe.seed}.npy"
        self.bank = fractal_bank(
            out / name, recipe.classes, recipe.instances, recipe.bank_size, recipe.seed, progress=progress
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            model = timm.create_model(recipe.architecture, num_classes=recipe.classes)
        self.model = model.to(device).to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), weight_decay=recipe.weight_decay)
        self.mean, self.std = (
            torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        )
        self.progress = Progress()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Normalised views [B, 3, S, S] and class numbers [B] of one step."""
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, 1, step])
        labels = rng.integers(recipe.classes, size=recipe.batch_size)
        pictures = self.bank[labels, rng.integers(recipe.instances, size=recipe.batch_size)]
        densities = torch.from_numpy(pictures).float().div_(255)[:, None]  # (B, 1, S, S)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        stage, done = recipe.at(step)
        grown = min(1.0, done / max(stage.ramp * stage.steps, 1)) if stage.ramp else 1.0
        views = draw_views(
            densities, recipe.image_size, generator, recipe.hardness * grown, stage.texture, stage.camera, stage.grey
        )
        views = ((views.to(self.device) - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        return views, torch.from_numpy(labels).to(self.device)

    def step(self) -> tuple[float, float]:
        """One optimiser step; its loss and training accuracy."""
        recipe, done = self.recipe, self.progress.step
        stage, within = recipe.at(done)
        warm = max(stage.steps // 50, 1)
        rate = min((within + 1) / warm, 0.5 * (1 + math.cos(math.pi * within / stage.steps)))
        for group in self.optimizer.param_groups:
            group["lr"] = stage.lr * rate
        views, labels = self.batch(done)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = self.model(views).float()  # (B, classes)
        loss = nn.functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.progress.step += 1
        return float(loss.detach()), float((logits.argmax(dim=1) == labels).float().mean())

    def save(self) -> None:
        """Write everything that resuming needs, atomically."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()} | optimizer_tensors(self.optimizer)
        facts = {"recipe": self.recipe.facts(), "progress": asdict(self.progress)}
        write_tensors(self.out / STATE_FILE, tensors, facts)

    def restore(self) -> None:
        """Go on from the last checkpoint, if there is one. Raises CheckpointError where it is another recipe's."""
        path = self.out / STATE_FILE
        if not path.is_file():
            return
        tensors, facts = read_tensors(path)
        if facts["recipe"] != self.recipe.facts():
            raise CheckpointError(
                f"{path} belongs to another recipe ({facts['recipe']}); choose another output "
                "folder, or resume=False to begin anew"
            )
        self.model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        restore_optimizer(self.optimizer, tensors)
        self.progress = Progress(**facts["progress"])


def pretrain(
    out: str | Path, recipe: Recipe | None = None, *, device: str = "auto", resume: bool = True, progress: bool = True
) -> Path:
    """Pre-train a teacher on fractals.

    Parameters
    ----------
    out : path
        Folder of the fractal pictures, the checkpoints and the result.
    recipe : Recipe, optional
        Default: the recipe of the weights that are shipped.
    device : {"auto", "cpu", "cuda", "mps"}, default "auto"
        "auto" takes the best device of this computer. The shipped weights were made on a CPU.
    resume : bool, default True
        Go on from the last checkpoint (every 100 steps); a resumed run ends with the same weights.
    progress : bool, default True
        Show progress bars.

    Returns
    -------
    Path of the weights, a safetensors file: `out`/teacher.safetensors.

    Raises
    ------
    CheckpointError
        The folder holds a run of another recipe.
    ValueError
        A device that this computer does not have, or a model that timm does not know.
    FolderInUse
        Another process pre-trains in the folder.
    OSError
        The folder cannot be written.
    """
    recipe, out = recipe or Recipe(), Path(out)
    name = pick_device(device)
    timm_config(recipe.architecture)  # says what is wrong with the name, before anything is drawn
    with sole_writer(out, "a pre-training"):
        trainer = Trainer(recipe, out, torch.device(name), progress)
        if resume:
            trainer.restore()
        _train(trainer, progress)
        return write_tensors(out / RESULT_FILE, _backbone(trainer.model), _facts(recipe, trainer.progress, name))


def _train(trainer: Trainer, progress: bool) -> None:
    """Take the steps that are left, with a checkpoint after every block of them."""
    total, state = trainer.recipe.steps, trainer.progress
    losses: list[float] = []
    accuracies: list[float] = []
    started = time.perf_counter()
    with tqdm(total=total, initial=state.step, desc="pre-training", unit="step", disable=not progress) as bar:
        while state.step < total:
            loss, accuracy = trainer.step()
            losses.append(loss)
            accuracies.append(accuracy)
            bar.update()
            if state.step % trainer.EVERY == 0 or state.step == total:
                state.loss.append(float(np.mean(losses)))
                state.accuracy.append(float(np.mean(accuracies)))
                losses, accuracies = [], []
                now = time.perf_counter()
                state.seconds, started = state.seconds + now - started, now
                trainer.save()
                bar.set_postfix(loss=f"{state.loss[-1]:.3f}", accuracy=f"{state.accuracy[-1]:.2f}")


def _backbone(model: nn.Module) -> dict[str, Tensor]:
    """The weights without those of the classifier, whose name timm keeps beside the model."""
    head = cast("dict[str, Any]", model.default_cfg)["classifier"]  # timm sets it; torch's stubs do not know
    return {k: v for k, v in model.state_dict().items() if not k.startswith(f"{head}.")}


def _facts(recipe: Recipe, state: Progress, device: str) -> dict[str, Any]:
    return {
        "recipe": recipe.facts(),
        "steps": state.step,
        "seconds": round(state.seconds),
        "device": device,
        "final_loss": state.loss[-1],
        "final_training_accuracy": state.accuracy[-1],
        "torch": torch.__version__,
        "timm": timm.__version__,
    }
