"""What a run of `gpu.py` keeps: a budget of seconds, a JSON file that is complete after every row, and the machine."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from timing import interleave

PACE = 0.03  # seconds that one block of calls should take at least
MOST_CALLS = 40  # in one block
PACKAGES = ("torch", "timm", "torchvision", "accelerate", "numpy", "pillow")
SHIPPED = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)  # as PyTorch sets them by itself


class Record:
    """Results by section, written after every row; a section that fails is noted, and the next one runs.

    Parameters
    ----------
    path : Path, the JSON file
    results : dict, what is known before the first section
    budget : float, seconds for the whole run
    """

    def __init__(self, path: Path, results: dict[str, Any], budget: float) -> None:
        self.path, self.results, self.budget = path, results, budget
        self.started = time.perf_counter()
        self.results["sections"] = {}
        self.write()

    def left(self) -> float:
        """Seconds of the budget that remain."""
        return self.budget - (time.perf_counter() - self.started)

    def run(self, name: str, seconds: float, work: Callable[[Section], None]) -> None:
        """One section, with so many seconds or what is left of the budget."""
        section = Section(self, name, min(seconds, self.left()))
        if section.left() <= 0:
            section.skip("all of it")
        else:
            try:
                work(section)
            except Exception as error:
                section.fail("section", error)
        section.values["seconds"] = round(section.used(), 1)
        self.write()
        say(f"== {name}: {section.used():.0f} s, {self.left():.0f} s left")

    def write(self) -> None:
        """The file, whole or not at all."""
        partial = self.path.with_suffix(".part")
        partial.write_text(json.dumps(self.results, indent=1) + "\n")
        partial.replace(self.path)


class Section:
    """Rows, failures and skipped pieces of one section, and its own share of the time."""

    def __init__(self, record: Record, name: str, seconds: float) -> None:
        self.record, self.limit, self.started = record, seconds, time.perf_counter()
        self.name, self.values = name, {"rows": [], "failures": [], "skipped": []}
        record.results["sections"][name] = self.values

    def used(self) -> float:
        return time.perf_counter() - self.started

    def left(self) -> float:
        """Seconds that remain to this section."""
        return self.limit - self.used()

    def add(self, **row: Any) -> None:
        """Keep a row, at once also in the file."""
        self.values["rows"].append(row)
        self.record.write()
        say(f"{self.name}: " + ", ".join(f"{k} {_short(v)}" for k, v in row.items()))

    def put(self, **values: Any) -> None:
        """Keep single values."""
        self.values |= values
        self.record.write()

    def fail(self, what: str, error: BaseException) -> None:
        """Note an error and its message; the memory it held on the device is given back."""
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        self.values["failures"].append({"what": what, "error": text})
        self.record.write()
        say(f"{self.name}: FAILED {what}: {text}")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def skip(self, what: str) -> None:
        """Note what the time did not suffice for."""
        self.values["skipped"].append(what)
        self.record.write()
        say(f"{self.name}: no time for {what}")


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def arithmetic(precision: str, device: torch.device, autocast: bool = True) -> Iterator[None]:
    """Within: "fp32" (TF32 off everywhere), "tf32" (on everywhere), "bf16", or "shipped" (PyTorch's own settings).

    autocast : False where the called code switches to bf16 by itself.
    """
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    convolutions, products = SHIPPED if precision == "shipped" else (precision == "tf32",) * 2
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, products
    lower = precision == "bf16" and autocast
    try:
        with torch.autocast(device.type, torch.bfloat16) if lower else nullcontext():
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def measure(
    section: Section, candidates: dict[str, Callable[[], Any]], device: torch.device, rounds: int
) -> dict[str, dict[str, float]]:
    """Milliseconds per call of each candidate: median, lowest and highest of blocks of calls, run in turn.

    Each block ends with the device idle. A candidate that fails in its unmeasured calls is noted and left out.
    """
    blocks, calls, peaks = {}, {}, {}
    for name, run in candidates.items():
        try:
            run()
            synchronize(device)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            once = min(_seconds(run, 1, device) for _ in range(2))
            peaks[name] = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
        except Exception as error:
            section.fail(name, error)
            continue
        calls[name] = max(1, min(MOST_CALLS, int(PACE / once) + 1))
        blocks[name] = lambda run=run, count=calls[name]: _seconds(run, count, device)
    timings = interleave(blocks, rounds, warm=False)
    times = {name: [1e3 * t / calls[name] for t in timings.wall[name]] for name in blocks}
    return {
        name: {"ms": 1e3 * timings.seconds(name) / calls[name], "low": min(t), "high": max(t), "peak_mib": peaks[name]}
        for name, t in times.items()
    }


def _seconds(run: Callable[[], Any], count: int, device: torch.device) -> float:
    started = time.perf_counter()
    for _ in range(count):
        run()
    synchronize(device)
    return time.perf_counter() - started


def machine(device: torch.device) -> dict[str, Any]:
    """Card, driver, versions, processor, date: what a reader must know of the figures."""
    facts: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None,
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in PACKAGES},
        "shipped": {"cudnn.allow_tf32": SHIPPED[0], "cuda.matmul.allow_tf32": SHIPPED[1]},
        "matmul_precision": torch.get_float32_matmul_precision(),
    }
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        facts |= {
            "card": about.name,
            "memory_gib": round(about.total_memory / 2**30, 1),
            "multiprocessors": about.multi_processor_count,
            "capability": f"{about.major}.{about.minor}",
            "driver": _smi("driver_version"),
            "power_limit": _smi("power.limit"),
            "highest_clock": _smi("clocks.max.sm"),
        }
    return facts


def _smi(field: str) -> str | None:
    """One value that the driver's own tool reports."""
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


def processor_name() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
