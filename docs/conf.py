"""Sphinx: furo, MyST, docstrings in the house's sections, tables of models and results made from
the code and the records."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from zeuxis.capabilities import (
    CanClassify,
    CanDecode,
    CanEncode,
    CanFeature,
    CanLogProb,
    CanSample,
    HasCodes,
    has,
)
from zeuxis.registry import models

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import figures
import records

project, author, copyright = "zeuxis", "the zeuxis authors", "2026, the zeuxis authors"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "myst_parser"]
html_theme, html_title = "furo", "zeuxis"
myst_enable_extensions = ["dollarmath", "colon_fence"]
exclude_patterns = ["_build", "_generated/parts"]
napoleon_custom_sections = [("Arguments", "params_style")]
napoleon_use_rtype = False
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "exclude-members": "forward, training",
}
autodoc_typehints = "none"
suppress_warnings = ["myst.header"]


def maths(app, what, name, obj, options, lines) -> None:
    """Dollar signs in docstrings become reST maths; fenced blocks become code blocks."""
    text = "\n".join(lines)
    text = re.sub(
        r"\$\$(.+?)\$\$",
        lambda m: "\n\n.. math::\n\n   " + " ".join(m[1].split()) + "\n\n",
        text,
        flags=re.S,
    )
    text = re.sub(
        r"(?<![\w$])\$([^$\n]+?(?:\n[^$\n]+?)?)\$(?!\w)",
        lambda m: ":math:\0" + " ".join(m[1].split()) + "\0",
        text,
    )
    text = re.sub(
        r"```(\w*)\n(.+?)```",
        lambda m: "\n::\n\n" + re.sub(r"(?m)^", "   ", m[2]) + "\n",
        text,
        flags=re.S,
    )
    text = re.sub(r"(?<![`:])`([^`\n]+)`(?![`_])", r"``\1``", text)
    text = re.sub(r"(?<=[ (,])\*(?=\w)", r"\\*", text)  # as in (N, *shape)
    text = text.replace(
        "\0", "`"
    )  # only now, so that no quoted word is seen between the ends of two formulas
    lines[:] = text.split("\n")


def table_of_models() -> str:
    verbs = {
        "sample": CanSample,
        "decode": CanDecode,
        "encode": CanEncode,
        "log_prob": CanLogProb,
        "classify": CanClassify,
        "features": CanFeature,
        "codes": HasCodes,
    }
    rows = ["| model | paper | can |", "| --- | --- | --- |"]
    for name, kind in sorted(models().items()):
        rows.append(
            f"| `{name}` | {kind.paper} | "
            f"{', '.join(v for v, what in verbs.items() if has(kind, what))} |"
        )
    return "\n".join(rows) + "\n"


def from_records(app, name, source) -> None:
    """The numbers of a page as the records have them when it is made."""
    source[0] = figures.Page(source[0], figures.Records()).rewritten()


def setup(app) -> None:
    app.connect("source-read", from_records)
    app.connect("autodoc-process-docstring", maths)
    made = HERE / "_generated"
    made.mkdir(exist_ok=True)
    (made / "models.md").write_text("# Models\n\n" + table_of_models())
    (made / "results.md").write_text(records.page())
