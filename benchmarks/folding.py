"""What folding batch norms gains, teacher and student, beside PyTorch's own trace-and-freeze; ratios of one run.

    python benchmarks/folding.py [--threads 1] [--rounds 9] [--json FILE]

All ways of a network take turns, so that a busy neighbour slows them alike. "first pass" is what the copy costs once:
making it, and its first batch. To see an older processor: ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 before the
command. Weights are random: they change no speed.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from measuring import CHANNELS_LAST, build, random_images
from timing import Timings, interleave
from torch import Tensor, nn

from d24fad_lite.model.speed.allocator import keep_freed_memory
from d24fad_lite.model.speed.folding import fold, no_folding

TEACHERS = ("tf_efficientnet_lite0", "resnet18", "wide_resnet50_2")


def main() -> None:
    """Measure and print one line per network and way."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teachers", default=",".join(TEACHERS), help="timm names between commas")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    print(
        f"{options.batch} images of {options.image_size} px, {options.threads} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}, PyTorch {torch.__version__}"
    )
    rows = []
    for teacher in options.teachers.split(","):
        for row in measure(teacher, options.image_size, options.batch, options.rounds):
            rows.append(row)
            print(
                "  ".join(f"{value:>9.3g}" if isinstance(value, float) else f"{value!s:<22}" for value in row.values()),
                flush=True,
            )
    print("columns: " + ", ".join(rows[0]))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


@torch.no_grad()
def measure(teacher: str, image_size: int, batch: int, rounds: int) -> list[dict[str, object]]:
    """Rows of a teacher's backbone and of its student: each way's milliseconds a batch, and its gain over unfolded."""
    model = build(teacher, image_size).eval()
    images = random_images(batch, 3, image_size, image_size).to(memory_format=CHANNELS_LAST)
    embedding = model.teacher(images).embedding
    rows = []
    for name, network, x in ((teacher, model.teacher.backbone, images), ("  its student", model.student, embedding)):
        runs, start = _ways(network, x)
        timings = interleave(runs, rounds)
        rows += [
            _row(name, way, timings, start[way], _difference(run(), runs["unfolded"]())) for way, run in runs.items()
        ]
    return rows


def _ways(network: nn.Module, x: Tensor) -> tuple[dict[str, Callable[[], list[Tensor]]], dict[str, float]]:
    """One pass of the network as it is and of its copies, and the seconds to make each copy and run it once."""

    def frozen() -> nn.Module:
        with warnings.catch_warnings(), no_folding():
            warnings.simplefilter("ignore")  # tracing remarks on sizes, which are the same here
            return torch.jit.freeze(torch.jit.trace(network, x, strict=False, check_trace=False).eval())

    makers = {"unfolded": lambda: network, "folded": lambda: fold(network, x).network, "traced, frozen": frozen}
    runs, seconds = {}, {}
    for name, make in makers.items():
        started = time.perf_counter()
        runs[name] = partial(_as_it_is, make(), x)
        runs[name]()
        seconds[name] = time.perf_counter() - started
    return runs, seconds


def _as_it_is(network: nn.Module, x: Tensor) -> list[Tensor]:
    with no_folding():  # a student looks for its copy by itself
        return network(x)


def _row(name: str, way: str, timings: Timings, start: float, difference: float) -> dict[str, object]:
    gain = timings.ratio("unfolded", way)
    return {
        "network": name,
        "way": way,
        "ms": 1000 * timings.seconds(way),
        "gain": gain["ratio"],
        "gain (CPU)": gain["cpu_ratio"],
        "first pass, s": start,
        "difference": difference,
    }


def _difference(found: list[Tensor], expected: list[Tensor]) -> float:
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True))


if __name__ == "__main__":
    main()
