r"""InfoGAN whose categories ignore shape changes, and which fits in a small file.

The paper's objective does not say what a category should stand for; on digits, two categories tend
to share the fours and nines by slant or by the size of their loop. Here Q reads the categories from
randomly distorted images $\tilde x$ and the continuous codes from the image itself,

$$ L_I = \mathbb{E}[\log Q(c_\text{cat} | \tilde x)] + \mathbb{E}[\log Q(c_\text{cont} | x)]
   + H(c) , $$

so that slant, rotation and size carry no information about a category. `rank` replaces the large
dense layers, which hold most weights, by products of two matrices.

Neither is the paper's: figures of this model use knowledge about images that the paper does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from ..data.dataset import Spec
from ..model import Batch
from ..nn.augmentation import random_elastic
from ..ranges import Range, SizeOrNone
from .infogan import InfoGAN, InfoGANConfig


@dataclass(frozen=True)
class InfoGANAugmentedConfig(InfoGANConfig):
    """Settings of an InfoGAN, and of what this file adds; without them it is the paper's."""

    elastic: Annotated[float, Range(0, 10)] = 0.0
    """Strength of random rotations, shears, scalings and elastic distortions before Q reads the
    categories: 1 goes up to 20 degrees, 0.4, a fifth and 2 pixels of 28."""
    rank: SizeOrNone = 0
    """Rank of the factorized dense layers; 0 keeps full matrices."""


class InfoGANAugmented(InfoGAN):
    """An InfoGAN whose Q reads categories from distorted images.

    Example:
        >>> config = InfoGANAugmentedConfig(width=0.1, elastic=1.0)
        >>> model = InfoGANAugmented(config, Spec("tiny", (1, 28, 28))).eval()
        >>> model.sample(2).shape
        torch.Size([2, 1, 28, 28])
    """

    name: ClassVar[str] = "infogan-augmented"
    Config: ClassVar[type] = InfoGANAugmentedConfig
    paper: ClassVar[str] = "Chen et al. 2016, with categories read from augmented images"

    @classmethod
    def tiny(cls) -> tuple[InfoGANAugmentedConfig, Spec]:
        config, spec = super().tiny()
        return InfoGANAugmentedConfig(**vars(config) | {"elastic": 1.0}), spec

    @property
    def rank(self) -> int:
        return self.config.rank

    def read(self, fake: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """D's logits and Q's outputs, those for the categories from distorted images."""
        c = self.config
        on_fake, reading = super().read(fake, batch)
        if c.elastic and c.categorical:
            classes = sum(c.categorical)
            _, distorted = super().read(random_elastic(fake, c.elastic, batch.noise), batch)
            reading = torch.cat([distorted[:, :classes], reading[:, classes:]], 1)
        return on_fake, reading


@torch.no_grad()
def factorized(model: InfoGAN, rank: int, x: Tensor) -> InfoGANAugmented:
    """A copy whose large dense layers are products of two matrices of this rank.

    Each product is the best approximation of its layer, by singular value decomposition.

    Arguments:
        model: A trained model.
        rank: Singular values to keep.
        x: Raw images from which batch statistics are estimated again.
    """
    config = InfoGANAugmentedConfig(**vars(model.config) | {"rank": rank})
    small = InfoGANAugmented(config, model.spec).to(model.device).eval()
    tensors = dict(model.state_dict())
    for name, part in small.named_modules():
        if isinstance(part, nn.Sequential) and len(part) == 2 and f"{name}.weight" in tensors:
            u, s, v = torch.linalg.svd(tensors.pop(f"{name}.weight").float(), full_matrices=False)
            root = s[:rank].sqrt()
            tensors |= {
                f"{name}.0.weight": root[:, None] * v[:rank],
                f"{name}.1.weight": u[:, :rank] * root,
            }
            tensors[f"{name}.1.bias"] = tensors.pop(f"{name}.bias")
    small.load_state_dict(tensors)
    small.update_statistics(x)
    return small.requires_grad_(False)
