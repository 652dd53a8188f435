"""Checks the arguments of public functions and of models' methods by their annotations.

A wrong type is one sentence instead of a traceback from inside. `public` decorates functions, and
`guard` the methods that models share, so a new function or model needs no checks.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from .errors import MissingCapability, UsageError
from .ranges import MOST, Range, Seed, converted, shown
from .registry import models

F = TypeVar("F", bound=Callable[..., Any])

HELP = {
    "Dataset": "zeuxis.load_data makes one",
    "Model": "zeuxis.load opens one",
    "TrainingConfig": "as in zeuxis.TrainingConfig(images=100_000)",
}


def public(function: F) -> F:
    """Decorates a function to refuse arguments of other types than it declares.

    Example:
        >>> import zeuxis
        >>> zeuxis.few_labels("mnist", 10, seed=0)
        Traceback (most recent call last):
        ...
        zeuxis.errors.UsageError: few_labels: data must be of type Dataset, got 'mnist'
        (zeuxis.load_data makes one).
    """
    signature, name = inspect.signature(function), function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        hints = hints_of(function)
        for argument, value in bound.arguments.items():
            if argument in hints:
                examine(name, argument, value, hints[argument])
        return function(*args, **kwargs)

    return checked  # type: ignore[return-value]


@functools.cache
def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The declared types of a function's arguments."""
    hints = typing.get_type_hints(function, include_extras=True)
    kinds = inspect.signature(function).parameters
    return {
        name: hint
        for name, hint in hints.items()
        if name in kinds and kinds[name].kind is not inspect.Parameter.VAR_KEYWORD
    }


def examine(function: str, name: str, value: Any, hint: Any) -> None:
    """Refuses a value that does not have its declared type."""
    try:
        converted(value, hint)
    except TypeError:  # a type that cannot be tested, such as a function's
        return
    except ValueError as error:
        hints = [name for name in HELP if name in str(error)]
        more = f" ({HELP[hints[0]]})" if hints else ""
        raise UsageError(f"{function}: {name} must be {error}, got {shown(value)}{more}.") from None


VERBS = {
    "sample": "draw samples",
    "prior": "draw codes",
    "decode": "turn codes into examples",
    "render": "turn codes into images with gradients",
    "realism": "say how real an image looks",
    "pixel_log_prob": "say how likely a pixel is given a code",
    "pixel_variance": "say how much a pixel varies given a code",
    "propose": "propose codes for an image",
    "draw_pixels": "draw pixels given a code",
    "encode": "turn examples into codes",
    "log_prob": "say how likely an example is",
    "elbo": "bound the likelihood",
    "log_weights": "bound the likelihood",
    "classify": "classify",
    "complete": "fill in",
    "conditional_elbo": "bound the likelihood of hidden pixels",
    "conditional_log_weights": "bound the likelihood of hidden pixels",
    "features": "describe examples by features",
    "trunk": "be fine-tuned",
    "codes": "say what its codes mean",
    "autoregress": "say what each pixel costs",
    "conditionals": "say what each pixel costs",
    "velocity": "give a velocity field",
    "posterior": "give a posterior of codes",
    "sample_steps": "show the steps of its samples",
    "reconstruct_steps": "show the steps of a reconstruction",
    "objects": "count and locate objects",
}
"""What models' methods do, for sentences."""
TAKES_EXAMPLES = (
    "encode",
    "log_prob",
    "elbo",
    "log_weights",
    "classify",
    "complete",
    "conditional_elbo",
    "conditional_log_weights",
    "features",
    "conditionals",
    "posterior",
    "objects",
    "reconstruct_steps",
)


class MissingMethod(MissingCapability, AttributeError):
    """A method that a model does not have; an `AttributeError`, so that `hasattr` is False."""


def guard(kind: type) -> None:
    """Adds checks to the methods that a model's class defines, or has from a class beside
    `Model`."""
    for name in VERBS:
        method = inspect.getattr_static(kind, name, None)
        if not inspect.isfunction(method) or hasattr(method, "is_guarded"):
            continue
        if name in ("sample", "prior", "sample_steps"):
            checked = drawing(method, name)
        elif name == "decode":
            checked = decoding(method)
        elif name in TAKES_EXAMPLES and len(inspect.signature(method).parameters) > 1:
            checked = taking(method, name)
        else:
            continue
        checked.is_guarded = True  # type: ignore[attr-defined]
        setattr(kind, name, checked)


