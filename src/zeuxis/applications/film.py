"""Films of learning: the same codes drawn again and again while the weights change, with the clock shown.

GANs are filmed in linear time and likelihood models in logarithmic time, since those learn most in their first steps.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from PIL import Image

from ..capabilities import CanSample
from ..data.dataset import Dataset
from ..errors import UsageError, ZeuxisError
from ..model import Model
from .pictures import grid, save, with_clock

Format = Literal["webp", "gif", "mp4"]


@runtime_checkable
class Picture(Protocol):
    """Draws a model at a time; what it remembers between frames goes through `state` and `restore`."""

    def __call__(self, model: Model, images: int) -> Image.Image: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class SamplePicture:
    """A grid of images from fixed codes, and a clock.

    Arguments:
        total: Images of the whole training.
        side: Images along each side of the grid.
        seed: Fixes the codes.
    """

    def __init__(self, total: int, side: int = 8, seed: int = 0) -> None:
        self.total, self.side, self.seed = total, side, seed

    def __call__(self, model: Model, images: int) -> Image.Image:
        assert isinstance(model, CanSample)
        generator = torch.Generator().manual_seed(self.seed)
        sheet = grid(model.sample(self.side**2, generator=generator).cpu(), self.side, smallest=320)
        return with_clock(sheet, images, self.total)

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing is remembered between frames."""


def picture_of(model: Model, data: Dataset, total: int) -> Picture | None:
    """What a film of this model shows: images, points in the plane, or None for a model that makes neither."""
    if not isinstance(model, CanSample):
        return None
    if data.spec.shape == (2,):
        from .density import DensityPicture

        return DensityPicture(data, total)
    return SamplePicture(total) if len(data.spec.shape) == 3 else None


def film_times(frames: int, first: int, total: int, clock: Literal["linear", "log"]) -> list[int]:
    """Images seen at each frame, from 0 to the end.

    Example:
        >>> film_times(5, 10, 1000, "linear")
        [0, 250, 500, 750, 1000]
        >>> film_times(4, 10, 1000, "log")
        [0, 10, 100, 1000]
    """
    if frames < 2:
        return [total]
    if clock == "linear":
        return sorted({round(i * total / (frames - 1)) for i in range(frames)})
    return sorted({0, total, *(round(first * (total / first) ** (i / max(1, frames - 2))) for i in range(frames - 1))})


def write_film(frames: list[Path], path: Path, seconds: float = 8.0, hold: float = 2.0) -> Path:
    """Joins frames into an animated WebP, GIF or MP4, chosen by the path's suffix; the last frame is held.

    Arguments:
        frames: PNG files of one size, in order.
        path: Where the film goes.
        seconds: Length without the held end.
        hold: Seconds that the last frame stays.
    """
    if not frames:
        raise UsageError(f"There are no frames to make '{path.name}' from: train with --training.film above 0.")
    kind = path.suffix.lower().lstrip(".")
    partial = path.with_name(f".{path.stem}.partial.{kind}")
    each = max(20, round(1000 * seconds / len(frames)))  # milliseconds; viewers slow down below 20
    try:
        if kind == "mp4":
            mp4(frames, partial, each, hold)
        elif kind in ("webp", "gif"):
            pictures = [Image.open(f).convert("RGB") for f in frames]
            last = each + round(1000 * hold)
            extra: dict[str, Any] = {"quality": 80, "method": 2} if kind == "webp" else {"optimize": True}
            durations = [each] * (len(pictures) - 1) + [last]
            pictures[0].save(partial, save_all=True, append_images=pictures[1:], duration=durations, loop=0, **extra)
        else:
            raise UsageError(f"A film is written as .webp, .gif or .mp4, not as '{path.name}': choose one of these.")
        partial.replace(path)
    except OSError as error:
        kept = frames[0].parent
        raise ZeuxisError(f"The film '{path}' could not be written ({error}): its frames are kept in '{kept}'.") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def film_of(pictures: Iterable[Image.Image], path: Path, seconds: float = 0.0) -> Path:
    """Writes pictures of one size as a film that comes round; 0 seconds means 25 pictures a second."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [save(picture, Path(folder) / f"{i:06}.png") for i, picture in enumerate(pictures)]
        return write_film(paths, path, seconds or len(paths) / 25, hold=0)


def mp4(frames: list[Path], path: Path, each: int, hold: float) -> None:
    """Encodes H.264 with the ffmpeg on the path."""
    encoder = shutil.which("ffmpeg")
    if encoder is None:
        raise MissingEncoder()
    first = Image.open(frames[0]).convert("RGB")
    size = f"{first.width}x{first.height}"
    command = [encoder, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(1000 / each)]
    even = "pad=ceil(iw/2)*2:ceil(ih/2)*2"  # H.264 has no odd sides
    command += ["-i", "-", "-vf", even, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", str(path)]
    again = [frames[-1]] * round(1000 * hold / each)
    stream = b"".join(Image.open(f).convert("RGB").tobytes() for f in [*frames, *again])
    done = subprocess.run(command, input=stream, capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ZeuxisError(f"ffmpeg could not encode '{path.name}' ({' '.join(reason)}): write a .webp or .gif instead.")


class MissingEncoder(ZeuxisError):
    """There is no ffmpeg."""

    def __init__(self) -> None:
        super().__init__("An .mp4 needs the program ffmpeg, which is not on the path: install it or write a .webp or .gif.")
