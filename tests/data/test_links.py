"""A link that leads out of a data folder is read, and named with its target."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest

from d24fad_lite.data.benchmark import open_benchmark, open_folder
from d24fad_lite.data.layouts.left_out import DataWarning
from d24fad_lite.predicting.inputs import list_images


@pytest.fixture
def own_root(tiny_root: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny_root, tmp_path / "data"))


def warned(root: Path, **options: object) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_benchmark(root, **options)
    return [str(item.message) for item in caught if issubclass(item.category, DataWarning)]


def test_a_linked_file_a_linked_folder_and_a_linked_task_are_named(own_root: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(own_root, tmp_path / "elsewhere"))
    (own_root / "Blobs/test/bad/new.png").symlink_to(elsewhere / "Blobs/test/bad/000.png")
    (own_root / "Blobs/test/bad/more").symlink_to(elsewhere / "Blobs/test/good", target_is_directory=True)
    (own_root / "Third").symlink_to(elsewhere / "Stripes", target_is_directory=True)
    (sentence,) = (text for text in warned(own_root) if "link" in text)
    assert sentence.startswith("folder 'data': 3 link(s) lead out of it")
    for link, target in {"Blobs/test/bad/new.png": "Blobs/test/bad/000.png", "Third": "Stripes"}.items():
        assert f"{link} -> {elsewhere / target}" in sentence
    assert [text for text in warned(own_root, tasks=["Stripes"]) if "link" in text] == []


def test_links_within_the_folder_and_a_linked_root_are_not_told(own_root: Path, tmp_path: Path) -> None:
    (own_root / "Blobs/test/bad/own.png").symlink_to(own_root / "Stripes/test/bad/000.png")
    (tmp_path / "root").symlink_to(own_root, target_is_directory=True)
    assert [text for text in warned(tmp_path / "root") if "link" in text] == []


def test_folders_to_be_scored_tell_of_links_too(tmp_path: Path, own_root: Path) -> None:
    (tmp_path / "scans").mkdir()
    for number in range(10):
        (tmp_path / f"scans/{number}.png").symlink_to(own_root / "Blobs/test/bad/000.png")
    with pytest.warns(DataWarning, match=r"folder 'scans': 10 link\(s\) .* 7.png -> .*; and 2 more; remove a link"):
        open_folder(tmp_path / "scans")
    assert "10 link(s)" in " ".join(list_images(tmp_path / "scans", tmp_path / "out").warnings())
