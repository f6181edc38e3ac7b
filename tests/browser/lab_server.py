"""A JupyterLab of its own over an empty folder, and the browser to look at it, for tests and `picker_picture.py`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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
# A server whose tests were killed ends by itself.
ABANDONED = [
    "--ServerApp.shutdown_no_activity_timeout=900",
    "--MappingKernelManager.cull_idle_timeout=900",
    "--MappingKernelManager.cull_interval=60",
]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(home: Path) -> dict[str, str]:
    """This process's environment, but with the checkout's package and no file of the user's Jupyter."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    return {
        **os.environ,
        "PYTHONPATH": paths,
        "D24FAD_WIDGETS": "",
        "D24FAD_PROFILE": "quick",
        "D24FAD_DATA": "",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **{key: str(home / name) for key, name in folders.items()},
    }


def end_tree(server: subprocess.Popen) -> None:
    """End the server and its kernels, whatever state they are in."""
    import psutil

    try:
        below = psutil.Process(server.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(10)
    for process in below:
        if process.is_running():
            process.kill()
    psutil.wait_procs(below, timeout=10)


@dataclass
class Lab:
    """A running JupyterLab: its address, the folder it serves, and its log."""

    url: str
    folder: Path
    log: Path

    def address(self, name: str) -> str:
        """Where a notebook of the folder opens, alone and with a fresh layout."""
        return f"{self.url}/lab/tree/{name}?token={TOKEN}&reset"


def installed_browser() -> str | None:
    """Path of the system's Chromium or Chrome, None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def running_lab(home: Path) -> Iterator[Lab]:
    """JupyterLab on a free port over the empty folder home/work; kernels import the checkout, settings are its own."""
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
    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")
