"""Which images a run may be scored by: those that it did not see, recognized by their hashes
wherever they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from ..checkpoints.ownership import own_data_config
from ..checkpoints.run_folder import Run
from ..checkpoints.serialization import from_json
from ..checkpoints.weights import resolve
from ..data.config import DataConfig, is_built_in
from ..data.dataset import Dataset, Spec
from ..errors import UsageError, ZeuxisError
from ..evaluation.images import Images, check_split
from ..training.held_out import FILE, hashes, held_rows, kept_held_out


def evaluation_data(
    runs: str | Path | Sequence[str | Path],
    data: str | Dataset = "",
    split: str = "test",
    *,
    labels: str | None = None,
    limit: int | None = None,
) -> tuple[Dataset, Images]:
    """The images that an evaluation of a run uses, and what they are called.

    Arguments:
        runs: A run folder, a saved or shipped model, or several that are evaluated together.
        data: A data set as `--data` takes it, or a `Dataset`; by default the run's own.
        split: "test": the test part; of a set with one part the images that no run saw, and if
            there are none, all of them. "train": those it was trained on, or the training part of
            another set. "held-out": those it held out.
        labels: A CSV of file and label, for a folder passed as `data`.
        limit: Use only this many, from the first on.

    Raises:
        UsageError: There is no such split, or nothing was held out.

    Example:
        >>> import zeuxis
        >>> data, images = zeuxis.evaluation_data("mnist/vae", limit=500)
        >>> len(data), str(images)
        (500, '500 test images')
    """
    check_split(split)
    names = [runs] if isinstance(runs, str | Path) else list(runs)
    folders = [Run.open(resolve(name)) for name in names]
    part = "test" if split == "test" else "train"
    if isinstance(data, Dataset):
        examples, kind = data, data.facts.part
    else:
        examples = source_of(folders[0], data, labels, limit).load(part)
        kind = examples.facts.part or part
    n = len(examples)
    masks = [trained_rows(run, data, examples, kind) for run in folders]
    known = [mask for mask in masks if mask is not None]
    seen = torch.stack(known).any(0) if known else torch.zeros(n, dtype=torch.bool)
    if kind == "test" and split == "test" and 2 * int(seen.sum()) <= n:
        return marked(examples, Images("test", n, n))
    if not known:
        if split == "held-out":
            raise UsageError(
                f"'{names[0]}' was not trained on '{examples.spec.name}' and held nothing "
                "of it out: leave out --split."
            )
        return marked(examples, Images(kind or "all", n, n))
    if limit is not None and not isinstance(data, Dataset):
        # The limit counts the images that are used, and not the ones they are chosen from.
        chosen, images = evaluation_data(names, data, split, labels=labels)
        first = chosen.take(torch.arange(min(limit, len(chosen))))
        return marked(first, replace(images, images=len(first)))
    rows = torch.nonzero(seen if split == "train" else ~seen)[:, 0]
    if split == "held-out" and not len(rows):
        raise UsageError(
            f"'{names[0]}' held no images out: train with --training.hold-out N, or "
            "leave out --split."
        )
    if split == "train" or not len(rows):
        used = examples.take(rows) if 0 < len(rows) < n else examples
        return marked(used, Images("trained on", len(used), n))
    held = kept_held_out(folders[0].read_config(), str(folders[0].path("config.json")))
    seed = held["seed"] if held else None
    return marked(examples.take(rows), Images("held-out", len(rows), n, seed))


def marked(data: Dataset, images: Images) -> tuple[Dataset, Images]:
    """The data set with a note of what its images are called."""
    return replace(data, facts=replace(data.facts, split=images.split)), images


def source_of(
    run: Run, data: str = "", labels: str | None = None, limit: int | None = None
) -> DataConfig:
    """Which data an evaluation loads: the run's own, or another set brought to the size and
    channels of the run's images."""
    about, where = run.read_config(), str(run.path("config.json"))
    spec = from_json(Spec, about["spec"], where)
    if not data:
        own = own_data_config(about, where)
        return replace(own, labels=labels or own.labels, limit=limit or own.limit)
    size, channels = (spec.shape[-1], spec.shape[0]) if len(spec.shape) == 3 else (None, None)
    return DataConfig(data, size, channels, labels=labels, limit=limit)


def trained_rows(
    run: Run, data: str | Dataset, examples: Dataset, part: str
) -> Bool[Tensor, "n"] | None:
    """Which examples a run was trained on; None if they have nothing to do with its data.

    Arguments:
        run: The run.
        data: How the user names the examples.
        examples: The examples.
        part: Their part of the data set.
    """
    about = run.read_config()
    if run.path(FILE).exists():
        return trained_by_hash(run, about, examples)
    if part == "test" or not same_data(about, data, part):
        return None
    trained = torch.ones(len(examples), dtype=torch.bool)
    held = kept_held_out(about, str(run.path("config.json"))) or {"images": 0}
    if 0 < held["images"] < len(examples):
        trained[held_rows(examples, held)] = False
    return trained


def trained_by_hash(run: Run, about: dict[str, Any], examples: Dataset) -> Bool[Tensor, "n"] | None:
    """Which examples a run was trained on, by the hashes that it keeps."""
    own, held = read_hashes(run)
    trained = torch.ones(len(own), dtype=torch.bool)
    trained[held] = False
    same_shape = examples.spec.shape == tuple(about["spec"]["shape"])
    values = hashes(examples) if same_shape else own[:0]
    n = min(len(own), len(values))
    if n and torch.equal(own[:n], values[:n]):  # by row, since a set may hold an image twice
        return torch.cat([trained[:n], torch.zeros(len(values) - n, dtype=torch.bool)])
    return torch.isin(values, own[trained]) if torch.isin(values, own).any() else None


def read_hashes(run: Run) -> tuple[Int64[Tensor, "n"], Int64[Tensor, "m"]]:
    """The hashes of a run's examples and the rows that it held out."""
    tensors, _ = run.read_tensors(FILE)
    own, held = (tensors.get(name, torch.empty(0)) for name in ("hashes", "held_out"))
    whole = all(t.dtype == torch.int64 and t.dim() == 1 for t in (own, held))
    if not whole or (len(held) and not 0 <= int(held.min()) <= int(held.max()) < len(own)):
        raise ZeuxisError(f"'{run.path(FILE)}' is damaged: restore it from a copy.")
    return own, held


def same_data(about: dict[str, Any], data: str | Dataset, part: str) -> bool:
    """Whether data are the run's own, by their name or place."""
    own = str(about.get("data", {}).get("data", ""))
    name = own.split("=")[0]
    if isinstance(data, Dataset):
        return is_built_in(own) and part == "train" and data.spec.name == name
    if is_built_in(own):
        return (data or own).split("=")[0] == name
    resolved = [Path(place).expanduser().resolve() for place in (own, data)]
    return bool(own) and (not data or resolved[0] == resolved[1])
