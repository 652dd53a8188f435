"""A run is a folder that anybody may open: JSON, safetensors, pictures, and no pickle.

```
config.json         model, its settings, data, training settings, version
model.safetensors   newest weights          ema.safetensors   averaged weights, which load takes
best.safetensors    averaged weights at the best validation, where a figure was chosen to select by
state.safetensors   all that is needed to go on bit for bit: weights, averages, optimizers, counters
metrics.jsonl       one line of figures per report
samples/  frames/   pictures over time      film.webp         the frames as a film
README.md           the model card
```

Every file is written under another name, flushed to the disk and then renamed, so a process killed
at any moment leaves the last complete file. `state.safetensors` alone decides where a resumed run
goes on; what other files hold beyond it is taken back. Tensors are checked as they are written
(every number is finite) and as they are read (every byte is as it was written).
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from .. import files
from ..arguments import public
from ..errors import DivergenceError, ZeuxisError
from ..progress import console
from . import metrics_file, tensor_file
from .metrics_file import is_number, moment
from .versions import require_readable

STATE = "state.safetensors"
TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
FOLDERS = ("samples", "frames")


class Run:
    """A run folder.

    Arguments:
        folder: An existing folder; `create` makes a numbered one.
    """

    @public
    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.begun = False  # whether this process trains in it: then config.json must stay there

    @classmethod
    @public
    def create(cls, root: str | Path, label: str) -> Run:
        """A new folder `root/NNNN-label`, NNNN one above the highest there."""
        root = Path(root)
        try:
            root.mkdir(parents=True, exist_ok=True)
            numbers = [int(m[1]) for p in root.iterdir() if (m := re.match(r"(\d{4,9})-", p.name))]
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", label)[:100]
            for number in itertools.count(max(numbers, default=0) + 1):
                folder = root / f"{number:04}-{name}"
                # Another training that began at the same moment may take the number.
                with contextlib.suppress(FileExistsError):
                    folder.mkdir()
                    break
        except (OSError, ValueError) as error:
            reason = files.reason(error)
            raise ZeuxisError(
                f"No run folder can be made in '{root}' ({reason}): give a writable "
                "folder with --out."
            ) from error
        return cls(folder)

    @classmethod
    def at(cls, folder: str | Path) -> Run:
        """The run in a folder, which is made if need be."""
        run = cls(folder)
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ZeuxisError(
                f"The folder '{folder}' cannot be made ({error.strerror}): give a writable place."
            ) from error
        return run

    @classmethod
    @public
    def open(cls, folder: str | Path) -> Run:
        """An existing run; an error says what is missing."""
        run = cls(folder)
        try:
            there, whole = run.folder.is_dir(), run.path("config.json").is_file()
        except (OSError, ValueError) as error:
            raise ZeuxisError(
                f"'{folder}' cannot be opened ({files.reason(error)}): give another run folder."
            ) from error
        if not there:
            raise ZeuxisError(
                f"There is no run folder '{folder}': `zeuxis list` shows the runs and "
                "shipped models there are."
            )
        if not whole:
            raise ZeuxisError(
                f"'{folder}' is no run folder, since it holds no config.json: give a "
                "folder that zeuxis wrote."
            )
        return run

    def path(self, *names: str) -> Path:
        return self.folder.joinpath(*names)

    def __str__(self) -> str:
        return str(self.folder)

    def write(self, name: str, content: str | bytes | Callable[[Path], object]) -> Path:
        """Writes a file whole or not at all: `content` is what it holds, or fills the path it is
        given."""
        path = self.path(name)
        try:
            if path.parent != self.folder:
                self.subfolder(path.parent.name).mkdir(exist_ok=True)
            if self.begun and not self.path("config.json").exists():
                raise OSError(errno.ENOENT, "the run folder was moved or deleted")
            return files.write(path, content, make=False, flush=True)
        except files.WriteError as error:
            raise ZeuxisError(self.cannot_write(name, error.reason)) from error
        except OSError as error:
            raise ZeuxisError(self.cannot_write(name, files.reason(error))) from error

    def subfolder(self, name: str) -> Path:
        """A folder inside this one; a link in its place is refused, since it may lead to files that
        are not the run's."""
        path = self.path(name)
        if path.is_symlink():
            raise ZeuxisError(
                f"'{path}' is a link and no folder of the run: remove it, then resume the run."
            )
        return path

    def cannot_write(self, name: str, reason: str) -> str:
        """The sentence for a failed write."""
        saved = self.saved()
        unit = "steps" if "steps" in saved else "images"
        kept = (
            f"the save of {moment(saved):,} {unit} is kept"
            if moment(saved)
            else "nothing was saved before"
        )
        return (
            f"'{self.path(name)}' could not be written ({reason}); {kept}: make room "
            "or repair the folder, then resume the run."
        )

    def require_room(self, needed: int) -> None:
        """Checks before training that the folder can be written to and has room for `needed`
        bytes."""
        self.write(".probe", "zeuxis")
        with contextlib.suppress(OSError):
            self.path(".probe").unlink()
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise ZeuxisError(
                f"The disk of '{self.folder}' has {free / 1e6:,.0f} MB free and this run "
                f"needs {needed / 1e6:,.0f} MB: "
                "make room or choose another folder with --out."
            )

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Locks the folder against a second training; the lock ends with its process, however that
        ends."""
        import fcntl

        try:
            lock = os.open(
                self.path(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666
            )
        except OSError as error:
            raise ZeuxisError(self.cannot_write(".lock", files.reason(error))) from error
        try:
            files.require_regular(self.path(".lock"), os.fstat(lock))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in TAKEN:
                    sentence = (
                        f"Another process is training in '{self.folder}': wait "
                        "for it, or stop it first."
                    )
                    raise ZeuxisError(sentence) from error
                reason = files.reason(error)
                sentence = (
                    f"The file system of '{self.folder}' has no locks ({reason}): "
                    "start no second training in it."
                )
                console.print(sentence, markup=False, soft_wrap=True)
            self.begun = self.path("config.json").exists()
            yield
        finally:
            self.begun = False
            os.close(lock)

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        self.write(name, json.dumps(values, indent=2) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        return files.read_json(self.path(name))

    def read_config(self) -> dict[str, Any]:
        """The run's description in config.json.

        Raises:
            ZeuxisError: It cannot be read, or zeuxis 0.1 saved it.
        """
        about = self.read_json("config.json")
        require_readable(about, str(self))
        return about

    def write_tensors(
        self, name: str, tensors: dict[str, Tensor], about: dict[str, Any] | None = None
    ) -> None:
        """Writes tensors and a few JSON values beside them, as safetensors with a checksum.

        Raises:
            DivergenceError: A number is not finite; the file that was there before is kept.
        """
        ready = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
        if wrong := tensor_file.not_finite(ready):
            saved = moment(self.saved())
            kept = (
                f"the last good save, at {saved:,}, is kept"
                if saved
                else "nothing was saved before"
            )
            raise DivergenceError(
                f"'{wrong}' holds numbers that are not finite, and '{self.path(name)}' "
                f"was not written; {kept}: "
                "lower the step size, set --training.clip 1 or --training.precision fp32."
            )
        metadata = {"zeuxis": json.dumps({**(about or {}), "sha256": files.UNSEALED})}

        def content(path: Path) -> None:
            save_file(ready, path, metadata)
            files.seal(path)

        self.write(name, content)

    def read_tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors of a file and the values beside them.

        Raises:
            ZeuxisError: The file is missing or damaged, or a number in it is not finite.
        """
        return tensor_file.read(self.path(name))

    def shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor in a file, by its header alone."""
        return tensor_file.shapes(self.path(name))

    def saved_images(self) -> int:
        """Images seen (by a policy: steps taken) at the last save, 0 without one."""
        return moment(self.saved())

    def saved_seconds(self) -> float:
        """Seconds of training up to the last save, 0 without one."""
        value = self.saved().get("seconds", 0.0)
        return float(value) if is_number(value) and 0 <= value < 1e12 else 0.0

    def saved(self) -> dict[str, Any]:
        """The last save's metadata, empty without a save."""
        try:
            return tensor_file.about(self.path(STATE))
        except (OSError, SafetensorError, ValueError, ZeuxisError):
            return {}

    def log(self, figures: dict[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        try:
            metrics_file.append(self.path("metrics.jsonl"), figures)
        except OSError as error:
            raise ZeuxisError(self.cannot_write("metrics.jsonl", files.reason(error))) from error

    def metrics(self) -> list[dict[str, Any]]:
        """The numbers in each line of metrics.jsonl; lines that are cut short or otherwise damaged
        are left out."""
        return [figures for _, figures in metrics_file.lines(self.path("metrics.jsonl"))]

    def frames(self) -> list[tuple[int, Path]]:
        """Images seen and path of each frame of the film, in order."""
        paths = self.path("frames").glob("*.png")
        return sorted(
            (int(p.stem), p)
            for p in paths
            if re.fullmatch("[0-9]{1,18}", p.stem) and not p.is_symlink()
        )

    def add_frame(self, images: int, picture: Image.Image) -> None:
        self.write(f"frames/{images:012}.png", lambda path: picture.save(path, "PNG"))

    def rewind(self, images: int) -> None:
        """Removes reports and frames made after `images`, where a run goes on; all of them for
        -1."""
        path = self.path("metrics.jsonl")
        kept = [line for line, figures in metrics_file.lines(path) if moment(figures) <= images]
        if kept or os.path.lexists(path):
            self.write("metrics.jsonl", "".join(kept))
        try:
            self.subfolder("frames")
            for seen, path in self.frames():
                if seen > images:
                    path.unlink()
            for folder in (
                self.folder,
                *(self.path(name) for name in FOLDERS if not self.path(name).is_symlink()),
            ):
                for partial in folder.glob(".*.partial*"):
                    partial.unlink()
        except OSError as error:
            raise ZeuxisError(self.cannot_write("metrics.jsonl", files.reason(error))) from error
