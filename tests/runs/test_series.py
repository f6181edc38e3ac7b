"""The unattended run: strictness, failures named, the others continue, resume, report, exit codes.

One run of six tiny notebooks serves most tests; every kernel start costs about a second.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from d24fad_lite.runs.__main__ import main
from d24fad_lite.runs.execute import run_notebook
from d24fad_lite.runs.html_parts import table
from d24fad_lite.runs.processor import cores
from d24fad_lite.runs.report_page import tables, write_report
from d24fad_lite.runs.resuming import resume_command
from d24fad_lite.runs.series import run_series, select_names

PARAMETERS = 'profile: str = ""\nseed: int = 0\nout: str = ""\nlr: float = 0.5'
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FINISH = f"""import base64, json, os, sys
os.makedirs(out, exist_ok=True)
open(f"{{out}}/map.png", "wb").write(base64.b64decode("{PIXEL}"))
rows = [{{"task": "RSNA", "K=4": "0.61 [0.50, 0.72]", "n": 40}}, {{"task": "<HIS>", "K=4": None, "n": 40}}]
metrics = {{"headline": "AUROC 0.61", "verdict": "maps lie <on> it"}}
metrics |= {{"tables": {{"AUROC table": rows}}, "figures": ["map.png"]}}
facts = {{"lr": lr, "kind": type(lr).__name__, "seed": seed, "data": "synthetic samples"}}
facts |= {{"cwd": os.path.basename(os.getcwd()), "python": sys.executable, "variable": os.environ["D24FAD_PROFILE"]}}
json.dump(metrics | facts, open(f"{{out}}/metrics.json", "w"))"""


def write(folder: Path, name: str, *code: str, parameters: str = PARAMETERS) -> Path:
    """A tiny notebook in `folder`; its kernelspec names an interpreter that does not exist."""
    cells = [new_markdown_cell(f"# {name[:2]} · The {name[3:]} one")]
    cells += [new_code_cell(parameters, metadata={"tags": ["parameters"]}), *map(new_code_cell, code)]
    spec = {"name": "no_such_kernel", "display_name": "x", "language": "python"}
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": spec}), folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout {with braces} in its name, because papermill formats paths."""
    notebooks = tmp_path_factory.mktemp("check {out}") / "notebooks"
    write(notebooks, "00_good", FINISH)
    write(notebooks, "01_raises", "x = 1", 'raise RuntimeError("<lost> the thread")', FINISH)
    write(notebooks, "02_dies", "import os, signal", 'print("so far")', "os.kill(os.getpid(), signal.SIGKILL)", FINISH)
    write(notebooks, "03_silent", "import sys", "sys.exit(0)", FINISH)
    write(notebooks, "04_forgets", "x = 1")
    write(notebooks, "05_last", FINISH, parameters=PARAMETERS + "\nshots: int = 4")
    return notebooks.parent


@pytest.fixture(scope="module")
def finished(root: Path) -> tuple[Path, dict, int]:
    """The run's folder, its summary and exit code."""
    folder = root / "runs" / "first"
    code = run_series(out=folder, parameters={"lr": "1e-3", "shots": "2"}, timeout=120, root=root)
    return folder, json.loads((folder / "summary.json").read_text()), code


def entry(summary: dict, name: str) -> dict:
    return next(item for item in summary["notebooks"] if item["name"] == name)


def test_a_failure_makes_the_exit_code_one_and_the_others_continue(finished: tuple[Path, dict, int]) -> None:
    _folder, summary, code = finished
    assert code == 1 and summary["status"] == "failed"
    states = {item["name"][3:]: item["status"] for item in summary["notebooks"]}
    assert states == {
        "good": "completed", "raises": "failed", "dies": "died", "silent": "failed", "forgets": "failed",
        "last": "completed",
    }  # fmt: skip


def test_a_failing_cell_is_named_with_its_text_and_last_lines(finished: tuple[Path, dict, int]) -> None:
    found = entry(finished[1], "01_raises")
    assert found["error"] == "RuntimeError: <lost> the thread"
    assert found["cell"]["index"] == 3 and found["cell"]["source"].startswith("raise RuntimeError")
    assert found["cell"]["last_lines"][-1] == "RuntimeError: <lost> the thread"
    assert not any("\x1b" in line for line in found["cell"]["last_lines"])


def test_a_dead_kernel_is_called_dead_with_its_signal_and_cell(finished: tuple[Path, dict, int]) -> None:
    found = entry(finished[1], "02_dies")
    assert "kernel died" in found["error"] and "SIGKILL" in found["error"]
    assert found["cell"]["index"] == 4 and "SIGKILL" in found["cell"]["source"]


def test_cells_that_were_silently_not_executed_are_a_failure(finished: tuple[Path, dict, int]) -> None:
    assert entry(finished[1], "03_silent")["error"] == "1 of 5 code cells were not executed"


def test_a_notebook_without_metrics_is_a_failure(finished: tuple[Path, dict, int]) -> None:
    assert "no metrics.json" in entry(finished[1], "04_forgets")["error"]


