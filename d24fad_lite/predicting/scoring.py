"""Score listed images against one bank of supports, batch by batch, whatever some of the files are like."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from d24fad_lite.data.formats.recognise import refuse_special
from d24fad_lite.data.images import ImageError, load_image
from d24fad_lite.files import file_sha256
from d24fad_lite.model.interface import Bank, Detector
from d24fad_lite.predicting.heatmaps import SupportReference, write_heatmap
from d24fad_lite.predicting.inputs import ImageFile
from d24fad_lite.predicting.score_store import ScoreRow, ScoreStore
from d24fad_lite.predicting.top_maps import KeptMap, TopMaps

WORKERS = 4  # threads that read and draw; decoding waits for the disk more than for the processor
FailureHook = Callable[[str, str], None]


class ReadImage(NamedTuple):
    """What reading one file gave: pixels [3, S, S] in 0..1; or None with a reason; or None where its score is known."""

    file: ImageFile
    sha256: str
    pixels: Tensor | None
    reason: str = ""


class ScoredImage(NamedTuple):
    """An image with its score, its anomaly map [S, S] and how much each of K supports counted, [K]."""

    read: ReadImage
    score: float
    anomaly_map: np.ndarray
    weights: np.ndarray

    def kept(self) -> KeptMap:
        """What a page needs of it."""
        return KeptMap(self.anomaly_map.copy(), self.weights.copy())  # a view would keep its whole batch


@dataclass
class Counts:
    """How many images a run scored, took over from an earlier run, and found to be supports themselves."""

    scored: int = 0
    known: int = 0
    supports_among_them: int = 0


@dataclass(frozen=True)
class FolderScorer:
    """All that scoring one batch needs; `heatmap_size` in pixels, 0 for no heatmaps.

    An image is predicted beside the others of its batch in the listing, also where an earlier run had some of them:
    rounding depends on the company, and an interrupted run is to give what a whole one gives. Other files in the
    folder, or another `batch_size`, change the company, and scores by some 1e-7.
    """

    model: Detector
    bank: Bank
    reference: SupportReference
    store: ScoreStore
    heatmap_size: int = 256
    batch_size: int = 8
    on_failure: FailureHook = lambda name, reason: None
    kept: TopMaps = field(default_factory=lambda: TopMaps(0))

    def score(self, files: Sequence[ImageFile], support_hashes: set[str], progress: bool = True) -> Counts:
        """Score the files in batches; every finished batch is on disk before the next one is scored."""
        counts = Counts()
        with (
            ThreadPoolExecutor(WORKERS) as pool,
            tqdm(total=len(files), desc="predict", unit="image", disable=None if progress else True) as bar,
        ):
            for batch in self._read_ahead(pool, files):
                for read in batch:
                    counts.supports_among_them += read.sha256 in support_hashes
                    counts.known += read.pixels is None and not read.reason
                counts.scored += self._score_batch(pool, batch)
                bar.update(len(batch))
        return counts

    def _score_batch(self, pool: ThreadPoolExecutor, batch: Sequence[ReadImage]) -> int:
        """Score, draw and store one batch; returns how many images have a new score."""
        scored, failures = self._predict(batch)
        if self.heatmap_size:
            reasons = list(pool.map(self._draw, scored))
            failures += [(image.read.file.name, reason) for image, reason in zip(scored, reasons) if reason]
            scored = [image for image, reason in zip(scored, reasons) if not reason]
        for name, reason in failures:
            self.on_failure(name, self.store.fail(name, reason))
        self.store.add(map(self._row, scored))
        for image in scored:
            self.kept.add(image.read.file.name, image.score, image.kept())
        return len(scored)

    def _row(self, image: ScoredImage) -> ScoreRow:
        file = image.read.file
        heatmap = file_sha256(self.store.heatmap(file.name)) if self.heatmap_size else ""
        return ScoreRow(file.name, f"{image.score:.8g}", image.read.sha256, heatmap)

    def _predict(self, batch: Sequence[ReadImage]) -> tuple[list[ScoredImage], list[tuple[str, str]]]:
        """The newly scored images of a batch, and (name, reason) of those that cannot be used."""
        failures = [(read.file.name, read.reason) for read in batch if read.reason]
        fresh = {read.file.name for read in batch if read.pixels is not None}
        if not fresh:
            return [], failures
        known = [read.pixels is None and not read.reason for read in batch]
        whole = [self._read(read.file, again=True) if again else read for read, again in zip(batch, known)]
        images = [image for image in self._results(whole) if image.read.file.name in fresh]
        failures += [
            (image.read.file.name, f"its score is {image.score}") for image in images if not math.isfinite(image.score)
        ]
        return [image for image in images if math.isfinite(image.score)], failures

    def _results(self, batch: Sequence[ReadImage]) -> list[ScoredImage]:
        """What the detector says of the images of a batch that could be read."""
        readable = [(read, read.pixels) for read in batch if read.pixels is not None]
        if not readable:
            return []
        prediction = self.model.predict(torch.stack([pixels for _, pixels in readable]), self.bank)
        scores, maps = prediction.score.tolist(), prediction.anomaly_map.float().cpu().numpy()
        weights = prediction.weights.float().mean(dim=1).cpu().numpy()  # over the levels, (B, K)
        return [ScoredImage(read, *results) for (read, _), *results in zip(readable, scores, maps, weights)]

    def maps_again(self, files: Sequence[ImageFile], names: set[str]) -> dict[str, KeptMap]:
        """Maps of some of the listed files, predicted once more, nothing written; ImageError for one that is gone."""
        found: dict[str, KeptMap] = {}
        for start in range(0, len(files), self.batch_size):
            batch = files[start : start + self.batch_size]
            if names.isdisjoint(file.name for file in batch):
                continue
            reads = [self._read(file, again=True) for file in batch]
            if gone := [read.reason for read in reads if read.reason and read.file.name in names]:
                raise ImageError(gone[0])
            found |= {image.read.file.name: image.kept() for image in self._results(reads)}
        return found

    def _read_ahead(self, pool: ThreadPoolExecutor, files: Sequence[ImageFile]) -> Iterator[list[ReadImage]]:
        """Batches in order; while one is scored the next is read. Memory does not grow with the folder."""
        waiting: deque[list[Future[ReadImage]]] = deque()
        try:
            for start in range(0, len(files), self.batch_size):
                batch = files[start : start + self.batch_size]
                waiting.append([pool.submit(self._read, file) for file in batch])
                if len(waiting) > 1:
                    yield [future.result() for future in waiting.popleft()]
            while waiting:
                yield [future.result() for future in waiting.popleft()]
        finally:
            for future in (future for batch in waiting for future in batch):
                future.cancel()

    def _read(self, file: ImageFile, again: bool = False) -> ReadImage:
        """Hash one file and decode it, unless its score is known; whatever goes wrong becomes the reason.

        again : decode it also where its score is known
        """
        sha256 = ""
        try:
            sha256 = content_sha256(file.path)
            if not again and self.store.has(file.name, sha256, heatmap=bool(self.heatmap_size)):
                return ReadImage(file, sha256, None)
            return ReadImage(file, sha256, load_image(file.path, self.model.config.image_size))
        except Exception as error:  # whatever a damaged file does to a decoder, the other images get their scores
            return ReadImage(file, sha256, None, _reason(error, file))

    def _draw(self, image: ScoredImage) -> str:
        """Write the heatmap of one scored image; returns why it cannot be drawn.

        An OSError is not caught: where results cannot be written, the run stops.
        """
        file = image.read.file
        target = self.store.heatmap(file.name)
        try:
            write_heatmap(file.path, image.anomaly_map, self.reference.color_limits, self.heatmap_size, target)
        except OSError:
            raise
        except Exception as error:
            return _reason(error, file)
        return ""


def content_sha256(path: Path) -> str:
    """The sha256 of a file's content; ImageError for pipes, devices and the like, which would be read for ever."""
    refuse_special(path)
    return file_sha256(path)


def _reason(error: Exception, file: ImageFile) -> str:
    """What an error says, with the file's name in the place of its path; with its type where it is not for users."""
    said = str(error) if isinstance(error, (ValueError, OSError)) and str(error) else f"{type(error).__name__}: {error}"
    return said.replace(str(file.path), file.name)
