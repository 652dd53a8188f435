"""The networks of Improved GAN: dense for digits, the nine-layer classifier and its generator for
small images.

Every discriminator gives two things for a batch: the features that feature matching compares, and K
logits (the generated class has logit 0 and no unit). The batch may hold several parts one after
another (labeled, real, generated): the layers see each example alone, except minibatch
discrimination, which treats the sub-batches separately.

Source: Salimans et al., "Improved Techniques for Training GANs", 2016, and its released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.minibatch_discrimination import MinibatchDiscrimination
from ..nn.norm import BatchNorm
from ..nn.virtual_batch_norm import VirtualBatchNorm
from ..nn.weight_norm import WeightNorm
from ..noise import Noise

STORE = 2**21


@cache
def store() -> Tensor:
    """Two rows of normal numbers of variance 1/2 (16 MB), the same for every run."""
    return torch.randn(2, STORE, generator=torch.Generator().manual_seed(2016)) * 0.5**0.5


class Jitter:
    """The noise inside a discriminator, drawn separately for each sub-batch.

    A CPU takes as long for a normal number as for hundreds of multiply-adds, and digits need ten
    thousand an image. So there the noise is the sum of one stretch of each row of a store, from
    places that are drawn: within a stretch exactly independent normal numbers, at a small part of
    the price and on every thread. Two stretches may share numbers of one row, each beside others of
    the second.

    Arguments:
        sources: For each part its source of numbers; the part has as many examples as the source's
            rows.
    """

    def __init__(self, *sources: Noise) -> None:
        self.sources = sources

    def add(self, h: Tensor, std: float) -> Tensor:
        """h plus Gaussian noise."""
        size = h.shape[1:].numel()
        if (
            h.device.type != "cpu"
            or size * max(source.total for source in self.sources) > STORE // 2
        ):
            return torch.add(
                h, torch.cat([source.normal(*h.shape[1:]) for source in self.sources]), alpha=std
            )
        noise, at = torch.empty(h.shape), 0
        for source in self.sources:
            rows = source.rows
            n, first = (rows.stop - rows.start) * size, rows.start * size
            a, b = (
                start + first
                for start in torch.randint(
                    STORE - source.total * size, (2,), generator=source.generator
                ).tolist()
            )
            torch.add(
                store()[0, a : a + n], store()[1, b : b + n], out=noise.flatten()[at : at + n]
            )
            at += n
        return torch.add(h, noise, alpha=std)

    def drop(self, h: Tensor, rate: float) -> Tensor:
        """h with each element dropped with this probability and the others scaled up."""
        parts = [source.uniform(*h.shape[1:]) for source in self.sources]
        kept = (parts[0] if len(parts) == 1 else torch.cat(parts)) >= rate
        return h * kept.to(h.dtype).mul_(1 / (1 - rate))


def norm_of(features: int, virtual: int) -> nn.Module:
    """Batch normalization with a bias and no gain, as the authors had it, or virtual batch
    normalization."""
    return (
        VirtualBatchNorm(features, virtual)
        if virtual
        else BatchNorm(features, gain=False, eps=1e-6)
    )


class DenseGenerator(nn.Module):
    """Latents (N, latent_dim) to pixels in [0, 1]: two hidden layers of softplus units.

    Arguments:
        latent_dim: Length of a latent.
        hidden: Units of each hidden layer.
        shape: Shape of an example.
        virtual: Examples in the reference batch of virtual batch normalization; 0 for batch
            normalization.
    """

    def __init__(
        self, latent_dim: int, hidden: int, shape: tuple[int, ...], virtual: int = 0
    ) -> None:
        super().__init__()
        self.shape = shape
        size = torch.Size(shape).numel()
        self.hidden = nn.ModuleList(
            [nn.Linear(latent_dim, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)]
        )
        self.norm = nn.ModuleList(norm_of(hidden, virtual) for _ in self.hidden)
        self.last = WeightNorm(nn.Linear(hidden, size), gain=True, start=0)
        for layer in (*self.hidden, self.last.layer):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, z: Tensor) -> Tensor:
        h = z
        for layer, norm in zip(self.hidden, self.norm, strict=True):
            h = F.softplus(norm(layer(h)))
        return torch.sigmoid(self.last(h).float()).view(-1, *self.shape)


class DenseDiscriminator(nn.Module):
    """Pixels to features (N, 250) and logits (N, K): five hidden layers, Gaussian noise before
    every layer.

    Arguments:
        size: Numbers in an example.
        widths: Units of the hidden layers.
        classes: Logits.
        minibatch: Kernels of minibatch discrimination; 0 for none.
        noise: Standard deviations of the noise at the input and inside.
        follow: Share of each real batch, the first of several parts, in minibatch discrimination's
            unit of distance.
    """

    def __init__(
        self,
        size: int,
        widths: Sequence[int],
        classes: int,
        minibatch: int = 0,
        noise: tuple[float, float] = (0.3, 0.5),
        follow: float = 0.0,
    ) -> None:
        super().__init__()
        self.noise = noise
        before = [size, *widths]
        self.hidden = nn.ModuleList(
            WeightNorm(nn.Linear(a, b), weight_std=0.1) for a, b in pairwise(before)
        )
        self.minibatch = (
            MinibatchDiscrimination(before[-1], minibatch, follow=follow) if minibatch else None
        )
        self.last = WeightNorm(
            nn.Linear(before[-1] + minibatch, classes), gain=True, weight_std=0.1
        )

    def layers(self) -> list[WeightNorm]:
        """Every layer with normalized weights."""
        return [part for part in self.modules() if isinstance(part, WeightNorm)]

    def weights(self) -> list[Tensor]:
        """The normalized weights, for passes that share them."""
        return [layer.weight() for layer in self.layers()]

    def forward(
        self,
        x: Tensor,
        jitter: Jitter | None = None,
        parts: Sequence[int] = (),
        weights: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        h = x.flatten(1)
        w: Sequence[Tensor | None] = weights or [None] * (len(self.hidden) + 1)
        for i, layer in enumerate(self.hidden):
            h = F.relu(layer(jitter.add(h, self.noise[i > 0]) if jitter else h, w[i]))
        features = h
        if jitter:
            h = jitter.add(h, self.noise[1])
        if self.minibatch is not None:
            h = self.minibatch.per_sub_batch(h, parts)
        return features.float(), self.last(h, w[-1]).float()


class ConvGenerator(nn.Module):
    """Latents to images in [-1, 1]: a dense layer to 4x4 positions and 5x5 transposed convolutions,
    each doubling the side.

    Arguments:
        latent_dim: Length of a latent.
        width: Channels of the first layer, halved at each step.
        shape: Shape of an image of 28 or 32 pixels; 28 is the middle of 32.
        virtual: Examples in the reference batch of virtual batch normalization; 0 for batch
            normalization.
    """

    def __init__(
        self, latent_dim: int, width: int, shape: tuple[int, ...], virtual: int = 0
    ) -> None:
        super().__init__()
        channels, crop = [width, width // 2, width // 4], 4 if shape[1] == 28 else 2
        self.dense = nn.Linear(latent_dim, width * 16, bias=False)
        self.dense_norm = norm_of(width * 16, virtual)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 5, 2, 2, 1, bias=False) for a, b in pairwise(channels)
        )
        self.norm = nn.ModuleList(norm_of(c, virtual) for c in channels[1:])
        self.last = WeightNorm(
            nn.ConvTranspose2d(channels[-1], shape[0], 5, 2, crop, 1), gain=True, start=0.1
        )
        for layer in (self.dense, *self.up):
            nn.init.normal_(layer.weight, 0.0, 0.05)

    def forward(self, z: Tensor) -> Tensor:
        h = F.relu(self.dense_norm(self.dense(z)))
        h = h.unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)  # in the order of channels-last memory
        for layer, norm in zip(self.up, self.norm, strict=True):
            h = F.relu(norm(layer(h)))
        return torch.tanh(self.last(h).float())


class ConvDiscriminator(nn.Module):
    """Image to features and logits: the nine-layer network, 3x3 convolutions with weight
    normalization and leaky ReLU.

    Arguments:
        shape: Shape of an image of 28 or 32 pixels.
        widths: Channels of the first three and of the other layers.
        classes: Logits.
        minibatch: Kernels of minibatch discrimination; 0 for none.
        drop: Drop pixels at the input, as the authors did for feature matching, instead of adding
            Gaussian noise of 0.2.
        follow: Share of each real batch, the first of several parts, in minibatch discrimination's
            unit of distance.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        widths: tuple[int, int],
        classes: int,
        minibatch: int = 0,
        drop: bool = True,
        follow: float = 0.0,
    ) -> None:
        super().__init__()
        self.drop = drop
        a, b = widths
        pad = 3 if shape[1] == 28 else 1
        table = [
            (shape[0], a, 3, 1, pad),
            (a, a, 3, 1, 1),
            (a, a, 3, 2, 1),
            (a, b, 3, 1, 1),
            (b, b, 3, 1, 1),
            (b, b, 3, 2, 1),
        ]
        table += [(b, b, 3, 1, 0), (b, b, 1, 1, 0), (b, b, 1, 1, 0)]
        self.hidden = nn.ModuleList(WeightNorm(nn.Conv2d(i, o, k, s, p)) for i, o, k, s, p in table)
        self.minibatch = MinibatchDiscrimination(b, minibatch, follow=follow) if minibatch else None
        self.last = WeightNorm(nn.Linear(b + minibatch, classes), gain=True, start=0.1)

    def layers(self) -> list[WeightNorm]:
        """Every layer with normalized weights."""
        return [part for part in self.modules() if isinstance(part, WeightNorm)]

    def weights(self) -> list[Tensor]:
        """The normalized weights, for passes that share them."""
        return [layer.weight() for layer in self.layers()]

    def forward(
        self,
        x: Tensor,
        jitter: Jitter | None = None,
        parts: Sequence[int] = (),
        weights: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        h = x
        w: Sequence[Tensor | None] = weights or [None] * (len(self.hidden) + 1)
        if jitter:
            h = jitter.drop(h, 0.2) if self.drop else jitter.add(h, 0.2)
        for i, layer in enumerate(self.hidden):
            h = F.leaky_relu(layer(h, w[i]), 0.2)
            if jitter and i in (2, 5):
                h = jitter.drop(h, 0.5)
        features = h = h.mean([2, 3], dtype=torch.promote_types(h.dtype, torch.float32))
        if self.minibatch is not None:
            h = self.minibatch.per_sub_batch(h, parts)
        return features, self.last(h, w[-1]).float()


def build_generator(
    dense: bool, latent_dim: int, width: int, shape: tuple[int, ...], virtual: int
) -> DenseGenerator | ConvGenerator:
    """The dense or the convolutional generator; width 0 is the authors'."""
    if dense:
        return DenseGenerator(latent_dim, width or 500, shape, virtual)
    return ConvGenerator(latent_dim, width or 512, shape, virtual)


def build_discriminator(
    dense: bool,
    shape: tuple[int, ...],
    width: int,
    classes: int,
    minibatch: int,
    drop: bool,
    follow: float,
) -> DenseDiscriminator | ConvDiscriminator:
    """The dense or the convolutional discriminator; width 0 is the authors', and later layers keep
    their proportion to the first. `drop` is for the convolutional one."""
    if dense:
        w = width or 1000
        widths = (w, w // 2, w // 4, w // 4, w // 4)
        return DenseDiscriminator(
            torch.Size(shape).numel(), widths, classes, minibatch, follow=follow
        )
    w = width or 96
    return ConvDiscriminator(shape, (w, 2 * w), classes, minibatch, drop, follow)
