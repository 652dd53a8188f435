"""The one training loop: any model that plays, one process or many, counted in images.

For each step it draws a batch, resumes `model.play` turn by turn, and after each turn averages the
gradients over the processes, clips them and moves the parameters of the player that was named.
Gradient accumulation runs several plays side by side, so that every turn sees the whole batch
before its player moves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..arguments import public
from ..checkpoints.run_folder import Run
from ..checkpoints.serialization import to_json
from ..checkpoints.weights import describe, start_from
from ..data.dataset import Dataset
from ..device import Machine, peak_memory, prepare
from ..distributed import World, agree, average_gradients, broadcast, join, meet
from ..errors import DivergenceError, UsageError, ZeuxisError
from ..model import Batch, Model
from ..noise import Noise
from ..optim import factory as optimizers
from ..visual.film import Picture, film_times, picture_of
from .config import TrainingConfig, check
from .ema import EMA
from .interrupts import interrupts
from .metrics_log import Report, tracker
from .sampler import EpochSampler, ExtraBatches


@dataclass
class Result:
    """What a training ends with: the averaged model, images seen, seconds, last figures, whether it
    was stopped, its folder."""

    model: Model
    images: int
    seconds: float
    figures: dict[str, float] = field(default_factory=dict)
    stopped: bool = False
    run: Run | None = None


Validation = Callable[[Model], dict[str, float]]


@public
def fit(
    model: Model,
    data: Dataset,
    run: Run | str | Path | None = None,
    training: TrainingConfig | None = None,
    validate: Validation | None = None,
    world: World | None = None,
    quiet: bool = False,
) -> Result:
    """Trains a model, going on from the run's last save if it has one.

    Arguments:
        model: What plays; it ends with its newest weights.
        data: What it learns from.
        run: Folder for saves, figures and frames, made if need be; None keeps nothing.
        training: Settings.
        validate: Figures of an averaged model, higher or lower better as `training.select` says.
        world: This process among the others; by default found from torchrun's environment.
        quiet: Whether to print nothing.

    Raises:
        DivergenceError: A loss or weight is no finite number; the sentence names step, player and
            last good save.
    """
    if run is None or isinstance(run, Run):
        return begin(model, data, run, training, validate, world, quiet).train()
    world, folder = world or join(), Run(run)
    if not world.writes:
        return begin(model, data, folder, training, validate, world, quiet).train()
    folder = run_at(run, model, training or TrainingConfig())
    with folder.held():
        result = begin(model, data, folder, training, validate, world, quiet).train()
    result.run = folder
    return result


def run_at(folder: str | Path, model: Model, training: TrainingConfig) -> Run:
    """The run in a folder, which is made if it is not there, so that `load` can open what a
    training saves in it."""
    described, run = describe(model), Run(folder)
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZeuxisError(
            f"The folder '{folder}' cannot be made ({error.strerror}): give a writable place."
        ) from error
    if not run.path("config.json").exists():
        run.write_json("config.json", described | {"training": to_json(training)})
    return run


def begin(
    model: Model,
    data: Dataset,
    run: Run | None = None,
    training: TrainingConfig | None = None,
    validate: Validation | None = None,
    world: World | None = None,
    quiet: bool = False,
) -> Trainer:
    """What `fit` does before the first step: device, precision, layout, and the start that data or
    the run's last save give."""
    t = training or TrainingConfig()
    world = world or join()
    check(t, data, world)
    machine = prepare(t.device, t.precision, t.threads, world)
    model.to(machine.device).train()
    model.to_channels_last()
    if run is None or not run.path("state.safetensors").exists():
        if t.start:
            start_from(model, t.start)
        else:
            model.initialize_from_data(data, t.seed)
    broadcast(model)
    fitting = Trainer(model, data, run, t, world, machine, validate, quiet)
    fitting.ready()
    return fitting


