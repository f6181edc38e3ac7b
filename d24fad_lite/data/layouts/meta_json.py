"""UniVAD (and others after it): meta.json lists images of MVTec-like folders, with their labels and masks.

    meta.json {"train": {CLASS: [{"img_path": "train/good/000.png", "mask_path": "", "specie_name": "good",
                                  "anomaly": 0}, ...]}, "test": {CLASS: [...]}}

It lies in the task's folder, or in the folder above, where the paths then begin with the task's name. The listing is
believed; files of train/ and test/ that it does not list are counted and named.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from d24fad_lite.data.layouts.data_json import listed_file, read_json
from d24fad_lite.data.layouts.found import (
    GOOD_FOLDERS,
    MASK_FOLDERS,
    SPLITS,
    FoundImage,
    FoundTask,
    LayoutError,
    composed,
    natural_key,
)
from d24fad_lite.data.layouts.walking import grouped, list_images, subfolders

NAME = "meta.json"
Entries = dict[str, list[dict[str, Any]]]  # by split


def meta_entries(folder: Path) -> tuple[Path, Entries] | None:
    """The meta.json that lists a task folder, and its entries by split; None where there is none."""
    for path in (folder / NAME, folder.parent / NAME):
        if not path.is_file():
            continue
        inside = path.parent == folder
        if not inside and not is_listing(path):
            continue
        listing = read_json(path)
        if not _is_meta(listing):
            continue
        entries = {split: [entry for entries in listing.get(split, {}).values() for entry in entries
                           if inside or _first_part(entry["img_path"]) == composed(folder.name)] for split in SPLITS}
        if any(entries.values()):
            return path, entries
    return None


def is_listing(path: Path) -> bool:
    """Whether a file is a meta.json of this form."""
    try:
        return path.name == NAME and _is_meta(read_json(path))
    except (LayoutError, OSError):
        return False


def _is_meta(listing: object) -> bool:
    """Whether the content is such a listing; other files may bear the name too."""
    if not isinstance(listing, dict) or not isinstance(listing.get("test"), dict):
        return False
    parts = [part for split in SPLITS for part in _values(listing.get(split, {}))]
    return bool(parts) and all(isinstance(part, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("img_path"), str) for entry in part) for part in parts)


def _values(part: object) -> list[object]:
    return list(part.values()) if isinstance(part, dict) else [part]


def _first_part(name: str) -> str:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return composed(parts[0]) if parts else ""


def read_meta(folder: Path, path: Path, entries: Entries) -> FoundTask:
    """Read a task that a meta.json lists. LayoutError: a missing file, an anomaly that is neither 0 nor 1."""
    task = FoundTask(folder, NAME)
    for split, listed in entries.items():
        found = [_image(path, entry) for entry in sorted(listed, key=lambda entry: natural_key(entry["img_path"]))]
        anomalous = [image for image in found if image.label == 1]
        if split == "train" and anomalous:
            task.left_out.append(grouped(folder, [image.path for image in anomalous],
                                         "training sees normal images only"))
            found = [image for image in found if image.label == 0]
        if found:
            task.splits[split] = sorted(found, key=lambda image: image.label)
    _name_unlisted(task)
    return task


def _image(path: Path, entry: dict[str, Any]) -> FoundImage:
    name, label = entry["img_path"], entry.get("anomaly")
    if label not in (0, 1):
        raise LayoutError(f"'{path}': {name!r} has anomaly {label!r}, expected 0 (normal) or 1")
    mask = entry.get("mask_path") or ""
    kind = entry.get("specie_name")
    shown = kind if label == 1 and isinstance(kind, str) and kind.lower() not in GOOD_FOLDERS else None
    return FoundImage(listed_file(path, name), int(label), listed_file(path, mask) if mask and label else None, shown)


def _name_unlisted(task: FoundTask) -> None:
    used = {path for split in task.splits.values() for image in split for path in (image.path, image.mask)}
    used |= {item.path for item in task.left_out}
    names = {name for names in SPLITS.values() for name in names} | MASK_FOLDERS
    for place in subfolders(task.folder, frozenset(names)):
        spare = [path for path in list_images(place, task.left_out) if path not in used]
        if spare:
            task.left_out.append(grouped(place, spare, f"not listed in {NAME}"))
