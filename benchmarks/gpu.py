"""Speed of the kit on one CUDA card: forward passes, training steps, a whole training, and what stands beside them.

    python benchmarks/gpu.py                          # about seven minutes; runs/gpu/gpu.json and benchmarks/GPU.md
    python benchmarks/gpu.py --budget 300 --out DIR   # fewer seconds; results go to DIR
    python benchmarks/gpu.py --report DIR/gpu.json    # nothing measured: GPU.md from a stored run
    python benchmarks/gpu.py --quick --device cpu     # tiny sizes on the processor, to see that all runs

Sections run in the order of their worth; results are written after every row, and a section that fails stops no other.
Weights are random except in the whole training: they change no speed.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

import gpu_speed
import gpu_switches
import gpu_training
import torch
from gpu_record import Record, Section, machine, say
from gpu_report import write_page

from d24fad_lite.model.device import pick_device

TEACHERS = ("wide_resnet50_2", "tf_efficientnet_lite0")
RECORD = {
    "teachers": TEACHERS,
    "image_size": 128,
    "batches": (16, 256, 64),  # the most telling ones first
    "eval_shots": (2, 8),
    "train_shots": (4, 2, 8),
    "train_batch": 16,
    "rounds": 5,
    "side": 8192,
    "compared": 64,
    "epochs": 70,
}
QUICK = {
    "teachers": ("resnet18",),
    "image_size": 32,
    "batches": (2,),
    "eval_shots": (2,),
    "train_shots": (2,),
    "train_batch": 5,
    "rounds": 1,
    "side": 64,
    "compared": 5,
    "epochs": 2,
}
# Share of the budget that each section may take; what it leaves is there for the next. The whole training comes after
# the short ones, because it takes all that is left but the last share.
SHARES = {"images": 0.32, "training": 0.16, "peaks": 0.05, "processor": 0.06, "agreement": 0.06, "loading": 0.04}
SWITCHES_SHARE = 0.16


def main() -> None:
    """Measure, write the JSON as it goes, write the page."""
    options = _options()
    if options.job:
        print(json.dumps(gpu_switches.job(*options.job)))
        return
    if options.report:
        write_page(json.loads(Path(options.report).read_text()), Path(options.page))
        return
    warnings.filterwarnings("ignore", message=".*TF32.*")  # PyTorch's remarks on the names of these switches
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    results = measure_all(options, out / "gpu.json")
    write_page(results, Path(options.page))
    say(f"wrote {out / 'gpu.json'} and {options.page}")


def measure_all(o: argparse.Namespace, path: Path) -> dict:
    """All sections; the results as they are in the file."""
    setting = {name: getattr(o, name) for name in (*RECORD, "budget", "quick")} | {"device": str(o.device)}
    record = Record(path, {"setting": setting, "machine": machine(o.device)}, o.budget)
    say(json.dumps(record.results["machine"]))

    def peaks(section: Section) -> None:
        gpu_speed.peaks(o, section)
        gpu_speed.flops_per_image(o, section)

    sections = {
        "images": lambda section: gpu_speed.images_per_second(o, section),
        "training": lambda section: gpu_training.training_steps(o, section),
        "peaks": peaks,
        "processor": lambda section: gpu_speed.on_the_processor(o, section),
        "agreement": lambda section: gpu_speed.agreement(o, section),
        "loading": lambda section: gpu_training.data_loading(o, section),
        "whole": lambda section: gpu_training.full_training(o, section),
        "switches": lambda section: gpu_switches.switches(o, section),
    }
    for name, work in sections.items():
        if o.sections and name not in o.sections:
            continue
        share = o.budget * SHARES.get(name, 1.0)
        kept = o.budget * SWITCHES_SHARE if name == "whole" else 0.0
        record.run(name, min(share, record.left() - kept), work)
        if o.device.type == "cuda":
            torch.cuda.empty_cache()
    return record.results


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="cuda, cpu or auto (default)")
    parser.add_argument("--budget", type=float, default=420, help="seconds for the whole run (default 420)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all runs")
    parser.add_argument("--sections", nargs="+", metavar="NAME", help="run only these")
    parser.add_argument("--out", default="runs/gpu", help="folder of gpu.json (default runs/gpu)")
    parser.add_argument("--page", default=str(Path(__file__).with_name("GPU.md")), help="page (default beside this)")
    parser.add_argument("--report", metavar="JSON", help="write the page from a stored run, measure nothing")
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)  # one switch in a process of its own
    options = parser.parse_args()
    if options.report and not Path(options.report).is_file():
        sys.exit(f"{options.report} is not there")
    for name, value in (QUICK if options.quick else RECORD).items():
        setattr(options, name, value)
    options.device = torch.device(pick_device(options.device, "--device"))
    return options


if __name__ == "__main__":
    main()
