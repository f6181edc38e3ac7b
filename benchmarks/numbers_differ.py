"""Which numbers are the same on another processor, and how far the others move: measured, and written as a page.

    python benchmarks/numbers_differ.py                   # the settings below in turn, about 10 minutes on two cores
    python benchmarks/numbers_differ.py --quick           # a small image and one epoch: to see that all runs
    python benchmarks/numbers_differ.py --page            # the same, and rewrite the table of WHY_NUMBERS_DIFFER.md
    python benchmarks/numbers_differ.py --keep FOLDER     # keep this computer's numbers, to carry them to another ...
    python benchmarks/numbers_differ.py --against FOLDER  # ... and compare that one with them

Every setting is a process of its own. Environment variables make PyTorch and its libraries do without AVX-512, or
without AVX, as on an older processor. One trained detector is read under every setting; and each setting trains one
of its own from the same seed. A difference is the largest absolute one, divided by the largest absolute value.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from numbers_here import Setting, numbers
from tqdm.auto import tqdm

PAGE = Path(__file__).resolve().parent / "WHY_NUMBERS_DIFFER.md"
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"
DETECTOR, NUMBERS = "detector.safetensors", "numbers.npz"
EXACT = ("pixels", "support draws", "episodes")
# What a test holds in the quick form, and the page says: the largest difference that may be.
TOLERANCES = {
    "initial weights": 1e-5,
    "teacher features": 1e-4,
    "map, released": 1e-3,
    "map, matched": 1e-3,
    "scores, released": 1e-3,
    "scores, matched": 1e-3,
    "one image at a time": 1e-3,
    "AUROC, released": 0.02,
    "AUROC, matched": 0.02,
    "loss, epoch 1": 0.02,
}
TRAINED = ("scores, epoch", "AUROC, epoch", "loss, epoch")  # what another seed may be compared in


def instructions(aten: str, onednn: str, mkl: str) -> dict[str, str]:
    """Variables that hold PyTorch, oneDNN and MKL to an instruction set."""
    return {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn, "MKL_ENABLE_INSTRUCTIONS": mkl}


REFERENCE = "one thread"
SETTINGS = {
    REFERENCE: Setting(),
    "the same again": Setting(),
    "two threads": Setting({"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}),
    "without AVX-512": Setting(instructions("avx2", "AVX2", "AVX2")),
    "without AVX": Setting(instructions("default", "SSE41", "SSE4_2")),
    "without oneDNN": Setting(onednn=False),
    "another seed": Setting(seed=1),
}
if torch.cuda.is_available():
    SETTINGS["GPU"] = Setting(device="cuda")


def run(name: str, setting: Setting, folder: Path, quick: bool) -> dict[str, np.ndarray]:
    """The numbers of one setting, from a process that has its variables."""
    out = folder / f"{name.replace(' ', '_')}.npz"
    command = [sys.executable, __file__, "--job", name, str(folder / DETECTOR), str(out)]
    command += ["--quick"] if quick else []
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | setting.variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the setting {name!r} failed: {done.stderr.strip()[-2000:]}")
    with np.load(out) as stored:
        return dict(stored)


def compare(found: dict[str, np.ndarray], reference: dict[str, np.ndarray], seed: int = 0) -> dict[str, float]:
    """Quantity -> largest difference: absolute for an AUROC, else relative to the largest value; 0 is equal to the bit.

    A fingerprint that differs is infinitely far. Levels and readings of one quantity are joined, the worst counts.
    """
    worst: dict[str, float] = {}
    for key, value in found.items():
        if seed and not key.startswith(TRAINED):
            continue
        other = reference[key]
        if value.dtype.kind in "US":
            difference = 0.0 if value == other else float("inf")
        elif key.startswith("one image at a time"):
            difference = float(value)
        else:
            scale = 1.0 if key.startswith("AUROC") else float(np.abs(other).max())
            difference = float(np.abs(value.astype(np.float64) - other).max()) / scale
        joined = key.split(", ")[0] if key.startswith(("teacher", "one image")) else key
        worst[joined] = max(worst.get(joined, 0.0), difference)
        if key.startswith("AUROC, epoch"):
            worst[f"mean {key}"] = abs(float(value.mean() - other.mean()))
        if key == "weights, step 1":
            went = [np.sign(side[key] - side["initial weights"]) for side in (found, reference)]
            worst["share of weights that went the other way, step 1"] = float(np.mean(went[0] * went[1] < 0))
    return worst


def all_settings(names: list[str], folder: Path, against: Path | None, quick: bool) -> dict[str, dict[str, float]]:
    """Setting -> quantity -> difference from the first setting, or from the numbers kept in `against`."""
    reference: dict[str, np.ndarray] = {}
    if against is not None:
        with np.load(against / NUMBERS) as stored:
            reference = dict(stored)
        (folder / DETECTOR).write_bytes((against / DETECTOR).read_bytes())
    results = {}
    for name in tqdm(names, desc="settings", disable=None):
        found = run(name, SETTINGS[name], folder, quick)
        if not reference:
            reference = found
            np.savez(folder / NUMBERS, **found)
        results[name] = compare(found, reference, SETTINGS[name].seed)
    return results


def machine() -> str:
    """The kind of processor and the versions; no name of a machine."""
    capability = torch.backends.cpu.get_cpu_capability().replace("AVX512", "AVX-512")
    return (
        f"{platform.machine().replace('_', '-')} processor with {capability}, {platform.system()}, "
        f"Python {platform.python_version()}, PyTorch {torch.__version__.split('+')[0]}, numpy {np.__version__}"
    )


def table(results: dict[str, dict[str, float]], reference: str = REFERENCE) -> str:
    """Markdown: a row per quantity, a column per setting, and what the test allows."""
    columns = [name for name in results if name != reference]
    heads = [f"largest difference from {reference or 'the numbers kept'}", *columns, "allowed"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for quantity in dict.fromkeys(key for row in results.values() for key in row):
        cells = [shown(quantity, results[name].get(quantity)) for name in columns]
        allowed = "equal" if quantity in EXACT else f"{TOLERANCES[quantity]:g}" if quantity in TOLERANCES else ""
        lines += [f"| {' | '.join([quantity, *cells, allowed])} |"]
    return "\n".join(lines)


def shown(quantity: str, difference: float | None) -> str:
    if difference is None:
        return ""
    if difference == 0:
        return "equal"
    if np.isinf(difference):
        return "**not equal**"
    return f"{difference:.4f}" if "AUROC" in quantity else f"{difference:.0e}"


def write_page(results: dict[str, dict[str, float]], page: Path = PAGE) -> None:
    """Put the measured table between the page's marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    text = f"{before}{BEGIN}\n{machine()}.\n\n{table(results)}\n{END}{after}"
    page.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="resnet18 at 64 px, one epoch")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="NAME")
    parser.add_argument("--page", action="store_true", help=f"rewrite the table of {PAGE.name}")
    parser.add_argument("--keep", type=Path, help="folder for the first setting's detector and numbers")
    parser.add_argument("--against", type=Path, help="such a folder, from another computer")
    parser.add_argument("--job", nargs=3, help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.job:
        name, detector, out = o.job
        np.savez(out, **numbers(Path(detector), SETTINGS[name], o.quick))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = o.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        results = all_settings(o.settings, folder, o.against, o.quick)
    print(machine(), table(results, "" if o.against else REFERENCE), sep="\n\n")
    if o.page:
        write_page(results)


if __name__ == "__main__":
    main()
