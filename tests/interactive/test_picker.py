"""The picker without a browser: clicks change the selection, the selection changes the view, and nothing runs round."""

from __future__ import annotations

from pathlib import Path

import pytest

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.interactive.picker import SupportPicker
from d24fad_lite.interactive.thumbnails import Thumbnails
from d24fad_lite.supports.selection import SupportSelection
from d24fad_lite.supports.strategies import describe


@pytest.fixture
def picker(task: Task, model) -> SupportPicker:
    return SupportPicker(SupportSelection(task, 3, page_size=4, features=lambda: describe(model, task.train)))


def labels(picker: SupportPicker) -> list[str]:
    return [card.description for card in picker.cards if card.layout.display != "none"]


def test_a_click_picks_and_a_second_puts_back(picker: SupportPicker) -> None:
    picker.cards[2].click()
    assert picker.selection.selected == (2,) and labels(picker)[2] == "✓ 1 · 002.png"
    assert "d24-picked" in picker.cards[2]._dom_classes and "1 of 3" in picker.status.value
    picker.cards[2].click()
    assert picker.selection.selected == () and labels(picker)[2] == "002.png"
    assert "d24-picked" not in picker.cards[2]._dom_classes


def test_a_script_changes_what_is_shown(picker: SupportPicker) -> None:
    picker.selection.select([3, 0])
    assert labels(picker) == ["✓ 2 · 000.png", "001.png", "002.png", "✓ 1 · 003.png"]
    assert "1 · 003.png, 2 · 000.png" in picker.status.value
    picker.selection.lock(0)
    assert labels(picker)[0] == "✓ 2 locked · 000.png"


def test_turning_the_page_fills_the_same_buttons_anew(picker: SupportPicker) -> None:
    buttons, pictures = list(picker.cards), picker._pictures.value
    picker.forth.click(), picker.forth.click()
    assert labels(picker) == ["008.png", "009.png"] and "page 3 of 3" in picker.page.value
    assert picker.cards == buttons and picker._pictures.value != pictures
    picker.cards[1].click()
    assert picker.selection.selected == (9,)
    picker.cards[3].click()  # an empty place is hidden; a stray click on it does nothing
    assert picker.selection.selected == (9,)
    picker.back.click()
    assert labels(picker)[0] == "004.png"


def test_a_refused_click_says_why(picker: SupportPicker) -> None:
    for card in picker.cards:
        card.click()
    assert len(picker.selection) == 3
    assert "put one back before you pick 003.png" in picker.status.value and 'role="status"' in picker.status.value
    picker.undo.click()
    assert "put one back" not in picker.status.value


def test_every_control_of_the_toolbar_does_what_it_says(picker: SupportPicker) -> None:
    s = picker.selection
    picker.strategy.value = "farthest"
    picker.suggest.click()
    assert len(s) == 3
    chosen = s.selected
    picker.clear.click()
    assert s.selected == ()
    picker.undo.click()
    assert s.selected == chosen
    picker.redo.click(), picker.redo.click()
    assert s.selected == () and "nothing to redo" in picker.status.value
    picker.search.value = "00 7"
    assert labels(picker) == ["007.png"]
    picker.pick.click()
    assert s.selected == (7,) and picker.pick.description == "Put back"
    picker.lock.click()
    assert s.locked == {7} and picker.lock.description == "Unlock"
    picker.search.value, picker.only_picked.value = "", True
    assert labels(picker) == ["✓ 1 locked · 007.png"]
    picker.size.value = "large"
    assert "168px" in picker._size_style.value


def test_previous_and_next_move_the_preview_over_pages(picker: SupportPicker) -> None:
    for _ in range(4):
        picker.after.click()
    assert picker.selection.cursor == 4 and picker.selection.page == 1
    assert "004.png" in picker.preview.value and "data:image/jpeg" in picker.preview.value
    picker.before.click()
    assert picker.selection.page == 0 and "d24-cursor" in picker.cards[3]._dom_classes


def test_save_and_load_speak_of_success_and_of_failure(picker: SupportPicker, tmp_path: Path) -> None:
    picker.path.value = str(tmp_path / "supports.json")
    picker.load.click()
    assert "is not there" in picker.status.value
    picker.selection.select([1, 2])
    picker.save.click()
    assert "saved 2 of 3" in picker.status.value
    picker.clear.click()
    picker.load.click()
    assert picker.selection.selected == (1, 2) and "loaded 2 of 3" in picker.status.value


def test_a_suggestion_shows_what_filled_the_choice(picker: SupportPicker) -> None:
    picker.cards[0].click(), picker.lock.click()
    picker.strategy.value = "herding"
    picker.suggest.click()
    assert "suggested by: best coverage (MaxHerding); 2 new, 1 kept because it is locked" in picker.status.value


def test_a_button_that_can_do_nothing_says_why(picker: SupportPicker) -> None:
    for name, reason in [
        ("clear", "nothing is picked"),
        ("undo", "nothing to undo"),
        ("redo", "nothing to redo"),
        ("save", "nothing is picked, nothing to save"),
        ("back", "this is the first page"),
        ("before", "this is the first image"),
        ("lock", "000.png is not picked"),
    ]:
        control = getattr(picker, name)
        assert "d24-idle" in control._dom_classes and reason in control.tooltip
        control.click()
        assert reason in picker.status.value
    assert not Path(picker.path.value).exists()
    for name in ("forth", "after", "pick"):
        assert "d24-idle" not in getattr(picker, name)._dom_classes
    picker.cards[0].click()
    for name in ("clear", "undo", "save", "lock"):
        assert "d24-idle" not in getattr(picker, name)._dom_classes
    picker.lock.click(), picker.clear.click()
    assert "all that is picked is locked" in picker.status.value and picker.selection.selected == (0,)
    picker.selection.set_page(2), picker.forth.click()
    assert "this is the last page" in picker.status.value


