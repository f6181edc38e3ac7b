"""What the page "why my numbers differ" promises: equal where it says so, within its tolerances elsewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from numbers_differ import (
    BEGIN,
    END,
    EXACT,
    PAGE,
    REFERENCE,
    SETTINGS,
    TOLERANCES,
    all_settings,
    compare,
    shown,
    table,
    write_page,
)

AGAIN = "the same again"
OTHERS = ["two threads", "without AVX-512", "without AVX", "without oneDNN"]
Results = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The quick form: a process for each setting, in a minute or so."""
    return all_settings([REFERENCE, AGAIN, *OTHERS], tmp_path_factory.mktemp("numbers"), None, quick=True)


@pytest.mark.timeout(900)
def test_the_same_computer_gives_the_same_numbers_to_the_last_bit(results: Results) -> None:
    again = {quantity: value for quantity, value in results[AGAIN].items() if not quantity.startswith("one image")}
    assert {"weights, step 10", "scores, epoch 1", "map, released", "loss, epoch 1"} <= set(again)
    assert not any(again.values()), again
    assert results[AGAIN]["one image at a time"] == results[REFERENCE]["one image at a time"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("setting", OTHERS)
def test_another_processor_stays_within_what_the_page_allows(results: Results, setting: str) -> None:
    found = results[setting]
    assert [found[quantity] for quantity in EXACT] == [0, 0, 0]
    too_far = {name: found[name] for name, allowed in TOLERANCES.items() if not found[name] <= allowed}
    assert not too_far


@pytest.mark.timeout(900)
def test_other_instructions_do_change_last_digits(results: Results) -> None:
    """Else the variables were not heard, and the tests above would compare a processor with itself."""
    import torch

    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("nothing to switch off on this processor")
    assert results["without AVX"]["teacher features"] > 0


def test_the_page_shows_these_settings_and_allows_what_the_test_allows() -> None:
    measured = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in measured.splitlines() if line[:1] == "|"]
    assert {AGAIN, *OTHERS} <= set(rows[0]) and rows[0][-1] == "allowed"
    allowed = {row[0]: row[-1] for row in rows[2:]}
    assert all(allowed[quantity] == "equal" for quantity in EXACT)
    assert {name: float(allowed[name]) for name in TOLERANCES} == TOLERANCES
    again = rows[0].index(AGAIN)
    assert {row[again] for row in rows[2:] if not row[0].startswith("one image")} == {"equal"}
    assert not re.search(r"/(?:home|root|tmp|work)/", PAGE.read_text(encoding="utf-8"))


def test_a_difference_is_relative_to_the_largest_value_and_absolute_for_an_auroc() -> None:
    reference = {"pixels": np.array("a"), "scores, x": np.array([2.0, -4.0]), "AUROC, x": np.array([0.5, 0.75])}
    found = {"pixels": np.array("b"), "scores, x": np.array([2.0, -3.0]), "AUROC, x": np.array([0.75, 0.75])}
    assert compare(reference, reference) == {"pixels": 0, "scores, x": 0, "AUROC, x": 0}
    assert compare(found, reference) == {"pixels": float("inf"), "scores, x": 0.25, "AUROC, x": 0.25}


def test_levels_are_joined_by_the_worst_and_signs_are_counted() -> None:
    reference = {
        "teacher features, 1": np.ones(2), "teacher features, 2": np.ones(2),
        "initial weights": np.ones(4), "weights, step 1": np.array([2.0, 2, 0, 1]),
    }  # fmt: skip
    found = reference | {"teacher features, 2": np.array([1.0, 1.5]), "weights, step 1": np.array([2.0, 0, 0, 1])}
    assert compare(found, reference) == {
        "teacher features": 0.5,
        "initial weights": 0,
        "weights, step 1": 1.0,
        "share of weights that went the other way, step 1": 0.25,
    }


def test_another_seed_is_compared_after_training_only() -> None:
    numbers = {"pixels": np.array("a"), "weights, step 1": np.ones(2), "AUROC, epoch 1": np.array([0.5, 0.7])}
    other = numbers | {"AUROC, epoch 1": np.array([0.7, 0.5])}
    found = compare(other, numbers, seed=1)
    assert found == {"AUROC, epoch 1": pytest.approx(0.2), "mean AUROC, epoch 1": pytest.approx(0)}


def test_the_page_keeps_its_words_and_gets_the_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_page({REFERENCE: {"pixels": 0.0}, AGAIN: {"pixels": 0.0, "map, released": 2e-5}}, page)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith(f"{END}\nafter\n") and "old" not in text
    assert "| pixels | equal | equal |" in text and "| map, released | 2e-05 | 0.001 |" in text


def test_what_is_not_equal_is_said_aloud() -> None:
    assert shown("pixels", float("inf")) == "**not equal**" and shown("mean AUROC, epoch 1", 0.03) == "0.0300"
    assert "the numbers kept" in table({"one thread": {"pixels": 0.0}}, "")


def test_every_setting_but_the_reference_and_the_repetition_changes_something() -> None:
    assert [name for name, setting in SETTINGS.items() if setting == SETTINGS[REFERENCE]] == [REFERENCE, AGAIN]
