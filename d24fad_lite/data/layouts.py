"""What lies on disk: tasks, splits, labels, masks and groups, found by names alone (no image is opened).

Three layouts are recognised, told apart per task folder:

    ours    train/good/*   test/good/*   test/bad/[kind/]*   test/mask/[kind/]<stem>.png   groups.csv
    BMAD    train/good[/img]/*   valid/...   test/{good,Ungood}[/{img,label}]/*    (label images are masks)
    DDAD    data.json {"train": {"0": [...]}, "test": {"0": [...], "1": [...]}} with files under images/
            (also MedIAnomaly; "0" is normal, and train files listed under other names are not used)

Folder names are matched whole and without regard to case: good or normal; bad, ungood, abnormal or anomaly. A substring
never counts, so `Ungood` is not `good`. Order is natural (2 before 10) and the same on every platform. Hidden files are
ignored.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from d24fad_lite.data.groups import read_groups
from d24fad_lite.data.images import IMAGE_SUFFIXES

GOOD_FOLDERS = frozenset({"good", "normal"})
BAD_FOLDERS = frozenset({"bad", "ungood", "abnormal", "anomaly"})
MASK_FOLDERS = frozenset({"mask", "masks"})
SPLITS = ("train", "valid", "test")
_JUNK = frozenset({"thumbs.db", "desktop.ini"})
_EXPECTED = "train/good, test/good and test/bad (or BMAD's test/Ungood, or a data.json)"


class LayoutError(ValueError):
    """A data folder that does not follow a known layout; the message names the folder and says what to do."""


@dataclass
class FoundImage:
    """One image file: label 0 normal or 1 anomalous, its mask and kind (name of the subfolder) where there are any."""

    path: Path
    label: int
    mask: Path | None = None
    kind: str | None = None


@dataclass
class FoundTask:
    """Everything found in one task folder, splits in natural order, normal images before anomalous ones."""

    folder: Path
    layout: str
    splits: dict[str, list[FoundImage]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)  # path relative to the task folder (posix) -> group
    warnings: list[str] = field(default_factory=list)

    @property
    def train_place(self) -> str:
        """Where a user adds normal training images, for messages."""
        if self.layout == "data.json":
            return f"{self.folder.name}/images, listed in {self.folder.name}/data.json"
        normal = self.splits.get("train")
        inner = normal[0].path.parent.relative_to(self.folder).as_posix() if normal else "train/good"
        return f"{self.folder.name}/{inner}"


def natural_key(name: str | Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key in which `img2` precedes `img10`; ties (case, leading zeros) are broken by the exact text."""
    text = PurePosixPath(name).as_posix() if isinstance(name, str) else name.as_posix()
    pieces = re.split(r"(\d+)", text.casefold())
    return tuple((1, int(p), "") if p.isdecimal() else (0, 0, p) for p in pieces), text


def is_task_folder(folder: Path) -> bool:
    """Whether a folder holds train/ or test/ (any case) or a data.json."""
    return (folder / "data.json").is_file() or any(name in _subfolders(folder) for name in ("train", "test"))


def list_folders(folder: Path) -> list[Path]:
    """Visible subfolders in natural order."""
    return sorted((p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), key=natural_key)


def list_images(folder: Path, warnings: list[str] | None = None, skip: frozenset[str] = frozenset()) -> list[Path]:
    """Image files in a folder and below, in natural order of their path; loops of links are walked once.

    Files of other types are named in `warnings`, folders whose lower-case name is in `skip` are left out.
    """
    images, others, seen = [], [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f.lower() not in skip)
        for name in files:
            if name.startswith(".") or name.lower() in _JUNK:
                continue
            (images if Path(name).suffix.lower() in IMAGE_SUFFIXES else others).append(Path(place) / name)
    if others and warnings is not None:
        first = min(others, key=natural_key).name
        warnings.append(f"{len(others)} file(s) under '{folder}' are no images and were ignored, first: {first}")
    return sorted(images, key=lambda path: natural_key(path.relative_to(folder)))


