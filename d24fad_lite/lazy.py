"""How a package gives names of its modules without importing them before they are used (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from d24fad_lite.messages import did_you_mean

ROOT = "d24fad_lite"


def lazy_names(package: str, home: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for the `__init__.py` of a package; `__dir__` gives its `__all__`.

        __getattr__, __dir__ = lazy_names(__name__, {"fit": "training.fit", "find_fractal": "x.fractals:find_class"})

    Parameters
    ----------
    package : the package's name; what is found is kept there, so each name is looked up once.
    home : public name -> module below d24fad_lite; with ":name" behind it where the module calls it otherwise.

    Raises
    ------
    AttributeError : from the returned `__getattr__`, for a name that is not in `home`; names the closest one.
    """

    def find(name: str) -> Any:
        if name not in home:
            hint = "" if name.startswith("__") else did_you_mean(name, home)
            raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")
        module, _, own_name = home[name].partition(":")
        value = getattr(importlib.import_module(f"{ROOT}.{module}"), own_name or name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted(sys.modules[package].__all__)

    return find, names
