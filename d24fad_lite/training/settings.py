"""The settings of `fit`, with their defaults: everything else that has such a default takes it from here.

Nothing heavy is imported, so that the command line can show the defaults in its help at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from d24fad_lite.messages import choose_one_of
from d24fad_lite.training.schedule import SCHEDULES

OPTIMIZERS = ("adam", "adamw")
EPISODES = ("independent", "in-batch")
PRECISIONS = ("fp32", "bf16", "fp16")
CHOICES = {"optimizer": OPTIMIZERS, "precision": PRECISIONS, "lr_schedule": SCHEDULES, "episodes": EPISODES}


@dataclass(frozen=True)
class FitSettings:
    """What determines the result of a training run, beside the model and the images.

    "The method" is Dong et al., ICLR 2026 (arXiv 2603.01713), as its released code trains.

    Parameters
    ----------
    shots : int, default 4
        Supports K per query, >= 1.
    epochs : int, default 10
        Passes over the training images, >= 1. The method: 70.
    seed : int, default 0
        Seed of the episodes, >= 0. On a CPU the same seed gives the same weights, bit by bit.
    batch_size : int, default 16
        Queries per optimiser step, >= 1. The method: 16.
    lr : float, default 1e-4
        Learning rate, > 0. The method: 1e-4.
    lr_schedule : {"constant", "cosine"}, default "constant"
        The method: "constant". Ours: "cosine" rises to `lr` over the first 5 % of all steps and falls to nothing over
        the rest, see `schedule.learning_rate`; the length of the run then counts, so such a run cannot be prolonged.
    betas : (float, float), default (0.5, 0.999)
        Decay rates of Adam's two moments, each at least 0 and below 1. The method: (0.5, 0.999).
    optimizer : {"adam", "adamw"}, default "adam"
        The method: "adam".
    episodes : {"independent", "in-batch"}, default "independent"
        K supports of its own for each query, as in the method; or supports among the query's task mates in the batch,
        which costs B instead of (K+1)·B student passes. Not the same training: after a single epoch it can end far
        from the other, either way (`benchmarks/episode_modes.py` measures it); the time saved buys more epochs.
    precision : {"fp32", "bf16", "fp16"}, default "fp32"
        Precision of the convolutions, through Accelerate; cosines and softmax stay in fp32.
    validation : float, default 0.0
        Fraction of the normal training images of each training task that is held out to compute `val_loss`, at least
        0 (none) and below 1. Images of one patient stay on one side.
    patience : int, optional
        Stop after so many epochs (>= 1) without a lower `val_loss`, and keep the weights of the best epoch. Needs
        `validation`. Nothing of any test set is ever looked at. Default: train all epochs.
    ema : float, default 0.0
        Ours, not the method's: decay of a moving average of the weights over the optimiser's steps, 0 (off) to below
        1, see `averaging.WeightAverage`. The model ends with the averaged weights; `val_loss` and `on_epoch` see them.

    Raises
    ------
    ValueError
        A setting out of range; the message names it, its value and what it may be.
    """

    shots: int = 4
    epochs: int = 10
    seed: int = 0
    batch_size: int = 16
    lr: float = 1e-4
    lr_schedule: str = "constant"
    betas: tuple[float, float] = (0.5, 0.999)
    optimizer: str = "adam"
    episodes: str = "independent"
    precision: str = "fp32"
    validation: float = 0.0
    patience: int | None = None
    ema: float = 0.0

    def __post_init__(self) -> None:
        from d24fad_lite.data.supports import whole_number  # here, because it brings numpy

        for name, least in (("shots", 1), ("batch_size", 1), ("seed", 0)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least))
        if not isinstance(self.epochs, int) or self.epochs < 1:
            raise ValueError(f"epochs={self.epochs!r} must be a whole number, at least 1")
        for name, allowed in CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(choose_one_of(name, value, allowed))
        self._check_rates()
        object.__setattr__(self, "betas", tuple(self.betas))

    def _check_rates(self) -> None:
        if not 0 < self.lr < float("inf"):
            raise ValueError(f"lr={self.lr!r} must be greater than 0, and finite")
        if not 0 <= self.validation < 1:
            raise ValueError(
                f"validation={self.validation!r} must lie between 0 and 1 (a fraction of the training images)"
            )
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience={self.patience!r} must be at least 1 epoch, or None")
        if self.patience is not None and not self.validation:
            raise ValueError("patience needs a validation loss; set validation, for example 0.2")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema={self.ema!r} must be at least 0 (off) and below 1, for example 0.99")

    def keywords(self) -> dict[str, Any]:
        """The settings as keywords of `fit`: `fit(model, tasks, **settings.keywords())`."""
        return {setting.name: getattr(self, setting.name) for setting in fields(FitSettings)}

    def identity(self) -> dict[str, Any]:
        """The settings that a stored run must share with the one that goes on from it, as plain values.

        What is off is left out, so that runs stored before the setting existed can still be resumed; so is the number
        of epochs where a run may be prolonged.
        """
        facts = self.keywords() | {"betas": list(self.betas)}
        off = {"ema"} if not self.ema else set()
        if self.lr_schedule == "constant":
            off |= {"lr_schedule", "epochs"}
        return {name: value for name, value in facts.items() if name not in off}
