"""Images held out of a training, and hashes by which its images are recognized anywhere.

A data set with a test part is scored by that part. Of a set with one part, a training holds a tenth
out (`TrainingConfig.hold_out`). Their number and the seed are in `config.json`; a short hash of
every image and the rows held out are in `examples.safetensors`.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from ..checkpoints.run_folder import Run
from ..data import hold_out
from ..data.config import is_built_in
from ..data.dataset import Dataset, Spec
from ..data.streamed import Streamed
from ..errors import ZeuxisError
from .config import TrainingConfig

FILE = "examples.safetensors"
LARGEST_HASHED = 4 << 30  # bytes; larger sets are recognized by their place only
SEED = 0  # of the tenth held out by default: the same for all seeds, so that scores compare


def held_out(data: Dataset, training: TrainingConfig) -> dict[str, int]:
    """How many examples a training holds out, of how many, and the seed that draws them, as
    `config.json` keeps them."""
    if training.hold_out >= 0:
        return {"images": training.hold_out, "of": len(data), "seed": training.seed}
    one_part = data.facts.part == "all" and data.rows is None and len(data.spec.shape) == 3
    return {"images": len(data) // 10 if one_part else 0, "of": len(data), "seed": SEED}


def kept_held_out(about: dict[str, Any], where: str) -> dict[str, int] | None:
    """What `config.json` says was held out, as `held_out` gives it; None if it says nothing, as
    that of a model trained by `fit`.

    Raises:
        ZeuxisError: It says something else.
    """
    entry, keys = about.get("held_out"), ("images", "of", "seed")
    if not entry:
        return None
    if isinstance(entry, dict) and all(
        type(entry.get(key)) is int and 0 <= entry[key] < 2**63 for key in keys
    ):
        return {key: entry[key] for key in keys}
    raise ZeuxisError(
        f"'{where}' does not say how many images are held out: it is damaged, "
        "restore it from a copy."
    )


def split_off(data: Dataset, held: dict[str, int]) -> tuple[Dataset, Dataset | None]:
    """The examples to train on, and those held out."""
    return hold_out(data, held["images"], held["seed"]) if held["images"] else (data, None)


def held_rows(data: Dataset, held: dict[str, int]) -> Int64[Tensor, "n"]:
    """Positions of the examples held out."""
    positions = torch.arange(len(data))[:, None]
    numbered = Dataset(Spec("", (1,), data.spec.classes), positions, data.labels)
    unseen = split_off(numbered, held)[1]
    return torch.empty(0, dtype=torch.int64) if unseen is None else unseen.all()[:, 0]


def write_hashes(run: Run, data: Dataset, held: dict[str, int], place: str) -> None:
    """Writes a hash of every image of a user's own data set, and the rows held out.

    Arguments:
        run: The run folder.
        data: All examples.
        held: As `held_out` gives it.
        place: The data set's name or place; built-in sets are recognized by their name.
    """
    small = data.nbytes <= LARGEST_HASHED and not isinstance(data.x, Streamed)
    if len(data.spec.shape) == 3 and not is_built_in(place) and small:
        run.write_tensors(FILE, {"hashes": hashes(data), "held_out": held_rows(data, held)})


def hashes(data: Dataset) -> Int64[Tensor, "n"]:
    """64 bits of BLAKE2 of each example."""
    values: list[int] = []
    for rows in torch.arange(len(data)).split(1024):
        for x in data.batch(rows)[0].cpu().contiguous().numpy():
            digest = hashlib.blake2b(x.tobytes(), digest_size=8).digest()
            values.append(int.from_bytes(digest, "little", signed=True))
    return torch.tensor(values, dtype=torch.int64)
