"""What is taken out of a run's texts, and what stays: numbers, pictures, words of the layout, names of tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from d24fad_lite.private_names import neutral_names
from d24fad_lite.runs.sealing import Seal, ids_below, without_places

FILES = (
    "T/test/bad/smith.png",
    "T/test/good/7.png",
    "T/test/good/T.png",
    "T/test/good/a very long name of a scan of smith_john.png",
)
IDS = neutral_names(("p1", "miller"), "group") | neutral_names(FILES, "image")


def sealed(text: str) -> str:
    seal = Seal({"/home/me": "~", "/data/my scans": "ROOT"}, IDS)
    seal.look_at([text])
    return seal.text(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "smith: T/test/bad/smith.png, test/bad/smith.png, smith.png",
            "image 0001: image 0001, image 0001, image 0001",
        ),
        ("7.png has 7 of 7", "image 0002 has 7 of 7"),
        ("of miller, not of millers", "of group 0001, not of millers"),
        ("\x1b[31msmith.png\x1b[0m", "\x1b[31mimage 0001\x1b[0m"),
        ("T/test/good/a very long name of a scan of smit... 0.5", "image 0004 0.5"),
        ("/data/my scans/T/other.png", "ROOT/T/other.png"),
        ("/home/me-too/x/y.png or /home/me/x/y.png", "y.png or y.png"),
        ("/data/my scans/T/test/bad/smith.png", "ROOT/image 0001"),
    ],
)
def test_names_and_folders_go(text: str, shown: str) -> None:
    assert sealed(text) == shown


@pytest.mark.parametrize(
    "text", ["task T: 0.7", "p1 of p10", "test, good, bad", "data:image/png;base64,/smith/ab/c+/miller="]
)
def test_numbers_tasks_words_of_the_layout_and_pictures_stay(text: str) -> None:
    assert sealed(text) == text


def test_the_key_has_what_came_up_and_nothing_else() -> None:
    seal = Seal({}, IDS)
    values = {"rows": [{"name": "smith.png", "score": 0.5, "of": None}], "smith.png": True}
    seal.look_at(["smith.png"])
    assert seal.value(values) == {"rows": [{"name": "image 0001", "score": 0.5, "of": None}], "image 0001": True}
    assert seal.used == {"T/test/bad/smith.png": "image 0001"}


def test_names_are_those_of_files_and_of_patients(tmp_path: Path) -> None:
    (tmp_path / "T/test").mkdir(parents=True)
    for name in ("T/test/x.png", "T/data.json", "README.md"):
        (tmp_path / name).touch()
    (tmp_path / "T/groups.csv").write_text("file,group\ntest/x.png,=smith\n")
    assert ids_below([tmp_path]) == {"T/test/x.png": "image 0001", "=smith": "group 0001"}
    (tmp_path / "T/groups.csv").write_bytes(b"\x00\xff,")
    assert ids_below([tmp_path]) == {"T/test/x.png": "image 0001"}


def test_parameters_that_are_places_are_called_by_their_own_names() -> None:
    given = {"root": "/home/me/data", "seed": 3, "shots": "2,4", "weights": "~/w.pth", "task": "HIS"}
    assert without_places(given) == {"root": "ROOT", "seed": 3, "shots": "2,4", "weights": "WEIGHTS", "task": "HIS"}
