"""Sphinx settings of the documentation's site (`make site`)."""

import re
from importlib import metadata

from sphinx.application import Sphinx

project = "nurie"
author = "the nurie maintainers"
release = metadata.version("nurie")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.header"]  # included pages begin at any level
exclude_patterns = ["build", "ladder.md"]  # ladder.md is a table that results.md shows
html_theme = "furo"
html_title = "nurie"
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}
html_static_path = ["reach.js"]
html_js_files = [("reach.js", {"defer": "defer"})]

# files outside this folder, and the pages that include them
INCLUDED = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "manifests/columns.md": "columns.md",
    "tests/bench/openclipart/README.md": "openclipart.md",
    "tests/faults/README.md": "faults.md",
}


def link_pages(page: str, content: list[str]) -> None:
    """Make links to included files lead to the pages that include them, and links into this folder to its pages."""
    up = "../" * page.count("/")
    for path, target in INCLUDED.items():
        content[0] = re.sub(rf"\]\((\.\./)*{re.escape(path)}", f"]({up}{target}", content[0])
    content[0] = re.sub(r"\]\((\.\./)*(\.github/)?docs/", f"]({up}", content[0])


def setup(app: Sphinx) -> None:
    """Correct the links of every page and of every file that a page includes."""
    app.connect("source-read", lambda _, page, content: link_pages(page, content))
    app.connect("include-read", lambda _, __, page, content: link_pages(page, content))
