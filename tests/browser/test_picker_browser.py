"""Notebook 07 in a real JupyterLab: picking by mouse and by keyboard alone, saving, reloading, and the same score.

Takes about a minute and a half; needs a system Chromium, JupyterLab and playwright, and skips without them.
"""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
NAME = "07_choose_supports"
SECONDS = 1000  # ms, the browser's unit


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector in a file, so that no kernel of these tests has to train one."""
    import d24fad_lite as d2
    from d24fad_lite.data.samples.world import samples_root

    model = d2.D24FAD(d2.D24FADConfig(teacher="resnet18", weights="random", image_size=64))
    tasks = {"APTOS": d2.open_benchmark(samples_root(), ["APTOS"])["APTOS"]}
    d2.fit(model, tasks, shots=4, epochs=2, episodes="in-batch", device="cpu", progress=False)
    return model.save(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def notebook(lab: Any, trained: Path) -> Path:
    """Notebook 07 from its text, with its parameters set, in the folder that JupyterLab serves."""
    from d24fad_lite.runner.pairing import notebook_text, read_pair

    content = json.loads(notebook_text(read_pair(ROOT / "notebooks", NAME)))
    for cell in content["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            source = "".join(cell["source"])
            source = re.sub(r'^model_file: str = ""', f"model_file: str = {str(trained)!r}", source, flags=re.M)
            source = re.sub(r'^out: str = ""', f"out: str = {str(lab.folder / 'out')!r}", source, flags=re.M)
            cell["source"] = source
    path = lab.folder / f"{NAME}.ipynb"
    path.write_text(json.dumps(content))
    return path


def decoded(address: str) -> np.ndarray:
    """Pixels of a data: address, as int."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))).astype(int)


