r"""Muon: updates whose singular values are all about equal.

Adam scales each entry of a gradient by itself. Muon takes the gradient of a layer as a matrix and
replaces its momentum $M = U S V^\top$ by $U V^\top$, so that directions with small singular values
are updated as fast as dominant ones:

$$ W \leftarrow W - 0.2\, \eta \sqrt{\max(a, b)}\; \mathrm{polar}(M), \qquad
   M \in \mathbb{R}^{a \times b} . $$

The factor makes the root mean square of a step $0.2\, \eta$ for every shape, which is about Adam's.
So one step size serves both, and Adam updates what is not a matrix (biases, gains, log-scales). The
weight of a convolution counts as a matrix with one row per first index. The polar factor comes from
five Newton-Schulz steps $X \leftarrow aX + bXX^\top X + c(XX^\top)^2X$, whose coefficients bring
singular values near 1 (0.7 to 1.2) fast rather than exactly.

`torch.optim.Muon` takes the same steps on matrices, and a test compares the two. This class stays
since PyTorch's computes in bfloat16 only and takes no convolutions. On a processor without bfloat16
products PyTorch's step takes 27 times as long for the parameters of DCGAN and 20 times as long for
those of a VAE (`results/speed/muon-avx2.json`). With such products both take about as long: ours
1.15 times as long for DCGAN and 0.84 times for a VAE, whose matrices of equal shape are one batch
(`results/speed/muon.json`).

Sources: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the scale
of a step from Liu et al., "Muon is Scalable for LLM Training", 2025.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .lasagne_adam import adam_step

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def polar(matrices: Float[Tensor, "n a b"], steps: int = 5) -> Float[Tensor, "n a b"]:
    """Approximates U V^T of each matrix U S V^T, with a <= b, in the precision of the input.

    Arguments:
        matrices: A batch of matrices.
        steps: Newton-Schulz steps.

    Example:
        >>> s = torch.linalg.svdvals(polar(torch.randn(2, 4, 9)))
        >>> bool((s > 0.6).all() and (s < 1.3).all())
        True
    """
    a, b, c = COEFFICIENTS
    # The squares of smaller entries underflow: without a gradient for long, momentum becomes 0.
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-18)
    # bfloat16 would lose the small eigenvalues of a Gram matrix, which are squared singular values.
    if x.shape[2] >= 2 * x.shape[1] and x.dtype != torch.bfloat16:
        return polar_by_gram(x, steps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def polar_by_gram(x: Float[Tensor, "n a b"], steps: int) -> Float[Tensor, "n a b"]:
    """Takes the same steps on the a x a Gram matrices, which is up to five times less work.

    Each step is X <- P X, where P is a polynomial of the Gram matrix G, and takes G to P^2 G.
    """
    a, b, c = COEFFICIENTS
    gram, product = x @ x.mT, None
    for step in range(1, steps + 1):
        p = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        p.diagonal(dim1=1, dim2=2).add_(a)
        product = p if product is None else p @ product
        if step < steps:
            gram = p @ (p @ gram)
    return x if product is None else product @ x


class Muon(torch.optim.Optimizer):
    """Muon for weights with more than one entry per row, Adam for all other parameters.

    Arguments:
        parameters: The parameters to update.
        lr: Step size of both; the root mean square of Muon's steps is a fifth of it.
        betas: Adam's decay rates.
        eps: Adam's epsilon.
        weight_decay: Adam's L2 penalty, and Muon's decoupled weight decay.
        momentum: Decay rate of the gradients of matrices, with Nesterov's look-ahead.
        bf16: Whether to compute polar factors in bfloat16, which is precise enough for them.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(3, 3))
        >>> optimizer = Muon([weight], lr=0.1)
        >>> for _ in range(100):
        ...     weight.grad = weight.detach() - torch.eye(3)
        ...     optimizer.step()
        >>> bool((weight - torch.eye(3)).abs().max() < 0.1)
        True
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        bf16: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
            },
        )
        self.bf16 = bf16

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            others: list[Tensor] = []
            # Matrices of one shape, transposed or not, are updated together.
            batches: dict[tuple[int, int], list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.ndim < 2 or p[0].numel() <= 1:
                    others.append(p)
                    continue
                a, b = p.shape[0], p[0].numel()
                batches.setdefault((min(a, b), max(a, b)), []).append(p)
            adam_step(self, others, group, group["eps"] ** 2)
            for shape, weights in batches.items():
                self.update(weights, shape, group)

    def update(self, weights: list[Tensor], shape: tuple[int, int], group: dict[str, Any]) -> None:
        """Takes one step for weights that are matrices of one shape, up to transposition."""
        momentum, matrices = group["momentum"], []
        for p in weights:
            assert p.grad is not None
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
            if group["weight_decay"]:
                p.mul_(1 - group["lr"] * group["weight_decay"])
            average = self.state[p]["momentum"].lerp_(p.grad, 1 - momentum)
            matrix = p.grad.lerp(average, momentum).flatten(1)
            matrices.append(matrix if matrix.shape == shape else matrix.mT)
        stacked = torch.stack(matrices)
        factors = polar(stacked.bfloat16() if self.bf16 else stacked).to(stacked.dtype)
        step_size = 0.2 * group["lr"] * max(shape) ** 0.5
        for p, x in zip(weights, factors, strict=True):
            x = x if p.flatten(1).shape == shape else x.mT
            p.add_(x.reshape(p.shape), alpha=-step_size)
