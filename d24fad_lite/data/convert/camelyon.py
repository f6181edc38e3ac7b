"""Camelyon16 as BMAD arranges it: patches of lymph node slides, normal or with metastases."""

from __future__ import annotations

from pathlib import Path

from d24fad_lite.data.convert.records import Plan, SourceError, SourceImage
from d24fad_lite.data.convert.source_files import FileIndex, images_in, note_unused, require_folder, subfolder
from d24fad_lite.messages import choose_one_of

SPLITS = ("train", "valid", "test")
SPLIT_CHOICES = ("published", "patients")
IMAGES, MASKS = ("img", "image", "images"), ("anomaly_mask", "label", "mask")
LICENCE = (
    "Camelyon16 is CC0 1.0 (camelyon17.grand-challenge.org/Data); the patches were cut by BMAD (DorisBao/BMAD), "
    "which asks to be cited"
)


def plan_camelyon(root: str | Path, *, split: str = "published") -> Plan:
    """Plan for Camelyon16: patches in good are normal, those in Ungood, with metastases, are anomalous.

    Parameters
    ----------
    root : str or Path
        Folder with train/good, valid/{good,Ungood} and test/{good,Ungood}, each with its images or with img and label
        (or anomaly_mask). A name `patient_slice` gives the patient: what stands before the last underscore.
    split : {"published", "patients"}, default "published"
        "published" keeps train, valid and test; images of a patient who is also in test (or in valid) are left out of
        the others. "patients" puts all together and splits them anew, by patient and seed.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError : another split.
    SourceError : a folder is not there.
    """
    if split not in SPLIT_CHOICES:
        raise ValueError(choose_one_of("split", split, SPLIT_CHOICES))
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
    """Add the images of one split, with their masks where there is a folder of masks."""
    for name, label in (("good", 0), ("Ungood", 1)):
        class_folder = subfolder(folder, name)
        if class_folder is None:
            continue
        images = subfolder(class_folder, *IMAGES) or class_folder
        masks = subfolder(class_folder, *MASKS) if label else None
        mask_files = FileIndex(masks) if masks else None
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
            if mask_files is not None:
                image.mask = mask_files.find(path.stem)
                if image.mask is None:
                    image.leave_out("mask is missing", f"no {path.stem} in {mask_files.folder.name}", problem=True)
            plan.images.append(image)
        if images != class_folder:
            note_unused(class_folder, (images, masks or ""), plan.notes)
