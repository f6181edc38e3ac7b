"""A run's report and its pages in a real browser: nothing is cut, wide and narrow, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from d24fad_lite.files import write_json
from d24fad_lite.runs.notebook_page import link_pages, write_page
from d24fad_lite.runs.report_page import write_report

NAMES = ["00_first", "01_second"]
# As wide as the widest table that a lesson reports on the profiles.
COSTS = [
    {"profile": "quick", "teacher": "tf_efficientnet_lite0", "weights": "imagenet", "epochs": 30, "shots": "2, 4, 8",
     "seeds": 1, "episodes": "in-batch", "training here, 160 images": "10 min", "with 10,000 images": "10 h"},
    {"profile": "full", "teacher": "wide_resnet50_2", "weights": "imagenet", "epochs": 70, "shots": "2, 4, 8",
     "seeds": 3, "episodes": "independent", "training here, 160 images": "40 days",
     "with 10,000 images": "over 2 months"},
]  # fmt: skip
LONG = f"values = [{', '.join(map(str, range(60)))}]  # far longer than a page is wide"
# On a narrow screen a table may scroll within its box, which then has a shadow at its edge; nothing else may.
WHOLE = {1280: ".scroll, table, pre, .facts, nav", 800: "pre, .facts, nav"}
CUT = """among => [...document.querySelectorAll(among)]
  .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
GROUND = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two lessons: one with a wide table and a verdict, one that failed."""
    folder = tmp_path_factory.mktemp("run")
    cell = new_code_cell(LONG, execution_count=1, outputs=[new_output("stream", name="stdout", text=LONG + "\n")])
    for name in NAMES:
        nbformat.write(new_notebook(cells=[new_markdown_cell(f"# {name}"), cell]), folder / f"{name}.ipynb")
        write_page(folder / f"{name}.ipynb", folder / "pages" / f"{name}.html")
    link_pages(folder / "pages", NAMES)
    write_json(folder / NAMES[0] / "metrics.json", {"verdict": "it is so", "tables": {"Costs": COSTS}})
    failing = {"index": 1, "source": LONG, "last_lines": ["Traceback", LONG]}
    entry = {"status": "completed", "seconds": 75.0, "peak_mb": 2100, "error": "", "cell": None, "resumed": False}
    entries = [
        {"name": NAMES[0], **entry},
        {"name": NAMES[1], **entry, "status": "failed", "error": "lost", "cell": failing},
    ]
    summary = {
        "status": "failed", "started": "2026-01-31T20:59:59+00:00", "seconds": 3725.0, "profile": "standard",
        "parameters": {"root": "some/folder/" * 12}, "resume": f"python -m d24fad_lite.runs --out {'runs/' * 40}",
        "versions": {"torch": "2.14.1"},
        "machine": {"system": "Linux", "python": "3.11", "cores": 2, "memory_gb": 25.0},
        "notebooks": entries,
    }  # fmt: skip
    write_json(folder / "summary.json", summary)
    write_report(folder)
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 800])
def test_nothing_of_a_report_is_cut(browser: Any, run: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    try:
        for name in ("report.html", f"pages/{NAMES[0]}.html"):
            page.goto((run / name).as_uri())
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width, name
            assert page.evaluate(CUT, WHOLE[width]) == [], name
            assert (sum(page.evaluate(GROUND)) < 150) == (scheme == "dark"), name
    finally:
        context.close()


def test_contents_and_neighbours_lead_there_and_back(browser: Any, run: Path) -> None:
    page = browser.new_page()
    try:
        page.goto((run / "report.html").as_uri())
        page.locator("nav.contents a").first.click()
        assert page.url.endswith(f"#{NAMES[0]}")
        assert "What this showed: it is so" in page.locator(f'[id="{NAMES[0]}"]').inner_text()
        page.get_by_role("link", name="page", exact=True).first.click()
        page.locator("nav.series a", has_text="01 second").first.click()
        page.locator("nav.series a", has_text="report").last.click()
        assert page.url.endswith("report.html")
    finally:
        page.close()
