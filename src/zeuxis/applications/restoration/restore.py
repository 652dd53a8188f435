r"""Restores images with a model as the prior: samples of $p(x \mid y)$ and their mean.

$$ y = A x + \sigma \epsilon, \qquad p(x \mid y) \propto p(x) \, N(y; A x, \sigma^2 I) $$

with A of `operators`. Three functions name the three uses, `denoise`, `inpaint` and
`super_resolve`. The method is chosen by what the model can do (`METHODS`, the first that fits), and
`classical` needs no model. The mean of the samples has the smallest expected squared error; one
sample looks like the data.

Restored pixels are plausible and no evidence: where the image says nothing, the training images
speak.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from ...arguments import public
from ...capabilities import (
    CanAutoregress,
    CanPropose,
    CanRender,
    HasPixelLikelihood,
    HasVelocity,
    has,
)
from ...errors import MissingCapability, UsageError
from ...ranges import Range, Seed, SmallCount
from ...registry import models
from .any_size import in_channels
from .autoregressive import CompletesAnyMask, completion, expectation, particle_filter
from .classical import classical, total_variation
from .flow import denoised, flow_samples
from .gan_inversion import invert
from .latent import latent, metropolis
from .operators import Average, Identity, Mask, Operator, to_bytes

Task = Literal["denoise", "inpaint", "super-resolve"]
TASKS: tuple[Task, ...] = ("denoise", "inpaint", "super-resolve")
Sigma = Annotated[float, Range(0, 255, above=True)]
Factor = Annotated[int, Range(2, 64)]


@runtime_checkable
class Sampler(Protocol):
    """A method: samples of p(x | y).

    Arguments:
        model: The model; a method for any model ignores it.
        y: What `operator.forward` gave, with noise; float in pixel units 0 to 255.
        operator: How y came about.
        sigma: Standard deviation of the noise in pixel units; 0 for pixels that are exact up to
            rounding.
        n: Samples of each image.
        generator: The source of random numbers.

    Returns:
        Samples in pixel units, (n, batch, C, H, W).
    """

    def __call__(
        self,
        model: Any,
        y: Tensor,
        operator: Operator,
        sigma: float,
        *,
        n: int,
        generator: torch.Generator,
    ) -> Tensor: ...


Mean = Callable[[Any, Tensor, Operator, float], Tensor]
"""The mean of p(x | y) from model, y, operator and sigma, in pixel units (batch, C, H, W)."""


@dataclass(frozen=True)
class Method:
    """One way to restore.

    Arguments:
        sampler: The function.
        needs: Capabilities that the model must have.
        tasks: What it is for.
        fits: Whether it is for this model; for a choice that its capabilities leave open.
        mean: The posterior mean, where it is known without samples.
    """

    sampler: Sampler
    needs: tuple[type, ...]
    tasks: tuple[Task, ...] = TASKS
    fits: Callable[[Any], bool] = lambda model: True
    mean: Mean | None = None

    def takes(self, model: Any, task: Task) -> bool:
        """Whether the model, with its settings, has what the method needs."""
        able = all(isinstance(model, kind) and kind not in off(model) for kind in self.needs)
        return task in self.tasks and able and self.fits(model)


def off(model: Any) -> tuple[type, ...]:
    """Capabilities that a model's settings rule out."""
    return model.disabled() if hasattr(model, "disabled") else ()


def without_classes(model: Any) -> bool:
    """Whether a model is one of images, whatever their class."""
    return not model.conditional and len(model.spec.shape) == 3


METHODS: dict[str, Method] = {
    "latent": Method(latent, (HasPixelLikelihood,)),
    "metropolis": Method(metropolis, (CanPropose,), ("inpaint",)),
    "inversion": Method(invert, (CanRender,)),
    "completion": Method(completion, (CompletesAnyMask,), ("inpaint",), mean=expectation),
    "particles": Method(particle_filter, (CanAutoregress,), fits=without_classes),
    "classical": Method(classical, ()),
    "denoiser": Method(flow_samples, (HasVelocity,), ("denoise",), mean=denoised),
    "guidance": Method(flow_samples, (HasVelocity,), ("inpaint", "super-resolve")),
    "total-variation": Method(total_variation, (), ("denoise",)),
}
"""Methods by name; of those that fit a model, `auto` takes the first."""


@dataclass(frozen=True)
class Restored:
    """Restored images.

    Arguments:
        samples: uint8 (n, batch, C, H, W).
        mean: Their mean, uint8 (batch, C, H, W).
        method: How they were made.
    """

    samples: Tensor
    mean: Tensor
    method: str


def choose(model: Any, task: Task, method: str = "auto") -> tuple[str, Method]:
    """The method of this name, or the first that fits, with its name.

    Raises:
        UsageError: There is no such method, or it is not for this task.
        MissingCapability: The model lacks what is needed; the sentence names models that have it.
    """
    known = {name: one for name, one in METHODS.items() if task in one.tasks}
    if method != "auto" and method not in known:
        raise UsageError(
            f"There is no method '{method}' to {task} images: give one of auto, {', '.join(known)}."
        )
    for name, one in known.items() if method == "auto" else [(method, known[method])]:
        if one.takes(model, task) and (one.needs or method != "auto"):
            return name, one
    tried = [one for name, one in known.items() if one.needs and method in ("auto", name)]
    able = sorted(
        name
        for name, kind in models().items()
        if any(all(has(kind, need) for need in one.needs) for one in tried)
    )
    by = "" if method == "auto" else f" by the method '{method}'"
    raise MissingCapability(
        f"The model '{getattr(model, 'name', type(model).__name__)}' cannot {task} images{by}; "
        f"models that can: {', '.join(able) or 'none yet'}."
    )


