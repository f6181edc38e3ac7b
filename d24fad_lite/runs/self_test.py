"""Does this computer do it? What is installed, and the main job once in small."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from d24fad_lite import __version__
from d24fad_lite.data.benchmark import open_benchmark
from d24fad_lite.data.samples.world import write_samples
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.model.checkpoint import CheckpointError
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.weights.embedded import embedded_catalog
from d24fad_lite.model.weights.local import PREFERRED_TEACHER, best_local_teacher, weights_available
from d24fad_lite.model.weights.packages import PACKAGES as WEIGHTS_PACKAGES
from d24fad_lite.predicting.folder import predict_folder
from d24fad_lite.training.fit import fit

PACKAGES = ("d24fad_lite", "torch", "torchvision", "timm", "accelerate", "numpy", "scikit-learn", "pillow")
OPTIONAL = {
    "papermill": "notebooks",
    "jupyterlab": "notebooks",
    "ipywidgets": "notebooks",
    "pydicom": "dicom",
    "nibabel": "nifti",
    "transformers": "transformers",
}
OFTEN_USED = ("resnet18", "resnet50", "wide_resnet50_2", "wide_resnet50_2.tv_in1k")  # worth a line if in a cache


def environment() -> Iterator[str]:
    """Lines on the system, the packages, the device and the teachers' weights."""
    yield f"system      {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    yield "packages    " + ", ".join(f"{name} {_version(name) or 'not installed'}" for name in PACKAGES)
    missing = {extra for name, extra in OPTIONAL.items() if _version(name) is None}
    for extra in sorted(missing):
        yield f"            without the extra {extra!r}: pip install 'd24fad_lite[{extra}]'"
    if torch.cuda.is_available():
        yield f"device      cuda, {torch.cuda.get_device_name(0)}"
    else:
        yield f"device      {'mps' if torch.backends.mps.is_available() else 'cpu'}, {torch.get_num_threads()} threads"
    yield f"weights     embedded: {', '.join(sorted(embedded_catalog()))}"
    yield from _imagenet_sources()


def _imagenet_sources() -> Iterator[str]:
    """One line for each teacher whose weights="imagenet" needs no network, and what to do where there is none."""
    for teacher in (*WEIGHTS_PACKAGES, *OFTEN_USED):
        try:
            source = weights_available(teacher)
        except CheckpointError as error:
            yield f"            imagenet: {teacher} CANNOT BE USED: {error}"
        else:
            if source or teacher == PREFERRED_TEACHER:
                yield f"            imagenet: {teacher} from {source or 'a download (nothing local)'}"
    if notice := best_local_teacher().notice:
        yield f"            {notice}"


def _version(name: str) -> str | None:
    """The installed version of a package; None where it is absent."""
    if name == "d24fad_lite":  # a checkout that is used without being installed has one too
        return __version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True)
class SelfTest:
    """The main job in small. Each step works on what the one before it left in `folder`, and says what it did."""

    folder: Path

    @property
    def steps(self) -> dict[str, Callable[[], str]]:
        """The steps in their order, by name."""
        return {
            "draw samples": self.draw,
            "train on HIS": self.train,
            "evaluate on RSNA": self.evaluate,
            "predict a folder": self.predict,
        }

    @property
    def samples(self) -> Path:
        """Where the drawn tasks lie."""
        return self.folder / "samples"

    @property
    def model_file(self) -> Path:
        """Where the trained detector lies."""
        return self.folder / "model.safetensors"

    def draw(self) -> str:
        """Draw two tasks of a few tiny images."""
        write_samples(self.samples, size=64, train=8, test=4, tasks=["HIS", "RSNA"])
        return f"{len(list(self.samples.rglob('*.png')))} files"

    def train(self) -> str:
        """Train a detector with RSNA left out, and save it."""
        model, rest = D24FAD(D24FADConfig(image_size=64)), open_benchmark(self.samples).without("RSNA")
        history = fit(model, rest, shots=2, epochs=2, device="cpu", progress=False, episodes="in-batch")
        model.save(self.model_file)
        return f"loss {history.rows[0]['loss']:.3f} -> {history.final_loss:.3f}"

    def evaluate(self) -> str:
        """Evaluate it on the task that it has not seen."""
        return evaluate(D24FAD.load(self.model_file), open_benchmark(self.samples)["RSNA"], shots=2, draws=2).summary()

    def predict(self) -> str:
        """Score a folder of that task's images."""
        supports = sorted((self.samples / "RSNA/train/good").iterdir())[:4]
        result = predict_folder(
            self.model_file,
            self.samples / "RSNA/test/good",
            supports,
            self.folder / "results",
            device="cpu",
            progress=False,
        )
        return f"{len(result.scores)} images scored, with heatmaps"
