"""Speed of the kit and its peers, measured in turn within one run; needs both packages, see `peers.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peers_methods as peers
import torch
from measuring import build, random_images, write_images
from timing import interleave

import d24fad_lite as d2
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.evaluation.baselines.nearest_patch import distance_maps, largest_cosine, patch_vectors

SIZE, SHOTS = 128, 4
PAIRS = (  # row, kit, peer
    ("PatchCore, all patches: encode", "kit vectors", "peer vectors"),
    ("PatchCore, all patches: score", "kit patch", "peer patch"),
    ("PatchCore, 10 % coreset: score", "kit patch", "peer coreset"),
    ("PatchCore, all patches: score, kit mirrored-patch", "kit mirrored", "peer patch"),
    ("Reverse Distillation: encode", "kit student", "peer student"),
    ("Reverse Distillation: score", "kit D24FAD", "peer RD"),
    ("imgad kNN: encode", "kit pooled", "peer pooled"),
    ("imgad kNN: score", "kit mean", "peer kNN"),
    ("imgad kNN: score, from files", "kit files", "peer files"),
)


@torch.inference_mode()
def pairs(teacher: str, batch: int, rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Images per second of each pair, and the median ratio of rounds in which both ran."""
    images, supports = random_images(batch, 3, SIZE, SIZE), random_images(SHOTS + 1, 3, SIZE, SIZE)[1:]
    runs = {**_patch_runs(teacher, images, supports), **_student_runs(teacher, images, supports)}
    runs |= _image_runs(teacher, images, supports, folder)
    rows = []
    for row, kit, peer in PAIRS:
        timings = interleave({kit: runs[kit], peer: runs[peer]}, rounds)
        rates = {"kit": batch / timings.seconds(kit), "peer": batch / timings.seconds(peer)}
        rows.append({"teacher": teacher, "row": row, **rates, **timings.ratio(peer, kit)})
        print(f"{teacher} | {row} | {rates['kit']:.1f} | {rates['peer']:.1f}", flush=True)
    return rows


def _config(teacher: str) -> d2.D24FADConfig:
    return d2.D24FADConfig(teacher=teacher, weights="random", image_size=SIZE)


def _patch_runs(teacher: str, images: torch.Tensor, supports: torch.Tensor) -> dict[str, Callable[[], object]]:
    kit: Any = d2.create_detector("nearest-patch", _config(teacher)).eval()
    bank = kit.encode_supports(supports)
    runs: dict[str, Callable[[], object]] = {
        "kit vectors": lambda: kit.vectors(images),
        "kit patch": lambda: kit.predict(images, bank),
    }
    mirrored: Any = d2.create_detector("mirrored-patch", _config(teacher), kit.teacher).eval()
    both = mirrored.encode_supports(supports)
    runs["kit mirrored"] = lambda: mirrored.predict(images, both)
    own = {
        "peer patch": peers.PatchCore(kit.teacher, teacher, 1),
        "peer coreset": peers.PatchCore(kit.teacher, teacher),
    }
    runs["peer vectors"] = lambda: own["peer patch"].embed(images)
    for name, peer in own.items():
        peer.model.memory_bank = peer.bank(peer.embed(supports).clone())
        runs[name] = lambda peer=peer: peer.model(peers.normalised(kit.teacher, images))  # type: ignore[misc]
    return runs


def _student_runs(teacher: str, images: torch.Tensor, supports: torch.Tensor) -> dict[str, Callable[[], object]]:
    kit = build(teacher, SIZE).eval()
    bank = kit.encode_supports(supports)
    peer = peers.ReverseDistillation(kit.teacher, teacher, 0).build().eval()
    mean_std = kit.teacher

    def encode() -> object:
        return peer.decoder(peer.bottleneck(list(peer.encoder(peers.normalised(mean_std, images)).values())))

    return {
        "kit student": lambda: kit.encode_queries(images),
        "kit D24FAD": lambda: kit.predict(images, bank),
        "peer student": encode,
        "peer RD": lambda: peer(peers.normalised(mean_std, images)),
    }


def _image_runs(teacher: str, images: torch.Tensor, supports: torch.Tensor, folder: Path) -> dict[str, Any]:
    kit: Any = d2.create_detector("mean-feature", _config(teacher)).eval()
    bank, peer = kit.encode_supports(supports), peers.Neighbour(kit.teacher, teacher, folder)
    pipeline, pictures = peer.pipeline().fit(peers.as_pil(supports), show_progress=False), peers.as_pil(images)
    paths = write_images(folder / "files", len(images), SIZE)
    files = ImageSet("Peers/test", folder / "files", paths)

    def from_files() -> object:
        files.decoded.clear()
        return kit.predict(files.images(SIZE), bank)

    return {
        "kit pooled": lambda: kit.vectors(images),
        "kit mean": lambda: kit.predict(images, bank),
        "kit files": from_files,
        "peer pooled": lambda: peer.extractor.extract(pictures, show_progress=False),
        "peer kNN": lambda: pipeline.score(pictures, show_progress=False),
        "peer files": lambda: pipeline.score(paths, show_progress=False),
    }


@torch.inference_mode()
def profile(teacher: str, batch: int, rounds: int) -> dict[str, float]:
    """Milliseconds per image of each part of the nearest patch, the kit's and anomalib's, all patches kept."""
    images, supports = random_images(batch, 3, SIZE, SIZE), random_images(SHOTS + 1, 3, SIZE, SIZE)[1:]
    kit: Any = d2.create_detector("nearest-patch", _config(teacher)).eval()
    peer = peers.PatchCore(kit.teacher, teacher, 1)
    levels = [kit.teacher(images).levels[i] for i in kit.levels]
    vectors, bank = kit.vectors(images).flatten(0, 1), kit.encode_supports(supports)
    x, embedded = peers.normalised(kit.teacher, images), peer.embed(images)
    peer.model.memory_bank = peer.embed(supports).clone()
    features = peer.encoder(x)
    distances = torch.rand(batch, *kit.teacher.grids[kit.levels[0]])

    def pool() -> object:
        return peer.model.generate_embedding({n: peer.model.feature_pooler(f) for n, f in features.items()})

    runs = {
        "kit: encoder, up to the third stage, norms folded": lambda: kit.teacher.first_levels(images, 3),
        "anomalib: encoder, up to the third stage": lambda: peer.encoder(x),
        "kit: patch vectors": lambda: patch_vectors(levels),
        "anomalib: patch vectors": pool,
        "kit: nearest patches": lambda: [largest_cosine(vectors, one) for one in bank.vectors],
        "anomalib: nearest patches": lambda: peer.model.nearest_neighbors(embedded, 1),
        "kit: map": lambda: distance_maps(distances, SIZE, 4.0),
        "anomalib: map": lambda: peer.model.anomaly_map_generator(distances[:, None], (SIZE, SIZE)),
    }
    timings = interleave(runs, rounds)
    return {name: 1000 * timings.seconds(name) / batch for name in runs}
