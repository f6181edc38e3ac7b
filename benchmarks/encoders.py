"""Which encoders can be a teacher? Each is trained for two steps, evaluated, used and stored, or refused in words.

    python benchmarks/encoders.py                               # all, writes benchmarks/ENCODERS.md
    python benchmarks/encoders.py --only resnet18 hf:dinov2     # some, printed and not written
    python benchmarks/encoders.py --column export=PACKAGE.MODULE:FUNCTION    # one more column, FUNCTION(model, folder)
    python benchmarks/encoders.py --again vgg11                 # some anew, in the place of their rows on the page

timm's encoders are built with random weights, those of transformers are made tiny on the spot and read from their
folder, so nothing is downloaded. This says that an encoder runs, not that it is a good teacher.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
import tempfile
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "tests/model"), str(Path.cwd())]

from conftest import TINY_TASKS, write_tiny_task  # noqa: E402
from tiny_encoders import FORMATS, write_encoder  # noqa: E402

import d24fad_lite as d2  # noqa: E402

PAGE = HERE / "ENCODERS.md"
LIBRARIES = ("torch", "timm", "transformers", "safetensors")
SIZE = 64  # px, where a name has no "@SIZE" behind it
# One small encoder of each family, and below what is refused, and in which words.
TIMM = """
resnet18 wide_resnet50_2 regnetx_002 convnext_atto convnextv2_atto mobilenetv4_conv_small tf_efficientnet_lite0
test_nfnet densenet121 hrnet_w18_small vgg11 inception_v3@96 rexnet_100 repvit_m1 starnet_s1 mambaout_femto
efficientvit_b0 efficientvit_m0 pvt_v2_b0 poolformer_s12 edgenext_xx_small mobilevit_xxs fastvit_t8 tiny_vit_5m_224
swin_tiny_patch4_window7_224 swinv2_cr_tiny_224 maxvit_pico_rw_256 hiera_tiny_224@224 hieradet_small mvitv2_tiny
davit_tiny levit_128s efficientformer_l1@224 crossvit_tiny_240@240 vit_tiny_patch16_224 deit_tiny_distilled_patch16_224
deit3_small_patch16_224 vit_small_patch14_dinov2@56 vit_small_patch14_reg4_dinov2@56 vit_small_patch16_dinov3
eva02_tiny_patch14_224@56 beit_base_patch16_224 xcit_nano_12_p16_224 convit_tiny samvit_base_patch16 mixer_s32_224
tnt_s_patch16_224 volo_d1_224 vit_base_patch16_siglip_224 flexivit_small

vit_tiny_patch16_224@72 vit_small_patch14_dinov2@64 vit_small_patch16_dinov3@72 swin_tiny_patch4_window7_224@70
convnext_atto@70 crossvit_tiny_240@96 efficientformer_l1@64
"""
TRANSFORMERS = [*(f"hf:{model_type}" for model_type in FORMATS), "hf:aimv2_vision_model@32", "hf:dinov2@60"]
FAILED, REFUSED = "failed: ", "refused: "  # how the word for a step begins that did not work
STEPS = ("fit", "evaluate", "predict", "save and load")
Extra = Callable[[d2.D24FAD, Path], object]


@dataclass
class Row:
    """What became of one encoder: its levels, a word for each step, the words said on the way."""

    name: str
    family: str
    size: int
    levels: str = ""
    steps: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, int]:
        return self.name, self.size

    def stopped(self, how: str) -> bool:
        """Did a step end as FAILED or REFUSED?"""
        return any(word.startswith(how) for word in self.steps.values())


def main() -> None:
    """Walk through the encoders; print, and write the page where all of them were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="timm names and hf:FORMAT, perhaps with @SIZE")
    parser.add_argument("--again", nargs="+", default=[], help="as --only, but the rows replace those of the page")
    parser.add_argument("--column", action="append", default=[], help="NAME=PACKAGE.MODULE:FUNCTION, one more step")
    options = parser.parse_args()
    if options.only and options.again:
        parser.error("--only and --again are one or the other")
    extra = dict(map(_column, options.column))
    before = read_page(PAGE.read_text(encoding="utf-8"), extra) if options.again else []
    if strangers := [name for name in options.again if _start(name).key not in {row.key for row in before}]:
        parser.error(f"{PAGE.name} has no row of {', '.join(strangers)}; run it without --again")
    with tempfile.TemporaryDirectory() as folder:
        bench = _benchmark(Path(folder, "tasks"))
        rows = []
        for name in options.only or options.again or [*TIMM.split(), *TRANSFORMERS]:
            rows.append(walk(name, bench, Path(folder), extra))
            print(_line(rows[-1], extra), flush=True)
    if not options.only:
        anew = {row.key: row for row in rows}
        rows = [anew.get(row.key, row) for row in before] or rows
        PAGE.write_text(page(rows, extra), encoding="utf-8")
        print(f"written to {PAGE}")


