"""What an engine costs per cell, and whether all engines give the same numbers.

    python benchmarks/engines.py                      # 10,000 cells that do nothing, on each engine that is there
    python benchmarks/engines.py --cells 200          # fewer, to see that all runs
    python benchmarks/engines.py --same               # a small real grid on each engine: equal to the last digit?

Slurm is measured where its commands are found (tests/slurm/start_slurm.sh starts one), with a tenth of the cells, since
each is a job that starts a Python of its own. Prints a table for benchmarks/ENGINES.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/runs/benchmark"))
PATHS = [str(HERE.parent), str(HERE.parent / "tests/runs/benchmark"), os.environ.get("PYTHONPATH", "")]
os.environ["PYTHONPATH"] = os.pathsep.join(path for path in PATHS if path)

from tiny_benchmark import tiny_plan  # noqa: E402

from d24fad_lite.runs.benchmark.drive import run_benchmark  # noqa: E402
from d24fad_lite.runs.benchmark.plan import plan_benchmark  # noqa: E402
from d24fad_lite.runs.engines import ENGINES, EngineSettings  # noqa: E402


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--same", action="store_true", help="compare the numbers of a small grid on all engines")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    options = parser.parse_args()
    engines = [name for name in options.engines if name != "slurm" or shutil.which("sbatch")]
    if options.same:
        same(engines, options.workers)
    else:
        overhead(engines, options.cells, options.workers)


def overhead(engines: list[str], cells: int, workers: int) -> None:
    """Seconds per cell that does nothing but write its result, and of a second call that finds all of them done."""
    print(f"| engine | cells | workers | first call, s | ms per cell | second call, s |\n{'| --- ' * 6}|")
    for name in engines:
        number = max(1, cells // 10) if name == "slurm" else cells
        with tempfile.TemporaryDirectory() as folder:
            seconds = []
            for _ in range(2):
                began = time.perf_counter()
                ended = run_benchmark(tiny_plan(number), folder, settings(name, workers), say=quiet)
                seconds.append(time.perf_counter() - began)
                assert sum(one.result.status == "completed" for one in ended) == number
        each = 1000 * seconds[0] / number
        print(f"| {name} | {number:,} | {workers} | {seconds[0]:.1f} | {each:.1f} | {seconds[1]:.1f} |", flush=True)


def same(engines: list[str], workers: int) -> None:
    """The rows of one small grid, trained for two epochs, as each engine gives them; asserts that they are equal."""
    found = {}
    for name in engines:
        plan = plan_benchmark(
            profile="quick",
            tasks=["RSNA", "HIS"],
            methods=["d24fad", "nearest-patch"],
            shots=[2, 4],
            epochs=2,
            share_cache=False,
        )
        with tempfile.TemporaryDirectory() as folder:
            ended = run_benchmark(plan, folder, settings(name, workers, threads=1), say=quiet)
            assert all(one.result.status == "completed" for one in ended), [one.result.reason for one in ended]
            found[name] = json.dumps([one.result.rows for one in ended])
        print(f"{name}: {sum(len(one.result.rows) for one in ended)} rows", flush=True)
    first = found[engines[0]]
    other = [name for name in engines if found[name] != first]
    assert not other, f"{engines[0]} and {other} differ:\n{first}\n" + "\n".join(found[name] for name in other)
    print(f"equal to the last digit on {', '.join(engines)}")


def settings(name: str, workers: int, threads: int = 0) -> EngineSettings:
    """The engine with so many workers; on Slurm jobs of ten minutes."""
    of_slurm = {"minutes": 10, "memory_gb": 3.0} if name == "slurm" else {}
    return EngineSettings(name, workers=workers, threads=threads, **of_slurm)


def quiet(_: str) -> None:
    """Say nothing."""


if __name__ == "__main__":
    main()
