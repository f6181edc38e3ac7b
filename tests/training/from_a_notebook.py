"""A training as a notebook starts it on several processes; run as a program, since the launcher forks this process.

`notebook_launcher` starts one process on a computer without GPUs, whatever it is asked for. `debug_launcher` is the
same launcher for processors: it forks as many processes and joins them with gloo.

    python from_a_notebook.py ROOT OUT
"""

from __future__ import annotations

import sys

from accelerate import PartialState, debug_launcher

import d24fad_lite as d2


def train(root: str, out: str) -> None:
    """What a cell would define: one training, on whatever processes there are."""
    tasks = d2.open_benchmark(root).without("Stripes")
    model = d2.D24FAD(d2.D24FADConfig(teacher="test_resnet.r160_in1k", weights="random", image_size=32))
    options = {"shots": 2, "batch_size": 5, "epochs": 3, "lr": 1e-5, "validation": 0.2}
    history = d2.fit(model, tasks, **options, out=out, device="cpu", progress=False)
    assert len(history) == 3
    assert PartialState().num_processes == 2
    if PartialState().is_main_process:
        model.save(f"{out}/model.safetensors")
        history.to_frame().to_csv(f"{out}/history.csv", index=False)


if __name__ == "__main__":
    debug_launcher(train, args=(sys.argv[1], sys.argv[2]), num_processes=2)
