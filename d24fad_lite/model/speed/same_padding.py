"""TensorFlow's "same" padding without a padded copy of the input.

With stride s, a kernel of k and an input of side H, "same" pads p = max((ceil(H / s) - 1) s + k - H, 0) pixels in all,
one more after than before where p is odd. timm's `Conv2dSame` then writes a padded copy of its input, which takes 5 to
11 % of the time of a folded lite0. A convolution can pad by itself, but alike on both sides; so where p is odd, the
kernel gets a row and a column of zeros in front, which moves it by the one pixel:

    sum_i w[i] x[j s + i - before]  =  sum_i w'[i] x[j s + i - after],    w' = (0, w),    after = before + 1
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from timm.layers import Conv2dSame
from timm.layers.padding import get_same_padding
from torch import Tensor, nn
from torch.nn import functional as F


class SamePadding(nn.Module):
    """The inference copy of a `Conv2dSame`: its own padding, and a kernel that fits inputs of one size at a time."""

    def __init__(self, convolution: Conv2dSame) -> None:
        super().__init__()
        self.plain = convolution
        self.fits: tuple | None = None  # size of the input and precision of the weights that the kernel is made for
        self.kernel = torch.empty(0)  # made at the first pass
        self.padding: tuple[int, ...] = (0, 0)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, ceil(H / s), ceil(W / s)]."""
        c = self.plain
        if self.fits != (x.shape[2:], c.weight.dtype):
            self._fit(x.shape[2:])
        return F.conv2d(x, self.kernel, c.bias, c.stride, self.padding, c.dilation, c.groups)

    def _fit(self, size: torch.Size) -> None:
        """Make the kernel and the padding for inputs of this size, see the equation above."""
        c = self.plain
        sums = [
            get_same_padding(n, k, s, d) for n, k, s, d in zip(size, c.kernel_size, c.stride, c.dilation, strict=True)
        ]  # p of height and width
        (top, left), self.padding = [p % 2 for p in sums], tuple((p + 1) // 2 for p in sums)
        self.kernel = F.pad(c.weight, (left, 0, top, 0)).contiguous(memory_format=torch.channels_last)
        self.fits = size, c.weight.dtype


def pads_itself(convolution: nn.Module) -> TypeGuard[Conv2dSame]:
    """Whether this is a convolution that `SamePadding` can take the place of."""
    return type(convolution) is Conv2dSame and tuple(convolution.dilation) == (1, 1)
