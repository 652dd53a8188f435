"""Codes of AIR: images of codes, codes of images, and images object by object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..capabilities import Steps, Window
from .air_counts import at_least, log_counts
from .air_networks import BATCH, WHERE, AIRNetworks, Inferred, coded, split


class ObjectCodes:
    """Methods of a model whose codes list objects.

    Attributes:
        networks: Inference network and decoder.
        log_prior: log p(n), (counts,).
    """

    networks: AIRNetworks
    log_prior: Tensor

    if TYPE_CHECKING:

        @property
        def device(self) -> torch.device: ...

        def infer(self, x: Tensor) -> Inferred: ...

        def eps(self, n: int, generator: torch.Generator | None) -> Tensor: ...

        def uniform(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor: ...

    def prior(self, n: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "n code"]:
        """n codes: a number of objects, and standard normal places and appearances."""
        below = self.log_prior.exp().cumsum(0)[:-1]
        counts = (self.uniform((n, 1), generator) >= below).sum(1)
        return coded(counts, self.eps(n, generator))

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n code"]) -> UInt8[Tensor, "n channels height width"]:
        """Mean images of codes; an entry between 0 and 1 of a step's presence shows its object in
        part."""
        images = []
        for part in z.to(self.device).split(BATCH):
            presence, latents = split(part, self.networks.config.steps)
            objects = presence[..., None, None, None] * self.networks.objects(latents)
            images.append((255 * objects.sum(1)).round().clamp(0, 255).byte())
        return torch.cat(images)

    def sample(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "n channels height width"]:
        """Mean images of n codes from the prior."""
        return self.decode(self.prior(n, generator=generator))

    @torch.no_grad()
    def encode(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n code"]:
        """The code of the most probable number of objects and of the means of their latents; 0
        beyond the last object."""
        codes = []
        for part in x.split(BATCH):
            inferred = self.infer(part)
            counts = log_counts(inferred.logits).argmax(1)
            presence, _ = split(coded(counts, inferred.z), self.networks.config.steps)
            codes.append(coded(counts, inferred.z * presence[..., None]))
        return torch.cat(codes)

    @torch.no_grad()
    def features(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n code"]:
        """For each step the probability that there is an object, and the means of its latents in
        proportion to it."""
        features = []
        for part in x.split(BATCH):
            inferred = self.infer(part)
            presence = at_least(log_counts(inferred.logits).exp())
            latents = presence[..., None] * inferred.mean
            features.append(torch.cat([presence, latents.flatten(1)], 1))
        return torch.cat(features)

    def sample_steps(self, n: int, *, generator: torch.Generator | None = None) -> Steps:
        """Samples object by object."""
        return self.steps_of(self.prior(n, generator=generator))

    def reconstruct_steps(self, x: UInt8[Tensor, "n channels height width"]) -> Steps:
        """Images object by object, in the order in which they are found."""
        steps = self.steps_of(self.encode(x))
        return Steps(steps.canvases, {"read": steps.windows["write"], **steps.windows})

    @torch.no_grad()
    def steps_of(self, code: Float[Tensor, "n code"]) -> Steps:
        """The canvas after each step of codes. A step without an object leaves it as it is and has
        no window."""
        presence, latents = split(code, self.networks.config.steps)
        objects = presence[..., None, None, None] * self.networks.objects(latents)
        canvases = (255 * objects.cumsum(1)).round().clamp(0, 255).byte()
        scale, center = self.networks.window(latents[..., :WHERE])
        height, width = self.networks.shape[1:]
        size = torch.tensor([width, height], device=center.device)
        corners = torch.cat([center - scale[..., None], center + scale[..., None]], -1)
        box = (corners + 1) / 2 * size.repeat(2)
        box = box.masked_fill(presence[..., None] <= 0, torch.nan)
        return Steps(canvases, {"write": Window(box, torch.zeros_like(scale))})
