"""Write notebooks/picker.png: the support picker and the inspector at work in a real JupyterLab.

    python tests/browser/picker_picture.py [--out FILE]    about two minutes; Chromium, JupyterLab and playwright

Notebook 07 runs with the synthetic samples and the profile quick, in the light theme. Four supports are picked with the
mouse, then the page is cut to the two views. GitHub and static pages show this picture, for a widget needs a kernel.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from lab_server import FLAGS, ROOT, Lab, installed_browser, running_lab
from PIL import Image

NAME = "07_choose_supports"
WIDTH = 900  # pixels of the picture, about
COLORS = 256
PATIENCE = 600_000  # ms: the notebook may train its detector first
CHOICE = ("0002.png", "0005.png", "0009.png", "0011.png")
# The browser's pixels of both views together, and whether no cell runs or waits for its turn.
BOX = """() => {
  const boxes = [...document.querySelectorAll('.d24')].map(e => e.getBoundingClientRect()).filter(b => b.width);
  const left = Math.min(...boxes.map(b => b.left)), top = Math.min(...boxes.map(b => b.top));
  return {x: left, y: top, width: Math.max(...boxes.map(b => b.right)) - left,
          height: Math.max(...boxes.map(b => b.bottom)) - top};
}"""
NOTHING_RUNS = "() => ![...document.querySelectorAll('.jp-InputPrompt')].some(e => e.textContent.includes('*'))"


def stop_after_the_picker(folder: Path) -> None:
    """Write notebook 07 from its text, up to the cell that shows the picker, into the folder that JupyterLab serves."""
    sys.path.insert(0, str(ROOT / "notebooks"))
    from build.pairing import notebook_text, read_text

    content = read_text(ROOT / "notebooks" / "build" / "texts" / f"{NAME}.py")
    last = next(i for i, cell in enumerate(content.cells) if "d2.choose_supports(" in cell.source)
    content.cells = content.cells[: last + 1]
    (folder / f"{NAME}.ipynb").write_text(notebook_text(content), encoding="utf-8")


def pick(page: Any) -> None:
    """Put back what was suggested, press four pictures, and wait until the inspector has followed."""
    buttons = page.locator(".d24")
    buttons.get_by_role("button", name="Clear", exact=True).first.click()
    for number, name in enumerate(CHOICE, start=1):
        buttons.get_by_role("button", name=name, exact=True).first.click()
        buttons.get_by_role("button", name=f"✓ {number} · {name}", exact=True).wait_for()
    page.wait_for_function("() => document.querySelectorAll('.d24-status')[1]?.innerText.includes('4 of 4')")
    page.locator(".d24-picture img").first.wait_for()
    page.mouse.move(1, 1)
    page.evaluate("() => document.activeElement.blur()")


def photograph(lab: Lab, chromium: str) -> Image.Image:
    """Run the notebook, pick, and cut the page to the views."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS, timeout=120_000)
        try:
            page = browser.new_page(viewport={"width": WIDTH + 150, "height": 2400}, color_scheme="light")
            page.set_default_timeout(PATIENCE)
            page.goto(lab.address(f"{NAME}.ipynb"), wait_until="commit")
            page.locator("#jp-main-statusbar", has_text=re.compile(r"Python 3.*\| Idle")).wait_for()
            if page.locator("#jp-left-stack").is_visible():
                page.keyboard.press("Control+b")  # the list of files takes a third of the width
            for label, item in (("Run", ".lm-MenuBar-itemLabel"), ("Run All Cells", ".lm-Menu-itemLabel")):
                page.locator(item, has_text=re.compile(f"^{label}$")).click()
            page.locator(".d24-card").first.wait_for()
            page.wait_for_function(NOTHING_RUNS)
            page.locator(".d24").first.scroll_into_view_if_needed()
            pick(page)
            page.locator(".d24").first.evaluate("view => view.scrollIntoView({block: 'start'})")
            box = page.evaluate(BOX)
            return Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")
        finally:
            browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "notebooks" / "picker.png")
    options = parser.parse_args()
    chromium = installed_browser()
    if chromium is None:
        sys.exit("no Chromium or Chrome is on this machine; apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="d24fad-picker-") as home, running_lab(Path(home)) as lab:
        stop_after_the_picker(lab.folder)
        picture = photograph(lab, chromium)
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(options.out, optimize=True)
    print(f"{options.out.name}: {picture.width} x {picture.height} pixels, {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
