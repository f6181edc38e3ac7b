"""Peak memory of one method in a process of its own; the peers are imported only where one of them is measured."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import random_images

import d24fad_lite as d2

SIZE, SHOTS = 128, 4
KIT = {"kit nearest patch": "nearest-patch", "kit D²4FAD": "untrained", "kit mean feature": "mean-feature"}
JOBS = (
    *("kit nearest patch", "anomalib PatchCore", "kit D²4FAD", "anomalib Reverse Distillation"),
    *("kit mean feature", "imgad kNN"),
)


@torch.inference_mode()
def job(what: str, teacher: str, batch: int, threads: int) -> dict[str, int]:
    """Resident MiB of this process when built (with what was imported), and its peak while it scores one batch."""
    torch.set_num_threads(threads)
    images, supports = random_images(batch, 3, SIZE, SIZE), random_images(SHOTS + 1, 3, SIZE, SIZE)[1:]
    config = d2.D24FADConfig(teacher=teacher, weights="random", image_size=SIZE)
    if what in KIT:
        kit: Any = d2.create_detector(KIT[what], config).eval()
        built = _held()
        kit.predict(images, kit.encode_supports(supports))
        return {"built_mib": built, "peak_mib": _peak()}
    with tempfile.TemporaryDirectory() as folder:
        peer = _peer(what, teacher, config, Path(folder))
        built = _held()
        peer.score(images, peer.prepare(supports, np.arange(SHOTS)[None]))
        return {"built_mib": built, "peak_mib": _peak()}


def _peer(what: str, architecture: str, config: d2.D24FADConfig, folder: Path) -> Any:
    import peers_methods as peers

    teacher = d2.create_detector("mean-feature", config).teacher
    if what == "anomalib PatchCore":
        return peers.PatchCore(teacher, architecture, 1)
    if what == "imgad kNN":
        return peers.Neighbour(teacher, architecture, folder)
    return peers.ReverseDistillation(teacher, architecture, 0)


def _held() -> int:
    """Resident MiB now; from here on the peak is counted anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    """Of this program alone: what getrusage says also counts the process that started it."""
    return _status("VmHWM")


def _status(field: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return round(int(lines[field].split()[0]) / 2**10)  # of kB
