r"""Groups of rendered faces in which one factor moves and all else is fixed.

This is the supervision of DC-IGN: the order of the data says *that* two images differ in azimuth
alone, and no value of any factor is given. Group g of seed s draws its *kind* from a ratio, one
scene (factors and identity), and for each of its images new values of what its kind moves:

- a named factor moves alone;
- in a group of the kind "intrinsic" the identity moves, with every factor that is not named.

Image i of group g is a function of (s, g, i). Its random numbers have columns that `faces` does not
use, so that no image of a group is one of that set.

Source: Kulkarni, Whitney, Kohli and Tenenbaum, "Deep Convolutional Inverse Graphics Network", 2015,
section 3.2; they have three factors in the ratio 1:1:1:10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import UsageError
from .dataset import Dataset
from .faces import FACTORS, IDENTITY, Heads, random_numbers, render

INTRINSIC = "intrinsic"
SCENE, MOVING = 16, 32  # first columns of a group's scene and kind, and of what moves in it


class FaceGroups:
    """Groups of faces as a `LazyArray`: rendered when their rows are read.

    Arguments:
        groups: Number of groups.
        size: Images of a group.
        seed: Another seed has other groups.
        side: Side of the images (pixels).
        named: The factors that may move alone, in the order of kinds.
        known: All factors of a scene.
        ratio: How often a kind is drawn relative to the others, the last for intrinsic groups.

    Attributes:
        kinds: What moves in each group, (groups,): the number of a named factor, or len(named).
        factors: The factors of every image, (groups size, known).
    """

    def __init__(
        self,
        groups: int,
        size: int,
        seed: int,
        side: int,
        named: Sequence[str],
        known: Sequence[str],
        ratio: Sequence[float],
    ) -> None:
        self.size, self.seed = size, seed
        self.shape, self.dtype = (groups * size, 1, side, side), np.dtype(np.uint8)
        self.numbers = len(known) + len(IDENTITY)
        drawn = random_numbers(np.arange(groups), seed, self.numbers + 1, SCENE)
        share = torch.tensor(ratio, dtype=torch.float64).cumsum(0)
        place = (drawn[:, -1].double() + 1) / 2 * share[-1]
        self.kinds = torch.bucketize(place, share[:-1], right=True)
        self.scenes = drawn[:, :-1]
        columns = [known.index(name) for name in named]
        self.moves = torch.zeros(len(named) + 1, self.numbers, dtype=torch.bool)
        self.moves[range(len(named)), columns] = True
        self.moves[-1] = True
        self.moves[-1, columns] = False
        self.known = len(known)
        self.factors = self.scene_of(np.arange(groups * size))[:, : self.known]

    def __len__(self) -> int:
        return self.shape[0]

    def scene_of(self, rows: np.ndarray) -> Float[Tensor, "n numbers"]:
        """Factors and identity of images."""
        group = torch.from_numpy(rows // self.size)
        moving = random_numbers(rows, self.seed, self.numbers, MOVING)
        return torch.where(self.moves[self.kinds[group]], moving, self.scenes[group])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        scene = self.scene_of(np.asarray(rows).reshape(-1))
        return render(scene[:, : self.known], scene[:, self.known :], self.shape[2]).numpy()


def grouped(
    data: Dataset,
    named: Sequence[str] = (*FACTORS, "smile"),
    size: int = 20,
    ratio: Sequence[float] = (),
) -> Dataset:
    """As many faces as a rendered set has, in groups of which each moves one factor or the rest.

    Its labels say what moves in an image's group, and `facts.group` is the size of a group. A data
    set that is in groups already, with these labels, is returned as it is.

    Arguments:
        data: Rendered faces or heads.
        named: The factors that move alone.
        size: Images of a group, at least 2.
        ratio: How often each of them moves, and last how often the rest does; by default equally
            often.

    Raises:
        UsageError: The images are not rendered and have no groups, or a factor is not theirs.

    Example:
        >>> from zeuxis.data.faces import faces
        >>> groups = grouped(faces(100), ("azimuth", "smile"))
        >>> len(groups), groups.spec.class_names, groups.facts.group
        (100, ('azimuth', 'smile', 'intrinsic'), 20)
    """
    kinds = (*named, INTRINSIC)
    if data.facts.group > 1:
        if data.facts.group != size or data.spec.class_names != kinds:
            raise UsageError(
                f"'{data.spec.name}' has groups of {data.facts.group} images of the kinds "
                f"{', '.join(data.spec.class_names) or 'none'}, expected {size} of "
                f"{', '.join(kinds)}: set --model.group and --model.factors to suit it."
            )
        return data
    if not isinstance(data.x, Heads):
        raise UsageError(
            f"'{data.spec.name}' has no groups of images in which one factor moves: give --data "
            "faces, or a Dataset of groups whose Facts have group=20 and whose labels say what "
            "moves."
        )
    known = data.facts.factor_names
    if not named or len(set(named)) < len(named) or not set(named) <= set(known):
        raise UsageError(
            f"({', '.join(named)}) cannot be the factors that move alone in '{data.spec.name}': "
            f"choose different ones of {', '.join(known)}."
        )
    ratio = ratio or (1.0,) * len(kinds)
    if len(ratio) != len(kinds) or min(ratio) < 0 or not sum(ratio) > 0:
        raise UsageError(
            f"The ratio of {len(kinds)} kinds of groups ({', '.join(kinds)}) is {tuple(ratio)}: "
            "give as many numbers of at least 0."
        )
    if size < 2 or len(data) < size:
        raise UsageError(
            f"{len(data)} images make no group of {size}: give at least {max(size, 2)} images and "
            "groups of at least 2."
        )
    x = FaceGroups(len(data) // size, size, data.x.seed, data.spec.shape[-1], named, known, ratio)
    spec = replace(data.spec, classes=len(kinds), class_names=kinds)
    facts = replace(data.facts, factors=x.factors, group=size)
    return Dataset(spec, x, x.kinds.repeat_interleave(size), facts=facts)
