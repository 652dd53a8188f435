"""zeuxis attributes: directions among a model's codes for what is known of images, measured, saved
and drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro

from ..applications.attributes import FILE, measure, save_directions, sheet
from ..applications.reconstruct import autoencoder, codes_of
from ..checkpoints.run_folder import Run
from ..checkpoints.weights import load, resolve
from ..data.attributes import Attributes, attributes_of, image_names, read_attributes
from ..data.config import DataConfig
from ..data.dataset import Dataset
from ..errors import UsageError
from ..evaluation.features.feature_network import weights_hash
from ..evaluation.images import check_split, phrase
from ..evaluation.record import write_record
from ..experiments.unseen import evaluation_data, source_of
from ..progress import console, out
from ..ranges import BaseConfig, CountOrNone, Few, Part, Positive, Seed
from ..visual.grid import save
from .provenance import provenance


@dataclass(frozen=True)
class FindAttributes(BaseConfig, flags="--"):
    """Finds for each attribute the direction among codes that leads from images without it to
    images with it, prints how well it tells images apart, saves it beside the model for
    `zeuxis edit`, and draws what it does. Attributes come from a CSV, else they are the factors of
    rendered heads, else the classes of the data set, each against the rest."""

    model: tyro.conf.Positional[str]
    """A run folder of a model that encodes and decodes images."""
    data: str = ""
    """Images to encode, as --data of train takes them; by default the run's own data set."""
    labels: str = ""
    """A CSV with the first line `file,smiling,glasses,...` and 0 or 1 (or -1 and 1), or numbers,
    for each image; an empty cell where unknown. CelebA's list_attr_celeba is read as it is. Where
    images are no files, `file` is their number from 0."""
    split: str = "test"
    """Which part of the data: test (of a set with one part the images that were not trained on),
    train or held-out."""
    n: CountOrNone = 10_000
    """Images to encode; 0 means all of which anything is known."""
    hold_out: Part = 0.2
    """Share of them that directions are tested on and not computed from."""
    together: bool = False
    """Fit all attributes at once, so that each direction holds the others fixed: for attributes
    that go together in the data."""
    rows: Few = 3
    """Images drawn in each panel of the picture."""
    columns: Few = 7
    """Steps drawn of each, an odd number: the middle one is the reconstruction."""
    reach: Positive = 3.0
    """How far the picture goes to either side (steps: from without to with, or one standard
    deviation of a number)."""
    out: str = "attributes.png"
    """Where the picture goes."""
    file: str = ""
    """Where the directions go; by default attributes.safetensors in the run folder."""
    seed: Seed = 0
    """Fixes the choice of images and which are held out."""
    weights: str = ""
    """Which file of the folder to take the weights from."""
    record: str = ""
    """Write the figures with command, seed, machine and time to this JSON file."""
    paper: str = ""
    """The published figure, for the record."""
    note: str = ""
    """What a reader of the record must know."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(FindAttributes, args=words, prog="zeuxis attributes")
    check_split(wish.split)
    began = time.monotonic()
    model = autoencoder(load(wish.model, wish.weights), "find attributes among its codes")
    data, used = evaluation_data(wish.model, wish.data, wish.split)
    if data.spec.shape != model.spec.shape:
        raise UsageError(
            f"'{data.spec.name}' has images of shape {data.spec.shape} and the model "
            f"knows {model.spec.shape}."
        )
    known = (
        labeled(data, source_of(Run.open(resolve(wish.model)), wish.data), wish)
        if wish.labels
        else attributes_of(data)
    )
    chosen = known.known
    if 0 < wish.n < len(chosen):
        chosen = chosen[
            torch.randperm(len(chosen), generator=torch.Generator().manual_seed(wish.seed))[
                : wish.n
            ]
        ]
    codes, known = codes_of(model, data.take(chosen)), known.take(chosen)
    stamp = weights_hash(model)
    found = measure(
        codes, known, together=wish.together, hold_out=wish.hold_out, seed=wish.seed, weights=stamp
    )
    picture = sheet(model, codes[: wish.rows], found, wish.reach, wish.columns)
    if rare := [name for name in known.names if name not in found.names]:
        console.print(
            f"Left out, since too few images have them, or lack them: {', '.join(rare)}.",
            markup=False,
            soft_wrap=True,
        )
    out.print(found.table(f"{data.spec.name}: {len(codes):,} {phrase(used.split)} encoded"))
    path = Path(wish.file) if wish.file else resolve(wish.model) / FILE
    for made in (save_directions(found, path), save(picture, wish.out)):
        out.print(str(made), markup=False, soft_wrap=True)
    if wish.record:
        more = provenance(wish.model) | {"images": len(codes)} | used.as_dict()
        seconds, figures = time.monotonic() - began, found.as_dict()
        path = write_record(
            wish.record,
            figures,
            seconds=seconds,
            seed=wish.seed,
            paper=wish.paper,
            note=wish.note,
            **more,
        )
        out.print(f"Record: {path}", markup=False, soft_wrap=True)


def labeled(data: Dataset, source: DataConfig, wish: FindAttributes) -> Attributes:
    """The table of --labels, with a line on what in it belongs to no image."""
    names = image_names(
        replace(data, rows=None),
        source.data,
        "test" if wish.split == "test" else "train",
        source.limit,
    )
    whole, others = read_attributes(wish.labels, names)
    table = whole if data.rows is None else whole.take(data.rows)
    if others:
        text = (
            f"{len(others):,} lines of '{wish.labels}' name no image of "
            f"'{data.spec.name}', as '{others[0]}'."
        )
        console.print(text, markup=False, soft_wrap=True)
    return table
