"""zeuxis restore: noise removed, holes filled, pictures enlarged, with a model as the prior."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from PIL import Image
from torch import Tensor

from ..applications.restoration.benchmark import Degradation, benchmark, fingerprint, table
from ..applications.restoration.masks import (
    mask_from_box,
    mask_from_color,
    mask_from_file,
    require_some,
)
from ..applications.restoration.restore import (
    Factor,
    Restored,
    Sigma,
    Task,
    choose,
    denoise,
    inpaint,
    super_resolve,
)
from ..checkpoints.weights import load, shipped
from ..data.images import FORMATS, EncodedFiles, decode, image_paths
from ..errors import DataError, UsageError
from ..evaluation.features.feature_network import feature_network
from ..evaluation.images import phrase
from ..experiments.unseen import evaluation_data
from ..progress import out
from ..ranges import BaseConfig, Pixels, Range, SmallCount, SmallCountOrNone
from ..visual.grid import captioned, grid, save, to_image
from .inputs import FLAT, DataInput, ModelInput, sample_rows
from .provenance import provenance
from .record_options import RecordOptions

Offset = Annotated[int, Range(0, 16_384)]
SAMPLES = 8  # behind a mean that is not known without them, unless --samples says
HIDDEN = 96  # the gray in which a sheet shows hidden pixels


@dataclass(frozen=True)
class WholeFiles(BaseConfig, flags="--"):
    """Images from files, in their own size."""

    paths: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE")] = ()
    """Image files or folders of them."""


@dataclass(frozen=True)
class Restore(BaseConfig, flags="--"):
    """Restores images of any size: zeuxis restore RUN IMAGE ... --task denoise. Without images,
    zeuxis restore RUN --task denoise [--data DATA] degrades images of the data set, restores them
    and measures the error next to methods without a model. Restored pixels are plausible and no
    evidence."""

    model: Annotated[ModelInput, FLAT]
    files: Annotated[WholeFiles, FLAT] = field(default_factory=WholeFiles)
    task: Task = "denoise"
    """Remove Gaussian noise, fill in hidden pixels, or enlarge."""
    sigma: Sigma = 25.0
    """Standard deviation of the noise (gray levels of 255)."""
    mask: str = ""
    """Which pixels are hidden: a picture as large as the image, white where hidden; for a data set
    one of center, drop-50, drop-80, bottom, left and quadrant."""
    box: tuple[Offset, Offset, Pixels, Pixels] | None = None
    """Hide a box: top, left, height and width (pixels)."""
    mask_color: str = ""
    """Hide the pixels of this color, as #ff00ff."""
    factor: Factor = 2
    """Pixels of the enlarged picture for one of the image, along each side."""
    samples: SmallCountOrNone = 0
    """Samples to draw as well, which differ where the image says nothing."""
    method: str = "auto"
    """How: auto, or a method's name; classical needs nothing of the model."""
    also: tuple[str, ...] = ()
    """Other models to measure in the same table: run folders or names."""
    n: SmallCount = 200
    """Images of the data set, chosen by the seed."""
    images: Annotated[DataInput, FLAT] = field(default_factory=DataInput)
    out: str = "restored.png"
    """The picture file; for several images a folder, which ends in /."""
    record: Annotated[RecordOptions, FLAT] = field(default_factory=RecordOptions)


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Restore, args=argv, prog="zeuxis restore")
    masks = [bool(args.mask), args.box is not None, bool(args.mask_color)]
    if sum(masks) != (args.task == "inpaint") and (args.files.paths or args.task != "inpaint"):
        raise UsageError(
            "Say what is hidden by one of --mask, --box and --mask-color, for --task inpaint only."
        )
    model = args.model.load()
    choose(model, args.task, args.method)
    if args.files.paths:
        restore_files(model, args)
    else:
        measure(model, args)


