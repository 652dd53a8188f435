r"""What is painted on a rendered head: eyes, brows, mouth and hair, with or without an expression.

Points are on the unit sphere that the skull is mapped to: x to the side, y up, z to the front. A
feature is a spot or a band whose border is soft, so that the image is continuous in all numbers.

A **smile** s from -1 (frown) to 1 (wide smile) bends the line of the mouth,

$$ y(x) = y_0 + s\,(0.2\,(x / w)^2 - 0.09), \qquad w = w_0 (1 + 0.18\,s) , $$

so that its corners rise and move outwards. Above 0 the lips open and show teeth, the cheeks rise
and shine, folds run from the nose to the corners, and the lower lids come up. Below 0 folds run
down from the corners and the inner ends of the brows come down.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Points = Float[Tensor, "n pixels"]
SHARPNESS = 22.0  # of the border of lips; about a pixel wide at 32 pixels


def off_center(
    x: Points, y: Points, at: tuple[Tensor, Tensor], size: tuple[Tensor, Tensor]
) -> Points:
    """Squared distances from a center, 1 on the ellipse of this size."""
    dx, dy = (x - at[0][:, None]) / size[0][:, None], (y - at[1][:, None]) / size[1][:, None]
    return dx.square() + dy.square()


def blob(x: Points, y: Points, at: tuple[Tensor, Tensor], size: tuple[Tensor, Tensor]) -> Points:
    """An elliptic spot, 1 at its center and 0 at its border."""
    return (2 - 2 * off_center(x, y, at, size)).clamp(0, 1)


def glow(x: Points, y: Points, at: tuple[Tensor, Tensor], size: tuple[Tensor, Tensor]) -> Points:
    """An elliptic spot that fades from its center."""
    return (1 - off_center(x, y, at, size)).clamp(min=0)


def skin_of(identity: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
    """Albedo of the skin."""
    return 0.82 + 0.12 * identity[:, 8]


def with_hair(face: Points, y: Points, z: Points, identity: Tensor) -> Points:
    """Covers what lies behind the hairline by hair."""
    hairline = 0.52 + 0.1 * identity[:, 7]
    hair = (0.5 + 10 * (y + 0.75 * (-z).clamp(min=-0.3) - hairline[:, None] + 0.2)).clamp(0, 1)
    return torch.lerp(face, (0.3 + 0.2 * identity[:, 9])[:, None].expand_as(face), hair)


def painted(x: Points, y: Points, z: Points, identity: Float[Tensor, "n k"]) -> Points:
    """Albedo of a skull without expression."""
    one = torch.ones(len(identity))
    front = (z > 0).float()
    skin, dark = skin_of(identity), 0.1 * one
    distance, eye_y, eye = (
        0.36 + 0.05 * identity[:, 1],
        0.12 + 0.04 * identity[:, 2],
        0.13 + 0.03 * identity[:, 3],
    )
    face = skin[:, None].expand_as(x)
    for side in (-1, 1):
        brow = blob(
            x, y, (side * distance, eye_y + 0.17), (1.5 * eye, 0.055 + 0.02 * identity[:, 6])
        )
        white = blob(x, y, (side * distance, eye_y), (1.3 * eye, 0.7 * eye))
        pupil = blob(x, y, (side * distance, eye_y), (0.5 * eye, 0.6 * eye))
        for spot, color in ((brow, 0.25 * one), (white, 1.0 * one), (pupil, dark)):
            face = torch.lerp(face, color[:, None].expand_as(face), spot * front)
    mouth = blob(
        x, y, (0 * one, -0.47 + 0.05 * identity[:, 4]), (0.3 + 0.06 * identity[:, 5], 0.08 * one)
    )
    face = torch.lerp(face, (0.45 * skin)[:, None].expand_as(face), mouth * front)
    return with_hair(face, y, z, identity)


def expressive(
    x: Points, y: Points, z: Points, identity: Float[Tensor, "n k"], smile: Float[Tensor, "n"]
) -> Points:
    """Albedo of a skull with an expression.

    Features lie mirrored on both sides, so that those of one side are painted at abs(x).
    """
    side = x.abs()
    skin = skin_of(identity)[:, None]
    face = skin.expand_as(x)
    for paint in (eyes, cheeks, mouth):
        face = paint(face, side, y, identity, smile)
    return with_hair(torch.where(z > 0, face, skin), y, z, identity)


def eyes(face: Points, x: Points, y: Points, identity: Tensor, smile: Tensor) -> Points:
    """Open eyes with iris, pupil, catchlight and lid, and brows."""
    at_x, at_y = 0.36 + 0.05 * identity[:, 1], 0.12 + 0.04 * identity[:, 2]
    eye, up = 0.145 + 0.03 * identity[:, 3], smile.clamp(min=0)
    inner = 0.2 * (-smile).clamp(min=0)[:, None] * (x - at_x[:, None])
    thick = 0.055 + 0.02 * identity[:, 6]
    lift = 0.02 * smile
    spots = (
        (blob(x, y - inner, (at_x, at_y + 0.18 + lift), (1.5 * eye, thick)), 0.22),
        (blob(x, y, (at_x, at_y + 0.012), (1.45 * eye, 0.86 * eye)), 0.3),  # rim of the lids
        (blob(x, y, (at_x, at_y - 0.01 + 0.02 * up), (1.35 * eye, (0.72 - 0.12 * up) * eye)), 1.0),
        (blob(x, y, (at_x, at_y), (0.62 * eye, 0.62 * eye)), 0.38),
        (blob(x, y, (at_x, at_y), (0.36 * eye, 0.36 * eye)), 0.05),
        (blob(x, y, (at_x - 0.2 * eye, at_y + 0.22 * eye), (0.2 * eye, 0.18 * eye)), 1.0),
    )
    for spot, color in spots:
        face = face + spot * (color - face)
    return face


def cheeks(face: Points, x: Points, y: Points, identity: Tensor, smile: Tensor) -> Points:
    """Shine on raised cheeks, folds beside the mouth of a smile and below that of a frown."""
    up, down = smile.clamp(min=0), (-smile).clamp(min=0)
    corner = (0.36 + 0.05 * identity[:, 5]) * (1 + 0.18 * smile)
    at_y = -0.47 + 0.05 * identity[:, 4]
    shine = glow(x, y, (corner + 0.1, at_y + 0.33), (0.28 + 0 * up, 0.22 + 0 * up))
    tilt = 0.45 * (y - at_y[:, None])
    fold = glow(x + tilt, y, (corner + 0.12, at_y + 0.17), (0.05 + 0 * up, 0.2 + 0 * up))
    sag = glow(x, y, (corner + 0.08, at_y - 0.17), (0.07 + 0 * up, 0.16 + 0 * up))
    factor = 1 + 0.2 * up[:, None] * shine - 0.4 * up[:, None] * fold
    return face * (factor - 0.25 * down[:, None] * sag)


def mouth(face: Points, x: Points, y: Points, identity: Tensor, smile: Tensor) -> Points:
    """Lips on a bent line, and teeth between them when they are open."""
    s, up = smile[:, None], smile.clamp(min=0)[:, None]
    half = ((0.36 + 0.05 * identity[:, 5]) * (1 + 0.18 * smile))[:, None]
    square = (x / half).square().clamp(max=1.2)
    height = y - (-0.47 + 0.05 * identity[:, 4])[:, None] - s * (0.2 * square - 0.09)
    taper = (1 - square).clamp(min=0).sqrt()
    gap = 0.09 * up * taper
    skin = skin_of(identity)[:, None]
    ends = (1.5 * taper).clamp(max=1)

    def below(border: Tensor | float) -> Tensor:
        return (0.5 + SHARPNESS * (border - height)).clamp(0, 1)

    upper = below(gap + 0.075 * taper) * (1 - below(gap)) * ends
    lower = below(-gap) * (1 - below(-gap - 0.1 * taper)) * ends
    at_shine = (0 * smile, -0.055 - 0.09 * up[:, 0])
    shine = blob(x, height, at_shine, (0.6 * half[:, 0], 0.04 + 0 * smile))
    face = face + upper * (0.5 * skin - face)
    face = face + lower * ((0.58 + 0.16 * shine) * skin - face)
    line = (1 - (height.abs() - gap).clamp(min=0) / 0.035).clamp(min=0) * ends
    face = face + line * (0.12 - face)
    teeth = below(gap - 0.01) * (1 - below(-0.55 * gap)) * (gap / 0.03).clamp(max=1)
    return face + teeth * (0.97 - face)
