"""Teacher features of each image once, however many scorers, draws and numbers of supports look at them."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ..model.detector import D24FAD, check_images
from ..model.teacher import Teacher, TeacherFeatures

DEFAULT_MEMORY = 2**30


class SharedTeacher:
    """A frozen teacher that remembers what it saw, by the content of the image.

    Parameters
    ----------
    teacher : Teacher, or a D24FAD whose teacher is meant.
    memory_bytes : features kept at most (default 1 GiB); once full, further images are encoded anew each time.
    """

    def __init__(self, teacher: Teacher | D24FAD, memory_bytes: int = DEFAULT_MEMORY) -> None:
        self.teacher = teacher.teacher if isinstance(teacher, D24FAD) else teacher
        self.image_size = self.teacher.image_size
        self.memory_bytes = memory_bytes
        self.encoded = 0  # images that went through the teacher, for tests and reports
        self._rows: dict[bytes, tuple[Tensor, ...]] = {}
        self._used = 0

    def __call__(self, images: Tensor) -> TeacherFeatures:
        """Features of images [N, 3, S, S] in 0..1, without gradient, on the teacher's device."""
        check_images(images, self.image_size, "images", check_range=True)
        keys = [_key(image) for image in images]
        first = {key: place for place, key in reversed(list(enumerate(keys)))}  # equal images are encoded once
        fresh = [place for place, key in enumerate(keys) if key not in self._rows and first[key] == place]
        found = {key: self._rows[key] for key in first if key in self._rows}
        if fresh:
            with torch.no_grad():
                features = self.teacher(images[fresh].to(self.teacher.mean.device))
            self.encoded += len(fresh)
            for row, place in enumerate(fresh):
                found[keys[place]] = tuple(f[row].clone() for f in (*features.levels, features.embedding))
                self._keep(keys[place], found[keys[place]])
        *levels, embedding = (torch.stack(part) for part in zip(*(found[key] for key in keys), strict=True))
        return TeacherFeatures(levels, embedding)

    def _keep(self, key: bytes, row: tuple[Tensor, ...]) -> None:
        size = sum(f.numel() * f.element_size() for f in row)
        if self._used + size <= self.memory_bytes:
            self._rows[key] = row
            self._used += size


def shared(teacher: SharedTeacher | Teacher | D24FAD) -> SharedTeacher:
    """The teacher itself if it is shared already, else a new memory around it."""
    if isinstance(teacher, SharedTeacher):
        return teacher
    if isinstance(teacher, (Teacher, D24FAD)):
        return SharedTeacher(teacher)
    raise ValueError(f"a teacher is needed (SharedTeacher, Teacher or D24FAD), got {type(teacher).__name__}")


def _key(image: Tensor) -> bytes:
    return hashlib.blake2b(image.detach().cpu().contiguous().numpy(), digest_size=16).digest()
