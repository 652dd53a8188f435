r"""The 128-pixel networks of Improved GAN: a generator with fresh noise at every resolution, and a
discriminator that sees real and generated images side by side.

Real and generated images go through the discriminator together, the real ones first. Two of its
layers see which is which: a batch normalization takes the statistics of half of the channels from
the real images and of the other half from the generated ones, and minibatch discrimination tells
each image how close it is to the real ones and to the generated ones.

Source: Salimans et al., "Improved Techniques for Training GANs", 2016, section 6.4, and the
released code. Departures: virtual batch normalization has the paper's form, not that of the code's
first year; biases that a normalization or a difference cancels are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..distributed import SumOverProcesses, gather_rows, is_distributed
from ..nn.data_dependent_init import normal_
from ..nn.virtual_batch_norm import VirtualBatchNorm

# The generator's channels, and the noise channels beside them, from 4x4 to 128x128.
UP = ((512, 64), (256, 64), (128, 32), (64, 16), (64, 8), (64, 8))
# The discriminator's channels and strides, from 128x128 to 4x4.
DOWN = ((64, 2), (128, 2), (256, 2), (256, 1), (256, 1), (512, 2), (512, 2))
FreshNoise = Callable[[int, int, int], Tensor]
"""Draws noise of a shape (channels, height, width) for a whole batch."""


def scaled(n: int, width: float) -> int:
    """A number of channels or units relative to the authors' networks, even and at least 2."""
    return max(2, 2 * round(n * width / 2))


class Generator128(nn.Module):
    """Code and fresh noise to an image in [-1, 1].

    Arguments:
        latent_dim: Numbers in a code.
        reference: Codes in the reference batch of virtual batch normalization.
        width: Channels relative to the authors' network.
        image_channels: Channels of an image.
    """

    def __init__(self, latent_dim: int, reference: int, width: float, image_channels: int) -> None:
        super().__init__()
        channels = [(scaled(a, width), scaled(b, width)) for a, b in UP]
        self.noise_channels = [b for _, b in channels]
        self.dense = nn.Linear(latent_dim, channels[0][0] * 16, bias=False)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(sum(a), b[0], 5, 2, 2, 1, bias=False) for a, b in pairwise(channels)
        )
        self.norm = nn.ModuleList(VirtualBatchNorm(a, reference) for a, _ in channels)
        self.last = nn.ConvTranspose2d(sum(channels[-1]), image_channels, 5, 1, 2)
        normal_(self)
        nn.init.normal_(self.last.weight, 0.0, 0.075)
        nn.init.constant_(self.last.bias, -0.45)  # type: ignore[arg-type]

    def forward(self, z: Tensor, fresh: FreshNoise) -> Tensor:
        """Images for codes, the reference batch in front; `fresh(channels, height, width)` gives
        noise for all of them."""
        h = self.dense(z).unflatten(1, (4, 4, -1))
        h = h.permute(0, 3, 1, 2)  # in the order of channels-last memory
        layers = zip(self.norm, self.noise_channels, [*self.up, self.last], strict=True)
        for norm, channels, layer in layers:
            h = F.relu(norm(h))
            h = layer(torch.cat([h, fresh(channels, *h.shape[2:]).to(h.dtype)], 1))
        return torch.tanh(h.float())


