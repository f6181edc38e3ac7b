"""The hash of a folder changes with anything in it, and is quick to ask for again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from d24fad_lite import contents
from d24fad_lite.contents import contents_sha256
from d24fad_lite.files import cache_root


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("D24FAD_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "data"
    (root / "inner").mkdir(parents=True)
    for name, text in {"a.txt": "one", "inner/b.txt": "two", ".hidden": "x"}.items():
        (root / name).write_text(text)
    return root


def _replace_with_the_same_size_and_time(root: Path) -> None:
    times = ((root / "a.txt").stat().st_atime_ns, (root / "a.txt").stat().st_mtime_ns)
    (root / "a.txt").write_text("ten")
    os.utime(root / "a.txt", ns=times)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "a.txt").write_text("one more"),
        lambda root: (root / "new.txt").touch(),
        lambda root: (root / "a.txt").rename(root / "c.txt"),
        lambda root: (root / "inner" / "b.txt").unlink(),
        lambda root: (root / "a.txt").rename(root / "inner" / "a.txt"),
        _replace_with_the_same_size_and_time,
    ],
)
def test_any_change_gives_another_hash(folder: Path, change: Callable[[Path], object]) -> None:
    before = contents_sha256(folder)
    assert contents_sha256(folder) == before
    change(folder)
    assert contents_sha256(folder) != before


def test_hidden_files_and_the_place_of_the_folder_do_not_count(folder: Path) -> None:
    before = contents_sha256(folder)
    (folder / ".hidden").write_text("other")
    assert contents_sha256(folder.rename(folder.parent / "moved")) == before


def test_known_files_are_not_read_again_and_fresh_ones_are_not_known(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents_sha256(folder)
    monkeypatch.setattr(contents, "TOO_FRESH", -1e12)  # as if the files were old enough to be remembered
    assert contents_sha256(folder) == before
    monkeypatch.setattr(contents, "file_sha256", lambda path: pytest.fail(f"read {path} again"))
    assert contents_sha256(folder) == before


@pytest.mark.parametrize("content", ["", "null", "[]", '{"a.txt": 1, "inner/b.txt": [1, 2]}'])
def test_a_damaged_memory_is_not_believed(folder: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "TOO_FRESH", -1e12)
    before = contents_sha256(folder)
    (store,) = (cache_root() / "contents").iterdir()
    store.write_text(content)
    assert contents_sha256(folder) == before


def test_a_circle_of_links_ends_and_an_absent_path_has_a_hash(folder: Path) -> None:
    (folder / "inner" / "up").symlink_to(folder, target_is_directory=True)
    assert contents_sha256(folder) == contents_sha256(folder)
    assert contents_sha256(folder / "nothing") != contents_sha256(folder)
