r"""A lossless codec for images with any likelihood model.

A model with probability P(x) for an image can store it in $-\log_2 P(x)$ bits, and
no code is shorter on average if the model is right. Autoregressive models use a range coder
(`range_coding`), latent variable models use bits-back coding (`bits_back`) and need the bits of
their bound. Images of any size are cut into tiles (`tiles`) and stored in a file with checksums
(`container`). `entropy_coding` explains how encoder and decoder get the same integers from a
network.

Images are read, coded and written in blocks (`blocks`), so memory does not grow with their number.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from ..autoregressive.sampling import to_levels, to_pixels
from ..capabilities import CanAutoregress, CanBitsBack, has
from ..errors import DataError, MissingCapability, UsageError, ZeuxisError
from ..files import write
from ..model import Model
from ..progress import meter
from ..registry import models
from .baselines import Baselines
from .bits_back import BitsBack
from .blocks import TILES, blocks, digest, joined, runs
from .container import MAGIC, Block, Done, Header, Writer, sections
from .contents import survey
from .entropy_coding import (
    PRECISION,
    Advance,
    Coded,
    Coder,
    Precision,
    fingerprint,
    machine,
    reproducible,
)
from .image_sources import ImageSource, numbered
from .names import clash, fault
from .range_coding import RangeCoder
from .report import Report
from .tiles import cut, tile_count


def coder_for(model: Model, precision: Precision) -> Coder:
    """The coder for a model.

    Raises:
        MissingCapability: The model has no likelihood that can be coded with.
        UsageError: Its examples are not gray or RGB images, or it is conditional and would need
            the class of every image.
    """
    if isinstance(model, CanAutoregress | CanBitsBack) and (
        len(model.spec.shape) != 3 or model.spec.shape[0] not in (1, 3)
    ):
        raise UsageError(
            f"This {model.name} knows examples of shape {model.spec.shape}, which are no "
            "gray or RGB images."
        )
    if getattr(model.config, "conditional", False) or not isinstance(
        model, CanAutoregress | CanBitsBack
    ):
        able = sorted(
            name
            for name, kind in models().items()
            if has(kind, CanAutoregress) or has(kind, CanBitsBack)
        )
        if isinstance(model, CanAutoregress | CanBitsBack):
            raise UsageError(
                f"This {model.name} is conditional, and a file of images holds no "
                "classes: take one trained without."
            )
        raise MissingCapability(
            f"The model '{model.name}' cannot compress; models that can: "
            f"{', '.join(able) or 'none yet'}."
        )
    return (
        RangeCoder(model, precision)
        if isinstance(model, CanAutoregress)
        else BitsBack(model, precision)
    )


def compress(
    model: Model,
    originals: ImageSource,
    path: str | Path,
    *,
    precision: Precision = "double",
    source: str = "",
    weights: str = "",
    check: bool = False,
    compare: bool = False,
    tiles: int = TILES,
) -> Report:
    """Compresses images into a file, from which `decompress` restores every pixel.

    Arguments:
        model: A model with `autoregress`, or with a posterior for bits-back coding.
        originals: The images.
        path: The file; it appears when it is complete.
        precision: Precision of the network; "single" is faster, but only the same machine and
            version can decode it.
        source: Run folder or shipped model, for the decoder to find the model.
        weights: Its file of weights, if not the default.
        check: Decode every block and compare before it is written.
        compare: Also measure the sizes under PNG, WebP and xz.
        tiles: Tiles after which a block is closed.

    Raises:
        DataError: An image cannot be read.
        UsageError: The model is for black-and-white images, and the images are not.

    Example:
        >>> import tempfile, zeuxis
        >>> from zeuxis.compression.image_sources import DatasetImages
        >>> from zeuxis.autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
        >>> data = zeuxis.Dataset(
        ...     zeuxis.Spec("tiny", (3, 5, 7)),
        ...     torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8),
        ... )
        >>> model = PixelCNN(
        ...     PixelCNNConfig(channels=6, layers=1, head_channels=6),
        ...     zeuxis.Spec("tiny", (3, 4, 4)),
        ... ).eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = compress(model, DatasetImages(data, "tiny-"), f"{folder}/tiny.zx")
        ...     images = dict(decompress(f"{folder}/tiny.zx", model))
        >>> report.chains, sorted(images), torch.equal(images["tiny-1.png"], data.all()[1])
        ([8], ['tiny-0.png', 'tiny-1.png'], True)
    """
    shape, baselines = model.spec.shape, Baselines()
    with reproducible():
        coder = coder_for(model, precision)
        report = Report(coder.kind)
        header = Header(
            zeuxis=version("zeuxis"),
            model=model.name,
            source=source,
            weights=weights,
            fingerprint=fingerprint(model),
            coder=coder.kind,
            precision=precision,
            machine=machine(),
            shape=(shape[0], shape[1], shape[2]),
            images=len(originals),
            prefix=originals.prefix,
        )
        require_names(originals)
        require_own(Path(path))
        total = sum(tile_count(originals.shape(i), shape) for i in range(len(originals)))

        def fill(partial: Path) -> None:
            with open(partial, "wb") as opened, meter(total, "compressing tiles") as advance:
                encode(Writer(opened), advance)

        def encode(file: Writer, advance: Advance) -> None:
            file.section(header)
            for first, last in blocks(originals, shape, tiles):
                images = [originals.read(i) for i in range(first, last)]
                for i, one in enumerate(images, first):
                    require_levels(one, coder.levels, originals.where(i))
                began = time.monotonic()
                x = torch.cat([cut(one, shape) for one in images])
                coded = coder.encode(x, coder.lanes_for(len(x)), advance)
                report.seconds += time.monotonic() - began
                if check and not torch.equal(coder.decode(coded, len(x), lambda more: None), x):
                    where = (
                        f"The image {originals.where(first)}, or one of the "
                        f"{len(images) - 1:,} after it,"
                    )
                    raise ZeuxisError(
                        f"{where} does not decode to what it is, and nothing was "
                        "written: try --precision double."
                    )
                names = (
                    () if originals.prefix else tuple(originals.name(i) for i in range(first, last))
                )
                file.section(
                    Block(runs(images), names, first, coded.lanes, coded.kept, digest(images)),
                    coded.payload,
                )
                report.add(images, x, coded)
                for one in images if compare else []:
                    baselines.add(one)
            file.section(Done(report.images, len(report.chains)))

        write(path, fill)
    report.size = Path(path).stat().st_size
    report.baselines = baselines.sizes() if compare else {}
    return report


def decompress(
    path: str | Path, model: Model, *, numbers: bool = False, large: bool = False
) -> Iterator[tuple[str, UInt8[Tensor, "channels height width"]]]:
    """Yields the names and images of a file, block by block.

    The images of a block are yielded after all of them are verified.

    Arguments:
        path: A file that `compress` wrote. All of it is checked before anything is decoded.
        model: The model that it was written with.
        numbers: Name the images 0.png, 1.png and so on; their names are then not checked.
        large: Accept a file with far more pixels than its size makes likely.

    Raises:
        DataError: The file is damaged, belongs to another model, has unsafe names, or decodes to
            other pixels than were coded.
    """
    contents = survey(path, numbers=numbers, large=large)
    header = contents.header
    if (found := fingerprint(model)) != header.fingerprint:
        place = f" (then at '{header.source}')" if header.source else ""
        asked = f"a {header.model} of fingerprint {header.fingerprint[:12]}{place}"
        raise DataError(
            f"'{path}' was written with {asked}, and this {model.name} has {found[:12]}: "
            "give the same weights with --model."
        )
    with reproducible():
        coder = coder_for(model, header.precision)
    if header.bits != PRECISION or header.shape != model.spec.shape or header.coder != coder.kind:
        how = (
            f"frequencies of {header.bits} bits, tiles of {header.shape} and the "
            f"{header.coder} coder"
        )
        raise DataError(f"'{path}' has {how}, which this zeuxis does not read for this model.")
    names, expected = contents.names(), iter(contents.blocks)
    with meter(
        sum(block.tiles(header.shape) for block in contents.blocks), "decompressing tiles"
    ) as advance:
        for block, payload in sections(path, large):
            if not isinstance(block, Block):
                continue
            if block != next(expected, None):
                raise DataError(f"'{path}' was changed while it was read: start again.")
            count = block.tiles(header.shape)
            if block.lanes > coder.lanes_for(count):
                raise DataError(
                    f"'{path}' is damaged (a block says {block.lanes:,} lanes): fetch or "
                    "copy it again."
                )
            try:
                with reproducible():
                    x = coder.decode(Coded(payload, block.lanes, block.kept), count, advance)
                if digest(joined(x, block)) != block.digest:
                    raise DataError("other pixels than were coded")
            except DataError as error:
                last = block.first + len(block) - 1
                raise DataError(
                    f"'{path}' is whole, but images {block.first} to {last} decode to "
                    f"{error}: it was written by {header.machine} in "
                    f"{header.precision} precision, and this is {machine()}. Decode it "
                    "where it was written."
                ) from error
            for one in joined(x, block):
                yield next(names), one


def require_names(originals: ImageSource) -> None:
    """Refuses names that `decompress` would refuse."""
    total = len(originals)
    names = (
        [numbered(originals.prefix, 0, total)]
        if originals.prefix
        else [originals.name(i) for i in range(total)]
    )
    for name in names:
        if wrong := fault(name):
            raise UsageError(f"The name {name!r} of an image {wrong}: rename it.")
    if name := clash(names):
        raise UsageError(
            f"Two images would both be called '{name}': compress them into two files, or "
            "rename one."
        )


def require_own(path: Path) -> None:
    """Refuses to overwrite a file of another format, such as one of the images."""
    if path.is_file() and path.stat().st_size:
        with open(path, "rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise UsageError(
                    f"There is a '{path}' already, which `zeuxis compress` did not "
                    "write: give another place with -o."
                )


def require_levels(x: UInt8[Tensor, "channels height width"], levels: int, where: str) -> None:
    """Refuses an image with pixels that have no probability under the model."""
    if torch.equal(to_pixels(to_levels(x, levels), levels), x):
        return
    if levels == 2:
        raise UsageError(
            f"The model knows only black and white, and the image {where} has grays or "
            "colors: add --binarize to turn it black and "
            "white first, which is not lossless, or take a model of 256 levels."
        )
    raise UsageError(
        f"The model knows {levels} levels of brightness, and the image {where} has "
        "others: take a model of 256 levels."
    )
