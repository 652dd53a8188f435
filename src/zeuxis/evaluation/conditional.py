r"""Conditional likelihoods $p(y|x)$ of hidden pixels y given seen pixels x, in nats per image.

A conditional VAE bounds $\log p(y|x)$ from below in three ways:

$$ \mathbb{E}_q \log w \le \mathbb{E}_q \log \frac1K \sum_k w_k \le \log p(y|x), \quad
   w = \frac{p(y|x, z)\, p(z|x)}{q(z|x, y)}, \qquad
   \mathbb{E}_{p(z|x)} \log \frac1K \sum_k p(y|x, z_k) \le \log p(y|x) . $$

The first is the ELBO, the second **IWAE-K**, both with latents from the recognition network. The
third is plain **Monte Carlo** with latents from the prior network, as at prediction time. Few of
these explain the hidden pixels, so it is far below the other two when K is small.

The baseline predicts each pixel by itself, and its likelihood is exact. So is that of an
autoregressive model if all hidden pixels come after the seen ones in its order: the sum of their
conditionals, $\sum_{i\,\text{hidden}} \log p(x_i | x_{<i})$.

Figures are negative log-likelihoods, as in the paper: lower is better, and a bound is too high.

Sources: Sohn, Lee and Yan, 2015, section 5.1; Burda, Grosse and Salakhutdinov, 2016 (IWAE).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from rich.table import Table
from torch import Tensor

from ..capabilities import CanAutoregress, HasConditionalELBO
from ..data.binarized import binarized
from ..data.dataset import Dataset
from ..data.inexact import exact_positions
from ..data.masks import for_images, hidden_come_last
from ..errors import DivergenceError, UsageError
from ..model import Model, require
from ..progress import track
from .likelihood import block_generator
from .likelihood_report import Figure, figure

GROUP = 20  # images whose latents share a random generator


@dataclass(frozen=True)
class Prediction:
    """Negative conditional log-likelihoods and their protocol.

    Arguments:
        nats: Each figure by name, in nats per image.
        model: Name of the model.
        data: Name of the data set.
        split: The part of it.
        images: Images evaluated.
        hidden: Hidden pixels of an image.
        k: Latents per image for IWAE and Monte Carlo.
        seed: Fixes the binarization, the choice of images and the latents.
    """

    nats: dict[str, Figure]
    model: str
    data: str
    split: str
    images: int
    hidden: int
    k: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        protocol = {key: value for key, value in vars(self).items() if key != "nats"}
        figures = {
            key: {"nats": value.mean, "error": value.error} for key, value in self.nats.items()
        }
        return figures | protocol | {"binarization": "dynamic"}

    def table(self) -> Table:
        """The figures as a table."""
        title = (
            f"-log p(hidden | seen), nats per image: {self.images:,} images of {self.data} "
            f"{self.split}, {self.hidden} hidden pixels, dynamic binarization"
        )
        table = Table("", "nats", "standard error", title=title)
        for name, value in self.nats.items():
            table.add_row(name, f"{value.mean:.2f}", f"{value.error:.2f}")
        return table


def predict_likelihoods(
    model: Model,
    data: Dataset,
    *,
    k: int = 100,
    n: int = 0,
    seed: int = 0,
    split: str = "",
    rival: Model | None = None,
) -> Prediction:
    """Evaluates conditional likelihoods of the hidden pixels of images.

    Arguments:
        model: A model of hidden pixels; evaluated in eval mode.
        data: Images; gray ones are binarized with the seed.
        k: Latents per image.
        n: Number of images, chosen by the seed; 0 for all.
        seed: Fixes all that is random.
        split: Which part of the data set `data` is, to be printed.
        rival: An autoregressive model of the same images, for its exact likelihood.

    Raises:
        UsageError: A number is out of range, or the mask does not fit the rival.
        DivergenceError: A likelihood is not finite.

    Example:
        >>> import zeuxis
        >>> from zeuxis.vae.cvae import CVAE, CVAEConfig
        >>> digits = zeuxis.load_data("mnist", split="test")
        >>> model = CVAE(CVAEConfig(hidden_dim=16, latent_dim=3), digits.spec)
        >>> result = predict_likelihoods(model, digits, n=20, k=50, split="test")
        >>> list(result.nats), result.hidden
        (['baseline', 'ELBO', 'IWAE-50', 'Monte Carlo-50'], 588)
    """
    bounded = require(model, HasConditionalELBO, "predict hidden pixels")
    if k < 1 or n < 0 or n == 1 or seed < 0:
        raise UsageError(
            "Expected at least 1 latent, 0 or at least 2 images and a seed from 0 on, got "
            f"k={k}, n={n}, seed={seed}."
        )
    if data.spec.shape != model.spec.shape:
        raise UsageError(
            f"'{data.spec.name}' has examples of shape {data.spec.shape} and the model expects "
            f"images of {model.spec.shape}."
        )
    positions = exact_positions(data, None)
    if 0 < n < len(positions):
        chosen = torch.randperm(len(positions), generator=torch.Generator().manual_seed(seed))
        positions = positions[chosen[:n].sort().values]
    if len(positions) < 2:
        raise UsageError(
            f"'{data.spec.name}' has {len(positions)} images: a mean and its error need 2 or more."
        )
    names = ["baseline", "ELBO", f"IWAE-{k}", f"Monte Carlo-{k}"]
    if rival is not None:
        check_rival(rival, model, bounded.visible)
        names.append(f"{rival.name}, exact")
        rival.eval()
    training = model.training
    model.eval()
    model.to_channels_last()
    rows = []
    try:
        with torch.no_grad():
            parts = groups(data, positions, seed)
            for index, x in track(parts, -(-len(positions) // GROUP), "predictions"):
                columns = list(bounds(bounded, x, k, block_generator(seed, index, 0)))
                if isinstance(rival, CanAutoregress):
                    columns.append(autoregressive_log_prob(rival, x, bounded.visible))
                rows.append(torch.stack([column.double().cpu() for column in columns], 1))
    finally:
        model.train(training)
    table = torch.cat(rows)
    if not table.isfinite().all():
        raise DivergenceError(
            f"The likelihood of an image of '{data.spec.name}' is not finite: take earlier weights "
            "(--weights)."
        )
    nats = {name: figure(-column) for name, column in zip(names, table.unbind(1), strict=True)}
    hidden = int((~bounded.visible).sum())
    return Prediction(nats, model.name, data.spec.name, split, len(positions), hidden, k, seed)


def groups(
    data: Dataset, positions: Tensor, seed: int
) -> Iterator[tuple[int, UInt8[Tensor, "n 1 h w"]]]:
    """The row of the first image of each group, and its binarized images."""
    for index in positions.split(GROUP):
        rows = index if data.rows is None else data.rows[index].cpu()
        yield int(rows[0]), binarized(data.batch(index)[0], rows, seed)


def bounds(
    model: HasConditionalELBO, x: UInt8[Tensor, "n 1 h w"], k: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log p(y | x) of the baseline, the ELBO, IWAE-k and Monte Carlo of k latents, each (n,)."""
    importance = model.conditional_log_weights(x, k, generator=generator)
    plain = model.conditional_log_weights(x, k, proposal="prior", generator=generator)
    elbo = model.conditional_elbo(x, generator=generator).nats
    return model.baseline_log_prob(x), elbo, log_mean(importance), log_mean(plain)


