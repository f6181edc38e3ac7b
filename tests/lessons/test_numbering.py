"""A lesson is found by its name, its number or its words, and a letter behind the number makes another lesson."""

from __future__ import annotations

from pathlib import Path

import pytest

from d24fad_lite.lessons.numbering import is_called, lesson_files, number_of, words_of

NAMES = ["06_anomaly_maps", "06b_where", "07_choose_supports", "10_full_benchmark"]


def test_lessons_come_in_the_order_of_their_numbers_and_other_files_do_not_count(tmp_path: Path) -> None:
    for name in (*reversed(NAMES), "draft", "6_one_digit", "06bc_two_letters", "06-copy"):
        (tmp_path / f"{name}.ipynb").touch()
        (tmp_path / f"{name}.py").touch()
    assert [path.name for path in lesson_files(tmp_path)] == [f"{name}.ipynb" for name in NAMES]
    assert [path.name for path in lesson_files(tmp_path, ".py")] == [f"{name}.py" for name in NAMES]


def test_a_name_is_a_number_and_words() -> None:
    assert (number_of("06b_where"), words_of("06b_where")) == ("06b", "where")
    assert (number_of("06_anomaly_maps"), words_of("06_anomaly_maps")) == ("06", "anomaly_maps")
    assert (number_of("cell"), words_of("cell")) == ("cell", "cell")


@pytest.mark.parametrize(
    ("wanted", "called"),
    [
        ("06", ["06_anomaly_maps"]),
        ("6", ["06_anomaly_maps"]),
        ("06b", ["06b_where"]),
        ("6b", ["06b_where"]),
        ("where", ["06b_where"]),
        ("06b_where", ["06b_where"]),
        ("1", []),
        ("10", ["10_full_benchmark"]),
        ("b", []),
        ("", []),
    ],
)
def test_a_number_means_one_lesson(wanted: str, called: list[str]) -> None:
    assert [name for name in NAMES if is_called(name, wanted)] == called
