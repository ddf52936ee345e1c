"""How the pages are built, without a network and without a warning.

pip install '.[plot,sklearn]' -r docs/requirements.txt && sphinx-build -W docs build/docs/html
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

import laminet

project = "laminet"
author = copyright = "the laminet developers"
version = release = laminet.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "command_help",
    "figures",
    "mathml",
    "pictures",
]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "laminet"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sphinx = False
exclude_patterns = ["requirements.txt"]
default_role = "code"  # what docstrings put in backquotes
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it in words, with shapes
autodoc_preserve_defaults = True
numpydoc_show_class_members = False  # autodoc shows them
pygments_style = "friendly"
pygments_dark_style = "github-dark"
