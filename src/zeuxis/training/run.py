"""A run is a folder that anybody may open: JSON, safetensors, pictures, and no pickle.

```
config.json         model, its settings, data, training settings, version
model.safetensors   newest weights          ema.safetensors   averaged weights, the ones that are loaded
best.safetensors    averaged weights at the best validation, where a figure was chosen to select by
state.safetensors   all that is needed to go on bit for bit: weights, averages, optimisers, counters
metrics.jsonl       one line of figures per report
samples/  frames/   pictures over time      film.webp         the frames as a film
README.md           the model card
```

Every file is written under another name, flushed to the disk and then renamed, so a process killed at any moment leaves the last
complete file. `state.safetensors` alone decides where a resumed run goes on; what other files hold beyond it is taken back.
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
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import ZeuxisError


class Run:
    """A run folder.

    Arguments:
        folder: An existing folder; `create` makes a numbered one.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def create(cls, root: str | Path, label: str) -> Run:
        """A new folder `root/NNNN-label`, NNNN one above the highest there."""
        root = Path(root)
        try:
            root.mkdir(parents=True, exist_ok=True)
            numbers = [int(m[1]) for p in root.iterdir() if (m := re.match(r"(\d{4,})-", p.name))]
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", label)
            for number in itertools.count(max(numbers, default=0) + 1):
                folder = root / f"{number:04}-{name}"
                with contextlib.suppress(FileExistsError):  # another training that began at the same moment took it
                    folder.mkdir()
                    break
        except OSError as error:
            reason = error.strerror
            raise ZeuxisError(f"No run folder can be made in '{root}' ({reason}): give a writable folder with --out.") from error
        return cls(folder)

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """An existing run; an error says what is missing."""
        run = cls(folder)
        if not run.folder.is_dir():
            raise ZeuxisError(f"There is no run folder '{folder}': `zeuxis list` shows the runs and shipped models there are.")
        if not run.path("config.json").is_file():
            raise ZeuxisError(f"'{folder}' is no run folder, since it holds no config.json: give a folder that zeuxis wrote.")
        return run

    def path(self, *names: str) -> Path:
        return self.folder.joinpath(*names)

    def __str__(self) -> str:
        return str(self.folder)

    def write(self, name: str, content: str | Callable[[Path], None]) -> Path:
        """Writes a file whole or not at all: `content` is its text, or fills the path it is given."""
        path = self.path(name)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            path.parent.mkdir(exist_ok=True)
            if isinstance(content, str):
                partial.write_text(content)
            else:
                content(partial)
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
            partial.chmod(0o644)  # safetensors makes files that only their owner can read, and runs are for sharing
            os.replace(partial, path)
        except (OSError, SafetensorError) as error:
            partial.unlink(missing_ok=True)
            raise ZeuxisError(self.cannot_write(name, error)) from error
        return path

    def cannot_write(self, name: str, error: Exception) -> str:
        """The sentence for a failed write."""
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space" in str(error)
        reason = "the disk is full" if full else getattr(error, "strerror", None) or str(error)
        saved = self.saved()
        unit = "steps" if "steps" in saved else "images"
        kept = f"the save of {moment(saved):,} {unit} is kept" if moment(saved) else "nothing was saved before"
        return f"'{self.path(name)}' could not be written ({reason}); {kept}: make room or mend the folder, then resume the run."

    def require_room(self, needed: int) -> None:
        """Checks before training that the folder can be written to and has room for `needed` bytes."""
        self.write(".probe", "zeuxis")
        self.path(".probe").unlink()
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise ZeuxisError(
                f"The disk of '{self.folder}' has {free / 1e6:,.0f} MB free and this run needs {needed / 1e6:,.0f} MB: "
                "make room or choose another folder with --out."
            )

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps a second process from training in the same folder; the hold ends with its process, however that ends."""
        import fcntl

        with open(self.path(".lock"), "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ZeuxisError(f"Another process is training in '{self.folder}': wait for it, or stop it first.") from error
            yield

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        self.write(name, json.dumps(values, indent=2) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        path = self.path(name)
        try:
            values = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ZeuxisError(f"'{path}' cannot be read ({error}): restore it or give another run folder.") from error
        if not isinstance(values, dict):
            raise ZeuxisError(f"'{path}' holds {type(values).__name__} where an object was expected: restore it from a copy.")
        return values

    def write_tensors(self, name: str, tensors: dict[str, Tensor], about: dict[str, Any] | None = None) -> None:
        """Writes tensors and a few JSON values beside them, as safetensors."""
        ready = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
        metadata = {"zeuxis": json.dumps(about or {})}
        self.write(name, lambda path: save_file(ready, path, metadata))

    def read_tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and the values beside them."""
        path = self.path(name)
        try:
            with safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {}).get("zeuxis", "{}"))
                return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118
        except FileNotFoundError as error:
            raise ZeuxisError(f"'{path}' does not exist: this folder holds no such weights, train or copy them first.") from error
        except (OSError, SafetensorError, ValueError) as error:
            raise ZeuxisError(f"'{path}' is damaged or no safetensors file ({error}): restore it from a copy.") from error

    def saved_images(self) -> int:
        """Images seen (by a policy: steps taken) at the last save, 0 without one."""
        return moment(self.saved())

    def saved(self) -> dict[str, Any]:
        """What the last save says of itself, nothing without one."""
        try:
            with safe_open(self.path("state.safetensors"), "pt") as file:
                return json.loads((file.metadata() or {}).get("zeuxis", "{}"))
        except (OSError, SafetensorError, ValueError):
            return {}

    def log(self, figures: dict[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        try:
            with open(self.path("metrics.jsonl"), "a") as file:
                file.write(json.dumps(figures) + "\n")
        except OSError as error:
            raise ZeuxisError(self.cannot_write("metrics.jsonl", error)) from error

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line cut short by a kill is left out."""
        try:
            lines = self.path("metrics.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def frames(self) -> list[tuple[int, Path]]:
        """Images seen and path of each frame of the film, in order."""
        return sorted((int(p.stem), p) for p in self.path("frames").glob("*.png") if p.stem.isdigit())

    def add_frame(self, images: int, picture: Image.Image) -> None:
        self.write(f"frames/{images:012}.png", lambda path: picture.save(path, "PNG"))

    def rewind(self, images: int) -> None:
        """Takes back reports and frames made after the save that a run resumes from."""
        kept = [json.dumps(line) for line in self.metrics() if moment(line) <= images]
        self.write("metrics.jsonl", "".join(line + "\n" for line in kept))
        for seen, path in self.frames():
            if seen > images:
                path.unlink()
        for partial in self.folder.rglob(".*.partial"):
            partial.unlink()


def moment(figures: dict[str, Any]) -> int:
    """When figures were taken: images seen, or environment steps."""
    return int(figures.get("images", figures.get("steps", 0)))
