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
    levels : int, optional
        How many levels are wanted, fine first; what only the others and the embedding need is then not computed.
        Default: everything.

    Attributes
    ----------
    encoded : int
        Images that went through the teacher so far.
    """

    def __init__(
        self, teacher: Teacher | D24FAD, memory_bytes: int = DEFAULT_MEMORY, levels: int | None = None
    ) -> None:
        self.teacher = teacher.teacher if isinstance(teacher, D24FAD) else teacher
        self.image_size = self.teacher.image_size
        self.memory_bytes, self.levels = memory_bytes, levels
        self.encoded = 0  # images that went through the teacher, for tests and reports
        self._features: dict[str, tuple[Tensor, ...]] = {}  # by content: what `_encode` gives
        self._used = 0

    def __call__(self, images: Tensor) -> TeacherFeatures:
        """Features of images [N, 3, S, S] in 0..1, without gradient, on the teacher's device."""
        if self.levels is not None:
            raise ValueError(f"this memory holds the first {self.levels} level(s) alone; ask it for `first_levels`")
        *levels, embedding = self._features_of(images)
        return TeacherFeatures(levels, embedding)

    def first_levels(self, images: Tensor, count: int) -> list[Tensor]:
        """The `count` finest levels of images [N, 3, S, S] in 0..1, likewise."""
        if self.levels is not None and count > self.levels:
            raise ValueError(f"this memory holds the first {self.levels} level(s) alone, not {count}")
        return self._features_of(images)[:count]

    def _features_of(self, images: Tensor) -> list[Tensor]:
        """All that is wanted of each image, remembered or computed now."""
        check_images(images, self.image_size, "images", check_range=True)
        images = images.to(self.teacher.dtype)
        keys = [_key(image) for image in images]
        by_key = {key: self._features[key] for key in keys if key in self._features}
        first = {key: i for i, key in reversed(list(enumerate(keys)))}  # equal images are encoded once
        new = [i for i, key in enumerate(keys) if key not in by_key and first[key] == i]
        if new:
            features = self._encode(images[new].to(self.teacher.device))
            self.encoded += len(new)
            for row, i in enumerate(new):
                by_key[keys[i]] = tuple(f[row].clone() for f in features)
                self._remember(keys[i], by_key[keys[i]])
        return [torch.stack(part) for part in zip(*(by_key[key] for key in keys), strict=True)]

    def _encode(self, images: Tensor) -> list[Tensor]:
        if self.levels is not None:
            return self.teacher.first_levels(images, self.levels)
        levels, embedding = self.teacher(images)
        return [*levels, embedding]

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
