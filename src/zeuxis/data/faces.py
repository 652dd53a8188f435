r"""Rendered heads and faces with known factors of variation, to measure disentanglement.

The faces in the figures of DC-IGN and InfoGAN were rendered from a licensed model. Here a head is a
union of ellipsoids (skull, nose, ears, neck) with eyes, brows, mouth and hair painted on the skull.
Factors, each uniform in [-1, 1], determine pose, light, shape and expression:

- azimuth, up to 60 degrees to the left or right, and elevation, up to 25 degrees up or down;
- lighting, from up to 80 degrees to the left or right, and width of the head;
- smile, from a frown to a wide smile.

An identity of ten further numbers (size and position of the features, skin, hair) varies the heads.
`heads` have the first four factors and no expression. `faces` have all five; face i of a seed is
head i of that seed with an expression, open eyes and shaded lips (`face_paint`).

Rays are parallel, so the image is in closed form. In the space where an ellipsoid is the unit
sphere, the ray of pixel (u, v) is $p + t q$ with $p = u U + v V - c$. It meets the sphere where
$|p + t q|^2 = 1$, whose discriminant is a quadratic in u and v with six coefficients per image. The
nearest ellipsoid is shaded by its Lambertian reflectance, with the normal along $(p + t q) / s$ for
axes s.

Image i of seed s is a function of (s, i). Nothing is stored: images are rendered when they are
read, so a data set can have any length.

Sources of the idea: Kulkarni et al., "Deep Convolutional Inverse Graphics Network", 2015; Chen et
al., "InfoGAN", 2016, section 7.2 and appendix C.4.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..errors import UsageError
from .dataset import Dataset, Spec
from .face_paint import expressive, painted, skin_of
from .facts import Facts

FACTORS = ("azimuth", "elevation", "lighting", "width")
FACE_FACTORS = (*FACTORS, "smile")
# fmt: off
IDENTITY = (
    "nose", "eye distance", "eye height", "eye size", "mouth height", "mouth width", "brow",
    "hairline", "skin", "hair",
)
# fmt: on
SKULL = 0


def random_numbers(
    index: np.ndarray, seed: int, columns: int, first: int = 0
) -> Float[Tensor, "n columns"]:
    """Numbers uniform in [-1, 1) as a hash of seed, image and column (splitmix64).

    Arguments:
        index: Numbers of the images.
        seed: Another seed gives unrelated numbers.
        columns: How many for each image.
        first: The first column; there are 64, each unrelated to the others.
    """
    keys = np.asarray(index, np.uint64)[:, None] * np.uint64(64) + np.arange(
        first, first + columns, dtype=np.uint64
    )
    with np.errstate(over="ignore"):
        x: np.ndarray = keys + np.uint64(0x9E3779B97F4A7C15) * np.uint64(seed % 2**32 + 1)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
    return torch.from_numpy((x >> np.uint64(40)).astype(np.float32) * np.float32(2**-23) - 1)


def drawn(
    index: np.ndarray, seed: int, smiling: bool = False
) -> tuple[Float[Tensor, "n q"], Float[Tensor, "n k"]]:
    """Factors and identities of images; the smile has the column after the identity.

    Example:
        >>> [table.shape[1] for table in drawn(np.arange(3), seed=0, smiling=True)]
        [5, 10]
    """
    known, inner = len(FACTORS), len(FACTORS) + len(IDENTITY)
    numbers = random_numbers(index, seed, inner + smiling)
    return torch.cat([numbers[:, :known], numbers[:, inner:]], 1), numbers[:, known:inner]


def ellipsoids(width: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
    """Centers and axes of skull, nose, ears and neck, (n, 5, 3) each.

    The axis x points to the side, y up, z to the front.
    """
    one, x = torch.ones_like(width), 0.66 + 0.16 * width
    nose = 1 + 0.35 * identity[:, 0]
    centers = [
        (0 * one, 0 * one, 0 * one),
        (0 * one, -0.12 * one, 0.78 * one),
        (x, 0 * one, -0.05 * one),
    ]
    centers += [(-x, 0 * one, -0.05 * one), (0 * one, -1.1 * one, -0.12 * one)]
    axes = [
        (x, 0.92 * one, 0.8 * one),
        (0.11 * nose, 0.2 * one, 0.2 * nose),
        (0.07 * one, 0.19 * one, 0.13 * one),
    ]
    axes += [(0.07 * one, 0.19 * one, 0.13 * one), (0.36 * one, 0.6 * one, 0.36 * one)]
    return tuple(
        torch.stack([torch.stack(part, 1) for part in group], 1) for group in (centers, axes)
    )  # type: ignore[return-value]


def rotations(azimuth: Tensor, elevation: Tensor) -> Float[Tensor, "n 3 3"]:
    """Rotations from head coordinates to camera coordinates."""
    a, e = azimuth * math.radians(60), elevation * math.radians(25)
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    around_y = torch.stack(
        [a.cos(), zero, a.sin(), zero, one, zero, -a.sin(), zero, a.cos()], 1
    ).view(-1, 3, 3)
    around_x = torch.stack(
        [one, zero, zero, zero, e.cos(), -e.sin(), zero, e.sin(), e.cos()], 1
    ).view(-1, 3, 3)
    return around_x @ around_y


def render(
    factors: Float[Tensor, "n q"], identity: Float[Tensor, "n k"], side: int = 32
) -> UInt8[Tensor, "n 1 side side"]:
    """Images of heads, or of faces.

    Arguments:
        factors: Azimuth, elevation, lighting and width, each in [-1, 1]; for faces a smile as well.
        identity: The ten numbers of a head, each in [-1, 1].
        side: Side of the images (pixels), at least 16.

    Example:
        >>> render(torch.zeros(1, 4), torch.zeros(1, 10)).shape
        torch.Size([1, 1, 32, 32])
    """
    if side < 16:
        raise UsageError(f"Heads of {side} pixels show nothing: choose --size 16 or more.")
    known = factors.shape[1] in (len(FACTORS), len(FACE_FACTORS))
    if not known or identity.shape[1] != len(IDENTITY) or len(factors) != len(identity):
        shapes = tuple(factors.shape), tuple(identity.shape)
        raise UsageError(
            f"Heads were asked for with factors and identities of shapes {shapes}, "
            f"expected (n, 4) or with a smile (n, 5), and (n, {len(IDENTITY)})."
        )
    if len(factors) and (factors.abs().max() > 1 or identity.abs().max() > 1):
        raise UsageError("A factor of a head lies outside [-1, 1]: give numbers between.")
    if not len(factors):
        return torch.empty(0, 1, side, side, dtype=torch.uint8)
    return torch.cat(
        [
            rendered(f, part, side)
            for f, part in zip(factors.split(32), identity.split(32), strict=True)
        ]
    )


def rendered(factors: Tensor, identity: Tensor, side: int) -> Tensor:
    """Renders a batch whose rays fit into the processor's cache, with four rays per pixel."""
    n, fine = len(factors), 2 * side
    line = (torch.arange(fine) + 0.5) / fine * 2 - 1
    u, v = line.repeat(fine) * 1.12, -line.repeat_interleave(fine) * 1.12
    basis = torch.stack([torch.ones_like(u), u, v, u * u, u * v, v * v])  # (6, rays)

    rotation = rotations(factors[:, 0], factors[:, 1])
    centers, axes = ellipsoids(factors[:, 3], identity)
    # The camera's axes in each sphere's space, (n, 5, 3).
    right, up, back = (rotation[:, i, None, :] / axes for i in range(3))
    c, q = centers / axes, -back
    # Polynomials in u and v for |p + t q|^2 = 1: half the linear coefficient, the constant
    # coefficient, and their discriminant.
    b = torch.stack([-dot(c, q), dot(right, q), dot(up, q)], 2)  # (n, 5, 3)
    constant = [dot(c, c) - 1, -2 * dot(right, c), -2 * dot(up, c)]
    constant += [dot(right, right), 2 * dot(right, up), dot(up, up)]
    qq = dot(q, q)
    b0, b1, b2 = b.unbind(2)
    squares = [b0**2, 2 * b0 * b1, 2 * b0 * b2, b1**2, 2 * b1 * b2, b2**2]
    quadratic = torch.stack(squares, 2) - qq[..., None] * torch.stack(constant, 2)
    discriminant = quadratic @ basis  # (n, 5, rays)
    t = (-(b @ basis[:3]) - discriminant.clamp(min=0).sqrt()) / qq[..., None]
    t = t.masked_fill(discriminant < 0, torch.inf)
    nearest, which = t.min(1)
    hit = nearest.isfinite()
    depth = nearest.masked_fill(~hit, 0.0)

    angle = factors[:, 2] * math.radians(80)
    light = torch.stack([angle.sin(), torch.full_like(angle, 0.35), angle.cos()], 1)
    light = torch.nn.functional.normalize(light, dim=1)
    light = (light[:, None] @ rotation).squeeze(1)  # in head coordinates
    points = []
    towards, length = torch.zeros_like(depth), torch.zeros_like(depth)
    for k in range(3):
        r_k, u_k, c_k, q_k, a_k = (t[..., k].gather(1, which) for t in (right, up, c, q, axes))
        point = r_k * u + u_k * v - c_k + depth * q_k
        normal = point / a_k
        towards, length = towards + normal * light[:, k, None], length + normal.square()
        points.append(point)
    lambert = (towards * torch.rsqrt(length + 1e-9)).clamp(min=0)
    x, y, z = points
    if factors.shape[1] == len(FACTORS):
        skull = painted(x, y, z, identity)
    else:
        skull = expressive(x, y, z, identity, factors[:, 4])
    albedo = torch.where(which == SKULL, skull, skin_of(identity)[:, None])
    shade = (albedo * (0.18 + 0.82 * lambert) * hit).view(n, 1, fine, fine)
    return (torch.nn.functional.avg_pool2d(shade, 2) * 255).round().clamp(0, 255).byte()


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Scalar products of vectors (n, 5, 3), (n, 5)."""
    return (a * b).sum(2)


class Heads:
    """Heads, or faces, as a `LazyArray`: rendered when their rows are read."""

    def __init__(self, n: int, seed: int, side: int = 32, smiling: bool = False) -> None:
        self.seed, self.shape, self.dtype = seed, (n, 1, side, side), np.dtype(np.uint8)
        self.smiling = smiling

    def __len__(self) -> int:
        return self.shape[0]

    def scenes(self, rows: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
        """Factors (n, q) and identities (n, k) of images."""
        return drawn(np.asarray(rows).reshape(-1), self.seed, self.smiling)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return render(*self.scenes(rows), self.shape[2]).numpy()


def heads(n: int = 200_000, seed: int = 0, side: int = 32) -> Dataset:
    """A data set of n heads with their four factors.

    Example:
        >>> data = heads(1000)
        >>> data.batch(torch.tensor([5, 7]))[0].shape, factors(data).shape
        (torch.Size([2, 1, 32, 32]), torch.Size([1000, 4]))
    """
    return made("heads", n, seed, side)


def faces(n: int = 200_000, seed: int = 0, side: int = 32) -> Dataset:
    """A data set of n faces with their five factors.

    Example:
        >>> faces(1000, side=64).facts.factor_names
        ('azimuth', 'elevation', 'lighting', 'width', 'smile')
    """
    return made("faces", n, seed, side)


def made(name: str, n: int, seed: int, side: int) -> Dataset:
    """The set of this name, heads or faces."""
    if n < 1 or side < 16:
        raise UsageError(
            f"{name.capitalize()} need a number of at least 1 and a side of at least 16 pixels, "
            f"got {n} and {side}."
        )
    smiling = name == "faces"
    known, _ = drawn(np.arange(n), seed, smiling)
    facts = Facts(factors=known, factor_names=FACE_FACTORS if smiling else FACTORS)
    return Dataset(Spec(name, (1, side, side)), Heads(n, seed, side, smiling), facts=facts)


def factors(data: Dataset) -> Tensor:
    """The factors of the rows of a data set, (len(data), factors)."""
    if data.facts.factors is None:
        raise UsageError(
            f"Nothing is known of the factors behind '{data.spec.name}': give --data heads."
        )
    return data.facts.factors if data.rows is None else data.facts.factors[data.rows]
