"""Teachers in transformers' format: where their weights may come from, and what a detector's file says of them."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoders import (
    FORMATS,
    MEAN,
    SIZE,
    config,
    size_of,
    tiny_encoder,
    write_encoder,
)
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.model.checkpoint import CheckpointError, WeightsError
from d24fad_lite.model.encoders.description import described
from d24fad_lite.model.storage import read_detector
from d24fad_lite.model.teacher import Teacher
from d24fad_lite.model.weights import hub

pytest.importorskip("transformers")

pytestmark = [pytest.mark.usefixtures("no_network"), pytest.mark.filterwarnings("ignore:teacher .* has one grid")]


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, d2.D24FAD]:
    """A stored detector whose teacher's folder is gone."""
    folder = write_encoder(tmp_path / "net", "dinov2_with_registers")
    model = d2.D24FAD(config(folder))
    path = model.save(tmp_path / "model.safetensors")
    shutil.rmtree(folder)
    return path, model


@pytest.mark.slow
@pytest.mark.parametrize("model_type", FORMATS)
def test_a_stored_detector_gives_the_same_scores_bit_for_bit_without_its_folder(
    model_type: str, tmp_path: Path, images: Tensor
) -> None:
    size = size_of(model_type)
    folder = write_encoder(tmp_path / "net", model_type)
    model = d2.D24FAD(config(folder, image_size=size))
    path = model.save(tmp_path / "model.safetensors")
    shutil.rmtree(folder)
    again = d2.D24FAD.load(path)
    queries = images[:, :, :size, :size]
    scores = [one.predict(queries, one.encode_supports(queries)).score for one in (model, again)]
    assert torch.equal(*scores) and again.teacher.fingerprint() == model.teacher.fingerprint()
    assert again.teacher.weights_source == model.teacher.weights_source
    assert again.teacher.mean.flatten().tolist() == pytest.approx(MEAN)


def test_a_baseline_on_such_a_teacher_loads_without_its_folder_too(tmp_path: Path, images: Tensor) -> None:
    folder = write_encoder(tmp_path / "net", "dinov3_vit")
    model = d2.NearestPatchDetector(config(folder))
    path = model.save(tmp_path / "model.safetensors")
    shutil.rmtree(folder)
    again = d2.load_detector(path)
    assert torch.equal(*(one.predict(images, one.encode_supports(images[:2])).score for one in (model, again)))


def test_a_loaded_detector_can_be_saved_again(saved: tuple[Path, d2.D24FAD], tmp_path: Path) -> None:
    again = d2.D24FAD.load(d2.D24FAD.load(saved[0]).save(tmp_path / "second.safetensors"))
    assert again.teacher.fingerprint() == saved[1].teacher.fingerprint()


def changed(path: Path, **facts: Any) -> Path:
    """The file with other metadata and a checksum that agrees."""
    from d24fad_lite.model.checkpoint import read_tensors, write_tensors

    tensors, metadata = read_tensors(path)
    return write_tensors(path, tensors, metadata | facts)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "llama"}, "type 'llama'.* none of the encoders"),
        ({"num_attention_heads": 4}, "another teacher"),
        ({"num_hidden_layers": 3}, "another architecture"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({"hidden_size": 10**9}, "hidden_size is 1000000000"),
    ],
)
def test_a_file_that_describes_another_network_is_refused(
    saved: tuple[Path, d2.D24FAD], change: dict[str, Any], words: str
) -> None:
    architecture = dict(saved[1].teacher.facts().architecture or {})
    architecture["config"] = {**architecture["config"], **change}
    with pytest.raises(CheckpointError, match=words):
        d2.D24FAD.load(changed(saved[0], architecture=architecture))


def test_a_file_without_a_description_opens_no_folder_because_it_says_so(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "net", "vit")
    path = d2.D24FAD(config(folder)).save(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="nothing is opened or downloaded because a file says so"):
        d2.D24FAD.load(changed(path, architecture=None))


