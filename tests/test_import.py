"""The package starts without the notebook stack, and as fast as torch and timm do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "jupyter",
    "jupyterlab",
    "jupyter_client",
    "jupyter_core",
    "IPython",
    "ipykernel",
    "ipywidgets",
    "papermill",
    "nbformat",
    "nbclient",
    "nbconvert",
    "matplotlib",
    "seaborn",
    "transformers",
)
NOTHING = "pass"
TOUCHED = "d2.D24FAD, d2.fit, d2.evaluate"
USED = (
    "m = d2.D24FAD(d2.D24FADConfig(teacher='test_resnet', weights='random', image_size=32));"
    "d2.open_benchmark({root!r}); m.predict(*[f(__import__('torch').rand(2, 3, 32, 32)) for f in"
    " (m.encode_queries, m.encode_supports)])"
)


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("use", [NOTHING, TOUCHED, USED])
def test_importing_and_using_the_package_loads_nothing_of_the_notebook_stack(use: str, tiny_root: Path) -> None:
    use = use.replace("{root!r}", repr(str(tiny_root)))
    loaded = set(fresh(f"import sys, d24fad_lite as d2\n{use}\nprint(*sys.modules)").split())
    assert "d24fad_lite" in loaded
    assert sorted(name for name in loaded if name.split(".")[0] in HEAVY or name.startswith("jupyter")) == []


@pytest.mark.slow
def test_the_import_takes_at_most_a_fifth_longer_than_torch_and_timm() -> None:
    clock = "import time; a = time.perf_counter(); import {}; b = time.perf_counter(); import {}; print(b - a, {})"
    alone, _ = (float(value) for value in fresh(clock.format("d24fad_lite", "time", 0)).split())
    after = "time.perf_counter() - b"  # both clocks in one process: a busy machine slows both
    ratios = []
    for _ in range(2):
        base, more = (float(value) for value in fresh(clock.format("torch, timm", "d24fad_lite", after)).split())
        ratios.append(max(alone, base + more) / base)
    assert min(ratios) <= 1.2


def test_names_come_on_first_use_and_unknown_ones_are_answered_with_near_ones() -> None:
    import d24fad_lite as d2

    assert all(getattr(d2, name) is not None for name in d2.__all__) and set(d2.__all__) <= set(dir(d2))
    with pytest.raises(AttributeError, match=r"no attribute 'evalute' \(did you mean 'evaluate'\?\)"):
        d2.evalute  # noqa: B018
