"""What an exported file says of itself, beside its graph: threshold, settings, what it takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from d24fad_lite.evaluation.report import versions
from d24fad_lite.model.interface import Detector
from d24fad_lite.predicting.alarm import Calibration
from d24fad_lite.predicting.heatmaps import SupportReference

KEY = "d24fad_lite"  # under which the facts stand in the file
SCHEMA = 1
NOTICE = "for research and teaching, not for clinical use"
RANGES = {"uint8": "0 to 255", "float32": "0 to 1"}


def export_facts(
    detector: Detector, supports: Sequence[str], reference: SupportReference, calibration: Calibration, pixels: str
) -> dict[str, Any]:
    """The facts as plain values, fit for JSON; no name of a file or a place is among them.

    supports : sha256 of each
    """
    config = detector.config
    threshold = calibration.threshold
    return {
        "schema": SCHEMA,
        "notice": NOTICE,
        "input": {
            "name": "image",
            "layout": "height, width, channels (1 grey or 3 RGB)",
            "pixels": pixels,
            "range": RANGES[pixels],
        },
        "outputs": {
            "score": "one number, the higher the less like the supports; no threshold is applied",
            "anomaly_map": f"{config.image_size} x {config.image_size}, blurred; stretch it over the image",
        },
        "threshold": threshold.value if threshold else None,  # an alarm is a score above it
        "calibration": calibration.facts(),
        "color_limits": list(reference.color_limits),
        "method": detector.method,
        "reading": config.reading_name if detector.method == "d24fad" else "",
        "config": config.to_dict(),
        "weights": str(detector.teacher.weights_source),
        "model": detector.fingerprint(),
        "supports": list(supports),
        "versions": versions(),
    }
