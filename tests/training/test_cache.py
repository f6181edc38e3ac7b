"""Teacher features computed once: the same wherever they are kept, keyed by content, whole or absent."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from d24fad_lite.data.benchmark import open_benchmark
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.model.features import TeacherFeatures
from d24fad_lite.model.teacher import Teacher
from d24fad_lite.training import cache as cache_module
from d24fad_lite.training.cache import TeacherCache, default_folder

POSITIONS = np.array([13, 0, 19, 7, 7, 10])  # out of both sets, in no order, one twice


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher("test_resnet", "random", 32)


@pytest.fixture(scope="module")
def sets(tiny_root: Path) -> list[ImageSet]:
    return [task.train for task in open_benchmark(tiny_root).values()]


@pytest.fixture
def encoded(teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts of images that the teacher is given, call by call."""
    counts: list[int] = []
    original = Teacher.forward

    def forward(self: Teacher, images: Tensor) -> TeacherFeatures:
        counts.append(len(images))
        return original(self, images)

    monkeypatch.setattr(Teacher, "forward", forward)
    return counts


def tensors(features: TeacherFeatures) -> list[Tensor]:
    return [*features.levels, features.embedding]


@pytest.mark.parametrize(("place", "tolerance"), [("memory", 1e-5), ("off", 1e-5), ("disk", 1e-3)])
def test_features_are_those_of_the_teacher_wherever_they_are_kept(
    place: str, tolerance: float, teacher: Teacher, sets: list[ImageSet], tmp_path: Path
) -> None:
    cache = TeacherCache(teacher, sets, place, tmp_path)
    images = torch.cat([s.images(32) for s in sets])[POSITIONS]
    assert len(cache) == 20 and torch.equal(cache.images(POSITIONS), images)
    expected = teacher(images)
    found = cache.features(POSITIONS)
    for a, b in zip(tensors(found), tensors(expected), strict=True):
        assert a.dtype == torch.float32 and a.shape == b.shape
        assert float((a - b).abs().max()) <= tolerance * float(b.abs().max())
    only = cache.features(POSITIONS, embedding_only=True)
    assert only.levels == [] and torch.allclose(only.embedding, found.embedding, atol=1e-5)


def test_memory_and_disk_encode_every_image_once_and_off_encodes_at_each_call(
    teacher: Teacher, sets: list[ImageSet], encoded: list[int], tmp_path: Path
) -> None:
    for place, expected in (("memory", 20), ("disk", 20), ("off", 12)):
        encoded.clear()
        cache = TeacherCache(teacher, sets, place, tmp_path)
        cache.features(POSITIONS)
        cache.features(POSITIONS)
        assert sum(encoded) == expected, place


def test_features_on_disk_are_used_again_without_encoding(
    teacher: Teacher, sets: list[ImageSet], tiny_root: Path, encoded: list[int], tmp_path: Path
) -> None:
    first = TeacherCache(teacher, sets, "disk", tmp_path / "cache")
    encoded.clear()
    shutil.copytree(tiny_root, tmp_path / "moved")  # the same content under other paths
    moved = [task.train for task in open_benchmark(tmp_path / "moved").values()]
    again = TeacherCache(Teacher("test_resnet", "random", 32), moved, "disk", tmp_path / "cache")
    assert sum(encoded) == 2  # the dry run of the new teacher
    for a, b in zip(tensors(again.features(POSITIONS)), tensors(first.features(POSITIONS)), strict=True):
        assert torch.equal(a, b)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_another_teacher_other_pixels_and_another_order_have_files_of_their_own(
    teacher: Teacher, sets: list[ImageSet], tiny_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_root, tmp_path / "changed")
    victim, donor = (tmp_path / f"changed/Blobs/{part}/good/000.png" for part in ("train", "test"))
    victim.write_bytes(donor.read_bytes())
    changed = [task.train for task in open_benchmark(tmp_path / "changed").values()]
    folder = tmp_path / "cache"
    for used, images in (
        (teacher, sets),
        (teacher, changed),
        (teacher, sets[::-1]),
        (Teacher("test_resnet", "random", 32, seed=1), sets),
        (Teacher("test_resnet", "random", 32, normalize=False), sets),
    ):
        cache = TeacherCache(used, images, "disk", folder)
        fresh = TeacherCache(used, images, "off")
        for a, b in zip(tensors(cache.features(POSITIONS)), tensors(fresh.features(POSITIONS)), strict=True):
            assert float((a - b).abs().max()) <= 1e-3 * float(b.abs().max())
    assert len(list(folder.iterdir())) == 5


