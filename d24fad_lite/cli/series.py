"""`d24fad notebooks`: the series unattended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from d24fad_lite.cli.options import pair

ShowNames = Annotated[
    bool, typer.Option("--names", help="Leave names of your files and patients in what is written, in place of ids.")
]
ProfileName = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="quick, standard or full.  [default: D24FAD_PROFILE, else quick]",
        show_default=False,
    ),
]
Checkout = Annotated[
    Path | None,
    typer.Option(
        "--checkout", metavar="DIR", help="Checkout with notebooks/.  [default: found from here]", show_default=False
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="S",
        help="Seconds without progress that stop a notebook, 0 for never.  [default: the profile's]",
        show_default=False,
    ),
]


def notebooks(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Notebooks by name, number or words; none for all.", show_default=False
        ),
    ] = None,
    profile: ProfileName = "",
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="For each notebook that declares it; repeat."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.  [default: runs/STAMP]", show_default=False)
    ] = None,
    timeout: Timeout = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take over what the latest run (or --out) completed.")
    ] = False,
    checkout: Checkout = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Notebooks at a time.  [default: the profile's, at most one per core]", show_default=False),
    ] = None,
    show_names: ShowNames = False,
) -> None:
    """Run the notebook series from the first to the last, with a report to read at the end.

    Why: a notebook that is not run is not true. A failing one does not stop the others; the exit code says whether
    all completed. Writes the executed notebooks, summary.json and report.html. They hold no path of this machine and
    call your files "image 0007" (the key, names.csv beside a lesson's numbers, is private). They still show your images
    where a lesson does, and what a lesson writes for you, such as scores.csv, names the files.

    \b
    Examples:
      d24fad notebooks
      d24fad notebooks 04 09 -p seed=1 --profile standard
      d24fad notebooks --resume
    """
    from d24fad_lite.runs.series import run_series

    parameters = dict(pair(text, "--parameter") for text in parameter or ())
    raise typer.Exit(run_series(names, profile, out, parameters, timeout, resume, checkout, jobs, show_names))
