"""A lesion is shown beside the map of the image it lies in."""

from __future__ import annotations

import numpy as np
import torch

from d24fad_lite.evaluation.localisation import Localisation
from d24fad_lite.figures.localisation import missed_figure


def test_the_figure_shows_the_image_of_the_lesion_and_its_map() -> None:
    masks = np.zeros((2, 16, 16), bool)
    masks[1, 3:6, 4:9] = True
    maps = np.random.default_rng(0).random(masks.shape)
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    localisation = Localisation("T", "m", np.arange(2), np.array([5, 9]), ["a.png", "b.png"], maps, masks)
    figure = missed_figure(localisation, images, localisation.lesions().iloc[0], threshold=0.5)
    left, right, _ = figure.axes
    np.testing.assert_array_equal(left.images[0].get_array(), images[1].permute(1, 2, 0).numpy())
    np.testing.assert_array_equal(right.images[0].get_array(), maps[1])
    assert left.get_title(loc="left").startswith("b.png\nlesion of 15 px") and "0.5" in right.get_title(loc="left")
