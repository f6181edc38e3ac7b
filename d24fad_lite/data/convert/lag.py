"""LAG (Large-scale Attention-based Glaucoma, 2019): fundus photographs with and without suspected glaucoma."""

from __future__ import annotations

from pathlib import Path

from d24fad_lite.data.convert.records import Plan, SourceError, SourceImage
from d24fad_lite.data.convert.source_files import images_in, note_unused, require_folder, subfolder

FOLDER = "LAG_database_part_1"
CLASSES = {"non_glaucoma": 0, "suspicious_glaucoma": 1}
PUBLISHED = {"non_glaucoma": 6882, "suspicious_glaucoma": 4878}
LICENCE = (
    "academic use only, and it must not be uploaded again (README of its repository, smilell/AG-CNN). This copy "
    "is yours alone: do not pass it on"
)


def plan_lag(root: str | Path) -> Plan:
    """Plan for LAG: non-glaucoma is normal, suspicious glaucoma is anomalous.

    Parameters
    ----------
    root : str or Path
        LAG_database_part_1 or the folder around it, with {non_glaucoma,suspicious_glaucoma}/image/*.jpg.

    Returns
    -------
    Plan

    Raises
    ------
    SourceError : a folder is not there.
    """
    root = require_folder(Path(root), f"{' and '.join(CLASSES)} ({FOLDER})")
    base = subfolder(root, FOLDER) or root
    plan = Plan(
        "lag",
        "LAG database, part 1",
        LICENCE,
        root,
        "not published: photographs of one patient may stand on both sides of the split",
        "the whole LAG database (README of smilell/AG-CNN); part 1 is a part of it",
        published=PUBLISHED,
    )
    for name, label in CLASSES.items():
        folder = subfolder(base, name)
        images = subfolder(folder, "image") if folder else None
        if folder is None or images is None:
            raise SourceError(f"'{base}' has no folder {name}/image; give {FOLDER} as it was unpacked")
        for path in images_in(images, plan.notes):
            plan.images.append(SourceImage(path.relative_to(root).as_posix(), name, path, label))
        note_unused(folder, (images, "attention_map", "label"), plan.notes)
    plan.notes.append(
        "attention_map and label are not used: attention maps show where ophthalmologists looked, not "
        "where a lesion is, so they are no masks; labels come from the class folders"
    )
    note_unused(base, CLASSES, plan.notes)
    return plan
