r"""Weight normalization with data-dependent initialization.

A layer's weight is split into a direction and a length per output unit,

$$ w = g \, \frac{\theta}{\lVert\theta\rVert} , $$

which speeds up gradient descent and, unlike batch normalization, keeps examples independent. A
first batch of real examples sets $g$ and the bias so that every pre-activation has mean 0 and a
chosen standard deviation $s$ on it: with $t = \theta x / \lVert\theta\rVert$, $g = s /
\sigma(t)$ and $b = -\mu(t)\, s / \sigma(t)$. A unit without variance (a pixel that is always black)
keeps its length.

An autoregressive layer has a mask, which is applied to the direction before normalization, so
masked weights do not count in its length.

Source: Salimans and Kingma, "Weight Normalization", 2016; Salimans et al., "Improved Techniques for
Training GANs", 2016, released code.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .transposed_conv import transposed


class WeightNorm(nn.Module):
    """A dense or convolutional layer with normalized weights.

    Arguments:
        layer: `nn.Linear`, `nn.Conv2d` or `nn.ConvTranspose2d`, with a bias; its weight becomes the
            direction.
        gain: Whether the length is trained; otherwise the initialization fixes it.
        start: Standard deviation of the output after the initialization; 0 skips it.
        weight_std: The direction is drawn from N(0, weight_std).
        mask: Ones and zeros in the shape of the weight, for an autoregressive layer.

    Example:
        >>> import torch
        >>> from zeuxis.nn.data_dependent_init import data_dependent_init
        >>> layer = WeightNorm(nn.Linear(5, 3))
        >>> with data_dependent_init(layer):
        ...     _ = layer(torch.randn(200, 5) * 7 + 4)
        >>> y = layer(torch.randn(2000, 5) * 7 + 4)
        >>> bool((y.mean(0).abs() < 0.3).all()), bool(((y.std(0) - 1).abs() < 0.3).all())
        (True, True)
    """

    length: Tensor
    mask: Tensor | None
    lift: Tensor | None
    frozen: Tensor | None = None

    def __init__(
        self,
        layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d,
        gain: bool = False,
        start: float = 1.0,
        weight_std: float = 0.05,
        mask: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)
        self.layer, self.start, self.initializing = layer, start, False
        self.axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        self.register_buffer("lift", None if mask is None else self.lifted(mask), persistent=False)
        nn.init.normal_(layer.weight, 0.0, weight_std)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
        length = torch.ones(layer.weight.shape[self.axis])
        if gain:
            self.length = nn.Parameter(length)
        else:
            self.register_buffer("length", length)

    def lifted(self, mask: Tensor) -> Tensor | None:
        """Directions for units without inputs, whose direction 0 has no length; None without such.

        They are removed again after normalization.
        """
        rows = mask.movedim(self.axis, 0).flatten(1)
        blind = ~rows.bool().any(1)
        shape = [-1 if i == self.axis else 1 for i in range(mask.ndim)]
        if not blind.any():
            return None
        return blind.to(mask.dtype).view(shape).expand_as(mask).clone()

    def weight(self) -> Tensor:
        """The normalized weight, shaped as the layer's."""
        if self.frozen is not None:
            return self.frozen
        theta = self.layer.weight
        if self.mask is not None:
            lift = self.lift
            theta = theta * self.mask if lift is None else torch.addcmul(lift, theta, self.mask)
        shape = [-1 if i == self.axis else 1 for i in range(theta.ndim)]
        # One kernel forwards and backwards, seven times as fast as the formula.
        w = torch._weight_norm(theta, self.length.view(shape), self.axis)
        if theta.ndim == 4 and theta.stride(1) == 1 and theta[0, 0].numel() > 1:
            # The kernel loses the memory format, which determines that of the convolution.
            w = w.to(memory_format=torch.channels_last)
        return w if self.lift is None or self.mask is None else w * self.mask

    def freeze(self) -> None:
        """Computes the weight once, for inference on the current device in the current
        precision."""
        self.frozen = self.weight().detach()

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """The layer's output.

        Arguments:
            x: The input.
            weight: The result of `weight()`, for a caller that uses it more than once.
        """
        if self.initializing and self.start:
            self.adapt(x)
        w, layer = self.weight() if weight is None else weight, self.layer
        if isinstance(layer, nn.Linear):
            return F.linear(x, w, layer.bias)
        if isinstance(layer, nn.ConvTranspose2d):
            return transposed(layer, x, w)
        return F.conv2d(x, w, layer.bias, layer.stride, layer.padding)

    @torch.no_grad()
    def adapt(self, x: Tensor) -> None:
        """Sets length and bias from the outputs for x."""
        self.length.fill_(1.0)
        bias = self.layer.bias
        assert bias is not None
        bias.zero_()
        self.initializing = False
        t = self.forward(x).float()
        self.initializing = True
        std, mean = torch.std_mean(t, [0, *range(2, t.ndim)], correction=0)
        scale = torch.where(std > 1e-6, self.start / std.clamp(min=1e-6), 1.0)
        self.length.copy_(scale)
        bias.copy_(-mean * scale)
