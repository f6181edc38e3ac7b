"""The page as one HTML file: pictures, style and script inside, nothing fetched, every name escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from d24fad_lite.files import data_uri, write_text
from d24fad_lite.messages import in_html as text
from d24fad_lite.predicting.gallery.content import Gallery, GalleryImage, GallerySupport
from d24fad_lite.predicting.gallery.histogram import histogram_key, histogram_svg

HERE = Path(__file__).parent
NOTICE = "For research and teaching. Not for clinical use."
# The browser itself refuses whatever does not stand in the page.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
SCALE = (
    '<span class="key half"></span>Blue line: the highest value that the map of any support reaches. '
    '<span class="key full"></span>Yellow line: twice as far above the supports\' median. A tint outside the lines: '
    "above that median, yet within what supports show. One scale for all images."
)
STRIP = "The strip below an image shows how much each support counted. "
CONTROLS = "Enter opens an image; arrow keys, j and k go on, m hides the map, Esc closes."
SUSPICION = (
    "Suspicion: how unlike the other supports the oddest places of a support are. 0 is the median support, 1 the mean "
    "deviation from it; some support always has the highest."
)
LEAST_NUMBERED = 0.12  # share of a support below which its number does not fit into its part of the strip


def write_gallery(path: Path, gallery: Gallery) -> Path:
    """Write the page, whole or not at all; it holds images and their names, so it is as private as they are."""
    write_text(path, render(gallery))
    return path


def render(gallery: Gallery) -> str:
    """The whole page."""
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>Scores of {text(gallery.title)}</title><style>{style}</style></head><body><main>"
        + "".join(_parts(gallery))
        + f"</main>{LARGE_VIEW}<script>{script}</script></body></html>\n"
    )


def _parts(gallery: Gallery) -> Iterator[str]:
    yield f"<h1>Scores of {text(gallery.title)}</h1>"
    count = _counted(len(gallery.all_scores), "image")
    yield f'<p class="soft">{count}: the higher the score, the less an image is like the supports.</p>'
    yield f'<p class="notice">{NOTICE} Images and names are private: share this page as you would share them.</p>'
    yield '<h2>All scores</h2><div class="panel">'
    supports = [support.score for support in gallery.supports if support.score is not None]
    yield histogram_svg(gallery.all_scores, supports, gallery.threshold)
    yield f'<p class="soft">{histogram_key(gallery.all_scores, supports, gallery.threshold)}</p>'
    yield f'<p class="reason">{text(gallery.threshold_sentence)}.</p></div>'
    yield from _settings(gallery)
    yield f"<h2>{_counted(len(gallery.supports), 'support')}</h2>"
    if any(support.suspicion is not None for support in gallery.supports):
        yield f'<p class="soft">{SUSPICION}</p>'
    yield '<ul class="grid small">'
    yield from (_support(number, support) for number, support in enumerate(gallery.supports, start=1))
    yield f"</ul><h2>Images, highest score first{_alarms(gallery)}</h2>"
    if gallery.left_out:
        hidden = _counted(gallery.left_out, "image")
        yield (
            f'<p class="soft">Not shown: {hidden} of lower scores (--gallery sets how many are shown). '
            "All stand in scores.csv and in the histogram.</p>"
        )
    strip = STRIP if len(gallery.supports) > 1 else ""
    yield f'<p class="soft">{SCALE}{_lines(gallery)}</p><p class="soft">{strip}{CONTROLS}</p>'
    yield _tools(gallery)
    yield '<ul class="grid" id="images">'
    yield from (_card(rank, image, gallery.supports) for rank, image in enumerate(gallery.images, start=1))
    yield "</ul>"
    if gallery.failures:
        yield "<h2>Files that could not be used</h2><table><tr><th>file</th><th>why</th></tr>"
        yield from (f"<tr><td>{text(n)}</td><td>{text(why)}</td></tr>" for n, why in gallery.failures.items())
        yield "</table>"


def _alarms(gallery: Gallery) -> str:
    """How many of all images are alarms, also of those that are not shown; nothing where there is no threshold."""
    if gallery.threshold is None:
        return ""
    alarms = sum(score > gallery.threshold for score in gallery.all_scores)
    shown = sum(bool(image.alarm) for image in gallery.images)
    return f" ({_counted(alarms, 'alarm')}{f', {shown} of them shown' if shown < alarms else ''})"


def _lines(gallery: Gallery) -> str:
    """How many of the pictures have a blue line; where none has, why the maps look empty beside high scores."""
    mapped = [image for image in gallery.images if image.overlay is not None]
    lined = sum(image.outlined for image in mapped)
    if not mapped:
        return ""
    if lined:
        return f" Images below with a blue line: {lined} of {len(mapped)}."
    return " <b>No image below has a blue line</b>: somewhere the map of a support is higher than all of theirs."


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _settings(gallery: Gallery) -> Iterator[str]:
    yield '<details><summary>How it was made</summary><dl class="settings">'
    yield from (f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in gallery.settings.items())
    yield "</dl></details>"


def _support(number: int, support: GallerySupport) -> str:
    said = [f"<span>score {support.score:.4g}</span>"] if support.score is not None else []
    said += [f"<span>suspicion {_signed(support.suspicion)}</span>"] if support.suspicion is not None else []
    said += ['<span class="badge">stands apart: look</span>'] if support.flagged else []
    return (
        f'<li class="card{" alarm" * support.flagged}" data-support="{text(support.name)}" style="padding:.5rem">'
        f'<span class="frame"><img src="{data_uri(support.picture, "jpeg")}" alt="{text(support.name)}"></span>'
        f'<div class="name" title="{text(support.name)}"><b>{number}</b> {text(support.name)}</div>'
        f'<div class="line soft">{"".join(said)}</div></li>'
    )


def _signed(value: float) -> str:
    """Two digits, with a minus sign as long as a plus."""
    return f"{value:.2g}".replace("-", "−")


def _card(rank: int, image: GalleryImage, supports: Sequence[GallerySupport]) -> str:
    picture, name = data_uri(image.picture, "jpeg"), text(image.name)
    layer = f'<img class="layer" src="{data_uri(image.overlay)}" alt="">' if image.overlay is not None else ""
    weights = text(json.dumps([round(weight, 4) for weight in image.weights]))
    line = [f"<span>no. {rank}</span>", f"<span>score <b>{image.score:.4g}</b></span>"]
    line += [f"<span>p = {image.p_value:.3g}</span>"] if image.p_value is not None else []
    line += ['<span class="badge">alarm</span>'] if image.alarm else []
    return (
        f'<li class="card{" alarm" if image.alarm else ""}" data-rank="{rank}" data-name="{name}" '
        f'data-alarm="{"yes" if image.alarm else "no"}" data-weights="{weights}">'
        '<button type="button" aria-haspopup="dialog">'
        f'<span class="pair"><span class="frame"><img src="{picture}" alt="{name}"></span>'
        f'<span class="frame"><img class="below" alt="">{layer}</span></span>'
        f'<span class="line">{"".join(line)}</span><span class="name" title="{name}">{name}</span>'
        f"{_strip(image.weights, supports)}</button></li>"
    )


def _strip(weights: Sequence[float], supports: Sequence[GallerySupport]) -> str:
    """How much each support counted, as the parts of a strip; the large view says the same in words."""
    if len(weights) < 2:
        return ""
    parts = []
    for number, (weight, support) in enumerate(zip(weights, supports), start=1):
        said = text(f"{number} {support.name}: {weight:.0%}")
        inside = number if weight >= LEAST_NUMBERED else ""
        parts.append(f'<span style="flex-grow:{max(weight, 0):.4f}" title="{said}">{inside}</span>')
    return f'<span class="strip" aria-hidden="true">{"".join(parts)}</span>'


def _tools(gallery: Gallery) -> str:
    only = "" if gallery.threshold is None else '<label><input type="checkbox" id="only"> alarms only</label>'
    return (
        '<div class="tools" role="search"><label>Name <input type="search" id="search"></label>'
        '<label>Order <select id="order"><option value="high">highest score first</option>'
        '<option value="low">lowest score first</option><option value="name">by name</option></select></label>'
        f'{only}<label><input type="checkbox" id="maps" checked> maps</label>'
        '<span class="soft" id="count" role="status"></span></div>'
    )


LARGE_VIEW = (
    '<dialog id="large" aria-labelledby="large-name"><h2 id="large-name"></h2><div class="pair">'
    '<span class="frame"><img id="large-plain" alt=""></span>'
    '<span class="frame"><img id="large-below" alt=""><img id="large-layer" class="layer" alt="the map over it"></span>'
    '</div><div class="line" id="large-line"></div><div class="bar">'
    '<button type="button" id="large-previous">Previous</button><button type="button" id="large-next">Next</button>'
    '<span class="soft" id="large-place" role="status"></span>'
    '<label>Map <input type="range" id="opacity" min="0" max="100" value="100"></label>'
    '<button type="button" id="large-close">Close</button></div>'
    '<p class="soft">How much each support counted</p><dl class="weights" id="large-weights"></dl></dialog>'
)
