"""How much is drawn and evaluated: the full comparison, and a first look."""

from __future__ import annotations

from dataclasses import dataclass

from ...evaluation.annealed_importance import AISConfig
from ...ranges import BaseConfig, Count, CountOrNone, SmallCount


@dataclass(frozen=True)
class Effort(BaseConfig, flags="Effort."):
    """Numbers of samples, images and chains of a comparison."""

    samples: Count = 5_000
    """Samples of each run, and real images; at most half of the test images."""
    validations: SmallCount = 12
    """Validations during a training."""
    validation_samples: Count = 500
    """Samples of each validation."""
    likelihood_images: Count = 1_000
    """Test images whose likelihood is evaluated."""
    flow_images: Count = 200
    """The same for models that solve an equation for each image."""
    latents: Count = 128
    """Latents per image for the importance-weighted bound."""
    annealed_images: CountOrNone = 20
    """Test images for annealed importance sampling, on the first seed; 0 leaves it out."""
    chains: SmallCount = 8
    """Chains of each."""
    distributions: Count = 300
    """Intermediate distributions."""
    leapfrog: SmallCount = 5
    """Leapfrog steps of a transition."""
    simulated: CountOrNone = 5
    """Simulated images for the gap between both bounds."""
    code_images: Count = 10_000
    """Training images whose codes are classified."""
    slow_codes: Count = 2_000
    """The same for models that solve an equation for each image."""
    walks: Count = 50
    """Walks between latents."""
    inverter_steps: Count = 2_000
    """Steps of the encoder that is trained on samples of a model without one."""

    def chains_config(self) -> AISConfig:
        """Settings of annealed importance sampling."""
        return AISConfig(self.distributions, self.chains, self.leapfrog)


FULL = Effort()
QUICK = Effort(
    samples=1_000,
    validations=4,
    validation_samples=200,
    likelihood_images=100,
    flow_images=10,
    latents=16,
    annealed_images=4,
    chains=4,
    distributions=50,
    leapfrog=3,
    simulated=2,
    code_images=2_000,
    slow_codes=200,
    walks=10,
    inverter_steps=300,
)
"""A first look, in about ten minutes with `QUICK_MINUTES` of training for each network."""
QUICK_MINUTES = 0.75
