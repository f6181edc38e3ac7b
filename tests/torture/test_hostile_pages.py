"""Whatever files are called, pages and widgets show the names and nothing else happens."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile_names import hostile_names
from PIL import Image
from tally import SEED, cases, count

from d24fad_lite.cli.errors import say, tell
from d24fad_lite.data.benchmark import open_folder
from d24fad_lite.data.images import ImageError
from d24fad_lite.evaluation.audit.findings import AuditReport, Finding
from d24fad_lite.evaluation.intake.intake import intake_report
from d24fad_lite.figures.plots import contact_sheet, png, weights_figure
from d24fad_lite.interactive.picker import SupportPicker
from d24fad_lite.messages import printable
from d24fad_lite.runs.report_page import write_report
from d24fad_lite.supports.selection import SupportSelection

NAMES = hostile_names(SEED, len(cases(300)))


class Page(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.values: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.values += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.values.append(data)


def is_harmless(page: str, plain: str) -> None:
    """Assert that a page has the tags and attributes of the one with plain names, and no control character."""
    found, expected = Page(page), Page(plain)
    assert found.tags <= expected.tags and found.attributes <= expected.attributes
    assert all(value.replace("\n", "").replace("\t", "").isprintable() for value in found.values)
    assert not any(value.lower().startswith("javascript:") for value in found.values)
    page.encode()  # no byte that is no text


def images(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        pixels = np.random.default_rng([1, len(name)]).integers(0, 255, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name, format="PNG")
    return folder


PLAIN = [f"{number}.png" for number in range(len(NAMES))]


def summary(names: list[str], folder: Path) -> str:
    """The report of a run in which every text is such a name."""
    folder.mkdir()
    facts = {"status": names[0], "profile": names[1], "seconds": 1.0, "started": names[2], "resume": names[3]}
    machine = {"system": names[4], "cores": 2, "memory_gb": 8.0, "python": names[5]}
    cell = {"index": 1, "source": names[6], "last_lines": names}
    common = {"status": "failed", "seconds": 1.0, "peak_mb": 1.0, "cell": cell, "resumed": False}
    entries = [common | {"name": f"{number:02d}_x", "error": name} for number, name in enumerate(names)]
    run = facts | {"parameters": {names[7]: names[8]}, "versions": {names[9]: names[10]}, "machine": machine}
    (folder / "summary.json").write_text(json.dumps(run | {"notebooks": entries}))
    for entry, name in zip(entries, names, strict=True):
        (folder / entry["name"]).mkdir()
        metrics = {"verdict": name, "headline": name, "tables": {name: [{name: name}]}, name: name, "figures": [name]}
        (folder / entry["name"] / "metrics.json").write_text(json.dumps(metrics))
    return write_report(folder).read_text(encoding="utf-8")


def test_the_report_of_a_run(tmp_path: Path) -> None:
    is_harmless(summary(NAMES, tmp_path / "hostile"), summary(PLAIN, tmp_path / "plain"))
    count("hostile names in a run's report", len(NAMES))


def test_the_intake_page(tmp_path: Path) -> None:
    pages = [
        Path(intake_report(images(tmp_path / what, names)).save(tmp_path / f"{what}.html")).read_text(encoding="utf-8")
        for what, names in (("hostile", NAMES), ("plain", PLAIN))
    ]
    is_harmless(*pages)
    count("hostile names in an intake page", len(NAMES))


def test_the_picker_and_its_figures(tmp_path: Path) -> None:
    shown = []
    for what, names in (("hostile", NAMES), ("plain", PLAIN)):
        folder = open_folder(images(tmp_path / what, names))
        picker = SupportPicker(SupportSelection(folder, 4))
        html = []
        for card in picker.cards[:8]:
            card.click()
            html += [widget.value for widget in (picker.preview, picker.caption, picker.status)]
            assert card.description.isprintable()
        shown.append("".join(html))
        for start in range(0, len(names), 8):
            some = folder.names[start : start + 8]
            assert png(contact_sheet(folder.images(32, range(start, start + len(some))), some, some[0]))
            assert png(weights_figure(torch.full((2, len(some)), 0.5), some, some[0]))
    is_harmless(*shown)
    count("hostile names in the picker and in figures", len(NAMES))


def test_an_audit_as_it_stands_in_a_notebook() -> None:
    pages = []
    for names in (NAMES, PLAIN):
        findings = tuple(Finding(name, name, "clean", name) for name in names)
        pages.append(AuditReport(names[0], findings)._repr_html_())
    is_harmless(*pages)


def test_terminals_show_names_and_obey_none(capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        say(name)
        tell(f"{name}\n{name}")
        assert str(ImageError(f"'{name}' is damaged")) == f"'{printable(name)}' is damaged"
    printed = capsys.readouterr()
    assert all(line.isprintable() for text in printed for line in text.split("\n"))
    assert printed.err.count("\n") == len(NAMES)
