"""The choice of supports as a state machine: what a gesture does, what is refused, what undo restores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from d24fad_lite.data.benchmark import Task, open_benchmark
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.supports.selection import SupportSelection
from d24fad_lite.supports.support_file import SupportFileError

N = 10


def bare(limit: int = 3, page_size: int = 4) -> SupportSelection:
    """A selection over ten names without files behind them."""
    root = Path("folder")
    return SupportSelection(
        ImageSet("Blobs/train", root, [root / f"train/good/{i:03d}.png" for i in range(N)]),
        limit,
        page_size=page_size,
        features=np.eye(N, dtype=np.float32),
    )


def test_picks_keep_their_order_and_are_numbered_from_one() -> None:
    s = bare()
    assert [s.toggle(i) for i in (7, 2, 5)] == [True] * 3
    assert s.selected == (7, 2, 5) and s.names[0] == "train/good/007.png"
    assert [s.order(i) for i in (7, 2, 5, 0)] == [1, 2, 3, None]
    s.toggle(2)
    assert s.selected == (7, 5) and s.order(5) == 2


def test_one_more_than_the_limit_is_refused_with_a_message_and_changes_nothing() -> None:
    s = bare(limit=2)
    s.toggle(0), s.toggle(1)
    assert s.full and s.toggle(2) is False
    assert s.selected == (0, 1) and "2 of 2" in s.message and "002.png" in s.message
    assert s.toggle(1) and s.message == ""


def test_a_locked_image_survives_toggle_clear_and_suggest() -> None:
    s = bare()
    s.select([4, 6])
    assert s.lock(4) and s.locked == {4}
    assert s.toggle(4) is False and "locked" in s.message
    s.suggest("farthest")
    assert s.selected[0] == 4 and len(s) == 3
    s.clear()
    assert s.selected == (4,)
    with pytest.raises(ValueError, match="locked"):
        s.select([1, 2])
    assert s.lock(9) is False and "not picked" in s.message


def test_a_suggestion_says_which_strategy_filled_the_choice_and_what_was_kept() -> None:
    s = bare()
    s.suggest("medoids")
    assert s.message == "suggested by: k-medoids; 3 new, none was locked"
    s.lock(s.selected[0]), s.suggest("random", seed=5)
    assert s.message == "suggested at random, seed 5; 2 new, 1 kept because it is locked"
    s.lock(s.selected[1])
    s.set_filter("good")
    s.suggest("herding")
    assert s.message.endswith("1 new of those that match 'good', 2 kept because they are locked")


def test_a_choice_knows_whether_it_changed_since_it_was_used() -> None:
    s, heard = bare(), []
    s.select([1, 2])
    assert not s.changed_since_use
    s.subscribe(heard.append)
    assert s.use() == (1, 2) and not s.changed_since_use and heard == [{"used"}]
    s.toggle(3)
    assert s.changed_since_use
    s.undo()
    assert not s.changed_since_use
    s.move(2, 1)
    assert s.changed_since_use and s.use() == (2, 1)


def test_anomalous_candidates_are_refused_by_name(task: Task) -> None:
    with pytest.raises(ValueError, match=r"anomalous images, first 'test/bad/.*must be normal"):
        SupportSelection(task.test)
    assert SupportSelection(task).candidates is task.train


@pytest.mark.parametrize("limit", [0, N + 1])
def test_a_limit_outside_the_candidates_is_an_error(limit: int) -> None:
    with pytest.raises(ValueError, match="shots"):
        bare(limit=limit)


def test_scripts_get_errors_where_people_get_messages() -> None:
    s = bare(limit=2)
    for wrong, text in (([1, 1], "repeated"), ([0, 1, 2], "the limit is 2")):
        with pytest.raises(ValueError, match=text):
            s.select(wrong)
    with pytest.raises(IndexError, match="positions 0 to 9"):
        s.toggle(10)
    with pytest.raises(ValueError, match="strategy='best'"):
        s.suggest("best")


def test_moving_a_pick_changes_its_number_only() -> None:
    s = bare()
    s.select([1, 2, 3])
    s.move(3, 1)
    assert s.selected == (3, 1, 2)
    s.undo()
    assert s.selected == (1, 2, 3)


def test_filter_page_and_cursor_stay_in_agreement() -> None:
    s = bare(page_size=4)
    assert s.pages == 3 and s.page_items == (0, 1, 2, 3)
    s.set_cursor(9)
    assert s.page == 2 and s.page_items == (8, 9)
    s.set_page(99)
    assert s.page == 2
    s.set_page(1)
    assert s.cursor == 4
    s.move_cursor(-100)
    assert s.cursor == 0 and s.page == 0
    s.set_filter("GOOD 7")
    assert s.visible == (7,) and s.cursor == 7 and s.pages == 1
    s.set_filter("nothing like this")
    assert s.visible == () and s.pages == 1 and s.page_items == ()
    s.move_cursor(1)
    s.set_filter("")
    s.set_page_size(100)
    assert s.page_items == tuple(range(N))


def test_only_picked_shows_the_picks_as_they_change() -> None:
    s = bare()
    s.select([8, 1])
    s.set_filter(only_picked=True)
    assert s.visible == (1, 8)
    s.toggle(8)
    assert s.visible == (1,) and s.cursor == 1


def test_suggestions_respect_the_filter_and_say_when_too_few_match() -> None:
    s = bare()
    s.set_filter("00")
    assert s.suggest("random", seed=3) and len(s) == 3
    s.set_filter("7")
    assert s.suggest("typical") is False and "only 1 images match" in s.message


def test_features_are_computed_once_and_only_when_needed() -> None:
    calls = []

    def features() -> np.ndarray:
        calls.append(1)
        return np.eye(N, dtype=np.float32)

    s = bare()
    s._features = features
    s.suggest("random")
    assert not calls
    s.suggest("medoids"), s.suggest("diverse")
    assert calls == [1]


def test_subscribers_hear_what_changed_and_nothing_after_they_left() -> None:
    s, heard = bare(), []
    leave = s.subscribe(heard.append)
    s.toggle(3)
    assert heard == [frozenset({"cursor"}), frozenset({"selected"})]
    heard.clear()
    s.set_page(0), s.set_filter(""), s.set_cursor(3), s.clear(), s.clear()
    assert heard == [frozenset({"selected"})]
    leave(), leave()
    s.toggle(5)
    assert len(heard) == 1


def test_a_subscriber_may_change_the_selection_and_is_told_afterwards() -> None:
    s, heard = bare(), []

    def first(changes: frozenset[str]) -> None:
        heard.append(("first", s.selected))
        if 3 in s.selected and 4 not in s.selected:
            s.toggle(4)

    s.subscribe(first)
    s.subscribe(lambda changes: heard.append(("second", s.selected)))
    s.select([3])
    names = [name for name, _ in heard]
    assert names == ["first", "second"] * (len(names) // 2) and s.selected == (3, 4)


def test_subscribers_that_chase_each_other_are_stopped() -> None:
    s = bare()
    s.subscribe(lambda changes: s.set_page_size(s.page_size % 3 + 1))
    with pytest.raises(RuntimeError, match="answered each other"):
        s.toggle(0)
    s._subscribers.clear()
    assert s.toggle(1)


GESTURES = st.lists(
    st.one_of(
        st.tuples(st.just("toggle"), st.integers(0, N - 1)),
        st.tuples(st.just("lock"), st.integers(0, N - 1)),
        st.tuples(st.just("clear")),
        st.tuples(st.just("undo")),
        st.tuples(st.just("redo")),
        st.tuples(st.just("suggest"), st.sampled_from(["random", "farthest", "typical"]), st.integers(0, 3)),
        st.tuples(st.just("set_page"), st.integers(-2, 9)),
        st.tuples(st.just("move_cursor"), st.integers(-9, 9)),
        st.tuples(st.just("set_filter"), st.sampled_from(["", "0", "00", "7", "zz"]), st.booleans()),
        st.tuples(st.just("set_page_size"), st.integers(1, 12)),
    ),
    max_size=30,
)


def play(s: SupportSelection, gestures: list[tuple]) -> None:
    for name, *arguments in gestures:
        getattr(s, name)(*arguments)


@given(GESTURES, st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_whatever_is_done_the_choice_stays_sound(gestures: list[tuple], limit: int) -> None:
    s = bare(limit=limit)
    for gesture in gestures:
        play(s, [gesture])
        assert len(s.selected) <= limit and len(set(s.selected)) == len(s.selected)
        assert s.locked <= set(s.selected)
        assert 0 <= s.page < s.pages and 0 <= s.cursor < N
        assert not s.visible or s.cursor in s.page_items


@given(GESTURES)
@settings(max_examples=100, deadline=None)
def test_undo_goes_all_the_way_back_and_redo_all_the_way_forth(gestures: list[tuple]) -> None:
    s = bare()
    play(s, gestures)
    end, locked = s.selected, s.locked
    while s.can_redo:
        s.redo()
    last, last_locked, steps = s.selected, s.locked, 0
    while s.undo():
        steps += 1
    assert s.selected == () and s.locked == frozenset() and s.message == "nothing to undo"
    for _ in range(steps):
        assert s.redo()
    assert (s.selected, s.locked) == (last, last_locked) and not s.can_redo
    assert s.redo() is False
    if "undo" not in {g[0] for g in gestures}:
        assert (end, locked) == (last, last_locked)


@given(st.lists(st.integers(0, N - 1), unique=True, max_size=4), st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_saved_choice_comes_back_with_order_and_locks(
    task: Task, tmp_path: Path, picks: list[int], data: st.DataObject
) -> None:
    s = SupportSelection(task, 4)
    s.select(picks)
    for i in data.draw(st.sets(st.sampled_from(picks))) if picks else ():
        s.lock(i)
    path = s.save(tmp_path / "new" / "supports.json")
    other = SupportSelection(task, 4)
    assert other.load(path) == []
    assert (other.selected, other.locked, other.ids) == (s.selected, s.locked, s.ids)
    assert not picks or (other.undo() and other.selected == ())


@pytest.fixture
def own_task(tiny_root: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_root / "Blobs", tmp_path / "data" / "Blobs")


def saved(folder: Path, picks: list[int]) -> Path:
    s = SupportSelection(open_benchmark(folder)["Blobs"], 4)
    s.select(picks)
    return s.save(folder.parent / "supports.json")


def test_missing_and_changed_images_are_named_and_nothing_is_taken(own_task: Path) -> None:
    path = saved(own_task, [0, 1, 2])
    (own_task / "train/good/000.png").unlink()
    Image.new("RGB", (32, 32)).save(own_task / "train/good/001.png")
    s = SupportSelection(open_benchmark(own_task)["Blobs"], 4)
    with pytest.raises(SupportFileError, match=r"missing: train/good/000\.png; changed: train/good/001\.png"):
        s.load(path)
    assert s.selected == ()
    notes = s.load(path, partial=True)
    assert s.names == ["train/good/002.png"] and len(notes) == 2 and "000.png" in s.message


def test_a_renamed_image_is_found_by_its_content(own_task: Path) -> None:
    path = saved(own_task, [3, 5])
    (own_task / "train/good/003.png").rename(own_task / "train/good/new name.png")
    s = SupportSelection(open_benchmark(own_task)["Blobs"], 4)
    assert s.load(path) == ["train/good/003.png is now named train/good/new name.png"]
    assert s.names == ["train/good/new name.png", "train/good/005.png"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": "other"}, "no file of supports"),
        ({"version": 9}, "version 9"),
        ({"supports": [{"name": 3}]}, "name and sha256"),
        ({"task": "RSNA"}, "of task 'RSNA', not of 'Blobs'"),
    ],
)
def test_another_kind_of_file_is_told_apart(task: Task, tmp_path: Path, change: dict, text: str) -> None:
    s = SupportSelection(task, 4)
    s.select([0])
    path = s.save(tmp_path / "supports.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SupportFileError, match=text):
        s.load(path)


def test_a_file_that_is_absent_no_json_or_too_long_says_so(task: Task, tmp_path: Path) -> None:
    s = SupportSelection(task, 1)
    with pytest.raises(FileNotFoundError, match="save a choice"):
        s.load(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(
        SupportFileError, match=r"text\.json is not readable as JSON.*expected what a SupportSelection saved"
    ):
        s.load(tmp_path / "text.json")
    more = SupportSelection(task, 2)
    more.select([0, 1])
    with pytest.raises(ValueError, match="holds 2 supports, the limit is 1"):
        s.load(more.save(tmp_path / "two.json"))


def test_a_file_holds_no_path_of_the_machine(task: Task, tmp_path: Path) -> None:
    s = SupportSelection(task, 2)
    s.select([0, 1])
    assert str(task.root.parent) not in s.save(tmp_path / "supports.json").read_text()
