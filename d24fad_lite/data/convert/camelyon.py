"""Camelyon16 as BMAD arranges it: patches of lymph node slides, normal or with metastases."""

from __future__ import annotations

from pathlib import Path

from d24fad_lite.data.convert.records import (
    FileIndex,
    Plan,
    SourceError,
    SourceImage,
    images_in,
    note_unused,
    require_folder,
    subfolder,
)

SPLITS = ("train", "valid", "test")
IMAGES, MASKS = ("img", "image", "images"), ("anomaly_mask", "label", "mask")
LICENCE = (
    "Camelyon16 is CC0 1.0 (camelyon17.grand-challenge.org/Data); the patches were cut by BMAD (DorisBao/BMAD), "
    "which asks to be cited"
)


def plan_camelyon(root: str | Path, *, split: str = "published") -> Plan:
    """Normal patches (good) against patches with metastases (Ungood).

    Parameters
    ----------
    root : folder with train/good, valid/{good,Ungood} and test/{good,Ungood}, each with its images or with img and
        label (or anomaly_mask). A name `patient_slice` gives the patient: what stands before the last underscore.
    split : "published" keeps train, valid and test; images of a patient who is also in test (or in valid) are left out
        of the others. "patients" puts all together and splits them anew, by patient and seed.
    """
    if split not in ("published", "patients"):
        raise ValueError(f"split {split!r} is not known; choose published or patients")
    root = require_folder(Path(root), "train/good, valid and test with good and Ungood")
    plan = Plan(
        "camelyon-bmad",
        "Camelyon16 patches by BMAD",
        LICENCE,
        root,
        "file names patient_slice: what stands before the last underscore; a name without one stands alone",
        "none found, so the column is empty",
        options={"split": split},
    )
    for name in SPLITS:
        folder = subfolder(root, name)
        if folder is None and name != "valid":
            raise SourceError(
                f"'{root}' has no folder {name}; expected train/good, valid and test with good and Ungood"
            )
        if folder is not None:
            _add_split(plan, folder, name)
            note_unused(folder, ("good", "ungood"), plan.notes)
    if split == "patients":
        for image in plan.images:
            image.split = None
    note_unused(root, SPLITS, plan.notes)
    return plan


def _add_split(plan: Plan, folder: Path, split: str) -> None:
    for name, label in (("good", 0), ("Ungood", 1)):
        place = subfolder(folder, name)
        if place is None:
            continue
        images = subfolder(place, *IMAGES) or place
        masks = subfolder(place, *MASKS) if label else None
        index = FileIndex(masks) if masks else None
        for path in images_in(images, plan.notes):
            image = SourceImage(
                path.relative_to(plan.root).as_posix(),
                f"{split}/{name}",
                path,
                label,
                split=split,
                patient=path.stem.rpartition("_")[0] or None,
            )
            if split == "train" and label:
                image.leave_out("anomalous image in train", "training sees normal images only")
            if index is not None:
                image.mask = index.find(path.stem)
                if image.mask is None:
                    image.leave_out("mask is missing", f"no {path.stem} in {masks.name}", problem=True)
            plan.images.append(image)
        if images != place:
            note_unused(place, (images, masks or ""), plan.notes)