def test_parameters_profile_folder_and_interpreter_reach_the_notebook(finished: tuple[Path, dict, int]) -> None:
    folder, summary, _code = finished
    metrics = json.loads((folder / "00_good" / "metrics.json").read_text())
    assert (metrics["lr"], metrics["kind"], metrics["seed"]) == (0.001, "float", 0)
    assert metrics["cwd"] == "notebooks" and metrics["variable"] == "quick"
    assert os.path.realpath(metrics["python"]) == os.path.realpath(sys.executable)
    assert (
        entry(summary, "05_last")["parameters"]["shots"] == 2 and "shots" not in entry(summary, "00_good")["parameters"]
    )
    assert str(folder) not in (folder / "00_good.ipynb").read_text().replace('"output_path"', "", 1).split("cells")[1]


def test_time_and_memory_are_measured(finished: tuple[Path, dict, int]) -> None:
    found = entry(finished[1], "00_good")
    assert 0 < found["seconds"] < 100 and 20 < found["peak_mb"] < 2000


def test_the_report_is_self_contained_and_says_everything(finished: tuple[Path, dict, int]) -> None:
    folder, _summary, _code = finished
    page = (folder / "report.html").read_text()
    for text in (
        "Synthetic samples. Not for clinical use.", "2 of 6", "prefers-color-scheme: dark", "00 · The good one",
        "the kernel died", "RuntimeError: &lt;lost&gt; the thread", "AUROC 0.61", "AUROC table",
        "0.61 [0.50, 0.72]", "&lt;HIS&gt;", f"data:image/png;base64,{PIXEL}", 'href="00_good.ipynb"',
        'href="pages/00_good.html"', "quick", '<a href="#00_good">00 · The good one</a>', 'id="00_good"',
        "What this showed: maps lie &lt;on&gt; it", "<dt>wall time</dt>", "<dt>sum of the notebooks</dt>", "--resume",
    ):  # fmt: skip
        assert text in page, text
    assert not any(raw in page for raw in ("<lost>", "<HIS>", "<on>"))
    assert "http://" not in page and "https://" not in page and "<script" not in page
    assert (folder / "pages" / "00_good.html").stat().st_size > 1000


def test_resume_takes_over_what_is_done_and_runs_the_rest(
    root: Path, finished: tuple[Path, dict, int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished[0]
    before = (folder / "00_good.ipynb").stat().st_mtime_ns
    write(root / "notebooks", "04_forgets", FINISH)  # the owner mends it
    code = run_series(["0", "04", "last"], out=folder, parameters={"lr": 0.001, "shots": 2}, resume=True, root=root)
    assert code == 0 and (folder / "00_good.ipynb").stat().st_mtime_ns == before
    printed = capsys.readouterr().out
    assert printed.count("completed in an earlier run") == 2
    summary = json.loads((folder / "summary.json").read_text())
    said = re.search(r"3 of 3 completed in (\d+) s \(sum of the notebooks: (\d+) s\): ", printed)
    assert said is not None and abs(int(said[1]) - summary["seconds"]) <= 1.5
    assert abs(int(said[2]) - sum(item["seconds"] for item in summary["notebooks"])) <= 1.5
    assert "to go on" not in printed
    assert {item["name"]: item["resumed"] for item in summary["notebooks"]} == {
        "00_good": True, "04_forgets": False, "05_last": True,
    }  # fmt: skip


def test_the_named_command_goes_on_with_the_run(root: Path, finished: tuple[Path, dict, int]) -> None:
    words = shlex.split(
        resume_command(root / "runs/first", root, ["00", "05"], "quick", {"lr": 0.001, "shots": 2}, {"jobs": 1})
    )
    assert words[1:4] == ["-m", "d24fad_lite.runs", "00"] and words[-3:] == ["--out", "runs/first", "--resume"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    words[0] = sys.executable
    done = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0 and done.stdout.count("completed in an earlier run") == 2, done.stdout + done.stderr
    assert finished[1]["resume"].endswith(
        "--profile quick -p lr=1e-3 -p shots=2 --timeout 120 --out runs/first --resume"
    )


def test_resume_runs_again_what_has_other_parameters(root: Path, finished: tuple[Path, dict, int]) -> None:
    folder = finished[0]
    assert run_series(["00"], out=folder, parameters={"lr": 0.25}, resume=True, root=root) == 0
    assert json.loads((folder / "00_good" / "metrics.json").read_text())["lr"] == 0.25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "sed=1"], "unknown parameter 'sed' (did you mean 'seed'?)"),
        (["-p", "seed=fast"], "parameter 'seed' must be int, got 'fast'"),
        (["-p", "seed"], "must be written name=value"),
        (["00", "-p", "shots=2"], "unknown parameter 'shots'"),
        (["--profile", "quik"], "did you mean 'quick'"),
        (["06_maps"], "unknown notebook '06_maps'"),
    ],
)
def test_wrong_usage_ends_with_two_before_anything_runs(
    root: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*arguments, "--root", str(root), "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_folder_without_notebooks_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path)]) == 2
    assert "no NN_name.ipynb in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("time.sleep(600)", "stopped after 4 s without progress"),
        ("while True: pass", "of computing in silence, the time-out of 4 s on every core"),
    ],
)
def test_a_notebook_that_gets_nowhere_is_stopped(tmp_path: Path, cell: str, why: str) -> None:
    source = write(tmp_path, "00_slow", "import time", cell, parameters="seed: int = 0")
    began = time.monotonic()
    result = run_notebook(source, tmp_path / "run" / "00_slow.ipynb", timeout=4)
    assert time.monotonic() - began < 60
    assert result.status == "timeout" and why in result.error


