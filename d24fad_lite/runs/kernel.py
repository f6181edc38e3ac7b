"""The kernel of an unattended run: always this interpreter, its memory watched, stopped when it gets nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil

from d24fad_lite.lessons.checkout import PACKAGE_PARENT
from d24fad_lite.runs.processor import cores, cpu_seconds_of
from d24fad_lite.runs.progress import Progress

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_client.provisioning import LocalProvisioner

SAMPLE_SECONDS = 0.2


class Watch(threading.Thread):
    """Follows a kernel's process tree from its start until `stop`.

    timeout : seconds without progress after which the tree is killed, see `progress`; None or 0 for no limit
    peak_mb : largest sum of resident memory over the tree so far, MB. Pages that processes share, such as libraries,
        count once where the system says so (Linux), else for each.
    timed_out : why the tree was killed, "" unless it was for its time-out
    """

    def __init__(self, timeout: float | None = None) -> None:
        super().__init__(daemon=True)
        self.timeout = timeout
        self.peak_mb = 0.0
        self.timed_out = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._unwanted = False
        self._messages = 0
        self._progress = Progress(timeout, cores(), time.monotonic()) if timeout else None
        _RUNNING.add(self)

    def kernel_started(self, process: subprocess.Popen[bytes]) -> None:
        """Called by the kernel manager with the kernel's process."""
        self._process = process
        if self._unwanted:
            self.kill_tree()

    def heard(self) -> None:
        """Called for every message of the kernel: an output or an update of one, the beginning or end of a cell."""
        self._messages += 1

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            tree = self._tree()
            self.peak_mb = max(self.peak_mb, sum(_resident(p, several=len(tree) > 1) for p in tree) / 1e6)
            if self._progress is not None and tree:
                self.timed_out = self._progress.complaint(cpu_seconds_of(tree), time.monotonic(), self._messages)
                if self.timed_out:
                    kill(tree)
                    return

    def stop(self) -> None:
        """End watching."""
        _RUNNING.discard(self)
        self._ended.set()
        if self.is_alive():
            self.join()

    @property
    def exit_code(self) -> int | None:
        """The kernel's exit code (negative: the signal that ended it), None while unknown."""
        return self._process.poll() if self._process is not None else None

    def kill_tree(self) -> None:
        """End the kernel and what it started, if anything is left of them."""
        kill(self._tree())

    def end(self) -> None:
        """End the kernel now, or as soon as it has started."""
        self._unwanted = True
        self.kill_tree()

    def _tree(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        try:
            kernel = psutil.Process(self._process.pid)
            return [kernel, *kernel.children(recursive=True)]
        except psutil.Error:
            return []


_RUNNING: set[Watch] = set()


def end_running() -> None:
    """End every kernel that is being watched; each of their runs ends with the status "died"."""
    for watch in list(_RUNNING):
        watch.end()


def kill(processes: list[psutil.Process]) -> None:
    """SIGKILL each process; those that are gone already are no error."""
    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            continue


def _resident(process: psutil.Process, several: bool) -> int:
    try:
        full = process.memory_full_info() if several and psutil.LINUX else process.memory_info()
        return getattr(full, "pss", full.rss)
    except psutil.Error:
        return 0


def kernel_manager_class(watch: Watch, environment: dict[str, str], cwd: Path) -> type[AsyncKernelManager]:
    """A kernel manager whose kernels run `sys.executable` in `cwd`, whatever kernelspec of this name is installed.

    The folder is given here and not to papermill, which would change the working directory of this whole process, and
    with it that of kernels which start side by side.
    A user's own "python3" kernelspec may point to an interpreter without this package. The package's folder is put on
    PYTHONPATH, so that the kernel runs the code of the runner; `environment` is added.
    """
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.channels import AsyncZMQSocketChannel
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    paths = [str(PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {"PYTHONPATH": os.pathsep.join(paths), "PYDEVD_DISABLE_FILE_VALIDATION": "1", **environment}

    class ThisInterpreterSpecs(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            # It warns that its TCP ports are not encrypted (they are bound to the loopback address only), and
            # reports the interrupt that ends it. A failing cell does not depend on this log.
            spec = get_kernel_dict(extra_arguments=["--IPKernelApp.log_level=CRITICAL"])
            spec["argv"][0] = sys.executable
            return KernelSpec(resource_dir=RESOURCES, env=variables, **spec)

    class HeardChannel(AsyncZMQSocketChannel):
        async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:  # type: ignore[override]
            message = await super().get_msg(timeout)
            watch.heard()
            return message

    class HeardClient(AsyncKernelClient):
        iopub_channel_class = HeardChannel

    class ThisInterpreter(AsyncKernelManager):
        def _client_factory_default(self) -> type[AsyncKernelClient]:
            return HeardClient

        def _kernel_spec_manager_default(self) -> KernelSpecManager:
            return ThisInterpreterSpecs(parent=self)

        # jupyter_client makes the attribute a coroutine by a decorator, which its types do not show.
        async def start_kernel(self, **kwargs: Any) -> None:  # type: ignore[override]
            await super().start_kernel(**{**kwargs, "cwd": str(cwd)})
            provisioner = cast("LocalProvisioner", self.provisioner)  # these kernels run on this computer
            if provisioner.process is not None:
                watch.kernel_started(provisioner.process)

    return ThisInterpreter
