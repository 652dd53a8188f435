"""Images held out of a training, and what knows its images again: a short hash of each.

A data set with a test part is scored by that. Of a set with one part only, a training holds a tenth
out (`TrainingConfig.hold_out`): number and seed are in `config.json`, and the hashes of all images,
with the rows held out, in `examples.safetensors`.
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
from ..errors import ZeuxisError
from .config import TrainingConfig

FILE = "examples.safetensors"
HASHED = 4 << 30  # bytes; larger sets are known by their place only
# of the tenth held out by default: the same for runs of all seeds, so that their scores compare
SEED = 0


def held_out(data: Dataset, training: TrainingConfig) -> dict[str, int]:
    """How many examples a training holds out, of how many, and the seed that draws them, as
    `config.json` keeps them."""
    if training.hold_out >= 0:
        return {"images": training.hold_out, "of": len(data), "seed": training.seed}
    one_part = data.facts.part == "all" and data.rows is None and len(data.spec.shape) == 3
    return {"images": len(data) // 10 if one_part else 0, "of": len(data), "seed": SEED}


def kept_held_out(about: dict[str, Any], where: str) -> dict[str, int] | None:
    """What `config.json` says was held out, as `held_out` gives it; None if it says nothing, as
    runs of earlier versions.

    Raises:
        ZeuxisError: It says something else.
    """
    found = about.get("held_out")
    if not found:
        return None
    names = ("images", "of", "seed")
    if not isinstance(found, dict) or not all(
        type(found.get(name)) is int and 0 <= found[name] < 2**63 for name in names
    ):
        raise ZeuxisError(
            f"'{where}' does not say how many images are held out: it is damaged, "
            "restore it from a copy."
        )
    return {name: found[name] for name in names}


def split_off(data: Dataset, held: dict[str, int]) -> tuple[Dataset, Dataset | None]:
    """What is trained on, and what is held out."""
    return hold_out(data, held["images"], held["seed"]) if held["images"] else (data, None)


def held_rows(data: Dataset, held: dict[str, int]) -> Int64[Tensor, "n"]:
    """Positions of the examples held out."""
    numbers = torch.arange(len(data))
    out = split_off(
        Dataset(Spec("", (1,), data.spec.classes), numbers[:, None], data.labels), held
    )[1]
    return torch.empty(0, dtype=torch.int64) if out is None else out.all()[:, 0]


def remember(run: Run, data: Dataset, held: dict[str, int], source: str) -> None:
    """Keeps what knows images of one's own again: a hash of each, and the rows held out."""
    if len(data.spec.shape) == 3 and not is_built_in(source) and data.nbytes <= HASHED:
        run.write_tensors(FILE, {"hashes": hashes(data), "held_out": held_rows(data, held)})


def hashes(data: Dataset) -> Int64[Tensor, "n"]:
    """64 bits of BLAKE2 of each example."""
    found: list[int] = []
    for rows in torch.arange(len(data)).split(1024):
        for x in data.batch(rows)[0].cpu().contiguous().numpy():
            found.append(
                int.from_bytes(
                    hashlib.blake2b(x.tobytes(), digest_size=8).digest(), "little", signed=True
                )
            )
    return torch.tensor(found, dtype=torch.int64)
