"""What a model is: a network, a frozen `Config` beside it, and the paper's algorithm as a generator
of losses.

A model states its *players* (who moves which parameters, with which optimizer settings) and how
they *play*: `play(batch)` is a generator that yields `(player, loss)` in the order of the paper's
algorithm box, with no optimizer code in it. The training loop resumes it after each backward pass
and update of that player's parameters, so a later turn sees the earlier turn's new weights. A GAN
yields "discriminator" and then "generator"; an autoencoder yields once.

What else a model can do is said by having the method: `zeuxis.capabilities` are protocols, and an
application takes any model that has the one it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from .arguments import VERBS, MissingMethod, guard
from .capabilities import has
from .data.dataset import Dataset, Spec
from .errors import MissingCapability, UsageError
from .noise import Noise
from .ranges import BaseConfig, Decay, Fraction, Rate, Weight, shown
from .registry import models, register

C = TypeVar("C")


@runtime_checkable
class More(Protocol):
    """Draws further examples for a step."""

    def __call__(
        self, kind: Literal["any", "labeled"], n: int, stream: int = 0
    ) -> tuple[Tensor, Tensor | None]: ...


def no_more(
    kind: Literal["any", "labeled"], n: int, stream: int = 0
) -> tuple[Tensor, Tensor | None]:
    """The `more` of a batch that stands alone."""
    raise UsageError(
        f"This batch has no further examples ({kind}, {n}): make it with Batch(more=...)."
    )


@dataclass
class Batch:
    """What `play` is given.

    Arguments:
        x: This process's examples, (local batch, *shape), raw (uint8 for images).
        y: Their labels, -1 where unlabeled, or None.
        noise: Random numbers for this step.
        images: Images seen before this step by all processes together.
        progress: Fraction of the training that lies behind, in [0, 1].
        more: Draws further examples and labels: `more("labeled", n)` only labeled ones,
            `more("any", n)` any. n counts the examples of all processes, and this process gets its
            share. Streams are shuffled independently; within a step the same call gives the same
            examples, so count `stream` up to get others.
        logs: Figures worth watching beside the losses, by name; `play` adds to it and the loop
            averages and writes them.
    """

    x: Tensor
    y: Tensor | None
    noise: Noise
    images: int = 0
    progress: float = 0.0
    more: More = no_more
    logs: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Player(BaseConfig, flags="Player."):
    """One player: the module whose parameters it moves, and its optimizer's settings.

    Arguments:
        module: The network this player trains.
        lr: Step size.
        betas: Decay rates of Adam's (and Adamax's, and what Muon leaves to Adam) first and second
            moments.
        eps: Added to the root of the second moment; with "adam-root" to the moment inside the root,
            as Lasagne had it.
        weight_decay: L2 penalty, added to the gradient.
        optimizer: Which rule moves the parameters.
    """

    module: nn.Module
    lr: Rate
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: Fraction = 1e-8
    weight_decay: Weight = 0.0
    optimizer: Literal["adam", "adam-root", "adamax", "muon", "sgd"] = "adam"


class Model(nn.Module):
    """Base of every model; a subclass sets the class variables and writes `players`, `play` and, if
    it can, `sample`.

    Attributes:
        name: What the command line calls it.
        Config: The frozen dataclass of its settings.
        paper: Authors, title and year.
        clock: Whether a film of its learning shows "linear" or "log" time.
        channels_last: Whether its convolutions are faster with channels last (measured per model).
        validate_by: The figure on held-out images; "" takes the first that its capabilities allow.
        levels: Values of a pixel in the likelihood it tells: 256, or 2 for binary images, which are
            given as 0 and 255.
    """

    name: ClassVar[str]
    Config: ClassVar[type]
    paper: ClassVar[str] = ""
    clock: ClassVar[Literal["linear", "log"]] = "linear"
    channels_last: ClassVar[bool] = False
    validate_by: ClassVar[Literal["", "frechet"]] = ""
    levels: int = 256

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        guard(cls)
        register(cls)

    def __getattr__(self, name: str) -> Tensor | nn.Module:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name not in VERBS:
                raise
        able = sorted(other for other, kind in models().items() if hasattr(kind, name))
        known = getattr(type(self), "name", type(self).__name__)
        raise MissingMethod(
            f"The model '{known}' cannot {VERBS[name]}; models that can: {', '.join(able)}."
        )

    def __init__(self, config: Any, spec: Spec) -> None:
        super().__init__()
        self.config, self.spec = config, spec

    def to_channels_last(self) -> None:
        """Stores the weights of convolutions in the order in which this model computes fastest."""
        if self.channels_last:
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def can(self, capability: type) -> bool:
        """Whether this model, with its settings, has a capability.

        Example:
            >>> from zeuxis.capabilities import CanClassify, CanSample
            >>> from zeuxis.checkpoints.weights import load
            >>> model = load("mnist/dcgan")
            >>> model.can(CanSample), model.can(CanClassify)
            (True, False)
        """
        return isinstance(self, capability) and capability not in self.disabled()

    def disabled(self) -> tuple[type, ...]:
        """Capabilities whose methods this class has and its settings rule out, as `CanClassify` of
        a model that is trained without labels."""
        return ()

    @property
    def conditional(self) -> bool:
        """Whether the settings make the model one of examples given their class: its methods take
        `y`."""
        return bool(getattr(self.config, "conditional", False))

    @property
    def normal_prior(self) -> bool:
        """Whether the prior of the latents is N(0, I); else it is uniform in [-1, 1]."""
        return getattr(self.config, "prior", "normal") == "normal"

    @classmethod
    def tiny(cls) -> tuple[Any, Spec]:
        """A config and a data spec that make this model small: tests over all models train it.

        The default suits a model of images whose default config is small. Override it so that a
        training of 64 examples takes less than a second.
        """
        return cls.Config(), Spec("tiny", (1, 28, 28), 10)

    def players(self) -> dict[str, Player]:
        """Who moves which parameters."""
        raise TypeError(f"{type(self).__name__} must define players().")

    def play(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        """One step of the paper's algorithm: yields (player, loss) turn by turn."""
        raise TypeError(f"{type(self).__name__} must define play(batch).")

    def arrange(self, data: Dataset) -> Dataset:
        """The data as this model trains on them, such as in groups; called once before a
        training."""
        return data

    def initialize_from_data(self, data: Dataset, seed: int) -> None:
        """Called once before the first step of a new training: set what starts from the data."""

    def update_statistics(self, x: Tensor | None = None) -> None:
        """Called before a model is saved or used: compute whatever evaluation needs beside the
        weights (batch statistics)."""

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


