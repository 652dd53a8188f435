"""Sphinx configuration: furo, MyST, and pages generated from the code and the records."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import zeuxis
from zeuxis.capabilities import ALL, has
from zeuxis.cli import COMMANDS
from zeuxis.registry import models

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import figures
import records

project, author, copyright = "zeuxis", "the zeuxis authors", "2026, the zeuxis authors"
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # MathJax inside the built pages: formulas need no network
    "myst_parser",
]
html_theme, html_title = "furo", "zeuxis"
html_static_path, html_js_files = ["static"], ["sortable.js"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
napoleon_custom_sections = [("Arguments", "params_style")]
napoleon_use_rtype = False
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "exclude-members": "forward, training, set_fit_request, set_score_request",
}
autodoc_typehints, autodoc_inherit_docstrings = "none", False
suppress_warnings = ["myst.header"]
FIGURES = figures.Figures()
PACKAGE = Path(zeuxis.__file__).parent


def to_rest(app, what, name, obj, options, lines) -> None:
    """Turns Markdown in docstrings into reST: formulas, code and asterisks."""
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
    text = text.replace("\0", "`")  # last, so that no code is read between two formulas
    lines[:] = text.split("\n")


def table_of_models() -> str:
    """Every model with its paper and its capabilities."""
    rows = ["| model | paper | capabilities |", "| --- | --- | --- |"]
    for name, model in sorted(models().items()):
        able = [f"`{verb}`" for verb, capability in ALL.items() if has(model, capability)]
        rows.append(f"| `{name}` | {model.paper} | {', '.join(able)} |")
    return "\n".join(rows) + "\n"


def table_of_commands() -> str:
    """Every command with what it does; `zeuxis COMMAND --help` has its options."""
    rows = ["| command | what it does |", "| --- | --- |"]
    rows += [f"| `zeuxis {name}` | {text} |" for name, text in COMMANDS.items()]
    note = "`zeuxis COMMAND --help` lists the options of a command, with their ranges and defaults."
    return f"# Commands\n\n{note}\n\n" + "\n".join(rows) + "\n"


def api_pages() -> dict[str, str]:
    """A page of API for each package, from its files, and an index."""
    packages: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] not in ("__init__", "__main__", "worker") and parts[0] != "commands":
            package = ".".join(("zeuxis", *parts[:-1]))
            packages.setdefault(package, []).append(".".join(("zeuxis", *parts)))
    pages = {
        package: f"# {package}\n\n"
        + "\n\n".join(
            f"## {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n```" for module in modules
        )
        + "\n"
        for package, modules in packages.items()
    }
    toctree = "```{toctree}\n:maxdepth: 1\n\n" + "\n".join(sorted(pages)) + "\n```\n"
    return pages | {"index": f"# API\n\nOne page for each package.\n\n{toctree}"}


def with_figures(app, docname, source) -> None:
    """The numbers of a page as the records have them at the time of the build."""
    if docname in FIGURES.keys:
        source[0] = figures.Page(docname, source[0], FIGURES).rewritten()


def write(path: Path, text: str) -> None:
    """Writes a generated page if it changed, so that Sphinx rebuilds only what it must."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)


def setup(app) -> None:
    app.connect("source-read", with_figures)
    app.connect("autodoc-process-docstring", to_rest)
    generated = HERE / "_generated"
    pages = {"models": "# Models\n\n" + table_of_models(), "commands": table_of_commands()}
    pages |= {f"api/{name}": text for name, text in api_pages().items()}
    pages |= {f"results/{name}": text for name, text in records.pages().items()}
    for path in generated.rglob("*.md"):
        if path.relative_to(generated).with_suffix("").as_posix() not in pages:
            path.unlink()
    for name, text in pages.items():
        write(generated / f"{name}.md", text)
