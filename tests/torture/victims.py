"""The work that is killed; it keeps a ledger of what it does, so that nothing is done twice unseen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import torch
from nbformat.v4 import new_code_cell, new_notebook

import d24fad_lite as d2
import d24fad_lite.evaluation.evaluate
import d24fad_lite.predicting.folder
import d24fad_lite.runs.grid
import d24fad_lite.runs.series
import d24fad_lite.training.fit
from d24fad_lite.sole_writer import FolderInUse

CONFIG = d2.D24FADConfig(teacher="test_resnet", weights="random", image_size=32)
SETTINGS: dict[str, Any] = dict(shots=2, epochs=8, batch_size=8, lr=1e-3, progress=False, device="cpu")
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "average": {"ema": 0.9},
    "validation": {"validation": 0.3, "patience": 6},
    "in-batch": {"episodes": "in-batch"},
    "disk cache": {"cache": "disk"},
    "cosine": {"lr_schedule": "cosine"},
}
NAMES = ("00_first", "01_second", "02_third")
CELL = """import json, os, time
time.sleep(float(os.environ.get("D24FAD_PAUSE", "0")))
ledger = open(os.environ["D24FAD_LEDGER"], "a"); ledger.write(f"{os.path.abspath(out)}\\n"); ledger.close()
os.makedirs(out, exist_ok=True)
json.dump({"seed": seed}, open(f"{out}/metrics.json", "w"))"""


def train(root: str, out: str, variant: str) -> None:
    """One training; its ledger holds each epoch whose state was stored."""
    torch.set_num_threads(1)
    model = d2.D24FAD(CONFIG)
    ledger = Path(f"{out}.epochs")

    def note(epoch: int, _: d2.D24FAD) -> None:
        with ledger.open("a") as file:
            file.write(f"{epoch}\n")

    d2.fit(model, d2.open_benchmark(root), out=out, on_epoch=note, **(SETTINGS | VARIANTS[variant]))
    model.save(Path(out) / "model.safetensors")


def predict(model: str, images: str, supports: str, out: str) -> None:
    """Score a folder."""
    torch.set_num_threads(1)
    d2.predict_folder(model, images, supports, out, batch_size=1, heatmap_size=32, device="cpu", progress=False)


def grid(checkout: str, out: str) -> None:
    """A grid of three cells."""
    from d24fad_lite.runs.grid import run_grid

    run_grid(Path(checkout) / "notebooks" / f"{NAMES[0]}.ipynb", [{"seed": seed} for seed in range(3)], out)


def series(checkout: str, out: str) -> None:
    """A series of three notebooks, which goes on where it was."""
    from d24fad_lite.runs.series import run_series

    if run_series(out=out, root=checkout, resume=True, jobs=1) != 0:
        raise SystemExit(1)


def reported(report: str, work: Callable[..., None], inputs: tuple[Any, ...]) -> None:
    """Do the work; write "worked" into a file, or why the folder is not to be had."""
    try:
        work(*inputs)
        said = "worked"
    except FolderInUse as error:
        said = str(error)
    Path(report).write_text(said)


def write_checkout(folder: Path) -> Path:
    """A checkout of three tiny notebooks that write a line to the file $D24FAD_LEDGER each time they run."""
    (folder / "notebooks").mkdir(parents=True)
    parameters = new_code_cell('seed: int = 0\nout: str = ""', metadata={"tags": ["parameters"]})
    for name in NAMES:
        nbformat.write(new_notebook(cells=[parameters, new_code_cell(CELL)]), folder / "notebooks" / f"{name}.ipynb")
    return folder
