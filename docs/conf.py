"""The documents as a site: `make docs`. The pages are the Markdown of this folder and of the folders above.

What is said elsewhere already is made of it when the site is built: the settings of config/schema.json, the interface
of the docstrings, and the gallery of the pictures in all pages (tools/site_pages.py).
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import sphinx.util.inspect  # noqa: E402
import sphinx.util.typing  # noqa: E402

from longtail import __version__  # noqa: E402 (found from here on)
from tools import site_pages  # noqa: E402

# Before autodoc takes it: Sphinx has no setting for how a type with a range is written.
sphinx.util.inspect.stringify_annotation = sphinx.util.typing.stringify_annotation = site_pages.type_in_words(
    sphinx.util.typing.stringify_annotation
)

project = "longtail"
author = "the maintainers of longtail"
copyright = "MIT licence"
release = version = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

# The source folder is that of the project, so that links between pages are the same here and on the host of the code.
root_doc = "README"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "config/README.md",
    "docs/**",
]
exclude_patterns = ["docs/_build"]
html_theme = "furo"
html_title = f"longtail {__version__}"
html_show_copyright = False

myst_heading_anchors = 4
nb_execution_mode = "off"  # tests/documents/test_notebook.py runs it
suppress_warnings = ["myst.header"]  # a page may begin a list of headings at any level
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "forward"}
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes that a class describes are members too, and would be there twice
linkcheck_timeout = 20


def setup(app):
    site_pages.write(ROOT)
    app.connect("source-read", site_pages.read)
    # Before and after napoleon, which stands at 500.
    app.connect("autodoc-process-docstring", site_pages.read_docstring, priority=400)
    app.connect("autodoc-process-docstring", site_pages.keep_sentence, priority=600)
