"""Run the series unattended: every notebook with papermill, a summary after each, a report at the end.

runs/<stamp>/<name>.ipynb         executed notebook
runs/<stamp>/<name>/metrics.json  its numbers and figures
runs/<stamp>/pages/<name>.html    the same as a page
runs/<stamp>/summary.json         schema 1, rewritten whole after every notebook:
    schema, status ("running", "completed", "failed", "interrupted"), started, finished (ISO 8601, UTC), seconds,
    profile, parameters, versions {name: version}, machine {system, processor, cores, memory_gb, python},
    notebooks: one NotebookResult each, see execute.py
runs/<stamp>/report.html          all of it to read
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from d24fad_lite.files import write_json
from d24fad_lite.lessons.checkout import find_checkout
from d24fad_lite.lessons.environment import package_version
from d24fad_lite.lessons.numbering import is_called, lesson_files
from d24fad_lite.lessons.parameters import check_parameters
from d24fad_lite.lessons.profiles import PROFILE_VARIABLE, Profile, resolve_profile
from d24fad_lite.messages import did_you_mean, printable
from d24fad_lite.runs.execute import NotebookResult, declared_parameters, read_notebook, run_notebook
from d24fad_lite.runs.identity import PACKAGES, runs_processes
from d24fad_lite.runs.parallel import require_limits, side_by_side, thread_limit
from d24fad_lite.runs.processor import cores
from d24fad_lite.runs.resuming import earlier_results, is_same_run, resume_command, shown_path
from d24fad_lite.runs.sealing import without_places
from d24fad_lite.sole_writer import sole_writer

COMPLETED, FAILED, INTERRUPTED = 0, 1, 130
SUMMARY_SCHEMA = 1


@dataclass
class Series:
    """A run: where it writes, what it runs, what became of each notebook so far, and the command that goes on.

    `resume` is to be shared, so it says OUT and ROOT for places of this machine.
    """

    folder: Path
    profile: Profile
    parameters: dict[str, Any]
    results: list[NotebookResult]
    status: str = "running"
    resume: str = ""
    show_names: bool = False
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _writing: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def seconds(self) -> float:
        """Seconds of wall clock since the start, less than the sum over notebooks that ran side by side."""
        return (datetime.now(UTC) - self.started).total_seconds()

    def put(self, result: NotebookResult) -> None:
        """Take the place of the result of the same name, and save."""
        with self._writing:
            self.results = [result if old.name == result.name else old for old in self.results]
            self.save()

    def save(self) -> None:
        """Write summary.json atomically."""
        write_json(self.folder / "summary.json", self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The content of summary.json."""
        return {
            "schema": SUMMARY_SCHEMA,
            "status": self.status,
            "started": self.started.isoformat(timespec="seconds"),
            "finished": None if self.status == "running" else datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "profile": self.profile.name,
            "parameters": without_places(self.parameters),
            "resume": self.resume,
            "versions": {name: package_version(name) for name in PACKAGES},
            "machine": machine(),
            "notebooks": [result.to_dict() for result in self.results],
        }


def machine() -> dict[str, Any]:
    """Facts of this computer that explain a run's seconds; no name of it."""
    import psutil

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
    }


