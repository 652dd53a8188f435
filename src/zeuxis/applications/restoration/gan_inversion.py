r"""Restoration by a GAN: the latent whose image fits best, from many starts.

$$ \hat z = \arg\min_z \; \frac{1}{2 s^2} \lVert w \odot (A G(z) - y) \rVert^2
   + \lambda \log(1 + e^{-D(G(z))}) + R(z) $$

with $s^2 = \sigma^2 + \sigma_G^2$ for noise and for what the generator cannot make, the
discriminator's logits D where the model has one, and $R(z) = \lVert z \rVert^2 / 2$ for a normal
prior; latents of a uniform prior stay in its range. Where pixels are hidden, the errors are
absolute and w weights visible pixels near the hole, by the share of hidden pixels around them,

$$ w_i = \sum_{j \in N(i)} \frac{1 - M_j}{|N(i)|} \quad \text{for visible } i, $$

with the mask M (1 where visible) and windows N of 7 x 7 pixels; pixels far from every hole keep a
small weight. The image is then blended into the hole: its gradients are kept and the visible
pixels are the border (Poisson blending), so that hidden pixels of y are never read.

Starts are a linear encoder, fitted to pairs of a latent and its degraded image, and the nearest of
many latents of the prior. The samples are the best of the restarts, and no draws from a posterior.

Source: Yeh et al., "Semantic Image Inpainting with Deep Generative Models", 2017. Departures: their
released code convolves the mask M instead of 1 - M, which weights pixels far from the hole; Adam
instead of momentum; an encoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ...capabilities import CanRender, HasCritic
from .latent import descended, operator_rows
from .operators import Identity, Images, Mask, Operator, batches

WINDOW = 7
FAR = 0.01  # least weight of a visible pixel; one hidden neighbor gives 1 in 49
UNMADE = 25.0  # standard deviation of what a generator cannot make (gray levels)
POOL = 2_000  # latents of the prior for the encoder and the starts
TOGETHER = 256  # starts at a time
STARTS = 8  # at least, for each image
STEPS = 100
CRITIC = 0.2  # weight of the discriminator's term


def invert(
    model: CanRender,
    y: Images,
    operator: Operator,
    sigma: float,
    *,
    n: int,
    generator: torch.Generator,
    starts: int = STARTS,
    steps: int = STEPS,
    critic: float = CRITIC,
) -> Float[Tensor, "n batch channels height width"]:
    """The images of the n best latents of each image, the best first.

    Arguments:
        model: A generator.
        y: Degraded images.
        operator: How they were degraded.
        sigma: Standard deviation of the noise.
        n: Images to return.
        generator: Random numbers.
        starts: Restarts of each image, at least n.
        steps: Steps of Adam.
        critic: Weight of the discriminator's term.
    """
    k = max(n, starts)
    parts = [
        best_of(model, some, part, sigma, n, k, generator, steps, critic)
        for some, part in batches(y.to(model.device), operator, max(1, TOGETHER // k))
    ]
    return torch.cat(parts, 1)


def best_of(
    model: CanRender,
    y: Images,
    operator: Operator,
    sigma: float,
    n: int,
    k: int,
    generator: torch.Generator,
    steps: int,
    critic: float,
) -> Float[Tensor, "n batch channels height width"]:
    """`invert` for images that are computed together, the best n of k starts."""
    z = first_latents(model, y, operator, sigma, k, generator).flatten(0, 1)
    low, high = limits(model, generator)
    many, rows = y.repeat(k, 1, 1, 1), operator_rows(operator, len(y), k)
    trust = critic if isinstance(model, HasCritic) and not off(model) else 0.0
    masked = sigma == 0 and isinstance(rows, Mask)
    weight = weights(rows.visible) if masked and isinstance(rows, Mask) else None
    scale = (sigma**2 + UNMADE**2) ** 0.5

    def energy(z: Tensor) -> Tensor:
        inside = z.clamp(low, high)
        made = model.render(inside)
        error = (rows.forward(made) - many) / scale
        fit = error.square() / 2 if weight is None else weight * error.abs()
        total = fit.flatten(1).sum(1) + (z - inside).square().sum(1)
        if trust:
            real = model.realism(made).float()  # type: ignore[attr-defined]
            total = total + trust * F.softplus(-real)
        return total + z.square().sum(1) / 2 if high == float("inf") else total

    z = descended(energy, z, steps)
    with torch.no_grad():
        values = energy(z).view(k, len(y))
        best = values.argsort(0)[:n]
        z = z.view(k, len(y), -1)
        z = z.gather(0, best[..., None].expand(*best.shape, z.shape[2])).flatten(0, 1)
        made = model.render(z.clamp(low, high))
        if masked:
            made = blended(made, y.repeat(n, 1, 1, 1), operator_rows(operator, len(y), n))
    return made.unflatten(0, (n, len(y)))


def off(model: CanRender) -> bool:
    """Whether the settings rule the discriminator out."""
    return hasattr(model, "disabled") and HasCritic in model.disabled()


def limits(model: CanRender, generator: torch.Generator) -> tuple[float, float]:
    """The range of a uniform prior's numbers, infinite for a normal one."""
    z = model.prior(1_000, generator=generator)
    if z.abs().max() > 1:
        return -float("inf"), float("inf")
    return (0.0, 1.0) if z.min() >= 0 else (-1.0, 1.0)


