"""Speed of the kit beside a straightforward way of running the method, in one run and as ratios.

    python benchmarks/speed.py --quick              # a small network, a minute or two, to see that all runs
    python benchmarks/speed.py                      # the size of record: wide_resnet50_2, 128 px, batch 16, 2 threads
    python benchmarks/speed.py --publish            # the same, and rewrite benchmarks/RESULTS.md and speed.png

Every ratio is the median over rounds in which both sides ran in turn. Results go to runs/speed: speed.json, speed.md,
speed.png. Weights are random: they change no speed.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import tempfile
import time
from pathlib import Path

import measuring
import torch
from speed_report import draw, write_table

from d24fad_lite.model.speed.allocator import keep_freed_memory

HERE = Path(__file__).resolve().parent
SHOTS = (2, 4, 8)
QUICK = {"teacher": "resnet18", "image_size": 64, "batch": 4, "rounds": 3}
RECORD = {"teacher": "wide_resnet50_2", "image_size": 128, "batch": 16, "rounds": 5}


def main() -> None:
    """Measure, print progress, write the three files."""
    options = _options()
    if options.job:
        what, teacher, *numbers, folder = options.job
        print(json.dumps(measuring.job(what, teacher, *map(int, numbers), folder)))
        return
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    results = measure(options)
    write_table(results, out / "speed.md")
    draw(results, out / "speed.png")
    if options.publish:
        shutil.copy(out / "speed.md", HERE / "RESULTS.md")
        shutil.copy(out / "speed.png", HERE / "speed.png")
    print((out / "speed.md").read_text())


def measure(o: argparse.Namespace) -> dict:
    """All sections, by name."""
    results: dict = {
        "setting": {
            "teacher": o.teacher,
            "image_size": o.image_size,
            "batch": o.batch,
            "rounds": o.rounds,
            "threads": o.threads,
            "quick": o.quick,
            "torch": torch.__version__,
            "machine": platform.machine(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
        }
    }
    model = measuring.build(o.teacher, o.image_size)
    sizes, files = ((32, 64), 32) if o.quick else ((64, 128, 256), 128)
    with tempfile.TemporaryDirectory() as folder:
        sections = {
            # First, while this process is small: each piece of work is measured in a process of its own.
            "memory": lambda: _memory(o, Path(folder) / "tasks"),
            "loading": lambda: measuring.loading(Path(folder) / "plain", files, o.image_size, o.rounds),
            "roofline": lambda: measuring.roofline(model, o.batch, o.rounds),
            "growth": lambda: measuring.growth_with_shots(model, o.batch, o.rounds),
            "evaluation": lambda: [measuring.evaluation(model, shots, o.batch, o.rounds) for shots in SHOTS],
            "training": lambda: measuring.training(model, min(8, o.batch - 1), o.batch, o.rounds),
            "image_sizes": lambda: measuring.image_sizes(o.teacher, sizes, o.rounds),
            "agreement": lambda: measuring.agreement(Path(folder) / "samples", 10 if o.quick else 100),
        }
        results |= _earlier(o, results["setting"], set(sections) - set(o.sections or sections))
        for name, section in sections.items():
            if name in results:
                continue
            started = time.perf_counter()
            results[name] = section()
            (Path(o.out) / "speed.json").write_text(json.dumps(results, indent=2) + "\n")  # kept if it is stopped
            print(f"... {name}, {time.perf_counter() - started:.0f} s", flush=True)
    return results


def _earlier(o: argparse.Namespace, setting: dict, wanted: set[str]) -> dict:
    """The sections of the last run that are not asked for again; ValueError where it had other settings."""
    if not wanted:
        return {}
    path = Path(o.out) / "speed.json"
    stored = json.loads(path.read_text()) if path.is_file() else {}
    if stored.get("setting") != setting or not wanted <= set(stored):
        raise ValueError(f"{path} has no finished {', '.join(sorted(wanted))} of the same settings; run all sections")
    return {name: stored[name] for name in wanted}


def _memory(o: argparse.Namespace, folder: Path) -> dict:
    counts = (16, 64) if o.quick else (64, 512)
    for count in counts:
        measuring.write_task(folder, count, 64)
    small = "resnet18"  # memory over many images: the teacher matters little, the time much
    common = [str(o.image_size), str(o.batch)]
    jobs = {
        f"evaluate {n} images, K={k}": ["evaluate", small, *common, str(k), str(n), str(o.threads), str(folder)]
        for n, k in ((counts[0], 2), (counts[1], 2), (counts[1], 8))
    }
    shots = str(min(8, o.batch - 1))
    for what in ("released evaluation", "released training", "independent", "in-batch"):
        jobs[f"{what}, {o.teacher}, K={shots}"] = [what, o.teacher, *common, shots, "0", str(o.threads), str(folder)]
    return measuring.peak_memory(HERE / "speed.py", jobs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"small sizes: {QUICK}")
    parser.add_argument("--teacher", help="timm name")
    parser.add_argument("--image-size", type=int, help="pixels")
    parser.add_argument("--batch", type=int, help="query images per batch")
    parser.add_argument("--rounds", type=int, help="rounds of every ratio")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch (default 2)")
    parser.add_argument("--out", default="runs/speed", help="folder for the results (default runs/speed)")
    parser.add_argument("--sections", nargs="+", metavar="NAME", help="measure only these, keep the last run's others")
    parser.add_argument("--publish", action="store_true", help="also rewrite benchmarks/RESULTS.md and speed.png")
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)  # one piece of work in a process of its own
    options = parser.parse_args()
    for name, value in (QUICK if options.quick else RECORD).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


if __name__ == "__main__":
    main()
