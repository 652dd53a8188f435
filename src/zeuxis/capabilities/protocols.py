"""The protocols of capabilities, and what their methods give."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from ..data.dataset import Spec


class IsModel(Protocol):
    """What every model has. For the type checker: at run time a capability is only its methods."""

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...

        @property
        def config(self) -> Any: ...

        @property
        def spec(self) -> Spec: ...

        @property
        def conditional(self) -> bool: ...

        @property
        def device(self) -> torch.device: ...


@runtime_checkable
class CanSample(IsModel, Protocol):
    """Makes new examples."""

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """n new examples: uint8 images (n, C, H, W), or points (n, 2)."""


@runtime_checkable
class CanDecode(IsModel, Protocol):
    """Turns codes into examples; `prior` draws codes."""

    def prior(self, n: int, *, generator: torch.Generator | None = None) -> Tensor: ...

    def decode(self, z: Tensor) -> Tensor: ...


@runtime_checkable
class CanRender(IsModel, Protocol):
    """Turns codes into images through which gradients reach the codes."""

    def prior(self, n: int, *, generator: torch.Generator | None = None) -> Tensor: ...

    def render(self, z: Tensor) -> Tensor:
        """Images as floats from 0 to 255, (n, C, H, W); `decode` rounds them."""


@runtime_checkable
class HasCritic(IsModel, Protocol):
    """Says how real an image looks to the opponent of a generator, with gradients."""

    def realism(self, x: Tensor) -> Tensor:
        """Logits (n,), higher for real ones; x are floats from 0 to 255."""


@runtime_checkable
class HasPixelLikelihood(CanRender, Protocol):
    """Has independent pixels given a code, with gradients for the code."""

    def pixel_log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) of each number in nats, (n, C, H, W); x are floats from 0 to 255."""

    def pixel_variance(self, mean: Tensor, z: Tensor) -> Tensor:
        """Variances of the pixels given a code; `mean` is what `render` gives for it."""


