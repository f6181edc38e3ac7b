"""Nearest patch with mirror images beside a reference that is written out, and what a detector must keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import d24fad_lite as d2
from d24fad_lite.evaluation.baselines.mirrored_patch import MirroredBank, are_symmetric
from d24fad_lite.evaluation.baselines.mirrored_patch_detector import MirroredPatchDetector
from d24fad_lite.predicting.heatmaps import support_reference

CONFIG = d2.D24FADConfig(teacher="resnet18", weights="embedded", image_size=64, blur_sigma=0.0)


@pytest.fixture(scope="module")
def detector() -> MirroredPatchDetector:
    return MirroredPatchDetector(CONFIG)


def _images(count: int, seed: int = 0, symmetric: bool = False) -> Tensor:
    """Smooth images that vary one lopsided scene, or such that are equal to their mirror image; with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    scene = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(99))
    coarse = (coarse + coarse.flip(-1)) / 2 if symmetric else 0.2 * coarse + 0.8 * scene
    fine = F.interpolate(coarse, size=(64, 64), mode="bilinear", align_corners=False)
    return (fine + 0.02 * torch.rand(fine.shape, generator=generator)).clamp(0, 1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _pictures(detector: MirroredPatchDetector, image: Tensor) -> list[np.ndarray]:
    """Vectors [H, W, C] that are compared of one image: the patches, then each level's positions; float64."""
    levels = [level[0].double().numpy().transpose(1, 2, 0) for level in detector.teacher(image[None]).levels[1:]]
    height, width = levels[0].shape[:2]
    parts = []
    for level in levels:
        own_height, own_width = level.shape[:2]
        local = np.stack(
            [
                [level[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].mean(axis=(0, 1)) for x in range(own_width)]
                for y in range(own_height)
            ]
        )
        parts.append(_unit(_resized(local, height, width)))
    return [_unit(np.concatenate(parts, axis=2)), *map(_unit, levels)]


def _resized(values: np.ndarray, height: int, width: int) -> np.ndarray:
    tensor = torch.from_numpy(values.transpose(2, 0, 1))[None]
    resized = F.interpolate(tensor, size=(height, width), mode="bilinear", align_corners=False)
    return resized[0].numpy().transpose(1, 2, 0)


def _reference(detector: MirroredPatchDetector, query: Tensor, supports: Tensor) -> tuple[float, np.ndarray]:
    """Score and map [H, W] on the patches' grid, place by place."""
    shown = _pictures(detector, query)
    mirror = _pictures(detector, query.flip(-1))
    known = [_pictures(detector, image) for support in supports for image in (support, support.flip(-1))]
    symmetric = _reference_symmetric(detector, supports)
    maps, to_supports = [], np.zeros(())
    for kind, vectors in enumerate(shown):
        height, width = vectors.shape[:2]
        distances, own = np.zeros((height, width)), np.full((height, width), np.inf)
        for y in range(height):
            for x in range(width):
                far = [np.linalg.norm(picture[kind] - vectors[y, x], axis=2).min() for picture in known]
                distances[y, x] = min(far)
                own[y, x] = _nearest_around(vectors, mirror[kind], y, x)
        if kind == 0:
            to_supports = distances
        maps.append(np.minimum(distances, own) if symmetric else distances)
    size = maps[0].shape
    both = np.mean([maps[0], *(_resized(level[:, :, None], *size)[:, :, 0] for level in maps[1:])], axis=0)
    top = np.sort(both.ravel())[::-1][: round(0.1 * both.size)]
    return float(to_supports.mean() + top.mean()), both


def _nearest_around(vectors: np.ndarray, mirrored: np.ndarray, y: int, x: int) -> float:
    """Within a sixteenth of the side, at least one position: one position on grids of 8 and 4."""
    there = mirrored[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
    return float(np.linalg.norm(there - vectors[y, x], axis=2).min())


def _reference_symmetric(detector: MirroredPatchDetector, supports: Tensor) -> bool:
    patches = [_pictures(detector, support)[0] for support in supports]
    mirrored = [_pictures(detector, support.flip(-1))[0] for support in supports]
    own, others, place = [], [], []
    for i, shown in enumerate(patches):
        places = [(y, x) for y in range(shown.shape[0]) for x in range(shown.shape[1])]
        own.append(np.mean([_nearest_around(shown, mirrored[i], y, x) for y, x in places]))
        inner = tuple(slice(side // 8, side - side // 8) for side in shown.shape[:2])
        inside = [(y, x) for y in range(shown[inner].shape[0]) for x in range(shown[inner].shape[1])]
        turned = [np.roll(mirrored[i][inner], steps, (0, 1)) for steps in _half_steps(shown[inner].shape)]
        here, *moved = (np.mean([_nearest_around(shown[inner], one, y, x) for y, x in inside]) for one in turned)
        place.append(here / min(moved))
        rest = [picture for j in range(len(patches)) if j != i for picture in (patches[j], mirrored[j])]
        others.append(np.mean([min(np.linalg.norm(p - shown[y, x], axis=2).min() for p in rest) for y, x in places]))
    return bool(np.mean(own) < np.mean(others) and np.mean(place) < 2 / 3)


def _half_steps(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(0, 0), (shape[0] // 2, 0), (0, shape[1] // 2)]


@pytest.mark.parametrize("symmetric", [False, True])
def test_scores_and_maps_are_those_of_the_definition(detector, symmetric: bool) -> None:
    supports, queries = _images(2, 1, symmetric), _images(1, 2, symmetric)
    bank = detector.encode_supports(supports)
    assert bank.symmetric == symmetric == _reference_symmetric(detector, supports)
    result = detector.predict(queries, bank)
    for i, query in enumerate(queries):
        score, low = _reference(detector, query, supports)
        full = F.interpolate(torch.from_numpy(low)[None, None], size=(64, 64), mode="bilinear", align_corners=False)
        assert float(result.score[i]) == pytest.approx(score, rel=1e-4)
        assert torch.allclose(result.anomaly_map[i].double(), full[0, 0], atol=2e-4)


def test_a_support_and_its_mirror_image_are_one(detector) -> None:
    supports, query = _images(3, 1), _images(1, 2)
    bank, turned = detector.encode_supports(supports), detector.encode_supports(supports.flip(-1))
    result, again = detector.predict(query, bank), detector.predict(query, turned)
    assert torch.allclose(again.score, result.score, rtol=1e-4)
    assert torch.allclose(again.anomaly_map, result.anomaly_map, atol=1e-4)


def test_a_lesion_on_one_side_stands_out_and_the_same_on_both_sides_does_not(detector) -> None:
    supports, query = _images(3, 1, True), _images(1, 5, True)
    bank = detector.encode_supports(supports)
    assert bank.symmetric
    one_side, both_sides = query.clone(), query.clone()
    one_side[:, :, 24:36, 8:20] = 1.0
    both_sides[:, :, 24:36, 8:20] = both_sides[:, :, 24:36, 44:56] = 1.0
    one, both = (detector.predict(image, bank).anomaly_map[0] for image in (one_side, both_sides))
    spot = (slice(24, 36), slice(8, 20))
    assert one[spot].mean() > 1.5 * both[spot].mean()


def test_the_supports_alone_decide_whether_they_are_symmetric() -> None:
    among = torch.tensor([[0.0, 0.5, 0.9], [0.5, 0.0, 0.7], [0.9, 0.7, 0.0]])[:, :, None]
    far, near = torch.full((3,), 0.5), torch.full((3,), 0.7)
    assert are_symmetric(torch.tensor([0.5, 0.5, 0.6]), far, among)  # mean 0.53, the others 0.57
    assert not are_symmetric(torch.tensor([0.6, 0.6, 0.6]), far, among)
    assert not are_symmetric(torch.tensor([0.5, 0.5, 0.6]), near, among)  # as near half an image away: a texture
    assert not are_symmetric(torch.tensor([0.0]), far[:1], among[:1, :1])


def test_a_support_left_out_meets_the_decision_of_all(detector) -> None:
    supports = _images(2, 1, True)
    bank = detector.encode_supports(supports)
    assert bank.symmetric and not bank.select([0]).symmetric  # one alone gives no answer
    assert bank.without(1).symmetric and torch.equal(bank.without(1).vectors, bank.select([0]).vectors)
    _, reference = support_reference(detector, supports)
    expected = [float(detector.predict(supports[i : i + 1], bank.without(i)).score) for i in range(2)]
    assert reference.scores == pytest.approx(expected)


def test_a_single_support_sets_a_colour_scale_that_normal_images_do_not_fill(detector) -> None:
    support, normals = _images(1, 1), _images(6, 2)
    bank, reference = support_reference(detector, support)
    low, high = reference.color_limits
    maps = detector.predict(normals, bank).anomaly_map
    assert high > 0.1 and float(((maps - low) / (high - low)).median()) < 0.5  # its own mirror image gives below 1e-3
    assert reference.scores[0] > 0.1
    # As nearest patch has it: the mirror image of the support, against the support alone.
    shown, turned = (_pictures(detector, image)[0] for image in (support[0], support[0].flip(-1)))
    distances = np.linalg.norm(turned[:, :, None, None] - shown[None, None], axis=4).min(axis=(2, 3))
    nearest = detector.compared(support.flip(-1)).nearest(bank.unmirrored().compared).patches[0, 0]
    assert nearest.numpy() == pytest.approx(distances.ravel(), abs=1e-4)


def test_an_unmirrored_bank_is_a_bank_of_the_same_supports(detector) -> None:
    bank = detector.encode_supports(_images(3, 1))
    plain = bank.unmirrored()
    assert len(plain) == 3 and plain.vectors.shape == bank.vectors.shape and plain.symmetric == bank.symmetric
    support = detector.predict(_images(3, 1)[1:2], plain)
    assert float(support.anomaly_map.max()) < 5e-3  # to itself: a root of rounding
    assert torch.equal(plain.unmirrored().vectors, plain.vectors)


def test_supports_that_are_all_equal_give_no_answer(detector) -> None:
    for images in (torch.zeros(3, 3, 64, 64), torch.full((2, 3, 64, 64), 0.5), _images(1, 1, True).repeat(3, 1, 1, 1)):
        assert not detector.encode_supports(images).symmetric


def test_a_tissue_of_one_texture_is_not_symmetric() -> None:
    detector = MirroredPatchDetector(CONFIG.replace(image_size=128))
    spots = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(4))
    bank = detector.encode_supports(F.interpolate(spots, size=(128, 128), mode="bilinear", align_corners=False))
    assert not bank.symmetric and bool((bank.place > 2 / 3).all()) and bool((bank.place < 1.2).all())


def test_part_of_a_bank_and_a_joined_bank_are_what_encoding_gives(detector) -> None:
    supports, queries = _images(4, 1, True), _images(2, 2)
    bank = detector.encode_supports(supports)
    part = bank.select([2, 0])
    whole = detector.encode_supports(supports[[2, 0]])
    joined = MirroredBank.join([detector.encode_supports(support[None]) for support in supports[[2, 0]]])
    expected = detector.predict(queries, whole)
    assert len(part) == len(joined) == 2 and part.symmetric == joined.symmetric == whole.symmetric
    for other in (part, joined):
        assert torch.allclose(detector.predict(queries, other).score, expected.score, atol=1e-5)
        assert torch.allclose(other.among, whole.among, atol=1e-3)  # 0 to itself: a root of rounding
    with pytest.raises(IndexError):
        bank.select([-1])
    with pytest.raises(ValueError, match="no banks"):
        MirroredBank.join([])


def test_many_draws_are_scored_as_one_by_one(detector) -> None:
    symmetric, other = _images(3, 1, True), _images(3, 2)
    supports, queries = torch.cat([symmetric, other]), _images(3, 7)
    draws = np.array([[0, 1, 2], [3, 4, 5], [0, 4, 2]])
    scorer = detector.scorer()
    batch = scorer.score(queries, scorer.prepare(supports, draws))
    decided = set()
    for d, draw in enumerate(draws):
        bank = detector.encode_supports(supports[draw])
        decided.add(bank.symmetric)
        result = detector.predict(queries, bank)
        assert batch.scores[d] == pytest.approx(result.score.numpy(), abs=1e-5)
        assert batch.maps[d] == pytest.approx(result.anomaly_map.numpy(), abs=1e-4)
    assert decided == {True, False}
    assert detector.scorer(maps=False).score(queries, scorer.prepare(supports, draws)).maps is None


def test_weights_count_the_holders_and_an_image_stands_by_itself(detector) -> None:
    supports = _images(3, 1)
    bank = detector.encode_supports(supports)
    result = detector.predict(torch.cat([supports[1:2], supports[2:3].flip(-1), _images(1, 9)]), bank)
    assert result.weights[0, 0, 1] > 0.9 and result.weights[1, 0, 2] > 0.9
    assert torch.allclose(result.weights.sum(dim=2), torch.ones(3, 1))
    alone = detector.predict(_images(1, 9), bank)
    assert torch.allclose(alone.score[0], result.score[2], atol=1e-5)


def test_it_is_saved_loaded_and_named_like_any_detector(detector, tmp_path: Path) -> None:
    supports, queries = _images(3, 1), _images(2, 2)
    expected = detector.predict(queries, detector.encode_supports(supports))
    loaded = d2.load_detector(detector.save(tmp_path / "mirrored.safetensors"))
    assert isinstance(loaded, d2.MirroredPatchDetector) and loaded.levels == [1, 2]
    assert torch.equal(loaded.predict(queries, loaded.encode_supports(supports)).score, expected.score)
    made = d2.create_detector("mirrored-patch", CONFIG, levels=[2])
    assert made.levels == [2] and made.encode_supports(supports).vectors.shape == (3, 2 * 16, 256)
    bank = d2.create_detector("nearest-patch", CONFIG, detector.teacher).encode_supports(supports)
    with pytest.raises(ValueError, match="VectorBank is another method's, mirrored-patch needs a MirroredBank"):
        detector.predict(queries, bank)
    nearest = d2.create_detector("nearest-patch", CONFIG, detector.teacher)
    with pytest.raises(ValueError, match="MirroredBank is another method's"):
        nearest.predict(queries, detector.encode_supports(supports))


@pytest.mark.parametrize("symmetric", [False, True])
def test_it_is_exported(detector, tmp_path: Path, symmetric: bool) -> None:
    from PIL import Image

    for i, image in enumerate(_images(3, 1, symmetric)):
        (tmp_path / "supports").mkdir(exist_ok=True)
        pixels = (255 * image.permute(1, 2, 0)).round().byte().numpy()
        Image.fromarray(pixels).save(tmp_path / "supports" / f"{i}.png")
    written = d2.export_detector(detector, tmp_path / "supports", tmp_path / "mirrored.pt2", to="torch")
    assert written.difference <= 1e-4
