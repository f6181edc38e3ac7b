"""Image AUROC that the method's authors report, in percent, by task and K: for a column beside ours, never to subtract.

Dong et al., Dual Distillation for Few-Shot Anomaly Detection, ICLR 2026. Measured on other images, with another
teacher, and by an evaluation that leaks (see `evaluation/official.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

REPORTED: Mapping[str, Mapping[int, float]] = {
    "HIS": {2: 94.2, 4: 94.2, 8: 94.3},
    "LAG": {2: 94.7, 4: 96.2, 8: 97.3},
    "APTOS": {2: 100.0, 4: 100.0, 8: 100.0},
    "RSNA": {2: 88.9, 4: 97.9, 8: 99.2},
    "BrainTumor": {2: 95.5, 4: 95.3, 8: 95.5},
}
