"""Which numbers are the same on another processor, and how far the others move: measured, and written as a page.

    python benchmarks/numbers_differ.py                   # the settings below in turn, about 10 minutes on two cores
    python benchmarks/numbers_differ.py --quick           # a small image and two epochs: to see that all runs
    python benchmarks/numbers_differ.py --page            # the same, and rewrite the table of WHY_NUMBERS_DIFFER.md
    python benchmarks/numbers_differ.py --keep FOLDER     # keep this computer's numbers, to carry them to another ...
    python benchmarks/numbers_differ.py --against FOLDER  # ... and compare that one with them

Every setting is a process of its own. Environment variables make PyTorch and its libraries do without AVX-512, or
without AVX, as on an older processor. One trained detector is read under every setting; and each setting trains one
of its own from the same seed. A difference is the largest absolute one, divided by the largest absolute value.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from tqdm.auto import tqdm

import d24fad_lite as d2
from d24fad_lite.files import sha256_of
from d24fad_lite.lessons.profiles import Profile, resolve_data, resolve_profile, settled
from d24fad_lite.training.episodes import EpisodeSampler

PAGE = Path(__file__).resolve().parent / "WHY_NUMBERS_DIFFER.md"
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"
TASK, SHOTS, DRAWS = "APTOS", 4, 5
READINGS = ("released", "matched")
STEPS = (1, 3, 10)  # of the optimiser, after which weights are compared
EPOCHS = (1, 5, 30)  # of 10 steps each, after which scores are
DETECTOR, NUMBERS = "detector.safetensors", "numbers.npz"
# What a test holds in the quick form, and the page says: the largest difference that may be.
TOLERANCES = {
    "initial weights": 1e-5,
    "teacher features": 1e-4,
    "map, released": 1e-3,
    "map, matched": 1e-3,
    "scores, released": 1e-3,
    "scores, matched": 1e-3,
    "one image at a time": 1e-3,
}


@dataclass(frozen=True)
class Setting:
    """How a process computes.

    variables : environment variables
    onednn : whether convolutions may be oneDNN's
    device : where the detector is
    """

    variables: dict[str, str] = field(default_factory=dict)
    onednn: bool = True
    device: str = "cpu"


def instructions(aten: str, onednn: str, mkl: str) -> dict[str, str]:
    """Variables that hold PyTorch, oneDNN and MKL to an instruction set."""
    return {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn, "MKL_ENABLE_INSTRUCTIONS": mkl}


REFERENCE = "one thread"
SETTINGS = {
    REFERENCE: Setting(),
    "the same again": Setting(),
    "two threads": Setting({"OMP_NUM_THREADS": "2"}),
    "without AVX-512": Setting(instructions("avx2", "AVX2", "AVX2")),
    "without AVX": Setting(instructions("default", "SSE41", "SSE4_2")),
    "without oneDNN": Setting(onednn=False),
}
if torch.cuda.is_available():
    SETTINGS["GPU"] = Setting(device="cuda")


# ------------------------------------------------------------------------------------------ one setting, one process


def numbers(detector: Path, setting: Setting, quick: bool) -> dict[str, np.ndarray]:
    """All that is compared, in this process. Where `detector` is absent, the one trained here is stored there."""
    torch.backends.mkldnn.set_flags(setting.onednn)
    profile, config, epochs = sizes(quick)
    bench = d2.open_benchmark(resolve_data(profile, ""))
    task, rest = bench[TASK], bench.without(TASK)
    images = task.test.images(config.image_size)  # (N, 3, S, S)
    model = d2.D24FAD(config)
    found = exact(images, len(task.train), [len(t.train) for t in rest.values()], profile)
    found["initial weights"] = flat([*model.student.parameters(), *model.weighting.parameters()])
    trained = training(model, task, rest, profile, epochs, setting.device)
    if not detector.is_file():
        model.cpu().save(detector)
    fixed = d2.D24FAD.load(detector).to(setting.device)
    with torch.no_grad():
        levels, embedding = fixed.teacher(images[::5].to(setting.device))
    for index, level in enumerate([*levels, embedding], start=1):
        found[f"teacher features, {index}"] = level.cpu().numpy()
    for reading in READINGS:
        found |= reading_of(fixed.read_as(reading), task, images, reading)
    return found | trained


def sizes(quick: bool) -> tuple[Profile, d2.D24FADConfig, int]:
    """Profile, settings of the detector and epochs: the profile quick, or something small."""
    profile, _ = settled(resolve_profile("quick"))
    common = {"lambda_tsd": profile.lambda_tsd, "lambda_ssd": profile.lambda_ssd}
    if quick:
        return profile, d2.D24FADConfig(teacher="resnet18", weights="embedded", image_size=64, **common), 1
    return profile, d2.D24FADConfig(teacher=profile.teacher, weights=profile.weights, **common), max(EPOCHS)


def exact(images: torch.Tensor, count: int, counts: list[int], profile: Profile) -> dict[str, np.ndarray]:
    """Fingerprints of what must not depend on the processor: pixels, draws of supports, episodes."""
    sampler = EpisodeSampler(counts, profile.train_shots, profile.batch_size, 0, profile.episodes)
    episodes = [array for batch in sampler.epoch(1) for array in (batch.queries, batch.supports)]
    draws = d2.draw_supports(count, SHOTS, DRAWS, 0)
    return {
        "pixels": fingerprint([images.numpy()]),
        "support draws": fingerprint([draws]),
        "episodes": fingerprint(episodes),
    }


def fingerprint(arrays: list[np.ndarray]) -> np.ndarray:
    return np.array(sha256_of(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)))


def flat(tensors: Iterable[torch.Tensor]) -> np.ndarray:
    return torch.cat([tensor.detach().cpu().flatten() for tensor in tensors]).numpy()


def training(
    model: d2.D24FAD, task: d2.Task, rest: Any, profile: Profile, epochs: int, device: str
) -> dict[str, np.ndarray]:
    """Train, and take weights, scores and AUROC on the way; then the losses of all epochs."""
    found: dict[str, np.ndarray] = {}

    def after_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        step = found["steps"] = found.get("steps", 0) + 1
        if step == 1:
            found["gradient, step 1"] = flat(p.grad for p in parameters)
        if step in STEPS:
            found[f"weights, step {step}"] = flat(parameters)

    def after_epoch(epoch: int, model: d2.D24FAD) -> None:
        if epoch in EPOCHS:
            twin = copy.deepcopy(model).eval()
            report = d2.evaluate(twin.read_as("released"), task, SHOTS, DRAWS, pixel=False)
            found[f"scores, epoch {epoch}"], found[f"AUROC, epoch {epoch}"] = report.scores, report.aurocs

    keys = ("lr", "lr_schedule", "batch_size", "episodes")
    settings = {key: getattr(profile, key) for key in keys}
    hook = register_optimizer_step_post_hook(after_step)
    history = d2.fit(
        model, rest, profile.train_shots, epochs, device=device, progress=False, on_epoch=after_epoch, **settings
    )
    hook.remove()
    losses = history.to_frame()["loss"].to_numpy()
    del found["steps"]
    return found | {f"loss, epoch {epoch}": losses[epoch - 1] for epoch in EPOCHS if epoch <= epochs}


def reading_of(model: d2.D24FAD, task: d2.Task, images: torch.Tensor, reading: str) -> dict[str, np.ndarray]:
    """Maps, scores and AUROC of one reading; and how far scores move when each image is scored alone."""
    device = next(model.student.parameters()).device
    bank = model.encode_supports(task.train.images(model.config.image_size, range(SHOTS)).to(device))
    some = images[::5].to(device)
    together = model.predict(some, bank)
    alone = torch.cat([model.predict(image[None], bank).score for image in some])
    report = d2.evaluate(model, task, SHOTS, DRAWS, pixel=False)
    return {
        f"map, {reading}": together.anomaly_map.cpu().numpy(),
        f"scores, {reading}": report.scores,
        f"AUROC, {reading}": report.aurocs,
        f"one image at a time, {reading}": np.array(
            float(((alone - together.score).abs() / together.score.abs()).max())
        ),
    }


# ------------------------------------------------------------------------------------------ all settings, compared


def run(name: str, setting: Setting, folder: Path, quick: bool) -> dict[str, np.ndarray]:
    """The numbers of one setting, from a process that has its variables."""
    out = folder / f"{name.replace(' ', '_')}.npz"
    command = [
        sys.executable,
        __file__,
        "--job",
        name,
        str(folder / DETECTOR),
        str(out),
        *(["--quick"] if quick else []),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | setting.variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the setting {name!r} failed: {done.stderr.strip()[-2000:]}")
    with np.load(out) as stored:
        return dict(stored)


def compare(found: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict[str, float]:
    """Quantity -> largest difference: absolute for an AUROC, else relative to the largest value; 0 is equal to the bit.

    A fingerprint that differs is infinitely far. Levels and readings of one quantity are joined, the worst counts.
    """
    worst: dict[str, float] = {}
    for key, value in found.items():
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
        if key == "weights, step 1":
            went = [np.sign(numbers[key] - numbers["initial weights"]) for numbers in (found, reference)]
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
        results[name] = compare(found, reference)
    return results


def machine() -> str:
    """The kind of processor and the versions; no name of a machine."""
    capability = torch.backends.cpu.get_cpu_capability().replace("AVX512", "AVX-512")
    return (
        f"{platform.machine().replace('_', '-')} processor with {capability}, {platform.system()}, "
        f"Python {platform.python_version()}, PyTorch {torch.__version__.split('+')[0]}, numpy {np.__version__}"
    )


def table(results: dict[str, dict[str, float]], reference: str = REFERENCE) -> str:
    """Markdown: a row per quantity, a column per setting."""
    columns = [name for name in results if name != reference]
    quantities = list(dict.fromkeys(key for row in results.values() for key in row))
    lines = [
        "| largest difference from " + reference + " | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    rows = ([quantity, *(shown(quantity, results[name][quantity]) for name in columns)] for quantity in quantities)
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def shown(quantity: str, difference: float) -> str:
    if difference == 0:
        return "equal"
    if np.isinf(difference):
        return "**not equal**"
    return f"{difference:.4f}" if quantity.startswith("AUROC") else f"{difference:.0e}"


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
