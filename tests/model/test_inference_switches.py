"""What makes inference fast must not change what it says: folding, precision, copies that follow the weights."""

from __future__ import annotations

import copy
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import d24fad_lite as d2
from d24fad_lite.evaluation.metrics import image_auroc
from d24fad_lite.model.speed.folding import fold, no_folding
from d24fad_lite.model.speed.precision import usable_precision
from d24fad_lite.model.student import Student
from d24fad_lite.model.teacher import Pyramid, StageKind


def lived_in(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with batch norms that have statistics, scales and shifts of their own, as after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                for tensor, low in (
                    (norm.running_mean, -0.3),
                    (norm.running_var, 0.5),
                    (norm.weight, 0.7),
                    (norm.bias, -0.2),
                ):
                    tensor.copy_(low + 0.6 * torch.rand(tensor.shape, generator=generator))
    return module


def images(count: int, size: int = 64, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> d2.D24FAD:
    return lived_in(d2.D24FAD(d2.D24FADConfig(teacher="resnet18", weights="random", image_size=64)))


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def test_folding_changes_scores_maps_and_weights_by_less_than_1e_5(model: d2.D24FAD) -> None:
    queries, supports = images(3), images(2, seed=2)
    found = model.predict(queries, model.encode_supports(supports))
    with no_folding():
        expected = model.predict(queries, model.encode_supports(supports))
    for ours, theirs in zip(found, expected, strict=True):
        assert relative(ours, theirs) < 1e-5


def test_inference_really_runs_without_batch_norms(model: d2.D24FAD) -> None:
    inputs = images(1), model.teacher(images(1)).embedding
    kinds = {
        type(m)
        for network, x in zip((model.teacher.backbone, model.student), inputs, strict=True)
        for m in fold(network, x).network.modules()
    }
    assert nn.Conv2d in kinds and nn.ConvTranspose2d in kinds
    assert nn.BatchNorm2d not in kinds


@pytest.mark.parametrize("groups", [1, 4])
def test_grouped_and_transposed_convolutions_fold_exactly(groups: int) -> None:
    kind = StageKind(bottleneck=True, depth=1, width=1.0, groups=groups)
    pyramid = Pyramid([16, 32], [(8, 8), (4, 4)], 64, (2, 2), [False, False], [kind, kind])
    student = lived_in(Student(pyramid)).double().eval()
    embedding = torch.rand(2, 64, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        found = student(embedding)
        with no_folding():
            expected = student(embedding)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_a_convolution_with_a_bias_and_a_norm_without_scale_fold_too() -> None:
    pair = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)).double()
    pair[1].running_mean.uniform_(-1, 1)
    pair[1].running_var.uniform_(0.5, 2)
    x = torch.rand(2, 3, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(fold(pair, x).network(x), pair.eval()(x))


def test_scores_follow_every_change_of_the_student(model: d2.D24FAD) -> None:
    mine, queries = copy.deepcopy(model), images(2)
    levels = [mine.encode_queries(queries).student[0]]
    with torch.no_grad():
        mine.student.layer3[0].bn1.weight.mul_(1.5)
    levels.append(mine.encode_queries(queries).student[0])
    mine.student.layer1[0].bn1.running_mean.add_(0.5)
    levels.append(mine.encode_queries(queries).student[0])
    optimizer = torch.optim.Adam(mine.student.parameters(), lr=1e-2)
    mine.train()
    mine(queries, images(2, seed=2)).loss.backward()
    optimizer.step()
    levels.append(mine.encode_queries(queries).student[0])
    mine.load_trainable_state_dict(model.trainable_state_dict())
    levels.append(mine.encode_queries(queries).student[0])
    for before, after in pairwise(levels):
        assert relative(after, before) > 1e-3
    torch.testing.assert_close(levels[-1], levels[0])


def test_a_step_of_batch_statistics_alone_is_noticed(model: d2.D24FAD) -> None:
    mine, queries = copy.deepcopy(model), images(2)
    before = mine.encode_queries(queries).student[0]
    mine.train()
    mine(queries, images(2, seed=2))  # a forward pass in train mode moves the running statistics, nothing else
    assert relative(mine.encode_queries(queries).student[0], before) > 1e-4


def test_state_dict_fingerprint_and_training_mode_are_untouched_by_inference(model: d2.D24FAD) -> None:
    mine = copy.deepcopy(model).train()
    names, fingerprint = list(mine.state_dict()), mine.teacher.fingerprint()
    mine.predict(images(1), mine.encode_supports(images(2)))
    assert list(mine.state_dict()) == names and mine.teacher.fingerprint() == fingerprint
    assert mine.student.training and any(isinstance(m, nn.BatchNorm2d) for m in mine.student.modules())


def test_a_teacher_module_of_your_own_is_run_as_it_is() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.calls = nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), 0

        def forward(self, x: Tensor) -> list[Tensor]:
            self.calls += 1
            return [y := self.norm(self.first(x)), nn.functional.avg_pool2d(y, 2)]

    backbone = Counting()
    mine = d2.D24FAD(d2.D24FADConfig(teacher=backbone, image_size=32))
    calls = backbone.calls
    mine.encode_queries(images(1, 32))
    assert backbone.calls == calls + 1


@pytest.fixture(params=["this processor", "one without AVX-512"])
def ran(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The precision in which a pass in bf16 really runs."""
    if request.param != "this processor":
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return usable_precision("bf16", torch.device("cpu"))


def test_where_bf16_would_only_cost_the_pass_is_that_of_fp32_and_says_so(model: d2.D24FAD, ran: str) -> None:
    if ran == "bf16":
        assert usable_precision("bf16", torch.device("cpu")) == "bf16"
        return
    with pytest.warns(UserWarning, match="no AVX-512.*going on in fp32"):
        fast = model.encode_queries(images(1), "bf16")
    torch.testing.assert_close(fast.student, model.encode_queries(images(1)).student, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:precision='bf16'")
def test_bf16_keeps_maps_to_a_correlation_of_0_999_and_features_in_float32(model: d2.D24FAD, ran: str) -> None:
    queries, supports = images(8), images(4, seed=2)
    exact = model.predict(queries, model.encode_supports(supports))
    fast = model.predict(queries, model.encode_supports(supports, "bf16"), "bf16")
    assert torch.equal(fast.anomaly_map, exact.anomaly_map) == (ran == "fp32")
    maps = torch.stack([exact.anomaly_map.flatten(), fast.anomaly_map.flatten()])
    assert float(torch.corrcoef(maps)[0, 1]) >= 0.999
    features = model.encode_queries(queries, "bf16")
    assert {f.dtype for f in (*features.teacher, *features.student, fast.score)} == {torch.float32}


@pytest.mark.filterwarnings("ignore:precision='bf16'")
def test_bf16_leaves_the_auroc_of_images_with_a_patch_within_0_002(model: d2.D24FAD) -> None:
    queries = 0.5 + 0.1 * images(80)
    for row in range(40, 80):  # patches from faint to strong, so that the AUROC lies between chance and perfect
        queries[row, :, 20:36, 20:36] += 0.005 * (row - 40)
    labels = np.repeat([0, 1], 40)
    bank = {p: model.encode_supports(0.5 + 0.1 * images(4, seed=2), p) for p in ("fp32", "bf16")}
    found = {p: image_auroc(labels, model.predict(queries, bank[p], p).score.numpy()) for p in bank}
    assert 0.3 < found["fp32"] < 1
    assert abs(found["fp32"] - found["bf16"]) <= 0.002


def test_evaluate_in_bf16_notes_the_precision_that_ran_and_warns_once(ran: str, tiny_root: Path) -> None:
    task = next(iter(d2.open_benchmark(tiny_root).values()))
    small = d2.D24FAD(d2.D24FADConfig(teacher="resnet18", weights="random", image_size=32))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = d2.evaluate(small, task, shots=2, draws=2, precision="bf16", batch_size=1)
    assert report.facts["precision"] == ran and np.isfinite(report.scores).all()
    assert sum("precision='bf16'" in str(warning.message) for warning in caught) == (ran == "fp32")


def test_an_unknown_precision_names_the_choices(model: d2.D24FAD) -> None:
    with pytest.raises(ValueError, match=r"precision='fp8' is not known; choose one of 'fp32', 'bf16'"):
        model.encode_queries(images(1), precision="fp8")
