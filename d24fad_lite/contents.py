"""What a file or a folder holds, as one hash; hashes of files are remembered between processes.

$D24FAD_CACHE/contents/<name>.json   for a folder or file that was asked for: path within it -> [size, times, sha256]

A remembered hash counts as long as the file's size and times of change are the same. To ask for the contents of twenty
thousand files then costs their listing, not their reading.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from d24fad_lite.files import cache_root, file_sha256, read_json_or_none, sha256_of, state_of, write_json

TOO_FRESH = 2e9  # ns; a file changed less than that ago may change again without its times showing it
WORKERS = 8


def contents_sha256(path: str | Path) -> str:
    """One sha256 for all that lies under `path`: names and contents of files, hidden ones left out.

    Links are followed. A file that cannot be read counts by its name alone: what reads it will say what is wrong.
    An absent path has a hash of its own.
    """
    path = Path(path).expanduser().absolute()
    store = cache_root() / "contents" / f"{sha256_of(os.fsencode(path))[:32]}.json"
    known = read_json_or_none(store)
    known = known if isinstance(known, dict) else {}
    files = sorted(_files(path), key=os.fsencode)
    with ThreadPoolExecutor(WORKERS) as pool:
        entries = list(pool.map(lambda file: _entry(file, known.get(_name(file, path))), files))
    names = [_name(file, path) for file in files]
    fresh = time.time_ns() - TOO_FRESH
    remembered = {name: entry for name, entry in zip(names, entries, strict=True) if entry and max(entry[1:3]) < fresh}
    if remembered != known:
        with suppress(OSError):  # a cache that cannot be written costs time, nothing else
            write_json(store, remembered, indent=0)
    return sha256_of(*(f"{n}\0{e[3] if e else ''}\0" for n, e in zip(names, entries, strict=True)))


def _entry(file: Path, known: Any) -> list[Any] | None:
    """[size, time of content, time of entry, sha256] of a file; None where it cannot be read."""
    try:
        state = list(state_of(file))
        if isinstance(known, list) and known[:3] == state and isinstance(known[-1], str):
            return known
        return [*state, file_sha256(file)]
    except OSError:
        return None


def _name(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix()


def _files(path: Path) -> Iterator[Path]:
    """Regular files at or under `path`; each folder once, also where links form a circle."""
    if path.is_file():
        yield path
        return
    seen: set[str] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real in seen:
            continue
        seen.add(real)
        yield from (file for name in names if not name.startswith(".") and (file := Path(folder, name)).is_file())
