"""Section of `gpu.py`: what torch.compile and cuDNN's own trials cost and gain, each in a process with a time limit."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu_record import PACE, Section, arithmetic, synchronize
from measuring import build, random_images
from timing import interleave
from torch import Tensor, nn

from d24fad_lite.model.speed.folding import for_inference

LEAST_SECONDS = 20  # with less left nothing is begun


class Networks(nn.Module):
    """Teacher and student one after the other, as two inference copies run them."""

    def __init__(self, teacher: nn.Module, student: nn.Module) -> None:
        super().__init__()
        self.teacher, self.student = teacher, student

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.student(self.teacher(images)[-1])


def switches(o: argparse.Namespace, section: Section) -> None:
    """One process for each switch, teacher and batch size, while there is time."""
    names = ("autotune",) if o.quick else ("compile", "autotune")
    for name in o.teachers:
        for batch in (max(o.batches), min(o.batches)):
            for switch in names:
                what = f"{switch}, {name}, batch {batch}"
                if section.left() < (1 if o.quick else LEAST_SECONDS):
                    section.skip(what)
                    continue
                try:
                    row = _in_process([switch, name, "bf16", str(batch), str(o.image_size), str(o.device)], section)
                    section.add(switch=switch, teacher=name, batch=batch, precision="bf16", **row)
                except Exception as error:
                    section.fail(what, error)


def _in_process(arguments: list[str], section: Section) -> dict[str, Any]:
    """What `job` prints, or an error that says how it ended; the processes it started end with it."""
    command = [sys.executable, str(Path(__file__).with_name("gpu.py")), "--job", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    limit = 300.0 if arguments[-1] == "cpu" else max(1.0, section.left())
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise TimeoutError(f"not finished in {limit:.0f} s") from None
    if process.returncode:
        raise RuntimeError((err.strip().splitlines() or ["no message"])[-1])
    return json.loads(out.strip().splitlines()[-1])


@torch.no_grad()
def job(switch: str, teacher: str, precision: str, batch: str, size: str, device_name: str) -> dict[str, Any]:
    """Seconds until a switch works, milliseconds with and without it, and the images after which it has paid."""
    device, count = torch.device(device_name), int(batch)
    model = build(teacher, int(size)).to(device).eval()
    images = random_images(count, 3, int(size), int(size)).to(device).contiguous(memory_format=torch.channels_last)
    with arithmetic(precision, device):
        embedding = model.teacher(images).embedding
        plain = Networks(for_inference(model.teacher.backbone, images), for_inference(model.student, embedding))
        expected = plain(images)
        synchronize(device)
        other = torch.compile(plain) if switch == "compile" else plain
        started = time.perf_counter()
        found = _with(switch, other, images)
        synchronize(device)
        ready = time.perf_counter() - started
        timings = _compare(plain, other, switch, images, device)
    ratio, saved = timings.ratio("plain", switch), timings.seconds("plain") - timings.seconds(switch)
    calls = timings.wall.pop("calls")[0]
    return {
        "ready_seconds": ready,
        "ms_plain": 1e3 * timings.seconds("plain") / calls,
        "ms": 1e3 * timings.seconds(switch) / calls,
        "ratio": ratio["ratio"],
        "low": ratio["low"],
        "high": ratio["high"],
        "pays_after_images": round(ready / (saved / calls) * count) if saved > 0 else None,
        "difference": max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True)),
    }


def _compare(plain: nn.Module, other: Callable, switch: str, images: Tensor, device: torch.device) -> Any:
    """Timings of blocks of both, in turn; the number of calls in a block is under "calls"."""
    for _ in range(2):
        plain(images), _with(switch, other, images)
    synchronize(device)
    started = time.perf_counter()
    plain(images)
    synchronize(device)
    calls = max(1, min(40, int(2 * PACE / (time.perf_counter() - started)) + 1))

    def block(run: Callable[[], Any]) -> None:
        for _ in range(calls):
            run()
        synchronize(device)

    runs = {"plain": lambda: block(lambda: plain(images)), switch: lambda: block(lambda: _with(switch, other, images))}
    timings = interleave(runs, 5, warm=False)
    timings.wall["calls"] = [calls]
    return timings


def _with(switch: str, run: Callable, images: Tensor) -> Any:
    """One call; for "autotune" with cuDNN choosing its algorithm by trial."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = switch == "autotune"
    try:
        return run(images)
    finally:
        torch.backends.cudnn.benchmark = before
