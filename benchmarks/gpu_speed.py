"""Sections of `gpu.py` that run trained or untrained networks forward: images per second, peaks, agreement."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from gpu_record import Section, arithmetic, measure
from measuring import build, count_flops, random_images
from torch import Tensor, nn

import d24fad_lite as d2
from d24fad_lite.data.samples.world import samples_root
from d24fad_lite.model.anomaly_map import gaussian_blur
from d24fad_lite.model.features import TeacherFeatures
from d24fad_lite.model.speed.folding import no_folding
from d24fad_lite.model.teacher import Teacher

PRECISIONS = ("fp32", "tf32", "bf16")
LAYOUTS = ("contiguous", "channels_last", "kit")  # the kit: channels_last, batch norms folded


class ContiguousTeacher(Teacher):
    """A teacher that leaves images in PyTorch's default layout, and its network as it is."""

    @torch.no_grad()
    def forward(self, images: Tensor) -> TeacherFeatures:
        *levels, embedding = self.backbone((images - self.mean) / self.std if self.normalize else images)
        return TeacherFeatures(levels, embedding)


def contiguous(model: d2.D24FAD) -> d2.D24FAD:
    """A copy whose weights and features are laid out as PyTorch does by default."""
    twin = copy.deepcopy(model)
    twin.teacher.__class__ = ContiguousTeacher
    for tensor in twin.parameters():
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    return twin


def images_per_second(o: argparse.Namespace, section: Section) -> None:
    """Teacher, student and whole evaluation, by batch size, precision and layout; the kit's default path among them."""
    models = {name: build(name, o.image_size).eval() for name in o.teachers}
    for batch in o.batches:
        for name, model in models.items():
            for part in ("teacher", "student", *(f"evaluation K={k}" for k in o.eval_shots)):
                what = f"{name}, {part}, batch {batch}"
                if section.left() < 0:
                    section.skip(what)
                    continue
                try:
                    _group(o, section, model.to(o.device), name, part, batch)
                except Exception as error:
                    section.fail(what, error)


def _group(o: argparse.Namespace, section: Section, model: d2.D24FAD, name: str, part: str, batch: int) -> None:
    """One part of one detector at one batch size: every precision and layout in turn."""
    twins = {"contiguous": contiguous(model), "channels_last": model, "kit": model}
    calls, device = {}, o.device
    for layout in LAYOUTS:
        for precision in PRECISIONS:
            run = _call(twins[layout], part, batch, precision, device)
            calls[f"{layout} {precision}"] = partial(_within, run, layout, precision, device, part)
    if part.startswith("evaluation"):  # as `evaluate` calls it: images from the processor, PyTorch's own settings
        run = _call(model, part, batch, "fp32", device, from_cpu=True)
        calls["default shipped"] = partial(_within, run, "kit", "shipped", device, part)
    for key, row in measure(section, calls, device, o.rounds).items():
        layout, precision = key.split()
        section.add(
            teacher=name,
            part=part,
            batch=batch,
            layout=layout,
            precision=precision,
            images_per_s=1e3 * batch / row["ms"],
            **row,
        )


def _within(run: Callable[[], Any], layout: str, precision: str, device: torch.device, part: str) -> None:
    """One call in a precision, with folding or without it."""
    plain = nullcontext() if layout == "kit" else no_folding()
    with torch.no_grad(), plain, arithmetic(precision, device, autocast=not part.startswith("evaluation")):
        run()


def _call(
    model: d2.D24FAD, part: str, batch: int, precision: str, device: torch.device, from_cpu: bool = False
) -> Callable[[], Any]:
    """What one call runs: teacher, student, or `predict` against a bank of K supports."""
    size = model.config.image_size
    images = random_images(batch, 3, size, size)
    images = images if from_cpu else images.to(device)
    if part == "teacher":
        return lambda: model.teacher(images)
    if part == "student":
        embedding = model.teacher(images[:1]).embedding.repeat(batch, 1, 1, 1)
        if not isinstance(model.teacher, ContiguousTeacher):
            embedding = embedding.contiguous(memory_format=torch.channels_last)
        return lambda: model.student(embedding)
    kit = "bf16" if precision == "bf16" else "fp32"
    bank = model.encode_supports(random_images(int(part.split("=")[1]), 3, size, size), kit)
    if from_cpu:  # scores come back, as a scorer takes them
        return lambda: model.predict(images, bank, kit).score.cpu()
    return lambda: model.predict(images, bank, kit)


