"""NIfTI volumes: slices as images, the volume as the patient, segmentations as masks."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from d24fad_lite.data.convert.records import Plan, SourceError, SourceImage
from d24fad_lite.data.convert.slices import OpenVolume, SliceSettings
from d24fad_lite.data.convert.source_files import FileIndex, plain_stem, read_table, require_folder, same_value
from d24fad_lite.data.convert.volumes import AXES, ORIENTATION, SUFFIXES, cut, read_volume
from d24fad_lite.data.images import ImageError

LICENCE = "that of your data; conversion changes nothing in it"
NORMAL_FOLDERS = frozenset({"good", "normal"})  # as in the kit's own layout
ANOMALOUS_FOLDERS = frozenset({"bad", "ungood", "abnormal", "anomaly"})
MASK_ENDINGS = ("_seg", "_mask", "_label", "-seg", "-mask", "-label", "_segmentation")


@dataclass
class LabelTable:
    """A CSV file that says which volumes are normal.

    Attributes
    ----------
    path : Path
        The CSV file.
    image, label : str
        Columns of volume names and of labels.
    normal : sequence of str
        Label values of normal volumes.
    group : str, default ""
        Column of patients; "" where each volume is one.
    """

    path: Path
    image: str
    label: str
    normal: Sequence[str]
    group: str = ""


def plan_nifti(
    root: str | Path,
    settings: SliceSettings | None = None,
    *,
    table: LabelTable | None = None,
    masks: str | Path | None = None,
    pattern: str = "*",
    progress: bool = True,
) -> Plan:
    """Plan for slices of volumes. The patient of a slice is its volume (the file's name), or the table's group.

    What is normal comes from the segmentation where `masks` has one (a slice with enough marked voxels is anomalous),
    else from the table, else from the class folder: good or normal; bad, ungood, abnormal or anomaly.

    Parameters
    ----------
    root : str or Path
        Folder of .nii and .nii.gz files, in class folders where there is no table and no segmentation.
    settings : SliceSettings or None, default None
        How volumes are cut; None for all axial slices.
    table : LabelTable or None, default None
        Labels of the volumes.
    masks : str, Path or None, default None
        Folder of segmentations, non-zero = anomalous, named as the volumes, also with _seg, _mask or _label added or in
        place of the last part (scan_flair, scan_seg). It may be `root`; then the ending tells them apart.
    pattern : str, default "*"
        Names of the volumes to take, in any case, such as "*_flair.nii.gz".
    progress : bool, default True
        Show a bar, where there is a terminal.

    Returns
    -------
    Plan

    Raises
    ------
    SourceError : nothing to convert, or a table that does not fit.
    ModuleNotFoundError : no nibabel.
    """
    import nibabel  # noqa: F401  without it no volume can be read: better one error than one for each

    settings = settings or SliceSettings()
    root = require_folder(Path(root), "NIfTI volumes (.nii or .nii.gz)")
    files = FileIndex(root, SUFFIXES)
    segmentations = _segmentations(Path(masks), files) if masks is not None else []
    labels = _table_labels(table, files) if table else None
    patients = f"column {table.group}" if table and table.group else "each volume is a patient"
    plan = Plan(
        "nifti",
        root.name,
        LICENCE,
        root,
        patients,
        "none, these are your own volumes",
        options=_options(settings, table, masks, pattern),
        notes=[f"slices are in {ORIENTATION}"],
    )
    masks_by_stem = {plain_stem(path).casefold(): path for path in segmentations}
    volumes = _matching_volumes(files, segmentations, pattern, plan.notes)
    for path in tqdm(volumes, desc="volumes", unit="volume", disable=None if progress else True):
        plan.images += _volume_images(plan, path, settings, labels, _mask_for(path, masks_by_stem))
    if table and labels:
        plan.images += _missing_volumes(table, labels)
    if not plan.images:
        named = f" called {pattern}" if pattern != "*" else ""
        raise SourceError(f"'{root}' holds no .nii or .nii.gz file{named}")
    return plan


def _matching_volumes(files: FileIndex, segmentations: list[Path], pattern: str, notes: list[str]) -> list[Path]:
    """The files that are no segmentations and match the pattern; a note counts those that do not match."""
    segmentation_files = {path.resolve() for path in segmentations}
    volumes = [path for path in files.paths if path.resolve() not in segmentation_files]
    matching = [path for path in volumes if fnmatch.fnmatch(path.name.lower(), pattern.lower())]
    if len(matching) < len(volumes):
        notes.append(f"{len(volumes) - len(matching)} volume(s) are not called {pattern} and were not used")
    return matching


def _options(
    settings: SliceSettings, table: LabelTable | None, masks: str | Path | None, pattern: str
) -> dict[str, object]:
    """The settings under their names on the command line."""
    first, last = ("" if end is None else end for end in (settings.start, settings.stop))
    low, high = settings.window or settings.percentiles
    options: dict[str, object] = {
        "axis": settings.axis,
        "slices": f"{first}:{last}",
        "step": settings.step,
        "window" if settings.window else "percentiles": f"{low:g}:{high:g}",
        "min_voxels": settings.min_voxels,
        "masks": "MASKS" if masks is not None else "",
    }
    if pattern != "*":
        options["pattern"] = pattern
    if table:
        options |= {
            "table": table.path.name,
            "image": table.image,
            "label": table.label,
            "normal": ",".join(table.normal),
            "group": table.group,
        }
    return options


# --- labels ----------------------------------------------------------------------------------------------------------

# volume -> class, label, patient; a row whose volume has no file stands under its name, a str
Labels = dict[Path | str, tuple[str, int, str | None]]


def _table_labels(table: LabelTable, files: FileIndex) -> Labels:
    """The labels of a table; SourceError for a row without name or label, and for rows that disagree."""
    columns = [name for name in (table.image, table.label, table.group) if name]
    labels: Labels = {}
    for row in read_table(table.path, columns):
        name, value = row[table.image], row[table.label]
        if not name or not value:
            raise SourceError(
                f"'{table.path}' has a row without {table.image} or {table.label}: {', '.join(row.values())}"
            )
        label = int(not any(same_value(value, normal) for normal in table.normal))
        facts = (f"{table.label} = {value}", label, row.get(table.group) or None)
        if labels.setdefault(files.find(name) or name, facts) != facts:
            raise SourceError(f"'{table.path}' has two rows for {name} that disagree; keep one")
    return labels


def _missing_volumes(table: LabelTable, labels: Labels) -> list[SourceImage]:
    """An image, left out, for every row of the table whose volume has no file."""
    detail = f"row of {table.path.name}"
    return [
        SourceImage(name, "(volume missing)", why="file is missing", detail=detail, problem=True)
        for name in labels
        if isinstance(name, str)
    ]


def _folder_label(path: Path, root: Path) -> tuple[str, int | None]:
    """Class folder and label of a volume, by the names that the kit's own layout uses."""
    for folder in path.relative_to(root).parts[:-1]:
        if folder.lower() in NORMAL_FOLDERS | ANOMALOUS_FOLDERS:
            return folder, int(folder.lower() in ANOMALOUS_FOLDERS)
    return "(no class)", None


def _segmentations(folder: Path, volumes: FileIndex) -> list[Path]:
    """The segmentations in a folder; where volumes lie there too, the files with an ending of segmentations."""
    files = FileIndex(require_folder(folder, "segmentations"), SUFFIXES).paths
    volume_files = {path.resolve() for path in volumes.paths}
    return [
        path for path in files if path.resolve() not in volume_files or plain_stem(path).lower().endswith(MASK_ENDINGS)
    ]


def _mask_for(path: Path, masks_by_stem: dict[str, Path]) -> Path | None:
    """The segmentation named as the volume, or so with an ending added or in place of the name's last part."""
    stem = plain_stem(path)
    shorter = stem.rpartition("_")[0]
    names = [stem, *(f"{base}{ending}" for base in (stem, shorter) if base for ending in MASK_ENDINGS)]
    return next((masks_by_stem[name.casefold()] for name in names if name.casefold() in masks_by_stem), None)


# --- slices ----------------------------------------------------------------------------------------------------------


def _volume_images(
    plan: Plan, path: Path, settings: SliceSettings, labels: Labels | None, mask_path: Path | None
) -> list[SourceImage]:
    """The slices of one volume; the whole volume, left out, where nothing can be made of it."""
    name = path.relative_to(plan.root).as_posix()
    source_class, label = _folder_label(path, plan.root)
    patient: str | None = None
    if labels is not None:
        source_class, label, patient = labels.get(path, ("(not in the table)", None, None))
    whole = SourceImage(name, source_class, path)
    if label is None and mask_path is None:
        whole.leave_out("nothing says whether it is normal", "no class folder, no row, no segmentation", problem=True)
        return [whole]
    try:
        volume = OpenVolume(path, settings)
        marked = read_volume(mask_path).values if mask_path else None
        if marked is not None and marked.shape != volume.shape:
            raise ImageError(f"segmentation '{mask_path}' has the shape {marked.shape}, its volume {volume.shape}")
    except ImageError as error:
        whole.leave_out("cannot be read", str(error), problem=True)
        return [whole]
    plan.notes += [f"{name}: {remark}" for remark in volume.remarks]
    indices = settings.indices(volume.shape[AXES[settings.axis]])
    if not indices:
        whole.leave_out("no slice in the range", f"{volume.shape[AXES[settings.axis]]} slices", problem=True)
        return [whole]
    images = [_slice_image(whole, volume, index, label, patient) for index in indices]
    if marked is not None:
        for image, index in zip(images, indices, strict=True):
            _label_by_mask(image, cut(marked, settings.axis, index), settings.min_voxels)
    return images


def _slice_image(
    whole: SourceImage, volume: OpenVolume, index: int, label: int | None, patient: str | None
) -> SourceImage:
    """One slice, whose picture is written when it is asked for; left out where it shows one value only."""
    stem = plain_stem(volume.path)
    folder = whole.name.rpartition("/")[0]
    name = f"{folder}/{stem}_{index:03d}" if folder else f"{stem}_{index:03d}"
    image = SourceImage(
        name, whole.source_class, lambda target: volume.write(index, target), label, patient=patient or stem
    )
    if volume.is_flat(index):
        image.leave_out("slice of one value", "nothing to see within the window")
    return image


def _label_by_mask(image: SourceImage, marked: np.ndarray, min_voxels: int) -> None:
    """Label a slice by the marked voxels of its segmentation, [rows, columns], and give it a mask of them."""
    marked = np.nan_to_num(marked) != 0
    count = int(marked.sum())
    if 0 < count < min_voxels:
        image.leave_out("fewer marked voxels than --min-voxels", f"{count}")
    if count and image.label == 0:
        image.leave_out("marked voxels in a normal volume", f"{count}", problem=True)
    image.label, image.source_class = int(count > 0), "slices with marked voxels" if count else "slices without"
    if count:
        packed, shape = np.packbits(marked), marked.shape
        image.mask = lambda width, height: np.unpackbits(packed, count=marked.size).reshape(shape).astype(bool)
