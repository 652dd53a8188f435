"""Parts of a model for programs without zeuxis: torch.export's `.pt2` files, and ONNX.

- decoder: latents z (n, …) to uint8 images (n, C, H, W)
- sampler: nothing to a fixed number of new images, drawn with torch's global generator
- classifier: uint8 images to probabilities (n, classes)

A file holds the computation and the weights. `torch.export.load("decoder.pt2").module()` is then
callable where only PyTorch is installed, and ONNX files run in onnxruntime. Each file is run and
compared with the model before it is kept.

Sources: PyTorch's torch.export; the Open Neural Network Exchange, onnx.ai.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.export import export as traced

from ..capabilities import CanClassify, CanDecode, CanRender
from ..errors import MissingCapability, MissingExtra, UsageError, ZeuxisError
from ..files import write
from ..model import Model

Part = Literal["decoder", "sampler", "classifier"]
MOST = 65_536  # examples in one call of a file that takes any number
CLOSE = 1.0  # levels of 255, or 1e-3 of probabilities, by which a file may differ
ENDINGS = (".pt2", ".onnx")


class Decoder(nn.Module):
    """Latents to images."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor) -> Tensor:
        model: Any = self.model
        if model.can(CanRender):
            return model.render(z).round().clamp(0, 255).to(torch.uint8)
        return model.decode(z)


class Sampler(nn.Module):
    """Nothing to images."""

    def __init__(self, model: Model, batch: int) -> None:
        super().__init__()
        self.model, self.batch = model, batch

    def forward(self) -> Tensor:
        model: Any = self.model
        return model.decode(model.prior(self.batch))


class Classifier(nn.Module):
    """Images to probabilities."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        model: Any = self.model
        return model.classify(x)


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Arguments:
        path: The file.
        batch: How many examples it takes at a time; 0 for any number.
        difference: Largest difference from the model that was seen.
    """

    path: Path
    batch: int
    difference: float


def export(model: Model, path: str | Path, part: Part = "decoder", batch: int = 16) -> Exported:
    """Writes a part of a model as .pt2 or .onnx.

    Arguments:
        model: The model, as `zeuxis.load` gives it.
        path: The file; its ending chooses the format.
        part: What to export.
        batch: Images of a sampler, and of a part whose computation fixes their number.

    Raises:
        MissingCapability: The model has no such part.
        MissingExtra: ONNX is not installed.
        ZeuxisError: The file does not compute what the model computes.
    """
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise UsageError(f"The file '{path}' must end in .pt2 or .onnx.")
    if path.suffix == ".onnx" and part == "sampler":
        raise UsageError("ONNX has no random generator of torch: export the decoder instead.")
    module, arguments = wrapped(model, part, batch)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer, on its own workings
        program, fixed = traced_with_any_number(module, arguments, part != "sampler")
        save = to_onnx if path.suffix == ".onnx" else to_pt2
        run, content = save(program)
        write(path, content)
    difference = 0.0
    if part != "sampler":
        difference = float((run(*arguments).float() - module(*arguments).float()).abs().max())
        limit = CLOSE if part == "decoder" else 1e-3
        if difference > limit:
            path.unlink()
            raise ZeuxisError(
                f"The exported {part} differs from the model by {difference:.3g}, so '{path}' was "
                "not kept: give the other format."
            )
    return Exported(path, batch if fixed else 0, difference)


def wrapped(model: Model, part: Part, batch: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The part as a module, and arguments to trace it with."""
    generator = torch.Generator().manual_seed(0)
    images = len(model.spec.shape) == 3
    if part == "classifier":
        if not images or not model.can(CanClassify):
            raise MissingCapability(
                f"The model '{model.name}' does not classify: --part decoder or sampler may fit."
            )
        shape = (batch, *model.spec.shape)
        x = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        return Classifier(model).eval(), (x,)
    if not images or not model.can(CanDecode):
        raise MissingCapability(
            f"The model '{model.name}' has no decoder from latents: autoregressive models draw "
            "pixel by pixel in Python and are not exported."
        )
    if part == "sampler":
        return Sampler(model, batch).eval(), ()
    prior: Any = model
    return Decoder(model).eval(), (prior.prior(batch, generator=generator),)


def traced_with_any_number(
    module: nn.Module, arguments: tuple[Tensor, ...], try_any: bool
) -> tuple[ExportedProgram, bool]:
    """The traced module, and whether the number of examples is fixed in it."""
    if try_any:
        shapes = tuple({0: Dim("n", min=1, max=MOST)} for _ in arguments)
        try:
            return traced(module, arguments, dynamic_shapes=shapes), False
        except Exception:  # what the tracer raises where the computation depends on the number
            pass
    return traced(module, arguments), True


def to_pt2(
    program: ExportedProgram,
) -> tuple[Callable[..., Tensor], Callable[[Path], object]]:
    """How to run a program, and how to write it as .pt2."""
    return program.module(), lambda path: torch.export.save(program, path)


def to_onnx(
    program: ExportedProgram,
) -> tuple[Callable[..., Tensor], Callable[[Path], object]]:
    """How to run a program in onnxruntime, and how to write it as .onnx."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtra(str(error.name), "onnx", "Export to ONNX") from error
    translated: Any = torch.onnx.export(program, dynamo=True, verbose=False)
    model = translated.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def run(*arguments: Tensor) -> Tensor:
        names = [one.name for one in session.get_inputs()]
        feed = {name: value.numpy() for name, value in zip(names, arguments, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return run, lambda path: path.write_bytes(model)
