"""The intake report: everything of a folder is in a table, and on one page that needs nothing else."""

from __future__ import annotations

import base64
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from image_files import write_dicom
from PIL import Image

import d24fad_lite as d2
from d24fad_lite.data.layouts.task_files import LayoutError
from d24fad_lite.evaluation.intake.sheet import OUTLINE, draw_outline

EVIL = 'x"><script>alert(1)<_script>&amp;'


@pytest.fixture
def root(tiny_root: Path, tmp_path: Path) -> Path:
    """Two tasks, one of them with a cut file, a note, a link to nothing, a deep image and a name made of markup."""
    root = Path(shutil.copytree(tiny_root, tmp_path / "root"))
    good = root / "Blobs/train/good"
    (good / "000.png").write_bytes((good / "000.png").read_bytes()[:60])
    (good / "notes.txt").write_text("x")
    (good / "gone.png").symlink_to(good / "nowhere.png")
    shutil.copy(good / "001.png", root / f"Blobs/test/good/{EVIL}.png")
    Image.fromarray((np.mgrid[:20, :40][1] * 50).astype(np.uint16)).save(root / "Stripes/test/bad/deep.png")
    return root


class Page(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.addresses, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_tables_hold_every_split_image_finding_and_file_left_out(root):
    report = d2.intake_report(root)
    tasks = report.tasks.set_index(["task", "split"])
    assert tasks.loc[("Blobs", "train"), ["normal", "unreadable"]].tolist() == [11, 2]
    assert tasks.loc[("Stripes", "test"), ["normal", "anomalous", "masks"]].tolist() == [5, 6, 5]
    assert tasks.loc[("Stripes", "test"), "sizes"] == "32x32 (10), 40x20 (1)"
    assert tasks.loc[("Stripes", "test"), "bits"] == "8-bit colour (10), 16-bit grey (1)"
    assert len(report.files) == 11 + 11 + 10 + 11
    assert report.left_out.values.tolist() == [
        ["Blobs", "train/good/notes.txt", 1, "notes.txt", "no PNG, JPEG, BMP, TIFF or DICOM"]
    ]
    findings = "\n".join(report.findings["finding"])
    for part in (
        "000.png' cannot be decoded",
        "gone.png' does not exist",
        "is the same image as 'train/good/001.png'",
        "1 of 1 deep images use under 10%",
        "1 of 6 anomalous test images of task 'Stripes' have no mask",
    ):
        assert part in findings
    assert str(root) not in findings and report.findings["severity"].tolist() == ["error"] * 3 + ["warning"] * 2
    assert report.errors == 3 and report.summary() == (
        "2 task(s), 43 images, 3 error(s), 2 warning(s), 1 file(s) left out"
    )


def test_an_image_cut_short_is_unreadable_in_every_format(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    for name in ("a.png", "b.jpg", "c.tif"):
        Image.fromarray(pixels).save(tmp_path / name)
    write_dicom(tmp_path / "d.dcm", pixels[:, :, 0], bits=8)
    write_dicom(tmp_path / "e.dcm", pixels[:, :, 0].astype(np.uint16))
    whole = {path.name: path.read_bytes() for path in sorted(tmp_path.iterdir())}
    assert d2.intake_report(tmp_path).tasks["unreadable"].tolist() == [0]
    for name, content in whole.items():
        (tmp_path / f"cut_{name}").write_bytes(content[: len(content) * 6 // 10])
    report = d2.intake_report(tmp_path)
    assert report.tasks["unreadable"].tolist() == [5] and report.errors == 5 and "; 5 unreadable" in report.text()
    assert report.parts[0].readable.tolist() == [not name.startswith("cut_") for name in report.files["name"]]
    for name in whole:
        assert sum(f"cut_{name}' cannot be decoded" in finding for finding in report.findings["finding"]) == 1


def test_shortcuts_stand_beside_what_chance_reaches_with_so_many_images(tiny_root, tmp_path):
    shutil.copytree(tiny_root / "Blobs", tmp_path / "Blobs")
    for path in (tmp_path / "Blobs/test/bad").iterdir():
        Image.fromarray((np.asarray(Image.open(path)) * 0.3).astype(np.uint8)).save(path)
    table = d2.intake_report(d2.open_benchmark(tmp_path)).shortcuts.set_index("statistic")
    dark = table.loc["intensity"]
    assert dark["AUROC"] == 1 and dark["anomalous are"] == "lower" and (dark["normal"], dark["anomalous"]) == (5, 5)
    assert table.loc["aspect", "AUROC"] == 0.5
    few = dark["chance up to"]
    rng = np.random.default_rng(0)
    labels = np.arange(10) % 2
    best = [max(abs(d2.image_auroc(labels, rng.random(10)) - 0.5) for _ in range(11)) + 0.5 for _ in range(300)]
    assert few > 0.9 and np.mean(np.array(best) > few) < 0.1


def test_the_page_needs_no_other_file_runs_no_script_and_escapes_every_name(root, tmp_path):
    path = d2.intake_report(root).save(tmp_path / "new/intake.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert "script" not in page.tags and "link" not in page.tags and EVIL in page.text
    assert page.addresses and all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert "url(" not in path.read_text(encoding="utf-8") and str(root) not in path.read_text(encoding="utf-8")
    assert page.text.count("not readable") == 2
    with Image.open(io.BytesIO(base64.b64decode(page.addresses[0].split(",")[1]))) as picture:
        assert max(picture.size) == 160


def test_masks_are_outlined_and_what_they_mark_stays_visible():
    marked = np.zeros((40, 40), bool)
    marked[10:30, 10:30] = True
    pixels = np.full((40, 40, 3), 100, np.uint8)
    draw_outline(pixels, marked)
    assert (pixels[10, 10:30] == OUTLINE).all() and (pixels[12:28, 12:28] == 100).all() and (pixels[:8] == 100).all()


def test_pictures_are_chosen_evenly_and_no_more_than_asked_for(root):
    page = d2.intake_report(root, thumbnails=2).to_html()
    assert page.count("<figure") == 2 * (1 + 2) * 2 and "2 of 11" in page


def test_a_task_that_cannot_be_opened_is_a_finding_and_the_others_are_reported(root):
    shutil.copy(root / "Blobs/train/good/001.png", root / "Blobs/train/loose.png")
    (root / "weights").mkdir()
    (root / "weights/a.bin").touch()
    report = d2.intake_report(root)
    assert set(report.tasks["task"]) == {"Stripes"} and report.left_out["place"].tolist() == ["weights"]
    assert report.findings.iloc[0][["task", "severity"]].tolist() == ["Blobs", "error"]
    assert "1 image(s) lie directly in 'Blobs/train'" in report.findings.iloc[0]["finding"]


def test_a_folder_of_images_without_tasks_has_its_report_too(root):
    folder = root / "Blobs/train/good"
    report = d2.intake_report(folder)
    assert report.tasks["split"].tolist() == ["images"] and report.errors == 2 and report.shortcuts.empty
    assert report.left_out["place"].tolist() == ["notes.txt"] and "Contact sheet" in report.to_html()


def test_a_test_set_of_one_class_has_no_shortcuts_and_still_a_report(root):
    shutil.rmtree(root / "Stripes/test/good")
    report = d2.intake_report(root / "Stripes")
    assert report.shortcuts.empty and "Not computed" in report.to_html()
    assert any("no normal test images" in text for text in report.findings["finding"])


def test_nothing_to_report_on_is_an_error(tmp_path):
    with pytest.raises(LayoutError, match="holds no task"):
        d2.intake_report(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        d2.intake_report(tmp_path / "nowhere")


def test_a_notebook_shows_the_tables_without_pictures(root):
    shown = d2.intake_report(root)._repr_html_()
    assert "<table" in shown and "<img" not in shown and not re.search(r"<(html|style)", shown)
