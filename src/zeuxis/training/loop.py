"""The training loop: any model that plays, one process or many, counted in images.

Each step draws a batch, lets every player take its turn (`take_turns`) and updates the average of
the weights (`EMA`). Between steps it reports, films, validates and saves. Batches and noise are
functions of the seed and of the images seen, so a run that was killed ends bit for bit as one
that was not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from ..arguments import public
from ..checkpoints.run_folder import STATE, Run
from ..checkpoints.serialization import to_json
from ..checkpoints.weights import describe, start_from
from ..data.dataset import Dataset
from ..device import peak_memory, setup_device
from ..distributed import World, barrier, broadcast_module, init
from ..errors import DivergenceError, UsageError, ZeuxisError
from ..model import Model
from ..optim import factory as optimizers
from ..visual.film import Picture, film_times, picture_of
from .config import TrainingConfig, check_config
from .ema import EMA
from .losses import LossLog
from .result import Result
from .sampler import Batches
from .selection import Selection, Validation, logged
from .session import Session, require_count, require_seconds, resume_or_rewind
from .turns import take_turns

Hook = Callable[["Trainer"], Any]
"""A function of the user's that a training calls."""


@public
def fit(
    model: Model,
    data: Dataset,
    run: Run | str | Path | None = None,
    training: TrainingConfig | None = None,
    validate: Validation | None = None,
    world: World | None = None,
    quiet: bool = False,
    on_step: Hook | None = None,
    on_save: Hook | None = None,
) -> Result:
    """Trains a model, going on from the run's last save if it has one.

    Arguments:
        model: The model; it ends with its newest weights, and the result has the averaged ones.
        data: What it learns from.
        run: Folder for saves, figures and frames, made if need be; None keeps nothing.
        training: Settings.
        validate: Figures of an averaged model, the lower or the higher the better, as
            `training.select` says.
        world: This process among the others; by default from torchrun's environment.
        quiet: Whether to print nothing.
        on_step: Called with the trainer after each step: for figures and pictures of your own.
            `trainer.session.stop.set()` ends the training after a save.
        on_save: Called with the trainer after each save, by the process that writes.

    Raises:
        DivergenceError: A loss or weight is not finite; the sentence names step, player and last
            save.
    """
    hooks = (on_step, on_save)
    if run is None or isinstance(run, Run):
        return Trainer(model, data, run, training, validate, world, quiet, *hooks).run()
    world = world or init()
    if not world.is_main:
        return Trainer(model, data, Run(run), training, validate, world, quiet, *hooks).run()
    described, folder = describe(model), Run.at(run)
    if not folder.path("config.json").exists():  # by which `load` can open the run
        settings = to_json(training or TrainingConfig())
        folder.write_json("config.json", described | {"training": settings})
    with folder.held():
        return Trainer(model, data, folder, training, validate, world, quiet, *hooks).run()


