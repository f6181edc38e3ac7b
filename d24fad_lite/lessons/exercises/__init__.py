"""The exercises of the lessons, one module each, named as the lesson without its number: learn_to_weight.py.

A lesson's module holds `EXERCISES`, a tuple of `Exercise`, and `ANSWERS`, those to the questions of "Check yourself"
in their order. It is imported at the lesson's first `lesson.check`, `hint`, `solution` or `answer`, not before.
"""
