r"""Log-likelihoods of images, in nats per image and bits per dimension, with their protocol.

An autoregressive model has $\log p(x)$ exactly. A model with latent variables has lower bounds. One
latent from $q(z|x)$ estimates the evidence lower bound (ELBO), which splits into **distortion** and
**rate**:

$$ \log p(x) \ge -D - R, \qquad D = -\mathbb{E}_q \log p(x|z), \quad
   R = \mathrm{KL}(q(z|x) \,\|\, p(z)) . $$

K latents give the importance-weighted bound **IWAE-K**, which rises with K in the mean and tends to
$\log p(x)$:

$$ \mathbb{E} \log \frac1K \sum_k w_k, \qquad w_k = \frac{p(x, z_k)}{q(z_k|x)} . $$

The **effective sample size** $(\sum_k w_k)^2 / \sum_k w_k^2$ of an image says how far to trust it:
near 1, a single latent dominates. A latent unit is **active** if its posterior mean varies over
images by more than 0.01. For a flow posterior, the image of its Gaussian's center stands for the
mean.

Every figure is a mean over images. Its standard error is the standard deviation over images divided
by the root of their number.

**Random latents.** Those of an image come in blocks of 128 from a generator that is a function of
seed, image and block. No figure depends on the batch size, on the order or on which other images
are evaluated, beyond rounding; and the bound by 256 latents extends the bound by 128.

Sources: Kingma and Welling, 2013; Burda, Grosse and Salakhutdinov, "Importance Weighted
Autoencoders", 2016 (IWAE, active units); Alemi et al., "Fixing a Broken ELBO", 2018 (rate and
distortion).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..capabilities import CanEncode, CanLogProb, HasELBO
from ..data.binarized import STATIC_SEEDS, binarized
from ..data.dataset import Dataset
from ..data.inexact import exact_positions
from ..errors import DivergenceError, UsageError
from ..model import Model, require
from ..progress import track
from .likelihood_report import ACTIVE, Likelihood, figure

BLOCK = 128  # latents that share a random generator and are evaluated together
Binarize = Literal["auto", "dynamic", "static", "none"]


def likelihood(
    model: Model,
    data: Dataset,
    *,
    k: int = 128,
    n: int = 0,
    binarize: Binarize = "auto",
    seed: int = 0,
    split: str = "",
    weights: str = "",
    batch: int = 100,
    exclude: list[int] | None = None,
) -> Likelihood:
    """Evaluates log-likelihoods or bounds of images.

    Arguments:
        model: A model with a bound (`elbo` and `log_weights`) or log-likelihoods (`log_prob`);
            evaluated in eval mode.
        data: Images.
        k: Latents per image for the importance-weighted bound; 0 leaves it out. Ignored for exact
            likelihoods.
        n: Number of images, chosen by the seed; 0 for all. The figure of an image does not depend
            on which others are evaluated.
        binarize: How gray images are binarized: "dynamic" samples them by the seed, "static" as
            `mnist-static` was sampled, "none" leaves them unchanged; "auto" is "dynamic" for binary
            models and "none" for others.
        seed: Fixes the choice of images, their dynamic binarization and the random latents.
        split: Which part of the data set `data` is, to be printed, and for static binarization.
        weights: Which weights the model has, to be printed.
        batch: Images at a time; smaller batches take less memory.
        exclude: Rows of `data.x` to leave out, beside those that the data mark as inexact
            (`data.inexact`).

    Raises:
        UsageError: A number is out of range, or the images do not fit the model.
        DivergenceError: A log-likelihood is not finite.

    Example:
        >>> import zeuxis
        >>> from zeuxis.vae.vae import VAE, VAEConfig
        >>> digits = zeuxis.load_data("mnist", split="test")
        >>> model = VAE(VAEConfig(channels=(4, 4), hidden_dim=16, latent_dim=3), digits.spec)
        >>> result = likelihood(model, digits, n=20, k=50, split="test")
        >>> result.binarization, result.exact, result.weighted.mean > result.nats.mean
        ('dynamic', False, True)
    """
    has_elbo = isinstance(model, HasELBO)
    if not has_elbo:
        require(model, CanLogProb, "evaluate likelihoods")
    require_arguments(model, data, k, n, seed, batch)
    split = split or data.facts.split
    binarization, binarization_seed = choose_binarization(model, data, binarize, seed, split)
    positions = exact_positions(data, exclude)
    excluded = len(data) - len(positions)
    if len(positions) < 2:
        raise UsageError(
            f"All but {len(positions)} of the {len(data):,} images are left out: a mean and its "
            "error need at least 2."
        )
    if 0 < n < len(positions):
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(positions), generator=generator)[:n]
        positions = positions[chosen.sort().values]
    training = model.training
    latents: list[Tensor] = []
    rates: list[Tensor] = []
    model.eval()
    model.to_channels_last()
    try:
        first = next(batches(data, positions[:1], 1, binarization_seed))[1]
        images = batches(data, positions, batch, binarization_seed)
        with torch.no_grad():
            exact = not has_elbo and model.log_prob(first).exact  # type: ignore[operator]
            rows = evaluate_images(model, images, k, seed, latents, rates)
            table = torch.stack(list(track(rows, len(positions), "likelihood of images")))
    finally:
        model.train(training)
    if not (finite := table.isfinite().all(1)).all():
        row = int(positions[(~finite).nonzero()[0, 0]])
        raise DivergenceError(
            f"The likelihood of image {row} of '{data.spec.name}' is not finite: take earlier "
            "weights (--weights)."
        )
    if binarization_seed is not None and all_binary(data, positions):
        binarization, binarization_seed = "none", None
    columns = list(table.unbind(1))
    variances = torch.cat(latents).double().var(0) if latents else None
    return Likelihood(
        model=model.name,
        weights=weights,
        data=data.spec.name,
        split=split,
        images=len(positions),
        total=len(data),
        size=data.spec.size,
        binarization=binarization,
        binarization_seed=binarization_seed,
        seed=seed,
        exact=exact,
        nats=figure(-(columns[0] + columns[1]) if has_elbo else columns[0]),
        distortion=figure(columns[0]) if has_elbo else None,
        rate=figure(columns[1]) if has_elbo else None,
        k=k if has_elbo else 0,
        weighted=figure(columns[2]) if has_elbo and k else None,
        effective=columns[3].median().item() if has_elbo and k else None,
        active=None if variances is None else int((variances > ACTIVE).sum()),
        units=None if variances is None else len(variances),
        rates=tuple(torch.stack(rates).mean(0).tolist()) if rates else (),
        excluded=excluded,
    )


def require_arguments(model: Model, data: Dataset, k: int, n: int, seed: int, batch: int) -> None:
    """Refuses numbers out of range and images that do not fit the model."""
    if k < 0 or n < 0 or n == 1 or seed < 0 or batch < 1:
        raise UsageError(
            "Expected 0 or more latents, 0 or at least 2 images, a seed from 0 on and a batch from "
            f"1 on; got k = {k}, n = {n}, seed = {seed}, batch = {batch}."
        )
    if len(model.spec.shape) != 3:
        raise UsageError(
            f"The model '{model.name}' was trained on examples of shape {model.spec.shape}, and "
            "only images can be evaluated."
        )
    if data.spec.shape != model.spec.shape:
        raise UsageError(
            f"'{data.spec.name}' has examples of shape {data.spec.shape} and the model expects "
            f"images of {model.spec.shape}."
        )
    if len(data) < 2:
        raise UsageError(
            f"'{data.spec.name}' has {len(data)} images: a mean and its error need at least 2."
        )


def choose_binarization(
    model: Model, data: Dataset, binarize: Binarize, seed: int, split: str
) -> tuple[str, int | None]:
    """The kind of binarization and its seed, None where pixels stay unchanged."""
    before = data.facts.binarization
    if binarize == "none" or before != "none" or (binarize == "auto" and model.levels != 2):
        return before, None
    if model.levels != 2:
        raise UsageError(
            f"The model '{model.name}' has likelihoods of {model.levels} levels: leave out "
            f"--binarize {binarize}."
        )
    if binarize == "static":
        return "static", STATIC_SEEDS["train" if split in ("train", "trained on") else "test"]
    return "dynamic", seed


def all_binary(data: Dataset, positions: Tensor) -> bool:
    """Whether every pixel is 0 or 255 already."""
    return all(((x == 0) | (x == 255)).all() for _, x in batches(data, positions, 1000, None))


def batches(
    data: Dataset, positions: Tensor, size: int, binarization_seed: int | None
) -> Iterator[tuple[Tensor, UInt8[Tensor, "n c h w"]]]:
    """Rows and images, binarized where there is a seed."""
    for index in positions.split(size):
        x, rows = data.batch(index)[0], index if data.rows is None else data.rows[index].cpu()
        yield rows, x if binarization_seed is None else binarized(x, rows, binarization_seed)


def evaluate_images(
    model: Any,
    images: Iterator[tuple[Tensor, Tensor]],
    k: int,
    seed: int,
    latents: list[Tensor],
    rates: list[Tensor],
) -> Iterator[Float[Tensor, " m"]]:
    """For each image its exact log-likelihood; or distortion, rate and, with k latents, the
    importance-weighted bound and the effective sample size.

    Arguments:
        model: The model.
        images: Rows and images.
        k: Latents per image.
        seed: Fixes the latents.
        latents: The posterior means are appended here, where the model encodes.
        rates: The rate of each group of latents is appended here, where there are several.
    """
    for rows, x in images:
        if not isinstance(model, HasELBO):
            yield from model.log_prob(x).nats.double().cpu()[:, None]
            continue
        if isinstance(model, CanEncode):
            latents.append(model.encode(x).flatten(1).cpu())
        for row, image in zip(rows.tolist(), x.split(1), strict=True):
            elbo = model.elbo(image, generator=block_generator(seed, row, 0))
            terms = torch.stack([elbo.distortion[0], elbo.rate[0].sum()]).double().cpu()
            if elbo.rate.shape[1] > 1:
                rates.append(elbo.rate[0].double().cpu())
            yield (
                torch.cat([terms, importance_weighted(model, image, k, seed, row)]) if k else terms
            )


def importance_weighted(
    model: HasELBO, x: UInt8[Tensor, "1 c h w"], k: int, seed: int, row: int
) -> Float[Tensor, "2"]:
    """The importance-weighted bound of one image by k latents (nats), and their effective sample
    size.

    Weights are added block by block, as logarithms in float64, so that k costs no memory.
    """
    total = squares = torch.tensor(-math.inf, dtype=torch.float64)
    for block, start in enumerate(range(0, k, BLOCK), 1):
        generator = block_generator(seed, row, block)
        log_w = model.log_weights(x, min(BLOCK, k - start), generator=generator)[0].double().cpu()
        total = torch.logaddexp(total, log_w.logsumexp(0))
        squares = torch.logaddexp(squares, (2 * log_w).logsumexp(0))
    return torch.stack([total - math.log(k), (2 * total - squares).exp()])


def block_generator(seed: int, row: int, block: int) -> torch.Generator:
    """The random generator of one block of latents of one image.

    PyTorch's generator takes 32 bits of a seed. The factors are odd in these bits: no two blocks of
    an image share a seed, nor do two images in the same block.
    """
    return torch.Generator().manual_seed(
        (seed * 0x9E3779B97F4A7C15 + row * 0xBF58476D1CE4E5B9 + block * 0x94D049BB133111EB) % 2**63
    )