class Trainer:
    """A training: its state, and the acts of a step.

    Making one prepares the first step: device, precision, memory format, and the weights that the
    run's last save, another model or the data give.

    Arguments:
        model, data, run, training, validate, world, quiet, on_step, on_save: As for `fit`.

    Attributes:
        step: Steps so far.
        steps: Steps of the whole training.
        ema: The average of the weights.
    """

    def __init__(
        self,
        model: Model,
        data: Dataset,
        run: Run | None = None,
        training: TrainingConfig | None = None,
        validate: Validation | None = None,
        world: World | None = None,
        quiet: bool = False,
        on_step: Hook | None = None,
        on_save: Hook | None = None,
    ) -> None:
        self.on_step, self.on_save = on_step, on_save
        self.config = c = training or TrainingConfig()
        self.world = world or init()
        data = model.arrange(data)
        check_config(c, data, self.world)
        self.hardware = setup_device(c.device, c.precision, c.threads, self.world)
        self.device = self.hardware.device
        self.model, self.run_folder = model, run
        model.to(self.device).train()
        model.to_channels_last()
        if run is None or not run.path(STATE).exists():
            if c.start:
                start_from(model, c.start)
            else:
                model.initialize_from_data(data, c.seed)
        broadcast_module(model)

        on_gpu = self.device.type == "cuda" and data.nbytes < 8e9
        self.data = data.to(self.device) if on_gpu else data
        players = model.players()
        self.optimizers = {
            name: optimizers.make(player, self.hardware.bf16) for name, player in players.items()
        }
        self.ema = EMA(model, c.half_life, c.batch)
        self.batches = Batches(self.data, c, self.world, self.device)
        self.step, self.steps, self.seconds = 0, -(-c.images // c.batch), 0.0
        self.losses = LossLog(c.batch)
        self.figures: dict[str, float] = {}
        self.writes = run is not None and self.world.is_main
        self.picture: Picture | None = None
        if self.writes and c.film:
            self.picture = picture_of(model, data, c.images)
        self.frames = film_times(c.film, c.batch, c.images, model.clock) if self.picture else []
        self.selection = Selection(c.select, validate if self.world.is_main else None)
        self.session = Session(c, c.images, run, world=self.world, device=self.device, quiet=quiet)
        if c.compile:
            for player in players.values():
                player.module.compile()
        if run is not None:
            self.open(run)
        barrier()  # no process may read a save while the main one writes the next

    @property
    def images(self) -> int:
        """Images seen."""
        return self.step * self.config.batch

    def open(self, run: Run) -> None:
        """Resumes from the run's last save, or checks that there is room for the first."""
        if self.writes and not run.path(STATE).exists():
            weights = sum(p.numel() * p.element_size() for p in self.model.parameters())
            run.require_room(4 * weights * 3)
        resume_or_rewind(run, self.restore, self.writes)

    def run(self) -> Result:
        """Trains to the end, or until a signal asks to save and stop."""
        session = self.session
        with session.open(self.images, self.seconds):
            self.film()
            while session.goes_on():
                self.one_step()
                session.advance(self.images)
                if self.on_step is not None:
                    self.on_step(self)
                if session.crossed(self.config.log_every) or session.finished:
                    self.report()
                self.film()
                if session.crossed(self.config.validate_every) and not session.finished:
                    self.validate()
                if session.save_due():
                    self.save()
            self.seconds = session.seconds
            if not session.stopped:
                if self.selection.validate is not None:
                    self.save()  # validation may take minutes
                self.validate(logged=logged(self.run_folder, self.images))
            self.save()
        barrier()
        model = self.ema.model.eval() if self.writes else self.ema_model()  # a save has updated it
        folder = self.run_folder if self.writes else None
        return Result(model, self.images, self.seconds, self.figures, session.stopped, folder)

    def one_step(self) -> None:
        """One turn of every player, and the average of the new weights."""
        c, progress = self.config, self.step / self.steps
        batches = self.batches.step(self.step, progress)
        try:
            take_turns(
                self.model,
                batches,
                self.optimizers,
                scale=optimizers.factor(progress, self.images, c.schedule, c.decay_from, c.warmup),
                clip=c.clip,
                autocast=self.hardware.autocast,
                on_loss=self.record_loss,
            )
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UsageError(
                "Batch statistics need at least 2 numbers a channel, and a portion of the batch "
                f"has 1 image: give a larger --training.batch than {c.batch}, or a smaller "
                f"--training.accumulate than {c.accumulate}."
            ) from error
        self.ema.update(self.model)
        for batch in batches:
            self.losses.add_logs(batch.logs)
        self.step += 1

    def record_loss(self, player: str, loss: Tensor) -> None:
        """Keeps a turn's loss for the next report; on a CPU checks it at once."""
        self.losses.add(self.step, player, loss)
        if self.device.type == "cpu":
            self.check_finite(-1)

    def check_finite(self, since: int = 0) -> None:
        """Stops at the first loss that is not finite, and names the save that is kept.

        A GPU would wait for each loss, so there they are checked before a report or save.

        Arguments:
            since: The first turn to check, as an index.

        Raises:
            DivergenceError: A loss is not finite.
        """
        if not (what := self.losses.not_finite(since)):
            return
        saved = self.run_folder.saved_images() if self.run_folder else 0
        kept = (
            f"the last good save, at {saved:,} images, is in '{self.run_folder}'"
            if saved
            else "nothing was saved before"
        )
        raise DivergenceError(
            f"{what}; {kept}: lower the step size, set --training.clip 1 or "
            "--training.precision fp32."
        )

    def report(self) -> None:
        """Reports the means of losses and logs since the last report."""
        self.check_finite()
        figures = self.losses.means() | self.session.pace()
        figures |= {"step": self.step, "memory": peak_memory(self.device)}
        self.losses.clear()
        self.figures |= figures
        self.session.report(figures)

    def film(self) -> None:
        """Draws the averaged model if a frame is due."""
        if self.run_folder is None or self.picture is None:
            return
        if self.frames and self.images >= self.frames[0]:
            self.frames = [due for due in self.frames if due > self.images]
            frame = self.picture(self.ema_model(examples=0), self.images)
            self.run_folder.add_frame(self.images, frame)

    def ema_model(self, examples: int = 2_000) -> Model:
        """The averaged model in eval mode.

        Arguments:
            examples: From how many it computes statistics of the data; a frame takes none.
        """
        self.ema.model.eval().update_statistics(self.data.batch_of(examples).to(self.device))
        return self.ema.model

    def validate(self, logged: bool = False) -> None:
        """Reports figures on held-out data unless the log has them, and keeps the best weights."""
        if self.selection.validate is None:
            return
        model = self.ema_model()
        figures, best = self.selection.figures(model)
        self.figures |= figures
        if not logged:
            self.session.report(figures)
        if best and self.run_folder is not None:
            about = {"images": self.images, self.selection.name: self.selection.best}
            self.run_folder.write_tensors("best.safetensors", dict(model.state_dict()), about)

    def save(self) -> None:
        """Writes everything that resuming needs in one file, then the weights by themselves."""
        if self.run_folder is None or not self.writes:
            return
        self.check_finite()
        averaged, newest = self.ema_model().state_dict(), self.model.state_dict()
        tensors = {f"model.{k}": v for k, v in newest.items()}
        tensors |= {f"average.{k}": v for k, v in averaged.items()}
        for name, optimizer in self.optimizers.items():
            tensors |= optimizers.state(optimizer, f"optimizer.{name}")
        about = {
            "images": self.images,
            "step": self.step,
            "seconds": self.session.seconds,
            "best": repr(self.selection.best),
            "average": self.ema.steps,
            "picture": self.picture.state() if self.picture else None,
        }
        self.run_folder.write_tensors(STATE, tensors, about)
        self.run_folder.write_tensors("model.safetensors", dict(newest), {"images": self.images})
        self.run_folder.write_tensors("ema.safetensors", dict(averaged), {"images": self.images})
        if self.on_save is not None:
            self.on_save(self)

    def restore(self, run: Run) -> int:
        """Resumes exactly where the last save was made; returns the images seen."""
        tensors, about = run.read_tensors(STATE)

        def part(name: str) -> dict[str, Tensor]:
            return {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(name + ".")}

        try:
            self.model.load_state_dict(part("model"))
            self.ema.model.load_state_dict(part("average"))
            for name, optimizer in self.optimizers.items():
                optimizers.restore(optimizer, f"optimizer.{name}", tensors)
        except (RuntimeError, KeyError, IndexError, ValueError, TypeError) as error:
            raise ZeuxisError(
                f"'{run.path(STATE)}' was saved with other settings: resume with those in "
                "config.json."
            ) from error
        try:
            self.restore_counts(about)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ZeuxisError(
                f"'{run.path(STATE)}' is damaged ({error}): restore it from a copy."
            ) from error
        self.frames = [due for due in self.frames if due > self.images]
        return self.images

    def restore_counts(self, about: dict[str, Any]) -> None:
        """Takes over the values beside the tensors of a save."""
        self.step, self.ema.steps = require_count(about, "step"), require_count(about, "average")
        self.seconds, self.selection.best = require_seconds(about), float(about["best"])
        if self.picture is not None and about["picture"] is not None:
            self.picture.restore(about["picture"])