def drawing(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Checks the arguments of `sample` and `prior`: number, seed, generator and class."""
    takes_class = "y" in inspect.signature(method).parameters

    @functools.wraps(method)
    def draw(
        self: Any, n: Any, *args: Any, seed: Any = None, label: Any = None, **kwargs: Any
    ) -> Any:
        examine(name, "n", n, COUNT)
        if seed is not None:
            if kwargs.get("generator") is not None:
                raise UsageError(f"{name} was given both a seed and a generator: give one of them.")
            examine(name, "seed", seed, Seed)
            kwargs["generator"] = torch.Generator().manual_seed(int(seed))
        examine(name, "generator", kwargs.get("generator"), torch.Generator | None)
        if label is not None and kwargs.get("y") is not None:
            raise UsageError(f"{name} was given both label and y: give one of them.")
        if label is not None or kwargs.get("y") is not None:
            require_classes(self, takes_class)
            kwargs["y"] = (
                classes(self, kwargs["y"], n)
                if label is None
                else torch.full((int(n),), class_of(self, label))
            )
        if n == 0 and name == "sample" and len(self.spec.shape) == 3:
            return torch.empty(0, *self.spec.shape, dtype=torch.uint8, device=self.device)
        return method(self, int(n), *args, **kwargs)

    return draw


COUNT = typing.Annotated[int, Range(0, MOST)]


def taking(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Checks the examples, and the classes, that a method takes."""
    takes_class = "y" in inspect.signature(method).parameters

    @functools.wraps(method)
    def take(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        require_examples(self, x, name)
        if kwargs.get("y") is not None:
            require_classes(self, takes_class)
            kwargs["y"] = classes(self, kwargs["y"], len(x))
        return method(self, x, *args, **kwargs)

    return take


def decoding(method: Callable[..., Any]) -> Callable[..., Any]:
    """Checks the latents that `decode` takes; the prior is drawn from only to explain an error."""

    @functools.wraps(method)
    def decode(self: Any, z: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(z, Tensor) or not z.is_floating_point() or z.ndim < 2:
            raise UsageError(
                f"decode of '{self.name}' takes codes as a tensor of floats, one row a "
                f"code, got {shown(z)}."
            )
        if kwargs.get("y") is not None:
            require_classes(self, True)
            kwargs["y"] = classes(self, kwargs["y"], len(z))
        try:
            return method(self, z, *args, **kwargs)
        except RuntimeError as error:
            expected = (
                tuple(self.prior(1).shape[1:]) if hasattr(self, "prior") else tuple(z.shape[1:])
            )
            if tuple(z.shape[1:]) == expected:
                raise
            shape = "(n, " + ", ".join(map(str, expected)) + ")"
            raise UsageError(
                f"decode of '{self.name}' takes codes of shape {shape}, got {shown(z)}."
            ) from error

    return decode


def require_examples(model: Any, x: Any, name: str) -> None:
    """Refuses examples of another type or shape than the model's."""
    shape, spec = None, model.spec.shape
    if len(spec) == 3:
        kind, right = (
            "uint8 images",
            isinstance(x, Tensor)
            and x.dtype == torch.uint8
            and x.ndim == 4
            and tuple(x.shape[1:]) == spec,
        )
    elif len(spec) == 1 and spec == (2,) and not model.spec.class_names:
        kind, right = (
            "points",
            isinstance(x, Tensor)
            and x.is_floating_point()
            and x.ndim == 2
            and tuple(x.shape[1:]) == spec,
        )
    else:
        kind, right, shape = "examples", isinstance(x, Tensor), "(n, length)"
    if not right:
        shape = shape or "(n, " + ", ".join(map(str, spec)) + ")"
        raise UsageError(
            f"{name} of '{model.name}' takes {kind} as a tensor of shape {shape}, got {shown(x)}."
        )


def require_classes(model: Any, takes_class: bool) -> None:
    """Refuses a class for a model that is not conditional."""
    if not takes_class or not getattr(model.config, "conditional", True):
        able = [
            name
            for name, kind in models().items()
            if "conditional" in {f.name for f in dataclasses.fields(kind.Config)}
        ]
        raise MissingCapability(
            f"The model '{model.name}' was not trained to know classes, so that none can "
            "be chosen: leave out label and y, or train "
            f"with --model.conditional one of {', '.join(able)}."
        )


def class_of(model: Any, label: Any) -> int:
    """The number of a class, by number or name."""
    names, known = model.spec.class_names, model.spec.classes
    if isinstance(label, str):
        if label in names:
            return names.index(label)
        if not label.isdecimal():
            raise UsageError(
                f"label is {label!r}, expected one of "
                f"{', '.join(names) if names else f'0 to {known - 1}'}."
            )
        label = int(label)
    examine("sample", "label", label, int)
    if not 0 <= label < known:
        raise UsageError(f"label is {label}, expected 0 to {known - 1}.")
    return int(label)


def classes(model: Any, y: Any, n: int) -> Tensor:
    """The classes of n examples as integers, each one of the model's."""
    known = model.spec.classes
    if not isinstance(y, Tensor):
        try:
            y = torch.as_tensor(y)
        except (TypeError, ValueError, RuntimeError):
            y = torch.empty(0)
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool or tuple(y.shape) != (n,):
        raise UsageError(f"y must hold one whole number for each of {n} examples, got {shown(y)}.")
    if n and not (int(y.min()) >= 0 and int(y.max()) < known):
        raise UsageError(
            f"y holds classes from {int(y.min())} to {int(y.max())}, expected 0 to {known - 1}."
        )
    return y.long()
