"""Brain Tumor MRI Dataset (Kaggle, masoudnickparvar): slices without tumour or with one of three kinds."""

from __future__ import annotations

from pathlib import Path

from d24fad_lite.data.convert.records import Plan, SourceError, SourceImage
from d24fad_lite.data.convert.source_files import images_in, note_unused, require_folder, subfolder
from d24fad_lite.messages import choose_one_of

SPLITS = {"Training": "train", "Testing": "test"}
NORMAL, PITUITARY = "notumor", "pituitary"
CLASSES = ("glioma", "meningioma", NORMAL, PITUITARY)
SPLIT_CHOICES = ("published", "new")
COUNTS = {"Training": (1321, 1339, 1595, 1457), "Testing": (300, 306, 405, 300)}
LICENCE = (
    "see the data set's page on Kaggle; it was put together from three older sets (figshare 1512427, SARTAJ, "
    "Br35H) with terms of their own. This copy is yours alone: do not pass it on"
)


def plan_brain(root: str | Path, *, split: str = "published", include_pituitary: bool = False) -> Plan:
    """Plan for the brain MRI: no tumour is normal, glioma and meningioma are anomalous, each a kind of its own.

    Parameters
    ----------
    root : str or Path
        Folder with {Training,Testing}/{glioma,meningioma,notumor,pituitary}.
    split : {"published", "new"}, default "published"
        "published" keeps the two folders apart: Training/notumor for train, Testing for test, and the tumours of
        Training, which a detector that learns from normal images cannot use, are left out. "new" puts both together
        and splits them by the seed. In both cases an image that is there twice is kept once, in test where it can be.
    include_pituitary : bool, default False
        Also take pituitary tumours; the benchmark has none.

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
    root = require_folder(Path(root), f"{' and '.join(SPLITS)}, each with {', '.join(CLASSES)}")
    published = {
        f"{folder}/{name}": count for folder in SPLITS for name, count in zip(CLASSES, COUNTS[folder], strict=True)
    }
    plan = Plan(
        "brats-kaggle",
        "Brain Tumor MRI Dataset by masoudnickparvar",
        LICENCE,
        root,
        "not published: slices of one patient may stand on both sides of the split",
        "the version of 7,023 images; a later one has 7,200",
        published=published,
        options={"split": split, "include_pituitary": include_pituitary},
    )
    for folder_name, own_split in SPLITS.items():
        folder = subfolder(root, folder_name)
        if folder is None:
            raise SourceError(f"'{root}' has no folder {folder_name}; give the folder of the unpacked download")
        for name in CLASSES:
            images = subfolder(folder, name)
            if images is None:
                raise SourceError(f"'{folder}' has no folder {name}; give the folder of the unpacked download")
            for path in images_in(images, plan.notes):
                image = SourceImage(
                    path.relative_to(root).as_posix(),
                    f"{folder_name}/{name}",
                    path,
                    label=int(name != NORMAL),
                    kind=None if name == NORMAL else name,
                )
                _choose(image, name, own_split, split, include_pituitary)
                plan.images.append(image)
        note_unused(folder, CLASSES, plan.notes)
    note_unused(root, SPLITS, plan.notes)
    return plan


def _choose(image: SourceImage, name: str, own_split: str, split: str, include_pituitary: bool) -> None:
    """Give an image its published split where that is kept, and leave out what the settings do not take."""
    if name == PITUITARY and not include_pituitary:
        image.leave_out("pituitary tumour (--include-pituitary takes it)")
    if split == "published":
        image.split = own_split
        if own_split == "train" and image.label == 1:
            image.leave_out("tumour in Training (--split new takes it for test)", "training sees normal images only")
