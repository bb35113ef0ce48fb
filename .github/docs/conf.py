"""The documentation's site, by `make site`: README in pages, and beside it what would be too long for it."""

from importlib import metadata

project = "nurie"
author = "the nurie maintainers"
release = metadata.version("nurie")
extensions = ["myst_parser"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
# README links to files of the repository, which are no pages of the site
suppress_warnings = ["myst.xref_missing", "myst.header"]
exclude_patterns = ["build", "ladder.md"]  # a table that README holds, too
html_theme = "furo"
html_title = "nurie"
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}
html_static_path = ["reach.js"]
html_js_files = [("reach.js", {"defer": "defer"})]
