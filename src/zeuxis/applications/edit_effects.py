r"""What an edit changes: a network that knows the attributes reads them from edited images.

An edit along an attribute should change that attribute and no other. A small convolutional network
is fitted to images with known attributes; it shares nothing with the model that edits. For each
direction it reads every attribute after steps forward and back,

$$ s_{ab} = \mathbb{E} \, \frac{f_b(x_{+m v_a}) - f_b(x_{-m v_a})}{2 m \sigma_b} , $$

so that $s_{aa}$ is what one step does to its own attribute, in standard deviations of it, and
$s_{ab}$ what it does to another. The **drift** is the mean of $|f_b(x_{+m v_a}) - f_b(x_0)| /
(m \sigma_b)$ over images and other attributes: it also counts changes whose signs cancel. The
network's $R^2$ on held-out images says how far to trust a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from rich.table import Column, Table
from torch import Tensor, nn

from ..data.attributes import Attributes
from ..errors import UsageError
from ..progress import track
from .directions import Directions
from .reconstruct import Autoencoder, decode_latents, encode_images

HELD_OUT = 0.1
LEAST = 500  # images with known attributes that a network is fitted to


class Reader(nn.Module):
    """A small convolutional network that reads attributes from images.

    Arguments:
        shape: (C, H, W) of an image.
        outputs: Number of attributes.
    """

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        widths = (shape[0], 32, 64, 128)
        self.conv = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 3, stride=2, padding=1) for i in range(3)
        )
        units = 128 * -(-shape[1] // 8) * -(-shape[2] // 8)
        self.dense, self.last = nn.Linear(units, 128), nn.Linear(128, outputs)

    def forward(self, x: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n outputs"]:
        h = x.float() / 127.5 - 1
        for layer in self.conv:
            h = F.relu(layer(h))
        return self.last(F.relu(self.dense(h.flatten(1))))

    @torch.no_grad()
    def read(self, x: Tensor) -> Float[Tensor, "n outputs"]:
        """Attributes of many images, in standard deviations from their mean."""
        return torch.cat([self(part) for part in x.split(500)])


@dataclass(frozen=True)
class Readable:
    """A fitted reader.

    Arguments:
        reader: The network.
        r2: Its R^2 on held-out images for each attribute.
    """

    reader: Reader
    r2: tuple[float, ...]


def fit_reader(
    x: UInt8[Tensor, "n channels height width"],
    known: Attributes,
    *,
    steps: int = 2_000,
    batch: int = 128,
    seed: int = 0,
) -> Readable:
    """Fits a reader to images with known attributes, and tests it on a tenth of them.

    Arguments:
        x: Images; they should not be those that are edited.
        known: Their attributes; images with an unknown one are left out.
        steps: Steps of Adam.
        batch: Images of a step.
        seed: Fixes weights, batches and which images are held out.
    """
    complete = torch.nonzero(known.values.isfinite().all(1))[:, 0]
    if len(complete) < LEAST:
        raise UsageError(
            f"{len(complete):,} images have all attributes known, and a network that reads them "
            f"needs {LEAST:,}: give more."
        )
    generator = torch.Generator().manual_seed(seed)
    order = complete[torch.randperm(len(complete), generator=generator)]
    held_out, fit = order.tensor_split([round(HELD_OUT * len(order))])
    values = known.values[fit]
    mean, spread = values.mean(0), values.std(0, correction=0).clamp(min=1e-9)
    targets = ((known.values - mean) / spread).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = Reader(tuple(x.shape[1:]), len(known.names))
    optimizer = torch.optim.Adam(reader.parameters(), 1e-3)
    for step in track(range(steps), steps, "reader of attributes"):
        rows = fit[torch.randint(len(fit), (batch,), generator=generator)]
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - step / steps)
        loss = F.mse_loss(reader(x[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    missed = (reader.read(x[held_out]) - targets[held_out]).square().mean(0)
    r2 = 1 - missed / targets[held_out].var(0, correction=0).clamp(min=1e-9)
    return Readable(reader.eval(), tuple(r2.tolist()))


@dataclass(frozen=True)
class Effects:
    """What one step along each direction changes, in standard deviations of each attribute.

    Arguments:
        edited: Names of the directions.
        names: Names of the attributes that are read.
        slopes: (directions, attributes).
        drift: Mean absolute change of all other attributes, for each direction.
        r2: How well each attribute is read.
        images: Images that were edited.
        amount: Steps forward and back.
    """

    edited: tuple[str, ...]
    names: tuple[str, ...]
    slopes: Float[Tensor, "directions attributes"]
    drift: tuple[float, ...]
    r2: tuple[float, ...]
    images: int
    amount: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a record."""
        rows = {
            name: {
                "slopes": dict(zip(self.names, self.slopes[i].tolist(), strict=True)),
                "own": self.slopes[i, self.names.index(name)].item(),
                "drift": self.drift[i],
            }
            for i, name in enumerate(self.edited)
        }
        r2 = dict(zip(self.names, self.r2, strict=True))
        return {"effects": rows, "R2": r2, "images": self.images, "amount": self.amount}

    def table(self) -> Table:
        """One row for each direction."""
        table = Table(
            Column("one step of", overflow="fold"),
            *(Column(name, justify="right", no_wrap=True) for name in self.names),
            Column("drift", justify="right", no_wrap=True),
            caption=(
                f"Change of each attribute in standard deviations, read from {self.images:,} "
                f"edited images by a network (last row: its R2 on held-out images). Drift: mean "
                "absolute change of the others."
            ),
            caption_justify="left",
        )
        for i, name in enumerate(self.edited):
            cells = (f"{value:+.2f}" for value in self.slopes[i].tolist())
            table.add_row(name, *cells, f"{self.drift[i]:.2f}")
        table.add_row("R2", *(f"{value:.3f}" for value in self.r2), "")
        return table


def edit_effects(
    model: Autoencoder,
    x: UInt8[Tensor, "n channels height width"],
    directions: Directions,
    readable: Readable,
    names: tuple[str, ...],
    amount: float = 1.0,
) -> Effects:
    """Edits images along every direction and reads what has changed.

    Arguments:
        model: Any model that encodes and decodes.
        x: Images.
        directions: Of this model's attributes, each of which the reader reads.
        readable: Reads attributes.
        names: The reader's attributes in order.
        amount: Steps forward and back.
    """
    if missing := [name for name in directions.names if name not in names]:
        raise UsageError(
            f"The attributes {', '.join(missing)} are not among those that are read, "
            f"{', '.join(names)}: fit the reader to them as well."
        )
    if not len(x) or not amount > 0:
        raise UsageError(
            f"Effects need images and a positive number of steps, got {len(x)} and {amount:g}."
        )
    z, reader = encode_images(model, x), readable.reader
    before = reader.read(decode_latents(model, z))
    slopes, drift = [], []
    for name in directions.names:
        forward, back = (
            reader.read(decode_latents(model, directions.move(z, {name: sign * amount})))
            for sign in (1, -1)
        )
        slopes.append((forward - back).mean(0) / (2 * amount))
        others = torch.tensor([other != name for other in names])
        changes = (forward - before)[:, others].abs() / amount
        drift.append(changes.mean().item() if others.any() else 0.0)
    return Effects(
        *(directions.names, names, torch.stack(slopes), tuple(drift), readable.r2),
        *(len(x), amount),
    )
