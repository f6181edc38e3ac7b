"""Files that no loader may believe: for each door of the kit, a good file and many ways of spoiling it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import victims
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.evaluation.report import EvaluationReport

TEXTS = {
    "empty": b"",
    "a text": b"name,score\nx,1\n",
    "a page": b"<!doctype html><html></html>",
    "zeros": bytes(4096),
    "a zip of nothing": b"PK\x05\x06" + bytes(18),
    "a pickle of a number": b"\x80\x04K\x01.",
    "not UTF-8": b'{"schema": 1, "task": "\xff\xfe"}',
    "JSON null": b"null",
    "a JSON list": b"[1, 2]",
    "a JSON text": b'"x"',
    "an empty object": b"{}",
    "a deep nest": b'{"a":' * 100_000,
    "a huge header": (2**60).to_bytes(8, "little") + b"{}",
}
ODD_VALUES: dict[str, Any] = {
    "null": None, "a number": 3, "minus one": -1, "a text": "x", "a list": [], "a list of null": [None],
    "an object": {}, "true": True, "a nest": {"a": {"b": [{}]}},
}  # fmt: skip


@dataclass(frozen=True)
class Door:
    """Something that reads a file: how to read it, and the spoilt files by name."""

    name: str
    read: Callable[[Path], object]
    spoilt: Callable[[Path], Iterator[tuple[str, Path]]]


def raw(folder: Path, name: str, good: bytes) -> Iterator[tuple[str, Path]]:
    """Contents of other kinds, and the good file cut short, in files of this name in folders of their own."""
    cut = {f"cut to {part:.0%}": good[: int(part * len(good))] for part in (0.001, 0.02, 0.3, 0.7, 0.99)}
    for number, (kind, content) in enumerate((TEXTS | cut).items()):
        path = folder / f"raw {number}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        yield kind, path


def with_tensors(folder: Path, good: Path) -> Iterator[tuple[str, Path]]:
    """A safetensors file of the kit with other metadata or tensors, and without the sha256 that would tell."""
    with safe_open(good, framework="pt") as file:
        facts = json.loads(file.metadata()["d24fad_lite"])
    facts.pop("content_sha256", None)
    tensors = load_file(good)
    changes: dict[str, tuple[dict[str, Tensor], Any]] = {}
    for place in _places(facts):
        for kind, value in ODD_VALUES.items():
            changed = _replaced(facts, place, value)
            if json.dumps(changed) != json.dumps(facts):  # else the file is as good as before
                changes[f"{'.'.join(place)} is {kind}"] = tensors, changed
        changes[f"{'.'.join(place)} is absent"] = tensors, _replaced(facts, place, _ABSENT)
    first = next(name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.ndim > 1)
    for kind, tensor in {
        "NaN": tensors[first].clone().fill_(torch.nan),
        "infinity": tensors[first].clone().fill_(torch.inf),
        "whole numbers": tensors[first].long(),
        "booleans": tensors[first].bool(),
        "another shape": tensors[first][:1].clone(),
        "no element": tensors[first][:0].clone(),
    }.items():
        changes[f"a tensor of {kind}"] = tensors | {first: tensor}, facts
    changes["a tensor missing"] = {name: tensor for name, tensor in tensors.items() if name != first}, facts
    changes["no tensors"] = {}, facts
    for number, (kind, (of_file, content)) in enumerate(changes.items()):
        path = folder / f"changed {number}" / good.name
        path.parent.mkdir(parents=True)
        save_file(of_file, path, metadata={"d24fad_lite": json.dumps(content)})
        yield kind, path
    for number, text in enumerate(("", "{", "null", "[]", '{"a":' * 100_000)):
        path = folder / f"metadata {number}" / good.name
        path.parent.mkdir(parents=True)
        save_file(tensors, path, metadata={"d24fad_lite": text})
        yield f"metadata {text[:9]!r}", path


_ABSENT = object()


def _places(facts: dict[str, Any]) -> list[tuple[str, ...]]:
    """Where in the metadata something is replaced: entries of the top, and of objects in it."""
    inner = [(name, each) for name, value in facts.items() if isinstance(value, dict) for each in value]
    return [*((name,) for name in facts), *inner]


def _replaced(facts: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(facts)
    inside = changed
    for name in place[:-1]:
        inside = inside[name]
    if value is _ABSENT:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return changed


def of_json(folder: Path, good: Path) -> Iterator[tuple[str, Path]]:
    """A JSON file with other values in its entries."""
    content = json.loads(good.read_text())
    number = 0
    for place in ((name,) for name in content):
        for kind, value in (ODD_VALUES | {"absent": _ABSENT}).items():
            path = folder / f"json {number}" / good.name
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(_replaced(content, place, value)))
            number += 1
            yield f"{place[0]} is {kind}", path


def doors(root: Path, folder: Path) -> list[Door]:
    """All doors, each with its good file written below `folder`."""
    bench, model = d2.open_benchmark(root), d2.D24FAD(victims.CONFIG)
    good = model.save(folder / "good" / "model.safetensors", trained_on=["Blobs"])
    settings = victims.SETTINGS | {"epochs": 1}
    d2.fit(model, bench, out=folder / "state", **settings)
    state = folder / "state" / "training_state.safetensors"
    report = d2.evaluate(model, bench["Blobs"], shots=2, draws=2).save(folder / "report", names=True) / "report.json"
    weights = folder / "weights" / "weights.pth"
    weights.parent.mkdir()
    torch.save(model.teacher.backbone.state_dict(), weights)

    def resume(path: Path) -> None:
        d2.fit(d2.D24FAD(victims.CONFIG), bench, out=path.parent, **(settings | {"epochs": 2}))

    def teacher(path: Path) -> None:
        d2.D24FAD(victims.CONFIG.replace(weights=str(path)))

    def another_kind(path: Path, other: Path) -> Iterator[tuple[str, Path]]:
        place = path / "another kind" / good.name
        place.parent.mkdir(parents=True)
        place.write_bytes(other.read_bytes())
        yield "a file of another kind", place

    def model_files(path: Path) -> Iterator[tuple[str, Path]]:
        yield from raw(path, good.name, good.read_bytes())
        yield from with_tensors(path, good)
        yield from another_kind(path, state)

    def state_files(path: Path) -> Iterator[tuple[str, Path]]:
        yield from raw(path, state.name, state.read_bytes())
        yield from with_tensors(path, state)
        for kind, place in another_kind(path, good):
            yield kind, place.rename(place.with_name(state.name))

    def report_files(path: Path) -> Iterator[tuple[str, Path]]:
        yield from raw(path, report.name, report.read_bytes())
        yield from of_json(path, report)

    return [
        Door("a detector's file", d2.D24FAD.load, model_files),
        Door("a training's state", resume, state_files),
        Door("a report", lambda path: EvaluationReport.load(path.parent), report_files),
        Door("a teacher's weights (.pth)", teacher, lambda path: raw(path, "w.pth", weights.read_bytes())),
        Door("a teacher's weights (.safetensors)", teacher, lambda path: raw(path, "w.safetensors", good.read_bytes())),
    ]
