"""What every test that starts a JupyterLab needs: its environment, and its end."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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
