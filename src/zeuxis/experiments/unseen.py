"""Which images a run may be scored by: those it did not see, known by their hashes wherever they
lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
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
        labels: A CSV of file and label, for a folder given as `data`.
        limit: Use the first so many.

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
    source = source_of(folders[0], data if isinstance(data, str) else "", labels, limit)
    part = "test" if split == "test" else "train"
    found = data if isinstance(data, Dataset) else source.load(part)
    kind = found.facts.part or ("" if isinstance(data, Dataset) else part)
    masks = [mask for run in folders if (mask := trained_rows(run, data, found, kind)) is not None]
    seen = torch.stack(masks).any(0) if masks else torch.zeros(len(found), dtype=torch.bool)
    if kind == "test" and split == "test" and 2 * int(seen.sum()) <= len(found):
        return marked(found, Images("test", len(found), len(found)))
    if not masks:
        if split == "held-out":
            raise UsageError(
                f"'{names[0]}' was not trained on '{found.spec.name}' and held nothing "
                "of it out: leave out --split."
            )
        return marked(found, Images(kind or "all", len(found), len(found)))
    if limit is not None and not isinstance(
        data, Dataset
    ):  # the first of those that count, not what counts among the first
        whole, about = evaluation_data(names, data, split, labels=labels)
        few = whole.take(torch.arange(min(limit, len(whole))))
        return marked(few, replace(about, images=len(few)))
    chosen = torch.nonzero(seen if split == "train" else ~seen)[:, 0]
    if split == "held-out" and not len(chosen):
        raise UsageError(
            f"'{names[0]}' held no images out: train with --training.hold-out N, or "
            "leave out --split."
        )
    if split == "train" or not len(chosen):
        used = found.take(chosen) if 0 < len(chosen) < len(found) else found
        return marked(used, Images("trained on", len(used), len(found)))
    held = kept_held_out(folders[0].read_config(), str(folders[0].path("config.json")))
    return marked(
        found.take(chosen),
        Images("held-out", len(chosen), len(found), held["seed"] if held else None),
    )


def marked(data: Dataset, images: Images) -> tuple[Dataset, Images]:
    """The data set with a note of what its images are called."""
    return replace(data, facts=replace(data.facts, split=images.split)), images


def source_of(
    run: Run, data: str = "", labels: str | None = None, limit: int | None = None
) -> DataConfig:
    """Where a run's own data set lies, or another one brought to the size and channels of its
    images."""
    about, where = run.read_config(), str(run.path("config.json"))
    spec = from_json(Spec, about["spec"], where)
    if not data:
        own = own_data_config(about, where)
        return replace(own, labels=labels or own.labels, limit=limit or own.limit)
    size, channels = (spec.shape[-1], spec.shape[0]) if len(spec.shape) == 3 else (None, None)
    return DataConfig(data, size, channels, labels=labels, limit=limit)


def trained_rows(
    run: Run, given: str | Dataset, found: Dataset, part: str
) -> Bool[Tensor, "n"] | None:
    """Which of these examples a run was trained on; None if they have nothing to do with its
    data."""
    about = run.read_config()
    if run.path(FILE).exists():
        own, out = remembered(run)
        kept = torch.ones(len(own), dtype=torch.bool)
        kept[out] = False
        mine = hashes(found) if found.spec.shape == tuple(about["spec"]["shape"]) else own[:0]
        n = min(len(own), len(mine))
        if n and torch.equal(own[:n], mine[:n]):  # by row, since a set may hold an image twice
            return torch.cat([kept[:n], torch.zeros(len(mine) - n, dtype=torch.bool)])
        return torch.isin(mine, own[kept]) if torch.isin(mine, own).any() else None
    if part == "test" or not same_source(about, given, part):
        return None
    kept = torch.ones(len(found), dtype=torch.bool)
    held = kept_held_out(about, str(run.path("config.json"))) or {"images": 0}
    if 0 < held["images"] < len(found):
        kept[held_rows(found, held)] = False
    return kept


def remembered(run: Run) -> tuple[Tensor, Tensor]:
    """The hashes of a run's examples and the rows it held out."""
    table, _ = run.read_tensors(FILE)
    found = [table.get(name, torch.empty(0)) for name in ("hashes", "held_out")]
    whole = all(t.dtype == torch.int64 and t.dim() == 1 for t in found)
    if not whole or (
        len(found[1]) and not 0 <= int(found[1].min()) <= int(found[1].max()) < len(found[0])
    ):
        raise ZeuxisError(f"'{run.path(FILE)}' is damaged: restore it from a copy.")
    return found[0], found[1]


def same_source(about: dict[str, Any], given: str | Dataset, part: str) -> bool:
    """Whether data are the run's own by their name or place."""
    own = str(about.get("data", {}).get("data", ""))
    if isinstance(given, Dataset):
        return is_built_in(own) and part == "train" and given.spec.name == own.split("=")[0]
    if is_built_in(own):
        return (given or own).split("=")[0] == own.split("=")[0]
    return bool(own) and (
        not given or Path(own).expanduser().resolve() == Path(given).expanduser().resolve()
    )