def walk(name: str, bench: d2.Benchmark, folder: Path, extra: Mapping[str, Extra]) -> Row:
    """One encoder through every step, as far as it comes."""
    row, began = _start(name), time.perf_counter()
    with _words_into(row):
        try:
            config = _config(name, row, folder)
            model = d2.D24FAD(config)
        except ValueError as error:  # a refusal; anything else is a fault, and stops the script
            row.levels, row.words = "refused", [*row.words, str(error).replace(f"{folder}/", "")]
            return row
        shapes = zip(model.teacher.channels, model.teacher.grids, strict=True)
        row.levels = ", ".join(f"{channels}@{height}x{width}" for channels, (height, width) in shapes)
        height, width = model.teacher.pyramid.embedding_grid
        row.levels += f"; {model.teacher.pyramid.embedding_channels}@{height}x{width}"
        work: dict[str, Callable[[], object]] = {
            "fit": lambda: d2.fit(model, bench, shots=2, epochs=1, batch_size=10, progress=False, cache="off"),
            "evaluate": lambda: d2.evaluate(model, bench["Blobs"], shots=2, draws=1, progress=False),
            "predict": partial(_predict, model, bench["Blobs"], folder / f"predicted_{len(list(folder.iterdir()))}"),
            "save and load": partial(_stored, model, folder / "model.safetensors"),
        }
        work |= {title: partial(function, model, folder) for title, function in extra.items()}
        for title, step in work.items():
            try:
                result = step()
                row.steps[title] = result if isinstance(result, str) else "ok"
            except Exception as error:  # the table says which step failed, and how
                words = " ".join(str(error).split())[:300]
                refusal = title in extra and isinstance(error, d2.ExportError)
                row.steps[title] = REFUSED + words if refusal else f"{FAILED}{type(error).__name__}: {words}"
    row.seconds = time.perf_counter() - began
    return row


def _start(text: str) -> Row:
    name, _, size = text.partition("@")
    return Row(name, "transformers" if name.startswith("hf:") else "timm", int(size or SIZE))


def _config(name: str, row: Row, folder: Path) -> d2.D24FADConfig:
    """The settings with this teacher; one of transformers is written to a folder first."""
    if row.family == "timm":
        return d2.D24FADConfig(teacher=row.name, weights="random", image_size=row.size)
    place = folder / row.name.removeprefix("hf:")
    write_encoder(place, place.name)
    return d2.D24FADConfig(teacher=f"hf:{place}", image_size=row.size)


@contextmanager
def _words_into(row: Row) -> Iterator[None]:
    """Keep what the kit says by warnings; those of other libraries are not its words."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    said = [str(one.message) for one in caught if str(one.message).startswith("teacher ")]
    row.words += ["one grid for all levels" for text in dict.fromkeys(said) if "one grid" in text]


def _predict(model: d2.D24FAD, task: d2.Task, out: Path) -> None:
    """Scores of a folder, every one a number."""
    result = d2.predict_folder(model, task.test.paths[0].parent, task.train.paths[:2], out, progress=False)
    assert len(result.scores) and np.isfinite(result.scores["score"]).all()


def _stored(model: d2.D24FAD, path: Path) -> None:
    """A detector's file gives the same scores, bit for bit."""
    size = model.config.image_size
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    again = d2.D24FAD.load(model.save(path))
    scores = [one.predict(images, one.encode_supports(images)).score for one in (model, again)]
    assert torch.equal(*scores), "other scores after loading"


