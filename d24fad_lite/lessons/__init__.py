"""What a notebook needs beside the package itself: its set-up and end, checks, parameters, profiles and plot colours.

    from d24fad_lite.lessons import NORMAL, same, start_lesson

    lesson = start_lesson("04_dual_distillation", globals())
    same("weights", by_hand, model.predict(queries, bank).weights)
    lesson.finish({"headline": "..."})

Like the package itself, it imports a name's module when the name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from d24fad_lite.lazy import lazy_names

_HOME = {
    # the notebook: its beginning and end, and the proof that its numbers are the package's
    "start_lesson": "lessons.lesson",
    "Lesson": "lessons.lesson",
    "same": "lessons.checks",
    # what a graded assignment calls below an exercise
    "grade": "lessons.exercises.judging",
    # how large a run is, and what its parameters say
    "PROFILES": "lessons.profiles",
    "Profile": "lessons.profiles",
    "names_of": "listings",
    # where it runs, and whether it can
    "SetupChecks": "lessons.setup_checks",
    "rough_duration": "lessons.setup_checks",
    "find_checkout": "lessons.checkout",
    "widgets_wanted": "lessons.attended",
    # colours of plots
    "COLORS": "figures.style",
    "NORMAL": "figures.style",
    "ANOMALOUS": "figures.style",
}
__all__ = [*_HOME]

if TYPE_CHECKING:
    from d24fad_lite.figures.style import ANOMALOUS, COLORS, NORMAL
    from d24fad_lite.lessons.attended import widgets_wanted
    from d24fad_lite.lessons.checkout import find_checkout
    from d24fad_lite.lessons.checks import same
    from d24fad_lite.lessons.exercises.judging import grade
    from d24fad_lite.lessons.lesson import Lesson, start_lesson
    from d24fad_lite.lessons.profiles import PROFILES, Profile
    from d24fad_lite.lessons.setup_checks import SetupChecks, rough_duration
    from d24fad_lite.listings import names_of

__getattr__, __dir__ = lazy_names(__name__, _HOME)
