"""Notebook 07 in a real JupyterLab: picking by mouse and by keyboard alone, saving, reloading, and the same score.

Takes a minute or two; needs Chromium, JupyterLab and playwright, and skips without them. Nothing sleeps for a while and
hopes: every step waits for the state that the next one needs, up to minutes on a busy machine. That a file is there or
a status line says so is not enough where JupyterLab still has something to do: `run` waits until no cell runs, and
what the keyboard does begins from a focus that stays.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from d24fad_lite.files import read_json_or_none

ROOT = Path(__file__).resolve().parents[2]
NAME = "07_choose_supports"
PATIENCE = 240  # s, for whatever has to happen
NOTEBOOK = ".jp-WindowedPanel-outer"
# No cell runs or waits for its turn (its prompt would be an asterisk), so no more output comes in and moves the others.
NOTHING_RUNS = "() => ![...document.querySelectorAll('.jp-InputPrompt')].some(e => e.textContent.includes('*'))"
# The picker's cell has the focus, and had it before: menus and dialogs that close may take it away once more.
PICKERS_CELL_KEEPS_FOCUS = """() => {
  const cell = document.querySelector('.d24-card').closest('.jp-CodeCell');
  if (document.activeElement === cell) return true;
  cell.focus();
  return false;
}"""
# What is wrong with the views, as a browser sees them: controls without a name, text of low contrast, and parts that
# stick out of their frame (lists and wide tables scroll inside of it, which is well).
FAULTS = """() => {
  const rgba = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) {
    const c = rgba(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0.5) return c; }
    return [255, 255, 255]; };
  const faults = [];
  for (const view of document.querySelectorAll('.d24')) {
    const right = view.getBoundingClientRect().right;
    for (const e of view.querySelectorAll('*')) {
      const box = e.getBoundingClientRect();
      if (!box.width || !box.height || e.tagName === 'OPTION') continue;
      const said = (e.innerText || e.labels?.[0]?.innerText || e.ariaLabel || e.title || '').trim();
      if (e.matches('button, input, select, [tabindex="0"]') && !said) faults.push('no name: ' + e.className);
      const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
      if (own && e.tagName !== 'STYLE') {
        const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) faults.push(`contrast ${ratio.toFixed(1)}: ${e.className} ${e.innerText}`);
      }
      if (box.right > right + 1 && !e.closest('.d24-wide, .d24-grid')) faults.push('sticks out: ' + e.className);
    }
  }
  return faults;
}"""
CHOICE = ("0002.png", "0005.png", "0009.png", "0011.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Path:
    """A detector in a file, so that no kernel of these tests has to train one."""
    import d24fad_lite as d2
    from d24fad_lite.data.samples.world import samples_root

    model = d2.D24FAD(d2.D24FADConfig(teacher="resnet18", weights="random", image_size=64))
    tasks = {"APTOS": d2.open_benchmark(samples_root(), ["APTOS"])["APTOS"]}
    d2.fit(model, tasks, shots=4, epochs=2, episodes="in-batch", device="cpu", progress=False)
    return model.save(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def notebook(lab: Any, trained: Path) -> Path:
    """Notebook 07 from its text, with the detector and a folder for results as parameters, where JupyterLab serves."""
    from build.pairing import notebook_text, read_text

    content = read_text(ROOT / "notebooks" / "build" / "texts" / f"{NAME}.py")
    cell = next(c for c in content.cells if "parameters" in c.metadata.get("tags", []))
    for name, value in (("model_file", trained), ("out", lab.folder / "out")):
        cell.source, found = re.subn(
            rf'^{name}: str = ""', f"{name}: str = {str(value)!r}", cell.source, flags=re.MULTILINE
        )
        assert found == 1
    path = lab.folder / f"{NAME}.ipynb"
    path.write_text(notebook_text(content), encoding="utf-8")
    return path


def until(true: Callable[[], bool], what: str) -> None:
    """Return when `true()` holds; for what happens in files, where the browser cannot wait for us."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited {PATIENCE} s in vain for: {what}"
        time.sleep(0.1)


@dataclass(frozen=True)
class Seen:
    """What the inspector shows of a choice."""

    picture: str
    facts: str
    auroc: float

    def pixels(self) -> np.ndarray:
        """The picture, int [H, W, 3]."""
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(self.picture.split(",")[1])))).astype(int)

    def numbers(self) -> list[float]:
        """All weights and effective numbers of the facts."""
        return [float(n) for n in re.findall(r"\d\.\d+", self.facts)]


