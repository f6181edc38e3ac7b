"""Text to notebook: pairing, cleaning, catalog, exercises. One kernel start for all of it."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_output

from build.__main__ import main
from build.catalog import Measured, needs, rounded, time_of, title_and_goals
from build.cleaning import clean_text, joined
from build.exercises import check_exercises
from build.making import build_notebooks
from build.pairing import check_pairs, read_text

TEXT = """# %% [markdown]
# # 04 · A title
#
# Why.
#
# **You will learn**
# - the first thing
# - the second thing,
#   which is long
#
# **Needs:** measured at the next build

# %% tags=["parameters"]
profile: str = ""
seed: int = 0
out: str = ""

# %% tags=["setup"]
import json, os, sys
from pathlib import Path

def check(number, answer):
    print("… 1 · answer: not done yet" if answer() is None else "✓ 1 · answer: correct (3 cases)")

# %% tags=["nbval-check-output"]
print("score 0.25", Path.cwd() / "x")
print("half\\rdone")
print("progress", file=sys.stderr)
object()

# %% tags=["lesson-only"]
slow = 1

# %% [markdown]
# ## Exercises

# %% tags=["exercise"]
# -> 42
def answer(): ...  # your turn


check(1, answer)

# %%
os.makedirs(out, exist_ok=True)
json.dump({}, open(f"{out}/metrics.json", "w"))  # lesson.finish({})
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with one built notebook and a README with the table's markers."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "notebooks" / "build" / "texts").mkdir(parents=True)
    (root / "notebooks" / "build" / "texts" / "04_title.py").write_text(TEXT)
    (root / "README.md").write_text("# Kit\n\n<!-- notebooks:begin -->\nold\n<!-- notebooks:end -->\n\nend\n")
    result = build_notebooks(root)
    assert (result.built, result.failed) == (["04_title"], {})
    return root


@pytest.fixture
def copied(root: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    import shutil

    shutil.copytree(root, tmp_path / "copy")
    return tmp_path / "copy"


def stored(root: Path) -> nbformat.NotebookNode:
    return nbformat.read(root / "notebooks" / "04_title.ipynb", as_version=4)


def test_a_built_notebook_has_outputs_in_order_and_nothing_that_changes_by_itself(root: Path) -> None:
    text = (root / "notebooks" / "04_title.ipynb").read_text()
    for unwanted in (str(root), "papermill", "injected-parameters", "iopub", '"stderr"', "0x7", '"widgets"'):
        assert unwanted not in text, unwanted
    code = [cell for cell in stored(root).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    printed, value = code[2].outputs
    assert printed.text == "score 0.25 notebooks/x\ndone\n"
    assert value.execution_count == 3 and value.data["text/plain"] == "<object at 0x…>"


def test_printed_text_is_stored_in_one_piece() -> None:
    first, second = (new_output("stream", name="stdout", text=text) for text in ("one\n", "two\n"))
    picture = new_output("display_data", data={"text/plain": "x"})
    pieces = joined([first, second, picture, new_output("stream", name="stdout", text="three\n")])
    assert [piece.get("text") for piece in pieces] == ["one\ntwo\n", None, "three\n"]


def test_a_notebook_is_built_to_the_same_bytes_again(root: Path, copied: Path) -> None:
    build_notebooks(copied, execute=False)
    for name in ("04_title.ipynb", "build/texts/04_title.py", "exercises/04_title.ipynb", "catalog.yml"):
        assert (copied / "notebooks" / name).read_bytes() == (root / "notebooks" / name).read_bytes(), name


def test_pairs_agree_after_a_build_and_the_command_says_so(root: Path) -> None:
    assert check_pairs(root / "notebooks") == [] == check_exercises(root / "notebooks")
    assert main(["--check", "--root", str(root)]) == 0


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("score 0.25", "score 0.26", "cell 3: the source differs"),
        ('tags=["lesson-only"]', "", "cell 4: the tags differs"),
        ("# Why.", "# Because.", "cell 0: the source differs"),
        ("# %%\nos.makedirs", "# %%\n1\n\n# %%\nos.makedirs", "cell 7: the source differs"),
    ],
)
def test_a_pair_whose_text_differs_is_found(copied: Path, old: str, new: str, what: str) -> None:
    path = copied / "notebooks" / "build" / "texts" / "04_title.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    problems = check_pairs(copied / "notebooks")
    assert len(problems) == 1 and what in problems[0] and "edit build/texts/04_title.py" in problems[0]
    assert main(["--check", "--root", str(copied)]) == 1


def test_a_text_without_notebook_and_the_reverse_are_found(copied: Path) -> None:
    (copied / "notebooks" / "build" / "texts" / "05_new.py").write_text(TEXT)
    (copied / "notebooks" / "build" / "texts" / "04_title.py").unlink()
    first, second = check_pairs(copied / "notebooks")
    assert "04_title: build/texts/04_title.py is absent" in first and "05_new: 05_new.ipynb is absent" in second


