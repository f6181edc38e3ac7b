"""The single measurements that `speed.py` joins; each returns plain rows or values, fit for JSON."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from released_way import ReleasedWay
from timing import interleave
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import d24fad_lite as d2
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.samples.world import write_samples
from d24fad_lite.model.features import TeacherFeatures
from d24fad_lite.model.speed.folding import for_inference, no_folding

TEST_IMAGES = 400  # over which the one encoding of the supports is spread, as in a published test set
CHANNELS_LAST = torch.channels_last


def build(teacher: str, image_size: int) -> d2.D24FAD:
    """A detector with seeded random weights everywhere: speed does not depend on them."""
    return d2.D24FAD(d2.D24FADConfig(teacher=teacher, weights="random", image_size=image_size))


def random_images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def write_images(folder: Path, count: int, size: int, seed: int = 0) -> list[Path]:
    """Noise over waves, `count` PNG files; compresses about as badly as an X-ray."""
    rng, paths = np.random.default_rng(seed), [folder / f"{index:05d}.png" for index in range(count)]
    folder.mkdir(parents=True, exist_ok=True)
    waves = np.sin(np.linspace(0, 9, size))[:, None] * 60 + 120
    for path in paths:
        Image.fromarray(np.clip(waves + rng.normal(0, 12, (size, size)), 0, 255).astype(np.uint8)).save(path)
    return paths


def write_task(root: Path, count: int, size: int) -> None:
    """A task N<count> with so many test images and ten normal training images."""
    home = root / f"N{count}"
    write_images(home / "train" / "good", 10, size)
    write_images(home / "test" / "good", count // 2, size, seed=1)
    write_images(home / "test" / "bad", count - count // 2, size, seed=2)


def count_flops(runs: Mapping[str, Callable[[], Any]]) -> tuple[dict[str, int], dict[str, Any]]:
    """Floating-point operations of one call of each, counted by PyTorch (a multiply-add is two), and its results."""
    flops, results = {}, {}
    for name, run in runs.items():
        with FlopCounterMode(display=False) as counter:
            results[name] = run()
        flops[name] = counter.get_total_flops()
    return flops, results


def evaluation(model: d2.D24FAD, shots: int, batch: int, rounds: int) -> dict:
    """One query batch against K supports: the released way, the kit, the kit in bf16."""
    size = model.config.image_size
    queries, supports = random_images(batch, 3, size, size), random_images(shots + 1, 3, size, size)[1:]
    released, precisions = ReleasedWay(model), ("fp32", "bf16")
    banks = {p: model.encode_supports(supports, p) for p in precisions}
    runs = {"released": lambda: released.score(queries, supports)}
    runs |= {p: lambda p=p: model.predict(queries, banks[p], p) for p in precisions}
    runs |= {f"bank {p}": lambda p=p: model.encode_supports(supports, p) for p in precisions}
    flops, results = count_flops(runs)  # also the unmeasured first run of each
    timings = interleave(runs, rounds, warm=False)
    share = batch / TEST_IMAGES
    row = {
        "shots": shots,
        "batch": batch,
        "gflop_released": flops["released"] / 1e9,
        "gflop_kit": flops["fp32"] / 1e9,
        "seconds_released": timings.seconds("released"),
    }
    for p in precisions:
        for times in (timings.wall, timings.cpu):  # the bank's share joins the batch
            times[p] = [a + share * b for a, b in zip(times[p], times[f"bank {p}"], strict=True)]
        difference = results[p].score / results["released"] - 1
        row[p] = timings.ratio("released", p) | {
            "seconds": timings.seconds(p),
            "score_difference": float(difference.abs().max()),
        }
    return row


def growth_with_shots(model: d2.D24FAD, batch: int, rounds: int) -> dict:
    """Seconds per query for each K, measured in turn."""
    size = model.config.image_size
    queries = random_images(batch, 3, size, size)
    banks = {k: model.encode_supports(random_images(k, 3, size, size)) for k in (2, 4, 8)}
    timings = interleave({str(k): lambda k=k: model.predict(queries, banks[k]) for k in banks}, rounds)
    return {
        "seconds_per_query": {k: timings.seconds(k) / batch for k in timings.wall},
        "growth_2_to_8": timings.ratio("8", "2"),
    }


def training(model: d2.D24FAD, shots: int, batch: int, rounds: int) -> dict:
    """One optimiser step: the released way, and the kit in both episode modes with teacher features cached."""
    size = model.config.image_size
    queries, supports = random_images(batch, 3, size, size), random_images(shots * batch, 3, size, size)
    released, f = ReleasedWay(model), model.teacher(queries)
    embeddings = torch.cat([model.teacher(part).embedding for part in supports.split(batch)])
    rows = (torch.arange(batch) + torch.arange(1, shots + 1)[:, None]) % batch  # (K, B)
    own = supports.view(shots, batch, 3, size, size)
    learnable = [*model.student.parameters(), *model.weighting.parameters()]
    optimizer = torch.optim.Adam(learnable, lr=1e-4, betas=(0.5, 0.999))

    def step(**episode: Tensor | TeacherFeatures) -> None:
        optimizer.zero_grad(set_to_none=True)
        model(f, **episode).loss.backward()
        optimizer.step()

    model.train()
    with torch.no_grad():
        equal = [float(released.losses(queries, own)), float(model(f, TeacherFeatures([], embeddings)).loss)]
    runs = {
        "released": lambda: released.step(queries, own),
        "independent": lambda: step(supports=TeacherFeatures([], embeddings)),
        "in-batch": lambda: step(support_rows=rows),
    }
    flops, _ = count_flops(runs)
    timings = interleave(runs, rounds, warm=False)
    row = {
        "shots": shots,
        "batch": batch,
        "loss_difference": abs(equal[0] - equal[1]) / equal[0],
        "seconds_released": timings.seconds("released"),
        "gflop": {k: v / 1e9 for k, v in flops.items()},
    }
    return row | {
        name: timings.ratio("released", name) | {"seconds": timings.seconds(name)}
        for name in ("independent", "in-batch")
    }


def roofline(model: d2.D24FAD, batch: int, rounds: int) -> dict:
    """GFLOP/s of teacher and student, beside a large convolution, a matrix product, and the networks' own
    convolutions run one after the other with nothing between them."""
    size = model.config.image_size
    images = random_images(batch, 3, size, size)
    side, width = max(size // 4, 8), 256
    plain = nn.Conv2d(width, width, 3, padding=1, bias=False).to(memory_format=CHANNELS_LAST)
    x, a = random_images(batch, width, side, side).to(memory_format=CHANNELS_LAST), random_images(2048, 2048)
    with torch.no_grad():
        embedding = model.teacher(images).embedding
        calls = _own_convolutions(model, images, embedding)
    released = ReleasedWay(model)
    runs = {
        "convolution 3x3": lambda: plain(x),
        "matrix product": lambda: a @ a,
        "own convolutions": lambda: [layer(inputs) for layer, inputs in calls],
        "teacher": lambda: model.teacher(images),
        "student": lambda: model.student(embedding),
        "encode": lambda: model.encode_queries(images),
        "encode bf16": lambda: model.encode_queries(images, "bf16"),
        "encode unfolded": lambda: _unfolded(model, images),
        "encode contiguous": lambda: released.encode(images),
    }
    model.eval()
    released.student.eval()
    with torch.no_grad():
        flops, _ = count_flops(runs)
        timings = interleave(runs, rounds, warm=False)
    rates = {name: flops[name] / timings.seconds(name) / 1e9 for name in runs}

    def share(of: str) -> float:
        """Rate of encoding in that of `of`, median over rounds of processor time."""
        return timings.ratio(of, "encode")["cpu_ratio"] * flops["encode"] / flops[of]

    return {
        "gflop_per_s": rates,
        "images_per_s": {n: batch / timings.seconds(n) for n in ("encode", "encode bf16")},
        "share_of_convolution": share("convolution 3x3"),
        "share_of_own_convolutions": share("own convolutions"),
        "gain": {
            "folding": timings.ratio("encode unfolded", "encode"),
            "bf16": timings.ratio("encode", "encode bf16"),
            "channels last": timings.ratio("encode contiguous", "encode unfolded"),
        },
    }


def _unfolded(model: d2.D24FAD, images: Tensor) -> object:
    with no_folding():
        return model.encode_queries(images)


def _own_convolutions(model: d2.D24FAD, images: Tensor, embedding: Tensor) -> list[tuple[nn.Module, Tensor]]:
    calls: list[tuple[nn.Module, Tensor]] = []
    copies = [for_inference(model.teacher.backbone, images), for_inference(model.student.eval(), embedding)]
    hooks = [
        layer.register_forward_hook(lambda m, x, y: calls.append((m, x[0])))
        for twin in copies
        for layer in twin.modules()
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
    ]
    copies[0](images.to(memory_format=CHANNELS_LAST))
    model.student(embedding)  # runs through its copy
    for hook in hooks:
        hook.remove()
    return calls


def image_sizes(teacher: str, sizes: tuple[int, ...], rounds: int) -> list[dict]:
    """Milliseconds per image, and per megapixel, of teacher and student."""
    models = {size: build(teacher, size) for size in sizes}
    images = {size: random_images(4, 3, size, size) for size in sizes}
    timings = interleave({str(s): lambda s=s: models[s].encode_queries(images[s]) for s in sizes}, rounds)
    return [
        {
            "size": s,
            "ms_per_image": 250 * timings.seconds(str(s)),
            "s_per_megapixel": timings.seconds(str(s)) / 4 / (s * s / 1e6),
        }
        for s in sizes
    ]


def loading(folder: Path, count: int, size: int, rounds: int) -> dict:
    """Files of 256 px to float images: a plain loop with Pillow, the kit's first decode, the kit's store."""
    paths = write_images(folder, count, 256)
    images = ImageSet("Loading/train", folder, paths)

    def plain() -> Tensor:
        squares = [Image.open(p).convert("RGB").resize((size, size), Image.Resampling.LANCZOS) for p in paths]
        return torch.stack([torch.from_numpy(np.array(s)).permute(2, 0, 1).float() / 255 for s in squares])

    def first() -> Tensor:
        images.decoded.clear()
        return images.images(size)

    timings = interleave({"plain": plain, "first": first, "kept": lambda: images.images(size)}, rounds)
    return {
        "images": count,
        "images_per_s": {n: count / timings.seconds(n) for n in timings.wall},
        "first": timings.ratio("plain", "first"),
        "kept": timings.ratio("plain", "kept"),
    }


def agreement(root: Path, count: int, shots: int = 4, draws: int = 5) -> list[dict]:
    """What bf16 and folding change on new samples, `count` normal and as many anomalous: image AUROC, maps, scores."""
    write_samples(root, seed=1, test=count)
    model = d2.D24FAD(d2.D24FADConfig(teacher="resnet18", weights="embedded"))
    rows = []
    for name, task in d2.open_benchmark(root).items():
        reports = {p: d2.evaluate(model, task, shots, draws, precision=p, pixel=False) for p in ("fp32", "bf16")}
        images, size = task.test, model.config.image_size
        picked = range(0, len(images), max(len(images) // 20, 1))
        supports, queries = task.train.images(size, range(shots)), images.images(size, picked)
        maps = {p: model.predict(queries, model.encode_supports(supports, p), p) for p in ("fp32", "bf16")}
        with no_folding():
            plain = model.predict(queries, model.encode_supports(supports))
        pairs = torch.stack([maps["fp32"].anomaly_map.flatten(), maps["bf16"].anomaly_map.flatten()])
        rows.append(
            {
                "task": name,
                "images": len(images),
                "auroc": reports["fp32"].auroc,
                "auroc_change": abs(reports["bf16"].auroc - reports["fp32"].auroc),
                "map_correlation": float(torch.corrcoef(pairs)[0, 1]),
                "folding_score_difference": float((maps["fp32"].score / plain.score - 1).abs().max()),
            }
        )
    return rows


def peak_memory(script: Path, jobs: dict[str, list[str]]) -> dict[str, dict]:
    """Run each job in a process of its own; peak resident MiB and seconds, as `job` prints them."""
    results = {}
    for name, arguments in jobs.items():
        done = subprocess.run([sys.executable, str(script), "--job", *arguments], check=True, capture_output=True)
        results[name] = json.loads(done.stdout.splitlines()[-1])
    return results


def job(what: str, teacher: str, size: int, batch: int, shots: int, count: int, threads: int, folder: str) -> dict:
    """One piece of work in this process; what it needed at most."""
    torch.set_num_threads(threads)
    model, images = build(teacher, size), random_images(batch, 3, size, size)
    started = time.perf_counter()
    if what == "evaluate":
        task = d2.open_benchmark(folder, cache_bytes=0)[f"N{count}"]
        d2.evaluate(model, task, shots, draws=2, batch_size=batch)
    elif what == "released evaluation":
        ReleasedWay(model).score(images, random_images(shots, 3, size, size))
    elif what == "released training":
        ReleasedWay(model).step(images, random_images(shots, batch, 3, size, size))
    else:
        f, rows = model.teacher(images), (torch.arange(batch) + torch.arange(1, shots + 1)[:, None]) % batch
        embeddings = torch.cat([f.embedding] * shots)
        episode = {"support_rows": rows} if what == "in-batch" else {"supports": TeacherFeatures([], embeddings)}
        model.train()(f, **episode).loss.backward()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"peak_mib": round(peak), "seconds": time.perf_counter() - started}
