"""Where a notebook's run writes, and how the checkout around it is found."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from d24fad_lite.lessons.checkout import find_checkout, run_folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "kit" / "notebooks" / "exercises").mkdir(parents=True)
    (tmp_path / "kit" / "notebooks" / "00_first.ipynb").touch()
    return tmp_path / "kit"


def test_the_checkout_is_the_nearest_folder_upwards_that_holds_notebooks(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout / "notebooks" / "exercises")
    assert find_checkout() == checkout == find_checkout(checkout)
    assert run_folder("00_first") == checkout / "runs" / "interactive" / "exercises" / "00_first"
    monkeypatch.chdir(checkout / "notebooks")
    assert run_folder("00_first") == checkout / "runs" / "interactive" / "00_first"
    assert (checkout / "runs" / "interactive" / "00_first").is_dir()


def test_outside_of_one_it_is_the_packages_own_and_runs_go_to_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert (find_checkout() / "d24fad_lite" / "lessons" / "checkout.py").is_file()
    assert run_folder("00_first") == tmp_path / "temporary" / "d24fad_lite" / "runs" / "interactive" / "00_first"


def test_a_named_folder_without_notebooks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no NN_name.ipynb in .*/notebooks; run this in a checkout"):
        find_checkout(tmp_path)


def test_the_folder_that_is_asked_for_is_made(tmp_path: Path) -> None:
    assert run_folder("00_first", str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()