def test_exercises_hold_the_lessons_code_and_the_open_functions(root: Path, copied: Path) -> None:
    path = copied / "notebooks" / "exercises" / "04_title.ipynb"
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    assert sources[0].startswith("# Exercises to 04 · A title")
    assert sources[-1].endswith("def answer(): ...  # your turn\n\n\ncheck(1, answer)")
    assert any("def check" in source for source in sources)
    assert not any("slow" in source or "lesson.finish" in source for source in sources)
    path.write_text(path.read_text().replace("def answer(): ...", "def answer(): return 42"))
    assert check_exercises(copied / "notebooks") == [
        "exercises/04_title.ipynb is not up to date; run `python notebooks/build 04_title`"
    ]


def test_catalog_readme_and_needs_line_come_from_what_was_measured(root: Path) -> None:
    entry = yaml.safe_load((root / "notebooks" / "catalog.yml").read_text())["notebooks"]["04_title"]
    assert entry["title"] == "A title" and entry["goals"] == ["the first thing", "the second thing, which is long"]
    assert entry["measured"]["quick"]["memory_gb"] > 0
    readme = (root / "README.md").read_text()
    assert "old" not in readme and readme.endswith("<!-- notebooks:end -->\n\nend\n")
    assert f"| {needs(entry)} |" in readme
    start = (root / "notebooks" / "start_here.ipynb").read_text()
    assert f"](04_title.ipynb) | {entry['brief']} | {time_of(entry)} |" in start
    assert f"**Needs:** {needs(entry)}" in (root / "notebooks" / "build" / "texts" / "04_title.py").read_text()


def test_a_measured_figure_changes_only_when_it_moved_by_more_than_a_step() -> None:
    first = rounded(Measured(seconds=50, peak_mb=900))
    assert first == {"minutes": 1.0, "memory_gb": 1.0}
    assert rounded(Measured(seconds=40, peak_mb=1200), first) == first
    assert rounded(Measured(seconds=100, peak_mb=1900), first) == {"minutes": 1.75, "memory_gb": 2.0}


def test_needs_are_given_per_profile() -> None:
    measured = {"quick": {"minutes": 0.5, "memory_gb": 0.75}, "full": {"minutes": 90, "memory_gb": 6}}
    assert (
        needs({"device": "GPU", "measured": measured})
        == "GPU · about 30 s, 0.75 GB (quick) · about 90 min, 6 GB (full)"
    )
    assert needs({}) == "CPU · not measured yet"


def test_a_text_without_title_or_goals_is_refused() -> None:
    with pytest.raises(ValueError, match="build/texts/x.py has no title line"):
        title_and_goals("# %% [markdown]\n# words\n", "x")
    with pytest.raises(ValueError, match="build/texts/x.py has no .*You will learn"):
        title_and_goals("# %% [markdown]\n# # 04 · Title\n", "x")


def test_a_half_written_text_beside_does_not_stop_a_build(copied: Path) -> None:
    (copied / "notebooks" / "build" / "texts" / "05_draft.py").write_text("# %% [markdown]\n# words\n")
    assert build_notebooks(copied, ["04"], execute=False).built == ["04_title"]
    with pytest.raises(ValueError, match="build/texts/05_draft.py has no title line"):
        build_notebooks(copied, execute=False)


def test_a_failing_text_is_not_stored(copied: Path) -> None:
    before = (copied / "notebooks" / "04_title.ipynb").read_bytes()
    path = copied / "notebooks" / "build" / "texts" / "04_title.py"
    path.write_text(path.read_text().replace("slow = 1", "slow = 1 / 0"))
    result = build_notebooks(copied)
    assert result.failed == {"04_title": "failed: ZeroDivisionError: division by zero"}
    assert (copied / "notebooks" / "04_title.ipynb").read_bytes() == before


def test_progress_bars_colours_and_the_checkout_are_cleaned_from_text(tmp_path: Path) -> None:
    text = f"  0%|\r100%|done\n\x1b[31mred\x1b[0m {tmp_path}/data/x.png\r\n"
    assert clean_text(text, tmp_path) == "100%|done\nred data/x.png\n"


def test_cell_ids_depend_on_the_cell_alone(root: Path, tmp_path: Path) -> None:
    changed = tmp_path / "04_title.py"
    changed.write_text(TEXT.replace("# Why.", "# Because."))
    first, second = read_text(root / "notebooks" / "build" / "texts" / "04_title.py"), read_text(changed)
    assert [cell.id for cell in first.cells[1:]] == [cell.id for cell in second.cells[1:]]
    assert len({cell.id for cell in first.cells}) == len(first.cells)
    assert json.loads((root / "notebooks" / "04_title.ipynb").read_text())["nbformat_minor"] == 5
