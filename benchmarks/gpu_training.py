"""Sections of `gpu.py` that train: single steps, one training of full length, and the reading of files before it."""

from __future__ import annotations

import argparse
import copy
import itertools
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpu_record import Section, arithmetic, measure, say
from gpu_speed import PRECISIONS
from measuring import build, count_flops, loading, write_images
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.samples.world import draw_sample, samples_root
from d24fad_lite.model.weights.local import best_local_teacher
from d24fad_lite.training.cache import TeacherCache
from d24fad_lite.training.episodes import EpisodeBatch, EpisodeSampler
from d24fad_lite.training.fit import new_accelerator
from d24fad_lite.training.learner import Learner
from d24fad_lite.training.settings import FitSettings

IMAGES = 64  # among which the episodes of the single steps are drawn
LEFT_OUT = "RSNA"
PAIR_COST = 14  # drawing a test pair costs about so many drawings of one image
KEPT_FOR_READING = 0.2  # share of the section's time for the two evaluations and what was estimated too low
DRAW = (
    "import sys; from d24fad_lite.data.samples.world import write_samples as w;"
    "out, task, seed, size, train, test = sys.argv[1:];"
    "w(out, seed=int(seed), size=int(size), train=int(train), test=int(test), tasks=[task])"
)  # in processes of their own


def training_steps(o: argparse.Namespace, section: Section) -> None:
    """The kit's own step, batch by batch: gathering cached features, moving them, losses, gradient, optimiser."""
    with tempfile.TemporaryDirectory() as folder:
        images = ImageSet("Steps/train", Path(folder), write_images(Path(folder), IMAGES, o.image_size))
        for name in o.teachers:
            for precision in PRECISIONS:
                what = f"{name}, {precision}"
                if section.left() < 0:
                    section.skip(what)
                    continue
                try:
                    _steps(o, section, name, precision, images)
                except Exception as error:
                    section.fail(what, error)


def _steps(o: argparse.Namespace, section: Section, name: str, precision: str, images: ImageSet) -> None:
    """All numbers of supports and both kinds of episodes in one precision, in turn."""
    settings = FitSettings(precision="bf16" if precision == "bf16" else "fp32")
    forced = "cpu" if o.device.type == "cpu" else None
    accelerator = new_accelerator(settings.precision, forced)
    model = build(name, o.image_size).to(accelerator.device)
    cache = TeacherCache(model.teacher, [images], "memory")
    on_card = copy.copy(cache)
    on_card._maps = [stored.to(accelerator.device) for stored in cache._maps]  # to see what the transfers cost
    learner = Learner(model, cache, settings, accelerator)
    model.train()
    calls, gflop = {}, {}
    for shots in o.train_shots:
        for episodes in ("independent", "in-batch"):
            sampler = EpisodeSampler([IMAGES], shots, o.train_batch, 0, episodes)
            batch = max(sampler.epoch(0), key=len)
            for kept, where in (("CPU", cache), ("device", on_card)):
                key = f"{shots} {episodes} {kept} {len(batch)}"
                calls[key] = partial(_one_step, learner, where, batch, precision, o.device)
        if precision == "fp32":
            flops, _ = count_flops({k: calls[k] for k in calls if k.startswith(f"{shots} ") and " CPU " in k})
            gflop |= {k: v / 1e9 for k, v in flops.items()}
    for key, row in measure(section, calls, o.device, o.rounds).items():
        shots, episodes, kept, queries = key.split()
        counted = {"gflop": gflop[key]} if key in gflop else {}
        section.add(
            teacher=name,
            precision=precision,
            shots=int(shots),
            episodes=episodes,
            features=kept,
            batch=int(queries),
            queries_per_s=1e3 * int(queries) / row["ms"],
            **row,
            **counted,
        )
    learner.unwrap()


def _one_step(learner: Learner, cache: TeacherCache, batch: EpisodeBatch, precision: str, device: torch.device) -> None:
    learner.cache = cache
    with arithmetic(precision, device, autocast=False):
        learner.step(batch)


def full_training(o: argparse.Namespace, section: Section) -> None:
    """A training of the method's length, on as many drawn images as the time allows, read on the task left out."""
    teacher, weights, _ = best_local_teacher() if not o.quick else ("resnet18", "random", None)
    config = d2.D24FADConfig(teacher=teacher, weights=weights, image_size=o.image_size)
    forced = "cpu" if o.device.type == "cpu" else None
    shipped = d2.open_benchmark(samples_root())
    probe = d2.fit(
        d2.D24FAD(config), shipped.without(LEFT_OUT), shots=4, epochs=3, device=forced, cache="memory", progress=False
    )
    count = sum(len(task.train) for task in shipped.without(LEFT_OUT).values())
    per_image = min(row["seconds"] for row in probe.rows[1:]) / count
    started = time.perf_counter()
    for index in range(3):
        draw_sample(LEFT_OUT, index, size=o.image_size)
    drawing = (time.perf_counter() - started) / 3
    train, test = _sizes(o, section.left(), per_image, drawing)
    section.put(teacher=teacher, weights=weights, probe_ms_per_query=1e3 * per_image, train=train, test=test)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "world"
        started = time.perf_counter()
        _draw(root, o.image_size, train, test, section.left())
        section.put(drawing_seconds=time.perf_counter() - started)
        _train_and_read(o, section, d2.open_benchmark(root), config, forced)


