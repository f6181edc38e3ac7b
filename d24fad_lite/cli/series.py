"""`d24fad notebooks` and `d24fad benchmark`: the series unattended, and notebook 09 over a grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import FAILED, resumable, say
from .options import names_of, numbers_of, pair, writable_folder, write_text

if TYPE_CHECKING:
    from ..runner.grid import GridCell
    from ..runner.profiles import Profile

UNIT = "09_evaluate_task"
ProfileName = Annotated[str, typer.Option(
    "--profile", metavar="NAME", help="quick, standard or full.  [default: D24FAD_PROFILE, else quick]",
    show_default=False)]
Checkout = Annotated[Path | None, typer.Option(
    "--checkout", metavar="DIR", help="Checkout with notebooks/.  [default: found from here]", show_default=False)]
Timeout = Annotated[float | None, typer.Option(
    "--timeout", metavar="S", help="Seconds per notebook, 0 for none.  [default: the profile's]", show_default=False)]


def notebooks(
    names: Annotated[list[str] | None, typer.Argument(
        metavar="[NAME]...", help="Notebooks by name, number or words; none for all.", show_default=False)] = None,
    profile: ProfileName = "",
    parameter: Annotated[list[str] | None, typer.Option(
        "--parameter", "-p", metavar="NAME=VALUE", help="For each notebook that declares it; repeat.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.  [default: runs/STAMP]",
                                             show_default=False)] = None,
    timeout: Timeout = None,
    resume: Annotated[bool, typer.Option("--resume", help="Take over what the latest run (or --out) completed.")]
    = False,
    checkout: Checkout = None,
    jobs: Annotated[int | None, typer.Option(
        help="Notebooks at a time.  [default: the profile's, at most one per core]", show_default=False)] = None,
) -> None:
    """Run the notebook series from the first to the last, with a report to read at the end.

    Why: a notebook that is not run is not true. A failing one does not stop the others; the exit code says whether
    all completed. Writes the executed notebooks, summary.json and report.html.

    \b
    Examples:
      d24fad notebooks
      d24fad notebooks 04 09 -p seed=1 --profile standard
      d24fad notebooks --resume
    """
    from ..runner.notebooks import run_series

    parameters = dict(pair(text, "--parameter") for text in parameter or ())
    raise typer.Exit(run_series(names, profile, out, parameters, timeout, resume, checkout, jobs))


def benchmark(
    out: Annotated[Path, typer.Option(help="Folder for results.csv and one folder per cell of the grid.")],
    data: Annotated[Path | None, typer.Option(
        metavar="ROOT", help="Folder of tasks.  [default: D24FAD_DATA, else the samples]", show_default=False)] = None,
    profile: ProfileName = "",
    tasks: Annotated[list[str] | None, typer.Option(
        metavar="TASK", help="Tasks to leave out in turn; comma or repeat; a name with a comma in \"..\".  "
                             "[default: all]")] = None,
    methods: Annotated[str, typer.Option(help="d24fad, untrained, or both between commas.")] = "d24fad",
    shots: Annotated[str, typer.Option(metavar="K,K,..", help="Numbers of supports.  [default: the profile's]")] = "",
    seeds: Annotated[str, typer.Option(metavar="N,N,..", help="Training seeds.  [default: the profile's]")] = "",
    epochs: Annotated[int, typer.Option(help="Passes over the training images; 0: the profile's.")] = 0,
    timeout: Timeout = None,
    checkout: Checkout = None,
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
    from ..data.benchmark import open_benchmark, require_both_classes
    from ..runner.grid import run_grid
    from ..runner.notebooks import find_root
    from ..runner.profiles import resolve_data, resolve_profile

    size = resolve_profile(profile)
    runs = numbers_of(seeds, "--seeds", least=0) if seeds else list(size.seeds)
    counts = numbers_of(shots, "--shots") if shots else []
    notebook = find_root(checkout) / "notebooks" / f"{UNIT}.ipynb"
    if not notebook.is_file():
        raise FileNotFoundError(f"{notebook} does not exist; benchmark runs it for every cell of the grid")
    root = resolve_data(size, str(data or ""))
    bench = open_benchmark(root)
    left_out = [bench.resolve(name) for name in names_of(tasks, list(bench))] or list(bench)
    for name in left_out:
        require_both_classes(bench[name])  # of all tasks, before the first is trained for
    given = {"epochs": epochs} if epochs else {}
    if data is not None or size.name != "quick":
        given["root"] = str(root.resolve())  # kernels work in another folder
    grid = [point | given for point in grid_points(size, left_out, names_of([methods]), runs, counts)]
    folder = writable_folder(out).resolve()
    with resumable("finished cells are kept; the same command goes on from there"):
        cells = run_grid(notebook, grid, folder, timeout=size.timeout if timeout is None else timeout)
    _conclude(cells, folder)


def grid_points(size: Profile, tasks: list[str], methods: list[str], seeds: list[int],
                counts: list[int]) -> list[dict[str, Any]]:
    """The grid. A profile that trains anew for every K has a cell for each; else one training serves all K."""
    counts = counts or list(size.shots)
    if size.train_shots == 0:
        per_cell = [{"shots": str(k), "train_shots": k} for k in counts]
    else:
        per_cell = [{"shots": ",".join(map(str, counts))}]
    return [{"profile": size.name, "task": task, "method": method, "seed": seed} | part
            for task in tasks for method in methods for seed in seeds for part in per_cell]


def _conclude(cells: list[GridCell], folder: Path) -> None:
    import pandas as pd

    rows = [row for cell in cells if cell.metrics for row in cell.metrics.get("rows", [])]
    if rows:
        table = pd.DataFrame(rows).drop_duplicates()  # cells of two detectors share what was not trained
        write_text(folder / "results.csv", table.to_csv(index=False))
        typer.echo("\n" + table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
        typer.echo(f"\nsaved {folder / 'results.csv'}")
    failed = [cell for cell in cells if cell.metrics is None]
    for cell in failed:
        say(f"failed: {cell.label}: {cell.result.error}")
    if failed:
        say(f"error: {len(failed)} of {len(cells)} cells did not complete; the same command tries them again")
        raise typer.Exit(FAILED)
