"""Do episodes within the batch cost accuracy? The same runs with either kind of episode, judged on unseen tasks.

    python benchmarks/episode_modes.py                       # the synthetic samples, embedded teacher
    python benchmarks/episode_modes.py ROOT --tasks RSNA LAG --epochs 5 --seeds 0 1 2

`independent` gives each query K supports of its own (the method); `in-batch` draws them among its task mates in the
batch, which costs B in place of (K+1)·B student passes. Each task is held out in turn; per image, same draws. The mean
difference has a t interval over the cells (task, seed), which is what a user varies.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy import stats
from tqdm.auto import tqdm

import d24fad_lite as d2
from d24fad_lite.evaluation.uncertainty.paired import compare_paired
from d24fad_lite.lessons.profiles import resolve_data, resolve_profile
from d24fad_lite.training.settings import EPISODES


def train(bench: d2.Benchmark, held_out: str, mode: str, seed: int, options: argparse.Namespace) -> d2.D24FAD:
    """A detector trained on the other tasks with one kind of episode."""
    model = d2.D24FAD(d2.D24FADConfig(teacher="resnet18", weights=options.weights, seed=seed))
    d2.fit(
        model,
        bench.without(held_out),
        shots=options.shots,
        epochs=options.epochs,
        seed=seed,
        episodes=mode,
        device="cpu",
        progress=False,
    )
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=Path, help="folder of tasks; default the samples")
    parser.add_argument("--tasks", nargs="+", default=["RSNA", "BrainTumor", "LAG"], help="tasks to hold out in turn")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--weights", default="embedded")
    options = parser.parse_args()
    bench = d2.open_benchmark(options.root or resolve_data(resolve_profile("quick")))
    cells = [(task, seed) for task in options.tasks for seed in options.seeds]
    print(
        f"| held out | seed | {' | '.join(EPISODES)} | in-batch less independent | seconds |\n|---|---|---|---|---|---|"
    )
    differences = []
    for task, seed in tqdm(cells):
        reports, seconds = {}, {}
        for mode in EPISODES:
            began = time.perf_counter()
            model = train(bench, task, mode, seed, options)
            seconds[mode] = time.perf_counter() - began
            reports[mode] = d2.evaluate(model, bench[task], options.shots, options.draws, 0, pixel=False)
        pair = compare_paired(reports["in-batch"], reports["independent"])
        differences.append(pair.difference)
        texts = [f"{r.auroc:.3f} [{r.ci[0]:.2f}, {r.ci[1]:.2f}]" for r in reports.values()]
        texts.append(f"{pair.difference:+.3f} [{pair.low:+.2f}, {pair.high:+.2f}]")
        texts.append(" / ".join(f"{value:.0f}" for value in seconds.values()))
        tqdm.write(f"| {task} | {seed} | {' | '.join(texts)} |")
    mean, error = np.mean(differences), stats.sem(differences)
    low, high = stats.t.interval(0.95, len(differences) - 1, mean, error)
    print(
        f"mean difference over {len(differences)} cells: {mean:+.3f} [{low:+.3f}, {high:+.3f}]; K = {options.shots}, "
        f"{options.draws} draws, {options.epochs} epochs, per image"
    )


if __name__ == "__main__":
    main()
