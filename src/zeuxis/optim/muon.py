r"""Muon: steps that move every direction of a weight matrix alike.

Adam scales each number of a gradient by itself; Muon takes the gradient of a layer as the matrix it
is. Its momentum $M = U S V^\top$ is replaced by $U V^\top$, all singular values 1, so that
directions which the gradient hardly shows are learned as fast as the loud ones:

$$ W \leftarrow W - 0.2\, \eta \sqrt{\max(a, b)}\; \mathrm{polar}(M), \qquad M \in \mathbb{R}^{a \times b} . $$

The factor makes the root mean square of a step $0.2\, \eta$, whatever the shape, which is about
what Adam's is; so one step size serves both, and what is no matrix (biases, lengths and scales, of
whatever axes) is moved by Adam. Convolutions count as matrices with a row per first index of their
weight. The polar factor comes from five Newton-Schulz steps $X \leftarrow aX + bXX^\top X +
c(XX^\top)^2X$, whose coefficients bring singular values near 1 (0.7 to 1.2) fast rather than
exactly.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the scale of
a step from Liu et al., "Muon is Scalable for LLM Training", 2025.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .lasagne_adam import move

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def polar(matrices: Float[Tensor, "n a b"], steps: int = 5) -> Float[Tensor, "n a b"]:
    """Nearly U V^T of each matrix U S V^T, with a <= b.

    Arguments:
        matrices: Of one shape, in the precision that the work shall be done in.
        steps: Newton-Schulz steps.

    Example:
        >>> s = torch.linalg.svdvals(polar(torch.randn(2, 4, 9)))
        >>> bool((s > 0.6).all() and (s < 1.3).all())
        True
    """
    a, b, c = COEFFICIENTS
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-30)
    # In bfloat16 the small eigenvalues of a Gram matrix, squares of the singular values, would be
    # lost.
    if x.shape[2] >= 2 * x.shape[1] and x.dtype != torch.bfloat16:
        return by_gram(x, steps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def by_gram(x: Float[Tensor, "n a b"], steps: int) -> Float[Tensor, "n a b"]:
    """The same steps of long matrices with less work, a fifth in the limit: on a x a matrices
    alone, since each step is X <- P X with P a polynomial of the Gram matrix, which itself becomes
    P^2 times what it was."""
    a, b, c = COEFFICIENTS
    gram, whole = x @ x.mT, None
    for step in range(1, steps + 1):
        p = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        p.diagonal(dim1=1, dim2=2).add_(a)
        whole = p if whole is None else p @ whole
        if step < steps:
            gram = p @ (p @ gram)
    return x if whole is None else whole @ x


class Muon(torch.optim.Optimizer):
    """Muon for weights whose rows are longer than one number, Adam for the rest.

    Arguments:
        parameters: What is moved.
        lr: Step size of both; steps have a root mean square of a fifth of it.
        betas: Adam's decay rates.
        eps: Adam's.
        weight_decay: L2 penalty; matrices shrink by lr times this beside the step.
        momentum: Decay rate of a matrix's gradients; the newest one counts twice, as Nesterov has
            it.
        bf16: Whether the polar factors are computed in bfloat16, which is enough for them.

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
            moved = [p for p in group["params"] if p.grad is not None]
            is_matrix = lambda p: p.ndim >= 2 and p[0].numel() > 1  # noqa: E731
            matrices = [p for p in moved if is_matrix(p)]
            move(self, [p for p in moved if not is_matrix(p)], group, group["eps"] ** 2)
            # Matrices of one shape, lying or standing, go through the steps together.
            alike: dict[tuple[int, int], list[Tensor]] = {}
            for p in matrices:
                a, b = p.shape[0], p[0].numel()
                alike.setdefault((min(a, b), max(a, b)), []).append(p)
            for shape, some in alike.items():
                self.turn(some, shape, group)

    def turn(self, weights: list[Tensor], shape: tuple[int, int], group: dict[str, Any]) -> None:
        """Moves weights that are matrices of one shape."""
        momentum, matrices = group["momentum"], []
        for p in weights:
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
            assert p.grad is not None
            if group["weight_decay"]:
                p.mul_(1 - group["lr"] * group["weight_decay"])
            ahead = p.grad.lerp(
                self.state[p]["momentum"].lerp_(p.grad, 1 - momentum), momentum
            ).flatten(1)
            matrices.append(ahead if ahead.shape == shape else ahead.mT)
        stacked = torch.stack(matrices)
        whole = polar(stacked.bfloat16() if self.bf16 else stacked).to(stacked.dtype)
        for p, x in zip(weights, whole, strict=True):
            p.add_(
                (x if p.flatten(1).shape == shape else x.mT).reshape(p.shape),
                alpha=-0.2 * group["lr"] * max(shape) ** 0.5,
            )
