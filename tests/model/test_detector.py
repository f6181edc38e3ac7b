"""The detector: a score belongs to an image alone, banks are exchangeable, files come back or are refused."""

from __future__ import annotations

import doctest
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import d24fad_lite.model.detector as detector_module
from d24fad_lite.model.checkpoint import CheckpointError, read_tensors, write_tensors
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.features import Prediction, SupportBank

SIZE = 64
CONFIGS = {
    "kit": D24FADConfig(teacher="test_resnet", weights="random", image_size=SIZE),
    "official": D24FADConfig.official(teacher="test_resnet", weights="random", image_size=SIZE),
    "paper": D24FADConfig.paper(teacher="test_resnet", weights="random", image_size=SIZE),
    "nearest": D24FADConfig(teacher="test_vit", weights="random", image_size=SIZE, weighting="nearest"),
}


def pictures(count: int, seed: int = 0) -> Tensor:
    """Patches of colour with noise."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.rand(count, 3, 4, 4, generator=generator)
    coarse = patches.repeat_interleave(SIZE // 4, dim=2).repeat_interleave(SIZE // 4, dim=3)
    return (coarse + 0.2 * torch.rand(count, 3, SIZE, SIZE, generator=generator)).clamp(0, 1)


@pytest.fixture(scope="module", params=CONFIGS)
def model(request: pytest.FixtureRequest) -> D24FAD:
    return trained(CONFIGS[request.param])


@pytest.fixture(scope="module")
def kit() -> D24FAD:
    return trained(CONFIGS["kit"])


def trained(config: D24FADConfig) -> D24FAD:
    """A few steps of training, so that batch norms and weights are those of a real run."""
    model = D24FAD(config).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for step in range(3):
        optimizer.zero_grad()
        model(pictures(4, step), pictures(8, 10 + step).view(2, 4, 3, SIZE, SIZE)).loss.backward()
        optimizer.step()
    return model.eval()


def same(a: Prediction, b: Prediction, tolerance: float = 1e-6) -> None:
    assert float((a.score - b.score).abs().max()) <= tolerance
    assert float((a.anomaly_map - b.anomaly_map).abs().max()) <= 2e-6
    assert torch.allclose(a.weights, b.weights, atol=1e-4)


# -- a score belongs to its image -----------------------------------------------------------------------------------


def test_a_score_is_the_same_alone_and_in_batches_of_any_size(model: D24FAD) -> None:
    bank, queries = model.encode_supports(pictures(4, 1)), pictures(11)
    whole = model.predict(queries, bank)
    for size in (1, 2, 3, 5, 8):
        parts = [model.predict(part, bank) for part in queries.split(size)]
        same(Prediction(*(torch.cat(values) for values in zip(*parts, strict=True))), whole)


def test_a_score_is_the_same_in_any_order_and_beside_any_other_images(model: D24FAD) -> None:
    bank, queries = model.encode_supports(pictures(4, 1)), pictures(6)
    whole = model.predict(queries, bank)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    same(model.predict(queries[order], bank), Prediction(*(values[order] for values in whole)))
    others = torch.cat([torch.zeros(2, 3, SIZE, SIZE), torch.ones(2, 3, SIZE, SIZE), pictures(3, 9)])
    mixed = model.predict(torch.cat([others, queries]), bank)
    same(Prediction(*(values[len(others) :] for values in mixed)), whole)


def test_a_score_does_not_depend_on_the_mode_and_the_mode_is_left_alone(model: D24FAD) -> None:
    bank, queries = model.encode_supports(pictures(4, 1)), pictures(5)
    expected = model.predict(queries, bank)
    model.train()
    try:
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        found = model.predict(queries, model.encode_supports(pictures(4, 1)))
        assert model.student.training and model.training
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    finally:
        model.eval()
    same(found, expected)


def test_nothing_of_a_prediction_holds_a_graph(kit: D24FAD) -> None:
    bank = kit.encode_supports(pictures(2))
    found = kit.predict(pictures(2, 1), bank)
    assert not any(t.requires_grad for t in [*bank.levels, *bank.keys, *found])


def test_shapes_and_ranges_of_a_prediction(model: D24FAD) -> None:
    found = model.predict(pictures(5), model.encode_supports(pictures(3, 1)))
    assert found.score.shape == (5,) and found.anomaly_map.shape == (5, SIZE, SIZE) and found.weights.shape == (5, 3, 3)
    assert torch.allclose(found.weights.sum(dim=2), torch.ones(5, 3), atol=1e-5)
    assert float(found.anomaly_map.min()) >= -1e-5


def test_an_identical_support_leaves_no_residual_and_takes_the_weight() -> None:
    model = trained(CONFIGS["kit"].replace(weighting="nearest"))
    images = pictures(4, 1)
    found = model.predict(images[2:3], model.encode_supports(images))
    assert torch.equal(found.weights[0], torch.tensor([0.0, 0, 1, 0]).repeat(3, 1))
    assert float(found.score) < 1e-4 < float(model.predict(pictures(1, 5), model.encode_supports(images)).score)


# -- banks ----------------------------------------------------------------------------------------------------------


def test_the_order_of_supports_only_permutes_the_weights(model: D24FAD) -> None:
    images, queries, order = pictures(4, 1), pictures(3), torch.tensor([2, 0, 3, 1])
    plain = model.predict(queries, model.encode_supports(images))
    moved = model.predict(queries, model.encode_supports(images[order]))
    same(moved, Prediction(plain.score, plain.anomaly_map, plain.weights[:, :, order]))


def test_selecting_and_joining_banks_equals_encoding_the_images(kit: D24FAD) -> None:
    images, queries = pictures(5, 1), pictures(3)
    bank = kit.encode_supports(images)
    chosen = bank.select([3, 0, 4])
    assert len(chosen) == 3
    same(kit.predict(queries, chosen), kit.predict(queries, kit.encode_supports(images[[3, 0, 4]])))
    joined = SupportBank.join([kit.encode_supports(images[:2]), kit.encode_supports(images[2:])])
    assert len(joined) == 5
    same(kit.predict(queries, joined), kit.predict(queries, bank))


def test_a_bank_refuses_supports_that_it_does_not_have(kit: D24FAD) -> None:
    bank = kit.encode_supports(pictures(3))
    with pytest.raises(ValueError, match="at least one support"):
        bank.select([])
    for wrong in ([3], [-1]):
        with pytest.raises(IndexError, match="the bank has supports 0 to 2"):
            bank.select(wrong)
    with pytest.raises(ValueError, match="join.. got no banks"):
        SupportBank.join([])


# -- files ----------------------------------------------------------------------------------------------------------


def test_a_saved_detector_comes_back_whole(model: D24FAD, tmp_path: Path) -> None:
    path = model.save(tmp_path / "deep" / "model.safetensors", note="ours")
    again = D24FAD.load(path)
    assert again.config == model.config
    assert read_tensors(path)[1]["note"] == "ours"
    queries, images = pictures(3), pictures(4, 1)
    found, expected = (m.predict(queries, m.encode_supports(images)) for m in (again, model))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]


def test_a_detector_on_a_module_of_ones_own_wants_that_module_back(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self, fill: float = 0.1) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 4, 4)
            nn.init.constant_(self.conv.weight, fill)

        def forward(self, x: Tensor) -> list[Tensor]:
            x = self.conv(x)
            return [x, nn.functional.avg_pool2d(x, 2)]

    model = D24FAD(D24FADConfig(teacher=Own(), image_size=16))
    path = model.save(tmp_path / "own.safetensors")
    with pytest.raises(CheckpointError, match=r"teacher of your own \(Own\); give it again"):
        D24FAD.load(path)
    again = D24FAD.load(path, teacher=Own(0.7))  # its tensors come from the file
    assert again.teacher.fingerprint() == model.teacher.fingerprint()


def test_files_that_are_no_detector_are_refused(kit: D24FAD, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        D24FAD.load(tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        D24FAD.load(tmp_path / "text.safetensors")
    write_tensors(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, {"what": 1})
    with pytest.raises(CheckpointError, match="not a detector of format"):
        D24FAD.load(tmp_path / "other.safetensors")
    path = kit.save(tmp_path / "model.safetensors")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        D24FAD.load(path)
    tensors, facts = read_tensors(kit.save(tmp_path / "model.safetensors"))
    facts["teacher"] = "0" * 64
    with pytest.raises(CheckpointError, match="trained with another teacher"):
        D24FAD.load(write_tensors(tmp_path / "swapped.safetensors", tensors, facts))


def official_file(
    model: D24FAD,
    path: Path,
    prefix: str = "",
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda state: state,
) -> Path:
    """A checkpoint as the released code saves it; its learn-to-weight has no bias names of its own to lose."""
    parts = {"decoder": change(model.student.state_dict()), "weight": model.weighting.state_dict()}
    torch.save({part: {prefix + n: t for n, t in state.items()} for part, state in parts.items()}, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_of_the_released_code_gives_its_scores(prefix: str, kit: D24FAD, tmp_path: Path) -> None:
    fresh = D24FAD(kit.config.replace(seed=5))
    fresh.teacher.load_state_dict(kit.teacher.state_dict())
    fresh.load_official_checkpoint(official_file(kit, tmp_path / "best_4_RSNA.pth", prefix))
    queries, images = pictures(3), pictures(4, 1)
    found, expected = (m.predict(queries, m.encode_supports(images)) for m in (fresh, kit))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_projections_without_bias_load_because_a_bias_leaves_the_softmax_as_it_is(kit: D24FAD, tmp_path: Path) -> None:
    weight = {n: t for n, t in kit.weighting.state_dict().items() if n.endswith("weight")}
    torch.save({"decoder": kit.student.state_dict(), "weight": weight}, tmp_path / "old.pth")
    fresh = D24FAD(kit.config)
    fresh.load_official_checkpoint(tmp_path / "old.pth")
    queries, images = pictures(3), pictures(4, 1)
    same(fresh.predict(queries, fresh.encode_supports(images)), kit.predict(queries, kit.encode_supports(images)), 1e-5)


def test_a_checkpoint_of_another_architecture_is_refused_and_changes_nothing(kit: D24FAD, tmp_path: Path) -> None:
    other = D24FAD(D24FADConfig(teacher="resnet18", weights="random", image_size=SIZE))
    before = {n: t.clone() for n, t in kit.state_dict().items()}
    path = official_file(other, tmp_path / "resnet18.pth")
    with pytest.raises(CheckpointError, match=r"'decoder' in .*another architecture than Student: .*first: .*expected"):
        kit.load_official_checkpoint(path)
    for lost in ("layer1.0.bn1.bias", "layer2.0.conv1.weight"):
        path = official_file(
            kit, tmp_path / "lost.pth", change=lambda state, lost=lost: {n: t for n, t in state.items() if n != lost}
        )
        with pytest.raises(CheckpointError, match=f"1 tensors missing.*first: {lost}"):
            kit.load_official_checkpoint(path)
    assert all(torch.equal(t, before[n]) for n, t in kit.state_dict().items())


def test_a_weight_part_of_another_architecture_leaves_the_student_untouched_too(kit: D24FAD, tmp_path: Path) -> None:
    other = trained(CONFIGS["kit"].replace(seed=9))
    torch.save(
        {"decoder": other.student.state_dict(), "weight": {"proj_in1.weight": torch.zeros(2, 2, 1, 1)}},
        tmp_path / "half.pth",
    )
    before = {n: t.clone() for n, t in kit.state_dict().items()}
    with pytest.raises(CheckpointError, match="'weight' in"):
        kit.load_official_checkpoint(tmp_path / "half.pth")
    assert all(torch.equal(t, before[n]) for n, t in kit.state_dict().items())


def test_a_file_without_the_two_parts_is_told_what_is_expected(kit: D24FAD, tmp_path: Path) -> None:
    torch.save({"state_dict": kit.student.state_dict()}, tmp_path / "flat.pth")
    with pytest.raises(CheckpointError, match=r"expected the entries 'decoder' and 'weight', found \['state_dict'\]"):
        kit.load_official_checkpoint(tmp_path / "flat.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="found list"):
        kit.load_official_checkpoint(tmp_path / "list.pth")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.target}'",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_bomb_is_refused_and_not_executed(legacy: bool, kit: D24FAD, tmp_path: Path) -> None:
    target, path = tmp_path / "exploded", tmp_path / "bomb.pth"
    torch.save({"decoder": Bomb(target), "weight": {}}, path, _use_new_zipfile_serialization=not legacy)
    for load in (kit.load_official_checkpoint, lambda p: D24FAD(kit.config.replace(weights=str(p)))):
        with pytest.raises(CheckpointError, match="was refused: it holds more than.*Nothing of it was executed"):
            load(path)
    assert not target.exists()
    torch.load(path, weights_only=False)
    assert target.exists()  # the bomb is live


def test_an_output_folder_that_cannot_be_written_is_named(kit: D24FAD, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot write .*model.safetensors.*choose a folder that can be written"):
        kit.save(tmp_path / "file" / "model.safetensors")


def test_the_example_in_the_docstring_runs() -> None:
    results = doctest.testmod(detector_module, extraglobs={"D24FAD": D24FAD, "torch": torch})
    assert results.attempted >= 3 and results.failed == 0
