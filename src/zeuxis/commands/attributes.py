"""zeuxis attributes: directions in latent space for attributes of images, measured, saved and
drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from ..applications.attributes import attribute_sheet, measure_directions
from ..applications.directions import DIRECTIONS_FILE, Directions, save_directions
from ..applications.edit_effects import Effects, edit_effects, fit_reader
from ..applications.reconstruct import Autoencoder, encode_dataset, image_autoencoder
from ..data.attributes import Attributes, attributes_of, image_names, read_attributes
from ..data.config import DataConfig
from ..data.dataset import Dataset, Spec
from ..errors import UsageError
from ..evaluation.features.feature_network import weights_hash
from ..evaluation.images import Images, phrase
from ..experiments.unseen import source_of
from ..progress import console, out
from ..ranges import BaseConfig, CountOrNone, FractionBelowOne, Positive, SmallCount
from ..visual.grid import save
from .inputs import FLAT, DataInput, ModelInput, sample_positions
from .provenance import provenance
from .record_options import RecordOptions


@dataclass(frozen=True)
class FindAttributes(BaseConfig, flags="--"):
    """Computes for each attribute the direction in latent space that leads from images without it
    to images with it, measures how well the direction separates held-out images (AUC), saves it
    beside the model for `zeuxis edit`, and draws its effect. Attributes come from a CSV, else they
    are the factors of rendered heads, else the classes of the data set, each against the rest."""

    model: Annotated[ModelInput, FLAT]
    data: Annotated[DataInput, FLAT] = field(default_factory=DataInput)
    labels: str = ""
    """A CSV with the first line `file,smiling,glasses,...` and 0 or 1 (or -1 and 1), or numbers,
    for each image; an empty cell where unknown. CelebA's list_attr_celeba is read as it is. Where
    images are no files, `file` is their number from 0. Of a set without a test part all images in
    the table are used, also those that the model was trained on."""
    n: CountOrNone = 10_000
    """Images with a known attribute, chosen by the seed; 0 means all."""
    hold_out: FractionBelowOne = 0.2
    """Share of them on which directions are tested."""
    together: bool = False
    """Fit all attributes at once, so that each direction holds the others fixed: for attributes
    that are correlated in the data."""
    rows: SmallCount = 3
    """Images drawn in each panel of the picture."""
    columns: SmallCount = 7
    """Steps drawn of each image, an odd number: the middle one is the reconstruction."""
    reach: Positive = 3.0
    """Steps drawn to either side (a step: from without to with, or one standard deviation of a
    number)."""
    effects: CountOrNone = 0
    """Images that are edited to measure what one step along each direction changes: a network
    fitted to the other images reads all attributes of the edited ones (a minute or more); 0 leaves
    it out."""
    out: str = "attributes.png"
    """The picture file."""
    file: str = ""
    """File of the directions; by default attributes.safetensors in the run folder."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(FindAttributes, args=argv, prog="zeuxis attributes")
    began = time.monotonic()
    model = image_autoencoder(args.model.load(), "find attributes in its latent space")
    data, images = load(args, model.spec)
    known = read_labels(data, args) if args.labels else attributes_of(data)
    positions = sample_positions(known.known, args.n, args.data.generator())
    chosen, known = data.take(positions), known.take(positions)
    z = encode_dataset(model, chosen)
    directions = measure_directions(
        z,
        known,
        together=args.together,
        hold_out=args.hold_out,
        seed=args.data.seed,
        weights=weights_hash(model),
    )
    picture = attribute_sheet(model, z[: args.rows], directions, args.reach, args.columns)
    if rare := [name for name in known.names if name not in directions.names]:
        console.print(
            f"Left out, since too few images have them, or lack them: {', '.join(rare)}.",
            markup=False,
            soft_wrap=True,
        )
    out.print(directions.table(f"{data.spec.name}: {len(z):,} {phrase(images.split)} encoded"))
    changes = effects_of(model, chosen, known, directions, args) if args.effects else None
    if changes is not None:
        out.print(changes.table())
    file = Path(args.file) if args.file else args.model.run().path(DIRECTIONS_FILE)
    for path in (save_directions(directions, file), save(picture, args.out)):
        out.print(str(path), markup=False, soft_wrap=True)
    if args.record.record:
        details = provenance(args.model.name) | {"images": len(z)} | images.as_dict()
        figures = directions.as_dict() | (changes.as_dict() if changes else {})
        args.record.write(figures, began, args.data.seed, **details)


def effects_of(
    model: Autoencoder,
    data: Dataset,
    known: Attributes,
    directions: Directions,
    args: FindAttributes,
) -> Effects:
    """Edits the last images, and reads the change with a network fitted to the others."""
    n = args.effects
    if n >= len(data):
        raise UsageError(
            f"--effects {n:,} leaves none of the {len(data):,} images to fit a reader to: edit "
            "fewer, or give --n 0."
        )
    x = data.all()
    rest = torch.arange(len(data) - n)
    readable = fit_reader(x[:-n], known.take(rest), seed=args.data.seed)
    return edit_effects(model, x[-n:], directions, readable, known.names)


def load(args: FindAttributes, spec: Spec) -> tuple[Dataset, Images]:
    """The images that directions are measured on: of a folder all that the table knows, since few
    are labeled."""
    data, images = args.data.load(args.model, spec)
    if not args.labels or args.data.split != "test" or images.split != "held-out":
        return data, images
    whole = source_of(args.model.run(), args.data.data).load("train")
    return whole, Images("labeled", len(whole), len(whole))


def read_labels(data: Dataset, args: FindAttributes) -> Attributes:
    """The table of --labels; prints how many of its lines belong to no image."""
    source: DataConfig = source_of(args.model.run(), args.data.data)
    part = "test" if args.data.split == "test" else "train"
    names = image_names(replace(data, rows=None), source.data, part, source.limit)
    table, unmatched = read_attributes(args.labels, names)
    if unmatched:
        console.print(
            f"{len(unmatched):,} lines of '{args.labels}' name no image of '{data.spec.name}', "
            f"as '{unmatched[0]}'.",
            markup=False,
            soft_wrap=True,
        )
    return table if data.rows is None else table.take(data.rows)