@runtime_checkable
class CanPropose(HasPixelLikelihood, Protocol):
    """Has a posterior q(z | x) of independent Gaussians, also for gray images modeled as binary."""

    def propose(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log standard deviations, (n, latent) each; x are floats from 0 to 255."""

    def draw_pixels(self, z: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Images drawn from p(x | z), floats from 0 to 255."""


@runtime_checkable
class CanEncode(IsModel, Protocol):
    """Turns examples into codes."""

    def encode(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class LogProb:
    """Log-likelihoods in nats an image.

    Arguments:
        nats: One for each image, (n,).
        exact: Whether they are exact; else they are lower bounds or estimates of them.
        error: Standard errors of estimates, (n,), where they are known.
    """

    nats: Tensor
    exact: bool = True
    error: Tensor | None = None


@runtime_checkable
class CanLogProb(IsModel, Protocol):
    """Computes how likely an example is."""

    def log_prob(self, x: Tensor) -> LogProb: ...


@dataclass(frozen=True)
class ELBO:
    """One-sample estimates of the evidence lower bound, split in two (nats).

    Arguments:
        distortion: -log p(x | z) for each image, (n,).
        rate: What each group of code numbers costs beyond the prior, log q(z | x) - log p(z) or its
            expectation, (n, groups).
    """

    distortion: Tensor
    rate: Tensor

    @property
    def nats(self) -> Tensor:
        """The bound on log p(x) for each image, (n,)."""
        return -(self.distortion + self.rate.sum(1))


@runtime_checkable
class HasELBO(IsModel, Protocol):
    """Bounds the likelihood by codes it infers, and more closely by more codes (`log_weights`)."""

    def elbo(self, x: Tensor, *, generator: torch.Generator | None = None) -> ELBO: ...

    def log_weights(self, x: Tensor, k: int, *, generator: torch.Generator | None = None) -> Tensor:
        """log p(x, z) - log q(z | x) for k codes of each image, (n, k), in nats."""


@runtime_checkable
class HasPosterior(CanDecode, Protocol):
    """Has a posterior q(z | x) whose numbers are independent Gaussians."""

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log standard deviations, (n, latent) each; x are uint8."""


@runtime_checkable
class CanBitsBack(IsModel, Protocol):
    """Has a posterior whose numbers are independent Gaussians, a prior N(0, I), and independent
    pixels given a code: all that a codec by bits-back coding needs."""

    levels: int

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log standard deviations of q(z | x), (n, latent) each; x are uint8."""

    def pixels(self, z: Tensor) -> Tensor:
        """Log-probabilities of all values given latents, (n, C, H, W, levels)."""

    def elbo(self, x: Tensor, *, generator: torch.Generator | None = None) -> ELBO: ...


@runtime_checkable
class HasVelocity(IsModel, Protocol):
    """Has a velocity field that carries noise at t = 0 to images in [-1, 1) at t = 1."""

    def velocity(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        """v(x, t) at points x of straight paths, given classes y or none."""


@runtime_checkable
class CanClassify(IsModel, Protocol):
    """Classifies examples: probabilities (n, classes)."""

    def classify(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class CanComplete(IsModel, Protocol):
    """Draws hidden pixels given seen ones; refuses masks it is not made for by a `UsageError`."""

    def complete(
        self, x: Tensor, mask: Tensor, n: int = 1, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """n completions of each image, (n, images, C, H, W), uint8; seen pixels are unchanged.

        Arguments:
            x: Images (images, C, H, W), uint8; the values of hidden pixels do not matter.
            mask: True where a pixel is seen: (H, W), (C, H, W), or one for each image.
            n: Completions of each image.
            generator: Source of randomness.
        """


Proposal = Literal["recognition", "prior"]
"""Where the latents of a conditional bound come from: q(z | x, y) or p(z | x)."""


@runtime_checkable
class HasConditionalELBO(IsModel, Protocol):
    """Bounds log p(y | x), the likelihood of hidden pixels y given seen pixels x, by latents.

    `visible`, bool (H, W), is True where a pixel is seen. All methods take whole images.
    """

    visible: Tensor

    def conditional_elbo(self, x: Tensor, *, generator: torch.Generator | None = None) -> ELBO: ...

    def conditional_log_weights(
        self,
        x: Tensor,
        k: int,
        *,
        proposal: Proposal = "recognition",
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """log p(y, z | x) - log r(z) in nats, (n, k), for k latents of each image; r proposes z."""

    def baseline_log_prob(self, x: Tensor) -> Tensor:
        """log p(y | x) of a prediction pixel by pixel, without latents, (n,), in nats."""


@runtime_checkable
class CanFeature(IsModel, Protocol):
    """Describes examples by feature vectors (n, features), for scores and linear probes."""

    def features(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class CanFineTune(IsModel, Protocol):
    """Lends the layers that compute its features to another task."""

    def trunk(self) -> nn.Module:
        """A module from uint8 images (n, C, H, W) to what `features` gives, with gradients; it
        shares its parameters with the model, so copy it before you train it."""


@dataclass(frozen=True)
class Chosen:
    """Levels sent to an autoregression, and which images continue.

    Arguments:
        levels: Of the current value of each image, (n,), int64.
        rows: Image i continues as a copy of image rows[i], with its levels so far, (n,), int64.
    """

    levels: Tensor
    rows: Tensor


@runtime_checkable
class CanAutoregress(IsModel, Protocol):
    """Gives the exact distribution of every value given those before it.

    The order is row, column, channel. A value is one of `levels` levels: level k of 256 is the
    pixel k, and the two levels of a binary image are the pixels 0 and 255.
    """

    levels: int

    def autoregress(
        self, n: int, y: Tensor | None = None
    ) -> Generator[Tensor, Tensor | Chosen, None]:
        """Yields log-probabilities (n, levels) of the next value; is sent its levels (n,), int64,
        or `Chosen` levels and rows, as resampling needs.

        Activations are cached, so all values together cost about one parallel pass. The generator
        ends when the last value has been sent. `y` are the classes (n,) of a conditional model.
        """

    def conditionals(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The same for known images by one parallel pass: (n, C, H, W, levels)."""


@dataclass(frozen=True)
class Code:
    """One of a model's latents that may mean something, and its place in z.

    Arguments:
        name: What tables and pictures call it, as in "category" or "continuous 2".
        kind: "categorical", a one-hot vector of `size` classes, or "continuous", one number.
        start: Its first column in the z that `prior` draws and `decode` takes.
        size: Its columns.
        low: The least value of a continuous code under the prior.
        high: The greatest.
    """

    name: str
    kind: Literal["categorical", "continuous"]
    start: int
    size: int = 1
    low: float = -1.0
    high: float = 1.0


@runtime_checkable
class HasCodes(CanDecode, Protocol):
    """Names its latents, reads them from examples, and can vary each with everything else fixed."""

    def codes(self) -> tuple[Code, ...]:
        """The latents in their order."""

    def infer(self, x: Tensor) -> list[Tensor]:
        """For each code in order, its class probabilities (n, size) or its mean (n, 1)."""
