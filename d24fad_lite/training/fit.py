"""Train student and learn-to-weight on episodes from the normal images of the training tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, DistributedType
from accelerate.state import AcceleratorState
from accelerate.utils import patch_environment

from d24fad_lite.data.benchmark import Task
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.device import pick_device
from d24fad_lite.model.speed.allocator import keep_freed_memory
from d24fad_lite.training.history import History
from d24fad_lite.training.run import TrainingRun
from d24fad_lite.training.settings import FitSettings


def fit(
    model: D24FAD,
    tasks: Mapping[str, Task],
    shots: int = FitSettings.shots,
    epochs: int = FitSettings.epochs,
    seed: int = FitSettings.seed,
    *,
    batch_size: int = FitSettings.batch_size,
    lr: float = FitSettings.lr,
    lr_schedule: str = FitSettings.lr_schedule,
    betas: tuple[float, float] = FitSettings.betas,
    optimizer: str = FitSettings.optimizer,
    episodes: str = FitSettings.episodes,
    precision: str = FitSettings.precision,
    validation: float = FitSettings.validation,
    patience: int | None = FitSettings.patience,
    ema: float = FitSettings.ema,
    out: str | Path | None = None,
    resume: bool = True,
    cache: str = "auto",
    device: str | None = None,
    progress: bool | Callable[[dict[str, Any]], None] = True,
    on_epoch: Callable[[int, D24FAD], None] | None = None,
    accelerator: Accelerator | None = None,
) -> History:
    """Dual distillation on the training tasks; the model is changed in place.

    The settings from `shots` to `ema` decide the result and are explained at length in `FitSettings`, which also holds
    their defaults: `fit(model, tasks, **settings.keywords())`. The rest decides where and how the run is done.

    Parameters
    ----------
    model : D24FAD
    tasks : mapping of name to Task
        Training tasks, `bench.without(NAME)`; only their normal training images are used.
    shots : int, default 4
        Supports K per query, >= 1.
    epochs : int, default 10
        Passes over the training images, >= 1. The method: 70.
    seed : int, default 0
        Seed of the episodes. On a CPU the same seed gives the same weights, bit by bit.
    batch_size : int, default 16
        Queries per optimiser step, >= 1; of all processes together.
    lr : float, default 1e-4
        Learning rate, > 0.
    lr_schedule : {"constant", "cosine"}, default "constant"
        As it is (the method); or a short rise to `lr` and then a cosine down to nothing.
    betas : (float, float), default (0.5, 0.999)
        Decay rates of Adam's two moments.
    optimizer : {"adam", "adamw"}, default "adam"
        The method: "adam".
    episodes : {"independent", "in-batch"}, default "independent"
        K supports of its own for each query (the method); or supports among the query's task mates in the batch,
        which costs B instead of (K+1)·B student passes and is not the same training.
    precision : {"fp32", "bf16", "fp16"}, default "fp32"
        Precision of the convolutions; cosines and softmax stay in fp32.
    validation : float, default 0.0
        Fraction of the normal training images held out to compute `val_loss`; 0 for none.
    patience : int, optional
        Stop after so many epochs without a lower `val_loss`, and keep the weights of the best epoch.
    ema : float, default 0.0
        Decay of a moving average of the weights, 0 (off) to below 1; the model ends with the average.
    out : path, optional
        Folder for the state after each epoch and for `history.csv`. A run that was killed, or stopped with Ctrl-C,
        goes on from its last full epoch when called again, to the same weights as an uninterrupted run.
    resume : bool, default True
        Whether to go on from a state found in `out`; False begins anew.
    cache : {"auto", "memory", "disk", "off"}, default "auto"
        Where teacher features are kept, see `TeacherCache`.
    device : str, optional
        "cpu", "cuda", "cuda:1" and the like, "mps"; default, and "auto": what Accelerate finds. Where a launcher has
        started this process it names the card, and a number is refused.
    progress : bool, or function of a row of the history, default True
        Show a progress bar with the losses; or call the function after every epoch, for a log.
    on_epoch : function of (epoch from 1, model), optional
        Called after every epoch that is trained, after its state is stored; it must not change the model.
    accelerator : Accelerator, optional
        Your own; it then decides precision and device, whatever `precision` and `device` say.

    Returns
    -------
    History

    Notes
    -----
    Under `accelerate launch` or `notebook_launcher` (GPUs), or torchrun, several processes share out each batch. Their
    batch norms see the whole of it, so losses and weights are those of one process up to rounding; independent episodes
    only. The first process writes; if one is killed the launcher ends the others, and the same call goes on from the
    last epoch. On processors `accelerate launch` starts a single process: take torchrun.

    Raises
    ------
    ValueError
        A task with too few images, an argument out of range, or a device that is not there.
    CheckpointError
        `out` holds the state of a run with other settings, other images, another teacher or other code of the package.
    FolderInUse
        Another process trains in `out`.
    FloatingPointError
        The loss became NaN or infinite; the last good state is kept.
    """
    settings = FitSettings(
        shots=shots,
        epochs=epochs,
        seed=seed,
        batch_size=batch_size,
        lr=lr,
        lr_schedule=lr_schedule,
        betas=betas,
        optimizer=optimizer,
        episodes=episodes,
        precision=precision,
        validation=validation,
        patience=patience,
        ema=ema,
    )
    if not tasks:
        raise ValueError("fit() got no training tasks; give at least one, for example bench.without('RSNA')")
    keep_freed_memory()
    accelerator = accelerator or new_accelerator(precision, device)
    run = TrainingRun(model, tasks, settings, accelerator, out=out, cache=cache, progress=progress)
    return run.train(resume, on_epoch)


def new_accelerator(precision: str, device: str | None) -> Accelerator:
    """Accelerate set up for one run, in this precision and on this device; None or "auto" leaves the choice to it.

    Raises ValueError for a device that this computer does not have, or that a launcher has not given this process.
    """
    if device in (None, "auto"):
        return _accelerator(precision)
    wanted = torch.device(pick_device(str(device)))
    accelerator = _accelerator(precision, cpu=wanted.type == "cpu")
    given = accelerator.device
    if accelerator.distributed_type != DistributedType.NO:
        if wanted.index is not None or wanted.type != given.type:
            raise ValueError(
                f"device={str(device)!r} cannot be chosen under a launcher, which gave this process {str(given)!r}; "
                "leave it out, and choose the cards with CUDA_VISIBLE_DEVICES or `accelerate launch --gpu_ids`"
            )
        return accelerator
    if wanted.type == given.type and wanted.index in (None, given.index):
        return accelerator
    # Accelerate has no argument for a device, it reads this variable.
    with patch_environment(ACCELERATE_TORCH_DEVICE=str(wanted)):
        return _accelerator(precision)


def _accelerator(precision: str, cpu: bool = False) -> Accelerator:
    """A new one, on the processor or on what Accelerate finds."""
    # Accelerate keeps its first settings for the whole process; a notebook may well train in two precisions.
    AcceleratorState._reset_state(reset_partial_state=True)
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # a weighting may leave projections out
    return Accelerator(mixed_precision="no" if precision == "fp32" else precision, cpu=cpu, kwargs_handlers=[unused])
