r"""Toy densities in the plane, with exact samples and exact normalized log densities.

With them the errors of a generator can be seen and measured:

- `ring`, `grid`: equal mixtures of isotropic Gaussians (Metz et al., "Unrolled Generative
  Adversarial Networks", 2017: eight of them with standard deviation 0.02 on a circle of radius 2;
  Dumoulin et al., "Adversarially Learned Inference", 2017: 5 x 5);
- `moons`, `spiral`: a random point of a curve plus Gaussian noise, $p(x) = \int w(t)\, N(x; c(t),
  \sigma^2 I)\, dt$. Gauss-Legendre quadrature gives the integral to nine digits, since nodes lie
  closer together than $\sigma$;
- `checkerboard`: uniform on the dark squares of a board;
- `pinwheel`: Gaussians in a circle, twisted by $x = R(\theta(|v|))\, v$. The angle depends on the
  radius alone, so the twist keeps areas and is undone by $v = R(-\theta(|x|))\, x$; the usual
  pinwheel, whose angle depends on one coordinate, has no such inverse.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import UsageError
from .dataset import Dataset, Spec
from .facts import Facts


@dataclass(frozen=True, eq=False)
class Density:
    """A density in the plane.

    Arguments:
        name: Its name on the command line.
        modes: The number of components.
        extent: Half the side of a square around the origin with all but negligible mass.
    """

    name: str
    modes: int
    extent: float

    def draw(
        self, n: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "n 2"], Int[Tensor, "n"]]:
        """Draws n points; also returns the component of each."""
        raise TypeError(f"{type(self).__name__} must define draw().")

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n 2"]:
        """Draws n points."""
        return self.draw(n, generator)[0]

    def log_prob(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        """Log density at x in nats, computed in float64."""
        parts = [self.exact(part) for part in x.double().split(512)]  # small parts fit the cache
        return torch.cat([x.new_empty(0).double(), *parts]).to(x.dtype)

    def exact(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        """Log density at float64 x."""
        raise TypeError(f"{type(self).__name__} must define exact().")


@dataclass(frozen=True, eq=False)
class Mixture(Density):
    """An equal mixture of isotropic Gaussians.

    Arguments:
        centers: Means, (modes, 2), float64.
        std: The standard deviation of each along each axis.
    """

    centers: Tensor
    std: float

    def draw(
        self, n: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "n 2"], Int[Tensor, "n"]]:
        y = torch.randint(self.modes, (n,), generator=generator)
        return (self.centers[y] + self.std * normal(n, generator)).float(), y

    def exact(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        return blur(x, self.centers, torch.full((self.modes,), 1 / self.modes).double(), self.std)


@dataclass(frozen=True, eq=False)
class Curves(Density):
    """Curves blurred by Gaussian noise.

    Arguments:
        path: Maps a component and t in [0, 1] to the plane.
        root: The t of a point is u^(1/root) for uniform u, so w(t) = root t^(root - 1); 2 makes
            the density of a spiral uniform.
        std: The standard deviation of the noise along each axis.
        nodes: Quadrature nodes along each curve.
    """

    path: Callable[[Tensor, Tensor], Tensor]
    root: int
    std: float
    nodes: int
    centers: Tensor = field(init=False, repr=False)
    weights: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        at, weight = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(self.nodes))
        t = (at + 1) / 2
        w = weight / 2 * self.root * t ** (self.root - 1) / self.modes
        centers = [self.path(torch.full((self.nodes,), k), t) for k in range(self.modes)]
        object.__setattr__(self, "centers", torch.cat(centers))
        object.__setattr__(self, "weights", w.repeat(self.modes))

    def draw(
        self, n: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "n 2"], Int[Tensor, "n"]]:
        y = torch.randint(self.modes, (n,), generator=generator)
        t = torch.rand(n, generator=generator, dtype=torch.float64) ** (1 / self.root)
        return (self.path(y, t) + self.std * normal(n, generator)).float(), y

    def exact(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        return blur(x, self.centers, self.weights, self.std)


@dataclass(frozen=True, eq=False)
class Checkerboard(Density):
    """Uniform on the dark squares of a board.

    Arguments:
        corners: The lower left corner of each dark square, (modes, 2), float64.
        side: The side of a square.
    """

    corners: Tensor
    side: float

    def draw(
        self, n: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "n 2"], Int[Tensor, "n"]]:
        y = torch.randint(self.modes, (n,), generator=generator)
        u = torch.rand(n, 2, generator=generator, dtype=torch.float64)
        return (self.corners[y] + self.side * u).float(), y

    def exact(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        above, below = x[:, None] >= self.corners, x[:, None] < self.corners + self.side
        inside = (above & below).all(-1).any(-1)
        return torch.where(inside, -math.log(self.modes * self.side**2), -math.inf).double()


@dataclass(frozen=True, eq=False)
class Pinwheel(Density):
    """Gaussians in a circle, twisted.

    Arguments:
        radius: Distance of their means from the origin.
        radial_std: Standard deviation along the radius.
        tangential_std: Standard deviation across it.
        twist: Points at radius r are rotated by twist * r (radians).
    """

    radius: float
    radial_std: float
    tangential_std: float
    twist: float

    def draw(
        self, n: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "n 2"], Int[Tensor, "n"]]:
        y = torch.randint(self.modes, (n,), generator=generator)
        stds = torch.tensor([self.radial_std, self.tangential_std]).double()
        v = normal(n, generator) * stds + torch.tensor([self.radius, 0.0]).double()
        return rotate(v, y * (2 * math.pi / self.modes) + self.twist * v.norm(dim=1)).float(), y

    def exact(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        angle = -self.twist * x.norm(dim=1)
        arms = [rotate(x, angle - 2 * math.pi * k / self.modes) for k in range(self.modes)]
        square = [
            ((v[:, 0] - self.radius) / self.radial_std) ** 2 + (v[:, 1] / self.tangential_std) ** 2
            for v in arms
        ]
        area = 2 * math.pi * self.radial_std * self.tangential_std * self.modes
        return torch.logsumexp(torch.stack(square) / -2, 0) - math.log(area)


def normal(n: int, generator: torch.Generator) -> Tensor:
    """n standard normal points in float64."""
    return torch.randn(n, 2, generator=generator, dtype=torch.float64)


def rotate(v: Tensor, angle: Tensor) -> Tensor:
    """Rotates points (n, 2) about the origin by angles (n,)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * v[:, 0] - sin * v[:, 1], sin * v[:, 0] + cos * v[:, 1]], 1)


