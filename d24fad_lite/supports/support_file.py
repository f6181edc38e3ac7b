"""A choice of supports as a small JSON file: names and content hashes, so that it means the same images anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.files import JsonError, read_json, write_json
from d24fad_lite.messages import NamingError

FORMAT, VERSION = "d24fad_lite.supports", 1


class SupportFileError(NamingError):
    """A file of supports that cannot be used; the message names the file and the images."""


class SupportId(NamedTuple):
    """What identifies a support: its path within the task's folder and the SHA-256 of its content."""

    name: str
    sha256: str


@dataclass
class MatchedSupports:
    """A file's supports among the candidates.

    Attributes
    ----------
    positions : list of int
        Positions among the candidates, in the file's order.
    locked : list of int
        Those of them that are locked.
    notes : list of str
        What differs from the file and was accepted, in words.
    """

    positions: list[int] = field(default_factory=list)
    locked: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write_support_file(
    path: str | Path, task: str, limit: int, ids: Sequence[SupportId], locked: Sequence[bool] | None = None
) -> Path:
    """Write a choice of supports, whole or not at all; folders are made.

    Parameters
    ----------
    path : path of the file
    task : str
        Name of the task.
    limit : int
        The most images that could be picked.
    ids : sequence of SupportId
        The supports in their order.
    locked : sequence of bool, optional
        Which of them are locked, default none.

    Returns
    -------
    Path
        That of the file.
    """
    flags = locked if locked is not None else [False] * len(ids)
    supports = [{"name": i.name, "sha256": i.sha256, "locked": bool(f)} for i, f in zip(ids, flags, strict=True)]
    write_json(path, {"format": FORMAT, "version": VERSION, "task": task, "limit": limit, "supports": supports})
    return Path(path)


def read_support_file(path: str | Path, candidates: ImageSet, task: str = "", partial: bool = False) -> MatchedSupports:
    """Match a file's supports to the candidates.

    An image is matched when its name is there and its content has not changed; under another name when exactly that
    content is there (noted). Everything else is missing or changed.

    Parameters
    ----------
    path : path of a file that `write_support_file` wrote
    candidates : ImageSet
    task : str
        Name that the file must be of, "" for any.
    partial : bool
        Leave missing and changed images out, and say so in `notes`.

    Returns
    -------
    MatchedSupports

    Raises
    ------
    FileNotFoundError
        No such file.
    SupportFileError
        Another kind of file or task; missing or changed images (unless `partial`).
    """
    entries = _read(Path(path), task)
    by_name = {name: i for i, name in enumerate(candidates.names)}
    named = sorted({by_name[e["name"]] for e in entries if e["name"] in by_name})
    digests = dict(zip(named, candidates.hashes(named), strict=True))
    by_digest: dict[str, int] = {}
    if any(e["name"] not in by_name for e in entries):  # only then is it worth reading every candidate
        by_digest = {digest: i for i, digest in reversed(list(enumerate(candidates.hashes())))}
    matched, missing, changed = MatchedSupports(), [], []
    for entry in entries:
        name, position = entry["name"], by_name.get(entry["name"])
        if position is None and entry["sha256"] in by_digest:
            position = by_digest[entry["sha256"]]
            matched.notes.append(f"{name} is now named {candidates.names[position]}")
        elif position is None:
            missing.append(name)
            continue
        elif digests[position] != entry["sha256"]:
            changed.append(name)
            continue
        if position not in matched.positions:
            matched.positions.append(position)
            matched.locked += [position] if entry.get("locked") else []
    problems = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"changed: {', '.join(changed)}"] * bool(changed)
    if problems and not partial:
        raise SupportFileError(
            f"'{path}' does not fit '{candidates.name}': {'; '.join(problems)}. Restore these "
            "images, or choose the supports again"
        )
    matched.notes += problems
    return matched


def _read(path: Path, task: str) -> list[dict[str, Any]]:
    """The supports listed in a file, each with its name, hash and lock; SupportFileError for a file of another kind."""
    if not path.is_file():
        raise FileNotFoundError(f"support file '{path}' is not there; save a choice of supports to it first")
    try:
        content = read_json(path)
    except JsonError as error:
        raise SupportFileError(f"{error}; expected what a SupportSelection saved") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SupportFileError(f'\'{path}\' is no file of supports; expected "format": "{FORMAT}"')
    if content.get("version") != VERSION:
        raise SupportFileError(
            f"'{path}' has version {content.get('version')!r}, this package reads {VERSION}; save the choice again"
        )
    entries = content.get("supports")
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and isinstance(e.get("name"), str) and isinstance(e.get("sha256"), str) for e in entries
    ):
        raise SupportFileError(f"'{path}': \"supports\" must be a list of entries with name and sha256")
    if task and content.get("task") not in ("", task):
        raise SupportFileError(f"'{path}' holds supports of task {content.get('task')!r}, not of {task!r}")
    return entries
