"""Run one notebook with papermill, strictly, and say exactly what happened."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d24fad_lite.lessons.parameters import Parameter, check_parameters, parse_parameters, with_defaults
from d24fad_lite.runs.identity import hashes_of_results, run_key
from d24fad_lite.runs.kernel import Watch, kernel_manager_class
from d24fad_lite.runs.processor import exit_text
from d24fad_lite.runs.sealing import Seal, seal_of, seal_results
from d24fad_lite.sole_writer import remove_partial

if TYPE_CHECKING:
    from nbformat import NotebookNode

ANSI = re.compile(r"\x1b\[[0-9;]*m")
TRACEBACK_LINES = 12


@dataclass(frozen=True)
class FailingCell:
    """Where a run ended: index in the source notebook (0 is the first cell), its text, the traceback's last lines."""

    index: int
    source: str
    last_lines: list[str]


@dataclass
class NotebookResult:
    """What became of one notebook.

    name : as the file, without suffix
    status : "completed"; "failed" (a cell raised, or cells were not executed, or no metrics.json); "died" (the kernel's
        process ended); "timeout"; "interrupted" (Ctrl-C); "not run"
    seconds : wall clock
    peak_mb : largest memory of the kernel's process tree, MB
    error : one line, empty when completed
    cell : where it ended, None when completed or not known
    parameters : as they were given to the notebook
    key : what resume compares, see `run_key`
    files : sha256 of what it wrote, by path from the executed notebook's folder; resume believes nothing else
    resumed : whether it was taken over from an earlier run of the same folder
    """

    name: str
    status: str = "not run"
    seconds: float = 0.0
    peak_mb: float = 0.0
    error: str = ""
    cell: FailingCell | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    files: dict[str, str] = field(default_factory=dict)
    resumed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As it stands in summary.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NotebookResult:
        """Back from summary.json; entries it does not know are ignored. Raises ValueError for what is no result."""
        try:
            known = {key: value for key, value in values.items() if key in cls.__dataclass_fields__}
            if known.get("cell") is not None:
                known["cell"] = FailingCell(**known["cell"])
            result = cls(**known)
            texts = (result.name, result.status, result.key, *result.files, *result.files.values())
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not the result of a notebook ({error})") from error
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("not the result of a notebook (a name, status, key or hash is no text)")
        return result


def read_notebook(path: Path) -> NotebookNode:
    """Read an .ipynb. Raises ValueError naming the file when it is none."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise
    except Exception as error:  # nbformat raises its own and json's errors for a damaged file
        raise ValueError(f"{path.name} is not a readable notebook ({error}); build it again") from error


def declared_parameters(notebook: NotebookNode, name: str) -> list[Parameter]:
    """The parameters of the cell tagged `parameters`; none when there is no such cell. ValueError for a wrong line."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", []):
            try:
                return parse_parameters(cell.source)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
    return []


def run_notebook(
    source: Path,
    output: Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout: float | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    show_names: bool = False,
) -> NotebookResult:
    """Execute a notebook; whatever it does ends as a result, not as an exception.

    Parameters
    ----------
    source, output : the .ipynb to run, and where the executed one is written
    parameters : values for the parameters cell. Where it declares `out` and none is given, `out` is the folder beside
        `output` of the same name, and metrics.json must be there at the end.
    timeout : seconds without progress (see `progress`) after which it is stopped; None or 0 for no limit
    cwd : working directory of the kernel; default the source's folder, as in JupyterLab and nbval
    environment : variables set for the kernel
    show_names : leave the names of the user's files and patients in what is written; folders are taken out in any case,
        see `sealing`

    Returns
    -------
    NotebookResult

    Raises
    ------
    ValueError : an unknown or ill-typed parameter, or an unreadable notebook
    KeyboardInterrupt : passes through, after the kernel has been ended
    """
    name, cwd = source.stem, (cwd or source.parent).resolve()
    notebook = read_notebook(source)
    declared = declared_parameters(notebook, name)
    values = check_parameters(declared, parameters or {}, name)
    key = run_key(source, notebook, declared, values, cwd)
    metrics = _metrics_path(declared, values, output.resolve(), cwd)
    if metrics is not None:
        metrics.unlink(missing_ok=True)  # an old run's numbers must not pass for this one's
        remove_partial(metrics.parent)
    output.parent.mkdir(parents=True, exist_ok=True)
    watch = Watch(timeout)
    began = time.monotonic()
    watch.start()
    result = NotebookResult(name, parameters=values, key=key)
    seal = seal_of(output, cwd, with_defaults(declared, values), show_names)
    try:
        try:
            _papermill(notebook, output, values, cwd, watch, dict(environment or {}))
        finally:
            seal_results(seal, output, metrics)
        result.error = _not_executed(output) or _no_metrics(metrics)
        result.status = "failed" if result.error else "completed"
        result.files = hashes_of_results(output, metrics)
    except Exception as error:  # everything a notebook can do to itself becomes its result
        _describe_failure(result, error, output, watch)
        _seal_failure(result, seal)
    finally:
        result.seconds = round(time.monotonic() - began, 1)
        watch.stop()
        watch.kill_tree()
        result.peak_mb = round(watch.peak_mb)
    result.parameters = seal.value(result.parameters)
    return result


