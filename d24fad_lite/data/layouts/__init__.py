"""What lies on disk: tasks, splits, labels, masks and groups, found by names alone (no image is decoded).

One file per published layout; the first that a task folder fits is taken:

    meta_json   UniVAD: meta.json lists images, labels and masks
    folders     ours, BMAD, MVTec: labels are names of folders; masks beside, below or among them
    brats       MedIAnomaly's BraTS 2021: train/*, test/{normal,tumor,annotation}
    data_json   DDAD, MedIAnomaly: data.json lists the files under images/
    isic        ISIC 2018: Training_Input, Test_Input and their tables

Folder names are matched whole and without regard to case: good or normal; bad, ungood, abnormal or anomaly. A substring
never counts, so `Ungood` is not `good`. Order is natural (2 before 10) and the same on every platform. What is not used
joins `FoundTask.left_out`, with its count and the reason, and one warning tells all of it; what is no data (see
`walking`) does not.
"""

from __future__ import annotations

from pathlib import Path

from d24fad_lite.data.groups import read_groups
from d24fad_lite.data.layouts import brats, data_json, isic, meta_json
from d24fad_lite.data.layouts.folders import Dialect, read_folders
from d24fad_lite.data.layouts.found import (
    EXPECTED,
    MASK_FOLDERS,
    SPLITS,
    FoundImage,
    FoundTask,
    LayoutError,
    LeftOut,
    natural_key,
    told,
)
from d24fad_lite.data.layouts.walking import (
    is_document,
    is_junk,
    list_folders,
    list_images,
    subfolders,
    unused,
)
from d24fad_lite.data.recognise import is_image_file

__all__ = ["FoundImage", "FoundTask", "LayoutError", "LeftOut", "find_task", "is_task_folder", "list_folders",
           "list_images", "natural_key"]

GROUPS = "groups.csv"


def is_task_folder(folder: Path) -> bool:
    """Whether a folder holds train/ or test/ (any case), a data.json, or ISIC's folders."""
    return bool((folder / data_json.NAME).is_file() or subfolders(folder, ("train", "test"))
                or isic.isic_folders(folder))


def find_task(folder: Path) -> FoundTask:
    """Read one task folder. LayoutError names a missing or empty split, a stray mask or a bad entry of a listing."""
    task = _read(folder)
    _name_unused(task)
    _require_images(task)
    _read_groups(task)
    if task.left_out:
        task.warnings.insert(0, told(f"task '{folder.name}'", task.left_out, folder))
    return task


def _read(folder: Path) -> FoundTask:
    if subfolders(folder, ("train", "test")):
        if meta := meta_json.meta_entries(folder):
            return meta_json.read_meta(folder, *meta)
        return read_folders(folder, brats.BRATS if brats.is_brats(folder) else Dialect())
    if (folder / data_json.NAME).is_file():
        return data_json.read_data_json(folder)
    if folders := isic.isic_folders(folder):
        return isic.read_isic(folder, folders)
    raise LayoutError(f"task '{folder.name}' at '{folder}' is empty or of no known layout; expected {EXPECTED}")


def _name_unused(task: FoundTask) -> None:
    """Whatever lies beside train/ and test/ and is no part of the layout."""
    for path in sorted(task.folder.iterdir(), key=natural_key):
        if is_junk(path) or _is_part(path, task):
            continue
        item = unused(path, _why_unused(path, task))
        if item.count:
            task.left_out.append(item)


def _is_part(path: Path, task: FoundTask) -> bool:
    name = path.name.lower()
    if not path.is_dir():
        return name in {GROUPS, task.layout} or is_document(path.name) or path.name.startswith(".") and \
            not is_image_file(path)
    if task.layout == "data.json":
        return not name.startswith(".")  # listed or named there
    if task.layout == "isic":
        return path in isic.isic_folders(task.folder).values()
    return name in MASK_FOLDERS or any(name in names for names in SPLITS.values())


def _why_unused(path: Path, task: FoundTask) -> str:
    if path.name.startswith("."):
        return "hidden"
    if path.is_dir():
        return f"no part of the layout; expected {EXPECTED}"
    if is_image_file(path):
        return "an image beside the folders; move it to train/good, test/good or test/bad"
    if path.name.lower() in (data_json.NAME, meta_json.NAME):
        return "the folders beside it are read" if path.name.lower() == data_json.NAME else "of another form"
    return f"of no meaning here; patients are listed in {GROUPS}" if path.suffix.lower() == ".csv" else "no image"


def _require_images(task: FoundTask) -> None:
    name, folder = task.folder.name, task.folder
    for split in ("train", "test"):
        if not task.splits.get(split):
            raise LayoutError(f"task '{name}' has no {split} images under '{folder}'; expected {EXPECTED}")
    _require_distinct(task)
    if all(image.label == 1 for image in task.splits["test"]):
        task.warnings.append(f"task '{name}' has no normal test images, so AUROC is not defined; add test/good")
    if all(image.label == 0 for image in task.splits["test"]):
        task.warnings.append(f"task '{name}' has no anomalous test images, so AUROC is not defined; add test/bad")
    for split, images in task.splits.items():
        bad = [image for image in images if image.label == 1]
        bare = [image for image in bad if image.mask is None]
        if 0 < len(bare) < len(bad):
            task.warnings.append(
                f"{len(bare)} of {len(bad)} anomalous {split} images of task '{name}' have no mask, first: "
                f"{bare[0].path.relative_to(folder).as_posix()}; pixel metrics leave them out"
            )


def _require_distinct(task: FoundTask) -> None:
    """One file listed twice, which only a listing can do."""
    places: dict[Path, str] = {}
    for split, images in task.splits.items():
        for image in images:
            if image.path in places:
                raise LayoutError(
                    f"image '{image.path}' is listed twice, in {places[image.path]} and in {split}; remove one entry"
                )
            places[image.path] = split


def _read_groups(task: FoundTask) -> None:
    for path in sorted(task.folder.iterdir(), key=natural_key):
        if path.name.lower() == GROUPS and path.is_file():
            names = {i.path.relative_to(task.folder).as_posix() for images in task.splits.values() for i in images}
            task.groups |= read_groups(path, names, task.warnings)
