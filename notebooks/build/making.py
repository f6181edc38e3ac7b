"""Make the notebooks from their texts: build/texts/NN_name.py -> executed notebooks/NN_name.ipynb and the rest.

    python notebooks/build [NAMES]       # convert, execute (quick), clean, measure, catalog, README
    python notebooks/build --check       # change nothing; non-zero when a pair differs

How to write a notebook
-----------------------
Edit only `notebooks/build/texts/NN_name.py` (percent format): `# %%` starts a code cell, `# %% [markdown]` a text cell,
`# %% tags=["a", "b"]` gives tags. No header block is needed. In this order:

1.  `# %% [markdown]`: title `# # 04 · Dual distillation`, a sentence or two on why, then the block

        # **You will learn**
        # - how the teacher ...
        #
        # **Needs:** measured at the next build

    (title and goals go to catalog.yml; the build rewrites the line that begins with `**Needs:**`).
2.  `# %% tags=["parameters"]`: annotated literals, one per line, nothing derived, a comment says what each is:

        profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
        seed: int = 0  # of everything random here
        out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
        root: str = ""  # folder of tasks; empty: the synthetic samples (leave out where no data is read)

    and, where a model is built,

        teacher: str = ""  # a timm name; empty: the profile's
        weights: str = ""  # "imagenet", "embedded", "random", local-dir:FOLDER or a checkpoint; empty: the profile's
        reading: str = ""  # "released", "paper" or "matched"; empty: the profile's
        epochs: int = 0  # passes over the training images; 0: the profile's
        lr: float = 0.0  # learning rate; 0: the profile's

3.  `# %% tags=["setup"]`: imports (of the kit these two lines and nothing deeper: what a lesson teaches is a public
    name of the package, so a name that is missing goes into `_HOME` of d24fad_lite/__init__.py), and

        import d24fad_lite as d2
        from d24fad_lite.lessons import same, start_lesson

        lesson = start_lesson("04_dual_distillation", globals())

    Then `lesson.config()`, `lesson.detector(bench, task)` (trained once for all lessons), `lesson.untrained()`,
    `lesson.profile` (.teacher .weights .image_size .epochs .shots .draws .seeds .episodes .precision .batch_size),
    `lesson.device`, `lesson.seed`, `lesson.data` (for `open_benchmark`), `lesson.out` (folder for files).
4.  The lesson. `same("weights", mine, package)` proves the hand-built version equal to the package (prints one line,
    raises if not). A plot is a figure with a name, a function in d24fad_lite/figures; `lesson.save_figure(fig, "map")`
    also puts it into report.html, `d2.show_figure(fig, "what it shows")` displays it with a text for screen readers.
    Pass `progress=False` to what draws a progress bar. Print no path: `path.name`, or relative to `lesson.data`.
5.  At least one cell tagged `nbval-check-output` whose printed text is the same on every run and machine: rounded
    numbers, shapes, names; no times. Images are not compared.
6.  `## What you saw` and `## Check yourself` (questions the notebook answers, usually five), as text cells; the latter
    ends with "The answers: `lesson.answer()`, or one of them, `lesson.answer(3)`."
7.  `## Exercises` (text cell, which says once "Stuck? `lesson.hint(1)`; the solution: `lesson.solution(1)`."), then for
    each exercise a text cell and a code cell tagged `exercise`:

        # features [K, C, H, W], weights [B, K] -> [B, C, H, W]
        def fuse(features, weights): ...  # your turn


        lesson.check(1, fuse)

    Solution, hints, cases and the answers stand in d24fad_lite/lessons/exercises/<name without its number>.py, see
    learn_to_weight.py there. Ask for something that stands neither in the cell nor in the lesson's code above. Tag
    `lesson-only` the slow cells that the exercises do not need: notebooks/exercises/NN_name.ipynb holds the other code
    cells of the lesson, then the exercises.
8.  The last code cell: `lesson.finish({"headline": "...", "tables": {"title": frame}, "any_number": 0.71})`.

Other tags: `nbval-skip` (nbval leaves the cell out), `raises-exception` (the cell shows an error on purpose).
Stored notebooks lose stderr, widget state, time stamps and anything else that changes without a reason.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from build.catalog import Measured, title_and_goals, update_catalog, update_needs_lines, update_readme
from build.cleaning import clean_notebook
from build.exercises import write_exercises
from build.pairing import notebook_text, read_pair, text_names, text_path, write_notebook
from build.start_page import update_start_page
from d24fad_lite.files import write_text


@dataclass(frozen=True)
class BuildResult:
    """What one build did: names built, and per name the problem that kept it from being stored."""

    built: list[str]
    failed: dict[str, str]


def build_notebooks(
    root: Path, names: Sequence[str] | None = None, *, execute: bool = True, profile: str = "quick", timeout: int = 600
) -> BuildResult:
    """Build the notebooks of a checkout from notebooks/build/texts.

    Parameters
    ----------
    root : the checkout (holds notebooks/build/texts)
    names : notebook names or their numbers ("04"), None for all
    execute : run each and store its outputs; without it the outputs of unchanged code cells are kept
    profile : what to run and to measure; outputs are stored only for "quick", the other profiles are only measured
    timeout : seconds that one notebook may take

    Raises
    ------
    ValueError : an unknown name, or a text without title or goals
    FileNotFoundError : notebooks/build/texts has no text
    """
    from d24fad_lite.runs.series import select_names

    notebooks = root / "notebooks"
    chosen = select_names(text_names(notebooks), names)
    if not chosen:
        raise FileNotFoundError(
            f"{notebooks / 'build' / 'texts'} holds no NN_name.py; write one, see the guide in "
            "notebooks/build/making.py"
        )
    for name in chosen:  # a text without title or goals is refused before minutes of execution
        title_and_goals(text_path(notebooks, name).read_text(encoding="utf-8"), name)
    built: list[str] = []
    failed: dict[str, str] = {}
    measured: dict[str, Measured] = {}
    for name in chosen:
        if not execute:
            write_notebook(notebooks, name, read_pair(notebooks, name))
        elif isinstance(outcome := _execute(notebooks, name, profile, timeout), str):
            failed[name] = outcome
            print(f"{name}: {outcome}", flush=True)
            continue
        else:
            measured[name] = outcome
            print(f"{name}: {outcome.seconds:.0f} s, {outcome.peak_mb:.0f} MB", flush=True)
        built.append(name)
    update_catalog(notebooks, built, measured, profile)
    for name in update_needs_lines(notebooks):
        write_notebook(notebooks, name, read_pair(notebooks, name))
    for name in built:
        write_exercises(notebooks, name)
    update_readme(root)
    update_start_page(notebooks)
    return BuildResult(built, failed)


def _execute(notebooks: Path, name: str, profile: str, timeout: int) -> Measured | str:
    """Run one text; store the cleaned notebook in the quick profile. The problem as text when it failed."""
    import nbformat

    from d24fad_lite.runs.execute import run_notebook

    with tempfile.TemporaryDirectory(prefix="d24fad_build_") as folder:
        source = Path(folder) / f"{name}.ipynb"
        write_text(source, notebook_text(read_pair(notebooks, name)))
        output = Path(folder) / "executed" / f"{name}.ipynb"
        result = run_notebook(source, output, {"profile": profile}, timeout=timeout, cwd=notebooks)
        if result.status != "completed":
            return f"{result.status}: {result.error}"
        if profile == "quick":
            executed = nbformat.read(output, as_version=4)
            write_notebook(notebooks, name, clean_notebook(executed, read_pair(notebooks, name), notebooks.parent))
        return Measured(seconds=result.seconds, peak_mb=result.peak_mb)