class Page:
    """What a person does in JupyterLab, and sees."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        page.goto(f"{url}/lab/tree/{NAME}.ipynb?token=tests&reset")
        page.wait_for_selector(".jp-Notebook", timeout=60 * SECONDS)
        page.wait_for_timeout(1500)
        if (refuse := page.get_by_role("button", name="No", exact=True)).count():
            refuse.first.click()
        if page.locator("#jp-left-stack").is_visible():
            page.keyboard.press("Control+b")

    def menu(self, top: str, entry: str) -> None:
        self.page.get_by_role("menuitem", name=top, exact=True).click()
        self.page.get_by_role("menuitem", name=entry, exact=True).click()

    def idle(self) -> None:
        self.page.wait_for_timeout(1500)
        self.page.wait_for_function(
            "document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'",
            timeout=180 * SECONDS)

    def run_all(self) -> None:
        self.menu("Run", "Run All Cells")
        self.idle()
        self.see_picker()

    def restart_and_run_all(self) -> None:
        self.menu("Run", "Restart Kernel and Run All Cells…")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.wait_for_timeout(3 * SECONDS)
        self.idle()
        self.see_picker()

    def see_picker(self) -> None:
        """Cells far from the window are not rendered: scroll until the picker is there."""
        for direction in (-1, 1):
            for _ in range(60):
                if self.page.locator(".d24-status").count():
                    self.page.locator(".d24-status").first.scroll_into_view_if_needed()
                    self.page.wait_for_timeout(500)
                    return
                self.page.mouse.move(600, 600)
                self.page.mouse.wheel(0, direction * 700)
                self.page.wait_for_timeout(100)
        raise AssertionError("the picker is not on the page")

    def press(self, label: str) -> None:
        self.page.get_by_role("button", name=label, exact=True).first.click()

    def status(self) -> str:
        return self.page.locator(".d24-status").first.inner_text()

    def expect(self, text: str, place: int = 0) -> None:
        self.page.wait_for_function(
            f"document.querySelectorAll('.d24-status')[{place}]?.innerText.includes({json.dumps(text)})",
            timeout=30 * SECONDS)

    def picture(self) -> str:
        return self.page.locator(".d24-picture img").first.get_attribute("src")

    def facts(self) -> str:
        return self.page.locator(".d24-table").first.inner_text()

    def auroc(self) -> float:
        return float(re.search(r"AUROC ([\d.]+)", self.page.locator(".d24-status").nth(1).inner_text()).group(1))

    def focused(self) -> str:
        return self.page.evaluate("document.activeElement.innerText || ''").strip()

    def tab_to(self, text: str) -> None:
        """Move on with Tab, and only with Tab, until a control with this text has the focus."""
        for _ in range(90):
            if self.focused() == text:
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not lead to {text!r}; the focus is on {self.focused()!r}")


def test_supports_are_picked_by_mouse_and_keyboard_saved_and_replayed(lab: Any, browser: Any, notebook: Path,
                                                                       trained: Path, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = Page(context.new_page(), lab.url)
    page.run_all()
    assert "4 of 4" in page.status()

    # By mouse: each pick changes map, weights and AUROC.
    page.press("Clear")
    page.expect("0 of 4")
    page.expect("Pick a support", place=1)
    seen = []
    for number, name in ((1, "0002.png"), (2, "0005.png")):
        page.press(name)
        page.expect(f"{number} of 4")
        page.page.get_by_role("button", name=f"✓ {number} · {name}", exact=True).wait_for()
        page.expect(f"{number} of 4", place=1)
        seen.append((page.picture(), page.facts(), page.auroc()))
    assert seen[0][0] != seen[1][0] and "2 · 0005.png" in seen[1][1]

    # By keyboard alone, with Space and with Enter; the focus stays on the button and is seen.
    page.tab_to("0009.png")
    page.page.keyboard.press("Space")
    page.expect("3 of 4")
    assert page.focused() == "✓ 3 · 0009.png"
    outline = page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.tab_to("0011.png")
    page.page.keyboard.press("Enter")
    page.expect("4 of 4")
    page.expect("4 of 4", place=1)
    page.tab_to("0012.png")
    page.page.keyboard.press("Enter")
    page.expect("put one back before you pick 0012.png")
    chosen = (page.picture(), page.facts(), page.auroc())
    assert chosen[0] not in {picture for picture, _, _ in seen}
    assert len({auroc for *_, auroc in [*seen, chosen]}) > 1
    page.tab_to("Save")
    page.page.keyboard.press("Space")
    page.expect("saved 4 of 4")
    file = lab.folder / "out" / "supports.json"
    names = [entry["name"] for entry in json.loads(file.read_text())["supports"]]
    assert names == [f"train/good/{stem}.png" for stem in ("0002", "0005", "0009", "0011")]
    kept = tmp_path / "supports.json"
    kept.write_bytes(file.read_bytes())

    # A new page and a new kernel: load the choice, and see the same.
    page.page.keyboard.press("Control+s")
    page.page.wait_for_timeout(1000)
    page.page.close()
    page = Page(context.new_page(), lab.url)
    page.restart_and_run_all()
    page.page.locator(".d24").get_by_label("File", exact=True).first.fill(str(kept))
    page.page.keyboard.press("Tab")
    page.press("Load")
    page.expect("loaded 4 of 4")
    page.expect("4 of 4", place=1)
    page.page.wait_for_function(
        f"document.querySelector('.d24-table')?.innerText === {json.dumps(chosen[1])}", timeout=30 * SECONDS)
    assert page.auroc() == chosen[2]
    assert np.abs(decoded(page.picture()) - decoded(chosen[0])).max() <= 2  # encoded in other batches: last digits
    context.close()

    # The same choice in a batch run, which leaves no widget behind.
    from d24fad_lite.runner.execute import run_notebook

    output = tmp_path / "run" / f"{NAME}.ipynb"
    result = run_notebook(notebook, output, {"support_file": str(kept), "model_file": str(trained),
                                             "out": str(tmp_path / "batch")}, timeout=300)
    assert result.status == "completed", result.error
    metrics = json.loads((tmp_path / "batch" / "metrics.json").read_text())
    assert metrics["supports"] == ", ".join(names)
    assert metrics["auroc"] == pytest.approx(chosen[2], abs=5e-4)
    executed = json.loads(output.read_text())
    assert "widgets" not in executed["metadata"]
    assert "application/vnd.jupyter.widget-view+json" not in output.read_text()
