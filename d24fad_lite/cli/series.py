"""`d24fad notebooks` and `d24fad benchmark`: the series unattended, and notebook 09 over a grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from d24fad_lite.cli.errors import FAILED, resumable, say, tell
from d24fad_lite.cli.options import pair, writable_folder
from d24fad_lite.csv_files import write_frame
from d24fad_lite.listings import names_of, numbers_of
from d24fad_lite.sole_writer import sole_writer

if TYPE_CHECKING:
    from d24fad_lite.runs.grid import GridCell

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


def benchmark(
    out: Annotated[Path, typer.Option(help="Folder for results.csv and one folder per cell of the grid.")],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="ROOT", help="Folder of tasks.  [default: D24FAD_DATA, else the samples]", show_default=False
        ),
    ] = None,
    profile: ProfileName = "",
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK",
            help='Tasks to leave out in turn; comma or repeat; a name with a comma in "..".  [default: all]',
        ),
    ] = None,
    methods: Annotated[str, typer.Option(help="d24fad, untrained, or both between commas.")] = "d24fad",
    shots: Annotated[str, typer.Option(metavar="K,K,..", help="Numbers of supports.  [default: the profile's]")] = "",
    seeds: Annotated[str, typer.Option(metavar="N,N,..", help="Training seeds.  [default: the profile's]")] = "",
    epochs: Annotated[int, typer.Option(help="Passes over the training images; 0: the profile's.")] = 0,
    timeout: Timeout = None,
    checkout: Checkout = None,
    show_names: ShowNames = False,
) -> None:
    """Leave out every task in turn and evaluate on it: tasks x shots x seeds, by notebook 09.

    Why: a method is judged on all tasks, not on the one that suits it. Finished cells are kept: the same command goes
    on where it was stopped, and a failing cell does not stop the others.

    \b
    Examples:
      d24fad benchmark --out grid
      d24fad benchmark --out grid --data my_tasks --profile full
      d24fad benchmark --out grid --tasks RSNA,HIS --shots 4 --seeds 0,1,2 --methods untrained,d24fad
    """
    from d24fad_lite.runs.grid import run_grid
    from d24fad_lite.runs.task_grid import plan_task_grid

    plan = plan_task_grid(
        profile=profile,
        data=str(data or ""),
        tasks=tasks or (),
        methods=names_of([methods]),
        seeds=numbers_of(seeds, "--seeds", least=0) if seeds else (),
        shots=numbers_of(shots, "--shots") if shots else (),
        epochs=epochs,
        checkout=checkout,
    )
    with sole_writer(writable_folder(out), "a benchmark") as folder:
        with resumable("finished cells are kept; the same command goes on from there"):
            limit = plan.timeout if timeout is None else timeout
            cells = run_grid(plan.notebook, plan.points, folder, timeout=limit, show_names=show_names)
        _report(cells, folder)


def _report(cells: Sequence[GridCell], folder: Path) -> None:
    """Print and save the table of all cells; exit with 1 when a cell failed."""
    from d24fad_lite.runs.task_grid import results_table

    table = results_table(cells)
    if len(table):
        write_frame(folder / "results.csv", table)
        tell("\n" + table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
        tell(f"\nsaved {folder / 'results.csv'}")
    failed = [cell for cell in cells if cell.metrics is None]
    for cell in failed:
        say(f"failed: {cell.label}: {cell.result.error}")
    if failed:
        say(f"error: {len(failed)} of {len(cells)} cells did not complete; the same command tries them again")
        raise typer.Exit(FAILED)