def test_a_long_name_keeps_both_ends_on_its_card_and_is_whole_elsewhere(task: Task, tmp_path: Path) -> None:
    name = f"1.2.840.113619.{'2.5.' * 12}1762583153.png"
    (tmp_path / "train").mkdir()
    image = tmp_path / "train" / name
    image.write_bytes(task.train.paths[0].read_bytes())
    picker = SupportPicker(SupportSelection(ImageSet("Own/train", tmp_path, [image]), 1))
    card = picker.cards[0]
    assert card.description.startswith("1.2.840.113619.") and card.description.endswith("583153.png")
    assert "…" in card.description and len(card.description) == 40
    assert name in card.tooltip and name in picker.caption.value


def test_the_grid_brings_its_arrow_keys_along(picker: SupportPicker) -> None:
    (script,) = (child for child in picker.widget.children if type(child).__name__ == "Output")
    code = script.outputs[0]["data"]["application/javascript"]
    assert f".{picker.scope} .d24-grid" in code and "SCOPE" not in code


def test_a_suggestion_without_features_is_told_not_raised(task: Task) -> None:
    picker = SupportPicker(SupportSelection(task, 3))
    picker.strategy.value = "typical"
    picker.suggest.click()
    assert "give features=" in picker.status.value


def test_a_click_is_told_once_and_no_view_answers_it(picker: SupportPicker) -> None:
    other, heard = SupportPicker(picker.selection), []
    picker.selection.subscribe(heard.append)
    picker.cards[1].click()
    assert sorted(heard, key=sorted) == [frozenset({"cursor"}), frozenset({"selected"})]
    assert labels(other) == labels(picker)
    heard.clear()
    picker.search.value = "00"
    assert heard == [frozenset({"filter", "page"})] and other.search.value == "00"


def test_a_click_sends_only_what_differs(picker: SupportPicker) -> None:
    picker.cards[0].click()
    sent = []
    for place, card in enumerate(picker.cards):
        card.observe(lambda change, place=place: sent.append((place, change["name"])), names=["description"])
    picker._pictures.observe(lambda change: sent.append("pictures"), "value")
    picker.preview.observe(lambda change: sent.append("preview"), "value")
    picker.cards[0].click()
    assert sent == [(0, "description")]


def test_thumbnails_are_made_once_and_only_for_pages_looked_at(picker: SupportPicker) -> None:
    assert picker.thumbnails.made == 4
    picker.forth.click(), picker.back.click(), picker.forth.click()
    assert picker.thumbnails.made == 8
    made = Thumbnails(picker.selection.candidates)
    assert made.get([3, 3, 1])[0] == made.get([3])[0] and made.made == 2


def test_names_are_escaped(task: Task) -> None:
    image = task.train.paths[0]
    nasty = image.with_name("a<b>&.png")
    nasty.write_bytes(image.read_bytes())
    try:
        picker = SupportPicker(SupportSelection(ImageSet("Blobs/train", task.root, [nasty]), 1))
        picker.cards[0].click()
        assert "<b>&." not in picker.status.value and "a&lt;b&gt;&amp;.png" in picker.status.value
    finally:
        nasty.unlink()


def test_the_text_left_without_a_kernel_is_one_line(picker: SupportPicker) -> None:
    bundle = picker._repr_mimebundle_()
    assert bundle["text/plain"] == "support picker, 0 of 3 picked (it needs a running kernel)"
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_closed_picker_no_longer_listens(picker: SupportPicker) -> None:
    picker.close()
    picker.selection.toggle(0)
    assert picker.cards[0].description == "000.png"


@pytest.mark.parametrize(("setting", "wanted"), [("on", True), ("off", False), ("", False)])
def test_widgets_are_for_people_only(monkeypatch: pytest.MonkeyPatch, setting: str, wanted: bool) -> None:
    from d24fad_lite.lessons.attended import widgets_wanted

    monkeypatch.setenv("D24FAD_WIDGETS", setting)
    assert widgets_wanted() is wanted
    monkeypatch.setenv("D24FAD_WIDGETS", "maybe")
    with pytest.raises(ValueError, match="D24FAD_WIDGETS='maybe'"):
        widgets_wanted()


def test_papermill_inside_a_jupyter_session_is_no_person(monkeypatch: pytest.MonkeyPatch) -> None:
    from d24fad_lite.lessons import attended

    monkeypatch.delenv("D24FAD_WIDGETS", raising=False)
    monkeypatch.setenv("JPY_SESSION_NAME", "07_choose_supports.ipynb")
    monkeypatch.setattr(attended, "_namespace", lambda: {"In": ["", "seed: int = 0"]})
    assert attended.widgets_wanted()
    monkeypatch.setattr(attended, "_namespace", lambda: {"In": ["", "seed: int = 0", "# Parameters\nseed = 1"]})
    assert not attended.widgets_wanted()
