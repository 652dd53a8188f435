r"""Numbers of objects: their distribution in AIR, its annealed prior, and two gradients for it.

At each step the inference network says with probability $p_t$ that there is a further object. The
number n of objects among at most N is the number of steps before the first no:

$$ q(n) = (1 - p_{n+1}) \prod_{t \le n} p_t, \qquad q(N) = \prod_t p_t . $$

The prior is a geometric distribution cut off at N: the same with one probability $\rho$ for all
steps. With a small $\rho$ a superfluous object is dear, so that the model counts. Annealing begins
with $\rho$ near 1, where a missing object is dear and every step learns to draw something, and lets
its log odds fall linearly.

The bound for latents $z_1, z_2, \ldots$ drawn as if all N steps were taken is

$$ \mathcal{L} = \mathbb{E}_{q(n)} \Big[ \log p(x | z_{1:n}) + \log \frac{p(n)}{q(n)}
   - \sum_{t \le n} \mathrm{KL}_t \Big] . $$

**Enumeration** takes the expectation as a sum of N + 1 terms. The terms share all networks and
differ in the sum of patches alone, so the sum costs next to nothing and its gradient has no
variance from n. It also lets networks learn for numbers of objects that q(n) rules out
(`explored`).

**NVIL** draws n. The gradient of a decision at step t is $\nabla \log q(d_t)\, (R_t - b_t)$, where
the return $R_t$ holds the terms of the bound that follow the decision, and the baseline $b_t$
estimates it from the image and the latents before step t.

Sources: Eslami et al., "Attend, Infer, Repeat", 2016, section 2.2 and appendix; Mnih and Gregor,
"Neural Variational Inference and Learning in Belief Networks", 2014, for NVIL.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ..nn.precision import full_precision


@dataclass(frozen=True)
class Terms:
    """What the bound of an image is made of, for latents drawn as if all N steps were taken.

    Arguments:
        log_likelihood: log p(x | the first n objects), (m, N + 1), in nats.
        logits: Of a further object at each step, (m, N).
        kl: KL divergence of each step's latents from their prior, (m, N).
    """

    log_likelihood: Float[Tensor, "m counts"]
    logits: Float[Tensor, "m N"]
    kl: Float[Tensor, "m N"]


def log_counts(logits: Float[Tensor, "*m N"]) -> Float[Tensor, "*m counts"]:
    """log q(n) for n = 0 to N.

    Example:
        >>> log_counts(torch.zeros(1, 2)).exp().tolist()
        [[0.5, 0.25, 0.25]]
    """
    reached = F.pad(F.logsigmoid(logits).cumsum(-1), (1, 0))  # log q(at least n)
    return reached + F.pad(F.logsigmoid(-logits), (0, 1))


def at_least(q: Float[Tensor, "*m counts"]) -> Float[Tensor, "*m N"]:
    """The probability of at least t objects, for t = 1 to N.

    Example:
        >>> at_least(torch.tensor([0.5, 0.25, 0.25])).tolist()
        [0.5, 0.25]
    """
    return q.flip(-1).cumsum(-1).flip(-1)[..., 1:]


def log_geometric(log_odds: float, steps: int) -> Float[Tensor, " counts"]:
    """log p(n) of the geometric distribution cut off at `steps`, for the log odds of a further
    object.

    Example:
        >>> log_geometric(math.log(1 / 3), 2).exp().mul(16).tolist()
        [12.0, 3.0, 1.0]
    """
    return log_counts(torch.full((steps,), log_odds))


def annealed(first: float, last: float, fraction: float) -> float:
    """Log odds on the way from one probability to another; beyond the end, those of the last.

    Example:
        >>> round(annealed(0.5, 1 / 3, 0.5), 3), annealed(0.9, 0.5, 7.0)
        (-0.347, 0.0)
    """
    odds = [math.log(rho) - math.log1p(-rho) for rho in (first, last)]
    return odds[0] + min(1.0, fraction) * (odds[1] - odds[0])


def squared_errors(
    x: Float[Tensor, "m 1 pixels"], objects: Float[Tensor, "m N pixels"]
) -> Float[Tensor, "m counts"]:
    r"""$\|x - \sum_{t \le n} o_t\|^2$ for n = 0 to N, from the products of all pairs of x and
    objects: one pass over the pixels instead of several for every n.

    Example:
        >>> objects = torch.tensor([[[1.0, 0.0], [1.0, 3.0]]])
        >>> squared_errors(torch.tensor([[[2.0, 3.0]]]), objects).tolist()
        [[13.0, 10.0, 0.0]]
    """
    parts, counts = torch.cat([x, -objects], 1), objects.shape[1] + 1
    with full_precision(parts):
        products = parts @ parts.mT
    added = torch.ones(counts, counts, dtype=parts.dtype, device=parts.device).tril()
    return ((added @ products) * added).sum(2)


def enumerated(
    terms: Terms, log_prior: Float[Tensor, " counts"]
) -> tuple[Float[Tensor, " m"], Float[Tensor, "m counts"]]:
    """The two sides of the bound in expectation over n: distortion, and the rates of the number of
    objects and of each step.

    Example:
        >>> terms = Terms(torch.ones(1, 3), torch.zeros(1, 2), torch.ones(1, 2))
        >>> distortion, rate = enumerated(terms, torch.tensor([0.5, 0.25, 0.25]).log())
        >>> distortion.item(), rate.tolist()
        (-1.0, [[0.0, 0.5, 0.25]])
    """
    log_q = log_counts(terms.logits)
    q = log_q.exp()
    number = (q * (log_q - log_prior)).sum(-1, keepdim=True)
    distortion = -(q * terms.log_likelihood).sum(-1)
    return distortion, torch.cat([number, at_least(q) * terms.kl], -1)


def explored(
    terms: Terms, log_prior: Float[Tensor, " counts"], share: float
) -> Float[Tensor, " m"]:
    r"""A loss by which networks learn for all numbers of objects, also those that q(n) rules out.

    In q(n) its gradient is that of the negative bound. In the other terms it is that of

    $$ \sum_n w(n) \Big[ -\log p(x | z_{1:n}) + \sum_{t \le n} \mathrm{KL}_t \Big], \qquad
       w(n) = (1 - \epsilon)\, q(n) + \frac{\epsilon}{N + 1} , $$

    where the bound has q(n) for w(n).

    Arguments:
        terms: The bound's terms.
        log_prior: log p(n).
        share: The share $\epsilon$ of the uniform weights; 0 gives the gradient of the bound.

    Example:
        >>> kl = torch.ones(1, 2, requires_grad=True)
        >>> explored(Terms(torch.ones(1, 3), torch.zeros(1, 2), kl), torch.zeros(3), 1.0).backward()
        >>> kl.grad.mul(3).round().tolist()
        [[2.0, 1.0]]
    """
    known = Terms(terms.log_likelihood.detach(), terms.logits, terms.kl.detach())
    distortion, rate = enumerated(known, log_prior)
    q = log_counts(terms.logits.detach()).exp()
    w = (1 - share) * q + share / len(log_prior)
    networks = (at_least(w) * terms.kl).sum(-1) - (w * terms.log_likelihood).sum(-1)
    return distortion + rate.sum(-1) + networks


def drawn(
    logits: Float[Tensor, "m N"], u: Float[Tensor, "m N"]
) -> tuple[Int64[Tensor, " m"], Bool[Tensor, "m N"]]:
    """Numbers of objects drawn step by step, and which decisions were made for them.

    Arguments:
        logits: Of a further object at each step.
        u: Numbers uniform in [0, 1).
    """
    further = (u < torch.sigmoid(logits)).long().cumprod(1)  # once 0, it stays 0
    made = torch.cat([torch.ones_like(further[:, :1]), further[:, :-1]], 1).bool()
    return further.sum(1), made


def nvil(
    terms: Terms, log_prior: Float[Tensor, " counts"], u: Tensor, baseline: Float[Tensor, "m N"]
) -> tuple[Float[Tensor, " m"], Float[Tensor, "m N"], Bool[Tensor, "m N"]]:
    """A loss whose gradient estimates that of the negative bound, and what the baseline learns.

    Arguments:
        terms: The bound's terms.
        log_prior: log p(n).
        u: Numbers uniform in [0, 1), (m, N), that n is drawn by.
        baseline: Estimates of the returns, which depend on nothing at or after their steps.

    Returns:
        The loss of each image, the returns R_t, and which decisions were made.
    """
    steps = terms.logits.shape[1]
    n, made = drawn(terms.logits, u)
    further = torch.arange(1, steps + 1, device=n.device) <= n[:, None]
    log_q = torch.where(further, F.logsigmoid(terms.logits), F.logsigmoid(-terms.logits))
    tail = log_prior.flip(0).logcumsumexp(0).flip(0)  # log p(at least n)
    log_p = torch.where(further, tail[1:] - tail[:-1], log_prior[:-1] - tail[:-1])
    after = made * (log_p - log_q) - further * terms.kl
    final = terms.log_likelihood.gather(1, n[:, None])
    returns = after.flip(1).cumsum(1).flip(1) + final
    score = (made * log_q * (returns - baseline).detach()).sum(1)
    return -(returns[:, 0] + score), returns.detach(), made