class Person:
    """What a person does in JupyterLab, and sees."""

    def __init__(self, context: Any, lab: Any) -> None:
        self.lab, self.page = lab, context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.open()

    def open(self) -> None:
        """Open the notebook, or load its page anew, and wait for its kernel."""
        self.page.goto(self.lab.address(f"{NAME}.ipynb"), wait_until="commit")
        self.page.locator(f"{NOTEBOOK} .jp-Cell").first.wait_for()
        self.await_idle()

    def await_idle(self) -> None:
        """Wait until the status bar says that the kernel is there and has nothing to do."""
        self.page.locator("#jp-main-statusbar", has_text=re.compile(r"Python 3.*\| Idle")).wait_for()

    def run(self, entry: str, confirm: bool = False) -> None:
        """Choose an entry of the menu Run, wait for the last cell's file and for its end, and look at the picker."""
        metrics = self.lab.folder / "out" / "metrics.json"
        metrics.unlink(missing_ok=True)
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
        self.page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{entry}$")).click()
        if confirm:
            self.page.locator(".jp-Dialog .jp-mod-accept").click()
        until(metrics.is_file, f"{metrics.name} of the last cell")
        self.page.wait_for_function(NOTHING_RUNS)
        self.await_idle()
        self.page.locator(".d24-card").first.scroll_into_view_if_needed()

    def press(self, label: str) -> None:
        """Click the picker's button of that name with the mouse."""
        self.page.locator(".d24").get_by_role("button", name=label, exact=True).first.click()

    def expect(self, text: str, place: int = 0) -> None:
        """Wait until the status line of the picker (0) or of the inspector (1) holds a text."""
        self.page.wait_for_function(
            "([place, text]) => document.querySelectorAll('.d24-status')[place]?.innerText.includes(text)",
            arg=[place, text],
        )

    def sees(self) -> Seen:
        # By script, so that the focus stays where the person has it.
        self.page.get_by_role("button", name="Show AUROC", exact=True).evaluate("button => button.click()")
        self.expect("AUROC 0.", place=1)
        line = self.page.locator(".d24-status").nth(1).inner_text()
        return Seen(
            self.page.locator(".d24-picture img").get_attribute("src"),
            self.page.locator(".d24-table").first.inner_text(),
            float(re.search(r"AUROC ([\d.]+)", line)[1]),
        )

    def focused(self) -> str:
        """Name of the control that has the focus: its text, or its label."""
        return self.page.evaluate(
            "() => { const e = document.activeElement; return (e.innerText || e.labels?.[0]?.innerText || '').trim() }"
        )

    def key(self, name: str) -> None:
        self.page.keyboard.press(name)

    def tab_to(self, text: str, key: str = "Tab") -> None:
        """Move the focus with Tab, and only with Tab, until the control with this name has it."""
        for _ in range(90):
            if self.focused() == text:
                return
            self.key(key)
        raise AssertionError(f"{key} does not lead to {text!r}; the focus is on {self.focused()!r}")

    def arrow_to(self, text: str) -> None:
        """Enter the grid of candidates, which is one tab stop, and move within it with the arrow keys."""
        for _ in range(90):
            if self.on_a_card():
                break
            self.key("Tab")
        self.key("Home")
        for _ in range(90):
            if self.focused() == text:
                return
            self.key("ArrowRight")
        raise AssertionError(f"arrows do not lead to {text!r}; the focus is on {self.focused()!r}")

    def on_a_card(self) -> bool:
        return self.page.evaluate("() => document.activeElement.matches('.d24-card')")

    def theme(self, name: str) -> None:
        """Choose a theme of JupyterLab in its menu."""
        for label in ("Settings", "Theme", f"JupyterLab {name}"):
            item = ".lm-MenuBar-itemLabel" if label == "Settings" else ".lm-Menu-itemLabel"
            self.page.locator(item, has_text=re.compile(f"^{label}$")).click()
        light = str(name != "Dark").lower()
        self.page.locator(f"body[data-jp-theme-light={light}]").wait_for(state="attached")

    def leave_for_the_cell(self) -> None:
        """Put the focus where a person who only types comes from: on the picker's cell, not on one of its controls."""
        self.page.wait_for_function(PICKERS_CELL_KEEPS_FOCUS)


