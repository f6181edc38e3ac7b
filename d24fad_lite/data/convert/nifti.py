"""NIfTI volumes: slices as images, the volume as the patient, segmentations as masks."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from d24fad_lite.data.convert.records import (
    FileIndex,
    Plan,
    SourceError,
    SourceImage,
    plain_stem,
    read_table,
    require_folder,
    same_value,
)
from d24fad_lite.data.convert.volumes import AXES, ORIENTATION, SUFFIXES, Volume, cut, read_volume, to_grey, window_of
from d24fad_lite.data.images import ImageError

LICENCE = "that of your data; conversion changes nothing in it"
NORMAL_FOLDERS = frozenset({"good", "normal"})  # as in the kit's own layout
ANOMALOUS_FOLDERS = frozenset({"bad", "ungood", "abnormal", "anomaly"})
MASK_ENDINGS = ("_seg", "_mask", "_label", "-seg", "-mask", "-label", "_segmentation")


@dataclass(frozen=True)
class SliceSettings:
    """How volumes are cut.

    Attributes
    ----------
    axis : axial, coronal or sagittal. start, stop, step : slices, counted in RAS order, as in Python's range; None for
        the first and after the last.
    percentiles : of the whole volume, which become black and white. window : values that do, instead.
    min_voxels : marked voxels from which a slice counts as anomalous; slices with fewer, but some, are left out.
    """

    axis: str = "axial"
    start: int | None = None
    stop: int | None = None
    step: int = 1
    percentiles: tuple[float, float] = (0.5, 99.5)
    window: tuple[float, float] | None = None
    min_voxels: int = 1

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise ValueError(f"axis {self.axis!r} is not known; choose one of axial, coronal, sagittal")
        if self.step < 1 or self.min_voxels < 1:
            raise ValueError(f"step {self.step} and min_voxels {self.min_voxels} must be at least 1")
        low, high = self.window or self.percentiles
        if not low < high or (self.window is None and not 0 <= low < high <= 100):
            raise ValueError(
                f"{'window' if self.window else 'percentiles'} {low:g}:{high:g} must rise"
                f"{'' if self.window else ' and lie between 0 and 100'}, for example "
                f"{'-160:240' if self.window else '0.5:99.5'}"
            )

    def indices(self, length: int) -> list[int]:
        """Positions along an axis of this length."""
        return list(range(length))[self.start : self.stop : self.step]


@dataclass
class LabelTable:
    """A CSV file that names volumes: columns of names and labels, and the values that mean normal; group as patient."""

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
    """Slices of volumes; the patient of a slice is its volume (the file's name), or the table's group.

    What is normal comes from the segmentation where `masks` has one (a slice with enough marked voxels is anomalous),
    else from the table, else from the class folder: good or normal; bad, ungood, abnormal or anomaly.

    Parameters
    ----------
    root : folder of .nii and .nii.gz files, in class folders where there is no table and no segmentation.
    masks : folder of segmentations, non-zero = anomalous, named as the volumes, also with _seg, _mask or _label added
        or in place of the last part (scan_flair, scan_seg). It may be `root`; then the ending tells them apart.
    pattern : names of the volumes to take, such as "*_flair.nii.gz".

    Raises
    ------
    SourceError : nothing to convert, or a table that does not fit. ModuleNotFoundError : no nibabel.
    """
    import nibabel  # noqa: F401  without it no volume can be read: better one error than one for each

    settings = settings or SliceSettings()
    root = require_folder(Path(root), "NIfTI volumes (.nii or .nii.gz)")
    index = FileIndex(root, SUFFIXES)
    segmentations = _segmentations(Path(masks), index) if masks is not None else []
    labels = _table_labels(table, index) if table else None
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
    known = {path.resolve() for path in segmentations}
    volumes = [path for path in index.paths if path.resolve() not in known]
    chosen = [path for path in volumes if fnmatch.fnmatch(path.name.lower(), pattern.lower())]
    if len(chosen) < len(volumes):
        plan.notes.append(f"{len(volumes) - len(chosen)} volume(s) are not called {pattern} and were not used")
    by_stem = {plain_stem(path).casefold(): path for path in segmentations}
    for path in tqdm(chosen, desc="volumes", unit="volume", disable=None if progress else True):
        plan.images += _volume_images(plan, path, settings, labels, _mask_for(path, by_stem))
    if table and labels:
        missing = [name for name in labels if isinstance(name, str)]
        plan.images += [
            SourceImage(
                name, "(volume missing)", why="file is missing", detail=f"row of {table.path.name}", problem=True
            )
            for name in missing
        ]
    if not plan.images:
        named = f" called {pattern}" if pattern != "*" else ""
        raise SourceError(f"'{root}' holds no .nii or .nii.gz file{named}")
    return plan


def _options(
    settings: SliceSettings, table: LabelTable | None, masks: str | Path | None, pattern: str
) -> dict[str, object]:
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

# volume -> class, label, patient; a name that has no file stays text
Labels = dict[Path | str, tuple[str, int, str | None]]


def _table_labels(table: LabelTable, index: FileIndex) -> Labels:
    columns = [name for name in (table.image, table.label, table.group) if name]
    labels: Labels = {}
    for row in read_table(table.path, columns):
        name, value = row[table.image], row[table.label]
        if not name or not value:
            raise SourceError(
                f"'{table.path}' has a row without {table.image} or {table.label}: {', '.join(row.values())}"
            )
        path = index.find(name)
        label = int(not any(same_value(value, normal) for normal in table.normal))
        found = (f"{table.label} = {value}", label, row.get(table.group) or None)
        if labels.setdefault(path or name, found) != found:
            raise SourceError(f"'{table.path}' has two rows for {name} that disagree; keep one")
    return labels


def _folder_label(path: Path, root: Path) -> tuple[str, int | None]:
    """Class folder and label of a volume, by the names that the kit's own layout uses."""
    for folder in path.relative_to(root).parts[:-1]:
        if folder.lower() in NORMAL_FOLDERS | ANOMALOUS_FOLDERS:
            return folder, int(folder.lower() in ANOMALOUS_FOLDERS)
    return "(no class)", None


def _segmentations(folder: Path, volumes: FileIndex) -> list[Path]:
    """Files of the folder of segmentations; where volumes lie there too, those with an ending of segmentations."""
    found = FileIndex(require_folder(folder, "segmentations"), SUFFIXES).paths
    beside = {path.resolve() for path in volumes.paths}
    return [path for path in found if path.resolve() not in beside or plain_stem(path).lower().endswith(MASK_ENDINGS)]


def _mask_for(path: Path, by_stem: dict[str, Path]) -> Path | None:
    """The segmentation of a volume: by its name, or with an ending added, or in place of its last part."""
    stem = plain_stem(path)
    shorter = stem.rpartition("_")[0]
    names = [stem, *(f"{base}{ending}" for base in (stem, shorter) if base for ending in MASK_ENDINGS)]
    return next((by_stem[name.casefold()] for name in names if name.casefold() in by_stem), None)


# --- slices ----------------------------------------------------------------------------------------------------------


def _volume_images(
    plan: Plan, path: Path, settings: SliceSettings, labels: Labels | None, mask_path: Path | None
) -> list[SourceImage]:
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
        volume = _OpenVolume(path, settings)
        marked = read_volume(mask_path).values if mask_path else None
        if marked is not None and marked.shape != volume.shape:
            raise ImageError(f"segmentation '{mask_path}' has the shape {marked.shape}, its volume {volume.shape}")
    except ImageError as error:
        whole.leave_out("cannot be read", str(error), problem=True)
        return [whole]
    plan.notes += [f"{name}: {remark}" for remark in volume.remarks]
    chosen = settings.indices(volume.shape[AXES[settings.axis]])
    if not chosen:
        whole.leave_out("no slice in the range", f"{volume.shape[AXES[settings.axis]]} slices", problem=True)
        return [whole]
    images = [_slice_image(whole, volume, index, label, patient) for index in chosen]
    for image, index in zip(images, chosen, strict=True):
        if marked is not None:
            _label_by_mask(image, cut(marked, settings.axis, index), settings.min_voxels)
    return images


def _slice_image(
    whole: SourceImage, volume: _OpenVolume, index: int, label: int | None, patient: str | None
) -> SourceImage:
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


class _OpenVolume:
    """A volume on disk; the last one read stays in memory, for its slices are asked for one after the other.

    `remarks` says what a reader of its slices should know.
    """

    _lock = threading.Lock()
    _last: tuple[Path, Volume] | None = None

    def __init__(self, path: Path, settings: SliceSettings) -> None:
        self.path, self.axis = path, settings.axis
        volume = self._read()
        self.shape = volume.values.shape
        try:
            self.low, self.high = settings.window or window_of(volume.values, settings.percentiles)
        except ImageError as error:
            raise ImageError(f"volume '{path}' {error}") from error
        if not self.low < self.high:
            raise ImageError(
                f"volume '{path}' has the same value, {self.low:g}, at both ends of its window; "
                "give other percentiles or a window"
            )
        self.remarks = self._remarks(volume)

    def _remarks(self, volume: Volume) -> list[str]:
        remarks = (
            []
            if volume.oriented
            else ["its header gives no orientation; left and right, front and back may be exchanged"]
        )
        across, down = (length for axis, length in enumerate(volume.spacing) if axis != AXES[self.axis])
        if abs(across / down - 1) > 0.01:
            remarks.append(f"voxels are {across:.3g} x {down:.3g} mm in the slice, which is not resampled")
        lost = int(np.isnan(volume.values).sum())
        return remarks + ([f"{lost} voxels are NaN and shown black"] if lost else [])

    def _read(self) -> Volume:
        with _OpenVolume._lock:
            if _OpenVolume._last is None or _OpenVolume._last[0] != self.path:
                _OpenVolume._last = (self.path, read_volume(self.path))
            return _OpenVolume._last[1]

    def grey(self, index: int) -> np.ndarray:
        """uint16 [rows, columns]."""
        return to_grey(cut(self._read().values, self.axis, index), self.low, self.high)

    def is_flat(self, index: int) -> bool:
        """Whether a slice has one value only."""
        grey = self.grey(index)
        return bool(grey.min() == grey.max())

    def write(self, index: int, target: Path) -> None:
        """Write a slice as a 16-bit grey PNG."""
        Image.fromarray(self.grey(index)).save(target, format="PNG")
