"""One training for each held-out task: done once, kept by content, shared by lessons, tests and unattended runs.

$D24FAD_CACHE/detectors/<digest>/       default: ~/.cache/d24fad_lite/detectors/<digest>/
    detector.safetensors                student, learn-to-weight and the history of their training
    training/                           the state of a run that has not ended: the next call goes on from there

The digest covers all that decides the weights: settings, recipe, teacher, images, code, PyTorch's version, device. So
a stored detector is the one that training anew would give, and nothing has to be cleared by hand.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.styles import styled_tasks
from d24fad_lite.files import cache_root, sha256_of
from d24fad_lite.lessons.profiles import Profile
from d24fad_lite.model.checkpoint import CheckpointError, read_tensors, write_tensors
from d24fad_lite.model.config import MAP_ALONE, D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.teacher import Teacher
from d24fad_lite.training.cache import make_room
from d24fad_lite.training.fit import fit
from d24fad_lite.training.history import History
from d24fad_lite.training.identity import code_digest, images_identity
from d24fad_lite.training.settings import FitSettings

LIMIT = 2 * 2**30  # bytes of the folder; a ResNet-18's student takes 43 MB, and three times that while it trains
STORED, TRAINING = "detector.safetensors", "training"


@dataclass(frozen=True)
class DetectorRecipe(FitSettings):
    """How a lesson's detector is trained: the settings of `fit`, and how many styled tasks are added.

    Parameters
    ----------
    styled_tasks : int, default 0
        Procedural training tasks beside the given ones, see `data/styles.py`; 0: none.
    others : as of `FitSettings`
    """

    styled_tasks: int = 0


def trained_detector(
    config: D24FADConfig,
    tasks: Mapping[str, Task],
    recipe: DetectorRecipe,
    *,
    teacher: Teacher | None = None,
    device: str = "cpu",
    progress: bool = False,
    store: Path | None = None,
) -> tuple[D24FAD, History]:
    """The detector that this training gives: read from the cache if it is there, else trained and stored.

    A notice is printed where a stored detector is damaged, another process trains the same one, or the cache cannot
    be written. A teacher module of one's own has no name to store a detector under: such a detector is always trained.

    Parameters
    ----------
    config : D24FADConfig
        Settings that only the anomaly map reads do not touch the training; the detector comes back with them.
    tasks : mapping of name to Task
        The training tasks, without the one held out.
    recipe : DetectorRecipe
        How it is trained.
    teacher : Teacher, optional
        Built with these settings; default: a new one.
    device : {"cpu", "cuda", "mps"}, default "cpu"; also "cuda:1" and the like
    progress : bool, default False
        Show a progress bar while training.
    store : Path, optional
        Folder of trained detectors; default: the cache's, which makes room for new ones by removing the oldest.

    Returns
    -------
    D24FAD in eval mode on the device, History of its training

    Raises
    ------
    ValueError
        As `fit`.
    CheckpointError
        The stored detector cannot be read back after it was written.
    """
    plain = D24FADConfig()
    trained_as = config.replace(**{name: getattr(plain, name) for name in MAP_ALONE})
    training = _Training(D24FAD(trained_as, teacher), tasks, recipe, device, progress, store)
    stored = not isinstance(config.teacher, nn.Module) and _writable(training.store)
    model, history = training.load_or_train() if stored else training.train()
    return model.to(device).eval().read_as(**{name: getattr(config, name) for name in MAP_ALONE}), history


def detectors_folder() -> Path:
    """Where trained detectors are stored."""
    return cache_root() / "detectors"


def digest_of(model: D24FAD, tasks: Mapping[str, Task], recipe: DetectorRecipe, device: str) -> str:
    """The first 32 digits of a sha256 over everything that decides the weights of a training."""
    settings = model.config.to_dict()
    facts = {
        "settings": {name: value for name, value in settings.items() if name not in ("teacher", "weights")},
        "recipe": asdict(recipe),
        "teacher": model.teacher.fingerprint(),
        "images": list(images_identity(tasks, groups=bool(recipe.validation)).items()),  # in order; see hold_out
        "code": code_digest(),
        "torch": torch.__version__,
        "device": torch.device(device).type,
    }
    return sha256_of(json.dumps(facts))[:32]


class _Training:
    """One training, and where its result is stored."""

    def __init__(
        self,
        model: D24FAD,
        tasks: Mapping[str, Task],
        recipe: DetectorRecipe,
        device: str,
        progress: bool,
        store: Path | None,
    ) -> None:
        self.model, self.tasks, self.recipe, self.device, self.progress = model, tasks, recipe, device, progress
        self.cached, self.store = store is None, store or detectors_folder()

    def load_or_train(self) -> tuple[D24FAD, History]:
        """The detector from the store; where it is not there, one process alone trains it first."""
        home = self.store / digest_of(self.model, self.tasks, self.recipe, self.device)
        history = self._load(home)
        if history is None:
            with _one_at_a_time(home):
                history = self._load(home, notice=True)  # another process may have trained it meanwhile
                if history is None:
                    self._train_and_store(home)
                    history = self._load(home)
        if history is None:
            raise CheckpointError(
                f"{home / STORED} cannot be read back after it was written; check the disk, or set "
                "D24FAD_CACHE to another folder"
            )
        os.utime(home)  # opened last
        return self.model, history

    def train(self, out: Path | None = None, resume: bool = True) -> tuple[D24FAD, History]:
        """Train the model, going on from a state in `out`; it and the history of its training."""
        count = self.recipe.styled_tasks
        tasks = styled_tasks(self.tasks, count, self.recipe.seed) if count else self.tasks
        history = fit(
            self.model,
            tasks,
            **self.recipe.keywords(),
            out=out,
            resume=resume,
            progress=self.progress,
            device=self.device,
        )
        return self.model, history

    def _train_and_store(self, home: Path) -> None:
        if self.cached:
            state = self.model.trainable_state_dict()
            make_room(self.store, 4 * sum(t.numel() * t.element_size() for t in state.values()), LIMIT)
        try:
            _, history = self.train(home / TRAINING)
        except CheckpointError as error:
            print(f"notice: a training that was interrupted cannot go on ({error}); it begins anew")
            self.model = D24FAD(self.model.config, self.model.teacher)
            _, history = self.train(home / TRAINING, resume=False)
        tensors = self.model.trainable_state_dict()
        facts = {"history": asdict(history), "recipe": asdict(self.recipe)}
        write_tensors(home / STORED, tensors, facts)
        shutil.rmtree(home / TRAINING, ignore_errors=True)

    def _load(self, home: Path, notice: bool = False) -> History | None:
        """Bring the model to the stored weights; None where there are none, or damaged ones."""
        if not (home / STORED).is_file():
            return None
        try:
            tensors, facts = read_tensors(home / STORED)
            self.model.load_trainable_state_dict(tensors)
            return History(**facts["history"])
        except (CheckpointError, OSError) as error:
            if notice:
                print(f"notice: the detector kept for this lesson is damaged and is trained anew ({error})")
                shutil.rmtree(home, ignore_errors=True)
            return None


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """One process at a time trains a detector; the others wait and then load it."""
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


def _writable(folder: Path) -> bool:
    """Whether detectors can be stored in the folder, which is made; if not, a notice says why and what to do."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return True
        reason = "permission denied"
    except OSError as error:
        reason = str(error.strerror or error)
    print(
        f"notice: detectors cannot be kept in the folder {folder.name} ({reason}), so each lesson trains its "
        "own; set D24FAD_CACHE to a folder that can be written"
    )
    return False


def recipe_fields() -> tuple[str, ...]:
    """Names of the training settings that a profile holds and a lesson may change for one training."""
    of_profile = {field.name for field in fields(Profile)} - {"shots"}  # a profile's shots are those of evaluation
    return tuple(field.name for field in fields(DetectorRecipe) if field.name in of_profile)
