"""Whatever can be evaluated goes through one door: a detector is wrapped, a scorer passes, all else is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import d24fad_lite as d2
from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch
from d24fad_lite.evaluation.baselines.variants import DetectorVariant
from d24fad_lite.evaluation.localisation import localise
from d24fad_lite.evaluation.scorer import DetectorScorer, RawMapScorer, as_scorer
from d24fad_lite.evaluation.uncertainty.thresholds import calibrate, leave_one_out_scores, normal_scores
from d24fad_lite.supports.contamination import support_influence
from d24fad_lite.supports.lottery import support_lottery

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model() -> d2.D24FAD:
    return d2.D24FAD(d2.D24FADConfig(teacher="test_resnet", weights="random", image_size=32))


@pytest.fixture(scope="module")
def task(tiny_root: Path) -> d2.Task:
    return d2.open_benchmark(tiny_root)["Stripes"]


def test_a_detector_is_wrapped_and_a_scorer_passes(model: d2.D24FAD) -> None:
    wrapped = as_scorer(model)
    assert isinstance(wrapped, DetectorScorer) and wrapped.model is model and wrapped.precision == "fp32"
    nearest = NearestPatch(model)
    assert as_scorer(wrapped) is wrapped and as_scorer(nearest) is nearest


def test_a_report_says_what_was_scored_and_with_which_settings(model: d2.D24FAD, task: d2.Task) -> None:
    options = dict(shots=2, draws=2)
    plain = d2.evaluate(model, task, **options).facts
    other = d2.evaluate(DetectorVariant(model, "both", map_source="both"), task, **options).facts
    assert (plain["scorer"], other["scorer"]) == ("DetectorScorer", "DetectorVariant")
    assert plain["config"] == model.config.to_dict()
    assert other["config"] == plain["config"] | {"map_source": "both"} != plain["config"]
    assert other["teacher"] == plain["teacher"] == model.teacher.fingerprint()
    nearest = d2.evaluate(NearestPatch(model), task, **options).facts
    assert nearest["scorer"] == "NearestPatch" and nearest["teacher"] == plain["teacher"] and "config" not in nearest


@pytest.mark.parametrize(
    "use",
    [
        lambda other, task: d2.evaluate(other, task, shots=2, draws=2),
        lambda other, task: support_lottery(other, task, shots=2, draws=2),
        lambda other, task: localise(other, task, shots=2),
        lambda other, task: support_influence(other, IMAGES, IMAGES),
        lambda other, task: calibrate(other, IMAGES, alpha=0.5),
        lambda other, task: leave_one_out_scores(other, IMAGES),
        lambda other, task: normal_scores(other, IMAGES, IMAGES),
    ],
)
@pytest.mark.parametrize("other", [torch.nn.Identity(), "run/model.pt", None])
def test_anything_else_is_named_wherever_it_is_passed(use: Callable[..., Any], other: object, task: d2.Task) -> None:
    with pytest.raises(ValueError, match=f"model must be a D24FAD or a scorer .*, got {type(other).__name__}$"):
        use(other, task)


def test_a_reading_is_followed_named_and_recorded(model: d2.D24FAD, task: d2.Task) -> None:
    options = dict(shots=2, draws=2)
    report = d2.evaluate(model, task, reading="matched", **options)
    assert (report.method, report.facts["reading"]) == ("D²4FAD, matched", "matched")
    view = d2.evaluate(model.read_as("matched"), task, **options)
    assert (view.scores == report.scores).all() and view.facts["reading"] == "matched"
    assert d2.evaluate(model, task, **options).facts["reading"] == "released"
    assert d2.evaluate(model.read_as(blur_sigma=1.0), task, **options).facts["reading"] is None


def test_a_reading_is_refused_for_a_scorer_and_where_it_is_unknown(model: d2.D24FAD, task: d2.Task) -> None:
    with pytest.raises(ValueError, match="reading='matched' is for a D24FAD; NearestPatch reads in its own way"):
        d2.evaluate(NearestPatch(model), task, shots=2, draws=2, reading="matched")
    with pytest.raises(ValueError, match="reading='mathced' is not known"):
        d2.evaluate(model, task, shots=2, draws=2, reading="mathced")


def test_the_leaking_protocol_is_refused_for_a_scorer_without_raw_maps(model: d2.D24FAD, task: d2.Task) -> None:
    assert isinstance(as_scorer(model), RawMapScorer) and not isinstance(NearestPatch(model), RawMapScorer)
    with pytest.raises(ValueError, match="'nearest patch, max' gives none"):
        d2.evaluate(NearestPatch(model), task, shots=2, draws=2, protocol="official")


def test_a_precision_is_refused_for_a_scorer_that_would_not_use_it(model: d2.D24FAD, task: d2.Task) -> None:
    with pytest.raises(ValueError, match="precision='bf16' is for a D24FAD; NearestPatch computes in its own way"):
        d2.evaluate(NearestPatch(model), task, shots=2, draws=2, precision="bf16")
