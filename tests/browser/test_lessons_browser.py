"""From the line that `make lab` prints into the lessons: they run, exercises judge, and no source file changes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab_server import ABANDONED, ROOT, end_tree, environment, free_port

from d24fad_lite.lessons.exercises.exercise import has_exercises, load_exercises

START = "start_here.ipynb"
# The notebook of a path, in front: a tab may open behind the one whose link was clicked, as a reader may see it.
IN_FRONT = """const shell = window.jupyterapp.shell
const panel = [...shell.widgets('main')].find(widget => widget.context?.path === path)
if (panel && shell.currentWidget !== panel) shell.activateById(panel.id)
"""
READY = f"""path => {{ {IN_FRONT}
  return panel && shell.currentWidget === panel && panel.sessionContext.session?.kernel?.status === 'idle'
}}"""
RUN_ALL = f"""async path => {{ {IN_FRONT}
  await window.jupyterapp.commands.execute('notebook:run-all-cells')
}}"""
SAVE = f"async path => {{ {IN_FRONT} await panel.context.save() }}"
# Each cell's source, tags and outputs as text.
CELLS = f"""path => {{ {IN_FRONT}
  return panel.content.widgets.map(cell => cell.model.sharedModel.toJSON()).map(cell => ({{
    source: [cell.source].flat().join(''),
    tags: cell.metadata.tags ?? [],
    outputs: (cell.outputs ?? []).map(out => out.output_type === 'error' ? `${{out.ename}}: ${{out.evalue}}`
      : [out.text ?? out.data?.['text/plain'] ?? ''].flat().join('')),
    failed: (cell.outputs ?? []).some(out => out.output_type === 'error'),
  }}))
}}"""
ANSWER = f"""async ([path, index, source]) => {{ {IN_FRONT}
  const notebook = panel.content
  notebook.widgets[index].model.sharedModel.setSource(source)
  notebook.activeCellIndex = index
  notebook.deselectAll()
  await window.jupyterapp.commands.execute('notebook:run-cell')
}}"""


@dataclass
class Opened:
    """What `make lab` started: the line it printed, and the copy of the notebooks that it serves."""

    line: str
    notebooks: Path


@pytest.fixture(scope="module")
def opened(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """`make lab`'s own command over a fresh copy of the notebooks; skips where there is no make."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("there is no make on this machine")
    recipe = subprocess.run([make, "-n", "lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = next(shlex.split(line) for line in recipe.splitlines() if "jupyter lab" in line)
    home = tmp_path_factory.mktemp("fresh")
    shutil.copytree(ROOT / "notebooks", home / "notebooks", ignore=shutil.ignore_patterns("__pycache__"))
    port = free_port()
    extra = ["--no-browser", "--allow-root", f"--port={port}", "--expose-app-in-browser", *ABANDONED]
    command = [sys.executable, "-m", "jupyter", *words[1:], *extra]
    log = home / "lab.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            command, cwd=home, env=environment(home), stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        yield Opened(printed_line(log, server), home / "notebooks")
    finally:
        end_tree(server)


def printed_line(log: Path, server: subprocess.Popen, seconds: float = 120) -> str:
    """The address that a user copies from the terminal: the last one printed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        found = re.findall(r"http://127\.0\.0\.1:\S+", log.read_text())
        if found:
            return found[-1]
        time.sleep(0.2)
    pytest.fail(f"JupyterLab printed no address: {log.read_text()[-2000:]}")


@pytest.fixture
def page(opened: Opened, browser: Any) -> Iterator[Any]:
    """The start page as the printed line opens it."""
    shutil.rmtree(opened.notebooks.parent / "workspaces", ignore_errors=True)  # no tabs of the test before
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(opened.line)
    page.get_by_role("heading", name="Start here").wait_for()
    page.evaluate("() => window.jupyterapp.restored")  # until then JupyterLab may bring another tab to the front
    await_kernel(page, START)
    yield page
    page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    context.close()


def await_kernel(page: Any, path: str) -> None:
    """Return when the notebook is in front and its kernel has nothing to do."""
    page.wait_for_function(READY, arg=path)


def open_lesson(page: Any, name: str, folder: str = "") -> None:
    """Follow the start page's link to a lesson or its exercises, and wait until its kernel is ready."""
    page.locator(f'.jp-RenderedMarkdown a[href*="/files/{folder}{name}.ipynb"]:visible').first.click()
    await_kernel(page, f"{folder}{name}.ipynb")


def test_the_printed_line_lands_on_the_start_page_without_a_log_in(opened: Opened, page: Any) -> None:
    assert opened.line.count("?") == 1 and "start_here.ipynb" in opened.line
    assert "login" not in page.url
    assert page.locator('.jp-RenderedMarkdown img[alt^="Test images"]').evaluate("image => image.naturalWidth") > 100
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_all_of_the_start_page_runs_and_its_links_open(opened: Opened, page: Any) -> None:
    page.evaluate(RUN_ALL, START)
    assert not any(cell["failed"] or cell["outputs"] for cell in page.evaluate(CELLS, START))
    assert page.locator(".jp-Dialog").count() == 0
    open_lesson(page, "04_dual_distillation", folder="exercises/")
    assert page.locator(".jp-Dialog").count() == 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["00_check_setup", "04_dual_distillation", "07_choose_supports", "12_your_own_data"])
def test_a_lesson_runs_and_judges_answers_and_no_source_changes(opened: Opened, page: Any, name: str) -> None:
    sources = {path: path.read_bytes() for path in (opened.notebooks / "build").rglob("*.py")}
    open_lesson(page, name)
    page.set_default_timeout(600_000)
    page.evaluate(RUN_ALL, f"{name}.ipynb")
    cells = page.evaluate(CELLS, f"{name}.ipynb")
    assert [cell["outputs"] for cell in cells if cell["failed"]] == []
    assert any("finished" in text for text in cells[-1]["outputs"])
    if not has_exercises(name):
        pytest.skip("OLD CHECKS: this lesson has no module of exercises yet")
    answer_the_first_exercise(page, f"{name}.ipynb", cells, load_exercises(name).exercise(1).solution_source())
    page.evaluate(SAVE, f"{name}.ipynb")
    assert "# the reader was here" in (opened.notebooks / f"{name}.ipynb").read_text()
    assert {path: path.read_bytes() for path in sources} == sources


def answer_the_first_exercise(page: Any, path: str, cells: list[dict[str, Any]], solution: str) -> None:
    """Leave it blank, answer wrongly, raise, ask for help, and answer rightly; each has its own message."""
    assert not any(solution.strip() in text for cell in cells for text in (cell["source"], *cell["outputs"]))
    index, blank = next((i, cell["source"]) for i, cell in enumerate(cells) if "exercise" in cell["tags"])
    head, name = re.search(r"^(def (\w+)\(.*?\):) \.\.\.", blank, re.MULTILINE | re.DOTALL).groups()
    check = f"lesson.check(1, {name})  # the reader was here"
    assert f"lesson.check(1, {name})" in blank

    def said(source: str) -> str:
        page.evaluate(ANSWER, [path, index, source])
        return "\n".join(page.evaluate(CELLS, path)[index]["outputs"])

    bodies = ("...", "return 0", 'raise KeyError("lost")')
    refused = [said(f"{head}\n    {body}\n\n\n{check}") for body in bodies]
    assert len(set(refused)) == 3 and not any("correct" in line for line in refused), refused
    assert "KeyError" in refused[2]
    assert "hint 1 of" in said("lesson.hint(1)")
    assert solution.strip() in said("lesson.solution(1)")
    assert "correct" in said(f"{solution}\n\n\n{check}")
