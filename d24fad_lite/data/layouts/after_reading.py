"""The steps after reading that all layouts share: unused files, empty splits, files listed twice, warnings, groups."""

from __future__ import annotations

from pathlib import Path

from d24fad_lite.data.formats.recognise import is_image_file
from d24fad_lite.data.groups import read_groups
from d24fad_lite.data.layouts.data_json import DATA_JSON
from d24fad_lite.data.layouts.folder_names import EXPECTED
from d24fad_lite.data.layouts.folder_walk import is_document, is_junk, unused
from d24fad_lite.data.layouts.left_out import ignored_files_sentence
from d24fad_lite.data.layouts.meta_json import META_JSON
from d24fad_lite.data.layouts.task_files import LayoutError, TaskFiles
from d24fad_lite.data.names import natural_key

GROUPS = "groups.csv"


def finish_task(task: TaskFiles) -> None:
    """Complete a task in place. LayoutError: a split without images, or a file that is listed twice."""
    _list_unused(task)
    _require_images(task)
    _require_distinct(task)
    _warn_of_classes_and_masks(task)
    _read_groups(task)
    if task.left_out:
        sentence = ignored_files_sentence(f"task '{task.folder.name}'", task.left_out, task.folder)
        task.warnings.insert(0, sentence)


def _list_unused(task: TaskFiles) -> None:
    """Add whatever lies beside the folders of the layout to `left_out`."""
    for path in sorted(task.folder.iterdir(), key=natural_key):
        if is_junk(path) or _is_part(path, task):
            continue
        item = unused(path, _why_unused(path))
        if item.count:
            task.left_out.append(item)


def _is_part(path: Path, task: TaskFiles) -> bool:
    """Whether a file or folder of the task folder belongs to the layout, or is no data."""
    if path.is_dir():
        return path in task.used_folders
    if path.name.lower() in {GROUPS, task.layout} or is_document(path.name):
        return True
    return path.name.startswith(".") and not is_image_file(path)


def _why_unused(path: Path) -> str:
    """Why a file or folder beside the folders of the layout is not used, as messages put it."""
    name = path.name.lower()
    if name.startswith("."):
        return "hidden"
    if path.is_dir():
        return f"no part of the layout; expected {EXPECTED}"
    if is_image_file(path):
        return "an image beside the folders; move it to train/good, test/good or test/bad"
    if name == DATA_JSON:
        return "the folders beside it are read"
    if name == META_JSON:
        return "of another form"
    return f"of no meaning here; patients are listed in {GROUPS}" if path.suffix.lower() == ".csv" else "no image"


def _require_images(task: TaskFiles) -> None:
    """LayoutError for an empty train or test split."""
    for split in ("train", "test"):
        if not task.splits.get(split):
            raise LayoutError(
                f"task '{task.folder.name}' has no {split} images under '{task.folder}'; expected {EXPECTED}"
            )


def _require_distinct(task: TaskFiles) -> None:
    """LayoutError for an image that is listed twice; only layouts with a listing can have one."""
    split_of: dict[Path, str] = {}
    for split, images in task.splits.items():
        for image in images:
            if image.path in split_of:
                raise LayoutError(
                    f"image '{image.path}' is listed twice, in {split_of[image.path]} and in {split}; remove one entry"
                )
            split_of[image.path] = split


def _warn_of_classes_and_masks(task: TaskFiles) -> None:
    """Warn of a test split with one class only, and of masks that some anomalous images have and others lack."""
    name = task.folder.name
    if all(image.label == 1 for image in task.splits["test"]):
        task.warnings.append(f"task '{name}' has no normal test images, so AUROC is not defined; add test/good")
    if all(image.label == 0 for image in task.splits["test"]):
        task.warnings.append(f"task '{name}' has no anomalous test images, so AUROC is not defined; add test/bad")
    for split, images in task.splits.items():
        anomalous = [image for image in images if image.label == 1]
        without_mask = [image for image in anomalous if image.mask is None]
        if 0 < len(without_mask) < len(anomalous):
            task.warnings.append(
                f"{len(without_mask)} of {len(anomalous)} anomalous {split} images of task '{name}' have no mask, "
                f"first: {without_mask[0].path.relative_to(task.folder).as_posix()}; pixel metrics leave them out"
            )


def _read_groups(task: TaskFiles) -> None:
    """Take the patients of the images from groups.csv, where the task has one."""
    for path in sorted(task.folder.iterdir(), key=natural_key):
        if path.name.lower() == GROUPS and path.is_file():
            names = {
                image.path.relative_to(task.folder).as_posix() for images in task.splits.values() for image in images
            }
            task.groups |= read_groups(path, names, task.warnings)
