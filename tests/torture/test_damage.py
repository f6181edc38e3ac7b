"""Results that were damaged between two runs: the second refuses them by name, or ends as if nothing had been there."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import victims
from safetensors.torch import load_file
from tally import SEED, cases, count
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.data.layouts.left_out import DataWarning

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
DAMAGES = 40  # of the results of each work


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(content)))
    return content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :]


def _digit(content: bytes, rng: np.random.Generator) -> bytes:
    """Another digit in the place of one: what no parser sees."""
    places = [at for at, byte in enumerate(content) if chr(byte).isdigit()]
    at = int(rng.choice(places)) if places else 0
    return content[:at] + str((content[at] - 47) % 10).encode() + content[at + 1 :]


KINDS: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "cut short": lambda content, rng: content[: int(rng.integers(len(content)))],
    "emptied": lambda content, rng: b"",
    "one bit flipped": _flip,
    "one digit changed": _digit,
    "null": lambda content, rng: b"null",
    "zeros": lambda content, rng: bytes(len(content)),
    "another's": lambda content, rng: b"name,score\nx,1\n",
}


def damage(folder: Path, rng: np.random.Generator, left_alone: frozenset[str]) -> str:
    """Damage one file of a folder; which and how."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.stat().st_size and p.name not in left_alone]
    path, kind = files[int(rng.integers(len(files)))], list(KINDS)[int(rng.integers(len(KINDS)))]
    path.write_bytes(KINDS[kind](path.read_bytes(), rng))
    return f"{path.relative_to(folder)} {kind}"


def attempt(work: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """What the work gives, or the sentence with which it is refused."""
    try:
        return work(*arguments), ""
    except ValueError as error:
        return None, str(error)


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return all(bool((found[name] == tensor).all()) for name, tensor in expected.items())


def files(folder: Path) -> dict[str, bytes]:
    """What a folder holds, without the lock."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != ".in-use"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def weights_of(root: Path, out: Path, epochs: int) -> Any:
    """Train so many epochs in `out`; the weights."""
    model = d2.D24FAD(victims.CONFIG)
    d2.fit(model, d2.open_benchmark(root), out=out, **(victims.SETTINGS | {"epochs": epochs}))
    return model.trainable_state_dict()


def test_a_training_does_not_go_on_from_a_damaged_state(tiny_root: Path, tmp_path: Path) -> None:
    weights_of(tiny_root, tmp_path / "half", 1)
    expected = weights_of(tiny_root, tmp_path / "whole", 2)
    rng = np.random.default_rng([SEED, 5])
    for _ in cases(DAMAGES):
        out = Path(shutil.copytree(tmp_path / "half", tmp_path / "run", dirs_exist_ok=True))
        what = damage(out, rng, frozenset({".in-use", "history.csv"}))  # history.csv is written, never read
        found, said = attempt(weights_of, tiny_root, out, 2)
        assert ("training_state.safetensors" in said) if said else same(found, expected), what
        count("damaged results before a resume")


def test_a_prediction_does_not_go_on_from_damaged_results(tiny_root: Path, tmp_path: Path) -> None:
    model, images = d2.D24FAD(victims.CONFIG), tiny_root / "Stripes"

    def predict(out: Path) -> None:
        d2.predict_folder(
            model, images / "test" / "good", images / "train", out, batch_size=1, heatmap_size=32, progress=False
        )

    predict(tmp_path / "whole")
    expected = files(tmp_path / "whole")
    rng = np.random.default_rng([SEED, 6])
    for _ in cases(DAMAGES):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        out = Path(shutil.copytree(tmp_path / "whole", tmp_path / "run"))
        what = damage(out, rng, frozenset({".in-use"}))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # that scores.csv is not believed
            _, said = attempt(predict, out)
        if said:
            assert "predict.json" in said or "other settings" in said, what
        else:
            found = files(out)
            assert {name for name in found | expected if found.get(name) != expected.get(name)} == set(), what
        count("damaged results before a resume")


def test_a_model_file_that_was_damaged_is_not_loaded(tmp_path: Path) -> None:
    path = d2.D24FAD(victims.CONFIG).save(tmp_path / "run" / "model.safetensors")
    content, rng, expected = path.read_bytes(), np.random.default_rng([SEED, 7]), load_file(path)
    for _ in cases(DAMAGES):
        path.write_bytes(content)
        what = damage(path.parent, rng, frozenset())
        if path.read_bytes() == content:
            continue
        found, said = attempt(d2.D24FAD.load, path)
        # It may be loaded where neither a tensor nor a fact was hit, such as in blanks behind the header.
        assert ("model.safetensors" in said) if said else same(found.state_dict(), expected), what
        count("damaged model files")


@pytest.mark.parametrize("work", ["grid", "series"])
def test_a_run_of_notebooks_does_not_take_over_damaged_results(
    work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D24FAD_LEDGER", str(tmp_path / "ledger"))
    checkout = victims.write_checkout(tmp_path / "checkout")
    run = {"grid": victims.grid, "series": victims.series}[work]
    run(str(checkout), str(tmp_path / "whole"))
    rng, started = np.random.default_rng([SEED, 8]), len((tmp_path / "ledger").read_text().splitlines())
    believed = frozenset({".in-use", "report.html"})  # written, never read
    for _ in cases(DAMAGES // 4):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        out = Path(shutil.copytree(tmp_path / "whole", tmp_path / "run"))
        shutil.rmtree(out / "pages", ignore_errors=True)  # made from the notebooks
        what = damage(out, rng, believed)
        run(str(checkout), str(out))
        values = [json.loads(path.read_text()) for path in sorted(out.rglob("metrics.json"))]
        assert values == ([{"seed": 0}, {"seed": 1}, {"seed": 2}] if work == "grid" else [{"seed": 0}] * 3), what
        again = len((tmp_path / "ledger").read_text().splitlines())
        whole = "result.json" not in what and "summary.json" not in what  # a digit of its seconds may change nothing
        assert not whole or again - started == 1, f"{what}: {again - started} ran again"
        started = again
        count("damaged results before a resume")
