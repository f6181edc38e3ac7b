"""Is this computer ready for the lessons? Checks that say in one line what they found, or what to do.

checks = SetupChecks()
checks.machine(lesson.out)
checks.run("teacher", load_teacher, "install its package again")
checks.verdict
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from d24fad_lite.files import file_sha256, read_json
from d24fad_lite.schemas import Schema, checked

if TYPE_CHECKING:
    from packaging.requirements import Requirement

MEMORY_WANTED, DISK_WANTED = 3.0, 1.0  # GiB
GIB = 2**30
SAMPLES_REMEDY = "delete the folder data_samples and run `d24fad samples --out data_samples`"


class SetupChecks:
    """Runs checks one after the other; whatever one raises is shown with its remedy, and the next one still runs.

    Attributes
    ----------
    outcome : dict of str to str
        Name of each check so far -> "ok" or "FAILED".
    """

    def __init__(self) -> None:
        self.outcome: dict[str, str] = {}

    @property
    def failed(self) -> list[str]:
        """Names of the checks that failed."""
        return [name for name, result in self.outcome.items() if result != "ok"]

    @property
    def verdict(self) -> str:
        """One line on all checks so far."""
        if self.failed:
            return f"NOT ready: {', '.join(self.failed)} failed"
        return f"ready: all {len(self.outcome)} checks are ok"

    def run(self, name: str, function: Callable[[], str], remedy: str = "") -> None:
        """Run one check and print its line.

        Parameters
        ----------
        name : str
            Of the check, as the line begins and `outcome` holds it.
        function : callable without arguments
            Returns what it found, in a few words, or raises.
        remedy : str, optional
            What to do where it raises.
        """
        started = time.perf_counter()
        try:
            found = function()
        except Exception as error:  # of any kind: one fault must not hide the next
            self.outcome[name] = "FAILED"
            print(f"FAILED  {name}: {type(error).__name__}: {error}" + (f"\n        -> {remedy}" if remedy else ""))
        else:
            self.outcome[name] = "ok"
            print(f"ok      {name}: {found}  ({time.perf_counter() - started:.1f} s)")

    def machine(self, out: Path) -> None:
        """Check Python, packages, processor, memory, and the disk that `out`, a folder, lies on."""
        self.run("Python", lambda: f"{platform.python_version()} on {platform.system()} {platform.machine()}")
        self.run("packages", packages, "`make run` in the checkout installs all; or choose the kernel of its .venv")
        self.run("compute", compute, "set OMP_NUM_THREADS to the number of cores you may use; restart the kernel")
        self.run("memory", memory, "close other kernels (menu Kernel, Shut Down All); psutil absent: `make run`")
        self.run("disk", lambda: disk(out), "choose a folder you may write to: parameter out")

    def samples(self, root: Path) -> None:
        """Check that every file which MANIFEST.json of a folder of samples lists is there and unchanged."""
        self.run("data", lambda: unchanged(root), SAMPLES_REMEDY)


def packages() -> str:
    """Compare what is installed with what the kit requires. Raises RuntimeError for a package that is not optional."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in requires("d24fad-lite") or []]
    except PackageNotFoundError:
        return "the kit is used from its folder without being installed: it states no requirements"
    unfit = {requirement: problem for requirement in wanted if (problem := _unfit(requirement))}
    optional = [problem for requirement, problem in unfit.items() if "extra ==" in str(requirement.marker)]
    wrong = [problem for problem in unfit.values() if problem not in optional]
    if wrong:
        raise RuntimeError("; ".join(wrong))
    fits = f"{len(wanted) - len(optional)} fit"
    return f"{fits}; optional and not usable: {'; '.join(optional)}" if optional else fits


def _unfit(requirement: Requirement) -> str:
    """What is wrong with the installed version; '' where it fits."""
    try:
        found = version(requirement.name)
        if requirement.specifier.contains(found, prereleases=True):
            return ""
    except PackageNotFoundError:
        found = "absent"
    return f"{requirement.name} {found}, needs {requirement.specifier}"


def compute() -> str:
    """Threads, cores, and how fast a matrix product really is: a container may have fewer cores than it shows."""
    import torch

    a = torch.rand(1024, 1024)
    a @ a  # the first call includes the start of the threads
    started = time.perf_counter()
    for _ in range(5):
        a @ a
    speed = 5 * 2 * 1024**3 / (time.perf_counter() - started) / 1e9
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none (quick needs none)"
    return f"{torch.get_num_threads()} threads on {os.cpu_count()} cores, {speed:.0f} GFLOP/s; GPU: {gpu}"


def memory() -> str:
    """Free memory. Raises RuntimeError where it is less than the series wants."""
    import psutil

    free = psutil.virtual_memory().available / GIB
    if free < MEMORY_WANTED:
        raise RuntimeError(f"only {free:.1f} GiB are free, the series wants {MEMORY_WANTED:.0f}")
    return f"{free:.1f} GiB free"


def disk(folder: Path) -> str:
    """Whether results can be written. Raises OSError where not, RuntimeError where the disk is nearly full."""
    probe = folder / "probe"
    probe.write_text("x", encoding="utf-8")
    probe.unlink()
    free = shutil.disk_usage(folder).free / GIB
    if free < DISK_WANTED:
        raise RuntimeError(f"only {free:.1f} GiB are free where results are written, runs want {DISK_WANTED:.0f}")
    return f"results can be written, {free:.0f} GiB free"


class FileFacts(Schema):
    """What MANIFEST.json says of a file."""

    sha256: str


class Manifest(Schema):
    """The part of MANIFEST.json that is compared."""

    files: dict[str, FileFacts]


def unchanged(root: Path) -> str:
    """Compare files with the hashes in their MANIFEST.json. Raises RuntimeError for the first that differs."""
    path = root / "MANIFEST.json"
    files = checked(Manifest, read_json(path), path, "draw the samples again").files
    absent = [name for name in files if not (root / name).is_file()]
    if absent:
        raise RuntimeError(f"{len(absent)} of {len(files)} files of MANIFEST.json are absent, first: {absent[0]}")
    changed = [name for name, facts in files.items() if file_sha256(root / name) != facts.sha256]
    if changed:
        raise RuntimeError(f"{len(changed)} of {len(files)} files differ from MANIFEST.json, first: {changed[0]}")
    return f"{len(files)} files are, byte for byte, what MANIFEST.json says"


def rough_duration(hours: float) -> str:
    """A time as one would say it: "3 min", "5 h", "12 days", "4 months", "110 years"; never more than two digits exact.

    Parameters
    ----------
    hours : float, 0 or more

    Returns
    -------
    str

    Raises
    ------
    ValueError
        A time below zero, or one that is no number.
    """
    if not 0 <= hours < float("inf"):
        raise ValueError(f"a duration must be a number of hours from 0 on, got {hours!r}")
    for unit, length, most in (("min", 1 / 60, 90), ("h", 1, 36), ("days", 24, 60), ("months", 730.5, 24)):
        if hours / length < most:
            count = hours / length
            return f"under 1 {unit}" if count < 0.5 else f"{count:.0f} {unit}"
    years = hours / 8766
    digits = max(0, len(f"{years:.0f}") - 2)
    return f"{round(years, -digits):,.0f} years"
