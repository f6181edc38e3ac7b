"""Sphinx settings of the site that `make docs` builds; the pages are laid out by notebooks/build/site_pages.py."""

from __future__ import annotations

import importlib

project = "d24fad_lite"
author = "The d24fad_lite authors"
copyright = "the d24fad_lite authors, Apache-2.0"  # noqa: A001
release = importlib.import_module("d24fad_lite").__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_nb"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
root_doc = "index"

# Lessons are shown as they are stored: their outputs are checked by nbval, not made anew for the site.
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

# Docstrings are numpydoc with `code` in single backticks.
default_role = "code"
napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": False}
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "d24fad_lite"
html_static_path: list[str] = []
html_show_sourcelink = False
# Some pages of benchmarks/ hold tables that a script appends: their headings start at the third level.
suppress_warnings = ["myst.header"]
linkcheck_timeout = 20
linkcheck_ignore = [r"https?://localhost.*"]
