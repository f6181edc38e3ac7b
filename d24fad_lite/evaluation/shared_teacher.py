"""Teacher features of each image once, however many scorers, draws and numbers of supports look at them."""

from __future__ import annotations

import torch
from torch import Tensor

from d24fad_lite.files import sha256_of
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.features import TeacherFeatures
from d24fad_lite.model.image_input import check_images
from d24fad_lite.model.teacher import Teacher

DEFAULT_MEMORY = 2**30


class SharedTeacher:
    """A frozen teacher that remembers what it saw, by the content of the image.

    Parameters
    ----------
    teacher : Teacher, or a D24FAD whose teacher is meant
    memory_bytes : int, default 1 GiB
        Most memory that features may take; once it is full, further images are encoded anew each time.

    Attributes
    ----------
    encoded : int
        Images that went through the teacher so far.
    """

    def __init__(self, teacher: Teacher | D24FAD, memory_bytes: int = DEFAULT_MEMORY) -> None:
        self.teacher = teacher.teacher if isinstance(teacher, D24FAD) else teacher
        self.image_size = self.teacher.image_size
        self.memory_bytes = memory_bytes
        self.encoded = 0  # images that went through the teacher, for tests and reports
        self._features: dict[str, tuple[Tensor, ...]] = {}  # by content: levels fine to coarse, then the embedding
        self._used = 0

    def __call__(self, images: Tensor) -> TeacherFeatures:
        """Features of images [N, 3, S, S] in 0..1, without gradient, on the teacher's device."""
        check_images(images, self.image_size, "images", check_range=True)
        keys = [_key(image) for image in images]
        by_key = {key: self._features[key] for key in keys if key in self._features}
        first = {key: i for i, key in reversed(list(enumerate(keys)))}  # equal images are encoded once
        new = [i for i, key in enumerate(keys) if key not in by_key and first[key] == i]
        if new:
            with torch.no_grad():
                features = self.teacher(images[new].to(self.teacher.mean.device))
            self.encoded += len(new)
            for row, i in enumerate(new):
                by_key[keys[i]] = tuple(f[row].clone() for f in (*features.levels, features.embedding))
                self._remember(keys[i], by_key[keys[i]])
        *levels, embedding = (torch.stack(part) for part in zip(*(by_key[key] for key in keys), strict=True))
        return TeacherFeatures(levels, embedding)

    def _remember(self, key: str, features: tuple[Tensor, ...]) -> None:
        """Keep an image's features, unless memory is full."""
        size = sum(f.numel() * f.element_size() for f in features)
        if self._used + size <= self.memory_bytes:
            self._features[key] = features
            self._used += size


def shared(teacher: SharedTeacher | Teacher | D24FAD) -> SharedTeacher:
    """The teacher itself if it is shared already, else a new memory around it."""
    if isinstance(teacher, SharedTeacher):
        return teacher
    if isinstance(teacher, (Teacher, D24FAD)):
        return SharedTeacher(teacher)
    raise ValueError(f"a teacher is needed (SharedTeacher, Teacher or D24FAD), got {type(teacher).__name__}")


def _key(image: Tensor) -> str:
    """Equal pixels, equal key."""
    return sha256_of(image.detach().cpu().contiguous().numpy().tobytes())
