"""Configure the docs site: `sphinx-build -W -b html docs docs/_build`."""

project = "exit_shim"
author = "the exit_shim project"
exclude_patterns = ["_build"]
napoleon_use_ivar = True  # a field in "Attributes:" is described once
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]

html_theme = "furo"
html_title = "exit_shim"
html_theme_options = {"sidebar_hide_name": False}

# Headings are link targets, as on GitHub, so that the pages read there too.
myst_heading_anchors = 4

# Docstrings mark code with one pair of backticks.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
