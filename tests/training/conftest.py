"""One benchmark and one uninterrupted training run, shared by the tests of a module."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_run import Weights, trained

import d24fad_lite as d2


@pytest.fixture(scope="module")
def bench(tiny_root: Path) -> d2.Benchmark:
    return d2.open_benchmark(tiny_root)


@pytest.fixture(scope="module")
def uninterrupted(bench: d2.Benchmark) -> Weights:
    return trained(bench)