def test_a_file_of_an_unknown_library_is_refused(saved: tuple[Path, d2.D24FAD]) -> None:
    with pytest.raises(CheckpointError, match="a teacher of 'theirs' is not known"):
        d2.D24FAD.load(changed(saved[0], architecture={"library": "theirs"}))


def test_nothing_that_names_code_kernels_or_files_is_kept_of_a_configuration(saved: tuple[Path, d2.D24FAD]) -> None:
    odd = {"auto_map": {"AutoModel": "x--y.Z"}, "_attn_implementation": "them/kernels", "quantization_config": {"a": 1}}
    odd |= {"attn_implementation": "them/kernels", "_name_or_path": "/home/someone"}
    kept, _ = described(dict(FORMATS["vit"], model_type="vit", **odd), "config.json")
    assert set(kept) == {*FORMATS["vit"], "model_type"}
    stored = read_detector(saved[0]).teacher.architecture
    assert stored is not None and not [key for key in stored["config"] if key.startswith("_")]


def test_equal_tensors_with_other_attention_heads_are_another_teacher(tmp_path: Path) -> None:
    folders = [write_encoder(tmp_path / str(heads), "vit", num_attention_heads=heads) for heads in (2, 4)]
    first, second = (Teacher(f"hf:{folder}", "local", SIZE) for folder in folders)
    tensors = [teacher.backbone.state_dict() for teacher in (first, second)]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    assert first.fingerprint() != second.fingerprint()


# -- where weights come from, and what is refused -------------------------------------------------------------------


def test_two_constructions_from_one_folder_are_the_same_teacher(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "net", "beit")
    assert len({Teacher(f"hf:{folder}", "local", SIZE).fingerprint() for _ in range(2)}) == 1


def test_a_classifiers_folder_and_one_in_parts_give_the_same_levels_as_the_encoders(
    tmp_path: Path, images: Tensor
) -> None:
    from transformers import ViTForImageClassification

    whole = write_encoder(tmp_path / "whole", "vit")
    parts = shutil.copytree(whole, tmp_path / "parts")
    (parts / "model.safetensors").unlink()
    encoder = tiny_encoder("vit")
    encoder.save_pretrained(parts, max_shard_size="20KB")
    assert len(list(parts.glob("*.safetensors"))) > 1
    classifier = ViTForImageClassification(encoder.config)
    classifier.vit.load_state_dict(encoder.state_dict(), strict=False)
    classifier.save_pretrained(tmp_path / "classifier")
    shutil.copy(whole / "preprocessor_config.json", tmp_path / "classifier")
    expected = Teacher(f"hf:{whole}", "local", SIZE)(images)
    for folder in (parts, tmp_path / "classifier"):
        found = Teacher(f"hf:{folder}", "local", SIZE)(images)
        assert all(torch.equal(*pair) for pair in zip(found.levels, expected.levels, strict=True))
        assert torch.equal(found.embedding, expected.embedding)


def test_random_weights_need_no_safetensors_and_follow_the_seed(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "net", "vit")
    (folder / "model.safetensors").unlink()
    marks = [Teacher(f"hf:{folder}", "random", SIZE, seed=seed).fingerprint() for seed in (1, 1, 2)]
    assert marks[0] == marks[1] != marks[2]


def test_a_pickle_in_place_of_safetensors_is_refused_unopened(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "net", "vit")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"no .safetensors file, but \['pytorch_model.bin'\]; .*so they are refused"):
        d2.D24FAD(config(folder))


