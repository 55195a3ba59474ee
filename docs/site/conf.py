"""Settings of Sphinx for the site; ``build.py`` lays out the pages and calls it.

In: the folder of pages that ``build.py`` made. Out: HTML that loads nothing from elsewhere.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from archwalk import __version__

project = "archwalk"
author = "the archwalk authors"
copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["docs/site/**"]  # the first page is laid out at the root
root_doc = "index"
nitpicky = True
smartquotes = False  # two hyphens are a flag
highlight_language = "none"  # what a fence does not name is a terminal, or plain text

myst_heading_anchors = 4  # the anchors of headings that repository hosts make

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "exclude-members": "model_config"}
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"archwalk {version}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
html_use_index = False  # the search finds the same


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> Any:
    """Link a name in a signature or docstring to the one public object of that name, if there is one.

    A name with its module in front is meant to be a link, and missing it stays an error.
    """
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or (target.startswith("archwalk.") and node.get("refexplicit")):
        return None
    domain, last = env.domains.python_domain, target.rpartition(".")[2]
    found = [name for name in domain.objects if name.rpartition(".")[2] == last]
    if len(found) != 1:
        return content
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found[0], node, content) or content


def setup(app: Sphinx) -> None:
    """Add the handler."""
    app.connect("missing-reference", resolve)
