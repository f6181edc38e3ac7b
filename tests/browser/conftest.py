"""A JupyterLab over an empty folder and a headless Chromium; the tests skip where either is absent, saying why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lab_server import BROWSERS, FLAGS, Lab, installed_browser, running_lab


# The fixtures live as long as one file of tests: Playwright keeps an event loop running in this thread, which the
# tests of other files must not meet.
@pytest.fixture(scope="module")
def chromium() -> str:
    """Path of the system's browser; skips without it, without playwright and without JupyterLab."""
    for module in ("playwright", "jupyterlab", "ipywidgets"):
        pytest.importorskip(module, reason=f"{module} is not installed; pip install 'd24fad_lite[all]'")
    found = installed_browser()
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is on this machine; apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def lab(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a free port over an empty folder; its kernels import the checkout, its settings are its own."""
    with running_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """A headless Chromium with a profile of its own, gone when the tests end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=chromium, args=FLAGS, timeout=120_000)
        try:
            yield running
        finally:
            running.close()
