"""The feature cache on disk stays within its bound, and drops what was opened longest ago."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from d24fad_lite.training.cache import ABANDONED, make_room


def store(folder: Path, name: str, age: float, count: int = 1000) -> Path:
    home = folder / name
    home.mkdir()
    np.save(home / "0.npy", np.zeros(count, np.uint8))
    os.utime(home, (time.time() - age, time.time() - age))
    return home


def test_the_sets_opened_longest_ago_make_room(tmp_path: Path) -> None:
    homes = [store(tmp_path, name, age) for name, age in (("a", 10), ("b", 30), ("c", 20))]
    size = sum(f.stat().st_size for f in homes[0].iterdir())
    assert make_room(tmp_path, needed=size, limit=3 * size) == [homes[1]]
    assert [h.exists() for h in homes] == [True, False, True]


def test_nothing_goes_while_there_is_room(tmp_path: Path) -> None:
    home = store(tmp_path, "a", 10)
    assert make_room(tmp_path, needed=10, limit=10_000) == [] and home.exists()


def test_half_made_files_go_only_once_no_run_can_be_making_them(tmp_path: Path) -> None:
    old, fresh = store(tmp_path, ".partial-old", ABANDONED + 60), store(tmp_path, ".partial-new", 60)
    make_room(tmp_path, needed=0)
    assert not old.exists() and fresh.exists()


def test_a_set_that_is_being_read_stays_readable_after_it_made_room(tmp_path: Path) -> None:
    home = store(tmp_path, "a", 10)
    mapped = np.load(home / "0.npy", mmap_mode="r")
    assert make_room(tmp_path, needed=10, limit=10) == [home]
    assert int(mapped.sum()) == 0 and len(mapped) == 1000