def _benchmark(root: Path) -> d2.Benchmark:
    """Two tasks of 10 normal training images: at batches of 10, an epoch is two steps."""
    for task, name in enumerate(TINY_TASKS):
        write_tiny_task(root / name, task)
    return d2.open_benchmark(root)


def _column(text: str) -> tuple[str, Extra]:
    title, _, address = text.partition("=")
    module, _, function = address.partition(":")
    return title, getattr(importlib.import_module(module), function)


def _line(row: Row, extra: Mapping[str, Extra]) -> str:
    """One row of the table."""
    steps = [row.steps.get(title, "") for title in (*STEPS, *extra)]
    cells = [f"`{row.name}`", row.family, str(row.size), row.levels, *steps, "; ".join(row.words)]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _head(extra: Mapping[str, Extra]) -> str:
    titles = ["encoder", "library", "px", "levels, fine to coarse; embedding (C@HxW)", *STEPS, *extra]
    return "| " + " | ".join([*titles, "what was said"]) + " |"


def _versions() -> str:
    versions = ", ".join(f"{library} {version(library)}" for library in LIBRARIES)
    return f"Python {platform.python_version()}, {versions}."


def read_page(text: str, extra: Mapping[str, Extra]) -> list[Row]:
    """The rows of a page with these columns and by these versions; SystemExit, with the reason, if it has others."""
    lines = text.splitlines()
    for said, line in (("the columns", _head(extra)), ("the versions", _versions())):
        if line not in lines:
            raise SystemExit(f"{PAGE.name} has not {said} of this run, {line!r}; measure all encoders, without --again")
    rows = []
    for line in lines[lines.index(_head(extra)) + 2 :]:
        cells = [cell.replace(r"\|", "|") for cell in line.removeprefix("| ").removesuffix(" |").split(" | ")]
        name, family, size, levels, *steps, words = cells
        filled = {title: step for title, step in zip((*STEPS, *extra), steps, strict=True) if step}
        rows.append(Row(name.strip("`"), family, int(size), levels, filled, [words] if words else []))
    return rows


def page(rows: list[Row], extra: Mapping[str, Extra]) -> str:
    """The page: versions, counts and the table."""
    passed = [row for row in rows if row.steps and not row.stopped(FAILED) and not row.stopped(REFUSED)]
    counts = ", ".join(
        f"{sum(row.family == family for row in passed)} of {family}" for family in ("timm", "transformers")
    )
    refused = sum(not row.steps for row in rows)
    stopped = []
    for title in extra:
        names = [f"`{row.name}`" for row in rows if row.steps.get(title, "").startswith(REFUSED)]
        stopped += [f"{len(names)} are refused by {title}: {', '.join(names)};"] * bool(names)
    paragraphs = [
        "Written by `python benchmarks/encoders.py`; do not edit.",
        f"Every encoder goes through {', '.join((*STEPS, *extra))}: training for two steps on 20 images, one draw of "
        "two supports on 10 test images, a folder of images, and a stored file whose scores are the same bit for bit. "
        "Encoders of timm have random weights; those of transformers are tiny, made on the spot and read from "
        "their folder (`hf:FOLDER`). So this page says what runs, not which teacher is good.",
        *(f"Column {title}: {line}" for title, step in extra.items() for line in (step.__doc__ or "").splitlines()[:1]),
        f"All steps work for {len(passed)} encoders ({counts}); {refused} are refused, in the words of the last "
        f"column; {' '.join([*stopped, f'{sum(row.stopped(FAILED) for row in rows)} fail in a step.'])}",
    ]
    wrapped = [textwrap.fill(text, 120, break_on_hyphens=False, break_long_words=False) for text in paragraphs]
    head = _head(extra)
    table = [head, "| --- " * (len(STEPS) + len(extra) + 5) + "|", *(_line(row, extra) for row in rows)]
    return (
        "\n\n".join(["# Encoders as teachers", *wrapped[:-1], f"{wrapped[-1]}\n{_versions()}", "\n".join(table)]) + "\n"
    )


if __name__ == "__main__":
    main()
