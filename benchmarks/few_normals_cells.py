"""What the benches of trained candidates share: arguments, scores kept so that a stopped run goes on, their table."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from few_normals import DRAWS, PIXEL_DRAWS, SHOTS, Drawn, benchmarks, pixel_auroc
from few_normals_candidates import BARS, CANDIDATES, FROZEN
from few_normals_view import View
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.evaluation.uncertainty.across import mean_of_tasks, resampled
from d24fad_lite.files import write_bytes

Found = list[dict[str, list[Drawn]]]  # for each task: the name of a method and a report for each training seed


def arguments(text: str | None) -> argparse.ArgumentParser:
    """A parser of what such a bench may be told."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--task", nargs="+")
    parser.add_argument("--worlds", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--device", default="auto")
    return parser


def tables(
    options: argparse.Namespace,
    worlds: Sequence[tuple[str, int]],
    teacher: tuple[str, str],
    size: object,
    of_source: Callable[[Mapping[str, d2.Task]], Found],
) -> list[str]:
    """Markdown, also printed: a table for each world, or for the images of the options' own folder."""
    name, weights = teacher
    parts = []
    for source, bench in benchmarks(options.data, options.worlds, worlds):
        tasks = {task: bench[task] for task in options.task or list(bench)}
        found = kept(options.keep, f"{source} {name} {size}", partial(of_source, tasks))
        parts.append(f"### {source}; {name} ({weights})\n\n{compared(found, FROZEN)}\n")
        print(parts[-1], flush=True)
    return parts


def reported(
    task: d2.Task, draws: np.ndarray, name: str, scores: Sequence[Tensor], seed: int = 0, pixel: float | None = None
) -> Drawn:
    """The scores [B] of a task's test images for each draw of supports, as a paired comparison reads them."""
    values = torch.stack(list(scores)).double().cpu().numpy()
    hashes = [task.train.hashes(row) for row in draws]
    facts = (task.test.labels, task.test.names, task.test.groups)
    return Drawn(task.name, name, *facts, values, hashes, pixel, 0.0, seed=seed)


def untrained(task: d2.Task, views: Sequence[View], draws: np.ndarray, seeds: Sequence[int]) -> dict[str, list[Drawn]]:
    """The bar and the frozen reading: the same report for each seed, since nothing is drawn in it but the supports."""
    grid, found = views[0].task.grid.shape[2:], {}
    for name in (*BARS, FROZEN):
        results = [CANDIDATES[name](view) for view in views]
        low = [patches.cpu() for _, patches in results[:PIXEL_DRAWS] if patches is not None]
        one = reported(task, draws, name, [score for score, _ in results], pixel=pixel_auroc(task, low, grid))
        found[name] = [replace(one, seed=seed) for seed in seeds]
    return found


def kept(folder: Path | None, name: str, compute: Callable[[], Found]) -> Found:
    """What `compute` gives; with a folder, what it gave last time under this name."""
    if folder is None:
        return compute()
    path = folder / f"{''.join(c if c.isalnum() else '_' for c in name)}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _packed(compute()))
    return _unpacked(path)


def _packed(found: Found) -> bytes:
    reports = [report for of_task in found for reports in of_task.values() for report in reports]
    facts = [{**asdict(report), "scores": None, "labels": report.labels.tolist()} for report in reports]
    arrays = {f"scores{i}": report.scores for i, report in enumerate(reports)}
    file = io.BytesIO()
    np.savez_compressed(file, facts=np.array(json.dumps(facts)), **arrays)
    return file.getvalue()


def _unpacked(path: Path) -> Found:
    by_task: dict[str, dict[str, list[Drawn]]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for i, facts in enumerate(json.loads(str(stored["facts"]))):
            report = Drawn(**{**facts, "labels": np.array(facts["labels"]), "scores": stored[f"scores{i}"]})
            by_task.setdefault(report.task, {}).setdefault(report.method, []).append(report)
    return list(by_task.values())


def compared(found: Found, reference: str) -> str:
    """Markdown: a row for each method, the best mean first, with its paired difference to the reference."""
    tasks = [next(iter(of_task.values()))[0] for of_task in found]
    samples = [resampled(of_task) for of_task in found]
    mean = mean_of_tasks(samples)
    against = mean.names.index(reference)
    size = ", ".join(f"{one.task} {len(one.labels)}" for one in tasks)
    head = ["method", "seeds", *(one.task for one in tasks), "mean", f"over {reference}", "worst task", "pixel"]
    lines = [
        f"Image AUROC, per image, K = {SHOTS}, {DRAWS} draws; test images: {size}.",
        "",
        f"| {' | '.join(head)} |",
        "| --- " * len(head) + "|",
    ]
    for column in map(int, np.argsort(-mean.means, kind="stable")):
        name, over = mean.names[column], mean.against(column, against)
        worst = min(task.means[column] - task.means[against] for task in samples)
        cells = [f"{task.means[column]:.3f}" for task in samples]
        difference = f"{over['difference']:+.3f} [{over['low']:+.3f}, {over['high']:+.3f}]"
        cells = [name, _seeds(found, name), *cells, f"{mean.means[column]:.3f}", difference, f"{worst:+.3f}"]
        lines.append(f"| {' | '.join([*cells, _pixel([of_task[name] for of_task in found])])} |")
    return "\n".join(lines)


def _seeds(found: Found, name: str) -> str:
    """How many training seeds differ; "-" where nothing is trained."""
    reports = found[0][name]
    same = all(np.array_equal(reports[0].scores, other.scores) for other in reports[1:])
    return "-" if same else str(len(reports))


def _pixel(found: Sequence[Sequence[Drawn]]) -> str:
    values = [report.pixel for reports in found for report in reports]
    return "" if None in values else f"{np.mean([value for value in values if value is not None]):.3f}"