def on_the_processor(o: argparse.Namespace, section: Section) -> None:
    """The same parts on this machine's processor, in few rounds."""
    cpu, batch = torch.device("cpu"), min(o.batches)
    for name in o.teachers:
        model = build(name, o.image_size).eval()
        parts = ("teacher", "student", f"evaluation K={max(o.eval_shots)}")
        if section.left() < 0:
            section.skip(name)
            continue
        calls = {p: partial(_within, _call(model, p, batch, "fp32", cpu), "kit", "fp32", cpu, p) for p in parts}
        for part, row in measure(section, calls, cpu, min(3, o.rounds)).items():
            section.add(teacher=name, part=part, batch=batch, images_per_s=1e3 * batch / row["ms"], **row)


def peaks(o: argparse.Namespace, section: Section) -> None:
    """What the card reaches here: a matrix product and a convolution in each precision, and a copy in its memory."""
    side, width, device = o.side, 256, o.device
    for precision in PRECISIONS:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        grid = max(side // 256, 4)
        layer = nn.Conv2d(width, width, 3, padding=1, bias=False).to(device, dtype)
        layer = layer.to(memory_format=torch.channels_last)
        x = torch.randn(max(side // 32, 2), width, grid, grid, device=device, dtype=dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        work = {"matrix product": lambda a=a, b=b: a @ b, "convolution 3x3": lambda layer=layer, x=x: layer(x)}
        flops, _ = count_flops(work)
        calls = {n: partial(_within, run, "kit", precision, device, "evaluation") for n, run in work.items()}
        for name, row in measure(section, calls, device, o.rounds).items():
            section.add(what=name, precision=precision, tflop_per_s=flops[name] / row["ms"] / 1e9, **row)
    source = torch.empty(side * side * 16, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    row = measure(section, {"copy": lambda: target.copy_(source)}, device, o.rounds)["copy"]
    section.add(what="copy", precision="", gb_per_s=2 * source.numel() / row["ms"] / 1e6, **row)


def flops_per_image(o: argparse.Namespace, section: Section) -> None:
    """Floating-point operations of teacher and student for one image, counted by PyTorch."""
    gflop = {}
    for name in o.teachers:
        model = build(name, o.image_size).to(o.device).eval()
        images = random_images(2, 3, o.image_size, o.image_size).to(o.device)
        with torch.no_grad(), no_folding():
            embedding = model.teacher(images).embedding
            runs = {
                "teacher": lambda m=model, x=images: m.teacher(x),
                "student": lambda m=model, e=embedding: m.student(e),
            }
            gflop[name] = {part: n / 2 / 1e9 for part, n in count_flops(runs)[0].items()}
    section.put(gflop_per_image=gflop)


def agreement(o: argparse.Namespace, section: Section) -> None:
    """Scores and maps of sample images on processor and card: largest difference, relative to the processor's."""
    per_task = -(-o.compared // 5)
    for name in o.teachers:
        cpu_model = build(name, o.image_size).eval()
        card_model = copy.deepcopy(cpu_model).to(o.device)
        tasks = list(d2.open_benchmark(samples_root()).values())
        images = torch.cat([task.test.images(o.image_size, range(per_task)) for task in tasks])[: o.compared]
        supports = tasks[0].train.images(o.image_size, range(4))
        for reading in ("released", "matched"):
            if section.left() < 0:
                section.skip(f"{name}, {reading}")
                continue
            on_cpu, on_card = cpu_model.read_as(reading), card_model.read_as(reading)
            expected = on_cpu.predict(images, on_cpu.encode_supports(supports))
            raw = on_cpu.raw_map(images, on_cpu.encode_supports(supports))
            for precision in ("fp32", "shipped", "bf16"):
                kit = "bf16" if precision == "bf16" else "fp32"
                with arithmetic(precision, o.device, autocast=False):
                    found = on_card.predict(images, on_card.encode_supports(supports, kit), kit)
                    blurred = gaussian_blur(raw.to(o.device), on_cpu.config.blur_sigma).cpu()
                section.add(
                    teacher=name,
                    reading=reading,
                    precision=precision,
                    images=len(images),
                    score=_difference(found.score.cpu(), expected.score),
                    map=_difference(found.anomaly_map.cpu(), expected.anomaly_map),
                    blur_alone=_difference(blurred, expected.anomaly_map),
                )


def _difference(found: Tensor, expected: Tensor) -> float:
    """Largest |found - expected| / max(|expected|, the median of |expected|): a value near 0 must not decide."""
    size = expected.abs().clamp_min(float(expected.abs().median()) + 1e-12)
    return float(((found - expected).abs() / size).max())
