"""The page of a prediction in a real browser: by keyboard, narrow and wide, light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest

import d24fad_lite as d2


@pytest.fixture(scope="module")
def page_file(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of ten images, some of them alarms."""
    model = d2.D24FAD(d2.D24FADConfig(teacher="test_resnet.r160_in1k", weights="random", image_size=32)).eval()
    train = d2.open_folder(tiny_root / "Stripes/train/good").paths
    result = d2.predict_folder(
        model.read_as("matched"),
        tiny_root / "Stripes/test",
        train[:3],
        tmp_path_factory.mktemp("gallery"),
        normals=train[3:],
        alpha=0.25,
    )
    return result.gallery


def open_page(browser, file: Path, width: int = 1280, scheme: str = "light"):
    """The page in a window of this width, and the errors it gave."""
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: errors.append(request.url) if request.url.startswith("http") else None)
    page.goto(file.as_uri())
    return page, errors


def test_images_are_walked_and_closed_by_keyboard_and_the_focus_comes_back(browser, page_file) -> None:
    page, errors = open_page(browser, page_file)
    cards = page.locator("#images .card")
    names = [cards.nth(i).get_attribute("data-name") for i in range(cards.count())]
    cards.first.locator("button").focus()
    for key, expected in (("End", len(names) - 1), ("Home", 0), ("ArrowRight", 1)):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.closest('.card').dataset.name") == names[expected], key
    page.keyboard.press("Enter")
    name = page.locator("#large-name")
    assert name.inner_text() == names[1]
    last = len(names) - 1
    for key, expected in (("ArrowRight", 2), ("k", 1), ("End", last), ("ArrowRight", last), ("Home", 0)):
        page.keyboard.press(key)
        assert name.inner_text() == names[expected], key
    assert page.locator("#large-weights meter").count() == 3
    page.keyboard.press("m")
    assert page.locator("#large-layer").evaluate("one => one.style.opacity") == "0"
    page.keyboard.press("Escape")
    assert not page.locator("#large").evaluate("one => one.open")
    assert page.evaluate("document.activeElement.closest('.card').dataset.name") == names[0]
    assert errors == []


def test_every_picture_is_shown_also_below_its_map(browser, page_file) -> None:
    page, errors = open_page(browser, page_file)
    page.wait_for_function("[...document.images].filter(one => one.closest('.card')).every(one => one.complete)")
    widths = page.locator("#images .card img").evaluate_all("all => all.map(one => one.naturalWidth)")
    cards = page.locator("#images .card").count()
    assert len(widths) == 3 * cards and min(widths) > 0
    assert errors == []


def test_images_are_searched_ordered_and_filtered(browser, page_file) -> None:
    page, errors = open_page(browser, page_file)

    def shown() -> list[str]:
        return page.locator("#images .card:not([hidden])").evaluate_all("all => all.map(one => one.dataset.name)")

    every = shown()
    page.locator("#order").select_option("low")
    assert shown() == every[::-1]
    page.locator("#order").select_option("name")
    assert shown() == sorted(every)
    page.locator("#search").fill("BAD/")
    assert shown() == sorted(name for name in every if name.startswith("bad/"))
    page.locator("#search").fill("")
    page.locator("#only").check()
    alarms = page.locator("#images .card[data-alarm=yes]").count()
    assert len(shown()) == alarms and f"{alarms} of {len(every)} shown" in page.locator("#count").inner_text()
    assert errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 1280])
def test_nothing_is_scrolled_sideways_and_the_colours_follow_the_system(browser, page_file, width, scheme) -> None:
    page, errors = open_page(browser, page_file, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#images .card button").first.click()
    assert page.locator("#large").evaluate("one => one.scrollWidth <= one.clientWidth")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert (light > 128) == (scheme == "light") and errors == []
