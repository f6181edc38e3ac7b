"""DDAD and MedIAnomaly: data.json lists the files under images/ by split and label, "0" is normal.

    data.json {"train": {"0": [...], "unlabeled": {...}}, "test": {"0": [...], "1": [...]}}

Train files listed under other names than "0" are not used, and counted. A byte-order mark does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from d24fad_lite.data.layouts.found import (
    EXPECTED,
    MASK_FOLDERS,
    SPLITS,
    FoundImage,
    FoundTask,
    LayoutError,
    LeftOut,
    composed,
    natural_key,
)
from d24fad_lite.data.layouts.masks import Owners, attach_folder, key_of
from d24fad_lite.data.layouts.walking import grouped, list_folders, list_images, subfolders

NAME = "data.json"


def read_json(path: Path) -> object:
    """The content of a JSON file, with or without a byte-order mark; LayoutError where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise LayoutError(f"'{path}' is not valid JSON ({error}); correct it or use folders: {EXPECTED}") from error


def read_data_json(folder: Path) -> FoundTask:
    """Read a task that a data.json lists."""
    path = folder / NAME
    listing = read_json(path)
    task = FoundTask(folder, NAME)
    for split in SPLITS:
        labels = listing.get(split) if isinstance(listing, dict) else None
        if split == "valid" and labels is None:
            continue
        if not isinstance(labels, dict):
            raise LayoutError(f"'{path}' has no object '{split}' that lists files by label, expected "
                              '{"train": {"0": [...]}, "test": {"0": [...], "1": [...]}}')
        if found := list(_read_split(path, split, labels, task)):
            task.splits[split] = found
    _attach_masks(task)
    _name_unlisted(task)
    return task


def _read_split(path: Path, split: str, labels: dict[str, object], task: FoundTask) -> Iterator[FoundImage]:
    wanted = ("0",) if split == "train" else ("0", "1")
    for key in (key for key in labels if key not in wanted):
        names = list(_names(labels[key]))
        if names:
            why = f"{split} lists them as {key!r}, which is not used here"
            task.left_out.append(LeftOut(path, len(names), why, names[0]))
    for label in wanted:
        names = labels.get(label, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise LayoutError(f"'{path}': {split} / {label!r} must be a list of file names, got {type(names).__name__}")
        for name in sorted(names, key=natural_key):
            yield FoundImage(listed_file(path, name, "images"), int(label))


def listed_file(path: Path, name: str, below: str = "") -> Path:
    """The file that a listing names; LayoutError where it leads out of the listing's folder or does not exist."""
    inner = PurePosixPath(name.replace("\\", "/"))
    if inner.is_absolute() or ".." in inner.parts:
        place = f"files under {below}/" if below else "files of this folder"
        raise LayoutError(f"'{path}' lists {name!r}, which leads out of the task folder; list {place}")
    candidates = [path.parent / below / inner, path.parent / inner]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    for candidate in candidates:
        if candidate.parent.is_dir():
            for other in candidate.parent.iterdir():
                if composed(other.name) == composed(candidate.name) and other.is_file():
                    return other
    raise LayoutError(f"'{path}' lists {name!r}, but '{candidates[0]}' does not exist")


def _names(value: object) -> Iterator[str]:
    """Every file name in a nested listing."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _names(inner)


def _attach_masks(task: FoundTask) -> None:
    """Masks beside images/, called like their images."""
    places = subfolders(task.folder, MASK_FOLDERS)
    anomalous, normal = Owners(), Owners(flat=False)
    for image in (image for split in task.splits.values() for image in split if places):
        key = key_of(image.path.relative_to(task.folder))
        (anomalous if image.label else normal).add(image, key, *key.split("/", 1)[1:])
    for place in places:
        attach_folder(task, anomalous, normal, place)


def _name_unlisted(task: FoundTask) -> None:
    """Files under images/ that the listing does not use; those it lists for another purpose are counted already."""
    used = {image.path for split in task.splits.values() for image in split}
    named = {composed(PurePosixPath(name.replace("\\", "/")).as_posix())
             for name in _names(read_json(task.folder / NAME))}
    for place in list_folders(task.folder):
        if place.name.lower() in MASK_FOLDERS:
            continue
        spare = [path for path in list_images(place, task.left_out) if path not in used and not named & {
            composed(path.relative_to(top).as_posix()) for top in (place, task.folder)}]
        if spare:
            task.left_out.append(grouped(place, spare, f"not listed in {NAME}"))
