"""From the results of a folder to the page that one looks at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from d24fad_lite.evaluation.report import versions
from d24fad_lite.predicting.alarm import Calibration
from d24fad_lite.predicting.gallery.content import Gallery, GalleryImage, GallerySupport
from d24fad_lite.predicting.gallery.page import write_gallery
from d24fad_lite.predicting.gallery.pictures import image_pictures
from d24fad_lite.predicting.heatmaps import SupportReference
from d24fad_lite.predicting.inputs import FolderImages
from d24fad_lite.predicting.score_store import GALLERY
from d24fad_lite.predicting.scoring import FolderScorer


def folder_gallery(
    scorer: FolderScorer, listing: FolderImages, supports: Sequence[Path], calibration: Calibration
) -> Path:
    """Write gallery.html beside the scores: the images of the highest scores, the supports, all scores as a histogram.

    Images whose maps are not at hand, since an earlier run scored them, are predicted once more for their pictures.
    """
    files = {image.name: image.path for image in listing.images}
    table = scorer.store.frame()
    present = table[table["name"].isin(files)]
    shown = present.sort_values("score", ascending=False, kind="stable").head(scorer.kept.most)
    again = scorer.maps_again(listing.images, {name for name in shown["name"] if scorer.kept.get(name) is None})
    half = sum(scorer.reference.color_limits) / 2  # the most that a support shows
    images = []
    for row in shown.to_dict("records"):
        path, kept = files[row["name"]], scorer.kept.get(row["name"]) or again[row["name"]]
        picture, overlay = image_pictures(path, kept.anomaly_map, scorer.reference.color_limits)
        images.append(
            GalleryImage(
                name=row["name"],
                score=row["score"],
                p_value=row.get("p_value"),
                alarm=row.get("alarm"),
                weights=[float(weight) for weight in kept.weights],
                picture=picture,
                overlay=overlay,
                outlined=float(kept.anomaly_map.max()) >= half,
            )
        )
    threshold = calibration.threshold
    content = Gallery(
        title=listing.folder.name or str(listing.folder),
        images=images,
        supports=_supports(supports, scorer.reference),
        all_scores=present["score"].tolist(),
        threshold=threshold.value if threshold else None,
        threshold_sentence=calibration.sentence(),
        settings=_settings(scorer),
        left_out=len(present) - len(shown),
        failures=dict(scorer.store.failures),
    )
    return write_gallery(scorer.store.folder / GALLERY, content)


def _supports(paths: Sequence[Path], reference: SupportReference) -> list[GallerySupport]:
    """The supports with their pictures; scores and suspicion where they are known."""
    return [
        GallerySupport(
            name=path.name,
            score=reference.scores[i] if i < len(reference.scores) else None,
            suspicion=reference.suspicion[i] if i < len(reference.suspicion) else None,
            flagged=i in reference.odd,
            picture=image_pictures(path, None, reference.color_limits)[0],
        )
        for i, path in enumerate(paths)
    ]


def _settings(scorer: FolderScorer) -> dict[str, str]:
    """What the scores depend on, in words."""
    model, config = scorer.model, scorer.model.config
    stored = scorer.store.settings
    settings = {
        "method": stored.get("method") or model.method,
        "reading": config.reading_name if model.method == "d24fad" else "",
        "teacher": str(config.to_dict()["teacher"]),
        "weights": str(model.teacher.weights_source),
        "image size": f"{config.image_size} px",
        "model (sha256)": str(stored["model"])[:16],
    }
    return {name: value for name, value in (settings | versions()).items() if value}
