"""How a model is trained: every setting with its unit, and the checks before the first step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ..data.dataset import Dataset
from ..device import Precision
from ..distributed import World
from ..errors import UsageError
from ..optim.factory import Schedule
from ..ranges import (
    MOST,
    BaseConfig,
    BatchSize,
    Count,
    CountOrNone,
    Duration,
    Fraction,
    Range,
    Seed,
    SmallCountOrNone,
    Threads,
    Weight,
)
from .metrics_log import Track


@dataclass(frozen=True)
class TrainingConfig(BaseConfig, flags="--training."):
    """Length, optimization, precision, validation and reports of a training."""

    images: Count = 1_000_000
    """Length of the training (images seen)."""
    minutes: Duration = 0.0
    """Length of the training in minutes, from which `images` is chosen at the start by the speed of
    a few steps; 0 leaves it as it is."""
    batch: BatchSize = 128
    """Images per step, over all processes."""
    accumulate: BatchSize = 1
    """Portions in which a batch is computed, to save memory: gradient accumulation. Only batch
    statistics change."""
    clip: Weight = 0.0
    """Largest norm of a player's gradient; 0 does not clip."""
    average: CountOrNone = 10_000
    """Half-life of the averaged weights that samples are drawn from (images); 0 takes the newest
    weights."""
    average_limit: Fraction = 0.05
    """Largest half-life of the averaged weights, as a fraction of the training: a short one is
    averaged over its end only."""
    schedule: Schedule = "constant"
    """How the step size falls to 0: constant (not at all), linear, or cosine."""
    decay_from: Fraction = 0.5
    """Fraction of the training at which the step size begins to fall."""
    warmup: CountOrNone = 0
    """Images over which the step size rises from 0."""
    precision: Precision = "auto"
    """Precision of matrix products and convolutions; auto is bf16 where the hardware has it. Losses
    and statistics are always fp32."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU if there is one."""
    threads: Threads = 0
    """CPU threads of each process; 0 divides the cores among them."""
    compile: bool = False
    """Compile the networks first (20 to 50 s; pays on GPUs)."""
    start: str = ""
    """Start from the weights of this run or shipped model, as mnist/vae, instead of random ones,
    with new optimizers."""
    seed: Seed = 0
    """Fixes initial weights, order of the data and all noise."""
    shuffle_buffer: CountOrNone = 0
    """Examples in the buffer by which a set in shards is shuffled: files are then read one after
    the other, in an order drawn for each epoch. 0 draws each example from the whole set."""
    log_every: Count = 10_000
    """Images between reports."""
    save_minutes: Duration = 2.0
    """Minutes between saves; the run is saved at the end as well."""
    film: SmallCountOrNone = 100
    """Frames of the film of the training; 0 makes none."""
    hold_out: Annotated[int, Range(-1, MOST)] = -1
    """Images held out of the training; -1 takes a tenth of a data set with one part, and none of
    one with a test part."""
    validate_every: CountOrNone = 0
    """Images between validations; 0 validates at the end only, and only where images were held
    out."""
    select: str = ""
    """Keep the best weights by a validation figure: min:NAME or max:NAME, as in min:frechet."""
    track: Track = ""
    """Send figures to tensorboard, wandb or trackio as well."""

    @property
    def half_life(self) -> int:
        """Half-life of the averaged weights (images)."""
        return min(self.average, round(self.average_limit * self.images))


def check_config(config: TrainingConfig, data: Dataset, world: World) -> None:
    """Refuses settings that cannot work with these data and processes.

    Raises:
        UsageError: The sentence names the flag to change.
    """
    c, portions = config, config.accumulate * world.size
    if len(data) < 1:
        raise UsageError(
            f"'{data.spec.name}' has no examples to train on: give a data set with at least one."
        )
    if c.batch % portions:
        raise UsageError(
            f"A batch of {c.batch} cannot be split into {c.accumulate} portions for {world.size} "
            f"processes: choose a --training.batch that is a multiple of {portions}."
        )
    if (group := data.facts.group) > 1:
        if c.shuffle_buffer:
            raise UsageError(
                f"'{data.spec.name}' has groups of {group} images, which a shuffle buffer would "
                "tear: leave out --training.shuffle-buffer."
            )
        if c.batch % (portions * group):
            raise UsageError(
                f"A batch of {c.batch} in {portions} portions cuts groups of {group} images: "
                f"choose a --training.batch that is a multiple of {portions * group}."
            )
        if data.rows is not None or len(data) % group:
            raise UsageError(
                f"'{data.spec.name}' is a part of a set of groups of {group} images, and groups "
                "cannot be cut: leave out --training.hold-out and --limit."
            )
    if c.select and (c.select[:4] not in ("min:", "max:") or not c.select[4:]):
        raise UsageError(
            f"--training.select is '{c.select}', expected min:FIGURE or max:FIGURE, as "
            "in min:frechet."
        )
