"""Peak memory of one method in a process of its own; the peers are imported only where one of them is measured."""

from __future__ import annotations

import resource
import sys
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
    """Peak resident MiB of this process: after building (with what was imported), and after scoring one batch."""
    torch.set_num_threads(threads)
    images, supports = random_images(batch, 3, SIZE, SIZE), random_images(SHOTS + 1, 3, SIZE, SIZE)[1:]
    config = d2.D24FADConfig(teacher=teacher, weights="random", image_size=SIZE)
    if what in KIT:
        kit: Any = d2.create_detector(KIT[what], config).eval()
        built = _peak()
        kit.predict(images, kit.encode_supports(supports))
        return {"built_mib": built, "peak_mib": _peak()}
    with tempfile.TemporaryDirectory() as folder:
        peer = _peer(what, teacher, config, Path(folder))
        built = _peak()
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


def _peak() -> int:
    """Of this program alone: what getrusage says also counts the process that started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return round(int(lines["VmHWM"].split()[0]) / 2**10)  # of kB
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale)