def log_mean(log_w: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """Logarithm of the mean of weights that are given by their logarithms.

    Example:
        >>> round(log_mean(torch.tensor([[1.0, 3.0]]).log()).exp().item(), 6)
        2.0
    """
    return log_w.double().logsumexp(1) - math.log(log_w.shape[1])


def autoregressive_log_prob(
    model: CanAutoregress, x: UInt8[Tensor, "n c h w"], visible: Bool[Tensor, "h w"]
) -> Float[Tensor, " n"]:
    """log p(y | x) of an autoregressive model of binary images, (n,), in nats: the sum of the
    conditionals of hidden pixels, which come last in its order."""
    conditionals = model.conditionals(x.to(model.device))
    level = (x.to(model.device) > 127).long()[..., None]
    each = conditionals.gather(-1, level)[..., 0]
    return each.masked_fill(for_images(visible, each), 0).flatten(1).sum(1)


def check_rival(rival: Model, model: Model, visible: Tensor) -> None:
    """Refuses a model whose likelihood of the hidden pixels is not known."""
    require(rival, CanAutoregress, "give exact conditional likelihoods")
    if rival.levels != 2 or rival.spec.shape != model.spec.shape:
        raise UsageError(
            f"The model '{rival.name}' has {rival.levels} levels and images of shape "
            f"{rival.spec.shape}, and '{model.name}' has 2 and {model.spec.shape}: compare models "
            "of the same binary images."
        )
    if not hidden_come_last(visible):
        raise UsageError(
            f"'{rival.name}' has exact conditionals only where all hidden pixels come last, row by "
            "row: compare with a model that sees the top half (--model.seen top-left top-right)."
        )
