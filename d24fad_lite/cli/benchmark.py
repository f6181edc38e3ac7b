"""`d24fad benchmark`: every task left out in turn, every method, on this machine, a Dask cluster or Slurm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from d24fad_lite.cli.errors import FAILED, STOPPED, resumable, say, tell
from d24fad_lite.cli.options import pair
from d24fad_lite.cli.series import ProfileName, ShowNames
from d24fad_lite.listings import names_of, numbers_of
from d24fad_lite.messages import choose_one_of
from d24fad_lite.sole_writer import sole_writer

if TYPE_CHECKING:
    from d24fad_lite.runs.benchmark.drive import EndedCell
    from d24fad_lite.runs.benchmark.plan import BenchmarkPlan
    from d24fad_lite.runs.engines import EngineSettings

ACTIONS = ("run", "status", "table")
GO_ON = "finished cells are kept; the same command goes on from there"


def benchmark(
    out: Annotated[Path, typer.Option(help="Folder of the benchmark; on a cluster, one that every node sees.")],
    action: Annotated[
        str, typer.Argument(metavar="[ACTION]", help="run; status (what is done, reads files only); table (anew).")
    ] = "run",
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
    methods: Annotated[
        str,
        typer.Option(
            help="Between commas: matched, d24fad, untrained, tsd-only, ssd-only, nearest-patch, mirrored-patch, "
            "mean-feature, or PACKAGE.MODULE:FUNCTION of your own. Shortcuts are always added."
        ),
    ] = "matched,d24fad,untrained,nearest-patch,mean-feature",
    readings: Annotated[
        str, typer.Option(help="Of a trained detector.  [default: all that read its student]", show_default=False)
    ] = "",
    shots: Annotated[str, typer.Option(metavar="K,K,..", help="Numbers of supports.  [default: the profile's]")] = "",
    seeds: Annotated[str, typer.Option(metavar="N,N,..", help="Training seeds.  [default: the profile's]")] = "",
    epochs: Annotated[int, typer.Option(help="Passes over the training images; 0: the profile's.")] = 0,
    engine: Annotated[str, typer.Option(metavar="NAME", help="local, dask or slurm.")] = "local",
    workers: Annotated[int, typer.Option(help="Cells at a time; 0: one per core or GPU, on Slurm 100 jobs.")] = 0,
    gpus: Annotated[int, typer.Option(help="local: GPUs shared by the workers; slurm: GPUs of a job.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads (on Slurm cores) of a cell; 0: the engine's share.")] = 0,
    minutes: Annotated[int, typer.Option(help="Longest time of a cell; 0: no limit, on Slurm a day.")] = 0,
    engine_option: Annotated[
        list[str] | None,
        typer.Option(
            "--engine-option",
            metavar="NAME=VALUE",
            help="dask: address=tcp://HOST:PORT; slurm: partition=, memory_gb=, and any option of sbatch. Repeat.",
        ),
    ] = None,
    attempts: Annotated[int, typer.Option(help="Deaths after which a cell has failed.")] = 3,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show cells and the time that is left; run nothing.")
    ] = False,
    detach: Annotated[
        bool | None,
        typer.Option(
            "--detach/--cancel",
            help="Ctrl-C leaves the cells running on the cluster, or takes them back.  [default: leaves, where it can]",
            show_default=False,
        ),
    ] = None,
    show_names: ShowNames = False,
) -> None:
    """Leave out every task in turn and evaluate on it: tasks x methods x training seeds, with a table at the end.

    Why: a method is judged on all tasks, beside what needs no training, and not on the task that suits it. One cell is
    one training; shots, draws and readings are read from it. Finished cells are kept: the same command goes on where it
    was stopped, and a cell that fails does not stop the others. Writes results.csv, summary.csv, pairs.csv, table.md,
    table.tex, benchmark.png.

    \b
    Examples:
      d24fad benchmark --out grid
      d24fad benchmark --out grid --tasks RSNA,HIS --shots 4 --seeds 0,1,2 --methods untrained,d24fad
      d24fad benchmark --out grid --profile full --data my_tasks --engine dask --engine-option address=tcp://host:8786
      d24fad benchmark --out /shared/grid --profile full --data /shared/tasks --engine slurm --gpus 1 --minutes 600
      d24fad benchmark status --out grid
    """
    from d24fad_lite.runs.benchmark.board import estimate, lines, read_board
    from d24fad_lite.runs.benchmark.plan import plan_benchmark

    if action not in ACTIONS:
        raise ValueError(choose_one_of("ACTION", action, ACTIONS))
    where = _engine(engine, workers, gpus, threads, minutes, engine_option or ())
    if attempts < 1:
        raise ValueError(f"--attempts {attempts} must be at least 1")
    plan = plan_benchmark(
        profile=profile,
        data=str(data or ""),
        tasks=tasks or (),
        methods=names_of([methods]),
        readings=names_of([readings]),
        seeds=numbers_of(seeds, "--seeds", least=0) if seeds else (),
        shots=numbers_of(shots, "--shots") if shots else (),
        epochs=epochs,
    )
    if dry_run or action == "status":
        board = read_board(plan, out.resolve())
        tell("\n".join([*lines(board.cells), "", board.summary(), estimate(board, where.at_a_time)]))
        return
    if action == "table" and not out.is_dir():
        return _report([], out)  # nothing is read, so no folder is made
    with sole_writer(out, "a benchmark") as folder:
        ended = _kept(plan, folder) if action == "table" else _run(plan, folder, where, attempts, detach, show_names)
        _report(ended, folder)


def _engine(name: str, workers: int, gpus: int, threads: int, minutes: int, options: Sequence[str]) -> EngineSettings:
    """The settings of the engine; what it does not know by name goes to sbatch."""
    from d24fad_lite.runs.engines import EngineSettings

    given = dict(pair(text, "--engine-option") for text in options)
    memory = given.pop("memory_gb", "0")
    try:
        memory_gb = float(memory)
    except ValueError:
        raise ValueError(f"--engine-option memory_gb={memory!r} must be a number of gigabytes") from None
    return EngineSettings(
        name,
        workers=workers,
        gpus=gpus,
        threads=threads,
        minutes=minutes,
        memory_gb=memory_gb,
        address=given.pop("address", ""),
        partition=given.pop("partition", ""),
        extra=given,
    )


def _run(
    plan: BenchmarkPlan, folder: Path, where: EngineSettings, attempts: int, detach: bool | None, names: bool
) -> list[EndedCell]:
    from d24fad_lite.runs.benchmark.drive import Detached, run_benchmark

    with resumable(GO_ON):
        try:
            return run_benchmark(plan, folder, where, attempts=attempts, detach=detach, names=names, say=tell)
        except Detached:
            say("left; the cells go on without this command. `d24fad benchmark status` shows them, " + GO_ON)
            raise typer.Exit(STOPPED) from None


def _kept(plan: BenchmarkPlan, folder: Path) -> list[EndedCell]:
    """The cells that have a result, without computing any."""
    from d24fad_lite.runs.benchmark.drive import ended_cells

    return ended_cells(plan, folder)


def _report(ended: Sequence[EndedCell], folder: Path) -> None:
    """Print and save the table of all cells; exit with 1 when a cell failed."""
    from d24fad_lite.runs.benchmark.figure import save_figure
    from d24fad_lite.runs.benchmark.table import benchmark_table

    table = benchmark_table(ended, folder)
    if table is None:
        say("no cell has completed")
    else:
        table.save(folder)
        save_figure(table, folder / "benchmark.png")
        tell("\n" + table.text())
        tell(f"\nsaved results.csv, summary.csv, pairs.csv, table.md, table.tex and benchmark.png in {folder}")
    failed = [one for one in ended if one.result.status != "completed"]
    for one in failed:
        say(f"failed: {one.cell.label}: {one.result.kind}: {one.result.reason}")
    if failed:
        say(f"error: {len(failed)} of {len(ended)} cells did not complete; the same command tries them again")
        raise typer.Exit(FAILED)
