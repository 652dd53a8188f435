r"""Networks of AIR: one that infers object after object, a decoder of patches, and a baseline.

A step of the inference network, for an image x and latents $z_{t-1}$ of the step before:

$$ h_t = \mathrm{LSTM}([e(x), z_{t-1}], h_{t-1}), \qquad (p_t, \text{where}_t) \sim f(h_t), \qquad
   \text{what}_t \sim g(\mathrm{crop}(x, \text{where}_t)) . $$

*Where* is three numbers with the prior N(0, I): $s = \bar s\, e^{\sigma_s z_1}$ is the side of the
window as a share of the canvas's, and $c = \sigma_c (z_2, z_3)$ its center. The exponential keeps
s above 0. *What* is a vector with the prior N(0, I).

Step t is computed as if the steps before had found objects, so that all numbers of objects share
it. It does not see $p_{t-1}$: it counts only where step t - 1 found one.

Source: Eslami et al., "Attend, Infer, Repeat", 2016, section 2.1 and figure 3. The embedding e of
the image is ours: without it the LSTM's weights on 2,500 pixels are nine tenths of the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..nn.lstm_cell import LSTMCell
from ..nn.precision import at_least_float32
from .spatial_transformer import crop, place

if TYPE_CHECKING:
    from .air import AIRConfig

BATCH = 250  # images at a time in inference
WHERE = 3  # scale, and center across and down


@dataclass(frozen=True)
class Inferred:
    """What the inference network says of m images, in N steps of L = 3 + what latents.

    Arguments:
        logits: Of a further object, (m, N).
        mean: Means of the latents, where before what, (m, N, L).
        log_std: Logarithms of their standard deviations, (m, N, L).
        z: The latents that were drawn, (m, N, L).
    """

    logits: Float[Tensor, "m N"]
    mean: Float[Tensor, "m N L"]
    log_std: Float[Tensor, "m N L"]
    z: Float[Tensor, "m N L"]


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two layers with rectified units between."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class AIRNetworks(nn.Module):
    """Inference network and decoder.

    Arguments:
        config: The model's settings.
        shape: Channels, height and width of images.
    """

    def __init__(self, config: AIRConfig, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.config, self.shape = config, shape
        c, latents = config, WHERE + config.latent_dim
        self.patch = (shape[0], c.window, c.window)
        pixels = math.prod(self.patch)
        self.embedding = nn.Sequential(nn.Linear(math.prod(shape), c.hidden_dim), nn.ReLU())
        self.cell = LSTMCell(c.hidden_dim + latents, c.hidden_dim)
        self.first = nn.Parameter(torch.zeros(latents))
        self.heads = perceptron(c.hidden_dim, c.layer_dim, 1 + 2 * WHERE)
        self.encoder = perceptron(pixels, c.layer_dim, 2 * c.latent_dim)
        self.decoder = perceptron(c.latent_dim, c.layer_dim, pixels)
        heads, decoder = self.heads[2].bias, self.decoder[2].bias
        assert isinstance(heads, Tensor) and isinstance(decoder, Tensor)
        with torch.no_grad():
            heads[0] = c.presence_bias
            decoder += c.decoder_bias

    def forward(
        self, x: Float[Tensor, "n channels height width"], eps: Float[Tensor, "m N L"]
    ) -> Inferred:
        """Infers the latents of all steps.

        Arguments:
            x: Images with pixels from 0 to 1.
            eps: Standard normal numbers that the latents are made of; m is a multiple of n, and
                the latents of an image follow each other.
        """
        copies = len(eps) // max(1, len(x))
        h = self.embedding(x.flatten(1)).repeat_interleave(copies, 0)
        x = x.repeat_interleave(copies, 0)
        z, state = self.first.expand(len(eps), -1), self.cell.start(len(eps))
        steps = []
        for noise in eps.unbind(1):
            state = self.cell(torch.cat([h, z.to(h)], 1), state)
            out = at_least_float32(self.heads(state.h))
            logit, mean, log_std = out.split([1, WHERE, WHERE], 1)
            where = mean + log_std.exp() * noise[:, :WHERE]
            seen = crop(x, *self.window(where), self.config.window)
            what = at_least_float32(self.encoder(seen.flatten(1))).chunk(2, 1)
            mean, log_std = torch.cat([mean, what[0]], 1), torch.cat([log_std, what[1]], 1)
            z = mean + log_std.exp() * noise
            steps.append((logit[:, 0], mean, log_std, z))
        return Inferred(*(torch.stack(parts, 1) for parts in zip(*steps, strict=True)))

    def window(self, where: Float[Tensor, "*m 3"]) -> tuple[Tensor, Tensor]:
        """Scales (*m) and centers (*m, 2) of windows."""
        c = self.config
        # Limited, since positions in a window that vanishes or overflows are not finite.
        scale = c.scale * (c.scale_std * where[..., 0]).clamp(-3, 3).exp()
        return scale, c.shift_std * where[..., 1:]

    def objects(self, z: Float[Tensor, "*m L"]) -> Float[Tensor, "*m channels height width"]:
        """Each object on a canvas of its own, with pixels from 0 to 1."""
        flat = z.flatten(0, -2)
        patches = torch.sigmoid(at_least_float32(self.decoder(flat[:, WHERE:])))
        windows = self.window(flat[:, :WHERE])
        height, width = self.shape[1:]
        canvas = place(patches.view(-1, *self.patch), *windows, (height, width))
        return canvas.view(*z.shape[:-1], *self.shape)


class Baseline(nn.Module):
    """Estimates the returns of NVIL: a recurrent network that reads an image and the latents before
    each step.

    It estimates nats a pixel, numbers near 1, and its outputs are nats.

    Arguments:
        config: The model's settings.
        shape: Channels, height and width of images.
    """

    def __init__(self, config: AIRConfig, shape: tuple[int, int, int]) -> None:
        super().__init__()
        c, self.pixels = config, math.prod(shape)
        self.embedding = nn.Sequential(nn.Linear(self.pixels, c.hidden_dim), nn.ReLU())
        self.cell = LSTMCell(c.hidden_dim + WHERE + c.latent_dim, c.hidden_dim)
        self.out = nn.Linear(c.hidden_dim, 1)

    def forward(
        self, x: Float[Tensor, "m channels height width"], z: Float[Tensor, "m N L"]
    ) -> Float[Tensor, "m N"]:
        """Estimates for every step; no gradient reaches x or z."""
        h, state, returns = self.embedding(x.detach().flatten(1)), self.cell.start(len(x)), []
        before = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], 1).detach()
        for latents in before.unbind(1):
            state = self.cell(torch.cat([h, latents.to(h)], 1), state)
            returns.append(at_least_float32(self.out(state.h))[:, 0])
        return self.pixels * torch.stack(returns, 1)


def coded(counts: Tensor, z: Float[Tensor, "n N L"]) -> Float[Tensor, "n code"]:
    """Codes of images with these numbers of objects and these latents."""
    presence = (torch.arange(z.shape[1], device=z.device) < counts[:, None]).to(z)
    return torch.cat([presence, z[..., :WHERE].flatten(1), z[..., WHERE:].flatten(1)], 1)


def split(code: Float[Tensor, "n code"], steps: int) -> tuple[Tensor, Float[Tensor, "n N L"]]:
    """Presence (n, N) and latents of codes."""
    presence, where, what = code.tensor_split([steps, steps * (1 + WHERE)], 1)
    where, what = where.unflatten(1, (steps, WHERE)), what.unflatten(1, (steps, -1))
    return presence, torch.cat([where, what], 2)
