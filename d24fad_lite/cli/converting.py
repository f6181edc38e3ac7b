"""`d24fad convert`: public data sets, as they are downloaded, into the kit's layout."""

from __future__ import annotations

from typing import Annotated

import typer

from d24fad_lite.cli.conversion import WIDE, Fraction, Out, Seed, Source, write_task
from d24fad_lite.cli.converting_own import csv_table, nifti

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=WIDE)


@app.callback()
def convert() -> None:
    """Turn a data set, as its publishers give it, into a task folder.

    Why: every set has its own folders, tables and traps, and a slip there (a patient on both sides, a class that is
    neither normal nor anomalous, one image twice) spoils each number that follows. Nothing is downloaded or passed on:
    you get the data from its publishers, under their terms, and the copy stays with you.

    Splits are by patient where patients are known. OUT/MANIFEST.json holds seed, licence, counts beside the published
    ones and the hash of each file; OUT/left_out.csv every image that was not used, with the reason; OUT/groups.csv the
    patients. OUT appears when it is complete. Exit code 1: done, but files were damaged, missing or contradictory.

    \b
    Examples:
      d24fad convert rsna rsna-pneumonia-detection-challenge data/RSNA
      d24fad convert csv study/labels.csv data/Study --image file --label finding --normal none --group patient
      d24fad convert nifti volumes data/Brain --axis axial --slices 60:100
      d24fad evaluate run/model.safetensors --data data --task RSNA
    """


@app.command(context_settings=WIDE, short_help="Chest X-rays (DICOM, boxes): normal against lung opacity.")
def rsna(
    source: Source,
    out: Out,
    seed: Seed = 0,
    test_fraction: Fraction = 0.2,
    include_not_normal: Annotated[
        bool,
        typer.Option(
            "--include-not-normal", help="Also take 'No Lung Opacity / Not Normal', as anomalous, without masks."
        ),
    ] = False,
) -> None:
    """RSNA Pneumonia Detection Challenge: normal against lung opacity.

    SOURCE holds stage_2_train_images, stage_2_train_labels.csv and stage_2_detailed_class_info.csv. The DICOM files are
    copied as they are, and the kit reads them (pip install 'd24fad_lite[dicom]'); MONOCHROME1, where large values are
    dark, is turned at reading. The boxes of an image become one mask. The class between the two is left out.

    Why: its middle class is the trap. Those X-rays show no opacity and are not normal either; counted as normal they
    teach the detector that disease is normal.

    \b
    Examples:
      d24fad convert rsna rsna-pneumonia-detection-challenge data/RSNA
      d24fad convert rsna rsna-pneumonia-detection-challenge data/RSNA --test-fraction 0.15 --seed 1
    """
    from d24fad_lite.data.convert.rsna import plan_rsna

    write_task(plan_rsna(source, include_not_normal=include_not_normal), out, seed, test_fraction)


@app.command(context_settings=WIDE, short_help="Fundus photographs: glaucoma or not.")
def lag(source: Source, out: Out, seed: Seed = 0, test_fraction: Fraction = 0.2) -> None:
    """LAG: non-glaucoma against suspicious glaucoma.

    SOURCE is LAG_database_part_1 or the folder around it.

    Why: its attention maps look like masks and are none; they show where doctors looked. They are not used. Patients
    are not published, so look at the near copies that the end of the run reports.

    \b
    Examples:
      d24fad convert lag LAG_database_part_1 data/LAG
    """
    from d24fad_lite.data.convert.lag import plan_lag

    write_task(plan_lag(source), out, seed, test_fraction)


@app.command(context_settings=WIDE, short_help="Fundus photographs: diabetic retinopathy, grades 0 to 4.")
def aptos(source: Source, out: Out, seed: Seed = 0, test_fraction: Fraction = 0.2) -> None:
    """APTOS 2019: grade 0 against grades 1 to 4, which become kinds (mild, moderate, severe, proliferative).

    SOURCE holds train.csv and train_images. The competition's test images have no published grades.

    Why: the set holds copies, some of them with two different grades. Of equal images with one grade one is kept;
    where grades contradict each other both are left out, and near copies in train and test are reported.

    \b
    Examples:
      d24fad convert aptos aptos2019-blindness-detection data/APTOS
    """
    from d24fad_lite.data.convert.aptos import plan_aptos

    write_task(plan_aptos(source), out, seed, test_fraction)


@app.command("brats-kaggle", context_settings=WIDE, short_help="Brain MRI slices: no tumour, glioma, meningioma.")
def brats_kaggle(
    source: Source,
    out: Out,
    seed: Seed = 0,
    test_fraction: Fraction = 0.2,
    split: Annotated[
        str,
        typer.Option(
            metavar="published|new", help="Keep Training and Testing apart, or put them together and split anew."
        ),
    ] = "published",
    include_pituitary: Annotated[
        bool, typer.Option("--include-pituitary", help="Also take pituitary tumours.")
    ] = False,
) -> None:
    """Brain Tumor MRI Dataset (Kaggle, masoudnickparvar): no tumour against glioma and meningioma.

    SOURCE holds Training and Testing, each with glioma, meningioma, notumor and pituitary. With the published split the
    tumours of Training are left out, for training sees normal images only, and --seed and --test-fraction do nothing.

    Why: the same image stands in Training and in Testing. It is found by its content and kept in test alone.

    \b
    Examples:
      d24fad convert brats-kaggle brain-tumor-mri-dataset data/BrainTumor
      d24fad convert brats-kaggle brain-tumor-mri-dataset data/BrainTumor --split new --seed 1
    """
    from d24fad_lite.data.convert.brain import plan_brain

    write_task(plan_brain(source, split=split, include_pituitary=include_pituitary), out, seed, test_fraction)


@app.command("camelyon-bmad", context_settings=WIDE, short_help="Lymph node patches: normal or with metastases.")
def camelyon_bmad(
    source: Source,
    out: Out,
    seed: Seed = 0,
    test_fraction: Fraction = 0.2,
    split: Annotated[
        str, typer.Option(metavar="published|patients", help="Keep train, valid and test, or split anew by patient.")
    ] = "published",
) -> None:
    """Camelyon16 as BMAD arranges it: good against Ungood, with masks where there are any.

    SOURCE holds train/good, valid/{good,Ungood} and test/{good,Ungood}, with or without img and label (or anomaly_mask)
    inside. Names patient_slice give the patients of groups.csv. With the published split, train images of a patient who
    is also in test are left out, and --seed and --test-fraction do nothing.

    Why: patches of one slide look alike. With a patient on both sides the test measures memory.

    \b
    Examples:
      d24fad convert camelyon-bmad camelyon16 data/HIS
      d24fad convert camelyon-bmad camelyon16 data/HIS --split patients
    """
    from d24fad_lite.data.convert.camelyon import plan_camelyon

    write_task(plan_camelyon(source, split=split), out, seed, test_fraction)


app.command("csv", context_settings=WIDE, short_help="Images of your own, labels in a CSV file.")(csv_table)
app.command("nifti", context_settings=WIDE, short_help="Slices of NIfTI volumes, with segmentations as masks.")(nifti)
