"""Finds tasks by their Gymnasium id, and makes them in this or another process."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ...errors import MissingExtra, UsageError


def gymnasium() -> Any:
    """Imports Gymnasium and registers the tasks of zeuxis.

    Raises:
        MissingExtra: Gymnasium is not installed.
    """
    try:
        import gymnasium
    except ImportError as error:
        raise MissingExtra("gymnasium", "rl", "Reinforcement learning") from error
    from . import sparse  # noqa: F401

    return gymnasium


def maker(
    source: str | Callable[[], Any], horizon: int = 0, **options: Any
) -> tuple[str, Callable[[], Any]]:
    """Returns the name of a task, and a function that makes it in this or another process.

    Arguments:
        source: A Gymnasium id or a function without arguments.
        horizon: Longest episode (steps) instead of the task's limit; 0 keeps the limit.
        options: Further arguments of `gymnasium.make`, such as `render_mode="rgb_array"`.

    Raises:
        UsageError: There is no such task, or it needs a missing package.
    """
    gym = gymnasium()
    if not isinstance(source, str):
        function = getattr(source, "func", source)  # `functools.partial` hides the name
        return getattr(function, "__name__", type(function).__name__), source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module, _, task = source.rpartition(":")
            if module:
                import_module(module)  # registers the task
            spec = gym.spec(task)
            if isinstance(spec.entry_point, str):
                gym.envs.registration.load_env_creator(spec.entry_point)
    except Exception as error:  # third-party modules may raise anything
        raise UsageError(
            f"There is no task '{source}' here ({one_line(error)}): give a Gymnasium id, as in "
            "Hopper-v5."
        ) from error
    if horizon:
        options["max_episode_steps"] = horizon
    return source, Make(spec, options)


@dataclass
class Make:
    """Makes an environment from its registration, also in a process that never registered it."""

    spec: Any
    options: dict[str, Any]

    def __call__(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer versions of a task, missing render modes
            return gymnasium().make(self.spec, disable_env_checker=True, **self.options)


def named_by_file(name: Any, where: str) -> str:
    """Checks a task's name that was read from a file.

    Opening a file must not import a module: only the user names modules.

    Arguments:
        name: What the file says.
        where: Name of the file in messages.

    Raises:
        UsageError: It is not text, or its module is not loaded yet.
    """
    if not isinstance(name, str):
        raise UsageError(f"{where} gives the task {brief(name)}, expected a name: give --env TASK.")
    module = name.rpartition(":")[0]
    if module and module not in sys.modules:
        raise UsageError(
            f"{where} gives the task '{name}', and a file must not make zeuxis import the module "
            f"'{module}': if you trust it, give --env {name} yourself."
        )
    return name


def brief(value: Any) -> str:
    """Describes a value in a few words."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"a {type(value).__name__}"


def one_line(error: BaseException) -> str:
    """An error's message on one line, without its full stop."""
    return " ".join(str(error).split()).rstrip(".")
