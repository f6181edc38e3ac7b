"""The page of a prediction: what stands on it is what was found, and it needs nothing from elsewhere."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import d24fad_lite as d2
from d24fad_lite.files import data_uri
from d24fad_lite.predicting.gallery.content import Gallery, GalleryImage, GallerySupport
from d24fad_lite.predicting.gallery.histogram import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    bins_of,
    histogram_key,
    histogram_svg,
)
from d24fad_lite.predicting.gallery.page import render
from d24fad_lite.predicting.gallery.pictures import MOST_COVER, image_pictures, map_layer

NASTY = "<script>alert('x')</script>\"&\udcff.png"


class Cards(HTMLParser):
    """The cards of the images, as dicts of their data attributes, and the number of pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cards: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if "data-rank" in dict(attrs):
            self.cards.append(dict(attrs))


def picture(color: int = 99) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (color, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def a_gallery(names: list[str], threshold: float | None = 0.5, **changes: object) -> Gallery:
    scores = np.linspace(0.9, 0.1, len(names))
    images = [
        GalleryImage(name, float(score), 0.2, bool(score > (threshold or 9)), [0.75, 0.25], b"j", b"p")
        for name, score in zip(names, scores)
    ]
    supports = [
        GallerySupport("one.png", 0.2, 0.1, False, picture()),
        GallerySupport(NASTY, 0.4, 3.0, True, picture()),
    ]
    values = dict(
        title="scans",
        images=images,
        supports=supports,
        all_scores=[*scores],
        threshold=threshold,
        threshold_sentence="why",
        settings={"teacher": "net"},
    )
    return Gallery(**(values | changes))


def test_images_stand_in_order_with_their_scores_and_alarms() -> None:
    page = Cards(render(a_gallery(["a.png", "sub/b.png", "c.png"])))
    assert [card["data-name"] for card in page.cards] == ["a.png", "sub/b.png", "c.png"]
    assert [card["data-alarm"] for card in page.cards] == ["yes", "no", "no"]
    assert [card["data-weights"] for card in page.cards] == ["[0.75, 0.25]"] * 3


def test_names_are_escaped_and_bytes_that_are_no_text_do_not_break_the_page(tmp_path: Path) -> None:
    page = render(a_gallery([NASTY], failures={NASTY: "<b>cut</b>"}))
    assert Cards(page).tags.count("script") == 1 and "<b>cut" not in page
    page.encode("utf-8")


def test_nothing_is_fetched_from_elsewhere() -> None:
    page = render(a_gallery(["a.png"]))
    assert all(address.startswith("data:image/") for address in Cards(page).addresses)
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest", page)


def test_what_is_left_out_and_why_there_is_no_threshold_are_said() -> None:
    page = render(a_gallery(["a.png"], threshold=None, left_out=7, threshold_sentence="too few & small"))
    assert "Not shown: 7 images of lower scores" in page and "too few &amp; small" in page
    assert 'id="only"' not in page and "threshold at" not in page


def test_the_page_says_how_many_maps_go_beyond_what_supports_show() -> None:
    images = [GalleryImage(n, 0.9, None, None, [1.0], b"j", b"p", outlined=n == "a.png") for n in ("a.png", "b.png")]
    assert "Images below with a blue line: 1 of 2." in render(a_gallery(["a.png"], images=images))
    assert "No image below has a blue line" in render(a_gallery(["a.png"]))
    unmapped = [GalleryImage("a.png", 0.9, None, None, [1.0], b"j", None)]
    assert "blue line" not in render(a_gallery(["a.png"], images=unmapped))


def test_the_key_of_the_histogram_counts_its_highest_bar_and_names_the_triangles() -> None:
    assert histogram_key([1.0, 1.1, 5.0], [], None) == "The highest bar holds 2 images."
    assert "each against the others" in histogram_key([1.0, 5.0], [2.0, 3.0], None)
    assert "1 image." in histogram_key([1.0, 5.0], [2.0], 3.0) and "mirror" in histogram_key([1.0, 5.0], [2.0], 3.0)


def test_a_support_that_stands_apart_is_marked() -> None:
    page = render(a_gallery(["a.png"]))
    assert page.count("stands apart: look") == 1


@pytest.mark.parametrize("scores", [[], [0.3], [1.0, 1.0], [*np.random.default_rng(0).normal(size=500)]])
def test_the_bars_count_every_score(scores: list[float]) -> None:
    counts, edges = bins_of(scores, [0.5, -2.0])
    assert counts.sum() == len(scores) and len(edges) == len(counts) + 1
    assert edges[0] <= -2.0 and edges[-1] >= 0.5
    assert "<svg" in histogram_svg(scores, [], None)


def test_the_threshold_stands_where_its_value_is() -> None:
    svg = histogram_svg([0.0, 1.0, 4.0], [2.0], 3.0)
    at = float(re.search(r'<line class="threshold" x1="([\d.]+)"', svg)[1])
    assert at == pytest.approx(LEFT + (WIDTH - LEFT - RIGHT) * 3 / 4, abs=0.06)
    tick = float(re.search(r'class="tick" d="M([\d.]+)', svg)[1])
    assert tick == pytest.approx(LEFT + (WIDTH - LEFT - RIGHT) * 2 / 4, abs=0.06)


def test_the_alarms_of_a_bar_that_the_threshold_divides_are_drawn_as_such() -> None:
    scores = np.random.default_rng(1).normal(size=300)
    threshold = float(np.median(scores)) + 0.01
    svg = histogram_svg(scores, [], threshold)
    heights = {
        kind: sum(map(float, re.findall(rf'<rect class="{kind}"[^>]* height="([\d.]+)"', svg)))
        for kind in ("above", "bar")
    }
    counts, edges = bins_of(scores, [threshold])
    assert not np.isclose(edges, threshold).any(), "the threshold must divide a bar for this test to say anything"
    per_image = (HEIGHT - BOTTOM - TOP) / counts.max()
    assert heights["above"] / per_image == pytest.approx((scores > threshold).sum(), abs=0.5)
    assert heights["bar"] / per_image == pytest.approx((scores <= threshold).sum(), abs=0.5)


def test_alarms_are_counted_also_among_images_that_are_not_shown() -> None:
    beyond = a_gallery(["a.png", "b.png"], all_scores=[0.9, 0.1, 0.8, 0.7, 0.5], left_out=3)
    assert "highest score first (3 alarms, 1 of them shown)" in render(beyond)
    assert "highest score first (1 alarm)" in render(a_gallery(["a.png", "b.png"]))
    assert "alarm)" not in render(a_gallery(["a.png"], threshold=None))


def test_a_picture_stands_in_the_page_once_and_the_strip_has_the_weights() -> None:
    page = render(a_gallery(["a.png"]))
    assert page.count(f'src="{data_uri(b"j", "jpeg")}"') == 1
    strip = re.search(r'<span class="strip"[^>]*>(.*?)</span></span>', page)[1]
    assert re.findall(r"flex-grow:([\d.]+)", strip) == ["0.7500", "0.2500"]
    assert 'title="1 one.png: 75%"' in strip and "<script" not in strip
    alone = [GalleryImage("a.png", 0.9, None, None, [1.0], b"j", None)]
    assert 'class="strip"' not in render(a_gallery(["a.png"], images=alone))


def test_the_fill_leaves_the_colours_where_only_supports_values_are_reached() -> None:
    quarter = np.full((16, 16), 0.25, np.float32)
    assert map_layer(quarter, (0.0, 1.0), (16, 16))[..., 3].max() <= round(255 * MOST_COVER * 0.25**2)


def test_the_layer_is_clear_where_the_map_is_low_and_has_a_line_at_half_strength() -> None:
    low = np.zeros((32, 32), np.float32)
    assert map_layer(low, (0.1, 1.0), (64, 48))[..., 3].max() == 0
    step = low.copy()
    step[:, 16:] = 0.7
    layer = map_layer(step, (0.0, 1.0), (64, 64))
    opaque = np.flatnonzero(layer[32, :, 3] == 255)
    assert len(opaque) and opaque.min() >= 26 and opaque.max() <= 34, "the line runs along the step"
    assert 0 < layer[32, 60, 3] < 128 and layer.shape == (64, 64, 4)


def test_pictures_keep_the_images_proportions_and_colours(tmp_path: Path) -> None:
    Image.new("RGB", (400, 100), (200, 30, 90)).save(tmp_path / "wide.png")
    jpeg, png = image_pictures(tmp_path / "wide.png", np.ones((16, 16), np.float32), (0.0, 2.0))
    with Image.open(io.BytesIO(jpeg)) as image, Image.open(io.BytesIO(png)) as layer:
        assert image.size == layer.size == (320, 80) and layer.mode == "RGBA"
        assert np.abs(np.asarray(image)[40, 160].astype(int) - (200, 30, 90)).max() < 6
    assert image_pictures(tmp_path / "wide.png", None, (0.0, 1.0))[1] is None


def test_a_folder_gets_a_page_of_its_highest_scores_also_when_they_were_scored_before(tiny_root, tmp_path) -> None:
    model = d2.D24FAD(d2.D24FADConfig(teacher="test_resnet.r160_in1k", weights="random", image_size=32)).eval()
    places = (model, tiny_root / "Stripes/test/bad", tiny_root / "Stripes/train/good", tmp_path / "out")
    result = d2.predict_folder(*places, shots=3, gallery=2)
    page = result.gallery.read_text()
    highest = result.scores.sort_values("score", ascending=False)["name"].tolist()
    assert [card["data-name"] for card in Cards(page).cards] == highest[:2]
    assert f"Not shown: {len(highest) - 2} images of lower scores" in page
    again = d2.predict_folder(*places, shots=3, gallery=2)
    cards = Cards(again.gallery.read_text()).cards
    assert again.scored == 0 and cards == Cards(page).cards, "maps of an earlier run are made again"
    assert d2.predict_folder(*places[:3], tmp_path / "none", gallery=0).gallery is None
    assert not (tmp_path / "none/gallery.html").exists()
