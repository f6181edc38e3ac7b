"""The torture suite counts what it tries; `make torture` writes the counts into RELIABILITY.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tally import SHARE, TRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was tried; this runs where the tests ran, so not under xdist."""
    if not TRIED or os.environ.get("PYTEST_XDIST_WORKER"):
        return
    terminalreporter.section(f"torture: {SHARE:.0%} of the suite")
    for what, number in sorted(TRIED.items()):
        terminalreporter.write_line(f"{number:5d}  {what}")


def pytest_configure(config: pytest.Config) -> None:
    """Child processes find this folder's modules, whatever the working directory."""
    here = str(Path(__file__).parent)
    known = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([here, known]) if known else here
