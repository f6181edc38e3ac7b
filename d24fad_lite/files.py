"""The one home of writing, hashing, JSON and data: addresses. Files appear whole or not at all, contents have a sha256.

Everything the kit writes goes through `replacing`: a reader never meets half a file, and a process that is stopped
leaves the old file as it was. What such a process leaves behind is called `.partial-*`, whoever wrote it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from d24fad_lite.messages import NamingError

LONGEST_NAME = 240  # bytes of a file name; file systems allow 255, and what lies beside a file needs some
PARTIAL = ".partial-"  # how the name of a file begins that is still being written


class UnreadableFile(NamingError):
    """A file that is not what it should be; the text names it, what was found, what was expected and what to do."""


class JsonError(UnreadableFile):
    """A file that should hold JSON and does not; the text names the file and the reason."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to: it takes the place of `path` when the block ends well, else it is removed.

        with replacing(target) as partial:
            image.save(partial, format="PNG")

    Folders above are made. Permissions are those of any new file (0600 would hide a report from colleagues),
    and the name does not grow with that of `path`, which may already be as long as a file system allows.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f"{PARTIAL}{secrets.token_hex(8)}"
    partial.touch()
    mode = partial.stat().st_mode
    partial.unlink()
    try:
        yield partial
        partial.chmod(mode)  # some libraries write files for their owner alone
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def fitting_name(name: str, suffix: str = "") -> str:
    """A file or folder name that every file system takes: as it is, or cut and with a hash of the whole name."""
    if len(os.fsencode(name + suffix)) <= LONGEST_NAME:
        return name + suffix
    end = f"~{sha256_of(os.fsencode(name))[:12]}{suffix}"
    return os.fsencode(name)[: LONGEST_NAME - len(end)].decode("utf-8", "ignore") + end


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file (UTF-8, lines end in a line feed) whole or not at all.

    Names of files that are not UTF-8 come from Python as lone surrogates and are written back as the bytes they were.
    """
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: str | Path, value: Any, indent: int = 2) -> None:
    """Write `value` as strict JSON, whole or not at all; see `plain` for what it may hold."""
    write_text(path, json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """A new folder beside `path` to fill: it becomes `path` when the block ends well, else it is removed.

    A folder that is already there stays as it is: where two processes do the same work, the first result counts.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f"{PARTIAL}{secrets.token_hex(8)}"
    partial.mkdir()
    try:
        yield partial
        if not path.is_dir():
            partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_json(path: str | Path) -> Any:
    """The content of a JSON file (UTF-8, with or without a byte order mark).

    Raises
    ------
    FileNotFoundError, PermissionError : as opening it
    JsonError : not JSON, not UTF-8, or nested too deeply to be read
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise JsonError(f"{path} is not readable as JSON ({type(error).__name__}: {error})") from error


def read_json_or_none(path: str | Path) -> Any:
    """The content of a JSON file; None where it is absent or cannot be read."""
    try:
        return read_json(path)
    except (OSError, JsonError):
        return None


def plain(value: Any) -> Any:
    """`value` as numbers, texts, lists and dicts only.

    Arrays, tensors and ranges become lists, frames lists of rows, sets sorted lists, paths texts; NaN and infinity,
    which JSON does not know, become None. Raises ValueError for anything else.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a pandas frame: a list of rows
        return plain(value.to_dict(orient="records"))
    if isinstance(value, Mapping) or hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):  # numpy and torch, scalars included
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [plain(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    raise ValueError(f"cannot write {type(value).__name__} as JSON: {value!r}; pass numbers, texts, lists or dicts")


def sha256_of(*parts: str | bytes | memoryview) -> str:
    """The sha256, in hexadecimal, of these parts one after the other; texts count as UTF-8."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part)
    return digest.hexdigest()


def sources_sha256(root: Path, paths: Iterable[Path]) -> str:
    """One sha256 over files below `root`, in the given order: their names as seen from there, and their contents."""
    named = ((f"{path.relative_to(root).as_posix()}\0", path.read_bytes()) for path in paths)
    return sha256_of(*(part for pair in named for part in pair))


def file_sha256(path: str | Path) -> str:
    """The sha256 of a file's content. Kept as long as its size and times of change stay the same."""
    path = Path(path)
    return _file_sha256(path, state_of(path))


def state_of(path: Path) -> tuple[int, int, int]:
    """What shows that a file may have changed: its size, and when content and entry were last changed, in ns.

    The entry's time (ctime) also moves where a copy brings the old time of change with it.
    """
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


@lru_cache(maxsize=65_536)
def _file_sha256(path: Path, state: tuple[int, int, int]) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_root() -> Path:
    """Where the kit keeps what it can make again: $D24FAD_CACHE, else ~/.cache/d24fad_lite."""
    root = os.environ.get("D24FAD_CACHE")
    return Path(root).expanduser() if root else Path.home() / ".cache" / "d24fad_lite"


def data_uri(content: bytes, kind: str = "png") -> str:
    """Image bytes as a data: address for HTML and CSS; kind "png" or "jpeg"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
