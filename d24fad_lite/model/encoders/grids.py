"""Image sizes that an encoder's patch divides, and what a pyramid of a single grid means."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

SMALLEST_SIZE = 16  # pixels, of `D24FADConfig.image_size`


def patch_of(network: nn.Module) -> int:
    """Side of the patches that a network cuts the image into, in pixels; 1 where it does not.

    Such a network begins with a convolution whose windows touch and do not overlap (stride = kernel, no padding), so
    it never looks at what is left over at the right and the lower border.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.in_channels == 3:
            side = layer.kernel_size[0]
            return side if layer.kernel_size == layer.stride and layer.padding in ((0, 0), "valid") else 1
    return 1


def require_divided(name: str, image_size: int, patch: int) -> None:
    """Raise ValueError, with the nearest sizes that work, where a patch of this side does not divide the image's."""
    if image_size % patch == 0:
        return
    below = image_size // patch * patch
    sizes = [size for size in (below, below + patch) if size >= SMALLEST_SIZE]
    raise ValueError(
        f"teacher {name!r} cuts images into patches of {patch} x {patch} px, which do not divide image_size="
        f"{image_size}: {image_size - below} px at the border would never be looked at; set image_size="
        f"{' or '.join(map(str, sizes))}"
    )


def one_grid_in_words(name: str, grids: Iterable[tuple[int, int]], image_size: int) -> str | None:
    """What it means that all of a teacher's maps, the embedding's too, share a grid; None where they do not."""
    different = set(grids)
    if len(different) != 1:
        return None
    ((height, width),) = different
    side = image_size // max(1, min(height, width))
    return (
        f"teacher {name!r} has one grid for all levels ({height} x {width} positions of {side} px): the levels differ "
        f"in depth, not in fineness, so anomalies closer or smaller than {side} px are not told apart, and the "
        "student keeps this grid; a larger image_size gives a finer grid on the image, a pyramid (ResNet, ConvNeXt, "
        "Swin) gives finer levels"
    )


def evenly_spread(blocks: int, count: int) -> list[int]:
    """Up to `count` depths, 1 to `blocks`, evenly spread and ending with the last block: of 12 and 4: 3, 6, 9, 12."""
    count = min(count, blocks)
    return [blocks * (i + 1) // count for i in range(count)]
