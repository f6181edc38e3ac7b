"""ISIC 2018, task 3, as MedIAnomaly uses it: naevi (NV) are normal, every other lesion is anomalous.

    ISIC2018_Task3_Training_Input/<image>.jpg    ISIC2018_Task3_Training_GroundTruth/*.csv  (image,MEL,NV,BCC,...)
    ISIC2018_Task3_Test_Input/<image>.jpg        ISIC2018_Task3_Test_GroundTruth/*.csv

Training images of other classes are not used; they are counted and named.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from d24fad_lite.data.layouts.folder_walk import grouped, list_folders, list_images
from d24fad_lite.data.layouts.left_out import LeftOut
from d24fad_lite.data.layouts.mask_pairing import key_of
from d24fad_lite.data.layouts.task_files import LabelledImage, LayoutError, TaskFiles
from d24fad_lite.data.names import composed, natural_key

NORMAL, IMAGE = "NV", "image"
_SPLITS = {"training": "train", "validation": "valid", "test": "test"}
_FOLDER = re.compile(r"(?:.*_)?(training|validation|test)_(input|groundtruth)", re.IGNORECASE)


def isic_folders(folder: Path) -> dict[tuple[str, str], Path]:
    """The folders of complete splits: ("train", "input") -> folder; empty unless train and test have both parts."""
    matching = {}
    for child in list_folders(folder):
        if match := _FOLDER.fullmatch(child.name):
            matching[_SPLITS[match[1].lower()], match[2].lower()] = child
    parts = ("input", "groundtruth")
    complete = {split for split in _SPLITS.values() if all((split, part) in matching for part in parts)}
    if not {"train", "test"} <= complete:
        return {}
    return {key: child for key, child in matching.items() if key[0] in complete}


def read_isic(folder: Path) -> TaskFiles | None:
    """Read a task of that release; None for other folders.

    LayoutError: no table, a line without image, or a value that is neither 0 nor 1.
    """
    folders = isic_folders(folder)
    if not folders:
        return None
    task = TaskFiles(folder, "isic", used_folders=list(folders.values()))
    for split in ("train", "valid", "test"):
        if (split, "input") not in folders:
            continue
        images = _read_split(task, folders[split, "input"], _table(folders[split, "groundtruth"]))
        if split == "train" and (others := [image.path for image in images if image.label == 1]):
            why = f"training sees normal images only, those with {NORMAL} = 1"
            task.left_out.append(LeftOut(folders[split, "input"], len(others), why, others[0].name))
            images = [image for image in images if image.label == 0]
        if images:
            task.splits[split] = sorted(images, key=lambda image: image.label)
    return task


def _table(folder: Path) -> Path:
    """The one CSV file of a folder."""
    tables = sorted((path for path in folder.iterdir() if path.suffix.lower() == ".csv"), key=natural_key)
    if len(tables) != 1:
        raise LayoutError(f"'{folder}' holds {len(tables)} CSV files, expected one with columns {IMAGE} and {NORMAL}")
    return tables[0]


def _read_split(task: TaskFiles, inputs: Path, table: Path) -> list[LabelledImage]:
    """The images of a folder, labelled by the table; images that the table does not list join `left_out`."""
    paths = {composed(key_of(path.relative_to(inputs))): path for path in list_images(inputs, task.left_out)}
    images = []
    for line, row in _table_lines(table):
        name = composed((row[IMAGE] or "").strip())
        if name not in paths:
            raise LayoutError(f"'{table}', line {line}: image {name!r} is not in '{inputs}'; copy it there")
        try:
            marked = [key for key, value in row.items() if key != IMAGE and value and float(value) == 1]
        except (TypeError, ValueError) as error:
            raise LayoutError(f"'{table}', line {line}: {error}; expected 0 or 1 for each class") from error
        if not marked:
            raise LayoutError(f"'{table}', line {line}: image {name!r} has no class with 1; remove the line")
        label = int(marked != [NORMAL])
        images.append(LabelledImage(paths.pop(name), label, kind=marked[0] if label else None))
    if paths:
        task.left_out.append(grouped(inputs, list(paths.values()), f"not listed in {table.name}"))
    return sorted(images, key=lambda image: natural_key(image.path.name))


def _table_lines(table: Path) -> list[tuple[int, dict[str, str]]]:
    """(number of the line, values by column) of each line after the header."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if not {IMAGE, NORMAL} <= set(reader.fieldnames or ()):
                columns = ",".join(reader.fieldnames or ()) or "nothing"
                raise LayoutError(f"'{table}' must have the columns {IMAGE} and {NORMAL}, found {columns}")
            return [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"'{table}' is not a readable CSV file ({error}); save it as UTF-8 text") from error
