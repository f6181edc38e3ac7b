"""Support draws as a file to share: by content hash, so that they can be replayed on another copy of the data."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..data.benchmark import Task
from ..data.episodes import draw_supports
from ..data.image_set import ImageSet

SCHEMA = 1


class ManifestError(ValueError):
    """The data at hand are not those that the manifest was made from; the message names the files."""


@dataclass(frozen=True)
class DrawsManifest:
    """Support sets and test images of one task, by the sha256 of their content.

    supports : [D][K] hashes. files : hash -> name of each support. test : name -> hash of every test image.
    """

    task: str
    seed: int | None
    supports: tuple[tuple[str, ...], ...]
    files: dict[str, str]
    test: dict[str, str]

    @classmethod
    def draw(cls, task: Task, shots: int = 4, draws: int = 10, seed: int = 0) -> Self:
        """The draws that `evaluate` makes with the same arguments; draw the largest K, smaller ones are within it."""
        return cls.of(task, draw_supports(len(task.train), shots, draws, seed), seed)

    @classmethod
    def of(cls, task: Task, supports: np.ndarray, seed: int | None = None) -> Self:
        """A manifest of given support sets, positions [D, K] in `task.train`."""
        supports = np.asarray(supports, np.int64)
        unique = np.unique(supports)
        hashes = dict(zip(unique.tolist(), task.train.hashes(unique), strict=True))
        files = {hashes[i]: task.train.names[i] for i in unique.tolist()}
        sets = tuple(tuple(hashes[i] for i in row) for row in supports.tolist())
        return cls(task.name, seed, sets, files, dict(zip(task.test.names, task.test.hashes(), strict=True)))

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, atomically."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = {"schema": SCHEMA, "task": self.task, "seed": self.seed, "supports": [list(s) for s in self.supports],
                  "files": self.files, "test": self.test}
        temporary = path.with_name(f".{path.name}.partial")
        temporary.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote. Raises FileNotFoundError, ManifestError."""
        try:
            stored: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise FileNotFoundError(f"manifest {path} does not exist; write one with DrawsManifest.save") from None
        except ValueError as error:
            raise ManifestError(f"{path} is not a manifest of draws: {error}") from error
        found = stored.get("schema") if isinstance(stored, dict) else None
        if found != SCHEMA:
            raise ManifestError(f"{path} is a manifest of schema {found!r}, this version reads {SCHEMA}")
        try:
            sets = tuple(tuple(row) for row in stored["supports"])
            return cls(stored["task"], stored["seed"], sets, dict(stored["files"]), dict(stored["test"]))
        except (KeyError, TypeError) as error:
            raise ManifestError(f"{path} is not a complete manifest of draws: {error!r}") from error

    def replay(self, task: Task, shots: int | None = None, *, check_test: bool = True) -> np.ndarray:
        """Positions [D, K] of the same support images in `task.train`, for `evaluate(..., supports=...)`.

        Images are recognised by content; renamed files are found.

        shots : use only the first `shots` of each set. check_test : also require the very same test images.

        Raises
        ------
        ManifestError : names the files that are missing, changed or (in the test set) new.
        """
        by_hash = {digest: i for i, digest in reversed(list(enumerate(task.train.hashes())))}
        problems = [_missing_or_changed(name, task.train) for digest, name in self.files.items()
                    if digest not in by_hash]
        if check_test:
            problems += self._test_problems(task.test)
        if problems:
            more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise ManifestError(f"task {task.name!r} is not the data this manifest was made from: "
                                f"{', '.join(problems[:5])}{more}; restore these files, or draw anew")
        longest = min(map(len, self.supports))
        if shots is not None and not 1 <= shots <= longest:
            raise ManifestError(f"shots={shots!r}: the manifest holds sets of {longest} supports")
        return np.array([[by_hash[digest] for digest in row[:shots]] for row in self.supports], np.int64)

    def _test_problems(self, test: ImageSet) -> list[str]:
        """By content: a renamed test image is the same image."""
        present, expected = dict(zip(test.hashes(), test.names, strict=True)), set(self.test.values())
        gone = [_missing_or_changed(name, test) for name, digest in self.test.items() if digest not in present]
        known_names = set(self.test)
        return gone + [f"{name} is new" for digest, name in present.items()
                       if digest not in expected and name not in known_names]


def _missing_or_changed(name: str, images: ImageSet) -> str:
    return f"{name} has changed" if name in images.names else f"{name} is missing"
