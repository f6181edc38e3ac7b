"""The two formats: how a graph is written, and how the written file is run to see whether it gives the same."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from d24fad_lite.messages import quiet
from d24fad_lite.predicting.export.facts import KEY
from d24fad_lite.predicting.export.graph import INPUTS, ExportGraph

MOST_PIXELS = 8192  # of a side
Run = Callable[[np.ndarray], tuple[float, np.ndarray]]


class ExportError(ValueError):
    """A detector that cannot be exported: what stands in the way, and what to do."""


def write_onnx(graph: ExportGraph, path: Path, facts: dict[str, Any]) -> Run:
    """Write an ONNX file by PyTorch's current exporter; returns how ONNX Runtime runs it on a CPU.

    Raises ExportError where an operator has no counterpart in ONNX, or the extra is absent.
    """
    _require("onnx", "onnxscript", "onnxruntime")
    import onnxruntime

    with _traced():
        try:
            program = torch.onnx.export(
                graph,
                (_example(graph),),
                dynamo=True,
                dynamic_shapes=_shapes(),
                input_names=["image"],
                output_names=["score", "anomaly_map"],
            )
        except Exception as error:  # the exporter raises many kinds, with pages of text
            raise ExportError(_why_not("onnx", graph, error)) from error
    assert program is not None
    program.model.metadata_props[KEY] = json.dumps(facts)
    program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(image: np.ndarray) -> tuple[float, np.ndarray]:
        score, anomaly_map = session.run(None, {"image": image})
        return float(score), anomaly_map

    return run


def write_torch(graph: ExportGraph, path: Path, facts: dict[str, Any]) -> Run:
    """Write a file of `torch.export`; returns how PyTorch runs it.

    Raises ExportError where the detector cannot be traced.
    """
    with _traced():
        try:
            program = torch.export.export(graph, (_example(graph),), dynamic_shapes=_shapes())
        except Exception as error:
            raise ExportError(_why_not("torch", graph, error)) from error
        torch.export.save(program, path, extra_files={f"{KEY}.json": json.dumps(facts)})
        module = torch.export.load(path).module()

    def run(image: np.ndarray) -> tuple[float, np.ndarray]:
        score, anomaly_map = module(torch.from_numpy(image))
        return float(score), anomaly_map.numpy()

    return run


FORMATS: dict[str, tuple[str, Callable[[ExportGraph, Path, dict[str, Any]], Run]]] = {
    "onnx": (".onnx", write_onnx),
    "torch": (".pt2", write_torch),
}


def _example(graph: ExportGraph) -> torch.Tensor:
    """An image of sides that nothing else in the graph has, so that none of them is taken for a constant."""
    generator = torch.Generator().manual_seed(0)
    return (255 * torch.rand(83, 71, 3, generator=generator)).to(INPUTS[graph.pixels])


def _shapes() -> dict[str, dict[int, Any]]:
    from torch.export import Dim

    sides = {i: Dim(name, min=2, max=MOST_PIXELS) for i, name in enumerate(("height", "width"))}
    return {"image": sides | {2: Dim("channels", min=1, max=4)}}


def _require(*modules: str) -> None:
    from importlib.util import find_spec

    if missing := [name for name in modules if find_spec(name) is None]:
        raise ExportError(
            f"to='onnx' needs {', '.join(missing)}: pip install 'd24fad_lite[export]'; or take to='torch'"
        )


def _why_not(target: str, graph: ExportGraph, error: Exception) -> str:
    """The end of the chain of causes in one line, which names the operator, and the ways out."""
    while error.__cause__ is not None and str(error.__cause__):
        error = error.__cause__  # type: ignore[assignment]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    teacher = graph.detector.config.to_dict()["teacher"]
    said = f"{type(error).__name__}: {lines[0][:240] if lines else ''}"
    other = "to='torch'" if target == "onnx" else "another teacher"
    return f"teacher {teacher!r} cannot be exported to {target}: {said}; try {other}, or report the operator"


@contextmanager
def _traced() -> Iterator[None]:
    """Without gradients, and without the exporters' progress and remarks: what matters is tried afterwards."""
    with quiet("torch", logging.CRITICAL), redirect_stdout(StringIO()), torch.no_grad():
        yield
