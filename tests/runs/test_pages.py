"""Pages of notebooks stand alone: formulas are drawn without a network, code keeps its dollars."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from d24fad_lite.lessons.numbering import lesson_files
from d24fad_lite.runs.notebook_page import link_pages, with_mathml, with_pictures, write_page

NOTEBOOKS = lesson_files(Path(__file__).resolve().parents[2] / "notebooks")


def test_formulas_become_mathml_and_code_is_left_alone() -> None:
    text = with_mathml("With $K = 4$ and `$HOME`:\n\n$$\n\\frac{a}{b}\n$$\n\n```\n$x$\n```\nIt costs 5 $ or 6 $.")
    assert text.count("<math") == 2 and 'display="block"' in text and "<mfrac>" in text
    assert "`$HOME`" in text and "```\n$x$\n```" in text and "5 $ or 6 $" in text


def test_a_formula_that_cannot_be_translated_stays_tex() -> None:
    assert with_mathml(r"so $x_1_2$ is") == r"so $x_1_2$ is"


def test_a_picture_beside_the_lesson_is_inside_its_page(tmp_path: Path) -> None:
    lessons = Path(__file__).resolve().parents[2] / "notebooks"
    named = [name for path in NOTEBOOKS for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", path.read_text())]
    assert named == ["picker.png"] and (lessons / named[0]).is_file()  # with a text for those who cannot see it
    page = tmp_path / "page.html"
    source = tmp_path / "run" / "07_choose_supports.ipynb"
    source.parent.mkdir()
    nbformat.write(new_notebook(cells=[new_markdown_cell("![a picker](picker.png)\n![gone](no.png)")]), source)
    assert write_page(source, page, pictures=lessons) == page
    shown = page.read_text()
    assert 'alt="a picker"' in shown and 'src="data:image/png;base64,' in shown and "picker.png" not in shown
    assert with_pictures("![gone](no.png)", lessons) == "![gone](no.png)"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_formula_of_the_series_is_translated(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            translated = with_mathml(cell.source)
            rest = re.sub(r"<math.*?</math>|```.*?```|`[^`\n]+`", "", translated, flags=re.DOTALL)
            assert "$$" not in rest and not re.search(r"\$[^$\n]*\\[a-z]", rest), rest
            for formula in re.findall(r"<math.*?</math>", translated, flags=re.DOTALL):
                assert "\\" not in formula, f"a word that the converter does not know: {formula}"


@pytest.mark.parametrize("tex", [r"\big\lVert a \Big\rangle", r"\arg\min_i x_i", r"A \setminus B"])
def test_a_word_that_the_converter_does_not_know_is_said_in_another(tex: str) -> None:
    formula = with_mathml(f"${tex}$")
    assert formula.startswith("<math") and "\\" not in formula and "&#x029F5;" not in formula


def test_a_page_holds_the_formula_and_the_output(tmp_path: Path) -> None:
    cell = new_code_cell("print(1 + 1)", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="2\n")]
    source = tmp_path / "00_page.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Title\n\nwhere $x^2$ is"), cell]), source)
    page = write_page(source, tmp_path / "00_page.html").read_text(encoding="utf-8")
    assert "<msup>" in page and "<title>00 page</title>" in page and ">2\n<" in page


def test_pages_of_a_series_lead_to_their_neighbours_and_to_the_report(tmp_path: Path) -> None:
    names = ["00_first", "02_middle", "03_last"]
    for name in names:
        nbformat.write(new_notebook(cells=[new_markdown_cell(f"# {name}")]), tmp_path / f"{name}.ipynb")
        write_page(tmp_path / f"{name}.ipynb", tmp_path / f"pages/{name}.html")
        link_pages(tmp_path / "pages", names)  # as a run that goes on does: the links grow with it
    link_pages(tmp_path / "pages", ["00_first", "01_never_ran", "02_middle", "03_last"])
    for at, name in enumerate(names):
        page = (tmp_path / f"pages/{name}.html").read_text(encoding="utf-8")
        navigation = re.findall(r'<nav class="series">.*?</nav>', page)
        assert len(navigation) == 2  # above and below
        neighbours = [f"{other}.html" for other in (*names[max(at - 1, 0) : at], *names[at + 1 : at + 2])]
        assert sorted(re.findall(r'href="([^"]+)"', navigation[0])) == sorted(["../report.html", *neighbours])


def test_a_page_on_its_own_leads_nowhere(tmp_path: Path) -> None:
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Alone")]), tmp_path / "00_alone.ipynb")
    page = write_page(tmp_path / "00_alone.ipynb", tmp_path / "page.html").read_text(encoding="utf-8")
    assert "report.html" not in page and page.count('<nav class="series"></nav>') == 2
