"""A choice of supports as a small JSON file: names and content hashes, so that it means the same images anywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..data.image_set import ImageSet

FORMAT, VERSION = "d24fad_lite.supports", 1


class SupportFileError(ValueError):
    """A file of supports that cannot be used; the message names the file and the images."""


class SupportId(NamedTuple):
    """What identifies a support: its path within the task's folder and the SHA-256 of its content."""

    name: str
    sha256: str


@dataclass
class FoundSupports:
    """Positions of a file's supports among the candidates, in the file's order."""

    positions: list[int] = field(default_factory=list)
    locked: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write_support_file(path: str | Path, task: str, limit: int, ids: Sequence[SupportId],
                       locked: Sequence[bool] | None = None) -> Path:
    """Write a choice atomically; folders are made. ids: in their order. Returns the path."""
    path = Path(path)
    flags = locked if locked is not None else [False] * len(ids)
    supports = [{"name": i.name, "sha256": i.sha256, "locked": bool(f)} for i, f in zip(ids, flags, strict=True)]
    content = {"format": FORMAT, "version": VERSION, "task": task, "limit": limit, "supports": supports}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def read_support_file(path: str | Path, candidates: ImageSet, task: str = "", partial: bool = False) -> FoundSupports:
    """Find a file's supports among the candidates.

    An image counts as found when its name is there and its content has not changed; under another name when exactly
    that content is there (noted). Everything else is missing or changed.

    Parameters
    ----------
    task : name that the file must be of, "" for any.
    partial : leave missing and changed images out, and say so in `notes`.

    Raises
    ------
    FileNotFoundError : no such file. SupportFileError : another kind of file or task; missing or changed images
    (unless `partial`).
    """
    entries = _read(Path(path), task)
    by_name = {name: i for i, name in enumerate(candidates.names)}
    named = sorted({by_name[e["name"]] for e in entries if e["name"] in by_name})
    digests = dict(zip(named, candidates.hashes(named), strict=True))
    by_digest: dict[str, int] = {}
    if any(e["name"] not in by_name for e in entries):  # only then is it worth reading every candidate
        by_digest = {digest: i for i, digest in reversed(list(enumerate(candidates.hashes())))}
    found, missing, changed = FoundSupports(), [], []
    for entry in entries:
        name, position = entry["name"], by_name.get(entry["name"])
        if position is None and entry["sha256"] in by_digest:
            position = by_digest[entry["sha256"]]
            found.notes.append(f"{name} is now named {candidates.names[position]}")
        elif position is None:
            missing.append(name)
            continue
        elif digests[position] != entry["sha256"]:
            changed.append(name)
            continue
        if position not in found.positions:
            found.positions.append(position)
            found.locked += [position] if entry.get("locked") else []
    problems = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"changed: {', '.join(changed)}"] * bool(changed)
    if problems and not partial:
        raise SupportFileError(f"'{path}' does not fit '{candidates.name}': {'; '.join(problems)}. Restore these "
                               "images, or choose the supports again")
    found.notes += problems
    return found


def _read(path: Path, task: str) -> list[dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"support file '{path}' is not there; save a choice of supports to it first")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SupportFileError(f"'{path}' is no JSON ({error}); expected what a SupportSelection saved") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SupportFileError(f"'{path}' is no file of supports; expected \"format\": \"{FORMAT}\"")
    if content.get("version") != VERSION:
        raise SupportFileError(f"'{path}' has version {content.get('version')!r}, this package reads {VERSION}; "
                               "save the choice again")
    entries = content.get("supports")
    if not isinstance(entries, list) or not all(
            isinstance(e, dict) and isinstance(e.get("name"), str) and isinstance(e.get("sha256"), str)
            for e in entries):
        raise SupportFileError(f"'{path}': \"supports\" must be a list of entries with name and sha256")
    if task and content.get("task") not in ("", task):
        raise SupportFileError(f"'{path}' holds supports of task {content.get('task')!r}, not of {task!r}")
    return entries
