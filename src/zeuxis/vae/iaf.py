r"""The VAE with an inverse autoregressive flow as posterior: digits, one layer of latents.

The networks are those of `vae`; between encoder and decoder the latent goes through a chain of flow
steps (`flows`) that see the encoder's features as context, so that q(z | x) comes closer to the
true posterior and the bound rises. The prior stays N(0, I), and sampling is that of a VAE.

The paper's table 1 varies `depth`, the number of steps, and `width`, the units in each. Controls:
`linear` multiplies the latent by a triangular matrix that the encoder gives, so that q(z | x) is a
Gaussian with any covariance; `diagonal` is the plain VAE.

Source: Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow", 2016,
sections 4 and 6.1, appendices A and B. The paper leaves open how many hidden layers a "2-layer
MADE" has; here it is one (two layers of weights), `layers` changes it. Optimizer, batch and length
are not given there either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..capabilities import CanPropose
from ..data.dataset import Spec
from ..distributions.elementwise import normal, normal_kl
from ..errors import MissingCapability
from ..nn.precision import at_least_float32
from ..ranges import Depth, Finite, Size
from .flows import DenseStep, gated, lower
from .networks import dense
from .vae import VAE, VAEConfig


@dataclass(frozen=True)
class IAFConfig(VAEConfig):
    """Settings of an IAF-VAE: those of a VAE, and the flow's."""

    posterior: Literal["iaf", "linear", "diagonal"] = "iaf"
    """The family of q(z | x): inverse autoregressive flow, a Gaussian with any covariance, or one
    with a diagonal covariance."""
    depth: Depth = 2
    """Steps of the flow (2, 4 and 8 in the paper)."""
    width: Size = 320
    """Units of the hidden layers of a step (320 and 1920 in the paper)."""
    layers: Depth = 1
    """Hidden layers of a step."""
    gate: Finite = 1.5
    """Added to a step's scale before the sigmoid, so that a new step nearly keeps the latent (1 to
    2 in the paper)."""


class IAFVAE(VAE):
    """A VAE whose posterior is a flow.

    Example:
        >>> model = IAFVAE(
        ...     IAFConfig(channels=(4, 4), hidden_dim=16, latent_dim=3, width=6),
        ...     Spec("tiny", (1, 28, 28)),
        ... ).eval()
        >>> x = 255 * (model.sample(2) > 127).byte()
        >>> model.elbo(x).rate.shape, model.log_weights(x, 5).shape
        (torch.Size([2, 3]), torch.Size([2, 5]))
    """

    name: ClassVar[str] = "iaf-vae"
    Config: ClassVar[type] = IAFConfig
    paper: ClassVar[str] = (
        "Kingma et al.: Improving Variational Inference with Inverse Autoregressive Flow, 2016"
    )

    @classmethod
    def tiny(cls) -> tuple[IAFConfig, Spec]:
        config = IAFConfig(channels=(4, 4), hidden_dim=16, latent_dim=3, width=6)
        return config, Spec("tiny", (1, 28, 28), 10)

    def __init__(self, config: IAFConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        size, context = config.latent_dim, self.encoder.features
        self.steps = nn.ModuleList()
        if config.posterior == "iaf":
            self.steps.extend(
                DenseStep(size, config.width, config.layers, context) for _ in range(config.depth)
            )
        self.below = (
            dense(context, size * (size - 1) // 2, start=0.1)
            if config.posterior == "linear"
            else None
        )

    def infer(self, h: Tensor, eps: Tensor, expected: bool) -> tuple[Tensor, Tensor]:
        h = h[:, None]
        mean, log_std = at_least_float32(self.mean(h)), at_least_float32(self.log_std(h))
        z = mean + log_std.exp() * eps
        if self.config.posterior == "diagonal" and expected:
            return z, normal_kl(mean, log_std).expand_as(z)
        log_q = normal(eps, 0.0, 0.0) - log_std
        if self.below is not None:
            z = lower(at_least_float32(self.below(h)), z)
        for step in self.steps:
            # Reverses the order of the dimensions, and of their terms of log q with them.
            z, log_q = z.flip(-1), log_q.flip(-1)
            shift, scale = step(z, h)
            z, log_scale = gated(z, shift, scale, self.config.gate)
            log_q = log_q - log_scale
        return z, log_q - normal(z, 0.0, 0.0)

    def disabled(self) -> tuple[type, ...]:
        return () if self.config.posterior == "diagonal" else (CanPropose,)

    def posterior(
        self, x: UInt8[Tensor, "n channels height width"]
    ) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Means and log standard deviations of the posterior `diagonal`; the dimensions of the
        others depend on each other."""
        if self.config.posterior != "diagonal":
            raise MissingCapability(
                f"The posterior '{self.config.posterior}' of this iaf-vae has no independent "
                "dimensions, as bits-back coding needs them: train a vae, or an iaf-vae with "
                "--model.posterior diagonal."
            )
        return super().posterior(x)
