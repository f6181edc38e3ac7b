"""Random folders: whatever lies there is an image, a mask, counted as left out, or the folder is refused."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from d24fad_lite.data.layouts import read_task
from d24fad_lite.data.layouts.folder_walk import is_document, is_junk
from d24fad_lite.data.layouts.task_files import LayoutError, TaskFiles

FOLDERS = (
    "train",
    "Train",
    "test",
    "valid",
    "val",
    "good",
    "normal",
    "bad",
    "Ungood",
    "tumor",
    "img",
    "images",
    "mask",
    "masks",
    "label",
    "ground_truth",
    "annotation",
    "crack",
    "a",
    ".hidden",
    "train/good",
    "test/good",
    "test/bad",
    "test/bad/images",
    "test/bad/masks",
    "bad/crack",
    "test/crack",
    "ground_truth/crack",
)
FILES = (
    "1.png",
    "1_mask.png",
    "2.jpg",
    "2.png",
    "3_seg.png",
    ".4.png",
    "._1.png",
    "notes.txt",
    "scan.webp",
    "groups.csv",
    "README.md",
    "Thumbs.db",
    "data.json",
    "meta.json",
    "IM0001",
)
paths = st.builds(
    lambda folders, name: "/".join([*folders, name]),
    st.lists(st.sampled_from(FOLDERS), max_size=3),
    st.sampled_from(FILES),
)


def accounted(task: TaskFiles) -> int:
    """How many files the task knows of."""
    images = [image for split in task.splits.values() for image in split]
    masks = {image.mask for image in images if image.mask} | {mask for _, mask in task.normal_masks}
    return len({image.path for image in images}) + len(masks) + sum(item.count for item in task.left_out)


def expected(root: Path) -> int:
    """How many files there are, without junk, documents, and what the layout itself reads."""
    count = 0
    for path in root.rglob("*"):
        inner = path.relative_to(root)
        if not path.is_file() or is_junk(path) or is_document(path.name):
            continue
        count += not (
            len(inner.parts) == 1
            and (path.name == "groups.csv" or (path.name.startswith(".") and path.suffix != ".png"))
        )
    return count


@settings(max_examples=80, deadline=None)
@given(st.sets(paths, max_size=14))
def test_every_file_of_a_folder_is_used_counted_or_the_folder_is_refused(names):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in [*names, "train/good/base.png", "test/good/base.png", "test/bad/base.png"]:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("file,group\n" if name.endswith(".csv") else "{}" if name.endswith("n") else "x")
        try:
            task = read_task(root)
        except LayoutError:
            return
        assert accounted(task) == expected(root), [item.sentence(root) for item in task.left_out]


@settings(max_examples=40, deadline=None)
@given(st.sets(paths, max_size=8), st.booleans())
def test_every_file_beside_a_listing_is_used_counted_or_the_folder_is_refused(names, meta):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        places = ["train/good/b.png", "test/good/b.png", "test/bad/b.png"] if meta else ["images/a.png", "images/b.png"]
        names = {name for name in names if meta or name.split("/")[0] not in ("train", "Train", "test")}
        for name in [*names, *places]:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("file,group\n" if name.endswith(".csv") else "x")
        entries = [{"img_path": name, "anomaly": int("bad" in name)} for name in places]
        listing = (
            {"train": {"T": entries[:1]}, "test": {"T": entries[1:]}}
            if meta
            else {"train": {"0": ["a.png"]}, "test": {"0": ["b.png"]}}
        )
        (root / ("meta.json" if meta else "data.json")).write_text(json.dumps(listing))
        try:
            task = read_task(root)
        except LayoutError:
            return
        assert accounted(task) == expected(root) - 1, [item.sentence(root) for item in task.left_out]
