"""Films of training: samples from the same latents as the weights change, with a clock.

GANs are filmed in linear time and likelihood models in logarithmic time, since those learn most in
their first steps.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from PIL import Image

from .. import files
from ..capabilities import CanSample
from ..data.dataset import Dataset
from ..errors import DataError, UsageError, ZeuxisError
from ..model import Model
from .density import DensityPicture
from .grid import grid, save, with_clock

Format = Literal["webp", "gif", "mp4"]
LARGEST_FRAME = 1 << 24  # pixels
LARGEST_FILM = 1 << 29  # pixels of all frames together


@runtime_checkable
class Picture(Protocol):
    """Draws a model at a time; what it remembers between frames goes through `state` and
    `restore`."""

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
    """What a film of this model shows: images, points in the plane, or None for a model that makes
    neither."""
    if not isinstance(model, CanSample):
        return None
    if data.spec.shape == (2,):
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
    return sorted(
        {
            0,
            total,
            *(
                round(first * (total / first) ** (i / max(1, frames - 2)))
                for i in range(frames - 1)
            ),
        }
    )


def write_film(frames: list[Path], path: Path, seconds: float = 8.0, hold: float = 2.0) -> Path:
    """Joins frames into an animated WebP, GIF or MP4, chosen by the path's suffix; the last frame
    is held.

    Arguments:
        frames: PNG files of one size, in order.
        path: Where the film goes.
        seconds: Length without the held end.
        hold: Seconds that the last frame stays.
    """
    if not frames:
        raise UsageError(
            f"There are no frames to make '{path.name}' from: train with --training.film above 0."
        )
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("webp", "gif", "mp4"):
        raise UsageError(
            f"A film is written as .webp, .gif or .mp4, not as '{path.name}': choose one of these."
        )
    reel = Reel(frames)
    each = max(
        20, round(1000 * seconds / len(reel.paths))
    )  # milliseconds; viewers slow down below 20
    durations = [each] * (len(reel.paths) - 1) + [each + round(1000 * hold)]
    extra: dict[str, Any] = {"quality": 80, "method": 2} if kind == "webp" else {"optimize": True}

    def encode(partial: Path) -> None:
        if kind == "mp4":
            mp4(reel, partial, each, hold)
        else:
            reel.save(partial, save_all=True, duration=durations, loop=0, **extra)

    try:
        return files.write(path, encode)
    except files.WriteError as error:
        kept = frames[0].parent
        sentence = (
            f"The film '{path}' could not be written ({error.reason}): its frames "
            f"are kept in '{kept}'."
        )
        raise ZeuxisError(sentence) from error


class Reel(Image.Image):
    """Frames as one picture of many, of which one at a time is in memory.

    Arguments:
        paths: PNG files of one size. Of more than a film can hold, evenly spaced ones are taken,
            the last among them.

    Raises:
        DataError: A frame is no PNG, is damaged, or is of another size than the first.
    """

    def __init__(self, paths: list[Path]) -> None:
        super().__init__()
        with self.opened(paths[-1]) as last:
            self._mode, self._size = "RGB", last.size
        if self.width * self.height > LARGEST_FRAME:
            raise DataError(
                f"'{paths[-1]}' has {self.width:,} x {self.height:,} pixels, too many "
                "for a film: remove the frame."
            )
        most = max(2, LARGEST_FILM // (self.width * self.height))
        if len(paths) > most:
            paths = [paths[round(i * (len(paths) - 1) / (most - 1))] for i in range(most)]
        self.paths, self.n_frames, self.at = paths, len(paths), -1
        self.seek(0)

    def opened(self, path: Path) -> Image.Image:
        """A frame, of which the header alone has been read."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                return Image.open(files.require_regular(path), formats=["PNG"])
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(
                f"'{path}' is no PNG that can be read: remove the frame, or restore it from a copy."
            ) from error

    def seek(self, frame: int) -> None:
        """Loads one frame in the place of the one before."""
        if not 0 <= frame < self.n_frames:
            raise EOFError
        if frame == self.at:
            return
        path = self.paths[frame]
        with self.opened(path) as one:
            if one.size != self.size:
                raise DataError(
                    f"'{path}' has {one.size} pixels, expected {self.size} as the last "
                    "frame has: remove it."
                )
            try:
                self.im, self.at = one.convert("RGB").im, frame
            except (OSError, ValueError, SyntaxError) as error:
                raise DataError(
                    f"'{path}' is damaged: remove the frame, or restore it from a copy."
                ) from error

    def tell(self) -> int:
        return self.at


def film_of(
    pictures: Iterable[Image.Image], path: Path, seconds: float = 0.0, hold: float = 0.0
) -> Path:
    """Writes pictures of one size as a film that comes round; 0 seconds means 25 pictures a second,
    and the last one stays for `hold` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [save(picture, Path(folder) / f"{i:06}.png") for i, picture in enumerate(pictures)]
        return write_film(paths, path, seconds or len(paths) / 25, hold)


def mp4(reel: Reel, path: Path, each: int, hold: float) -> None:
    """Encodes H.264 with the ffmpeg on the path."""
    encoder = shutil.which("ffmpeg")
    if encoder is None:
        raise MissingEncoder()
    size = f"{reel.width}x{reel.height}"
    command = [
        encoder,
        "-y",
        "-loglevel",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        size,
        "-r",
        str(1000 / each),
    ]
    even = "pad=ceil(iw/2)*2:ceil(ih/2)*2"  # H.264 has no odd sides
    command += [
        "-i",
        "-",
        "-vf",
        even,
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-crf",
        "18",
        f"file:{path.absolute()}",
    ]
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said) as process:
            assert process.stdin is not None
            with (
                contextlib.suppress(BrokenPipeError),
                process.stdin,
            ):  # an encoder that has ended says why
                for frame in [
                    *range(reel.n_frames),
                    *[reel.n_frames - 1] * round(1000 * hold / each),
                ]:
                    reel.seek(frame)
                    process.stdin.write(reel.tobytes())
        if process.returncode:
            said.seek(0)
            reason = said.read().decode(errors="replace").strip().splitlines()[-1:]
            raise ZeuxisError(
                f"ffmpeg could not encode the film ({' '.join(reason)}): write a .webp "
                "or .gif instead."
            )


class MissingEncoder(ZeuxisError):
    """There is no ffmpeg."""

    def __init__(self) -> None:
        super().__init__(
            "An .mp4 needs the program ffmpeg, which is not on the path: install it or "
            "write a .webp or .gif."
        )
