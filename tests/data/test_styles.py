"""Styled tasks: one look for all images of a task, a pure function of the seed, and nothing of what is held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from d24fad_lite.data.benchmark import open_benchmark
from d24fad_lite.data.styles import Style, styled_tasks

SHIPPED = Path(__file__).resolve().parents[2] / "data_samples"


def test_a_style_keeps_shape_and_range_and_is_drawn_again_from_its_seed() -> None:
    images = torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    for seed in range(12):
        once, again = Style((seed,))(images), Style((seed,))(images)
        assert once.shape == images.shape and torch.equal(once, again)
        assert float(once.min()) >= 0 and float(once.max()) <= 1
    assert not torch.equal(Style((0,))(images), Style((1,))(images))


def test_a_style_treats_an_image_alone_as_in_company() -> None:
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    together = Style((7, 3))(images)
    alone = torch.cat([Style((7, 3))(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-6)


def test_styled_tasks_keep_the_given_ones_and_take_turns() -> None:
    tasks = open_benchmark(SHIPPED).without("RSNA")
    more = styled_tasks(tasks, 6, seed=2, images=10)
    assert list(more)[:4] == list(tasks) and len(more) == 10
    assert all(more[name] is tasks[name] for name in tasks)
    assert not any("RSNA" in name for name in more)
    new = [task for name, task in more.items() if name not in tasks]
    assert [len(task.train) for task in new] == [10] * 6 and len({task.name for task in new}) == 6
    assert all(task.train.root == tasks[task.name.split(",")[0]].train.root for task in new)


def test_styled_images_have_an_identity_of_their_own() -> None:
    tasks = open_benchmark(SHIPPED, ["LAG"])
    one, other = list(styled_tasks(tasks, 2, seed=0, images=5).values())[1:]
    source = {path: digest for path, digest in zip(tasks["LAG"].train.paths, tasks["LAG"].train.hashes())}
    assert all(digest != source[path] for path, digest in zip(one.train.paths, one.train.hashes()))
    assert not set(one.train.hashes()) & set(other.train.hashes())
    part = one.train.subset([3, 1])
    assert torch.equal(part.images(32), one.train.images(32)[[3, 1]]) and part.hashes() == one.train.hashes([3, 1])


@pytest.mark.parametrize(("arguments", "word"), [({"count": -1}, "count"), ({"count": 1, "images": 1}, "images")])
def test_numbers_out_of_range_are_refused(arguments: dict[str, int], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        styled_tasks(open_benchmark(SHIPPED, ["LAG"]), **arguments)


def test_no_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="no tasks"):
        styled_tasks({}, 3)


def test_shares_of_looks_are_as_described() -> None:
    """Over many seeds about 30 % of styles are grey."""
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    grey = [bool(torch.equal(out[:, 0], out[:, 1])) for out in (Style((seed, 1))(image) for seed in range(200))]
    assert 0.2 < np.mean(grey) < 0.4
