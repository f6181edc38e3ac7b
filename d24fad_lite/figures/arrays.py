"""What a figure is given, as an array: tensors may lie on any device and carry a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def as_array(values: Any, dtype: Any = None) -> np.ndarray:
    """`np.asarray`, also of a tensor on a GPU, in bfloat16 or with a gradient."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values, dtype)