def select_names(known: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """The wanted notebooks in the order of the series. A name may be given whole, as its number or by its words.

    Raises ValueError for a name that is none of them.
    """
    if not wanted:
        return list(known)
    chosen = set()
    for name in wanted:
        stem = name.removesuffix(".ipynb").removesuffix(".py").rsplit("/", 1)[-1]
        matches = [item for item in known if is_called(item, stem)]
        if not matches:
            raise ValueError(f"unknown notebook {name!r}{did_you_mean(stem, known)}; there are: {', '.join(known)}")
        chosen.update(matches)
    return [item for item in known if item in chosen]


def run_series(
    names: Sequence[str] | None = None,
    profile: str = "",
    out: Path | str | None = None,
    parameters: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    resume: bool = False,
    root: Path | str | None = None,
    jobs: int | None = None,
    show_names: bool = False,
) -> int:
    """Run notebooks, some at a time; a failure does not stop the others.

    Parameters
    ----------
    names : notebooks (whole name, number or words), None for all
    profile : "quick", "standard", "full"; empty for D24FAD_PROFILE or quick
    out : the run's folder, default <root>/runs/<stamp>
    parameters : given to each chosen notebook that declares them; a name no chosen notebook declares is an error
    timeout : seconds without progress after which a notebook is stopped, None for the profile's, 0 for no limit
    resume : take over completed notebooks of the same folder (default: the latest run) that would be the same run, see
        `run_key`, and whose results are as they were written
    root : the checkout, default found from the working directory. Kernels work in <root>/notebooks.
    jobs : notebooks at a time; default the profile's, at most one per core. A notebook that runs a grid of others comes
        last, alone.
    show_names : leave names of the user's files and patients in what is written, see `run_notebook`

    Returns
    -------
    int: 0 when all completed, 1 when anything failed or did not run, 130 after Ctrl-C

    Raises
    ------
    ValueError, FileNotFoundError : before anything runs, for an unknown notebook, profile or parameter, a wrong type,
        or a checkout without notebooks.
    FolderInUse, OSError : another series writes into the run's folder, or it cannot be written.
    """
    require_limits(timeout, jobs)
    checkout = find_checkout(Path(root) if root is not None else None)
    sources = {path.stem: path for path in lesson_files(checkout / "notebooks")}
    chosen = select_names(list(sources), names)
    resolved = resolve_profile(profile)
    plans = plan_parameters({name: sources[name] for name in chosen}, resolved, parameters or {})
    folder = _run_folder(checkout, Path(out) if out is not None else None, resume)
    options = {"timeout": timeout, "jobs": jobs}
    command = partial(resume_command, checkout=checkout, names=names, profile=resolved.name, show_names=show_names)
    again = command(folder, parameters=parameters or {}, options=options)
    out_or_folder = folder if folder.is_relative_to(checkout) else checkout / "OUT"
    shared = command(out_or_folder, parameters=without_places(parameters or {}), options=options)
    with sole_writer(folder, "a series of notebooks"):
        earlier = earlier_results(folder) if resume else {}
        others = [replace(result, resumed=True) for name, result in earlier.items() if name not in chosen]
        results = sorted([*others, *map(NotebookResult, chosen)], key=lambda result: result.name)
        series = Series(folder, resolved, dict(parameters or {}), results, resume=shared, show_names=show_names)
        limit = resolved.timeout if timeout is None else timeout
        print(f"{len(chosen)} notebooks, profile {resolved.name}, into {shown_path(folder, checkout)}", flush=True)

        def call(name: str, environment: Mapping[str, str]) -> Callable[[], NotebookResult]:
            return partial(_run_or_take_over, series, sources[name], plans[name], limit, earlier.get(name), environment)

        try:
            _run_all(series, sources, chosen, max(1, min(jobs or resolved.jobs, cores())), call)
            series.status = "completed" if all(r.status == "completed" for r in series.results) else "failed"
        except KeyboardInterrupt:
            series.status = "interrupted"
            print("\nstopped", flush=True)
        series.save()
        _close(series, checkout, again)
    return {"completed": COMPLETED, "failed": FAILED, "interrupted": INTERRUPTED}[series.status]


def _run_all(
    series: Series,
    sources: Mapping[str, Path],
    chosen: Sequence[str],
    jobs: int,
    call: Callable[[str, Mapping[str, str]], Callable[[], NotebookResult]],
) -> None:
    """Run the chosen notebooks, `jobs` at a time.

    Those that run notebooks themselves fill the cores alone, so they come last, one by one.
    """
    grids = [name for name in chosen if runs_processes(read_notebook(sources[name]))]
    width, ended = max(map(len, chosen)), 0
    for names, at_a_time in (([name for name in chosen if name not in grids], jobs), (grids, 1)):
        calls = [call(name, thread_limit(at_a_time)) for name in names]
        for _, result in side_by_side(calls, at_a_time):
            series.put(result)
            ended += 1
            print(f"[{ended:2d}/{len(chosen)}] {_line(result, width)}", flush=True)


def plan_parameters(
    sources: Mapping[str, Path], profile: Profile, parameters: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Each notebook's checked parameters: those of `parameters` that it declares, and the profile.

    Raises ValueError for a name that none of the notebooks declares ("did you mean") and for a wrong type.
    """
    declared = {name: declared_parameters(read_notebook(path), name) for name, path in sources.items()}
    in_any = {parameter.name: parameter for of_notebook in declared.values() for parameter in of_notebook}
    check_parameters(in_any.values(), dict.fromkeys(set(parameters) - set(in_any)))
    plans = {}
    for name, of_notebook in declared.items():
        names = {parameter.name for parameter in of_notebook}
        values = {key: value for key, value in parameters.items() if key in names}
        if "profile" in names:
            values = {"profile": profile.name} | values
        plans[name] = check_parameters(of_notebook, values, name)
    return plans


def _run_or_take_over(
    series: Series,
    source: Path,
    parameters: dict[str, Any],
    timeout: float | None,
    earlier: NotebookResult | None,
    environment: Mapping[str, str],
) -> NotebookResult:
    name = source.stem
    if earlier is not None and _is_the_run(source, parameters, earlier):
        if not _page(series.folder, name).is_file():
            _write_page(series.folder, source)
        return replace(earlier, resumed=True)
    # A reader of summary.json, or a resume after a crash, sees where the run was.
    series.put(NotebookResult(name, "interrupted", error="stopped before its end"))
    result = run_notebook(
        source,
        series.folder / f"{name}.ipynb",
        parameters,
        timeout=timeout,
        environment={PROFILE_VARIABLE: series.profile.name, **environment},
        show_names=series.show_names,
    )
    _write_page(series.folder, source)
    return result


def _is_the_run(source: Path, parameters: dict[str, Any], earlier: NotebookResult) -> bool:
    """Whether a completed notebook stands for running it again; a notice where it does not."""
    same = is_same_run(earlier, source, parameters)
    if not same:
        print(f"notice: {source.stem} runs again: its code, parameters, data or environment are others", flush=True)
    return same


def _line(result: NotebookResult, width: int) -> str:
    """One line of progress: what became of a notebook, at what cost, and where it failed."""
    if result.resumed:
        return f"{result.name:<{width}}  completed in an earlier run"
    where = f"cell {result.cell.index}: " if result.cell else ""
    text = f"{result.name:<{width}}  {result.status:<9} {result.seconds:6.1f} s {result.peak_mb:6.0f} MB"
    text = f"{text}  {where}{printable(result.error)}".rstrip()
    return text if len(text) <= 190 else f"{text[:189]}…"


def _run_folder(checkout: Path, out: Path | None, resume: bool) -> Path:
    """The folder of this run: the one named, the latest one to resume, or a new one."""
    runs = checkout / "runs"
    if out is None and resume:
        past = sorted(path.parent for path in runs.glob("*/summary.json"))
        out = past[-1] if past else None
    if out is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        out = next(p for n in range(1, 1000) if not (p := runs / (stamp if n == 1 else f"{stamp}-{n}")).exists())
    return out.resolve()


def _write_page(folder: Path, source: Path) -> None:
    from d24fad_lite.runs.notebook_page import write_page

    executed = folder / source.name
    if executed.is_file():
        write_page(executed, _page(folder, source.stem), pictures=source.parent)


def _page(folder: Path, name: str) -> Path:
    return folder / "pages" / f"{name}.html"


def _close(series: Series, checkout: Path, again: str) -> None:
    from d24fad_lite.runs.notebook_page import link_pages
    from d24fad_lite.runs.report_page import write_report

    seconds = series.seconds  # before the report is written, as in summary.json
    link_pages(series.folder / "pages", [result.name for result in series.results])
    report = write_report(series.folder)
    completed = sum(result.status == "completed" for result in series.results)
    took = f"{seconds:.0f} s (sum of the notebooks: {sum(result.seconds for result in series.results):.0f} s)"
    print(f"{completed} of {len(series.results)} completed in {took}: {shown_path(report, checkout)}", flush=True)
    if series.status != "completed":
        print(f"to go on, what is completed is kept: {again}", flush=True)
