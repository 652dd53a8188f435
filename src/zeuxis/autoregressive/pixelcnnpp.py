r"""PixelCNN++: whole pixels at once by a mixture of logistics, and a network that looks at three
scales.

Where PixelCNN gives each color a softmax over 256 unrelated values, this model gives a pixel one
mixture of discretized logistics (`zeuxis.distributions.logistic_mixture`), whose numbers are few
and know that 128 is near 129. The colors of a pixel depend on each other only through that mixture,
so that no maps need to be split by color. The network has two streams with short cuts between its
ways down and up (`pixelcnnpp_nets`).

Training: dropout of half of each block's inner maps, without which the model overfits; Adam with
$\beta = (0.95, 0.9995)$; the averaged weights are the ones that count. Normalized weights start
from data.

Source: Salimans, Karpathy, Chen and Kingma, "PixelCNN++: Improving the PixelCNN with Discretized
Logistic Mixture Likelihood and Other Modifications", 2017, and its released code. Departures: the
masses of the 256 values are exact (see `zeuxis.distributions.logistic_mixture`) and what is sampled
are whole levels, where the code goes on with unrounded numbers; the step size does not fall by 5e-6
of itself a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.dataset import Dataset, Spec
from ..distributions.logistic_mixture import Mixture, parameters_per_pixel
from ..errors import UsageError
from ..model import Player
from ..nn.data_dependent_init import data_dependent_init
from ..nn.masked import At
from ..noise import Noise
from ..ranges import BaseConfig, Depth, Part, Range, Rate, Size
from .pixel_model import PixelModel, wide
from .pixelcnnpp_nets import Network
from .sampling import Scan


@dataclass(frozen=True)
class PixelCNNPPConfig(BaseConfig):
    """Settings of a PixelCNN++; the defaults are the paper's for CIFAR-10."""

    channels: Size = 160
    """Maps of each stream."""
    blocks: Depth = 5
    """Residual blocks a scale on the way down."""
    scales: Annotated[int, Range(1, 14)] = 3
    """Scales: the image's own, its half, its quarter."""
    mixtures: Size = 10
    """Components of the mixture."""
    dropout: Part = 0.5
    """Share of inner maps dropped while training."""
    levels: Annotated[int, Range(2, 256)] = 256
    """Values of a color, evenly spread over 0 to 255."""
    conditional: bool = False
    """Whether the network knows each image's class."""
    lr: Rate = 1e-3
    """Step size."""


class PixelCNNPP(PixelModel):
    """Two streams and a mixture.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> model = PixelCNNPP(PixelCNNPPConfig(channels=4, blocks=1, scales=2, mixtures=2), Spec("tiny", (3, 4, 4))).eval()
        >>> x = model.sample(2, generator=torch.Generator().manual_seed(0))
        >>> x.shape, model.log_prob(x).nats.shape, model.conditionals(x).shape
        (torch.Size([2, 3, 4, 4]), torch.Size([2]), torch.Size([2, 3, 4, 4, 256]))
    """

    name: ClassVar[str] = "pixelcnnpp"
    Config: ClassVar[type] = PixelCNNPPConfig
    paper: ClassVar[str] = "Salimans, Karpathy, Chen and Kingma: PixelCNN++, 2017"
    portion: ClassVar[int] = 4

    @classmethod
    def tiny(cls) -> tuple[PixelCNNPPConfig, Spec]:
        return PixelCNNPPConfig(channels=4, blocks=1, scales=2, mixtures=2), Spec(
            "tiny", (1, 8, 8), 10
        )

    def __init__(self, config: PixelCNNPPConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        c = config
        check(c, spec)
        outputs = parameters_per_pixel(c.mixtures, spec.shape[0])
        classes = spec.classes if c.conditional else 0
        self.network = Network(
            spec.shape[0], c.channels, c.blocks, c.scales, outputs, c.dropout, classes
        )

    def players(self) -> dict[str, Player]:
        return {"model": Player(self, self.config.lr, betas=(0.95, 0.9995))}

    @torch.no_grad()
    def initialize_from_data(self, data: Dataset, seed: int) -> None:
        """Sets the lengths and biases of normalized weights from 16 images."""
        rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:16]
        x, y = data.batch(rows)
        v = self.observed(x.to(self.device), Noise(seed, -1, slice(0, len(x)), len(x), self.device))
        with data_dependent_init(self):
            self.network(self.scaled(v), self.classes(y, len(x)))

    def mixture(self, v: Tensor, y: Tensor | None, noise: Noise | None = None) -> Mixture:
        """The mixtures of all pixels, (n, h, w, ...)."""
        out = wide(self.network(self.scaled(v), y, noise if self.training else None))
        return Mixture.of(out.permute(0, 2, 3, 1), self.spec.shape[0], self.levels)

    def log_likelihood(
        self, v: Int[Tensor, "n c h w"], y: Tensor | None, noise: Noise | None = None
    ) -> Float[Tensor, "n c h w"]:
        return self.mixture(v, y, noise).log_mass(v.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def laws(self, v: Int[Tensor, "n c h w"], y: Tensor | None) -> Float[Tensor, "n c h w levels"]:
        mixture, v = self.mixture(v, y), v.permute(0, 2, 3, 1)
        weights, found = mixture.log_weights, []
        for color in range(v.shape[-1]):
            table = mixture.table(color, mixture.scaled(v))
            found.append(torch.logsumexp(weights[..., None] + table, -2))
            weights = revised(weights, table, v[..., color])
        return torch.stack(found, 1)

    def scan(self, n: int, y: Int[Tensor, "n"] | None = None) -> Scan:
        """Yields log-probabilities (n, levels) of the next number, and is sent its levels (n,); see
        `CanScan`."""
        channels, height, width = self.spec.shape
        device, dtype = self.device, next(self.parameters()).dtype
        with torch.no_grad():
            stream = self.network.stream(n, width, self.classes(y, n, required=True))
        for r in range(height):
            for c in range(width):
                with (
                    torch.no_grad()
                ):  # not around the loop: the caller's own mode must hold while this waits
                    mixture = Mixture.of(wide(stream.read(At(r, c))), channels, self.levels)
                    weights, x = (
                        mixture.log_weights,
                        torch.zeros(n, channels, dtype=mixture.means.dtype, device=device),
                    )
                for k in range(channels):
                    with torch.no_grad():
                        table = mixture.table(k, x)
                        log_p = torch.logsumexp(weights[..., None] + table, 1)
                    levels = (yield log_p).to(device)
                    with torch.no_grad():
                        weights, x[:, k] = revised(weights, table, levels), mixture.scaled(levels)
                with torch.no_grad():
                    stream.put(x.to(dtype), At(r, c))


def revised(weights: Tensor, table: Tensor, v: Tensor) -> Tensor:
    """What the components weigh after a color is known: each times the mass it gave that color."""
    mass = table.gather(-1, v[..., None, None].expand(*table.shape[:-1], 1))[..., 0]
    return (weights + mass).log_softmax(-1)


def check(c: PixelCNNPPConfig, spec: Spec) -> None:
    """Refuses settings that cannot work."""
    if any(side % 2 ** (c.scales - 1) for side in spec.shape[1:]):
        raise UsageError(
            f"Images of {spec.shape[1]}x{spec.shape[2]} pixels cannot be halved "
            f"{c.scales - 1} times: "
            f"choose a --size that {2 ** (c.scales - 1)} divides, or fewer --model.scales."
        )
