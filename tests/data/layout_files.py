"""Task folders of empty files, for the tests of layouts: finding images must not open them."""

from __future__ import annotations

from pathlib import Path

from d24fad_lite.data.layouts.task_files import TaskFiles


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def normals(root: Path) -> Path:
    return touch(root, "train/good/1.png", "test/good/1.png")


def masks_of(task: TaskFiles) -> dict[str, str]:
    """Anomalous test image -> its mask, both relative to the task."""
    return {
        image.path.relative_to(task.folder).as_posix(): image.mask.relative_to(task.folder).as_posix()
        for image in task.splits["test"]
        if image.label == 1 and image.mask is not None
    }


def left_out(task: TaskFiles) -> list[tuple[str, int]]:
    return [(item.path.relative_to(task.folder).as_posix(), item.count) for item in task.left_out]