SLOW_WORK = """for _ in range(40):
    end = time.process_time() + 0.02
    while time.process_time() < end: pass
    time.sleep(0.2)"""
BAR = """from IPython.display import display
bar = display("0 of 16", display_id=True)
for done in range(16):
    time.sleep(0.5)
    bar.update(f"{done + 1} of 16")"""


@pytest.mark.parametrize("cell", [SLOW_WORK, "for _ in range(16):\n    time.sleep(0.5)\n    print(_)", BAR])
def test_a_notebook_that_is_slow_and_alive_is_not_stopped(tmp_path: Path, cell: str) -> None:
    source = write(tmp_path, "00_slow", "import time", cell, parameters="seed: int = 0")
    result = run_notebook(source, tmp_path / "run" / "00_slow.ipynb", timeout=4)
    assert result.seconds > 8 and result.status == "completed", result.error


def test_a_damaged_notebook_and_a_derived_parameter_are_errors(tmp_path: Path) -> None:
    (tmp_path / "00_bad.ipynb").write_text("{")
    with pytest.raises(ValueError, match="00_bad.ipynb is not a readable notebook"):
        run_notebook(tmp_path / "00_bad.ipynb", tmp_path / "x.ipynb")
    derived = write(tmp_path, "01_derived", parameters="seed: int = 1 + one")
    with pytest.raises(ValueError, match="01_derived: parameters cell: .*nothing derived"):
        run_notebook(derived, tmp_path / "x.ipynb")


def heed_ctrl_c() -> None:
    """What runs in the background of a shell is born deaf to SIGINT, and so are its children: tests too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize(("jobs", "statuses"), [(1, ["interrupted", "not run"]), (2, ["interrupted"] * 2)])
def test_ctrl_c_ends_the_kernels_leaves_a_summary_and_can_be_resumed(
    tmp_path: Path, jobs: int, statuses: list[str]
) -> None:
    waiting = "import os, time, pathlib\npathlib.Path(f'../pid{seed}').write_text(str(os.getpid()))\ntime.sleep(600)"
    write(tmp_path / "notebooks", "00_waits", waiting, parameters="seed: int = 0")
    write(tmp_path / "notebooks", "01_waits", waiting, parameters="seed: int = 1")
    command = [sys.executable, "-m", "d24fad_lite.runs", "--root", str(tmp_path), "--out", str(tmp_path / "run")]
    package = Path(__file__).resolve().parents[2]
    command += ["--jobs", str(jobs)]
    run = subprocess.Popen(
        command, cwd=package, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heed_ctrl_c
    )
    together = min(jobs, cores())
    try:
        deadline = time.monotonic() + 90
        while len(list(tmp_path.glob("pid*"))) < together and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.3)
        run.send_signal(signal.SIGINT)
        printed, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130, printed
    assert "--resume" in printed and "Traceback" not in printed
    started = list(tmp_path.glob("pid*"))
    assert len(started) == together and not any(psutil.pid_exists(int(path.read_text())) for path in started)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    if together == jobs:
        assert [item["status"] for item in summary["notebooks"]] == statuses
    assert "interrupted" in (tmp_path / "run" / "report.html").read_text()


def test_notebooks_are_chosen_by_name_number_or_words() -> None:
    known = ["00_check_setup", "04_dual_distillation", "10_full_benchmark"]
    assert select_names(known, ["10", "dual_distillation", "notebooks/00_check_setup.ipynb"]) == known
    assert select_names(known, ["4"]) == ["04_dual_distillation"] and select_names(known, None) == known
    maps = ["06_anomaly_maps_and_scores", "06b_where_and_thresholds"]
    assert select_names(maps, ["06"]) == select_names(maps, ["6"]) == maps[:1]
    assert select_names(maps, ["6b"]) == select_names(maps, ["where_and_thresholds"]) == maps[1:]
    with pytest.raises(ValueError, match="unknown notebook '04_dual_destilation' .did you mean '04_dual_distillation'"):
        select_names(known, ["04_dual_destilation"])


def test_tables_come_in_three_forms_and_numbers_are_rounded() -> None:
    rows = [{"a_b": 0.123456, "n": 3}]
    for form in ({"t": rows}, [{"title": "t", "rows": rows}]):
        assert tables(form) == [("t", rows)]
    assert tables(rows) == [("", rows)] and tables(None) == []
    assert ">0.123<" in table(rows) and ">a b<" in table(rows)


def test_a_report_needs_a_summary(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the series into this folder first"):
        write_report(tmp_path)
