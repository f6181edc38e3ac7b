"""Score every image of a folder against one bank of supports, batch by batch, whatever some of the files are like."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..data.benchmark import require_folder
from ..data.images import load_image
from ..data.layouts import LayoutError, LeftOut
from ..data.layouts.found import told, warn
from ..data.layouts.masks import mask_warning
from ..data.layouts.walking import list_scans
from ..data.recognise import refuse_special
from ..evaluation.report import versions
from .heatmaps import Reference, support_reference, write_heatmap
from .score_store import FILES, Row, ScoreStore

if TYPE_CHECKING:
    from ..model.detector import D24FAD
    from ..model.features import SupportBank

WORKERS = 4  # threads that read and draw; decoding waits for the disk more than for the processor


class Item(NamedTuple):
    """One file: its name in the results (path below the folder, posix) and where it lies."""

    name: str
    path: Path


class Read(NamedTuple):
    """What reading one file gave: an image [3, S, S] in 0..1, or None with the reason, or None where it was done."""

    item: Item
    sha256: str
    image: Tensor | None
    reason: str = ""


@dataclass
class Outcome:
    """What became of the folder."""

    scored: int  # now
    kept: int  # from an earlier run
    gone: int  # rows of images that are not in the folder any more
    supports_among_them: int  # images that are supports themselves
    reference: Reference


def list_items(place: Path, results: Path, left_out: list[LeftOut] | None = None) -> list[Item]:
    """The image file, or all images of the folder and below, without what an earlier run wrote there.

    Pictures of formats that are not read are among them, to fail by name. Other files join `left_out`.
    Raises FileNotFoundError, or LayoutError for a folder without images.
    """
    if place.is_file():
        return [Item(place.name, place)]
    require_folder(place)
    own = {(results / name).resolve() for name in FILES}
    others: list[LeftOut] = []
    paths = list_scans(place, others, skip=lambda path: path.resolve() in own)
    if not paths:
        raise LayoutError(f"folder '{place}' holds no image; expected png, jpg, jpeg, bmp, tif, tiff or dcm files "
                          "(what an earlier run wrote there does not count)")
    if left_out is not None:
        left_out += [item for item in others if item.path.resolve() != results.resolve()]  # empty so far
    return [Item(path.relative_to(place).as_posix(), path) for path in paths]


def score_folder(model: D24FAD, images: Path, supports: Sequence[Path], store: ScoreStore, *, batch_size: int = 32,
                 heatmap_size: int = 256, progress: bool = True,
                 on_failure: Callable[[str, str], None] = lambda name, reason: None) -> Outcome:
    """Score `images` (a folder or a file) against the supports; results go into the store.

    Parameters
    ----------
    heatmap_size : longer side of the heatmaps in pixels, at least 16; 0 for none.
    on_failure : told the name of each file that cannot be used, and why. It does not stop the others.

    Raises
    ------
    DataWarning (told, not raised) : other files in the folder, counted and named.
    ImageError : a support cannot be read. FileNotFoundError, LayoutError : no images. OSError : results cannot be
    written; what was scored is kept.
    """
    if batch_size < 1 or (heatmap_size and heatmap_size < 16):
        raise ValueError(f"batch size {batch_size} must be at least 1, heatmap size {heatmap_size} at least 16 or 0")
    left_out: list[LeftOut] = []
    size, items = model.config.image_size, list_items(images, store.folder, left_out)
    ignored = [told(f"folder '{images.name or images}'", left_out, images)] if left_out else []
    warn([*ignored, *(mask_warning(images, [item.path for item in items]) if images.is_dir() else [])], stacklevel=2)
    bank, reference = support_reference(model, torch.stack([load_image(path, size) for path in supports]))
    facts = {"supports": [path.name for path in supports], "support_scores": reference.scores,
             "colors": [reference.low, reference.high], "versions": versions()}
    if left_out:
        facts["left_out"] = [item.sentence(images) for item in left_out]
    store.begin(facts)
    own = {_sha256(path) for path in supports}
    outcome = Outcome(0, 0, 0, 0, reference)
    with ThreadPoolExecutor(WORKERS) as pool, tqdm(total=len(items), desc="predict", unit="image",
                                                   disable=None if progress else True) as bar:
        for batch in _read_ahead(pool, items, size, batch_size, store, bool(heatmap_size)):
            for read in batch:
                outcome.supports_among_them += read.sha256 in own
                outcome.kept += read.image is None and not read.reason
            fresh, broken = _score(model, bank, batch)
            if heatmap_size:
                drawn = list(pool.map(lambda done: _draw(done, reference, heatmap_size, store), fresh))
                broken += [(read.item.name, reason) for (read, *_), reason in zip(fresh, drawn) if reason]
                fresh = [done for done, reason in zip(fresh, drawn) if not reason]
            for name, reason in broken:
                store.fail(name, reason)
                on_failure(name, store.failures[name])
            store.add(Row(read.item.name, f"{score:.8g}", read.sha256) for read, score, _ in fresh)
            outcome.scored += len(fresh)
            bar.update(len(batch))
    outcome.gone = store.finish([item.name for item in items])
    return outcome


def _score(model: D24FAD, bank: SupportBank, batch: Sequence[Read]) -> tuple[list, list[tuple[str, str]]]:
    """(read, score, map) of the images of a batch, and (name, reason) of what cannot be used."""
    broken = [(read.item.name, read.reason) for read in batch if read.reason]
    fresh = [read for read in batch if read.image is not None]
    if not fresh:
        return [], broken
    prediction = model.predict(torch.stack([read.image for read in fresh]), bank)
    scores, maps = prediction.score.tolist(), prediction.anomaly_map.float().cpu().numpy()
    broken += [(read.item.name, f"its score is {score}") for read, score in zip(fresh, scores)
               if not math.isfinite(score)]
    return [done for done in zip(fresh, scores, maps) if math.isfinite(done[1])], broken


def _read_ahead(pool: ThreadPoolExecutor, items: Sequence[Item], size: int, batch_size: int, store: ScoreStore,
                heatmaps: bool) -> Iterator[list[Read]]:
    """Batches in order; while one is scored the next is read. Memory does not grow with the folder."""
    waiting: deque = deque()
    try:
        for start in range(0, len(items), batch_size):
            waiting.append([pool.submit(_read, item, size, store, heatmaps)
                            for item in items[start : start + batch_size]])
            if len(waiting) > 1:
                yield [future.result() for future in waiting.popleft()]
        while waiting:
            yield [future.result() for future in waiting.popleft()]
    finally:
        for future in (future for batch in waiting for future in batch):
            future.cancel()


def _read(item: Item, size: int, store: ScoreStore, heatmaps: bool) -> Read:
    sha256 = ""
    try:
        sha256 = _sha256(item.path)
        if store.done(item.name, sha256, heatmaps):
            return Read(item, sha256, None)
        return Read(item, sha256, load_image(item.path, size))
    except Exception as error:  # whatever a damaged file does to a decoder, the other images get their scores
        return Read(item, sha256, None, _reason(error))


def _draw(done: tuple[Read, float, np.ndarray], reference: Reference, size: int, store: ScoreStore) -> str:
    """Write the heatmap of one scored image; returns why it cannot be drawn. OSError stops: no results are written."""
    read, _, values = done
    try:
        write_heatmap(read.item.path, values, reference, size, store.heatmap(read.item.name))
    except OSError:
        raise
    except Exception as error:
        return _reason(error)
    return ""


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, (ValueError, OSError)) and str(error) else f"{type(error).__name__}: {error}"


def _sha256(path: Path) -> str:
    refuse_special(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
