"""The configuration of the documentation site: `nox -s docs`."""

from __future__ import annotations

import os
import re
import warnings
from importlib import metadata
from typing import Any

# The pictures of the gallery are drawn without a screen.
os.environ.setdefault("MPLBACKEND", "Agg")

project = "em_toolkit"
author = "the em_toolkit developers"
copyright = "2026, the em_toolkit developers"
release = metadata.version("em_toolkit")
html_title = "em_toolkit"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples"]
templates_path = ["_templates"]
root_doc = "index"
default_role = "code"

myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
math_number_all = False

autosummary_generate = True
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "inherited-members": True}
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
# Pages without pages below them need no list of these at their side.
_ALONE = ("install", "coming_from", "mathematics", "architecture", "testing", "changelog")
html_sidebars = {page: [] for page in _ALONE}
html_theme_options = {
    "show_prev_next": True,
    "navbar_align": "left",
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_show_sourcelink = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "download_all_examples": False,
    "show_signature": False,
    "plot_gallery": True,
    "capture_repr": (),
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "min_reported_time": 10_000,
    "write_computation_times": False,
}
warnings.filterwarnings("ignore", category=DeprecationWarning)


def _is_skipped(
    app: Any, what: str, name: str, thing: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out methods of scikit-learn whose text refers to its own site."""
    is_request = name.startswith("set_") and name.endswith("_request")
    return True if is_request or name in ("set_output", "get_metadata_routing") else None


def _with_bars(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Keep the bars of determinants, |Σ|, which reStructuredText takes for substitutions."""
    in_math = False
    for number, line in enumerate(lines):
        if line.strip():
            in_math = ".. math::" in line or (in_math and line.startswith("   "))
        if not in_math:
            lines[number] = re.sub(r"(?<!\\)\|", r"\|", line)


def _without_last_blanks(app: Any, document: str, source: list[str]) -> None:
    """Drop the blank line that ends an example's output for doctest, not for the reader."""
    source[0] = source[0].replace("\n\n```\n", "\n```\n")


def setup(app: Any) -> None:
    """Connect what Sphinx calls on its way."""
    app.connect("source-read", _without_last_blanks)
    app.connect("autodoc-process-docstring", _with_bars, priority=999)
    app.connect("autodoc-skip-member", _is_skipped)