class Trainer:
    """A training under way: everything that a save must hold, and the acts of a step."""

    def __init__(
        self,
        model: Model,
        data: Dataset,
        run: Run | None,
        t: TrainingConfig,
        world: World,
        machine: Machine,
        validate: Validation | None,
        quiet: bool = False,
    ) -> None:
        self.quiet = quiet or not world.writes
        self.model, self.run, self.t, self.world, self.machine, self.validate = (
            model,
            run,
            t,
            world,
            machine,
            validate,
        )
        self.data = (
            data.to(machine.device) if machine.device.type == "cuda" and data.nbytes < 8e9 else data
        )
        self.players = model.players()
        self.optimizers = {
            name: optimizers.make(player, machine.bf16) for name, player in self.players.items()
        }
        self.average = EMA(model, t.half_life, t.batch)
        self.order, self.streams = (
            EpochSampler(len(data), t.batch, t.seed),
            ExtraBatches(data, t.seed),
        )
        self.steps = -(-t.images // t.batch)
        self.step, self.seconds, self.best = 0, 0.0, float("nan")
        self.sums: list[tuple[int, str, Tensor]] = []
        self.logs: dict[str, list[Tensor]] = {}
        self.picture: Picture | None = (
            picture_of(model, data, t.images) if run and t.film and world.writes else None
        )
        self.frames = film_times(t.film, t.batch, t.images, model.clock) if self.picture else []
        self.last: dict[str, float] = {}
        if t.compile:
            for player in self.players.values():
                player.module.compile()

    @property
    def images(self) -> int:
        return self.step * self.t.batch

    def ready(self) -> None:
        """Takes the run's folder to where the training goes on: its last save, or the start."""
        if self.run is not None:
            begun = self.run.path("state.safetensors").exists()
            if begun:
                self.restore(self.run)
            elif self.world.writes:
                self.run.require_room(
                    4 * sum(p.numel() * p.element_size() for p in self.model.parameters()) * 3
                )
            if self.world.writes:
                self.run.rewind(self.images if begun else -1)
        meet()  # no process may read a save while the first one makes the next

    def train(self) -> Result:
        """Trains to the end, or until a signal asks it to save and stop."""
        with interrupts() as stop:
            result = self.go(stop)
        meet()
        return result

    def go(self, stop: threading.Event) -> Result:
        """Trains to the end or until told to stop."""
        also = tracker(self.t.track, self.run, {}) if self.run and self.world.writes else None
        report = Report(self.run if self.world.writes else None, self.t.images, self.quiet, also)
        self.first, self.began = self.images, time.monotonic() - self.seconds
        self.reported, self.reported_at, saved_at = self.images, time.monotonic(), time.monotonic()
        stopped, ended = False, self.step >= self.steps
        with report.open(self.images):
            self.film()
            while self.step < self.steps:
                before = self.images
                self.one_step()
                report.advance(self.images)

                def crossed(every: int, before: int = before) -> bool:
                    return every > 0 and before // every < self.images // every

                if crossed(self.t.log_every) or self.step == self.steps:
                    self.figures(report)
                self.film()
                if (
                    self.validate is not None
                    and self.step < self.steps
                    and crossed(self.t.validate_every)
                ):
                    self.validated(report)
                stopped = (
                    agree(stop.is_set() or report.unread, self.machine.device)
                    and self.step < self.steps
                )
                if stopped or self.over():
                    break
                due = (
                    time.monotonic() - saved_at > 60 * self.t.save_minutes
                    and self.step < self.steps
                )
                if (
                    self.run and self.world.writes and due
                ):  # the last save comes after the last report, or a kill would double that
                    self.save()
                    saved_at = time.monotonic()
            self.seconds = time.monotonic() - self.began
            if not stopped and self.validate is not None:
                self.validated(report, logged=ended)
            self.save()
        if self.run is None or not self.world.writes:  # a save has done it
            self.settled()
        return Result(self.average.model.eval(), self.images, self.seconds, self.last, stopped)

    def over(self) -> bool:
        """Whether the minutes of the training have passed; it then ends as a finished one, wherever
        it is."""
        spent = time.monotonic() - self.began
        return self.t.minutes > 0 and agree(spent > 60 * self.t.minutes, self.machine.device)

    def one_step(self) -> None:
        """Every turn of every player, once."""
        share = self.t.batch // self.t.accumulate
        mine = self.world.rows(share)
        rows = self.order.rows(self.step)
        plays, progress = [], self.step / self.steps
        for portion in range(self.t.accumulate):
            index = rows[portion * share : (portion + 1) * share][mine]
            x, y = self.data.batch(index)
            x, y = x.to(self.machine.device), None if y is None else y.to(self.machine.device)
            noise = Noise(
                self.t.seed, self.images + portion * share, mine, share, self.machine.device
            )
            more = partial(self.more, self.step * self.t.accumulate + portion)
            batch = Batch(x, y, noise, self.images, progress, more)
            plays.append((self.model.play(batch), batch))
        scale = optimizers.factor(
            progress, self.images, self.t.schedule, self.t.decay_from, self.t.warmup
        )
        while (player := self.turn(plays)) is not None:
            self.move(player, scale)
        self.average.update(self.model)
        for _, batch in plays:
            for name, value in batch.logs.items():
                self.logs.setdefault(name, []).append(value.detach())
        self.step += 1

    def more(
        self, portion: int, kind: Literal["any", "labeled"], n: int
    ) -> tuple[Tensor, Tensor | None]:
        """This process's share of n further examples."""
        x, y = self.data.batch(self.streams.rows(kind, n, portion)[self.world.rows(n)])
        return x.to(self.machine.device), None if y is None else y.to(self.machine.device)

    def turn(self, plays: list[tuple[Iterator[tuple[str, Tensor]], Batch]]) -> str | None:
        """Gradients of the next turn over all portions; the player's name, None when the game is
        over."""
        player = None
        for play, _ in plays:
            try:
                with self.machine.autocast():
                    drawn = next(play, None)
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                raise UsageError(
                    "Batch statistics need at least 2 numbers a channel, and a portion "
                    "of the batch has 1 image: give a larger "
                    f"--training.batch than {self.t.batch}, or a smaller "
                    f"--training.accumulate than {self.t.accumulate}."
                ) from error
            if drawn is None:
                continue
            player, loss = drawn
            self.sums.append((self.step, player, loss.detach()))
            if self.machine.device.type == "cpu":
                self.inspect()
            (loss / len(plays)).backward()
        return player

    def move(self, player: str, scale: float) -> None:
        """One update of one player's parameters."""
        optimizer = self.optimizers[player]
        parameters = optimizer.param_groups[0]["params"]
        average_gradients(parameters)
        if self.t.clip:
            nn.utils.clip_grad_norm_(parameters, self.t.clip)
        optimizer.param_groups[0]["lr"] = self.players[player].lr * scale
        optimizer.step()
        self.model.zero_grad(set_to_none=True)

    def inspect(self) -> None:
        """Stops at the first loss since the last report that is no finite number (on a CPU: at
        once)."""
        recent = self.sums[-1:] if self.machine.device.type == "cpu" else self.sums
        if recent and not torch.isfinite(torch.stack([loss for _, _, loss in recent])).all():
            step, player, loss = next(entry for entry in recent if not torch.isfinite(entry[2]))
            self.diverged(
                f"The loss of the {player} became {loss.item()} at step {step:,} "
                f"({step * self.t.batch:,} images)"
            )

    def diverged(self, what: str) -> None:
        saved = self.run.saved_images() if self.run else 0
        kept = (
            f"the last good save, at {saved:,} images, is in '{self.run}'"
            if saved
            else "nothing was saved before"
        )
        raise DivergenceError(
            f"{what}; {kept}: lower the step size, set --training.clip 1 or "
            "--training.precision fp32."
        )

    def figures(self, report: Report) -> None:
        """Averages since the last report."""
        self.inspect()
        losses: dict[str, list[Tensor]] = {}
        for _, player, loss in self.sums:
            losses.setdefault(player, []).append(loss)
        found = {
            name: torch.stack(values).mean().item()
            for name, values in {**losses, **self.logs}.items()
        }
        now = time.monotonic()
        found["images/s"] = (self.images - self.reported) / max(1e-9, now - self.reported_at)
        found |= {
            "seconds": now - self.began,
            "step": self.step,
            "memory": peak_memory(self.machine.device),
        }
        self.reported, self.reported_at, self.sums, self.logs = self.images, now, [], {}
        self.last |= found
        report.figures(found, self.images)

    def film(self) -> None:
        """Draws the averaged model if a frame is due."""
        if (
            self.picture is None
            or self.run is None
            or not self.frames
            or self.images < self.frames[0]
        ):
            return
        self.frames = [due for due in self.frames if due > self.images]
        self.run.add_frame(self.images, self.picture(self.settled(0), self.images))

    def settled(self, examples: int = 2_000) -> Model:
        """The averaged model, ready for use; what depends on data is settled on so many examples
        (none for a frame)."""
        self.average.model.eval().update_statistics(
            self.data.batch_of(examples).to(self.machine.device)
        )
        return self.average.model

    def validated(self, report: Report, logged: bool = False) -> None:
        """Figures on held-out data, reported unless the log has them; keeps the best weights if
        asked to."""
        if not self.world.writes or self.validate is None:
            return
        found = {f"held-out/{name}": value for name, value in self.validate(self.settled()).items()}
        self.last |= found
        if not logged:
            report.figures(found, self.images)
        if not self.t.select:
            return
        sign, name = (1 if self.t.select.startswith("min") else -1), f"held-out/{self.t.select[4:]}"
        if name not in found:
            known = ", ".join(key.removeprefix("held-out/") for key in found)
            raise UsageError(
                f"--training.select names '{self.t.select[4:]}', which validation does "
                f"not give: it gives {known}."
            )
        if not sign * found[name] >= sign * self.best:
            self.best = found[name]
            if self.run is not None:
                about = {"images": self.images, name: self.best}
                self.run.write_tensors(
                    "best.safetensors", dict(self.average.model.state_dict()), about
                )

    def save(self) -> None:
        """Writes everything that resuming needs in one file, then the weights by themselves."""
        if self.run is None or not self.world.writes:
            return
        self.inspect()
        averaged = self.settled().state_dict()
        newest = self.model.state_dict()
        tensors = {f"model.{k}": v for k, v in newest.items()} | {
            f"average.{k}": v for k, v in averaged.items()
        }
        for name, optimizer in self.optimizers.items():
            tensors |= optimizers.state(optimizer, f"optimizer.{name}")
        about = {
            "images": self.images,
            "step": self.step,
            "seconds": time.monotonic() - self.began,
            "best": repr(self.best),
        }
        about |= {
            "average": self.average.steps,
            "picture": self.picture.state() if self.picture else None,
        }
        self.run.write_tensors("state.safetensors", tensors, about)
        self.run.write_tensors("model.safetensors", dict(newest), {"images": self.images})
        self.run.write_tensors("ema.safetensors", dict(averaged), {"images": self.images})

    def restore(self, run: Run) -> None:
        """Goes on exactly where the last save was made."""
        tensors, about = run.read_tensors("state.safetensors")

        def part(name: str) -> dict[str, Tensor]:
            return {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(name + ".")}

        try:
            self.model.load_state_dict(part("model"))
            self.average.model.load_state_dict(part("average"))
            for name, optimizer in self.optimizers.items():
                optimizers.restore(optimizer, f"optimizer.{name}", tensors)
        except (RuntimeError, KeyError, IndexError, ValueError, TypeError) as error:
            path = run.path("state.safetensors")
            raise ZeuxisError(
                f"'{path}' was saved with other settings: resume with those in config.json."
            ) from error
        try:
            self.step, self.seconds, self.best = (
                whole(about["step"]),
                float(about["seconds"]),
                float(about["best"]),
            )
            self.average.steps = whole(about["average"])
            if self.picture is not None and about["picture"] is not None:
                self.picture.restore(about["picture"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            path = run.path("state.safetensors")
            raise ZeuxisError(
                f"'{path}' is damaged ({error} is wrong in it): restore it from a copy."
            ) from error
        self.frames = [due for due in self.frames if due > self.images]


def whole(value: Any) -> int:
    """A count that a save tells."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError(f"the count {str(value)[:40]}")
    return value
