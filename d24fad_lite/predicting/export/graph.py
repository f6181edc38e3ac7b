"""The whole way of one image through a detector as a single module, which an exporter can trace."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from d24fad_lite.model.interface import Detector
from d24fad_lite.predicting.export.lanczos import resize_pixels, resize_unit

INPUTS = {"uint8": torch.uint8, "float32": torch.float32}
DEEP = 65535.0  # the kit keeps 16 bits of what is deeper than 8


class ExportGraph(nn.Module):
    """Image [H, W, C] -> score [] and anomaly map [S, S], with the supports inside.

    Parameters
    ----------
    detector : D24FAD or BaselineDetector
    bank : what `detector.encode_supports` gave; its tensors become constants of the graph,
        and what it says by yes or no decides how the graph is built
    pixels : {"uint8", "float32"}, kind of the image's values: 0..255, or 0..1
    """

    def __init__(self, detector: Detector, bank: Any, pixels: str) -> None:
        super().__init__()
        self.detector, self.pixels, self.size = detector, pixels, detector.config.image_size
        self._kind, self._layout, self._facts = type(bank), {}, {}
        for field in dataclasses.fields(bank):
            value = getattr(bank, field.name)
            if isinstance(value, bool):  # decides what is computed, so the graph holds one way alone
                self._facts[field.name] = value
                continue
            tensors = [value] if isinstance(value, Tensor) else list(value)
            names = [f"bank_{field.name}_{i}" for i in range(len(tensors))]
            for name, tensor in zip(names, tensors):
                self.register_buffer(name, tensor.detach().clone())
            self._layout[field.name] = (names, isinstance(value, Tensor))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Score and anomaly map of one image."""
        if self.pixels == "uint8":
            square = resize_pixels(image, self.size).float() / 255  # (S, S, C)
        else:
            square = (torch.round(resize_unit(image, self.size).clamp(0.0, 1.0) * DEEP)).float() / DEEP
        # Grey becomes three equal channels; transparency (a second or fourth channel) is dropped, as by `load_image`.
        channels = torch.arange(3, device=image.device) * (image.shape[2] // 3)
        query = square.index_select(2, channels).permute(2, 0, 1).unsqueeze(0)  # (1, 3, S, S)
        prediction = self.detector.predict(query, self._bank())
        return prediction.score[0], prediction.anomaly_map[0]

    def _bank(self) -> Any:
        parts: dict[str, Any] = dict(self._facts)
        for field, (names, single) in self._layout.items():
            tensors = [self.get_buffer(name) for name in names]
            parts[field] = tensors[0] if single else tensors
        return self._kind(**parts)
