"""Files appear whole or not at all; contents are named by sha256; JSON is strict."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from d24fad_lite.files import (
    LONGEST_NAME,
    JsonError,
    file_sha256,
    fitting_name,
    plain,
    read_json,
    read_json_or_none,
    replacing,
    replacing_folder,
    sha256_of,
    write_json,
    write_text,
)


def test_a_file_is_written_whole_and_folders_above_are_made(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "c.txt"
    write_text(target, "first\n")
    write_text(target, "second\n")
    assert target.read_bytes() == b"second\n"
    assert [path.name for path in target.parent.iterdir()] == ["c.txt"]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "kept.txt"
    write_text(target, "old")

    def interrupted() -> None:
        with replacing(target) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_a_folder_appears_whole_or_not_at_all_and_one_that_is_there_stays(tmp_path: Path) -> None:
    target = tmp_path / "made" / "features"

    def fill(text: str, error: type[BaseException] | None = None) -> None:
        with replacing_folder(target) as partial:
            (partial / "0.txt").write_text(text)
            if error is not None:
                raise error

    with pytest.raises(KeyboardInterrupt):
        fill("half", KeyboardInterrupt)
    assert list(target.parent.iterdir()) == []
    fill("whole")
    fill("late")
    assert (target / "0.txt").read_text() == "whole" and list(target.parent.iterdir()) == [target]


def test_the_longest_name_a_file_system_takes_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250 + ".txt")
    write_text(target, "x")
    assert target.read_text() == "x"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_new_file_can_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    write_text(tmp_path / "kit.txt", "x")
    (tmp_path / "plain.txt").write_text("x")
    with replacing(tmp_path / "library.txt") as partial:
        partial.write_text("x")
        partial.chmod(0o600)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_names_that_are_not_utf8_go_through(tmp_path: Path) -> None:
    name = os.fsdecode(b"scan\xff.png")
    write_text(tmp_path / "names.csv", name)
    assert (tmp_path / "names.csv").read_bytes() == b"scan\xff.png"


def test_json_comes_back_and_what_it_does_not_know_becomes_null(tmp_path: Path) -> None:
    write_json(
        tmp_path / "a.json", {"x": np.float32(0.5), "y": [float("nan"), float("inf")], "z": {3, 1}, "p": Path("a")}
    )
    assert read_json(tmp_path / "a.json") == {"x": 0.5, "y": [None, None], "z": [1, 3], "p": "a"}


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000], ids=["half", "not UTF-8", "too deep"])
def test_what_is_not_json_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(JsonError, match="bad.json is not readable as JSON"):
        read_json(tmp_path / "bad.json")
    assert read_json_or_none(tmp_path / "bad.json") is None
    assert read_json_or_none(tmp_path / "absent.json") is None


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "bom.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "bom.json") == [1]


def test_objects_are_not_written_as_json() -> None:
    with pytest.raises(ValueError, match="cannot write object as JSON"):
        plain([object()])


def test_hashes_are_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"abc")
    expected = hashlib.sha256(b"abc").hexdigest()
    assert sha256_of("a", b"bc") == expected == file_sha256(path)
    path.write_bytes(b"abcd")
    assert file_sha256(path) == hashlib.sha256(b"abcd").hexdigest()


def test_a_value_that_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="cannot write object as JSON"):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1} and list(tmp_path.iterdir()) == [path]


def test_tensors_arrays_frames_and_paths_become_plain() -> None:
    import pandas as pd
    import torch

    value = {"t": torch.tensor([1.0, 2.0]), "n": np.int64(3), "p": Path("a/b"), "f": pd.DataFrame({"x": [1]}), 2: (1,)}
    assert plain(value) == {"t": [1.0, 2.0], "n": 3, "p": "a/b", "f": [{"x": 1}], "2": [1]}


def test_a_name_too_long_for_a_file_system_is_cut_and_stays_different_from_others() -> None:
    assert fitting_name("a.png", ".png") == "a.png.png"
    names = [fitting_name("é" * 200 + end, ".png") for end in "ab"]
    assert len(set(names)) == 2 and all(name.endswith(".png") for name in names)
    assert all(len(os.fsencode(name)) <= LONGEST_NAME for name in names)