def _metrics_path(declared: list[Parameter], values: dict[str, Any], output: Path, cwd: Path) -> Path | None:
    """Where the notebook will write metrics.json; fills in `out` (relative to cwd: no machine's path is stored)."""
    if not any(parameter.name == "out" for parameter in declared):
        return None
    if not values.get("out"):
        try:
            values["out"] = Path(os.path.relpath(output.with_suffix(""), cwd)).as_posix()
        except ValueError:  # another drive
            values["out"] = output.with_suffix("").as_posix()
    return cwd / values["out"] / "metrics.json"


def _papermill(
    notebook: NotebookNode,
    output: Path,
    parameters: dict[str, Any],
    cwd: Path,
    watch: Watch,
    environment: dict[str, str],
) -> None:
    import papermill

    # Their logs repeat paths and "Kernel died", after Ctrl-C as the traceback of a task that nobody waits for any more;
    # all of it is in our result.
    for name in ("papermill", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    papermill.execute_notebook(
        notebook,
        str(output.resolve()).replace("{", "{{").replace("}", "}}"),  # papermill formats its paths
        parameters=parameters,
        kernel_name="python3",
        language="python",
        progress_bar=False,  # several may run at a time; the series prints a line for each that ends
        kernel_manager_class=kernel_manager_class(watch, environment, cwd),
    )


def _describe_failure(result: NotebookResult, error: Exception, output: Path, watch: Watch) -> None:
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        lines = [line for text in error.traceback for line in ANSI.sub("", text).splitlines()]
        result.status, result.error = "failed", f"{error.ename}: {error.evalue}".split("\n")[0]
        index = error.cell_index - _injected_before(output, error.cell_index)
        result.cell = FailingCell(index, error.source, lines[-TRACEBACK_LINES:])
        return
    result.cell = _last_started(output)
    if watch.timed_out:
        result.status, result.error = "timeout", watch.timed_out
    elif isinstance(error, DeadKernelError) or "Kernel died" in str(error):
        result.status, result.error = "died", f"the kernel died ({exit_text(watch.exit_code)})"
    else:
        result.status, result.error = "failed", f"{type(error).__name__}: {error}"


def _seal_failure(result: NotebookResult, seal: Seal) -> None:
    """Take folders and names out of what is told of a failure."""
    cell, result.error = result.cell, seal.text(result.error)
    if cell is not None:
        result.cell = replace(cell, source=seal.paths(cell.source), last_lines=seal.value(cell.last_lines))


def _injected_before(output: Path, index: int) -> int:
    cells = [
        cell for cell in read_notebook(output).cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])
    ]
    return sum("injected-parameters" in cell.metadata.get("tags", []) for cell in cells[:index])


def _last_started(output: Path) -> FailingCell | None:
    """The cell that ran when the kernel ended: the last one papermill gave a start time."""
    if not output.is_file():
        return None
    cells = read_notebook(output).cells
    started = [i for i, cell in enumerate(cells) if cell.metadata.get("papermill", {}).get("start_time")]
    if not started:
        return None
    last = started[-1]
    printed = "".join(o.get("text", "") for o in cells[last].get("outputs", [])).splitlines()
    return FailingCell(last - _injected_before(output, last), cells[last].source, printed[-TRACEBACK_LINES:])


def _not_executed(output: Path) -> str:
    """What is wrong with a run that raised nothing: papermill also stops silently, for instance after sys.exit()."""
    code = [cell for cell in read_notebook(output).cells if cell.cell_type == "code" and cell.source.strip()]
    if not code:
        return "the notebook has no code cells"
    missed = [cell for cell in code if cell.execution_count is None]
    if missed:
        return f"{len(missed)} of {len(code)} code cells were not executed"
    if not sum(cell.metadata.get("papermill", {}).get("duration") or 0 for cell in code) > 0:
        return "the code cells took no time: nothing was executed"
    return ""


def _no_metrics(metrics: Path | None) -> str:
    absent = metrics is not None and not metrics.is_file()
    return "no metrics.json in the notebook's `out` folder; its last cell must call lesson.finish" if absent else ""