def find_task(folder: Path) -> FoundTask:
    """Read one task folder. LayoutError names a missing or empty split, a stray mask or a bad entry of data.json."""
    folders = _subfolders(folder)
    if "train" in folders or "test" in folders:
        task = _read_folders(folder, folders)
    elif (folder / "data.json").is_file():
        task = _read_json(folder)
    else:
        raise LayoutError(f"task '{folder.name}' at '{folder}' is empty or of no known layout; expected {_EXPECTED}")
    _require_images(task)
    _read_groups(task)
    return task


def _subfolders(folder: Path) -> dict[str, Path]:
    """Lower-case name -> first visible subfolder of that name."""
    found: dict[str, Path] = {}
    for child in list_folders(folder):
        found.setdefault(child.name.lower(), child)
    return found


# --- folders: ours and BMAD ------------------------------------------------------------------------------------------


def _read_folders(folder: Path, folders: dict[str, Path]) -> FoundTask:
    task = FoundTask(folder, "folders")
    for split in SPLITS:
        if split not in folders:
            continue
        _require_no_loose_images(folders[split], folder)
        task.splits[split] = list(_read_split(folders[split], split, task))
    return task


def _read_split(folder: Path, split: str, task: FoundTask) -> Iterator[FoundImage]:
    classes = list_folders(folder)
    masks = [c for c in classes if c.name.lower() in MASK_FOLDERS]
    for child in classes:
        if child.name.lower() in GOOD_FOLDERS:
            yield from (FoundImage(path, 0) for path in _class_images(child, task)[1])
    bad: dict[str, list[FoundImage]] = {}  # path without suffix, relative to the class folder -> images
    for child in classes:
        name = child.name.lower()
        if name in BAD_FOLDERS and split != "train":
            for key, images in _bad_images(child, task).items():
                bad.setdefault(key, []).extend(images)
        elif name in BAD_FOLDERS:
            task.warnings.append(f"'{child}' is not used: training sees normal images only")
        elif name not in GOOD_FOLDERS and (name not in MASK_FOLDERS or split == "train"):
            task.warnings.append(
                f"folder '{child}' was ignored; class folders are called good or normal, and bad, ungood, abnormal "
                "or anomaly"
            )
    for child in masks if split != "train" else []:
        _attach_masks(bad, list_images(child, task.warnings), child)
    yield from (image for images in bad.values() for image in images)


def _class_images(folder: Path, task: FoundTask) -> tuple[Path, list[Path]]:
    """The folder that holds the images of a class (BMAD: its `img`) and the images."""
    base = _subfolders(folder).get("img", folder)
    return base, list_images(base, task.warnings)


def _bad_images(folder: Path, task: FoundTask) -> dict[str, list[FoundImage]]:
    """Anomalous images of one class folder by their path without suffix; BMAD's label images become their masks."""
    base, images = _class_images(folder, task)
    found: dict[str, list[FoundImage]] = {}
    for path in images:
        inner = path.relative_to(base)
        kind = inner.parts[0] if len(inner.parts) > 1 else None
        found.setdefault(inner.with_suffix("").as_posix(), []).append(FoundImage(path, 1, kind=kind))
    labels = _subfolders(folder).get("label")
    if base != folder and labels is not None:
        _attach_masks(found, list_images(labels, task.warnings), labels)
    return found