def blur(x: Tensor, centers: Tensor, weights: Tensor, std: float) -> Tensor:
    """Log density of weighted isotropic Gaussians at x."""
    square = (x[:, :1] - centers[:, 0]).square_().add_((x[:, 1:] - centers[:, 1]).square_())
    exponents = square.div_(-2 * std**2).add_(weights.log())
    return torch.logsumexp(exponents, 1) - math.log(2 * math.pi * std**2)


def ring(modes: int = 8, radius: float = 2.0, std: float = 0.02) -> Density:
    """Gaussians evenly spaced on a circle."""
    angle = torch.arange(modes, dtype=torch.float64) * (2 * math.pi / modes)
    centers = radius * torch.stack([angle.cos(), angle.sin()], 1)
    return Mixture("ring", modes, 1.25 * radius + 6 * std, centers, std)


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> Density:
    """Gaussians on a square lattice of side x side points."""
    axis = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * spacing
    centers = torch.cartesian_prod(axis, axis)
    return Mixture("grid", side**2, (side / 2) * spacing + 6 * std, centers, std)


def moons(std: float = 0.1) -> Density:
    """Two interleaved half circles of radius 1."""

    def path(k: Tensor, t: Tensor) -> Tensor:
        up = 1 - 2 * k.double()  # the second is the first rotated by 180 degrees
        return torch.stack([up * ((math.pi * t).cos() - 0.5), up * ((math.pi * t).sin() - 0.25)], 1)

    return Curves("moons", 2, 1.8 + 5 * std, path, 1, std, nodes=max(64, round(16 / std)))


