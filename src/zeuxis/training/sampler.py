"""Which examples and which noise a step sees: a new permutation for every epoch, all of it a
function of seed and step alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from ..data.dataset import Dataset
from ..distributed import World
from ..errors import UsageError
from ..model import Batch
from ..noise import Noise
from .config import TrainingConfig


class EpochSampler:
    """Positions of the global batch of any step, without saved state.

    Arguments:
        size: Examples in the data set.
        batch: Examples per step, over all processes.
        seed: The run's seed.
        group: Consecutive examples that stay together; it divides `batch`.
        buffer: Examples in a shuffle buffer; 0 draws a permutation of the whole set.
        files: How many consecutive examples each file holds; the buffer is filled from one file
            after the other.

    Example:
        >>> order = EpochSampler(size=5, batch=2, seed=0)
        >>> sorted(torch.cat([order.rows(step) for step in range(5)]).tolist())
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        >>> EpochSampler(size=6, batch=2, seed=0, group=2).rows(0).diff().tolist()
        [1]
    """

    def __init__(
        self,
        size: int,
        batch: int,
        seed: int,
        group: int = 1,
        buffer: int = 0,
        files: Sequence[int] = (),
    ) -> None:
        self.size, self.batch, self.seed, self.group = size // group, batch // group, seed, group
        self.buffer, self.files = buffer, list(files) if sum(files) == size else [size]
        self.shuffled: dict[int, Tensor] = {}

    def rows(self, step: int) -> Tensor:
        """Dataset positions of this step's batch, (batch,)."""
        first, end = step * self.batch, (step + 1) * self.batch
        parts = []
        while first < end:
            epoch, offset = divmod(first, self.size)
            take = min(end - first, self.size - offset)
            parts.append(self.permutation(epoch)[offset : offset + take])
            first += take
        units = torch.cat(parts)
        if self.group == 1:
            return units
        return (units[:, None] * self.group + torch.arange(self.group)).flatten()

    def permutation(self, epoch: int) -> Tensor:
        """The order of one epoch."""
        if epoch not in self.shuffled:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
            order = torch.randperm(self.size, generator=generator) if not self.buffer else None
            self.shuffled = {
                epoch: buffered(self.files, self.buffer, generator) if order is None else order
            }
        return self.shuffled[epoch]


def buffered(files: Sequence[int], buffer: int, generator: torch.Generator) -> Tensor:
    """The order of an epoch through a shuffle buffer.

    Files follow each other in a random order, each read from its start to its end. The buffer holds
    `buffer` examples; each step takes a random one out and the next one in. The whole order follows
    from the generator, so no buffer has to be saved.

    Example:
        >>> order = buffered([3, 3, 2], 2, torch.Generator().manual_seed(0))
        >>> sorted(order.tolist())
        [0, 1, 2, 3, 4, 5, 6, 7]
    """
    starts = torch.tensor([0, *files]).cumsum(0).tolist()
    ranges = [torch.arange(start, start + n) for start, n in zip(starts, files, strict=False)]
    read = torch.cat([ranges[i] for i in torch.randperm(len(files), generator=generator)]).tolist()
    held, order = read[:buffer], []
    places = torch.randint(max(1, len(held)), (len(read),), generator=generator).tolist()
    for place, entering in zip(places, read[buffer:], strict=False):
        order.append(held[place])
        held[place] = entering
    last = torch.randperm(len(held), generator=generator).tolist()
    return torch.tensor(order + [held[i] for i in last])


def kept_files(data: Dataset) -> list[int]:
    """How many consecutive examples of a data set each file holds; of a part of a set, as far as
    its rows are in order."""
    files, rows = list(data.facts.files), data.rows
    if rows is None or not files or not bool((rows.diff() > 0).all()):
        return files if rows is None else []
    ends = torch.tensor(files).cumsum(0)
    return torch.bincount(torch.bucketize(rows.cpu(), ends, right=True)).tolist()


class ExtraBatches:
    """Further streams of examples beside the batch, each with its own shuffling.

    Arguments:
        data: The data set.
        seed: The run's seed.
    """

    def __init__(self, data: Dataset, seed: int) -> None:
        self.data, self.seed = data, seed
        self.orders: dict[tuple[str, int, int], EpochSampler] = {}
        self.labeled: Tensor | None = None

    def rows(
        self, kind: Literal["any", "labeled"], n: int, portion: int, stream: int = 0
    ) -> Tensor:
        """Positions in the data set of the n examples of a stream's portion with this number."""
        if self.labeled is None:
            labels = self.data.labels
            self.labeled = (
                torch.empty(0, dtype=torch.int64)
                if labels is None
                else torch.nonzero(labels.cpu() >= 0)[:, 0]
            )
        if kind == "labeled" and not len(self.labeled):
            name = self.data.spec.name
            raise UsageError(
                f"'{name}' has no labeled example: give labels with --labels FILE.csv or "
                "keep some with --labels-per-class 10."
            )
        key = (kind, n, stream)
        if key not in self.orders:
            size = len(self.data) if kind == "any" else len(self.labeled)
            first = 104_729 if kind == "any" else 1_299_709
            self.orders[key] = EpochSampler(size, n, self.seed + first + 15_485_863 * stream)
        rows = self.orders[key].rows(portion)
        return rows if kind == "any" else self.labeled[rows]


class Batches:
    """The batches of every step, as this process sees them.

    Arguments:
        data: The data set.
        config: Settings: batch, portions and seed.
        world: This process among the others; it gets its share of each batch.
        device: Where the examples go.

    Example:
        >>> from zeuxis.data import load_data
        >>> config = TrainingConfig(batch=8, accumulate=2)
        >>> batches = Batches(load_data("mnist"), config, World(), torch.device("cpu"))
        >>> [(batch.x.shape[0], batch.images) for batch in batches.step(5, progress=0.5)]
        [(4, 40), (4, 40)]
    """

    def __init__(
        self, data: Dataset, config: TrainingConfig, world: World, device: torch.device
    ) -> None:
        self.data, self.config, self.world, self.device = data, config, world, device
        self.order = EpochSampler(
            len(data),
            config.batch,
            config.seed,
            data.facts.group,
            config.shuffle_buffer,
            kept_files(data),
        )
        self.extra = ExtraBatches(data, config.seed)

    def step(self, step: int, progress: float) -> list[Batch]:
        """This process's share of each portion of a step's batch.

        Arguments:
            step: Steps so far.
            progress: Fraction of the training that lies behind.
        """
        c = self.config
        return [self.portion(step, portion, progress) for portion in range(c.accumulate)]

    def portion(self, step: int, portion: int, progress: float) -> Batch:
        """This process's share of one portion."""
        c, images = self.config, step * self.config.batch
        size = c.batch // c.accumulate
        rows, first = self.world.rows(size), portion * size
        index = self.order.rows(step)[first : first + size][rows]
        noise = Noise(c.seed, images + first, rows, size, self.device)
        more = partial(self.more, step * c.accumulate + portion)
        return Batch(*self.examples(index), noise, images, progress, more)

    def more(
        self, portion: int, kind: Literal["any", "labeled"], n: int, stream: int = 0
    ) -> tuple[Tensor, Tensor | None]:
        """This process's share of n further examples."""
        return self.examples(self.extra.rows(kind, n, portion, stream)[self.world.rows(n)])

    def examples(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Examples and labels of these positions, on the device."""
        x, y = self.data.batch(index)
        return x.to(self.device), None if y is None else y.to(self.device)