def test_features_of_another_kind_of_device_or_another_pytorch_are_not_taken_for_this_ones(
    sets: list[ImageSet], encoded: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU's differ in the last bits, and on a CPU the same seed gives the same weights bit by bit."""
    teacher = Teacher("test_resnet", "random", 32)
    TeacherCache(teacher, sets, "disk", tmp_path)
    with monkeypatch.context() as patch:
        for folders, device in ((2, "cuda:1"), (2, "cuda:0"), (3, "mps")):
            patch.setattr(Teacher, "device", torch.device(device))  # it says so; its passes stay on the CPU
            TeacherCache(teacher, sets, "disk", tmp_path)
            assert len(list(tmp_path.iterdir())) == folders
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "0.0.1")
        TeacherCache(teacher, sets, "disk", tmp_path)
        assert len(list(tmp_path.iterdir())) == 4
    encoded.clear()
    TeacherCache(teacher, sets, "disk", tmp_path)
    assert not encoded


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_fill_leaves_nothing_and_the_next_one_is_whole(
    error: type[BaseException], teacher: Teacher, sets: list[ImageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "ENCODE_BATCH", 8)
    calls: list[Any] = []
    original = TeacherCache.images

    def images(self: TeacherCache, positions: np.ndarray) -> Tensor:
        calls.append(positions)
        if len(calls) == 2:
            raise error
        return original(self, positions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TeacherCache, "images", images)
        with pytest.raises(error):
            TeacherCache(teacher, sets, "disk", tmp_path)
    assert len(calls) == 2 and list(tmp_path.iterdir()) == []
    whole = TeacherCache(teacher, sets, "disk", tmp_path).features(np.arange(20))
    expected = TeacherCache(teacher, sets, "memory").features(np.arange(20))
    for a, b in zip(tensors(whole), tensors(expected), strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-3)


def test_what_a_killed_process_left_half_made_is_not_taken_for_features(
    teacher: Teacher, sets: list[ImageSet], encoded: list[int], tmp_path: Path
) -> None:
    (tmp_path / ".partial-abc").mkdir()
    (tmp_path / ".partial-abc" / "0.npy").write_bytes(b"half")
    TeacherCache(teacher, sets, "disk", tmp_path)
    assert sum(encoded) == 20


def test_auto_goes_to_disk_beyond_the_limit(
    teacher: Teacher, sets: list[ImageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = TeacherCache(teacher, sets, "auto", tmp_path)
    assert small.storage == "memory" and list(tmp_path.iterdir()) == []
    every = small.features(np.arange(20))
    assert small.nbytes == sum(4 * t.numel() for t in tensors(every))
    monkeypatch.setattr(cache_module, "MEMORY_LIMIT", small.nbytes - 1)
    assert TeacherCache(teacher, sets, "auto", tmp_path).storage == "disk" and len(list(tmp_path.iterdir())) == 1


def test_the_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("D24FAD_CACHE", str(tmp_path))
    assert default_folder() == tmp_path / "features"
    monkeypatch.delenv("D24FAD_CACHE")
    assert default_folder() == Path.home() / ".cache" / "d24fad_lite" / "features"


def test_an_unknown_place_is_an_error(teacher: Teacher, sets: list[ImageSet]) -> None:
    with pytest.raises(ValueError, match="cache='ram' is not known; choose one of 'auto', 'memory', 'disk', 'off'"):
        TeacherCache(teacher, sets, "ram")


def test_a_full_disk_is_named_and_leaves_nothing(
    teacher: Teacher, sets: list[ImageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("d24fad_lite.training.cache.os.posix_fallocate", full)
    with pytest.raises(OSError, match=r"MiB of teacher features in '.*': No space left .*or pass cache='off'"):
        TeacherCache(teacher, sets, "disk", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["empty", "text", "another shape", "another type", "absent", "cut short"])
def test_damaged_features_on_disk_are_made_again(
    damage: str, teacher: Teacher, sets: list[ImageSet], tmp_path: Path, encoded: list[int]
) -> None:
    expected = tensors(TeacherCache(teacher, sets, "disk", tmp_path).features(POSITIONS))
    file = next(tmp_path.glob("*/1.npy"))
    stored = np.load(file)
    if damage in ("another shape", "another type"):
        np.save(file, stored[1:] if damage == "another shape" else stored.astype(np.float32))
    elif damage == "absent":
        file.unlink()
    else:
        content = {"empty": b"", "text": b"no array", "cut short": file.read_bytes()[:-100]}[damage]
        file.write_bytes(content)
    encoded.clear()
    again = tensors(TeacherCache(teacher, sets, "disk", tmp_path).features(POSITIONS))
    assert sum(encoded) == sum(map(len, sets))
    assert all(torch.equal(a, b) for a, b in zip(again, expected, strict=True))
