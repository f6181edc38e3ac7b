"""`d24fad check`: whether the whole path works on this computer, or what a folder of data holds."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from d24fad_lite.cli.errors import FAILED, explain, say, tell
from d24fad_lite.cli.options import require_writable


def check(
    root: Annotated[
        Path | None,
        typer.Argument(
            metavar="[ROOT]",
            help="Folder of tasks, of one task, or of images, to look at in place of this computer.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="With ROOT: write the intake report, one page with a contact sheet.",
            show_default=False,
        ),
    ] = None,
    test: Annotated[bool, typer.Option(help="Also draw, train, evaluate and predict on a few tiny images.")] = True,
) -> None:
    """Say what is installed and try the whole path on a few generated images, or look at every file of a folder.

    Why: before a long run, and in every report of a fault. Nothing is downloaded and nothing is left behind. With ROOT,
    before the first training: what is there, what is left out and why, which files are damaged, which masks do not
    fit, and what a lazy model could read from brightness or file size. Exit code 1 when there is an error among it.

    \b
    Examples:
      d24fad check
      d24fad check --no-test
      d24fad check my_tasks --html intake.html
    """
    if root is not None:
        _check_folder(root, html)
        return
    if html is not None:
        raise ValueError("--html needs the folder to report on: d24fad check ROOT --html FILE")
    _check_computer(test)


def _check_computer(test: bool) -> None:
    """Print what is installed; with `test` run the self-test, and stop at the first step that fails."""
    from d24fad_lite.runs.self_test import SelfTest, environment

    for line in environment():
        tell(line)
    if not test:
        return
    with tempfile.TemporaryDirectory(prefix="d24fad-check-") as folder:
        for name, step in SelfTest(Path(folder)).steps.items():
            started = time.perf_counter()
            try:
                outcome = step()
            except Exception as error:
                say(f"FAILED  {name}: {explain(error) or f'{type(error).__name__}: {error}'}")
                raise typer.Exit(FAILED) from None  # what follows builds on it
            tell(f"ok      {name}: {outcome} ({time.perf_counter() - started:.1f} s)")
    tell("everything works")


def _check_folder(root: Path, html: Path | None) -> None:
    """Print the tables of the intake report, and write it."""
    from d24fad_lite.evaluation.intake.intake import intake_report

    if html is not None:
        require_writable(html.absolute().parent, "--html")  # better now than after an hour
    report = intake_report(root, progress=sys.stderr.isatty())
    tell(report.text())
    if html is not None:
        tell(f"saved {report.save(html)}")
    if report.errors:
        say(f"error: {report.errors} finding(s) would stop work or falsify results")
        raise typer.Exit(FAILED)
