"""The settings of `fit`: one home of their defaults, documented wherever they are offered, refused with the way out."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest
import typer

import d24fad_lite as d2
from d24fad_lite.cli import fitting
from d24fad_lite.training.episodes import EpisodeSampler
from d24fad_lite.training.learner import OPTIMIZERS
from d24fad_lite.training.settings import CHOICES, FitSettings
from d24fad_lite.training.settings import OPTIMIZERS as OPTIMIZER_NAMES

DEFAULTS = {setting.name: setting.default for setting in fields(FitSettings)}
RUN = ["model", "tasks", "out", "resume", "cache", "device", "progress", "on_epoch", "accelerator"]  # where and how
NOT_ON_THE_COMMAND_LINE = {"betas", "optimizer"}


def defaults_of(function: Any) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


def test_fit_takes_every_setting_with_its_default() -> None:
    offered = defaults_of(d2.fit)
    assert {name: offered[name] for name in DEFAULTS} == DEFAULTS
    assert set(offered) == DEFAULTS.keys() | set(RUN)


def test_command_line_takes_every_setting_with_its_default() -> None:
    offered = defaults_of(fitting.fit)
    shared = DEFAULTS.keys() - NOT_ON_THE_COMMAND_LINE
    assert {name: offered[name] for name in shared} == {name: DEFAULTS[name] for name in shared}
    assert offered["resume"] is defaults_of(d2.fit)["resume"]


def test_help_of_the_command_shows_these_defaults() -> None:
    command = typer.main.get_command(_app())
    shown = {option.name: option.default for option in command.params}
    assert {name: shown[name] for name in DEFAULTS.keys() & shown.keys()} == {
        name: value for name, value in DEFAULTS.items() if name in shown
    }


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(fitting.fit)
    return app


def test_sampler_takes_the_settings_it_shares_with_their_defaults() -> None:
    offered = defaults_of(EpisodeSampler)
    for name in ("batch_size", "seed", "episodes"):
        assert offered[name] == DEFAULTS[name], name


@pytest.mark.parametrize("documented", [d2.fit, FitSettings])
def test_each_setting_is_documented_with_its_default(documented: Any) -> None:
    lines = (inspect.getdoc(documented) or "").splitlines()
    for name, value in DEFAULTS.items():
        (entry,) = (line for line in lines if line.startswith(f"{name} : "))
        text = {1e-4: "1e-4"}.get(value, f'"{value}"' if isinstance(value, str) else str(value))
        assert entry.endswith("optional" if value is None else f"default {text}"), entry


def test_arguments_of_fit_become_settings_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from d24fad_lite.training import fit as fit_module

    given = FitSettings(2, 3, 4, 5, 0.5, "cosine", (0.1, 0.2), "adamw", "in-batch", "bf16", 0.3, 2, 0.9)
    assert all(getattr(given, name) != default for name, default in DEFAULTS.items())
    passed: list[FitSettings] = []

    class Run:
        def __init__(self, model: Any, tasks: Any, settings: FitSettings, *_: Any, **__: Any) -> None:
            passed.append(settings)

        def train(self, *_: Any) -> None:
            return None

    monkeypatch.setattr(fit_module, "TrainingRun", Run)
    monkeypatch.setattr(fit_module, "new_accelerator", lambda *_: None)
    d2.fit(None, {"task": None}, **given.keywords())
    assert passed == [given]


def test_learner_knows_every_optimiser_that_the_settings_allow() -> None:
    assert set(OPTIMIZERS) == set(OPTIMIZER_NAMES)


@pytest.mark.parametrize("name", CHOICES)
def test_setting_out_of_a_few_names_the_few(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}='nothing' is not known; choose one of '{CHOICES[name][0]}', '"):
        FitSettings(**{name: "nothing"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shots": 0}, "shots must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1, got 2.5"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"epochs": 0}, "epochs=0 must be a whole number, at least 1"),
        ({"validation": -0.1}, "validation=-0.1 must lie between 0 and 1"),
        ({"validation": float("nan")}, "validation=nan must lie between 0 and 1"),
        ({"patience": 3}, "patience needs a validation loss; set validation"),
        ({"ema": 1}, "ema=1 must be at least 0 .off. and below 1"),
    ],
)
def test_setting_out_of_range_is_refused_when_it_is_made(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitSettings(**changes)


def test_identity_leaves_out_what_is_off_and_the_epochs_of_a_run_that_may_be_prolonged() -> None:
    plain = FitSettings().identity()
    assert plain.keys() == DEFAULTS.keys() - {"ema", "lr_schedule", "epochs"} and plain["betas"] == [0.5, 0.999]
    assert FitSettings(lr_schedule="cosine", ema=0.9).identity().keys() == DEFAULTS.keys()


def test_settings_are_read_without_anything_heavy() -> None:
    code = (
        "import sys\nfrom d24fad_lite.training.settings import FitSettings\n"
        "print(sorted({'torch', 'timm', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
