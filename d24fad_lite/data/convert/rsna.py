"""RSNA Pneumonia Detection Challenge (Kaggle, 2018): chest X-rays as DICOM, boxes around lung opacities."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from d24fad_lite.data.convert.records import Plan, SourceError, SourceImage
from d24fad_lite.data.convert.source_files import FileIndex, note_unused, read_table, require_folder, same_value

IMAGES, BOXES, CLASSES = "stage_2_train_images", "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
NORMAL, MIDDLE, OPACITY = "Normal", "No Lung Opacity / Not Normal", "Lung Opacity"
PUBLISHED = {NORMAL: 8851, MIDDLE: 11821, OPACITY: 6012}
LICENCE = (
    "the terms of the RSNA Pneumonia Detection Challenge on Kaggle, accepted there before the download; the "
    "X-rays come from the NIH Clinical Center. This copy is yours alone: do not pass it on"
)
Box = tuple[float, float, float, float]  # x, y, width, height in pixels


def plan_rsna(root: str | Path, *, include_not_normal: bool = False) -> Plan:
    """Plan for RSNA: Normal is normal, Lung Opacity is anomalous.

    The DICOM files are copied as they are, and the boxes of an image become one mask.

    Parameters
    ----------
    root : str or Path
        Folder with stage_2_train_images/<patientId>.dcm, stage_2_train_labels.csv (a row per box) and
        stage_2_detailed_class_info.csv.
    include_not_normal : bool, default False
        Also take the class between the two ("No Lung Opacity / Not Normal"), as anomalous and without masks. Without
        it the class is left out: its X-rays are not normal, and what is not normal in them is not marked.

    Returns
    -------
    Plan

    Raises
    ------
    SourceError : the folder or a table is not there, or a box is not one.
    ModuleNotFoundError : no pydicom.
    """
    import pydicom  # noqa: F401  without it no image can be read: better one error than 26,684

    root = require_folder(Path(root), f"{IMAGES}, {BOXES} and {CLASSES}, as downloaded from Kaggle")
    if not (root / IMAGES).is_dir():
        raise SourceError(f"'{root}' has no folder {IMAGES}; give the folder of the unpacked download")
    plan = Plan(
        "rsna",
        "RSNA Pneumonia Detection Challenge, stage 2",
        LICENCE,
        root,
        "patientId, one image each",
        "the challenge's stage 2",
        published=PUBLISHED,
        options={"include_not_normal": include_not_normal},
        remark=_photometric,
    )
    classes, boxes = _read_classes(root / CLASSES, plan), _read_boxes(root / BOXES, plan)
    files = FileIndex(root / IMAGES, (".dcm",))
    used = set()
    for patient, names in classes.items():
        image = _image(patient, names, boxes.get(patient), files.find(patient), include_not_normal)
        used.add(image.picture)
        plan.images.append(image)
    for path in files.paths:
        if path not in used:
            plan.images.append(
                SourceImage(
                    path.relative_to(root).as_posix(),
                    "(not in the table)",
                    path,
                    why=f"no row in {CLASSES}",
                    problem=True,
                )
            )
    note_unused(root, (IMAGES, BOXES, CLASSES), plan.notes)
    plan.notes.append(
        f"'{MIDDLE}' is {'kept as anomalous' if include_not_normal else 'left out'}: these X-rays are "
        "not normal, and nothing in them is marked"
    )
    return plan


def _image(patient: str, names: set[str], boxes: list[Box] | None, path: Path | None, with_middle: bool) -> SourceImage:
    """One patient as an image, left out where table, boxes and file do not agree."""
    name = next(iter(names))
    known = len(names) == 1 and name in PUBLISHED
    file_name = path.name if path else f"{patient}.dcm"
    image = SourceImage(f"{IMAGES}/{file_name}", name if known else "(class unclear)", path, patient=patient)
    if not known:
        image.leave_out("class unclear", f"{CLASSES} says {' and '.join(sorted(names))}", problem=True)
    if name == MIDDLE and not with_middle:
        image.leave_out("not normal, without opacity (--include-not-normal takes it)")
    if path is None:
        image.leave_out("file is missing", f"no {patient}.dcm in {IMAGES}", problem=True)
    if boxes is None:
        image.leave_out(f"no row in {BOXES}", patient, problem=True)
    elif bool(boxes) != (name == OPACITY):
        image.leave_out("class and boxes disagree", f"{name}, with {len(boxes)} box(es)", problem=True)
    image.label = 0 if name == NORMAL else 1
    image.kind = {MIDDLE: "not_normal", OPACITY: "lung_opacity"}.get(name)
    if name == OPACITY and boxes:
        image.mask = lambda width, height: box_mask(boxes, width, height)
    return image


def box_mask(boxes: list[Box], width: int, height: int) -> np.ndarray:
    """The mask of an image's boxes.

    Parameters
    ----------
    boxes : list of (x, y, width, height)
        In pixels, x and y of the upper left corner; what lies outside the image is cut off.
    width, height : int
        Size of the image in pixels.

    Returns
    -------
    numpy.ndarray
        bool [height, width], True in every pixel that a box touches.
    """
    mask = np.zeros((height, width), bool)
    for x, y, box_width, box_height in boxes:
        left, top = max(math.floor(x), 0), max(math.floor(y), 0)
        mask[top : max(math.ceil(y + box_height), 0), left : max(math.ceil(x + box_width), 0)] = True
    return mask


def _read_classes(path: Path, plan: Plan) -> dict[str, set[str]]:
    """patientId -> the classes that the table names for it. A sound table names one, in a row for each box."""
    rows = read_table(path, ("patientId", "class"))
    classes: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        classes[row["patientId"]].add(row["class"])
    if len(rows) > len(classes):
        plan.notes.append(
            f"{CLASSES} has {len(rows)} rows for {len(classes)} patients (one per box); each patient is taken once"
        )
    return classes


def _read_boxes(path: Path, plan: Plan) -> dict[str, list[Box]]:
    """patientId -> its boxes, none where Target is 0. Of equal rows one counts."""
    boxes: dict[str, list[Box]] = {}
    repeated = 0
    for line, row in enumerate(read_table(path, ("patientId", "x", "y", "width", "height", "Target")), start=2):
        patient_boxes = boxes.setdefault(row["patientId"], [])
        if same_value(row["Target"], "0"):
            continue
        try:
            box = (float(row["x"]), float(row["y"]), float(row["width"]), float(row["height"]))
        except ValueError:
            box = (math.nan,) * 4
        if not same_value(row["Target"], "1") or not all(map(math.isfinite, box)) or min(box[2:]) <= 0:
            raise SourceError(
                f"'{path}', line {line}: Target must be 0, or 1 with x, y, width and height of a box in "
                f"pixels, got {', '.join(row.values())}"
            )
        if box in patient_boxes:
            repeated += 1
        else:
            patient_boxes.append(box)
    if repeated:
        plan.notes.append(f"{BOXES} repeats {repeated} box(es) exactly; each counts once")
    return boxes


def _photometric(path: Path) -> str:
    """A remark about a DICOM file in which large values are dark; "" for others."""
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PhotometricInterpretation"])
    if header.get("PhotometricInterpretation") != "MONOCHROME1":
        return ""
    return "stored as MONOCHROME1 (large values are dark), copied as they are; the kit turns them when it reads them"