def test_weights_without_a_tensor_are_refused_by_its_name(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "net", "vit")
    tensors = load_file(folder / "model.safetensors")
    gone = next(name for name in tensors if "attention" in name)
    save_file(
        {name: tensor for name, tensor in tensors.items() if name != gone},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(CheckpointError, match="1 tensors missing"):
        d2.D24FAD(config(folder))


def test_weights_of_more_blocks_than_the_configuration_has_are_refused(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "net", "vit")
    description = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**description, "num_hidden_layers": 3}))
    with pytest.raises(CheckpointError, match="0 tensors missing, 1[26] without a place"):
        d2.D24FAD(config(folder))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "vitt"}, r"type 'vitt' \(did you mean 'vit'\?\), which is none of the encoders"),
        ({"num_channels": 1}, "takes images of 1 channels, the kit gives 3"),
        ({"hidden_act": "no such"}, "cannot be built|cannot be used|cannot serve"),
    ],
)
def test_a_configuration_that_cannot_be_a_teacher_is_refused(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    folder = write_encoder(tmp_path / "net", "vit")
    description = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**description, **change}))
    with pytest.raises(CheckpointError, match=words):
        d2.D24FAD(config(folder))


def test_a_repository_that_is_not_in_the_cache_names_the_command_that_fetches_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: None)
    with pytest.raises(
        WeightsError, match=r"(?s)hf download some/encoder --revision v2 --include 'config.json' .*weights='d"
    ):
        d2.D24FAD(d2.D24FADConfig(teacher="hf:some/encoder@v2"))


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """some/encoder@v2 as the hub's client keeps it: its folder in a cache of its own, the weights in several files."""
    place = tmp_path / "hub" / "models--some--encoder"
    folder = write_encoder(place / "snapshots" / "0123", "dinov2")
    (folder / "model.safetensors").unlink()
    tiny_encoder("dinov2").save_pretrained(folder, max_shard_size="20KB")
    (place / "refs").mkdir()
    (place / "refs" / "v2").write_text("0123")
    own = partial(hub.try_to_load_from_cache, cache_dir=tmp_path / "hub")
    monkeypatch.setattr(hub, "try_to_load_from_cache", own)
    return folder


def test_a_repository_in_the_cache_is_read_from_there(cached: Path) -> None:
    teacher = Teacher("hf:some/encoder@v2", "local", SIZE)
    assert (teacher.weights_source.kind, teacher.weights_source.name) == ("cache", "some/encoder@v2")
    assert teacher.fingerprint() == Teacher(f"hf:{cached}", "local", SIZE).fingerprint()


def test_a_repository_of_which_a_part_or_the_revision_is_missing_is_not_in_the_cache(cached: Path) -> None:
    with pytest.raises(WeightsError, match="nor in the local cache"):
        Teacher("hf:some/encoder", "local", SIZE)
    max(cached.glob("*.safetensors")).unlink()
    with pytest.raises(WeightsError, match="nor in the local cache"):
        Teacher("hf:some/encoder@v2", "local", SIZE)


def test_a_download_is_made_only_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, asked = write_encoder(tmp_path / "snapshot", "dinov2"), []
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(hub, "_told_to_stay_offline", lambda: False)
    monkeypatch.setattr(hub, "probe", lambda _: None)
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **how: asked.append((name, how)) or str(folder))
    with pytest.raises(WeightsError):
        Teacher("hf:some/encoder", "local", SIZE)
    assert asked == []
    Teacher("hf:some/encoder", "download", SIZE)
    ((name, how),) = asked
    assert name == "some/encoder" and not any(
        pattern.endswith((".bin", ".py", "*")) for pattern in how["allow_patterns"]
    )


def test_the_default_weights_of_such_a_teacher_are_its_own_and_timms_sources_are_refused() -> None:
    assert d2.D24FADConfig(teacher="hf:some/encoder").weights == "local"
    with pytest.raises(
        ValueError, match=r"weights='imagenet' is not known; choose one of 'local', 'download', 'random'"
    ):
        d2.D24FADConfig(teacher="hf:some/encoder", weights="imagenet")


def test_without_transformers_one_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "net", "vit")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"pip install 'd24fad_lite\[transformers\]'"):
        d2.D24FAD(config(folder))


def test_a_folder_of_timms_says_how_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_large_patch16_224"}))
    with pytest.raises(
        CheckpointError, match=r"is timm's: set teacher='vit_large_patch16_224' and weights='local-dir:"
    ):
        d2.D24FAD(config(tmp_path))
