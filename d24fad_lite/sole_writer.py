"""One writer for an output folder: whoever comes second is told who is there.

<folder>/.in-use         locked by the operating system as long as the writer lives; its content means nothing
<folder>/.in-use.json    who that is: work, process, computer, since. Only while the folder is in use

The lock ends with its process, however that ends, so a folder is never blocked by one that was killed.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from d24fad_lite.files import PARTIAL, read_json_or_none, write_json

LOCK, OWNER = ".in-use", ".in-use.json"


class FolderInUse(ValueError):
    """Another process, or another thread of this one, writes into the folder; the text names it."""


@contextmanager
def sole_writer(folder: str | Path, work: str) -> Iterator[Path]:
    """Be the only one who writes into `folder`, which is made if absent, until the block ends.

    A thread that has the folder may ask for it again. What writers that were killed left half-written in the folder
    itself (`.partial-*`) is removed: nobody else can be writing it.

    Parameters
    ----------
    folder : path
    work : str
        What is done here, as others are told: "a training", "a series of notebooks".

    Raises
    ------
    FolderInUse : somebody else writes there.
    OSError : the folder cannot be made or written.
    """
    folder = Path(folder).resolve()
    lock = FileLock(folder / LOCK, timeout=0, is_singleton=True)
    first = not lock.is_locked
    _acquire(lock, folder, work)
    try:
        yield folder
    finally:
        if first:
            (folder / OWNER).unlink(missing_ok=True)
        lock.release()


def in_use(folder: str | Path) -> bool:
    """Whether somebody writes into the folder now; makes and changes nothing."""
    lock = Path(folder) / LOCK
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _acquire(lock: FileLock, folder: Path, work: str) -> None:
    """Take the lock and, where this thread did not have it, tidy the folder and sign it."""
    first = not lock.is_locked
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        if first:
            remove_partial(folder)
            write_json(folder / OWNER, _owner(work))
    except Timeout:
        raise FolderInUse(_refusal(folder, work)) from None
    except BaseException as error:
        lock.release(force=first)
        if not isinstance(error, OSError):
            raise
        reason = error.strerror or error
        raise OSError(f"cannot write into '{folder}': {reason}; choose a folder that can be written") from error


def _owner(work: str) -> dict[str, str | int]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"work": work, "process": os.getpid(), "computer": platform.node(), "since": since}


def _refusal(folder: Path, work: str) -> str:
    owner = read_json_or_none(folder / OWNER)
    who = "another process"
    if isinstance(owner, dict) and {"work", "process", "computer", "since"} <= owner.keys():
        where = "" if owner["computer"] == platform.node() else f" on {owner['computer']}"
        who = f"process {owner['process']}{where} ({owner['work']}, since {owner['since']})"
    return f"folder '{folder}' is in use by {who}; wait until it has ended, stop it, or name another folder for {work}"


def remove_partial(folder: Path) -> None:
    """Remove what killed writers left in a folder (not in those below) that nobody else writes into."""
    for path in folder.glob(f"{PARTIAL}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
