r"""Improved GAN with augmented images: what the paper leaves out because it knows of pictures.

The permutation-invariant networks of the paper see digits as rows of numbers. A practitioner knows
more: a digit that is shifted, slanted or bent a little stays the same digit, and a mirrored
photograph stays a photograph. Real images are augmented in both players' turns, and
**consistency** (FixMatch) adds to the discriminator's loss

$$ \lambda\, \mathbb{E}_x\big[\mathbb{1}[\max_k p_k \ge 0.95]\;
   \mathrm{CE}(\arg\max_k p_k,\; p(y | \tilde x))\big], \qquad p = p(y | x) , $$

the cross-entropy of augmented unlabeled images $\tilde x$ against confident pseudo-labels from the
unaugmented ones. Two more extensions are switches: minibatch discrimination with a **running
distance scale**, and **Muon** instead of Adam.

Source: Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and
Confidence", 2020; Jordan et al., "Muon", 2024. Figures of this model use knowledge that the rows
of the paper's table 1 do not use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataset import Spec
from ..errors import UsageError
from ..model import Batch, Player
from ..nn.augmentation import random_elastic, random_flip
from ..noise import Noise
from ..ranges import FractionBelowOne, Range, Weight
from .improved import ImprovedGAN, ImprovedGANConfig

CONFIDENT = 0.95  # probability from which a class serves as a pseudo-label, as in FixMatch


@dataclass(frozen=True)
class ImprovedGANAugmentedConfig(ImprovedGANConfig):
    """Settings of an Improved GAN, and of what this file adds; without them it is the paper's."""

    elastic: Annotated[float, Range(0, 10)] = 0.0
    """Strength of random rotations, shears, scalings and elastic distortions of real images: 1 goes
    up to 20 degrees, 0.4, a fifth and 2 pixels of 28."""
    flip: bool = False
    """Flip half of the real images left to right: for photographs."""
    consistency: Weight = 0.0
    """Weight of the consistency loss; needs `elastic`, and labels."""
    distance_momentum: FractionBelowOne = 0.0
    """Weight of each real batch in the running distance scale of minibatch discrimination; 0 keeps
    the scale of the initialization, as the paper does."""
    muon: bool = False
    """Update the weights of both players by Muon; photographs need fewer images then, digits do
    not."""


class ImprovedGANAugmented(ImprovedGAN):
    """An Improved GAN whose discriminator sees augmented images.

    Example:
        >>> config = ImprovedGANAugmentedConfig(width=20, elastic=0.5, consistency=1.0)
        >>> model = ImprovedGANAugmented(config, Spec("tiny", (1, 28, 28), 10)).eval()
        >>> model.sample(2).shape
        torch.Size([2, 1, 28, 28])
    """

    name: ClassVar[str] = "improved-gan-augmented"
    Config: ClassVar[type] = ImprovedGANAugmentedConfig
    paper: ClassVar[str] = "Salimans et al. 2016, with the consistency loss of Sohn et al. 2020"

    @classmethod
    def tiny(cls) -> tuple[ImprovedGANAugmentedConfig, Spec]:
        return ImprovedGANAugmentedConfig(
            width=16, generator_width=16, latent_dim=8, elastic=0.5, consistency=1.0
        ), Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: ImprovedGANAugmentedConfig, spec: Spec) -> None:
        check(config, spec)
        super().__init__(config, spec)

    @property
    def distance_momentum(self) -> float:
        return self.config.distance_momentum

    def players(self) -> dict[str, Player]:
        players = super().players()
        if not self.config.muon:
            return players
        return {
            name: Player(p.module, p.lr, (0.5, 0.999), 1e-8, optimizer="muon")
            for name, p in players.items()
        }

    def augment(self, x: Tensor, noise: Noise) -> Tensor:
        """Scaled real images, flipped and distorted at random."""
        c, x = self.config, self.scale(x)
        x = random_flip(x, noise) if c.flip else x
        return random_elastic(x, c.elastic, noise) if c.elastic else x

    def auxiliary_loss(self, batch: Batch, logits: Tensor) -> Tensor | float:
        """Cross-entropy of augmented unlabeled images against confident pseudo-labels (nats)."""
        if not self.config.consistency:
            return 0.0
        with torch.no_grad():
            confidence, classes = self.discriminator(self.scale(batch.x))[1].softmax(1).max(1)
        confident = (confidence >= CONFIDENT).float()
        batch.logs["confident"] = confident.mean()
        loss = (F.cross_entropy(logits, classes, reduction="none") * confident).mean()
        return self.config.consistency * loss

    @torch.no_grad()
    def update_statistics(self, x: Tensor | None = None) -> None:
        """Estimates batch statistics, and the running distance scale from real images x."""
        super().update_statistics(x)
        layer = self.discriminator.minibatch
        if layer is not None and layer.follow and x is not None and len(x):
            layer.update_statistics(
                [self.discriminator(self.scale(part.to(self.device)))[0] for part in x.split(100)]
            )


def check(c: ImprovedGANAugmentedConfig, spec: Spec) -> None:
    """Refuses settings that cannot work together."""
    if c.distance_momentum and not c.minibatch:
        raise UsageError(
            "--model.distance-momentum is for minibatch discrimination: give --model.minibatch "
            f"too; got {c.distance_momentum}."
        )
    if c.consistency and not (c.elastic and c.supervised and c.unlabeled):
        raise UsageError(
            "--model.consistency compares classes of augmented unlabeled images: give "
            f"--model.elastic, labels and --model.unlabeled too; got {c.consistency} with "
            f"elastic {c.elastic}, unlabeled {c.unlabeled}"
            + (" and labels." if c.supervised else " and no labels.")
        )
    if (c.elastic or c.flip) and len(spec.shape) != 3:
        raise UsageError(
            f"--model.elastic and --model.flip are for images; '{spec.name}' has examples of "
            f"shape {spec.shape}."
        )
