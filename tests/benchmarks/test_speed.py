"""The benchmark compares like with like: the released way gives the kit's scores and losses, and ratios are medians."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import d24fad_lite as d2
from d24fad_lite.model.features import TeacherFeatures

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from measuring import count_flops
from released_way import ReleasedWay
from speed_report import write_table
from timing import Timings, interleave


@pytest.fixture(scope="module")
def model() -> d2.D24FAD:
    return d2.D24FAD(d2.D24FADConfig(teacher="resnet18", weights="random", image_size=32))


def test_the_released_way_gives_the_same_scores(model: d2.D24FAD) -> None:
    queries, supports = torch.rand(3, 3, 32, 32), torch.rand(2, 3, 32, 32)
    found = model.predict(queries, model.encode_supports(supports)).score
    torch.testing.assert_close(found, ReleasedWay(model).score(queries, supports), rtol=1e-5, atol=1e-6)


def test_the_released_way_gives_the_same_loss_and_leaves_the_model_alone(model: d2.D24FAD) -> None:
    queries, supports = torch.rand(3, 3, 32, 32), torch.rand(2, 3, 3, 32, 32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss = ReleasedWay(model).step(queries, supports)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    embeddings = TeacherFeatures([], model.teacher(supports.flatten(0, 1)).embedding)
    expected = float(model.train()(model.teacher(queries), embeddings).loss.detach())
    model.load_state_dict(before)
    assert loss == pytest.approx(expected, rel=1e-4)


def test_the_released_way_costs_a_pass_per_support_and_query(model: d2.D24FAD) -> None:
    queries, supports = torch.rand(4, 3, 32, 32), torch.rand(2, 3, 32, 32)
    bank = model.encode_supports(supports)
    released = ReleasedWay(model)
    flops, _ = count_flops(
        {"released": lambda: released.score(queries, supports), "kit": lambda: model.predict(queries, bank)}
    )
    assert flops["released"] / flops["kit"] == pytest.approx(3, rel=0.1)


def test_ratios_are_medians_over_rounds_and_every_round_runs_all_in_turn() -> None:
    order: list[str] = []
    interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3  # once unmeasured
    times = {"slow": [4.0, 10.0, 6.0], "fast": [1.0, 1.0, 2.0]}
    assert Timings(times, times).ratio("slow", "fast") == {"ratio": 4.0, "low": 3.0, "high": 10.0, "cpu_ratio": 4.0}


def test_the_page_says_where_a_target_is_missed(tmp_path: Path) -> None:
    ratio = {"ratio": 9.0, "low": 8.0, "high": 10.0, "cpu_ratio": 9.1, "seconds": 0.5, "score_difference": 1e-7}
    results = {
        "setting": {
            "teacher": "t",
            "image_size": 128,
            "batch": 16,
            "rounds": 5,
            "threads": 2,
            "quick": False,
            "cpu": "AVX",
            "torch": "2",
        },
        "evaluation": [
            {"shots": 8, "seconds_released": 5.0, "gflop_released": 9.0, "gflop_kit": 1.0, "fp32": ratio, "bf16": ratio}
        ],
        "training": {
            "shots": 8,
            "seconds_released": 5.0,
            "loss_difference": 1e-6,
            "independent": ratio,
            "in-batch": ratio,
            "gflop": {"released": 1.0, "independent": 1.0, "in-batch": 1.0},
        },
        "roofline": {
            "gflop_per_s": {"encode": 1.0},
            "images_per_s": {"encode": 1.0, "encode bf16": 1.0},
            "share_of_convolution": 0.7,
            "share_of_own_convolutions": 0.9,
            "gain": {"folding": ratio},
        },
        "growth": {"seconds_per_query": {"2": 0.1, "8": 0.1}, "growth_2_to_8": ratio},
        "image_sizes": [{"size": 64, "ms_per_image": 1.0, "s_per_megapixel": 1.0}],
        "memory": {"in-batch": {"peak_mib": 1, "seconds": 1.0}},
        "loading": {"images": 1, "images_per_s": {"plain": 1.0}, "first": ratio, "kept": ratio},
        "agreement": [
            {
                "task": "A",
                "images": 200,
                "auroc": 0.5,
                "auroc_change": 0.0,
                "map_correlation": 1.0,
                "folding_score_difference": 0.0,
            }
        ],
    }
    write_table(results, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert ">= 8.5: met" in page and ">= 16: missed" in page and ">= 15: missed" in page and ">= 2.2: met" in page
