"""Heatmaps are called as their images are, and no two images share one."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from hypothesis import given, settings
from hypothesis import strategies as st

from d24fad_lite.predicting.heatmap_names import heatmap_names, rename_heatmaps, whole_names

PARTS = st.sampled_from(["a", "b", "a.png", "a.dcm", "A"])
NAMES = st.lists(
    st.builds("".join, st.tuples(st.sampled_from(["", "x/"]), PARTS, st.sampled_from(["", ".png", ".jpg", ".dcm"]))),
    unique=True,
)


def test_a_heatmap_is_called_after_the_stem_unless_another_image_would_share_it() -> None:
    names = ["a.dcm", "b.png", "b.jpg", "sub/a.tif", "c", "d.dcm", "d.dcm.tif", "E.png", "e.tif"]
    found = {name: str(path) for name, path in heatmap_names(names).items()}
    assert found == {
        "a.dcm": "a.png",
        "b.png": "b.png.png",
        "b.jpg": "b.jpg.png",
        "sub/a.tif": "sub/a.png",
        "c": "c.png",
        "d.dcm": "d.png",
        "d.dcm.tif": "d.dcm.tif.png",
        "E.png": "E.png.png",
        "e.tif": "e.tif.png",
    }


def test_no_heatmap_lies_where_the_heatmaps_of_a_folder_lie() -> None:
    found = heatmap_names(["a.jpg", "A.png/b.jpg", "sub/c.jpg", "sub.jpg", "d.png", "d/e.png"])
    assert [str(path) for path in found.values()] == [
        *("a.jpg.png", "A.png/b.png", "sub/c.png", "sub.png", "d.png", "d/e.png")
    ]


@settings(deadline=None)
@given(NAMES)
def test_no_two_images_share_a_heatmap(names: list[str]) -> None:
    paths = list(heatmap_names(names).values())
    assert len(set(paths)) == len(names)


def test_heatmaps_follow_their_images_when_a_new_image_takes_the_stem(tmp_path: Path) -> None:
    old = heatmap_names(["a.dcm", "b.png"])
    for name, path in old.items():
        (tmp_path / path).write_text(name)
    new = heatmap_names(["a.dcm", "b.png", "a.jpg"])
    rename_heatmaps(tmp_path, old, new)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.dcm.png": "a.dcm", "b.png": "b.png"}


def test_heatmaps_that_exchange_names_are_not_lost(tmp_path: Path) -> None:
    old = {"one": PurePosixPath("x.png"), "two": PurePosixPath("y.png")}
    new = {"one": PurePosixPath("y.png"), "two": PurePosixPath("x.png")}
    for name, path in old.items():
        (tmp_path / path).write_text(name)
    rename_heatmaps(tmp_path, old, new)
    assert ((tmp_path / "x.png").read_text(), (tmp_path / "y.png").read_text()) == ("two", "one")


def test_names_of_an_earlier_version_are_the_whole_names() -> None:
    assert whole_names(["s/a.dcm"]) == {"s/a.dcm": PurePosixPath("s/a.dcm.png")}
