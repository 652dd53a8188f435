"""zeuxis export: a part of a model as a file for PyTorch without zeuxis, or for ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from ..checkpoints.export import Part, export
from ..progress import out
from ..ranges import BaseConfig, Range
from .inputs import FLAT, ModelInput


@dataclass(frozen=True)
class Export(BaseConfig, flags="--"):
    """Writes a decoder, a sampler or a classifier as a file that runs without zeuxis: .pt2 for
    PyTorch (torch.export), .onnx for onnxruntime (extra onnx). The file is run and compared with
    the model before it is kept."""

    model: Annotated[ModelInput, FLAT]
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """The file, .pt2 or .onnx."""
    part: Part = "decoder"
    """decoder: latents to images; sampler: nothing to new images (.pt2 only); classifier: images to
    probabilities."""
    batch: Annotated[int, Range(2, 4096)] = 16
    """Images of a sampler, and of a part whose computation fixes their number."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Export, args=argv, prog="zeuxis export")
    written = export(args.model.load(), args.out, args.part, args.batch)
    number = f"{written.batch} at a time" if written.batch else "any number at a time"
    check = "" if args.part == "sampler" else f", largest difference {written.difference:.2g}"
    out.print(f"{written.path}: {args.part}, {number}{check}", markup=False, soft_wrap=True)
