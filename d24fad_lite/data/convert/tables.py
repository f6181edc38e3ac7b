"""Images with their labels in a CSV file: for any study, and for the published sets that come this way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from d24fad_lite.data.convert.records import Plan, SourceError, SourceImage
from d24fad_lite.data.convert.source_files import FileIndex, note_unused, read_table, same_value

LICENCE = "that of your data; conversion changes nothing in it"


@dataclass
class ImageTable:
    """A CSV file and what its columns mean.

    Attributes
    ----------
    path : Path
        The CSV file.
    folder : Path
        The folder that its image names start from.
    image, label : str
        Columns of image names and of labels.
    normal : sequence of str
        Label values of normal images.
    anomalous : sequence of str, default ()
        Label values of anomalous images; where it is empty, all that are not normal.
    group : str, default ""
        Column of patients, "" for none.
    mask : str, default ""
        Column of mask names, "" for none.
    mask_folder : Path or None, default None
        The folder that mask names start from; None for `folder`.
    suffix : str, default ""
        Added to an image name that no file has as it stands.
    class_names : mapping of str to str, default {}
        Label value -> its class in the final table. Other values become `<label> = <value>`.
    kinds : mapping of str to str, default {}
        Label value -> kind of anomaly. Other values are their own kind.
    """

    path: Path
    folder: Path
    image: str
    label: str
    normal: Sequence[str]
    anomalous: Sequence[str] = ()
    group: str = ""
    mask: str = ""
    mask_folder: Path | None = None
    suffix: str = ""
    class_names: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)


def plan_table(table: ImageTable) -> Plan:
    """Plan for images of your own with their labels in a table.

    Parameters
    ----------
    table : ImageTable
        The CSV file and what its columns mean.

    Returns
    -------
    Plan

    Raises
    ------
    SourceError : no such file, folder or column, or no value that means normal.
    """
    if not table.normal:
        raise SourceError("no normal value is given; say which values of the label column mean normal")
    root = table.folder
    patients = f"column {table.group}" if table.group else "not given: images of one patient may stand on both sides"
    options: dict[str, object] = {
        "image": table.image,
        "label": table.label,
        "normal": ",".join(table.normal),
        "anomalous": ",".join(table.anomalous),
        "group": table.group,
        "suffix": table.suffix,
        "folder": "" if table.folder == table.path.parent else table.folder.name,
        "mask": table.mask,
        "mask_folder": table.mask_folder.name if table.mask_folder else "",
    }
    plan = Plan("csv", table.path.stem, LICENCE, root, patients, "none, these are your own images", options=options)
    add_table_images(plan, table)
    return plan


def add_table_images(plan: Plan, table: ImageTable) -> None:
    """Add an image to a plan for every row of a table, and one that is left out for every file without a row.

    Parameters
    ----------
    plan : Plan
        Gets the images and notes.
    table : ImageTable
        The CSV file and what its columns mean.

    Raises
    ------
    SourceError : no such file, folder or column.
    """
    if not table.folder.is_dir():
        raise SourceError(f"image folder '{table.folder}' does not exist; it should hold the images of '{table.path}'")
    columns = [name for name in (table.image, table.label, table.group, table.mask) if name]
    files = FileIndex(table.folder)
    masks = FileIndex(table.mask_folder or table.folder) if table.mask else None
    by_file: dict[Path | str, list[SourceImage]] = defaultdict(list)
    for row in read_table(table.path, columns):
        image = _row_image(plan, table, row, files, masks)
        by_file[image.picture if isinstance(image.picture, Path) else image.name].append(image)
    for same in by_file.values():
        plan.images += _one_of(same, plan)
    mask_paths = {image.mask for image in plan.images}
    for path in files.paths:
        if path not in by_file and path not in mask_paths:
            plan.images.append(
                SourceImage(
                    path.relative_to(plan.root).as_posix(),
                    "(not in the table)",
                    path,
                    why=f"no row in {table.path.name}",
                )
            )
    if table.path.parent == plan.root and table.folder != plan.root:
        note_unused(plan.root, (table.path, table.folder, table.mask_folder or ""), plan.notes)


def _row_image(
    plan: Plan, table: ImageTable, row: Mapping[str, str], files: FileIndex, masks: FileIndex | None
) -> SourceImage:
    """The image of one row, left out where the row or its files are not as they should be."""
    listed_name, value = row[table.image], row[table.label]
    path, trouble = _find(files, listed_name, table.suffix)
    name = path.relative_to(plan.root).as_posix() if path else listed_name
    known = next((known for known in (*table.normal, *table.anomalous) if same_value(value, known)), value)
    image = SourceImage(name, table.class_names.get(known, f"{table.label} = {known or '(empty)'}"), path)
    image.patient = row.get(table.group) or None
    if not value:
        image.leave_out("no label", f"column {table.label} is empty", problem=True)
    elif table.anomalous and known not in (*table.normal, *table.anomalous):
        image.leave_out("label neither normal nor anomalous", f"{table.label} = {value}")
    if path is None:
        missing = f"no file {listed_name or '(empty)'} in {table.folder.name}"
        image.leave_out("file is missing", trouble or missing, problem=True)
    image.label = 0 if known in table.normal else 1
    image.kind = table.kinds.get(known, known) if image.label else None
    if masks is not None and image.label and row[table.mask]:
        image.mask, trouble = _find(masks, row[table.mask], ".png")
        if image.mask is None:
            image.leave_out("mask is missing", trouble or f"no file {row[table.mask]}", problem=True)
    return image


def _find(files: FileIndex, name: str, suffix: str) -> tuple[Path | None, str]:
    """The file of this name; or None, and why there is none if the name is not simply absent."""
    try:
        return (files.find(name, suffix) if name else None), ""
    except SourceError as error:
        return None, str(error)


def _one_of(same: list[SourceImage], plan: Plan) -> list[SourceImage]:
    """The rows of one file as one image: equal rows count once, and rows that differ leave the image out."""
    first = same[0]
    if len({(image.source_class, image.patient) for image in same}) > 1:
        says = sorted({f"{image.source_class}{f', {image.patient}' if image.patient else ''}" for image in same})
        first.why, first.detail, first.problem = "rows disagree", " against ".join(says), True
    elif len(same) > 1:
        plan.notes.append(f"{first.name} has {len(same)} equal rows; it is taken once")
    return [first]
