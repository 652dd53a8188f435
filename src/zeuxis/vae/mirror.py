r"""Mirror consistency: what a left-right mirrored image says of the latents of a face.

DC-IGN as published folds the azimuth: its unit rises on one side, jumps, and rises again on the
other, since nothing relates the two halves. But the mirror image of a symmetrical face is a face
that looks the other way, lit from the other side. So without any value of a factor

$$ \mu(\mathrm{mirror}(x)) = S\,\mu(x) , \qquad S = \mathrm{diag}(\pm 1) , $$

with -1 for the odd latents, azimuth and lighting, and 1 for the others. The loss is half the
squared difference. An odd latent cannot have the same value for both halves unless it is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def mirror_signs(factors: Sequence[str], odd: Sequence[str], latent: int) -> Float[Tensor, "z"]:
    """-1 for the latents of odd factors, 1 for all others.

    Example:
        >>> mirror_signs(("azimuth", "smile"), ("azimuth",), 3).tolist()
        [-1.0, 1.0, 1.0]
    """
    signs = torch.ones(latent)
    signs[[i for i, factor in enumerate(factors) if factor in odd]] = -1
    return signs


def mirror_loss(
    encode: Callable[[Tensor], Tensor],
    x: Float[Tensor, "n channels height width"],
    mean: Float[Tensor, "n z"],
    signs: Float[Tensor, "z"],
) -> Float[Tensor, "n"]:
    """Half the squared difference between the latents of mirrored images and what they should be.

    Arguments:
        encode: Images to means of their latents.
        x: Images.
        mean: Their means.
        signs: `mirror_signs`.

    Example:
        >>> x = torch.tensor([[[[0.0, 1.0]]]])
        >>> encode = lambda x: x[:, 0, 0, 1:] - x[:, 0, 0, :1]
        >>> mirror_loss(encode, x, encode(x), torch.tensor([-1.0])).item()
        0.0
    """
    return (encode(x.flip(3)) - signs * mean).square().sum(1) / 2
