"""Whether a person sits in front of this kernel: widgets are for people, unattended runs get the static twins.

A notebook that papermill, nbconvert or nbval executes must never wait for a click, and must not keep widget state: it
would embed the images shown.
"""

from __future__ import annotations

import os
import sys
from typing import Any

VARIABLE = "D24FAD_WIDGETS"


def widgets_wanted() -> bool:
    """Whether somebody sits before this notebook, who can use a widget.

    Returns
    -------
    bool
        True in JupyterLab, Notebook 7, VS Code and Colab; False in batch runs, plain Python and anything unknown. The
        environment variable D24FAD_WIDGETS, "on" or "off", decides where it is set.

    Raises
    ------
    ValueError
        Another value of that variable.
    """
    setting = os.environ.get(VARIABLE, "").strip().lower()
    if setting not in ("", "on", "off"):
        raise ValueError(f"environment variable {VARIABLE}={setting!r} must be 'on', 'off' or empty")
    if setting:
        return setting == "on"
    namespace = _namespace()
    if namespace is None or any(str(cell).startswith("# Parameters") for cell in namespace.get("In", [])):
        return False  # papermill injects that cell; a kernel started from a notebook inherits the variable below
    jupyter = bool(os.environ.get("JPY_SESSION_NAME"))
    return jupyter or "__vsc_ipynb_file__" in namespace or "google.colab" in sys.modules


def _namespace() -> dict[str, Any] | None:
    """The notebook's variables, None outside of IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell.user_ns if shell is not None else None
