"""Which files of a folder are scored: their names in the results, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from d24fad_lite.data.benchmark import open_folder, require_folder
from d24fad_lite.data.layouts.folder_walk import list_scans
from d24fad_lite.data.layouts.left_out import LeftOut, ignored_files_sentence
from d24fad_lite.data.layouts.links import links_warning
from d24fad_lite.data.layouts.mask_pairing import mask_warning
from d24fad_lite.data.layouts.task_files import LayoutError
from d24fad_lite.data.supports import draw_supports
from d24fad_lite.predicting.score_store import FILES


class ImageFile(NamedTuple):
    """One file: its name in the results (path below the folder, posix) and where it lies."""

    name: str
    path: Path


@dataclass(frozen=True)
class FolderImages:
    """The images of a folder in the order of the results, and the other files, which are named and not used."""

    folder: Path
    images: list[ImageFile]
    left_out: list[LeftOut]

    def warnings(self) -> list[str]:
        """Sentences for the user: which files are ignored, and whether images look like masks."""
        folder = self.folder
        what = f"folder '{folder.name or folder}'"
        ignored = [ignored_files_sentence(what, self.left_out, folder)] if self.left_out else []
        if not folder.is_dir():
            return ignored
        return [
            *ignored,
            *links_warning(folder, [folder]),
            *mask_warning(folder, [image.path for image in self.images]),
        ]


def list_images(folder: Path, results: Path) -> FolderImages:
    """The image file `folder`, or all images in and below it, without what an earlier run wrote into `results`.

    Pictures of formats that cannot be read are listed too, so that they fail by name. Raises FileNotFoundError, or
    LayoutError for a folder without images.
    """
    if folder.is_file():
        return FolderImages(folder, [ImageFile(folder.name, folder)], [])
    require_folder(folder)
    own = {(results / name).resolve() for name in FILES}
    left_out: list[LeftOut] = []
    paths = list_scans(folder, left_out, skip=lambda path: path.resolve() in own)
    if not paths:
        raise LayoutError(
            f"folder '{folder}' holds no image; expected png, jpg, jpeg, bmp, tif, tiff or dcm files "
            "(what an earlier run wrote there does not count)"
        )
    # The folder of the results may lie inside, still empty; it is ours, so it is not reported as ignored.
    others = [item for item in left_out if item.path.resolve() != results.resolve()]
    return FolderImages(folder, [ImageFile(path.relative_to(folder).as_posix(), path) for path in paths], others)


def choose_supports(
    supports: str | Path | Sequence[str | Path], shots: int = 0, seed: int = 0, argument: str = "shots"
) -> list[Path]:
    """The support files: those given, and those in given folders; or `shots` of them, drawn with `seed`.

    `argument` is what an error calls the number of shots. Raises FileNotFoundError, LayoutError, ValueError.
    """
    sources = [Path(source) for source in ([supports] if isinstance(supports, (str, Path)) else supports)]
    files = [path for source in sources for path in ([source] if source.is_file() else open_folder(source).paths)]
    if not files:
        raise ValueError("no supports given; at least one normal reference image is needed")
    if not shots:
        return files
    if not 0 < shots <= len(files):
        raise ValueError(
            f"{argument} {shots} of {len(files)} supports cannot be drawn; give 1 to {len(files)}, or 0 for all of them"
        )
    return [files[i] for i in draw_supports(len(files), shots, 1, seed)[0]]
