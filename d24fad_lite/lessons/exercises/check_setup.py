"""Exercises to lesson 00: the trainings of a benchmark, and files that are not what they were."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

from d24fad_lite.files import sha256_of
from d24fad_lite.lessons.exercises.exercise import Case, Exercise
from d24fad_lite.lessons.profiles import PROFILES


def trainings(profile, tasks):
    """Trainings of a full benchmark: one for each seed and left-out task, and for each K where each K trains anew."""
    return len(profile.seeds) * tasks * (1 if profile.train_shots else len(profile.shots))


def changed(contents, hashes):
    """Positions of files that are missing (None) or whose SHA-256 is not the expected one."""
    return [
        i
        for i, (content, expected) in enumerate(zip(contents, hashes))
        if content is None or hashlib.sha256(content).hexdigest() != expected
    ]


def _trainings_by_listing(profile, tasks):
    runs = {
        (seed, task, shots if profile.train_shots == 0 else profile.train_shots)
        for seed in profile.seeds
        for task in range(tasks)
        for shots in profile.shots
    }
    return len(runs)


def _changed_by_package(contents, hashes):
    right = [content is not None and sha256_of(content) == expected for content, expected in zip(contents, hashes)]
    return [i for i, fine in enumerate(right) if not fine]


def _profiles():
    small = SimpleNamespace(seeds=(0, 1), shots=(1, 2, 4, 8), train_shots=0)
    return [
        Case("the profile full, five tasks", (PROFILES["full"], 5)),
        Case("the profile quick, five tasks", (PROFILES["quick"], 5)),
        Case("two seeds, four K, three tasks", (small, 3)),
    ]


def _files():
    pictures = [b"first", b"second", b"", b"first"]
    right = [sha256_of(content) for content in pictures]
    return [
        Case("one changed", ([b"first", b"2nd", b"", b"first"], right)),
        Case("one missing", ([b"first", b"second", b"", None], right)),
        Case("an empty file is not a missing one", ([None, b"second", b"", b"other"], right)),
        Case("two exchanged", ([b"second", b"first", b"", b"first"], right)),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="trainings of a profile",
        solution=trainings,
        reference=_trainings_by_listing,
        cases=_profiles,
        hints=(
            "Every seed is trained for every task that is left out. When does K need trainings of its own?",
            "profile.train_shots == 0 means: trained anew for each K of profile.shots. Any other value: once.",
            "The product of len(profile.seeds), tasks, and len(profile.shots) or 1.",
        ),
    ),
    Exercise(
        number=2,
        title="changed files",
        solution=changed,
        reference=_changed_by_package,
        cases=_files,
        hints=(
            "Go through contents and hashes together; a file that is missing has the content None.",
            "hashlib.sha256(content).hexdigest() is the hash of the bytes; b'' has one as well.",
            "A list comprehension with enumerate(zip(contents, hashes)), and `or` between the two conditions.",
        ),
    ),
)

ANSWERS = (
    "How unlike the supports each place of the image is. `matched` compares the teacher's features with those of the "
    "supports and reads nothing that was trained.",
    "Every file's SHA-256 stands in MANIFEST.json; the page computes it anew and compares.",
    "The ImageNet network that a package brings, and the embedded fractal teacher. Whether the weights are found on "
    "this computer decides. The second sees less: lesson 02 measures how much.",
    "The task that is left out and evaluated. It gives K normal images at the end, as supports, and no training image.",
    "Epochs, images per epoch, seeds, left-out tasks, and one training for each K. Each factor is larger.",
)
