"""How Sphinx builds the site; docs/README.md has the command."""

import os
import sys
import typing
from importlib import metadata
from pathlib import Path

typing.GENERATING_DOCUMENTATION = "flossing"  # jaxtyping's sign for short names of types

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from flossing._compiled import compile_quickly  # noqa: E402

compile_quickly()  # notebooks inherit it: they compile for longer than they compute
os.environ["FLOSSING_DOCS"] = str(Path(__file__).parent)  # where pages find data
os.environ["TTY_INTERACTIVE"] = "0"  # a progress bar takes the output of the next cell

project = "flossing"
author = copyright = "The flossing developers"
release = metadata.version("flossing")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "api",
    "tables",
]
exclude_patterns = ["_build", "README.md", "results/*/notes.md"]

# Pages are Markdown; those with a kernel in their first lines are notebooks and are executed.
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_in_temp = True  # notebooks may write files
nb_execution_timeout = 300
nb_merge_streams = True

autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autosummary_generate = False
maximum_signature_line_length = 70
napoleon_numpy_docstring = False

# Links to other projects need the network: `sphinx-build -t online`.
intersphinx_mapping = {}
if tags.has("online"):  # Sphinx defines `tags`
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "jax": ("https://docs.jax.dev/en/latest", None),
        "equinox": ("https://docs.kidger.site/equinox", None),
        "optax": ("https://optax.readthedocs.io/en/latest", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

html_theme = "pydata_sphinx_theme"
html_title = "flossing"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_nav_level": 1,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_context = {"default_mode": "auto"}
html_sidebars = {"index": []}
html_show_sourcelink = False
html_copy_source = False
