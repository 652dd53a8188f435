r"""Latents of images as a comparison over known factors reads them, and edits of one of them.

A posterior is read by a *sample*. Its mean would also show differences far below its standard
deviation, which no decoder can use: of a collapsed model the means still tell lighting. An InfoGAN
has no encoder; its codes are what Q reads. To decode an image again it is **inverted**: from Q's
codes and random noise, the latent that renders the image best is found by gradient descent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..capabilities import CanRender, HasCodes, HasPosterior
from ..errors import UsageError

Images = UInt8[Tensor, "n channels height width"]
STEP = 0.05  # of Adam, on latents of the order of 1


@dataclass(frozen=True)
class Latent:
    """A number of a model's latent.

    Arguments:
        name: What tables call it.
        column: Its place in the z that `decode` takes.
    """

    name: str
    column: int


def latents_of(model: Any) -> tuple[Latent, ...]:
    """All numbers of a model's latent that can be read from images.

    Raises:
        UsageError: It reads none.
    """
    if isinstance(model, HasPosterior):
        named = {code.start: code.name for code in codes_of(model)}
        size = model.prior(1).shape[1]
        return tuple(Latent(named.get(i, f"latent {i + 1}"), i) for i in range(size))
    if found := tuple(Latent(code.name, code.start) for code in codes_of(model)):
        return found
    raise UsageError(
        f"The model '{model.name}' reads no continuous latents from images: choose one with a "
        "posterior or with codes, as vae, dcign or infogan."
    )


def codes_of(model: Any) -> list[Any]:
    """The continuous codes that a model names."""
    codes = model.codes() if isinstance(model, HasCodes) else ()
    return [code for code in codes if code.kind == "continuous"]


@torch.no_grad()
def read(
    model: Any, x: Images, generator: torch.Generator | None = None
) -> Float[Tensor, "n latents"]:
    """The latents of images, in the order of `latents_of`.

    Arguments:
        model: A model with a posterior or with codes.
        x: The images.
        generator: Draws samples of a posterior; without it its means are taken.
    """
    if isinstance(model, HasPosterior):
        mean, log_std = (part.cpu() for part in model.posterior(x))
        if generator is None:
            return mean
        return mean + log_std.exp() * torch.randn(mean.shape, generator=generator)
    continuous = [
        value
        for code, value in zip(model.codes(), model.infer(x), strict=True)
        if code.kind == "continuous"
    ]
    return torch.cat([value.cpu() for value in continuous], 1)


def encoded(model: Any, x: Images, steps: int, generator: torch.Generator) -> Float[Tensor, "n z"]:
    """The z with which `decode` shows these images: posterior means, or an inversion."""
    if isinstance(model, HasPosterior):
        return read(model, x)
    if not isinstance(model, CanRender):
        raise UsageError(f"The model '{model.name}' renders no images with gradients to invert.")
    parts = []
    for part in x.split(100):
        z = model.prior(len(part), generator=generator)
        z[:, [latent.column for latent in latents_of(model)]] = read(model, part).to(z)
        parts.append(invert(model, part, z, steps))
    return torch.cat(parts).cpu()


def invert(model: Any, x: Images, start: Float[Tensor, "n z"], steps: int) -> Float[Tensor, "n z"]:
    """Latents that render images best, by Adam from a start, within the range of the prior."""
    prior = model.prior(1000, generator=torch.Generator().manual_seed(0))
    low, high = prior.amin(0), prior.amax(0)
    target = x.to(model.device).float()
    z = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], STEP)
    with torch.enable_grad():
        for _ in range(steps):
            optimizer.zero_grad()
            error = (model.render(z) - target).square().flatten(1).mean(1).sum() / 255**2
            error.backward(inputs=[z])
            optimizer.step()
            z.data.clamp_(low, high)
    return z.detach()


def exchanged(
    model: Any, z: Float[Tensor, "n z"], latent: Latent, values: Float[Tensor, "n"]
) -> Images:
    """Images of latents in which one number is replaced."""
    z = z.clone()
    z[:, latent.column] = values.to(z)
    return model.decode(z).cpu()


def own_by_name(latents: Sequence[Latent], names: Sequence[str]) -> list[int] | None:
    """Positions of the latents that have the names of factors; None unless all are there."""
    where = {latent.name: i for i, latent in enumerate(latents)}
    return [where[name] for name in names] if set(names) <= set(where) else None
