"""All models by name: those of zeuxis, of installed packages, and of the user's program.

A model registers when its class is defined. A saved folder only holds a name, which is looked up
among the registered models: a file never decides what is imported. Modules are imported when the
user names one (`zeuxis train mymodels.py:Tiny`, `--import mymodels.py`, an `import` in a program),
and installed packages by their entry points in the group `zeuxis.models`.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import pkgutil
import sys
import traceback
import warnings
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .errors import UsageError, ZeuxisError

if TYPE_CHECKING:
    from .model import Model

# Without rl, whose policies need an extra and have commands for themselves.
FAMILIES = ("gan", "vae", "autoregressive", "flow", "evaluation.features")
GROUP = "zeuxis.models"

defined: list[type[Model]] = []
"""Every subclass of Model, in the order of their definitions."""
own: dict[str, type[Model]] = {}
"""Models defined outside zeuxis, by name."""
user_modules: list[str] = []
"""Modules that the user named, for processes that this one starts; files by their whole path."""


@functools.cache
def built_in() -> dict[str, type[Model]]:
    """The models of zeuxis by name, found by walking the families' folders."""
    homes = tuple(f"zeuxis.{family}." for family in FAMILIES)
    for home in homes:
        package = importlib.import_module(home[:-1])
        for info in pkgutil.iter_modules(package.__path__):
            importlib.import_module(home + info.name)
    here = [kind for kind in defined if kind.__module__.startswith(homes)]
    return {kind.name: kind for kind in here if "name" in vars(kind)}


def register(kind: type[Model]) -> None:
    """Called when a model is defined: makes one that has a name and settings known by its name.

    Raises:
        UsageError: Another model has this name.
    """
    defined.append(kind)
    config = isinstance(getattr(kind, "Config", None), type)
    if kind.__module__.startswith("zeuxis.") or "name" not in vars(kind) or not config:
        return
    name = kind.name
    if not isinstance(name, str) or not name or "/" in name or ":" in name:
        raise UsageError(
            f"The name of {place(kind)} is {name!r}: give a text without / and : as name."
        )
    other = built_in().get(name) or own.get(name)
    # A notebook's cell that runs again defines the same class again.
    if other is not None and place(other) != place(kind):
        raise UsageError(
            f"There is a model '{name}' already, {place(other)}: give {place(kind)} another name."
        )
    own[name] = kind


def place(kind: type) -> str:
    """Where a class is defined, as `module:Class`; of a script or notebook its file's name."""
    module = kind.__module__
    if module == "__main__" and (file := getattr(sys.modules["__main__"], "__file__", None)):
        module = Path(file).name
    return f"{module}:{kind.__qualname__}"


@functools.cache
def installed() -> None:
    """Imports the models of installed packages, once; one that cannot be imported is left out with
    a warning."""
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:
            name = f"The model '{entry.name}' of an installed package, {entry.value},"
            warnings.warn(f"{name} is left out: {error}", stacklevel=2)


def models() -> dict[str, type[Model]]:
    """Every model by name: those of zeuxis, of installed packages, and those defined or imported in
    this program.

    Example:
        >>> "dcgan" in models()
        True
    """
    installed()
    return built_in() | own


def model_class(model: str | type[Model], defined: str = "") -> type[Model]:
    """The model of this name, or a model's class itself; nothing is imported for a name.

    Arguments:
        model: A name, or a class that is registered.
        defined: Where a file says that a model of this name was defined, for the error sentence.

    Raises:
        UsageError: No model has this name, or the class cannot be found by a name.
    """
    if isinstance(model, type):
        return findable(model)
    known = models()
    if isinstance(model, str) and model in known:
        return known[model]
    if defined:
        raise UsageError(
            f"The model '{model}' was defined in {defined}, which is not imported here: "
            "import that module first, "
            f"or on the command line add --import {defined.split(':')[0]}."
        )
    near = difflib.get_close_matches(str(model), known, 1)
    hint = f"did you mean {near[0]}? The" if near else "the"
    raise UsageError(
        f"There is no model '{model}': {hint} models are {', '.join(sorted(known))}; one "
        "of your own is module:Class."
    )


def findable(kind: type[Model]) -> type[Model]:
    """A model's class, if `load` can find it by its name again.

    Raises:
        UsageError: It cannot; the sentence says what to add to the class.
    """
    if kind not in defined:
        raise UsageError(f"{place(kind)} is no model: give a subclass of zeuxis.Model.")
    if not isinstance(getattr(kind, "Config", None), type):
        raise UsageError(
            f"{place(kind)} has no settings: give the class Config = ..., a frozen dataclass."
        )
    name = getattr(kind, "name", "")
    if models().get(name) is not kind:
        known = f"'{name}' is {place(models()[name])}" if name in models() else "it has none"
        raise UsageError(
            f"The model {place(kind)} could not be found again by its name, since "
            f"{known}: give the class another name, as in "
            f'name = "{kind.__name__.lower()}".'
        )
    return kind


def named(model: str | type[Model]) -> type[Model]:
    """A model as a user names it: by name, by class, or as `module:Class` or `file.py:Class`, which
    imports that module.

    Raises:
        UsageError: There is no such model, or its module cannot be imported.
    """
    if isinstance(model, str) and ":" in model:
        where, _, name = model.rpartition(":")
        module = imported(where)
        kind: Any = getattr(module, name, None)
        if not isinstance(kind, type):
            there = [k for k, v in vars(module).items() if v in defined]
            raise UsageError(
                f"'{where}' has no class '{name}': its models are {', '.join(there) or 'none'}."
            )
        return findable(kind)
    if isinstance(model, str) and model.endswith(".py"):
        raise UsageError(f"Name the class after the file, as in {model}:Tiny.")
    return model_class(model)


def imported(where: str) -> ModuleType:
    """The module of this name, or of this file (ends in .py), which the user named.

    Raises:
        UsageError: It is not there or cannot be imported.
    """
    try:
        module = from_file(Path(where)) if where.endswith(".py") else from_name(where)
        name = str(Path(where).resolve()) if where.endswith(".py") else where
        if name not in user_modules:
            user_modules.append(name)
        return module
    except ZeuxisError:
        raise
    except (Exception, SystemExit) as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        at = f" ({Path(line.filename).name}, line {line.lineno})"
        at = "" if "importlib" in line.filename else at
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"'{where}' cannot be imported{at}: {type(error).__name__}: {reason}."
        ) from error


def from_name(where: str) -> ModuleType:
    """A module by its name, in the current folder too."""
    if not all(part.isidentifier() for part in where.split(".")):
        raise UsageError(
            f"'{where}' is no module: give its name, as in package.module, or a file "
            "that ends in .py."
        )
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        return importlib.import_module(where)
    finally:
        sys.path.remove(here)


def from_file(path: Path) -> ModuleType:
    """A module by its file."""
    if not path.is_file():
        raise UsageError(
            f"There is no file '{path}': give one that defines a model, as in mymodels.py:Tiny."
        )
    name, file = path.stem, str(path.resolve())
    before = sys.modules.get(name)
    if before is not None and getattr(before, "__file__", None) == file:
        return before
    if before is not None or importlib.util.find_spec(name) is not None:
        name = f"{name}_{abs(hash(file)):x}"
        if name in sys.modules:
            return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.append(str(path.resolve().parent))  # for what it imports from beside itself
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module
