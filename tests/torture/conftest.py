"""The torture suite counts what it tries; `make torture` writes the counts into RELIABILITY.md."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tally import SHARE, TRIED

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- counts -->", "<!-- end of counts -->"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was tried; this runs where the tests ran, so not under xdist."""
    if not TRIED or os.environ.get("PYTEST_XDIST_WORKER"):
        return
    terminalreporter.section(f"torture: {SHARE:.0%} of the suite")
    for what, number in sorted(TRIED.items()):
        terminalreporter.write_line(f"{number:5d}  {what}")
    if SHARE == 1 and ran_whole(terminalreporter.stats):
        write_counts(ROOT / "RELIABILITY.md", TRIED)


def ran_whole(stats: Mapping[str, Sequence[Any]]) -> bool:
    """Whether every file of the suite ran and held: the counts of one file alone are not those of the page."""
    if any(stats.get(kind) for kind in ("failed", "error", "deselected")):
        return False
    ran = {Path(report.nodeid.partition("::")[0]).name for report in stats.get("passed", ())}
    return ran >= {path.name for path in Path(__file__).parent.glob("test_*.py")}


def write_counts(page: Path, tried: Mapping[str, int]) -> None:
    """Put the counts of this run into the page, in the place of those of the last one."""
    text = page.read_text(encoding="utf-8")
    rows = "".join(f"| {what} | {number:,} |\n" for what, number in sorted(tried.items()))
    today = datetime.now(UTC).date().isoformat()
    head = f"Run of {today}, {sum(tried.values()):,} cases, all held.\n\n| what | cases |\n| --- | ---: |\n"
    before, rest = text.split(BEGIN)
    page.write_text(before + f"{BEGIN}\n{head}{rows}{END}" + rest.split(END)[1], encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Child processes find this folder's modules, whatever the working directory."""
    here = str(Path(__file__).parent)
    known = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([here, known]) if known else here