def _attach_masks(found: dict[str, list[FoundImage]], masks: list[Path], folder: Path) -> None:
    """Pair masks with images by path without suffix; a flat mask folder also serves images in kind subfolders."""
    by_stem: dict[str, list[FoundImage]] = {}
    for image in (image for images in found.values() for image in images):
        by_stem.setdefault(image.path.stem, []).append(image)
    for mask in masks:
        name = mask.relative_to(folder).with_suffix("").as_posix()
        owners = found.get(name) or (by_stem.get(name, []) if "/" not in name else [])
        if not owners:
            raise LayoutError(
                f"mask '{mask}' has no image: no anomalous image is called '{name}' (any image suffix); "
                "rename the mask after its image or remove it"
            )
        if len(owners) > 1:
            raise LayoutError(
                f"mask '{mask}' fits {len(owners)} images ('{owners[0].path}' and '{owners[1].path}'); "
                "give the images different names"
            )
        if owners[0].mask is not None:
            raise LayoutError(f"image '{owners[0].path}' has two masks, '{owners[0].mask}' and '{mask}'; remove one")
        owners[0].mask = mask


def _require_no_loose_images(split: Path, folder: Path) -> None:
    """Images beside the class folders would silently be left out, so they are an error."""
    loose = [p for p in split.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if loose:
        raise LayoutError(
            f"task '{folder.name}': {len(loose)} image(s) lie directly in '{split}', first: "
            f"{min(loose, key=natural_key).name}; move normal ones to {split.name}/good and anomalous ones to "
            "test/bad"
        )


# --- data.json: DDAD and MedIAnomaly ---------------------------------------------------------------------------------


def _read_json(folder: Path) -> FoundTask:
    path = folder / "data.json"
    try:
        listing = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise LayoutError(f"'{path}' is not valid JSON ({error}); correct it or use folders: {_EXPECTED}") from error
    task = FoundTask(folder, "data.json")
    for split in SPLITS:
        labels = listing.get(split) if isinstance(listing, dict) else None
        if split == "valid" and labels is None:
            continue
        if not isinstance(labels, dict):
            raise LayoutError(f"'{path}' has no object '{split}' that lists files by label, expected "
                              '{"train": {"0": [...]}, "test": {"0": [...], "1": [...]}}')
        task.splits[split] = list(_json_split(path, split, labels, task))
    return task


def _json_split(path: Path, split: str, labels: dict[str, object], task: FoundTask) -> Iterator[FoundImage]:
    wanted = ("0",) if split == "train" else ("0", "1")
    ignored = [key for key in labels if key not in wanted]
    if ignored:
        task.warnings.append(f"'{path}': {split} lists {', '.join(map(repr, ignored))}, which is not used here")
    for label in wanted:
        names = labels.get(label, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise LayoutError(f"'{path}': {split} / {label!r} must be a list of file names, got {type(names).__name__}")
        for name in sorted(names, key=natural_key):
            yield FoundImage(_json_image(path, name), int(label))


def _json_image(path: Path, name: str) -> Path:
    inner = PurePosixPath(name.replace("\\", "/"))
    if inner.is_absolute() or ".." in inner.parts:
        raise LayoutError(f"'{path}' lists {name!r}, which leads out of the task folder; list files under images/")
    for candidate in (path.parent / "images" / inner, path.parent / inner):
        if candidate.is_file():
            return candidate
    raise LayoutError(f"'{path}' lists {name!r}, but '{path.parent / 'images' / inner}' does not exist")


# --- both ------------------------------------------------------------------------------------------------------------


def _require_images(task: FoundTask) -> None:
    name, folder = task.folder.name, task.folder
    for split in ("train", "test"):
        if not task.splits.get(split):
            raise LayoutError(f"task '{name}' has no {split} images under '{folder}'; expected {_EXPECTED}")
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
    """One file listed twice, which only data.json or links can do."""
    places: dict[Path, str] = {}
    for split, images in task.splits.items():
        for image in images:
            if image.path in places:
                raise LayoutError(
                    f"image '{image.path}' is listed twice, in {places[image.path]} and in {split}; remove one entry"
                )
            places[image.path] = split


def _read_groups(task: FoundTask) -> None:
    path = task.folder / "groups.csv"
    if path.is_file():
        names = {i.path.relative_to(task.folder).as_posix() for images in task.splits.values() for i in images}
        task.groups = read_groups(path, names, task.warnings)