@pytest.mark.timeout(1200)
def test_supports_are_picked_by_mouse_and_by_keyboard_saved_and_replayed(
    lab: Any, browser: Any, notebook: Path, trained: Path, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    try:
        person = Person(context, lab)
        person.run("Run All Cells")
        by_mouse = pick_by_mouse(person)
        by_keyboard = pick_by_keyboard(person)
        assert by_keyboard == by_mouse
        look_around(person)
        kept = save_by_keyboard(person, tmp_path / "kept.json")
        save_notebook(person, notebook)

        person.open()
        person.run("Restart Kernel and Run All Cells…", confirm=True)
        loaded = load_by_keyboard(person, kept)
    except Exception:
        print(
            f"at {person.page.url}:\n{person.page.locator('.d24-status, .jp-Dialog').all_inner_texts()}\n"
            f"{lab.log.read_text()[-3000:]}"
        )
        raise
    finally:
        context.close()

    # Supports that are encoded one by one and four at once differ in the last digits, hence the tolerances.
    assert loaded.auroc == by_mouse.auroc
    assert loaded.numbers() == pytest.approx(by_mouse.numbers(), abs=0.011)
    assert np.abs(loaded.pixels() - by_mouse.pixels()).max() <= 3

    metrics = run_in_batch(notebook, tmp_path / "batch", kept, trained)
    assert metrics["supports"] == ", ".join(f"train/good/{name}" for name in CHOICE)
    assert metrics["auroc"] == pytest.approx(by_mouse.auroc, abs=5.1e-4)  # shown with three digits


def pick_by_mouse(person: Person) -> Seen:
    """Click four thumbnails; map, weights and AUROC follow each, and a fifth is refused with a reason."""
    person.expect("4 of 4")
    person.press("Clear")
    person.expect("0 of 4")
    person.expect("Pick a support", place=1)
    seen = []
    for number, name in enumerate(CHOICE, start=1):
        person.press(name)
        person.expect(f"{number} of 4")
        person.page.get_by_role("button", name=f"✓ {number} · {name}", exact=True).wait_for()
        person.expect(f"{number} of 4", place=1)
        seen.append(person.sees())
        assert f"{number} · {name}" in seen[-1].facts
    assert len({s.picture for s in seen}) == len({s.facts for s in seen}) == 4 and len({s.auroc for s in seen}) > 1
    person.press("0012.png")
    person.expect("put one back before you pick 0012.png")
    assert person.sees() == seen[-1]
    return seen[-1]


def pick_by_keyboard(person: Person) -> Seen:
    """The same from the cell on with Tab, arrows, Space and Enter alone; the focus stays on the button and is seen."""
    person.leave_for_the_cell()
    person.tab_to("Clear")
    person.key("Space")
    person.expect("0 of 4")
    person.expect("Pick a support", place=1)
    pictures = set()
    for number, name in enumerate(CHOICE, start=1):
        person.arrow_to(name)
        person.key("Space" if number % 2 else "Enter")
        person.expect(f"{number} of 4")
        person.expect(f"{number} of 4", place=1)
        pictures.add(person.sees().picture)
        assert person.focused() == f"✓ {number} · {name}"
        assert person.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert len(pictures) == 4
    person.key("Tab")
    assert not person.on_a_card()  # the next Tab leaves the grid, wherever in it the focus was
    return person.sees()


def look_around(person: Person) -> None:
    """Every control has a name, every text contrast, and nothing sticks out: wide and narrow, light and dark."""
    person.page.locator(".d24").get_by_role("button", name="Is my choice any good?").click()
    person.page.locator(".d24-figure img").wait_for()
    for theme in ("Dark", "Light"):
        person.theme(theme)
        for width in (800, 1280):
            person.page.set_viewport_size({"width": width, "height": 1000})
            end = time.monotonic() + PATIENCE  # for the theme's style sheet and the new layout
            while (faults := person.page.evaluate(FAULTS)) and time.monotonic() < end:
                time.sleep(0.1)
            assert faults == [], f"{theme}, {width} px"


def save_by_keyboard(person: Person, kept: Path) -> Path:
    """Save to the proposed file, and keep a copy that no later run of the notebook writes over."""
    file = person.lab.folder / "out" / "supports.json"
    person.leave_for_the_cell()
    person.tab_to("Save")
    person.key("Space")
    person.expect("saved 4 of 4")
    kept.write_bytes(file.read_bytes())
    assert [e["name"] for e in json.loads(kept.read_text())["supports"]] == [f"train/good/{n}" for n in CHOICE]
    return kept


def save_notebook(person: Person, notebook: Path) -> None:
    """Save as JupyterLab does: the outputs are kept, the widgets' state and with it the images are not.

    Jupyter writes into the file itself, so what is read meanwhile may be half of it: wait for a whole one.
    """
    person.leave_for_the_cell()
    person.key("Control+s")
    until(lambda: "they need a running kernel" in json.dumps(read_json_or_none(notebook)), "the saved notebook")
    assert "widgets" not in json.loads(notebook.read_text())["metadata"]


def load_by_keyboard(person: Person, kept: Path) -> Seen:
    """Load the kept choice in place of the one that the notebook suggests."""
    person.expect("4 of 4", place=1)
    suggested = person.sees()
    person.leave_for_the_cell()
    person.tab_to("File")
    person.key("Control+a")
    person.page.keyboard.type(str(kept))
    person.tab_to("Load")
    person.key("Enter")
    person.expect("loaded 4 of 4")
    person.page.wait_for_function(
        "facts => document.querySelector('.d24-table').innerText !== facts", arg=suggested.facts
    )
    person.expect("4 of 4", place=1)
    return person.sees()


def run_in_batch(notebook: Path, folder: Path, support_file: Path, model_file: Path) -> dict[str, Any]:
    """Papermill's own command with `support_file`; returns the metrics, and sees that no widget was made."""
    folder.mkdir()
    given = {"support_file": support_file, "model_file": model_file, "out": folder}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "papermill",
            notebook,
            folder / "run.ipynb",
            "--no-progress-bar",
            "--cwd",
            folder,
            *(part for name, value in given.items() for part in ("-r", name, str(value))),
        ],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        env=batch_environment(),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    text = (folder / "run.ipynb").read_text()
    assert "application/vnd.jupyter.widget-view+json" not in text and "widgets" not in json.loads(text)["metadata"]
    return json.loads((folder / "metrics.json").read_text())


def batch_environment() -> dict[str, str]:
    """The kernel imports the checkout, as those of the browser do."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": paths, "D24FAD_WIDGETS": "", "D24FAD_PROFILE": "quick", "D24FAD_DATA": ""}