def spiral(arms: int = 2, turns: float = 1.5, radius: float = 3.0, std: float = 0.1) -> Density:
    """Arms that wind outwards; the radius is proportional to the angle."""

    def path(k: Tensor, t: Tensor) -> Tensor:
        angle = 2 * math.pi * (turns * t + k / arms)
        return radius * t[:, None] * torch.stack([angle.cos(), angle.sin()], 1)

    length = math.pi * turns * radius
    nodes = max(64, round(3 * length / std))
    return Curves("spiral", arms, radius + 6 * std, path, 2, std, nodes)


def checkerboard(cells: int = 4, extent: float = 4.0) -> Density:
    """A board of cells x cells squares that spans [-extent, extent] on both axes."""
    side = 2 * extent / cells
    dark = [(i, j) for i in range(cells) for j in range(cells) if (i + j) % 2 == 0]
    corners = torch.tensor(dark, dtype=torch.float64) * side - extent
    return Checkerboard("checkerboard", len(dark), 1.1 * extent, corners, side)


def pinwheel(
    arms: int = 5,
    radius: float = 2.0,
    radial_std: float = 0.5,
    tangential_std: float = 0.15,
    twist: float = 0.6,
) -> Density:
    """Radial arms, twisted in proportion to the radius."""
    extent = radius + 5 * radial_std
    return Pinwheel("pinwheel", arms, extent, radius, radial_std, tangential_std, twist)


BUILDERS: dict[str, Callable[..., Density]] = {
    "ring": ring,
    "grid": grid,
    "moons": moons,
    "spiral": spiral,
    "checkerboard": checkerboard,
    "pinwheel": pinwheel,
}
DENSITIES = tuple(BUILDERS)


def density(name: str, **config: float) -> Density:
    """Builds a density by name.

    Arguments:
        name: One of `DENSITIES`.
        config: Arguments of the function of that name, all above 0.

    Example:
        >>> ring = density("ring", modes=8, std=0.05)
        >>> ring.sample(3, torch.Generator().manual_seed(0)).shape, ring.modes
        (torch.Size([3, 2]), 8)
        >>> round(ring.log_prob(torch.tensor([[2.0, 0.0]])).item(), 4)  # -log(8 * 2 pi 0.05^2)
        2.0741
    """
    if name not in BUILDERS:
        raise UsageError(f"There is no density '{name}': the densities are {', '.join(DENSITIES)}.")
    known = inspect.signature(BUILDERS[name]).parameters
    for key, value in config.items():
        if key not in known:
            raise UsageError(
                f"The density '{name}' has no setting '{key}': it takes {', '.join(known)}."
            )
        is_integer = isinstance(known[key].default, int)
        if not 0 < value < math.inf or (is_integer and int(value) != value):
            kind = "whole number" if is_integer else "number"
            raise UsageError(f"The density '{name}' got {key}={value}: give a {kind} above 0.")
    return BUILDERS[name](**config)


def points(name: str, n: int = 100_000, seed: int = 0, **config: float) -> Dataset:
    """A data set of points drawn from a density, labeled by component.

    Arguments:
        name: One of `DENSITIES`.
        n: The number of points.
        seed: Seed of the draw.
        config: Arguments as for `density`.

    Example:
        >>> data = points("moons", 500)
        >>> data.spec.shape, data.spec.classes, data.x.dtype
        ((2,), 2, torch.float32)
    """
    if n < 1:
        raise UsageError(f"A data set needs at least one point, got {n}: give a number above 0.")
    source = density(name, **config)
    x, y = source.draw(n, torch.Generator().manual_seed(seed))
    spec = Spec(name, (2,), source.modes, tuple(f"part {k}" for k in range(source.modes)))
    facts = Facts(density={"name": name, **config}, seed=seed)
    return Dataset(spec, x, y, facts=facts)


def density_of(data: Dataset) -> Density | None:
    """The density that points were drawn from, None if it is not known.

    Example:
        >>> density_of(points("grid", 10, std=0.1)).std
        0.1
    """
    facts = data.facts.density
    return None if facts is None else density(**facts)  # type: ignore[arg-type]
