"""Images of one's own with labels in a CSV file."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import sources
from PIL import Image

from d24fad_lite.data.benchmark import open_benchmark
from d24fad_lite.data.convert.converting import Conversion, convert
from d24fad_lite.data.convert.records import SourceError
from d24fad_lite.data.convert.source_files import FileIndex, read_table, same_value
from d24fad_lite.data.convert.tables import ImageTable, plan_table


def study(root: Path, text: str | None = None, encoding: str = "utf-8") -> Path:
    """8 patients with 2 images, of which the last 2 have a finding; names without suffix, in subfolders."""
    rows = ["file;finding;patient"]
    for number in range(16):
        sources.save(root / f"images/{number // 8}/img{number}.png", f"study{number}")
        finding = ("none", "NONE")[number % 2] if number < 12 else "cyst"
        rows.append(f"{number // 8}/img{number};{finding};p{number // 2}")
    table = root / "labels.csv"
    table.write_text(text or "\n".join(rows) + "\n", encoding=encoding)
    return table


def run(table: Path, out: Path, **facts: object) -> Conversion:
    given = {"folder": table.parent / "images", "image": "file", "label": "finding", "normal": ["none"]} | facts
    return convert(plan_table(ImageTable(table, **given)), out, progress=False)


def test_a_table_with_semicolons_and_a_group_column_becomes_a_task(tmp_path):
    done = run(study(tmp_path / "s", encoding="utf-8-sig"), tmp_path / "Study", group="patient")
    task = open_benchmark(done.out)["Study"]
    assert not set(task.train.groups) & set(task.test.groups) and len(set(task.train.groups)) == 5
    assert (len(task.train), len(task.test), int(task.test.labels.sum())) == (10, 6, 4)
    assert [(row.source_class, row.found) for row in done.table] == [("finding = none", 12), ("finding = cyst", 4)]


def test_names_in_a_table_find_files_of_the_other_unicode_form(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Läsion.png") for form in ("NFC", "NFD"))
    sources.save(tmp_path / decomposed, "a")
    assert FileIndex(tmp_path).find(composed) == tmp_path / decomposed


def test_without_a_group_column_the_report_warns_that_patients_may_be_divided(tmp_path):
    plan = plan_table(ImageTable(study(tmp_path / "s"), tmp_path / "s/images", "file", "finding", ["none"]))
    assert "may stand on both sides" in plan.patients and {image.patient for image in plan.images} == {None}


def test_rows_that_cannot_be_used_are_told_apart(tmp_path):
    table = study(tmp_path / "s")
    table.write_text(
        table.read_text() + "0/img0;cyst;p0\n1/img8;none;p4\nnowhere;none;p9\n;none;p9\n../../x;none;p9\n"
        "0/extra;;p9\n0/odd;unsure;p9\n"
    )
    for name in ("extra", "odd", "unlisted"):
        sources.save(tmp_path / f"s/images/0/{name}.png", name)
    done = run(table, tmp_path / "Study", anomalous=["cyst"], group="patient")
    reasons = {row.source_class: row.why for row in done.table if row.why}
    assert reasons == {
        "finding = none": {"rows disagree": 1, "file is missing": 3},
        "finding = (empty)": {"no label": 1},
        "finding = unsure": {"label neither normal nor anomalous": 1},
        "(not in the table)": {"no row in labels.csv": 1},
    }
    assert len(done.problems) == 5 and any("1/img8.png has 2 equal rows" in note for note in done.notes)


def test_masks_come_from_a_column_and_a_missing_one_is_told(tmp_path):
    table = study(tmp_path / "s")
    lines = table.read_text().splitlines()
    marked = np.zeros((48, 48), np.uint8)
    marked[:7, :3] = 1
    (tmp_path / "s/masks").mkdir()
    for number in (12, 13, 14):
        Image.fromarray(marked).save(tmp_path / f"s/masks/m{number}.png")
    table.write_text(
        "\n".join([lines[0] + ";mask", *(f"{line};{f'm{i}' if i > 11 else ''}" for i, line in enumerate(lines[1:]))])
    )
    done = run(table, tmp_path / "Study", mask="mask", mask_folder=tmp_path / "s/masks")
    task = open_benchmark(done.out)["Study"]
    assert int(task.test.masks(48).sum()) == 3 * 21
    assert [(image.name, image.why) for image in done.problems] == [("1/img15.png", "mask is missing")]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"label": "findng"}, "has no column 'findng', it has file, finding, patient \\(did you mean 'finding'\\?\\)"),
        ({"folder": Path("nowhere")}, "image folder 'nowhere' does not exist"),
        ({"normal": []}, "say which values of the label column mean normal"),
        ({"normal": ["healthy"]}, "gives no normal images for train and no normal images for test"),
    ],
)
def test_a_wrong_name_is_said_with_what_there_is(tmp_path, facts, message):
    with pytest.raises(SourceError, match=message):
        run(study(tmp_path / "s"), tmp_path / "Study", **facts)


def test_a_table_that_is_no_text_is_named(tmp_path):
    (tmp_path / "t.csv").write_bytes("file,label\nä,1\n".encode("latin-1"))
    with pytest.raises(SourceError, match="t.csv' is not a readable CSV file"):
        read_table(tmp_path / "t.csv", ("file",))
    with pytest.raises(SourceError, match="expected a CSV file with the columns file"):
        read_table(tmp_path / "none.csv", ("file",))


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("0", "0.0", True),
        (" 0 ", "0", True),
        ("Yes", "yes", True),
        ("1", "10", False),
        ("", "0", False),
    ],
)
def test_labels_are_compared_as_numbers_where_they_are_numbers(left, right, same):
    assert same_value(left, right) is same


def test_files_are_found_in_any_case_and_two_that_fit_are_refused(tmp_path):
    for name in ("Scan.PNG", "a/b.jpg", "twin.png", "twin.jpg"):
        sources.save(tmp_path / name, name)
    index = FileIndex(tmp_path)
    assert index.find("scan").name == "Scan.PNG" and index.find("a\\b.jpg").name == "b.jpg"
    with pytest.raises(SourceError, match="'twin' fits 2 files"):
        index.find("twin")
    assert index.find("twin.png").name == "twin.png" and index.find("b") is None