def _sizes(o: argparse.Namespace, left: float, per_image: float, drawing: float) -> tuple[int, int]:
    """Normal training images of each of the four tasks, and test pairs of the task left out, for the time left."""
    if o.quick:
        return 6, 4
    cores = max(1, (os.cpu_count() or 1) - 1)
    test = 100 if left > 90 else 40
    busy = 1.5 * drawing / cores  # with the start of the processes and unequal tasks
    seconds = (1 - KEPT_FOR_READING) * left - busy * PAIR_COST * test - 6
    return int(min(1500, max(40, seconds / (4 * (o.epochs * per_image + busy))))), test


def _draw(root: Path, size: int, train: int, test: int, left: float) -> None:
    """The tasks of the sample world in parts, each in a process of its own and from a seed of its own, then joined."""
    parts = []
    for task in ("HIS", "LAG", "APTOS", "BrainTumor", LEFT_OUT):
        pieces = 8 if task == LEFT_OUT else 2 if train < 300 else 4
        here, pairs = (max(train // 4, 16), test) if task == LEFT_OUT else (train, 1)
        for piece in range(pieces):
            out = root.parent / f"{task}-{piece}"
            numbers = [1000 + piece, size, math.ceil(here / pieces), math.ceil(pairs / pieces)]
            command = [sys.executable, "-c", DRAW, str(out), task, *map(str, numbers)]
            parts.append((task, piece, out, subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})))
    until = time.perf_counter() + left
    try:
        for task, piece, out, process in parts:
            if process.wait(timeout=max(1, until - time.perf_counter())):
                raise RuntimeError(f"drawing {task} ended with {process.returncode}")
            for file in sorted((out / task).rglob("*.png")):
                target = root / file.relative_to(out).with_name(f"{piece}-{file.name}")
                target.parent.mkdir(parents=True, exist_ok=True)
                file.rename(target)
    finally:
        for *_, process in parts:
            if process.poll() is None:
                process.kill()


def _train_and_read(
    o: argparse.Namespace, section: Section, bench: d2.Benchmark, config: d2.D24FADConfig, forced: str | None
) -> None:
    """Read the untrained detector, train it, read it again."""
    model, ends = d2.D24FAD(config).to(o.device).eval(), []
    started = time.perf_counter()
    _read(o, section, model, bench, "untrained")
    reading, begun = time.perf_counter() - started, time.perf_counter()

    def note(epoch: int, _: d2.D24FAD) -> None:
        ends.append(time.perf_counter())
        if section.left() < reading and epoch < o.epochs:
            raise TimeoutError(f"stopped after epoch {epoch} of {o.epochs}: the section's time is up")

    tasks = bench.without(LEFT_OUT)
    try:
        history = d2.fit(
            model, tasks, shots=4, epochs=o.epochs, device=forced, cache="auto", progress=False, on_epoch=note
        )
        losses = [{name: row[name] for name in ("epoch", "loss", "loss_tsd", "loss_ssd")} for row in history.rows]
        section.put(losses=losses[:1] + [r for r in losses[1:-1] if r["epoch"] % 10 == 0] + losses[-1:])
    except TimeoutError as error:
        section.fail("all epochs", error)
    steps = [after - before for before, after in itertools.pairwise(ends)]
    section.put(
        epochs=len(ends),
        images=sum(len(task.train) for task in tasks.values()),
        tasks=list(tasks),
        seconds_first_epoch=ends[0] - begun,  # with the teacher's features
        seconds_per_epoch=statistics.median(steps) if steps else None,
        seconds_fit=ends[-1] - begun,
    )
    _read(o, section, model.eval(), bench, f"after {len(ends)} epochs")


def _read(o: argparse.Namespace, section: Section, model: d2.D24FAD, bench: d2.Benchmark, state: str) -> None:
    task = bench[LEFT_OUT]
    for reading in ("released", "matched"):
        started = time.perf_counter()
        report = d2.evaluate(model, task, 4, 2 if o.quick else 20, reading=reading, pixel=False)
        seconds = time.perf_counter() - started
        section.add(
            state=state,
            reading=reading,
            auroc=report.auroc,
            ci=list(report.ci),
            shots=report.shots,
            draws=report.draws,
            normal=report.n_normal,
            anomalous=report.n_anomalous,
            protocol=report.protocol,
            evaluation_seconds=seconds,
        )


def data_loading(o: argparse.Namespace, section: Section) -> None:
    """Images per second from files to tensors on this processor, and from its memory to the card's."""
    with tempfile.TemporaryDirectory() as folder:
        noise = loading(Path(folder), 16 if o.quick else 256, o.image_size, 1 if o.quick else 3)
    for way, rate in noise["images_per_s"].items():
        section.add(what=f"256 px PNG, {way}", images=noise["images"], images_per_s=rate)
    sets = [task.test for task in d2.open_benchmark(samples_root()).values()]

    def first() -> Tensor:
        for images in sets:
            images.decoded.clear()
        return kept()

    def kept() -> Tensor:
        return torch.cat([images.images(o.image_size) for images in sets])

    batch = kept()
    pinned = batch.pin_memory() if o.device.type == "cuda" else batch
    calls: dict[str, Any] = {
        "sample images, first decode": first,
        "sample images, kept pixels": kept,
        "to the device": lambda: batch.to(o.device),
        "to the device, pinned": lambda: pinned.to(o.device, non_blocking=True),
    }
    for what, row in measure(section, calls, o.device, o.rounds).items():
        section.add(what=what, images=len(batch), images_per_s=1e3 * len(batch) / row["ms"], **row)
    say(f"threads that decode: {sets[0].decoded.workers}")
    section.put(workers=sets[0].decoded.workers)
