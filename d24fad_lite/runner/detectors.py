"""One training for each held-out task: done once, kept by content, shared by lessons, tests and unattended runs.

$D24FAD_CACHE/detectors/<digest>/       default: ~/.cache/d24fad_lite/detectors/<digest>/
    detector.safetensors                student, learn-to-weight and the history of their training
    training/                           the state of a run that has not ended: the next call goes on from there

The digest covers all that decides the weights: settings, recipe, teacher, images, code, PyTorch's version, device. So
what is kept is what training anew would give, and nothing has to be cleared by hand.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

import d24fad_lite
from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.styles import styled_tasks
from d24fad_lite.model.checkpoint import CheckpointError, read_tensors, write_tensors
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.teacher import Teacher
from d24fad_lite.training.cache import cache_root, make_room
from d24fad_lite.training.fit import fit
from d24fad_lite.training.history import History

LIMIT = 2 * 2**30  # bytes of the folder; a ResNet-18's student takes 43 MB, and three times that while it trains
STORED, TRAINING = "detector.safetensors", "training"
SOURCES = ("model/**/*.py", "training/*.py", "data/*.py")  # code that can change a weight
# Settings that the anomaly map alone reads: detectors that differ in nothing else are trained once.
MAP_ALONE = ("map_source", "image_score", "top_share", "blur_sigma", "align_corners", "matching", "match_radius",
             "compare_in")


@dataclass(frozen=True)
class Recipe:
    """What a training run is told beside the detector's settings and the tasks; see `fit`, and `styled_tasks`."""

    shots: int
    epochs: int
    seed: int = 0
    batch_size: int = 16
    lr: float = 1e-4
    lr_schedule: str = "constant"
    episodes: str = "independent"
    precision: str = "fp32"
    styled_tasks: int = 0  # procedural tasks beside the given ones


def trained_detector(config: D24FADConfig, tasks: Mapping[str, Task], recipe: Recipe, *, teacher: Teacher | None = None,
                     device: str = "cpu", progress: bool = False) -> tuple[D24FAD, History]:
    """The detector that this training gives: read from the cache where it is kept, else trained and kept.

    Parameters
    ----------
    config : D24FADConfig
        How the map is read is no matter of the training: the detector comes with these settings all the same.
    tasks : the training tasks, without the one held out.
    teacher : Teacher, optional, built with these settings; default: one of its own.
    device : "cpu", "cuda" or "mps".

    Returns
    -------
    model in eval mode, on the device; history of its training

    Raises
    ------
    ValueError : as `fit`. Notices are printed where something kept is damaged, another process trains the same
    detector, or the cache cannot be written.
    """
    plain = D24FADConfig()
    trained_as = config.replace(**{name: getattr(plain, name) for name in MAP_ALONE})
    run = _Run(D24FAD(trained_as, teacher), tasks, recipe, device, progress)
    model, history = run.kept() if not isinstance(config.teacher, nn.Module) and _writable(folder()) else run.train()
    return model.to(device).eval().read_as(**{name: getattr(config, name) for name in MAP_ALONE}), history


def folder() -> Path:
    """Where detectors are kept."""
    return cache_root() / "detectors"


def digest_of(model: D24FAD, tasks: Mapping[str, Task], recipe: Recipe, device: str) -> str:
    """sha256 over all that decides the weights of a training."""
    settings = model.config.to_dict()
    facts = {
        "settings": {name: value for name, value in settings.items() if name not in ("teacher", "weights")},
        "recipe": asdict(recipe),
        "teacher": model.teacher.fingerprint(),
        "images": [(name, hashlib.sha256("".join(task.train.hashes()).encode()).hexdigest())
                   for name, task in tasks.items()],
        "code": code_digest(), "torch": torch.__version__, "device": torch.device(device).type,
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


@cache
def code_digest() -> str:
    """sha256 over the package's sources that can change a weight."""
    package, digest = Path(d24fad_lite.__file__).parent, hashlib.sha256()
    for path in sorted({path for pattern in SOURCES for path in package.glob(pattern)}):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


class _Run:
    """One training, and where its result is kept."""

    def __init__(self, model: D24FAD, tasks: Mapping[str, Task], recipe: Recipe, device: str, progress: bool) -> None:
        self.model, self.tasks, self.recipe, self.device, self.progress = model, tasks, recipe, device, progress

    def kept(self) -> tuple[D24FAD, History]:
        """From the cache; trained first, by one process alone, where it is not there."""
        home = folder() / digest_of(self.model, self.tasks, self.recipe, self.device)
        history = self._read(home)
        if history is None:
            with _alone(home):
                history = self._read(home, notice=True)  # another process may have trained it meanwhile
                if history is None:
                    self._keep(home)
                    history = self._read(home)
        if history is None:
            raise CheckpointError(f"{home / STORED} cannot be read back after it was written; check the disk, or set "
                                  "D24FAD_CACHE to another folder")
        os.utime(home)  # opened last
        return self.model, history

    def train(self, out: Path | None = None, resume: bool = True) -> tuple[D24FAD, History]:
        options = asdict(self.recipe)
        count = options.pop("styled_tasks")
        tasks = styled_tasks(self.tasks, count, self.recipe.seed) if count else self.tasks
        history = fit(self.model, tasks, **options, out=out, resume=resume, progress=self.progress,
                      device="cpu" if self.device == "cpu" else None)
        return self.model, history

    def _keep(self, home: Path) -> None:
        state = self.model.trainable_state_dict()
        make_room(folder(), 4 * sum(t.numel() * t.element_size() for t in state.values()), LIMIT)
        try:
            _, history = self.train(home / TRAINING)
        except CheckpointError as error:
            print(f"notice: a training that was interrupted cannot go on ({error}); it begins anew")
            self.model = D24FAD(self.model.config, self.model.teacher)
            _, history = self.train(home / TRAINING, resume=False)
        tensors = self.model.trainable_state_dict()
        write_tensors(home / STORED, tensors, {"history": asdict(history), "recipe": asdict(self.recipe),
                                               "tensors": _digest(tensors)})
        shutil.rmtree(home / TRAINING, ignore_errors=True)

    def _read(self, home: Path, notice: bool = False) -> History | None:
        """Bring the model to what is kept; None where there is nothing, or nothing sound."""
        if not (home / STORED).is_file():
            return None
        try:
            tensors, facts = read_tensors(home / STORED)
            if facts.get("tensors") != _digest(tensors):
                raise CheckpointError(f"{home / STORED} is not what was written")
            self.model.load_trainable_state_dict(tensors)
            return History(**facts["history"])
        except (CheckpointError, OSError) as error:
            if notice:
                print(f"notice: the detector kept for this lesson is damaged and is trained anew ({error})")
                shutil.rmtree(home, ignore_errors=True)
            return None


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One process at a time trains a detector; the others wait, and then find it."""
    locks = home.parent / ".locks"
    locks.mkdir(exist_ok=True)
    lock = FileLock(locks / f"{home.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another process trains this detector; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _writable(place: Path) -> bool:
    try:
        place.mkdir(parents=True, exist_ok=True)
        if os.access(place, os.W_OK):
            return True
        reason = "permission denied"
    except OSError as error:
        reason = str(error.strerror or error)
    print(f"notice: detectors cannot be kept in the cache's folder {place.name} ({reason}), so each lesson trains its "
          "own; set D24FAD_CACHE to a folder that can be written")
    return False


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def recipe_fields() -> tuple[str, ...]:
    """Names that a lesson may change for one training beside the detector's settings."""
    return tuple(f.name for f in dataclasses.fields(Recipe) if f.name not in ("shots", "seed"))
