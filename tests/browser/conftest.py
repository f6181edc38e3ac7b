"""A JupyterLab over an empty folder and a headless Chromium; the tests skip where either is absent, saying why."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab_server import ABANDONED, end_tree, environment, free_port

TOKEN = "tests"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Nothing is looked up, updated or synchronised: the browser sees this JupyterLab and no network.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # JupyterLab takes cells that are out of sight out of the page, and "Run All Cells" keeps scrolling to the last one
    # while outputs come in: the picker, found a moment ago, would be gone. Here every cell stays in the page.
    "notebook-extension/tracker": {"windowingMode": "none"},
    # Only the tests save: a save of JupyterLab's own would be taken for theirs, or come while the page reloads.
    "docmanager-extension/plugin": {"autosave": False},
}


@dataclass
class Lab:
    """A running JupyterLab: its address, the folder it serves, and its log."""

    url: str
    folder: Path
    log: Path

    def address(self, name: str) -> str:
        """Where a notebook of the folder opens, alone and with a fresh layout."""
        return f"{self.url}/lab/tree/{name}?token={TOKEN}&reset"


# The fixtures live as long as one file of tests: Playwright keeps an event loop running in this thread, which the
# tests of other files must not meet.
@pytest.fixture(scope="module")
def chromium() -> str:
    """Path of the system's browser; skips without it, without playwright and without JupyterLab."""
    for module in ("playwright", "jupyterlab", "ipywidgets"):
        pytest.importorskip(module, reason=f"{module} is not installed; pip install 'd24fad_lite[all]'")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is on this machine; apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def lab(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a free port over an empty folder; its kernels import the checkout, its settings are its own."""
    home = tmp_path_factory.mktemp("lab")
    (home / "work").mkdir()
    for name, values in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--ServerApp.ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}",
        "--allow-root",
        f"--ServerApp.root_dir={home / 'work'}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        *ABANDONED,
    ]
    running = Lab(f"http://127.0.0.1:{port}", home / "work", home / "lab.log")
    with running.log.open("w") as log:
        server = subprocess.Popen(command, env=environment(home), stdout=log, stderr=subprocess.STDOUT, cwd=home)
    try:
        await_server(f"{running.url}/api/status?token={TOKEN}", server, running.log)
        yield running
    finally:
        end_tree(server)


def await_server(url: str, server: subprocess.Popen, log: Path, seconds: float = 180) -> None:
    """Return when `url` answers; fail with the end of the log when the server ends or stays silent."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start: {log.read_text()[-2000:]}")


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