class CrossBatchNorm(nn.Module):
    """Normalizes the first half of the features by the real examples' statistics, the second half
    by the generated ones'.

    Arguments:
        features: Channels or units.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.real_features = features // 2
        self.gain = nn.Parameter(torch.ones(features).normal_(1, 0.02))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))
        self.keep = False

    def forward(
        self, x: Float[Tensor, "batch features *positions"], real: int
    ) -> Float[Tensor, "batch features *positions"]:
        """The first `real` examples of x are real, the rest generated; in eval mode stored
        statistics are used."""
        axes, shape = [0, *range(2, x.ndim)], [1, -1] + [1] * (x.ndim - 2)
        exact = x.float()
        if self.training or self.keep:
            parts = [exact[:real, : self.real_features], exact[real:, self.real_features :]]
            average = over_processes if is_distributed() and not self.keep else torch.mean
            means = [average(part, axes) for part in parts]
            centered = [part - mean.view(shape) for part, mean in zip(parts, means, strict=True)]
            mean = torch.cat(means)
            variance = torch.cat([average(part.square(), axes) for part in centered])
            if self.keep:
                self.mean.copy_(mean)
                self.variance.copy_(variance)
        else:
            mean, variance = self.mean, self.variance
        scale = torch.rsqrt(variance + 1e-5) * self.gain
        return ((exact - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)).to(x.dtype)


def over_processes(x: Tensor, axes: list[int]) -> Tensor:
    """The mean over these axes and over all processes, which hold equal shares."""
    return SumOverProcesses.apply(x.mean(axes)) / torch.distributed.get_world_size()


class Closeness(nn.Module):
    r"""Minibatch discrimination with one sum over the real and one over the generated examples,
    (N, 2 kernels).

    For an example i, a kernel b and the set S of real (or of generated) examples of the batch,

    $$ o_b(i) = \frac{1}{2 |S|^2 - |S|} \sum_{j \in S,\, j \ne i}
       \exp(-\lVert M_{i,b} - M_{j,b} \rVert_1) . $$

    The factor is the released code's, which counts the pairs that the whole batch compares; it
    makes the features small.

    Arguments:
        features: Length of the feature vectors.
        kernels: Closeness features of each of the two sets.
        dimensions: Dimension of the space in which each kernel measures distance.
    """

    def __init__(self, features: int, kernels: int, dimensions: int) -> None:
        super().__init__()
        self.kernels = kernels
        self.project = nn.Linear(features, kernels * dimensions, bias=False)

    def forward(self, f: Float[Tensor, "n features"], real: int) -> Float[Tensor, "n closeness"]:
        with torch.autocast(f.device.type, enabled=False):
            m = self.project(f.float()).unflatten(1, (self.kernels, -1))
            sums = []
            for start, part in ((0, m[:real]), (real, m[real:])):
                everyone, own = part, slice(0, len(part))
                if is_distributed() and self.training:
                    everyone, own = gather_rows(part)
                distance = torch.cdist(
                    m.transpose(0, 1).contiguous(), everyone.transpose(0, 1).contiguous(), p=1.0
                )
                itself = torch.zeros(distance.shape[1:], dtype=torch.bool, device=f.device)
                rows = torch.arange(len(part), device=f.device)
                itself[start + rows, own.start + rows] = True
                pairs = max(1, 2 * len(everyone) ** 2 - len(everyone))
                sums.append(torch.exp(-distance.masked_fill(itself, torch.inf)).sum(2).T / pairs)
        return torch.cat(sums, 1)


class Discriminator128(nn.Module):
    """Real and generated images together to features (N, 2560) and K + 1 logits, the last for
    "generated".

    Arguments:
        kernels: Kernels of minibatch discrimination.
        dimensions: Dimension of the space in which each measures distance.
        width: Channels and units relative to the authors' network.
        image_channels: Channels of an image.
        classes: K.
    """

    def __init__(
        self, kernels: int, dimensions: int, width: float, image_channels: int, classes: int
    ) -> None:
        super().__init__()
        channels = [image_channels, *(scaled(c, width) for c, _ in DOWN)]
        strides = [stride for _, stride in DOWN]
        self.conv = nn.ModuleList(
            nn.Conv2d(a, b, 3, s, 1, bias=False)
            for (a, b), s in zip(pairwise(channels), strides, strict=True)
        )
        self.norm = nn.ModuleList(CrossBatchNorm(c) for c in channels[1:])
        units = scaled(2560, width)
        self.dense = nn.Linear(channels[-1] * 16, units, bias=False)
        self.dense_norm = CrossBatchNorm(units)
        self.closeness = Closeness(units, kernels, dimensions)
        self.last = nn.Linear(units + 2 * kernels, classes + 1)
        normal_(self)

    def forward(self, x: Tensor, real: int) -> tuple[Tensor, Tensor]:
        """The first `real` images of x are real, the rest generated."""
        h = x
        for layer, norm in zip(self.conv, self.norm, strict=True):
            h = F.leaky_relu(norm(layer(h), real), 0.2)
        h = F.leaky_relu(self.dense_norm(self.dense(h.flatten(1)), real), 0.2)
        return h.float(), self.last(torch.cat([h, self.closeness(h, real).to(h.dtype)], 1)).float()
