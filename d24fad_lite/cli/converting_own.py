"""`d24fad convert csv` and `nifti`: data of your own, from a table or from volumes, into the kit's layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from d24fad_lite.cli.conversion import Fraction, Out, Seed, write_task
from d24fad_lite.listings import names_of

Number = TypeVar("Number", int, float)


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
        path=source,
        folder=folder or source.parent,
        image=image,
        label=label,
        normal=names_of(normal),
        anomalous=names_of(anomalous),
        group=group,
        mask=mask,
        mask_folder=mask_folder,
        suffix=suffix,
    )
    write_task(plan_table(table), out, seed, test_fraction)


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
    from d24fad_lite.data.convert.nifti import LabelTable, plan_nifti
    from d24fad_lite.data.convert.slices import SliceSettings

    start, stop = _ends(slices, "--slices", int)
    settings = SliceSettings(
        axis=axis,
        start=start,
        stop=stop,
        step=step,
        percentiles=_both_ends(percentiles, "--percentiles", "0.5:99.5"),
        window=_both_ends(window, "--window", "-160:240") if window else None,
        min_voxels=min_voxels,
    )
    labels = LabelTable(table, image, label, names_of(normal) or ["0"], group) if table else None
    plan = plan_nifti(source, settings, table=labels, masks=masks, pattern=pattern)
    write_task(plan, out, seed, test_fraction)


def _ends(text: str, option: str, number: Callable[[str], Number]) -> tuple[Number | None, Number | None]:
    """ "60:100" -> (60, 100); an end may be empty, which gives None. Raises ValueError."""
    first, colon, last = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return (number(first) if first.strip() else None), (number(last) if last.strip() else None)
    except ValueError:
        raise ValueError(f"{option} {text!r} must be written FIRST:LAST, for example 60:100") from None


def _both_ends(text: str, option: str, example: str) -> tuple[float, float]:
    """ "0.5:99.5" -> (0.5, 99.5). Raises ValueError, also where an end is empty."""
    low, high = _ends(text, option, float)
    if low is None or high is None:
        raise ValueError(f"{option} {text!r} needs both ends, for example {example}")
    return low, high
