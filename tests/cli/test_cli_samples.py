from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from d24fad_lite.data.samples.world import DIFFICULTIES

SMALL = ("--size", 32, "--count", 1)


def contents(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_files_bit_by_bit_and_another_seed_others(d24fad, tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        result = d24fad("samples", "--out", tmp_path / name, "--seed", seed, "--tasks", "RSNA,LAG", *SMALL)
        assert result.code == 0, result.err
    first = contents(tmp_path / "a")
    assert first == contents(tmp_path / "b")
    images = [name for name in first if name.endswith(".png") and "/mask/" not in name]
    assert all(first[name] != contents(tmp_path / "c")[name] for name in images)


def test_count_and_train_set_the_numbers_of_images_and_an_alias_names_a_task(d24fad, tmp_path: Path) -> None:
    d24fad("samples", "--out", tmp_path / "a", "--tasks", "his", "--size", 32, "--count", 2)
    result = d24fad("samples", "--out", tmp_path / "b", "--tasks", "HIS", "--size", 32, "--count", 2, "--train", 3)
    assert "3 normal to train on, 2 normal and 2 anomalous to test" in result.out

    def numbers(root: Path) -> list[int]:
        return [len(list((root / "HIS" / part).rglob("*.png"))) for part in ("train", "test/good", "test/bad")]

    assert numbers(tmp_path / "a") == [4, 2, 2] and numbers(tmp_path / "b") == [3, 2, 2]


def test_the_difficulty_is_plain_unless_another_is_named_and_severity_says_it_in_numbers(
    d24fad, tmp_path: Path
) -> None:
    for name, options in (
        ("default", ()),
        ("plain", ("--level", "plain")),
        ("one", ("--severity", DIFFICULTIES["plain"])),
        ("hard", ("--level", "hard")),
        ("low", ("--severity", DIFFICULTIES["hard"])),
    ):
        assert d24fad("samples", "--out", tmp_path / name, "--tasks", "RSNA", *SMALL, *options).code == 0
    assert contents(tmp_path / "default") == contents(tmp_path / "plain") == contents(tmp_path / "one")
    assert contents(tmp_path / "hard") == contents(tmp_path / "low") != contents(tmp_path / "plain")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--severity", 2), "severity=2.0 must lie between 0 (a trace) and 1"),
        (("--level", "easy"), "level='easy' is not known; choose one of 'plain', 'medium', 'hard'"),
        (("--size", 8), "size=8 must be a whole number of pixels, 16 to 4096"),
        (("--tasks", "Knee"), "task='Knee' is not known; choose one of 'HIS', 'LAG'"),
        (("--count", 0), "must be 1 to 1000000 images"),
    ],
)
def test_bad_arguments_are_named(d24fad, tmp_path: Path, options: tuple, message: str) -> None:
    result = d24fad("samples", "--out", tmp_path / "s", *options)
    assert result.code == 2 and message in result.err and result.err.count("\n") == 1


def test_samples_never_overwrite(d24fad, tmp_path: Path) -> None:
    (tmp_path / "RSNA").mkdir()
    result = d24fad("samples", "--out", tmp_path, "--tasks", "RSNA", *SMALL)
    assert result.code == 2 and "already holds RSNA; choose an empty folder" in result.err


def test_an_unwritable_folder_is_named(d24fad, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = d24fad("samples", "--out", tmp_path / "file", "--tasks", "RSNA", *SMALL)
    assert result.code == 2 and str(tmp_path / "file") in result.err and result.err.count("\n") == 1
