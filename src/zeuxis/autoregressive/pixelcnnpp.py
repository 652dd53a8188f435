r"""PixelCNN++: a pixel is a mixture of discretized logistics, from a network with three scales.

PixelCNN gives each color a softmax over 256 unrelated levels. This model gives a pixel one mixture
of discretized logistics (`zeuxis.distributions.logistic_mixture`), which has few parameters and for
which 128 is near 129. The colors of a pixel depend on each other only through that mixture, so no
channels are split by color. The network has two streams, and shortcuts from its way down to its way
up (`pixelcnnpp_nets`; sampling goes pixel by pixel, `pixelcnnpp_sampling`).

Training: dropout of half of each block's inner channels, without which the model overfits; Adam
with $\beta = (0.95, 0.9995)$; evaluation with the averaged weights. Weight normalization is
initialized from data.

Source: Salimans, Karpathy, Chen and Kingma, "PixelCNN++: Improving the PixelCNN with Discretized
Logistic Mixture Likelihood and Other Modifications", 2017, and its released code. Departures: the
masses of the 256 levels are exact (see `zeuxis.distributions.logistic_mixture`); samples are whole
levels, where the code continues with unrounded values; the step size is not multiplied by 1 - 5e-6
at each step.
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
from ..nn.masked import Position
from ..nn.precision import at_least_float32
from ..noise import Noise
from ..ranges import BaseConfig, Depth, FractionBelowOne, Range, Rate, Size
from .pixel_model import PixelModel
from .pixelcnnpp_nets import Network
from .pixelcnnpp_sampling import NetworkStream
from .sampling import Autoregression, unpacked


@dataclass(frozen=True)
class PixelCNNPPConfig(BaseConfig):
    """Settings of a PixelCNN++; the defaults are the paper's for CIFAR-10."""

    channels: Size = 160
    """Channels of each stream."""
    blocks: Depth = 5
    """Residual blocks per scale on the way down."""
    scales: Annotated[int, Range(1, 14)] = 3
    """Number of scales, each half the one before."""
    mixtures: Size = 10
    """Components of the mixture."""
    dropout: FractionBelowOne = 0.5
    """Dropout rate of the inner channels."""
    levels: Annotated[int, Range(2, 256)] = 256
    """Levels of a color, evenly spaced from 0 to 255."""
    conditional: bool = False
    """Whether the network takes the class."""
    lr: Rate = 1e-3
    """Step size."""


class PixelCNNPP(PixelModel):
    """Two streams and a mixture.

    Example:
        >>> from zeuxis.data.dataset import Spec
        >>> model = PixelCNNPP(
        ...     PixelCNNPPConfig(channels=4, blocks=1, scales=2, mixtures=2),
        ...     Spec("tiny", (3, 4, 4)),
        ... ).eval()
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
        """Mixtures of all pixels, (n, h, w, ...)."""
        out = at_least_float32(self.network(self.scaled(v), y, noise if self.training else None))
        return Mixture.of(out.permute(0, 2, 3, 1), self.spec.shape[0], self.levels)

    def log_likelihood(
        self, v: Int[Tensor, "n c h w"], y: Tensor | None, noise: Noise | None = None
    ) -> Float[Tensor, "n c h w"]:
        return self.mixture(v, y, noise).log_mass(v.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def log_conditionals(
        self, v: Int[Tensor, "n c h w"], y: Tensor | None
    ) -> Float[Tensor, "n c h w levels"]:
        mixture, v = self.mixture(v, y), v.permute(0, 2, 3, 1)
        weights, log_p = mixture.log_weights, []
        for color in range(v.shape[-1]):
            table = mixture.table(color, mixture.scaled(v))
            log_p.append(torch.logsumexp(weights[..., None] + table, -2))
            weights = revised(weights, table, v[..., color])
        return torch.stack(log_p, 1)

    def autoregress(self, n: int, y: Int[Tensor, "n"] | None = None) -> Autoregression:
        """Yields log-probabilities (n, levels) of the next value and is sent its levels (n,), or
        `Chosen`."""
        channels, height, width = self.spec.shape
        device, dtype = self.device, next(self.parameters()).dtype
        with torch.no_grad():
            stream = NetworkStream(self.network, n, width, self.classes(y, n, required=True))
        for r in range(height):
            for c in range(width):
                with torch.no_grad():  # not around the yield: no_grad would leak into the caller
                    out = at_least_float32(stream.predict(Position(r, c)))
                    mixture = Mixture.of(out, channels, self.levels)
                    weights = mixture.log_weights
                    x = torch.zeros(n, channels, dtype=mixture.means.dtype, device=device)
                for k in range(channels):
                    with torch.no_grad():
                        table = mixture.table(k, x)
                        log_p = torch.logsumexp(weights[..., None] + table, 1)
                    levels, rows = unpacked((yield log_p))
                    levels = levels.to(device)
                    with torch.no_grad():
                        weights, x[:, k] = revised(weights, table, levels), mixture.scaled(levels)
                        if rows is not None:
                            weights, x, mixture = weights[rows], x[rows], mixture.select(rows)
                            stream.select(rows.to(device))
                with torch.no_grad():
                    stream.observe(x.to(dtype), Position(r, c))


def revised(weights: Tensor, table: Tensor, v: Tensor) -> Tensor:
    """Log weights of the components after a color is observed (Bayes' rule)."""
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
