"""The result of an evaluation, with everything that is needed to repeat it or to doubt it."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from d24fad_lite.csv_files import write_csv, write_frame
from d24fad_lite.evaluation.metrics import average_precision, f1_max, image_auroc
from d24fad_lite.evaluation.report_file import ReportFile
from d24fad_lite.evaluation.uncertainty.intervals import CONFIDENCE, RESAMPLES, bootstrap_auroc
from d24fad_lite.files import read_json, write_text
from d24fad_lite.messages import without_folders
from d24fad_lite.private_names import KEY_FILE, neutral_names, read_key, write_key
from d24fad_lite.schemas import checked

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
LEAKY = "LEAKY protocol, shown only to measure the difference"
PACKAGES = ("d24fad_lite", "torch", "timm", "numpy", "scikit-learn", "pillow")


@dataclass
class EvaluationReport:
    """Scores of one method on one task, over several draws of supports.

    Attributes
    ----------
    task, method, protocol : str
    shots, seed : int
        K, and the seed of the draws.
    labels : int [N]
        0 normal, 1 anomalous.
    names : list of N str
        Of the test images.
    groups : list of N str or None
        Their patients, where known.
    scores : float [D, N]
        Higher is more anomalous.
    supports : int [D, K]
        Positions among the normal training images.
    support_hashes : [D][K] str
        sha256 of the supports' files.
    pixel_aurocs : list of D float, or None where the task has no masks
    facts : dict
        Configuration, device and the like.
    """

    task: str
    method: str
    protocol: str
    shots: int
    seed: int
    labels: np.ndarray
    names: list[str]
    groups: list[str | None]
    scores: np.ndarray
    supports: np.ndarray
    support_hashes: list[list[str]]
    pixel_aurocs: list[float] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def draws(self) -> int:
        """Number of support draws D."""
        return len(self.scores)

    @property
    def n_normal(self) -> int:
        """Number of normal test images."""
        return int((self.labels == 0).sum())

    @property
    def n_anomalous(self) -> int:
        """Number of anomalous test images."""
        return int((self.labels == 1).sum())

    @cached_property
    def aurocs(self) -> np.ndarray:
        """Image AUROC of each draw, float [D]."""
        return np.array([image_auroc(self.labels, row) for row in self.scores])

    @property
    def auroc(self) -> float:
        """Mean image AUROC over the draws, in 0..1."""
        return float(self.aurocs.mean())

    @cached_property
    def ci(self) -> tuple[float, float]:
        """95 % bootstrap interval of `auroc` over draws and test images (patients, where they are known)."""
        return bootstrap_auroc(self.labels, self.scores, groups=self.groups, seed=self.seed)

    @property
    def average_precision(self) -> float:
        """Mean average precision over draws, in 0..1."""
        return float(np.mean([average_precision(self.labels, row) for row in self.scores]))

    @property
    def f1_max(self) -> float:
        """Mean over draws, in 0..1; an upper bound, since its threshold is chosen on the test images."""
        return float(np.mean([f1_max(self.labels, row) for row in self.scores]))

    @property
    def pixel_auroc(self) -> float | None:
        """Mean pixel AUROC over draws, in 0..1; None without masks."""
        return None if self.pixel_aurocs is None else float(np.mean(self.pixel_aurocs))

    def to_frame(self) -> pd.DataFrame:
        """One row per draw: auroc, average_precision, f1_max, pixel_auroc (where masks exist), supports."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                "draw": range(self.draws),
                "auroc": self.aurocs,
                "average_precision": [average_precision(self.labels, row) for row in self.scores],
                "f1_max": [f1_max(self.labels, row) for row in self.scores],
            }
        )
        if self.pixel_aurocs is not None:
            frame["pixel_auroc"] = self.pixel_aurocs
        frame["supports"] = [" ".join(map(str, row)) for row in self.supports.tolist()]
        return frame

    def summary(self) -> str:
        """One line with the number and what it rests on."""
        low, high = self.ci
        mark = "" if self.protocol == "per-image" else f" · {LEAKY}"
        return (
            f"AUROC {self.auroc:.3f} [{low:.3f}, {high:.3f}] ({self.protocol}, K={self.shots}, {self.draws} "
            f"draw{'s' * (self.draws != 1)}, n={self.n_normal}+{self.n_anomalous}){mark}"
        )

    def __repr__(self) -> str:
        return f"EvaluationReport({self.task}, {self.method}: {self.summary()})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `save` writes them."""
        low, high = self.ci
        return {
            "schema": SCHEMA,
            "task": self.task,
            "method": self.method,
            "protocol": self.protocol,
            "warning": None if self.protocol == "per-image" else LEAKY,
            "shots": self.shots,
            "draws": self.draws,
            "seed": self.seed,
            "n_normal": self.n_normal,
            "n_anomalous": self.n_anomalous,
            "auroc": self.auroc,
            "ci": [low, high],
            "ci_level": CONFIDENCE,
            "ci_resamples": RESAMPLES,
            "average_precision": self.average_precision,
            "f1_max": self.f1_max,
            "pixel_auroc": self.pixel_auroc,
            "labels": self.labels.tolist(),
            "names": self.names,
            "groups": self.groups,
            "scores": self.scores.tolist(),
            "supports": self.supports.tolist(),
            "support_hashes": self.support_hashes,
            "pixel_aurocs": self.pixel_aurocs,
            "facts": self.facts,
            "versions": versions(),
        }

    def save(self, folder: str | Path, names: bool = False) -> Path:
        """Write report.json (complete), draws.csv (one row per draw) and scores.csv (one row per image).

        These can be shared: images are called "image 0007", patients "group 0003", and paths are cut to their last
        name. What they are called in truth goes into names.csv, which is private.

        Parameters
        ----------
        folder : str or Path
        names : bool, default False
            Write the names of images, patients and unused files into the report itself; no names.csv then.

        Returns
        -------
        Path
            The folder.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"cannot write the report into {folder}: {error}; choose another folder") from error
        shown = self if names else self._neutral(folder)
        if names:
            (folder / KEY_FILE).unlink(missing_ok=True)
        header = ["image", "label", *(f"draw_{draw}" for draw in range(self.draws))]
        columns = [shown.names, self.labels.tolist(), *self.scores.tolist()]
        write_frame(folder / "draws.csv", self.to_frame())
        write_csv(folder / "scores.csv", header, zip(*columns, strict=True))
        write_text(folder / "report.json", json.dumps(shown.to_dict(), indent=1, allow_nan=False) + "\n")
        return folder

    def _neutral(self, folder: Path) -> EvaluationReport:
        """This report with ids in the place of names; the key to them is written into `folder`."""
        left_out = self.facts.get("left_out", [])
        images, groups = neutral_names(self.names, "image"), neutral_names(self.groups, "group")
        others = neutral_names(left_out, "left out")
        write_key(folder, images, groups, others)
        facts = _without_folders(self.facts) | ({"left_out": [others[name] for name in left_out]} if left_out else {})
        return replace(
            self,
            names=[images[name] for name in self.names],
            groups=[None if group is None else groups[group] for group in self.groups],
            facts=facts,
        )

    @classmethod
    def load(cls, folder: str | Path) -> EvaluationReport:
        """Read a report that `save` wrote; names come back where its names.csv still lies beside it.

        Raises
        ------
        FileNotFoundError
            No report.json in the folder.
        UnreadableFile
            A file that is no report, or one of another schema; a names.csv that is no key.
        """
        path = Path(folder) / "report.json"
        try:
            stored = read_json(path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{path} does not exist; give a folder that EvaluationReport.save wrote") from None
        file = checked(ReportFile, stored, path, "give a folder that EvaluationReport.save wrote")
        values = {each.name: getattr(file, each.name) for each in fields(cls)}
        report = cls(**values | {name: np.array(values[name]) for name in ("labels", "scores", "supports")})
        return report._named(read_key(path.parent))

    def _named(self, key: dict[str, str]) -> EvaluationReport:
        """This report with the names that its key knows in the place of ids."""
        facts = dict(self.facts)
        if "left_out" in facts:
            facts["left_out"] = [key.get(name, name) for name in facts["left_out"]]
        names = [key.get(name, name) for name in self.names]
        groups = [None if group is None else key.get(group, group) for group in self.groups]
        return replace(self, names=names, groups=groups, facts=facts)


def _without_folders(value: Any) -> Any:
    """The same facts with every absolute path in them cut to its last name."""
    if isinstance(value, str):
        return without_folders(value)
    if isinstance(value, dict):
        return {name: _without_folders(item) for name, item in value.items()}
    return [_without_folders(item) for item in value] if isinstance(value, (list, tuple)) else value


def versions() -> dict[str, str]:
    """Versions of what can change a number."""
    numbers = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            numbers[name] = version(name)
        except PackageNotFoundError:
            numbers[name] = "not installed"
    return numbers
