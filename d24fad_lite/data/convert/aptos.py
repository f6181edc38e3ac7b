"""APTOS 2019 Blindness Detection (Kaggle): fundus photographs with a grade of diabetic retinopathy, 0 to 4."""

from __future__ import annotations

from pathlib import Path

from d24fad_lite.data.convert.records import Plan
from d24fad_lite.data.convert.source_files import require_folder
from d24fad_lite.data.convert.tables import ImageTable, add_table_images

TABLE, IMAGES = "train.csv", "train_images"
GRADES = {"0": "no retinopathy", "1": "mild", "2": "moderate", "3": "severe", "4": "proliferative"}
COUNTS = (1805, 370, 999, 193, 295)
LICENCE = (
    "the rules of the APTOS 2019 Blindness Detection competition on Kaggle, accepted there before the download. "
    "This copy is yours alone: do not pass it on"
)


def plan_aptos(root: str | Path) -> Plan:
    """Plan for APTOS: grade 0 is normal, grades 1 to 4 are anomalous, each a kind of its own.

    Parameters
    ----------
    root : str or Path
        Folder with train.csv (id_code, diagnosis) and train_images/<id_code>.png. The competition's test images have no
        published grades and are not used.

    Returns
    -------
    Plan

    Raises
    ------
    SourceError : the folder, its table or its images are not there.
    """
    root = require_folder(Path(root), f"{TABLE} and {IMAGES}, as downloaded from Kaggle")
    names = {grade: f"{grade} {name}" for grade, name in GRADES.items()}
    plan = Plan(
        "aptos",
        "APTOS 2019 Blindness Detection, training set",
        LICENCE,
        root,
        "not published: both eyes of one patient may stand on both sides of the split",
        "the 3,662 graded images of the training set, as its users count them",
        published=dict(zip(names.values(), COUNTS, strict=True)),
    )
    table = ImageTable(
        root / TABLE,
        root / IMAGES,
        image="id_code",
        label="diagnosis",
        normal=("0",),
        anomalous=tuple(GRADES)[1:],
        suffix=".png",
        class_names=names,
        kinds={grade: name for grade, name in GRADES.items() if grade != "0"},
    )
    add_table_images(plan, table)
    return plan
