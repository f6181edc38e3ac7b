"""`d24fad convert`: public data sets, tables and volumes into the kit's layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from d24fad_lite.cli.errors import FAILED, say
from d24fad_lite.listings import names_of

if TYPE_CHECKING:
    from d24fad_lite.data.convert.converting import Conversion
    from d24fad_lite.data.convert.records import Plan

MOST_LINES = 20  # problems told one by one

WIDE = {"max_content_width": 110}

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=WIDE)
Source = Annotated[Path, typer.Argument(help="Folder of the unpacked download.")]
Out = Annotated[Path, typer.Argument(help="Task folder to make, absent or empty; its name is the task's.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the split: same seed, same split.")]
Fraction = Annotated[float, typer.Option(help="Part of the normal patients that goes to test, between 0 and 1.")]


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

    _convert(plan_rsna(source, include_not_normal=include_not_normal), out, seed, test_fraction)


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

    _convert(plan_lag(source), out, seed, test_fraction)


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

    _convert(plan_aptos(source), out, seed, test_fraction)


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

    _convert(plan_brain(source, split=split, include_pituitary=include_pituitary), out, seed, test_fraction)


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

    _convert(plan_camelyon(source, split=split), out, seed, test_fraction)


@app.command("csv", context_settings=WIDE, short_help="Images of your own, labels in a CSV file.")
def csv_table(
    source: Annotated[Path, typer.Argument(help="CSV file with a header, one row per image.")],
    out: Out,
    image: Annotated[str, typer.Option(metavar="COLUMN", help="Column of image names.")],
    label: Annotated[str, typer.Option(metavar="COLUMN", help="Column of labels.")],
    normal: Annotated[
        list[str],
        typer.Option(metavar="VALUE", help="Label value that means normal; comma or repeat. 0 and 0.0 are the same."),
    ],
    anomalous: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VALUE",
            help="Label values that mean anomalous; comma or repeat. Others are left out, by name.  "
            "[default: all that are not normal]",
            show_default=False,
        ),
    ] = None,
    group: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="Column of patients, never divided between train and test.  [default: none]",
            show_default=False,
        ),
    ] = "",
    folder: Annotated[
        Path | None,
        typer.Option(help="Folder that image names start from.  [default: that of the CSV file]", show_default=False),
    ] = None,
    suffix: Annotated[
        str, typer.Option(help="Added to image names, such as .png.  [default: found by itself]", show_default=False)
    ] = "",
    mask: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column of mask names.  [default: none]", show_default=False)
    ] = "",
    mask_folder: Annotated[
        Path | None, typer.Option(help="Folder that mask names start from.  [default: --folder]", show_default=False)
    ] = None,
    seed: Seed = 0,
    test_fraction: Fraction = 0.2,
) -> None:
    """Images of your own with their labels in a table.

    Every row becomes an image or a line in left_out.csv: no file, no label, two labels. Files without a row are named
    too. Several anomalous values become kinds.

    Why: most studies come as a folder and a table. Give --group wherever a patient has more than one image: without it
    one patient may stand in train and in test, and the numbers will be too good.

    \b
    Examples:
      d24fad convert csv study/labels.csv data/Study --image file --label finding --normal none --group patient
      d24fad convert csv t.csv data/Skin --image id --label dx --normal nv --anomalous mel,bcc --folder jpg
    """
    from d24fad_lite.data.convert.tables import ImageTable, plan_table

    table = ImageTable(
        source,
        folder or source.parent,
        image,
        label,
        names_of(normal),
        names_of(anomalous),
        group,
        mask,
        mask_folder,
        suffix,
    )
    _convert(plan_table(table), out, seed, test_fraction)


@app.command(context_settings=WIDE, short_help="Slices of NIfTI volumes, with segmentations as masks.")
def nifti(
    source: Annotated[Path, typer.Argument(help="Folder of .nii and .nii.gz volumes.")],
    out: Out,
    axis: Annotated[
        str, typer.Option(metavar="axial|coronal|sagittal", help="Direction that slices are counted in.")
    ] = "axial",
    slices: Annotated[
        str,
        typer.Option(
            metavar="FIRST:STOP",
            help="Which slices, as in Python: 60:100 is 60 to 99, counted from the feet, back or left.",
        ),
    ] = ":",
    step: Annotated[int, typer.Option(help="Take every n-th of them.")] = 1,
    percentiles: Annotated[
        str, typer.Option(metavar="LOW:HIGH", help="Of each whole volume: they become black and white.")
    ] = "0.5:99.5",
    window: Annotated[
        str,
        typer.Option(
            metavar="LOW:HIGH",
            help="Values that become black and white, instead: for CT, -160:240.",
            show_default=False,
        ),
    ] = "",
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of segmentations named as the volumes, or with _seg, "
            "_mask or _label at the end; not zero is anomalous. It may be "
            "SOURCE.  [default: none]",
            show_default=False,
        ),
    ] = None,
    pattern: Annotated[
        str, typer.Option(metavar="GLOB", help="Names of the volumes to take, such as *_flair.nii.gz.")
    ] = "*",
    min_voxels: Annotated[
        int, typer.Option(help="Marked voxels that make a slice anomalous; slices with fewer, but some, are left out.")
    ] = 1,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV file with labels, for --image, --label, --normal and --group.", show_default=False),
    ] = None,
    image: Annotated[str, typer.Option(metavar="COLUMN", help="Column of volume names.")] = "image",
    label: Annotated[str, typer.Option(metavar="COLUMN", help="Column of labels.")] = "label",
    normal: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VALUE", help="Label value that means normal; comma or repeat.  [default: 0]", show_default=False
        ),
    ] = None,
    group: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="Column of patients.  [default: each volume is one]", show_default=False),
    ] = "",
    seed: Seed = 0,
    test_fraction: Fraction = 0.2,
) -> None:
    """Slices of volumes as 16-bit PNG; all slices of a volume stay on one side, as one patient.

    What is normal comes from a segmentation where there is one, else from --table, else from the class folder (good or
    normal; bad, ungood, abnormal or anomaly). Volumes are turned to RAS by their headers, and slices shown as
    radiologists do: axial and coronal with the patient's right on the left, axial with the front up, coronal and
    sagittal with the head up, sagittal with the front on the left. Needs pip install 'd24fad_lite[nifti]'.

    Why: neighbouring slices are nearly the same picture, so a split by slice tests on what was trained on; and a slice
    cut without a look at the header may be turned or mirrored.

    \b
    Examples:
      d24fad convert nifti volumes data/Brain --slices 60:100 --step 4
      d24fad convert nifti scans data/Liver --masks segmentations --window -160:240 --min-voxels 50
      d24fad convert nifti BraTS data/BraTS --masks BraTS --pattern "*_flair.nii.gz" --slices 60:100
      d24fad convert nifti scans data/Knee --axis sagittal --table labels.csv --image file --label finding --normal none
    """
    from d24fad_lite.data.convert.nifti import LabelTable, SliceSettings, plan_nifti

    start, stop = _pair(slices, "--slices", int)
    low, high = _pair(percentiles, "--percentiles", float)
    if low is None or high is None:
        raise ValueError(f"--percentiles {percentiles!r} needs both ends, for example 0.5:99.5")
    edges = _pair(window, "--window", float) if window else None
    if edges is not None and None in edges:
        raise ValueError(f"--window {window!r} needs both ends, for example -160:240")
    settings = SliceSettings(axis, start, stop, step, (low, high), edges, min_voxels)
    labels = LabelTable(table, image, label, names_of(normal) or ["0"], group) if table else None
    _convert(plan_nifti(source, settings, table=labels, masks=masks, pattern=pattern), out, seed, test_fraction)


def _pair(text: str, option: str, kind: type[int] | type[float]) -> tuple[Any, Any]:
    """ "60:100" -> (60, 100); an end may be empty. Raises ValueError."""
    first, sign, last = text.partition(":")
    try:
        if not sign:
            raise ValueError
        return (kind(first) if first.strip() else None), (kind(last) if last.strip() else None)
    except ValueError:
        raise ValueError(f"{option} {text!r} must be written FIRST:LAST, for example 60:100") from None


def _convert(plan: Plan, out: Path, seed: int, test_fraction: float) -> None:
    from d24fad_lite.data.convert.converting import convert as write_task

    _tell(plan, write_task(plan, out, seed=seed, test_fraction=test_fraction))


def _tell(plan: Plan, done: Conversion) -> None:
    from d24fad_lite.data.convert.manifest import format_table

    typer.echo(format_table(done.table))
    typer.echo(f"published counts: {plan.published_note}\npatients: {plan.patients}\nlicence: {plan.licence}")
    for note in done.notes:
        typer.echo("note: " + note.encode("utf-8", "backslashreplace").decode())  # names of files may be no text
    if done.copies:
        first, second = done.copies[0]
        say(
            f"warning: {len(done.copies)} near copies in train and test, first {first} = {second}; they are listed in "
            f"{done.out / 'MANIFEST.json'}: look at them, and remove one of each pair where it is the same picture"
        )
    for image in done.problems[:MOST_LINES]:
        say(f"left out: {image.name}: {image.why}{f' ({image.detail})' if image.detail else ''}")
    typer.echo(
        f"{sum(row.kept for row in done.table)} images in {done.out}; {done.out / 'MANIFEST.json'} has the hash "
        f"of each, {done.out / 'left_out.csv'} what was not used and why"
    )
    if done.problems:
        more = f", {len(done.problems) - MOST_LINES} of them not shown here" if len(done.problems) > MOST_LINES else ""
        say(
            f"error: {len(done.problems)} image(s) were damaged, missing or contradictory{more}; all are in "
            f"{done.out / 'left_out.csv'}"
        )
        raise typer.Exit(FAILED)