def weights(visible: Bool[Tensor, "... height width"]) -> Float[Tensor, "n 1 height width"]:
    """w of the module's formula, at least a small number, 0 where hidden.

    Example:
        >>> visible = torch.ones(9, 9, dtype=torch.bool)
        >>> visible[4, 4] = False
        >>> w = weights(visible)[0, 0]
        >>> bool(w[4, 5] > w[0, 0] > 0), w[4, 4].item()
        (True, 0.0)
    """
    mask = visible.view(-1, 1, *visible.shape[-2:]).float()
    hidden = F.avg_pool2d(1 - mask, WINDOW, 1, WINDOW // 2, count_include_pad=False)
    return mask * hidden.clamp(min=FAR)


@torch.no_grad()
def first_latents(
    model: CanRender,
    y: Images,
    operator: Operator,
    sigma: float,
    k: int,
    generator: torch.Generator,
) -> Float[Tensor, "k batch latent"]:
    """What a linear encoder says of y, and the k - 1 nearest latents of the prior.

    The encoder is the ridge regression from degraded images to latents, fitted for each mask.
    """
    z = model.prior(POOL, generator=generator)
    images = torch.cat([model.render(part) for part in z.split(500)])
    noise = torch.randn(images.shape, generator=generator).to(images)
    found = []
    shared = isinstance(operator, Identity) or not (
        isinstance(operator, Mask) and operator.visible.ndim == 4
    )
    encode = None
    for i in range(len(y)):
        part = operator.part(slice(i, i + 1))
        seen = part.forward(images).flatten(1)
        if encode is None or not shared:
            encode = regression(part.forward(images + sigma * noise).flatten(1), z)
        error = (seen - y[i].flatten()).square().sum(1)
        guess = encode[0] + (y[i].flatten() - encode[1]) @ encode[2]
        found.append(torch.cat([guess[None], z[error.argsort()[: k - 1]]]))
    return torch.stack(found, 1)


def regression(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of z, mean of x, and the matrix from x to z of a ridge regression."""
    mz, mx = z.mean(0), x.mean(0)
    a = (x - mx).double()
    ridge = 0.01 * a.square().sum() / a.shape[1] + 1.0
    inner = a.T @ a + ridge * torch.eye(a.shape[1], dtype=torch.float64, device=a.device)
    return mz, mx, torch.linalg.solve(inner, a.T @ (z - mz).double()).to(x)


def blended(made: Images, y: Images, operator: Operator, steps: int = 300) -> Images:
    """Poisson blending: the gradients of `made` inside the hole, the pixels of y around it.

    Solves $\\Delta x = \\Delta G$ where hidden by Jacobi's iteration from G; where nothing is
    visible, G itself comes back.
    """
    assert isinstance(operator, Mask)
    cross = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]]).to(made)[None, None] / 4

    def around(x: Tensor) -> Tensor:
        padded = F.pad(x.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
        return F.conv2d(padded, cross).view_as(x)

    slope = made - around(made)
    x = operator.project(made, y)
    for _ in range(steps):
        x = operator.project(around(x) + slope, y)
    return x