def restore_files(model: Any, args: Restore) -> None:
    """Restores image files and writes the pictures."""
    if args.record.record:
        raise UsageError("--record keeps the figures of a data set: leave out the image files.")
    if args.also:
        raise UsageError("--also compares models on a data set: leave out the image files.")
    files = image_paths(args.files.paths)
    if len(files) > 1 and not args.out.endswith("/"):
        raise UsageError(
            f"{len(files)} restored images need a folder: end --out in /, as in --out restored/."
        )
    for i, path in enumerate(files):
        x = read(path)
        visible = visible_of(x, args) if args.task == "inpaint" else None
        restored = restore_one(model, x, visible, args)
        target = Path(args.out)
        if args.out.endswith("/"):
            target = target / f"{i:03}-{path.stem}.png"
        save(to_image(restored.mean[0]), target)
        out.print(f"{target} ({restored.method})", markup=False, soft_wrap=True)
        if args.samples:
            sheet = target.with_name(f"{target.stem}-samples{target.suffix}")
            text = f"given, restored, and {args.samples} samples"
            shown = x if visible is None else torch.where(visible, x, HIDDEN)
            given = enlarged_to(shown, restored.mean.shape[2:])
            pictures = torch.cat([given, restored.mean, restored.samples[:, 0]])
            picture = captioned(grid(pictures), text)
            out.print(str(save(picture, sheet)), markup=False, soft_wrap=True)


def restore_one(model: Any, x: Tensor, visible: Tensor | None, args: Restore) -> Restored:
    """One image, (C, H, W), and for inpainting which of its pixels are seen."""
    _, method = choose(model, args.task, args.method)
    settings: dict[str, Any] = {
        "n": args.samples or (SAMPLES if method.mean is None else 1),
        "method": args.method,
        "seed": args.images.seed,
    }
    if args.task == "denoise":
        return denoise(model, x[None], args.sigma, **settings)
    if args.task == "super-resolve":
        return super_resolve(model, x[None], args.factor, **settings)
    assert visible is not None
    return inpaint(model, x[None], visible, **settings)


def visible_of(x: Tensor, args: Restore) -> Tensor:
    """Which pixels of an image are seen, (height, width)."""
    height, width = x.shape[1:]
    if args.box is not None:
        visible = mask_from_box(args.box, height, width)
    elif args.mask_color:
        visible = mask_from_color(x, args.mask_color)
    else:
        visible = mask_from_file(args.mask, height, width)
    require_some(visible)
    return visible


def enlarged_to(x: Tensor, size: Sequence[int]) -> Tensor:
    """The given image, with repeated pixels where the restored one is larger."""
    factor = size[0] // x.shape[1]
    return x.repeat_interleave(factor, 1).repeat_interleave(factor, 2)[None]


def read(path: Path) -> Tensor:
    """An image file as uint8 (C, H, W); gray stays gray.

    Raises:
        DataError: It is damaged or partly transparent.
    """
    files = EncodedFiles([path])
    data = files.read(0)
    x = torch.from_numpy(decode(data, files.where(0)).copy())
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        alpha = (
            picture.convert("RGBA").getchannel("A").getextrema()
            if has_alpha(picture)
            else (255, 255)
        )
    if alpha != (255, 255):
        raise DataError(
            f"The image {files.where(0)} has transparent pixels, whose color is not known: put it "
            "on a background first, or hide them with --mask."
        )
    return x


def has_alpha(picture: Image.Image) -> bool:
    """Whether an image may have transparent pixels."""
    return picture.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in picture.info


def measure(model: Any, args: Restore) -> None:
    """Degrades, restores and measures images of a data set."""
    if args.box is not None or args.mask_color:
        raise UsageError("Images of a data set are hidden by name, as in --mask center.")
    began = time.monotonic()
    whole, images = args.images.load(args.model, model.spec)
    data = sample_rows(whole, args.n, args.images.generator())
    training, _ = evaluation_data(args.model.name, args.images.data, "train")
    degradation = Degradation(args.task, args.sigma, args.mask or "center", args.factor)
    known = f"{data.spec.name}/classifier" in shipped()
    network = feature_network(None, data.spec.name) if known else None
    n = args.samples or SAMPLES
    others = [load(name) for name in args.also]
    figures = benchmark(
        [model, *others],
        data,
        training,
        degradation,
        n=n,
        method=args.method,
        seed=args.images.seed,
        network=network,
    )
    out.print(f"{data.spec.name}, {len(data):,} of {len(whole):,} {phrase(images.split)}")
    out.print(table(figures))
    if args.record.record:
        details = provenance(args.model.name) | images.as_dict() | degradation.as_dict()
        details |= {"images": len(data), "samples": n, "method": args.method}
        x = data.batch(torch.arange(len(data)))[0].cpu().float()
        details["degraded"] = fingerprint(degradation.apply(x, args.images.seed)[0])
        if others:
            details["also"] = {name: provenance(name) for name in args.also}
        if network is not None:
            details["network"] = f"{network.name} {network.hash}"
        args.record.write(figures, began, args.images.seed, **details)