def restore(
    model: Any,
    y: Tensor,
    operator: Operator,
    sigma: float,
    task: Task,
    *,
    n: int = 8,
    method: str = "auto",
    seed: int = 0,
) -> Restored:
    """Restores images of any size.

    Larger images than the model's are restored in overlapping tiles. A model of gray images
    restores each channel of a color image; for a model of color images a gray image is repeated
    with noise as large as if each channel had been measured.

    Arguments:
        model: Any model that one of the methods takes; None is enough for `classical`.
        y: Degraded images in pixel units, (batch, C, H, W) as `operator.forward` gives them.
        operator: How they were degraded.
        sigma: Standard deviation of the noise; with 0 the result agrees with y exactly.
        task: What is asked for, to choose the method by.
        n: Samples of each image.
        method: A name in `METHODS`, or auto.
        seed: Fixes all random numbers.
    """
    name, chosen = choose(model, task, method)
    y = y.float().cpu()
    x = sampled(model, y, operator, sigma, n, chosen, seed).clamp(0, 255)
    mean = x.mean(0) if chosen.mean is None else mean_of(model, y, operator, sigma, chosen, seed)
    if sigma == 0:
        return Restored(operator.pixels(x, y), operator.pixels(mean, y), name)
    return Restored(to_bytes(x), to_bytes(mean), name)


def sampled(
    model: Any, y: Tensor, operator: Operator, sigma: float, n: int, method: Method, seed: int
) -> Tensor:
    """Samples of a method, which sees images of the model's size if it needs the model."""
    if method.needs:
        return in_channels(model, y, operator, sigma, n, method.sampler, seed)
    generator = torch.Generator().manual_seed(seed)
    return method.sampler(model, y, operator, sigma, n=n, generator=generator).float().cpu()


def mean_of(
    model: Any, y: Tensor, operator: Operator, sigma: float, method: Method, seed: int
) -> Tensor:
    """The posterior mean of a method that has one without samples."""

    def sampler(model: Any, y: Tensor, operator: Operator, sigma: float, **ignored: Any) -> Tensor:
        assert method.mean is not None
        return method.mean(model, y, operator, sigma)[None]

    return in_channels(model, y, operator, sigma, 1, sampler, seed)[0]


@public
def denoise(
    model: Any,
    x: Tensor,
    sigma: Sigma,
    *,
    n: SmallCount = 8,
    method: str = "auto",
    seed: Seed = 0,
) -> Restored:
    """Removes Gaussian noise of a known level.

    Arguments:
        model: A trained model of images.
        x: Noisy images, uint8 (batch, C, H, W), or float32 in the same units, which need not be
            rounded and clipped.
        sigma: Standard deviation of the noise (gray levels of 255).
        n: Samples of each image.
        method: `auto`, or one of `zeuxis restore --help`.
        seed: Fixes all random numbers.
    """
    return restore(model, images(x), Identity(), sigma, "denoise", n=n, method=method, seed=seed)


@public
def inpaint(
    model: Any,
    x: UInt8[Tensor, "batch channels height width"],
    mask: Bool[Tensor, "... rows columns"],
    *,
    n: SmallCount = 8,
    method: str = "auto",
    seed: Seed = 0,
) -> Restored:
    """Fills in hidden pixels; visible ones come back as they are.

    Arguments:
        model: A trained model of images.
        x: Images; the values of their hidden pixels are not used.
        mask: True where a pixel is seen, (height, width) for all images or (batch, 1, height,
            width).
        n: Samples of each image.
        method: `auto`, or one of `zeuxis restore --help`.
        seed: Fixes all random numbers.
    """
    if tuple(mask.shape) not in (tuple(x.shape[2:]), (len(x), 1, *x.shape[2:])):
        raise UsageError(
            f"The mask has shape {tuple(mask.shape)}, expected {tuple(x.shape[2:])} or "
            f"{(len(x), 1, *x.shape[2:])}, as the images: True where a pixel is seen."
        )
    operator = Mask(mask)
    y = operator.forward(x.float())
    return restore(model, y, operator, 0.0, "inpaint", n=n, method=method, seed=seed)


@public
def super_resolve(
    model: Any,
    x: UInt8[Tensor, "batch channels height width"],
    factor: Factor = 2,
    *,
    n: SmallCount = 8,
    method: str = "auto",
    seed: Seed = 0,
) -> Restored:
    """Enlarges images; the means of blocks of the result are the pixels of the image.

    Arguments:
        model: A trained model of images.
        x: Small images.
        factor: Pixels of the result for one of the image, along each side.
        n: Samples of each image.
        method: `auto`, or one of `zeuxis restore --help`.
        seed: Fixes all random numbers.
    """
    operator = Average(factor)
    return restore(model, x.float(), operator, 0.0, "super-resolve", n=n, method=method, seed=seed)


def images(x: Tensor) -> Tensor:
    """Refuses anything but images as uint8 or float32."""
    if x.ndim != 4 or x.dtype not in (torch.uint8, torch.float32):
        raise UsageError(
            "denoise takes images as a tensor of uint8 or float32 of shape (n, channels, height, "
            f"width), got {x.dtype} of shape {tuple(x.shape)}."
        )
    return x.float()
