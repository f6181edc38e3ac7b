"""All numbers of this process that `numbers_differ.py` compares: one detector read, and one trained anew."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

import d24fad_lite as d2
from d24fad_lite.files import sha256_of
from d24fad_lite.lessons.profiles import Profile, resolve_data, resolve_profile, settled
from d24fad_lite.training.episodes import EpisodeSampler

TASK, SHOTS, DRAWS = "APTOS", 4, 5
READINGS = ("released", "matched")
STEPS = (1, 10)  # of the optimiser, after which weights are compared
EPOCHS = (1, 5, 30)  # of 10 steps each, after which scores are


@dataclass(frozen=True)
class Setting:
    """How a process computes.

    variables : environment variables
    onednn : whether convolutions may be oneDNN's
    device : where the detector is
    seed : of the initial weights and the episodes; another one is no other computer, and shows what that changes
    """

    variables: dict[str, str] = field(default_factory=dict)
    onednn: bool = True
    device: str = "cpu"
    seed: int = 0


def numbers(detector: Path, setting: Setting, quick: bool) -> dict[str, np.ndarray]:
    """All that is compared, in this process. Where `detector` is absent, the one trained here is stored there."""
    torch.backends.mkldnn.set_flags(setting.onednn)
    profile, config, epochs = sizes(quick)
    config = config.replace(seed=setting.seed)
    bench = d2.open_benchmark(resolve_data(profile, ""))
    task, rest = bench[TASK], bench.without(TASK)
    images = task.test.images(config.image_size)  # (N, 3, S, S)
    model = d2.D24FAD(config)
    found = exact(images, len(task.train), [len(t.train) for t in rest.values()], profile)
    found["initial weights"] = flat([*model.student.parameters(), *model.weighting.parameters()])
    found["gradient"] = gradient(model, rest)
    trained = training(model, task, rest, profile, epochs, setting)
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


def gradient(model: d2.D24FAD, rest: d2.Benchmark) -> np.ndarray:
    """The gradient of 16 episodes, four of each task, before any training."""
    size, each = model.config.image_size, 4
    queries = torch.cat([task.train.images(size, range(each)) for task in rest.values()])  # (B, 3, S, S)
    own = [task.train.images(size, range(each, each + SHOTS)) for task in rest.values()]  # T of (K, 3, S, S)
    supports = torch.cat([images[:, None].expand(-1, each, -1, -1, -1) for images in own], dim=1)  # (K, B, 3, S, S)
    twin = copy.deepcopy(model).train()
    twin(queries, supports).loss.backward()
    return flat(p.grad for p in [*twin.student.parameters(), *twin.weighting.parameters()])


def training(
    model: d2.D24FAD, task: d2.Task, rest: Any, profile: Profile, epochs: int, setting: Setting
) -> dict[str, np.ndarray]:
    """Train, and take weights, scores and AUROC on the way; then the losses of all epochs."""
    found: dict[str, np.ndarray] = {}

    def after_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        step = found["steps"] = found.get("steps", 0) + 1
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
        model,
        rest,
        profile.train_shots,
        epochs,
        setting.seed,
        device=setting.device,
        progress=False,
        on_epoch=after_epoch,
        **settings,
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
