"""Imports point downwards: every module of zeuxis stands on a floor, and imports from lower floors
only.

A folder is one entry of a floor, and its modules may import each other as long as no circle comes
of it. Imports under `if TYPE_CHECKING:` run nothing and are left out.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import zeuxis

ROOT = Path(zeuxis.__file__).parent

FLOORS = [  # from the ground up; entries of one floor do not import each other
    ["printable", "machine", "openmp", "caller"],
    ["errors", "progress"],
    ["distributed", "ranges", "files"],
    ["device", "registry"],
    ["arguments", "distributions"],
    ["data"],
    ["noise", "capabilities"],
    ["model"],
    ["nn"],
    ["optim"],
    ["gan", "vae", "autoregressive", "flow"],
    ["checkpoints"],
    ["evaluation"],
    ["visual"],
    ["compression"],
    ["training"],
    ["rl"],
    ["recipes"],
    ["experiments"],
    ["applications"],
    ["studio"],
    ["commands"],
    ["cli"],
    ["__main__", ""],  # "" is the package itself
]
RL_FLOORS = [
    ["environments"],
    ["policies"],
    ["rollouts"],
    ["optimization"],
    ["imitation", "exploration"],
    ["integrations"],
    [""],
]
PLATFORM = {"fcntl"}  # of the standard library, but not on every system
REQUIRED = {"torch", "numpy", "PIL", "safetensors", "tyro", "rich", "jaxtyping", "scipy"}
REQUIRED |= {"filelock", "platformdirs"}


@dataclass(frozen=True)
class Import:
    """One imported module: who imports it, and whether a function does."""

    importer: str
    imported: str
    inside: bool


def modules() -> dict[str, Path]:
    """Path of every module by its name below zeuxis, "" for the package itself."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def parsed(path: Path) -> ast.Module:
    """A module's syntax."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def for_types_only(tree: ast.Module) -> set[ast.AST]:
    """Everything under `if TYPE_CHECKING:`."""
    return {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for node in ast.walk(branch)
    }


@cache
def relative_imports() -> tuple[Import, ...]:
    """Every import of one module of zeuxis by another that runs."""
    known, found = modules(), []
    for importer, path in known.items():
        tree = parsed(path)
        skipped, package = for_types_only(tree), path.name == "__init__.py"
        parts = importer.split(".") if importer else []
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not node.level or node in skipped:
                continue
            base = parts[: len(parts) - node.level + package]
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                name = ".".join([*base, alias.name])
                imported = name if name in known else ".".join(base)
                found.append(Import(importer, imported, node not in tree.body))
    return tuple(found)


def packages(path: Path, inside: bool) -> set[str]:
    """Packages that a module imports at its top, or inside its functions."""
    tree = parsed(path)
    skipped, found = for_types_only(tree), set()
    for node in ast.walk(tree):
        if node in skipped or (node not in tree.body) != inside:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).split(".")[0])
    return found


def optional(package: str) -> bool:
    """Whether a package comes with an extra only."""
    return package not in sys.stdlib_module_names | REQUIRED


def entry(module: str, folder: str = "") -> str | None:
    """The entry of a module in the floors of a folder, None if it is not below that folder."""
    if folder and module != folder and not module.startswith(f"{folder}."):
        return None
    return module.removeprefix(folder).removeprefix(".").split(".")[0]


@pytest.mark.parametrize(
    ("floors", "folder"), [(FLOORS, ""), (RL_FLOORS, "rl")], ids=["zeuxis", "rl"]
)
def test_every_module_stands_on_one_floor(floors: list[list[str]], folder: str):
    listed = [name for floor in floors for name in floor]
    there = {name for module in modules() if (name := entry(module, folder)) is not None}
    assert len(listed) == len(set(listed))
    assert set(listed) == there


@pytest.mark.parametrize(
    ("floors", "folder"), [(FLOORS, ""), (RL_FLOORS, "rl")], ids=["zeuxis", "rl"]
)
def test_imports_point_downwards(floors: list[list[str]], folder: str):
    height = {name: i for i, floor in enumerate(floors) for name in floor}
    upward = set()
    for found in relative_imports():
        above, below = entry(found.importer, folder), entry(found.imported, folder)
        if above is None or below is None or above == below:
            continue
        if height[below] >= height[above]:
            upward.add(f"{found.importer} imports {found.imported}")
    assert not upward, "\n".join(sorted(upward))


def test_no_modules_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {}
    for found in relative_imports():
        if found.importer != found.imported:
            graph.setdefault(found.importer, set()).add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_functions_import_only_what_needs_an_optional_package():
    known, wrong = modules(), set()
    for found in relative_imports():
        if found.inside and not any(map(optional, packages(known[found.imported], inside=False))):
            wrong.add(f"{found.importer} imports {found.imported}")
    for importer, path in known.items():
        for package in packages(path, inside=True) - PLATFORM - {"torch"}:
            if not optional(package):
                wrong.add(f"{importer} imports {package}")
    assert not wrong, "\n".join(sorted(wrong))
