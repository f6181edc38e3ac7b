"""A widget that shows what the model makes of the present choice, and how good that choice is."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import ipywidgets as w

from d24fad_lite.figures.overlay import STRENGTH, encoded, overlay
from d24fad_lite.files import data_uri
from d24fad_lite.interactive.controls import WHOLE, bar, box, button, wide
from d24fad_lite.interactive.inspector_html import facts_html, quality_html, status_line
from d24fad_lite.interactive.picker import SupportPicker
from d24fad_lite.interactive.widget_style import STYLE
from d24fad_lite.messages import in_html
from d24fad_lite.model.config import CHOICES
from d24fad_lite.supports.announcing import Changes
from d24fad_lite.supports.influence import ChoiceReport, assess_choice
from d24fad_lite.supports.live import LiveDetector, LiveResult

PICTURE = 340  # px


class SupportInspector:
    """Live panel over a LiveDetector: a query, its map, the weights of the supports, score and threshold.

    Follows the selection at once. The comparison with random sets is computed when its button is pressed.

    Parameters
    ----------
    live : LiveDetector
    index : int
        Position in `live.task.test` of the test image shown first, default 0.
    weighting : bool
        Also offer the kind, scale and temperature of the weighting, default False. They change `live.model.weighting`
        itself; `reset_weighting` (a button) brings back what its configuration says.

    Attributes
    ----------
    widget : ipywidgets.VBox
        What is displayed.
    result : LiveResult or None
        Of the query shown; None while nothing is picked.
    report : ChoiceReport or None
        Of the last comparison with random sets; None before.
    seen : set of frozenset of int
        Choices whose AUROC on the test labels was asked for. To choose by it is to choose on the test set.
    """

    def __init__(self, live: LiveDetector, index: int = 0, weighting: bool = False) -> None:
        self.live = live
        self.result: LiveResult | None = None
        self.report: ChoiceReport | None = None
        self.seen: set[frozenset[int]] = set()
        self._errors: list[int] = []
        self._random = random.Random(0)
        self._quiet = False
        self._make_controls(index)
        self._make_weighting(weighting)
        self._lay_out()
        self._leave = live.selection.subscribe(self._changed)
        self.refresh()

    def _make_controls(self, index: int) -> None:
        last = len(self.live.task.test) - 1
        self.query = w.BoundedIntText(
            value=index, min=0, max=last, description=f"Query 0–{last}", style=WHOLE, layout=wide("190px")
        )
        self.worst = button("Worst error", "The test image most on the wrong side; again for the next", self._worst)
        self.chance = button("At random", "Any test image", lambda: self._look(self._random.randrange(last + 1)))
        # A number field: the handle of an ipywidgets slider has no name for screen readers.
        self.opacity = w.BoundedFloatText(
            value=STRENGTH, min=0, max=1, step=0.05, description="Map opacity 0–1", style=WHOLE, layout=wide("190px")
        )
        self.marked = w.Checkbox(value=True, description="outline the lesion", indent=False, layout=wide("160px"))
        self.sets = w.Dropdown(
            options=[50, 100, 200], value=50, description="random sets", layout=wide("180px"), style=WHOLE
        )
        self.reveal = button("Show AUROC", "Of this choice, on the test labels", self._reveal)
        self.assess = button("Is my choice any good?", "Compare with random sets, on the test labels", self._assess)
        self.picture, self.facts, self.task_line, self.quality = (w.HTML() for _ in range(4))
        self.query.observe(lambda _: self.refresh(), "value")
        self.opacity.observe(lambda _: self._show_picture(), "value")
        self.marked.observe(lambda _: self._show_picture(), "value")

    def _make_weighting(self, offered: bool) -> None:
        weighting = self.live.model.weighting
        self.kind = w.Dropdown(
            options=list(CHOICES["weighting"]),
            value=weighting.kind,
            description="weighting",
            style=WHOLE,
            layout=wide("170px"),
        )
        self.scale = w.Dropdown(
            options=[("√C (published)", "channels"), ("√(C·H·W)", "elements")],
            value=weighting.scale,
            description="divisor",
            style=WHOLE,
            layout=wide("200px"),
        )
        self.temperature = w.FloatLogSlider(
            value=weighting.temperature,
            base=10,
            min=-2,
            max=3,
            step=0.1,
            description="temperature",
            continuous_update=False,
            style=WHOLE,
            layout=wide("300px"),
        )
        self.reset = button("As configured", "Back to the weighting of the configuration", self.reset_weighting)
        self._weighting_bar = [bar(self.kind, self.scale, self.temperature, self.reset)] if offered else []
        for control in (self.kind, self.scale, self.temperature):
            control.observe(lambda _: self._reweight(), "value")

    def _lay_out(self) -> None:
        self.picture.add_class("d24-shown")
        self.facts.add_class("d24-facts")
        body = box([self.picture, self.facts], "d24-body")
        self.widget = w.VBox(
            [
                w.HTML(STYLE),
                self.task_line,
                bar(self.query, self.worst, self.chance, self.opacity, self.marked),
                *self._weighting_bar,
                body,
                bar(self.reveal, self.assess, self.sets),
                self.quality,
            ]
        )
        self.widget.add_class("d24")

    # -- showing -------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Compute and show everything for the present selection and query."""
        if not self.live.ready:
            self.result = None
            self.picture.value = self.facts.value = ""
            self.task_line.value = status_line("Pick a support: map, weights and score appear here.")
            return
        self.result = self.live.result(self.query.value)
        self._show_picture()
        names = [self.live.selection.label(i) for i in self.live.selection.selected]
        self.facts.value = facts_html(self.result, names, self.live.threshold_text)
        self._show_line()

    def _show_line(self) -> None:
        name, status = in_html(self.live.task.name), self.live.selection.status
        self.task_line.value = status_line(f"{name}, {status} supports: {self._auroc_text()}")

    def _auroc_text(self) -> str:
        """The AUROC of a choice for which it was asked for; who has seen several knows what that means."""
        if frozenset(self.live.selection.selected) not in self.seen:
            return "the AUROC says what the test labels say, so it is hidden while you choose"
        auroc = self.live.auroc
        shown = "needs both classes" if auroc is None else f"{auroc:.3f}"
        several = (
            f"; seen for {len(self.seen)} choices, so the best of them is optimistic" if len(self.seen) > 1 else ""
        )
        return f"<b>AUROC {shown}</b> on {self.live.tested_text}{several}"

    def _show_picture(self) -> None:
        r = self.result
        if r is None:
            return
        mask = r.mask if self.marked.value else None
        square = overlay(r.image, r.anomaly_map, r.limits, mask, self.opacity.value, PICTURE)
        kind = "anomalous" if r.label else "normal"
        alt = f"{in_html(r.name)}, {kind}, with its anomaly map; {r.verdict}"
        self.picture.value = (
            f'<div class="d24-picture"><img src="{data_uri(encoded(square))}" alt="{alt}"></div>'
            f'<div class="d24-note">{in_html(r.name)}: {kind}</div>'
        )

    def _changed(self, changes: Changes) -> None:
        if "selected" in changes:
            self._errors = []
            if self.report is not None:
                self.report, self.quality.value = None, status_line("The choice has changed since it was compared.")
            self.refresh()

    # -- acting --------------------------------------------------------------------------------------------------

    def _look(self, index: int) -> None:
        self.query.value = int(index)

    def _worst(self) -> None:
        if self.live.ready:
            self._errors = self._errors or self.live.worst_errors().tolist()
            self._look(self._errors.pop(0))

    def _reweight(self) -> None:
        if self._quiet:
            return
        weighting = self.live.model.weighting
        weighting.kind, weighting.scale = self.kind.value, self.scale.value
        weighting.temperature = self.temperature.value
        self.live.recompute()
        self._errors = []
        self.refresh()

    def reset_weighting(self) -> None:
        """Set kind, scale and temperature back to the model's configuration."""
        c = self.live.model.config
        self._quiet = True  # one computation for the three
        self.kind.value, self.scale.value, self.temperature.value = c.weighting, c.attention_scale, c.temperature
        self._quiet = False
        self._reweight()

    def _may_judge(self) -> bool:
        """Whether there is a choice to judge; says so where there is none."""
        if not self.live.ready:
            self.quality.value = status_line("Pick a support first.")
        return self.live.ready

    def _reveal(self) -> None:
        if not self._may_judge():
            return
        self.seen.add(frozenset(self.live.selection.selected))
        self._show_line()

    def _assess(self) -> None:
        if not self._may_judge():
            return

        def progress(done: int, of: int) -> None:
            self.quality.value = status_line(f"comparing with {self.sets.value} random sets: {100 * done // of} %")

        progress(0, 1)
        try:
            self.report = assess_choice(
                self.live.model, self.live.task, self.live.selection.selected, self.sets.value, progress=progress
            )
        except ValueError as error:
            self.quality.value = status_line(in_html(str(error)))
            return
        names = [self.live.selection.label(i.index) for i in self.report.influence]
        self.quality.value = quality_html(self.report, names)

    def close(self) -> None:
        """Stop following the selection and remove the widget."""
        self._leave()
        self.widget.close()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        said = {"text/plain": "support inspector (it needs a running kernel)"}
        return self.widget._repr_mimebundle_(**options) | said


def choose_supports(
    live: LiveDetector,
    path: str = "supports.json",
    show: Callable[[Any], None] | None = None,
) -> tuple[SupportPicker, SupportInspector]:
    """Display a picker and an inspector over one selection, side by side where there is room.

    Parameters
    ----------
    live : LiveDetector
    path : str
        Proposed file for Save and Load.
    show : callable, optional
        Displays what it is given, default IPython's `display`.

    Returns
    -------
    SupportPicker, SupportInspector
    """
    from IPython.display import display

    picker, inspector = SupportPicker(live.selection, path), SupportInspector(live)
    (show or display)(SideBySide(picker, inspector))
    return picker, inspector


class SideBySide:
    """Views in one row that wraps on narrow pages."""

    def __init__(self, *views: Any) -> None:
        self.widget = box([view.widget for view in views], "d24-side-by-side")

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        said = {"text/plain": "support picker and inspector (they need a running kernel)"}
        return self.widget._repr_mimebundle_(**options) | said