def require(model: Any, capability: type[C], verb: str) -> C:
    """The model itself if it has the capability, typed as one that has.

    Arguments:
        model: The model asked.
        capability: One of the protocols of `zeuxis.capabilities`.
        verb: What was asked for, to complete "cannot ...".

    Raises:
        MissingCapability: It has not; the sentence names the models that have.

    Example:
        >>> from zeuxis.capabilities import CanClassify
        >>> from zeuxis.checkpoints.weights import load
        >>> require(load("mnist/dcgan"), CanClassify, "classify")
        Traceback (most recent call last):
        ...
        zeuxis.errors.MissingCapability: The model 'dcgan' cannot classify; models that can: ...
    """
    if isinstance(model, capability) and (not isinstance(model, Model) or model.can(capability)):
        return model
    if model is None or isinstance(model, str | int | float | Path):
        raise UsageError(f"{shown(model)} is no model and cannot {verb}: zeuxis.load opens one.")
    able = sorted(name for name, kind in models().items() if has(kind, capability))
    known = f"models that can: {', '.join(able)}" if able else "no model here can yet"
    name = getattr(model, "name", type(model).__name__)
    if isinstance(model, capability):
        known = "its settings rule it out"
    raise MissingCapability(f"The model '{name}' cannot {verb}; {known}.")
