"""The loop: exact resume, accumulation, averages, schedules, stopping, saving, and what it says
when something breaks."""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
from multiprocessing import Queue
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import tiny
from zeuxis.checkpoints.run_folder import Run
from zeuxis.checkpoints.weights import describe, load, save
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.device import enable_onednn_fp32
from zeuxis.distributed import World
from zeuxis.errors import DivergenceError, UsageError, ZeuxisError
from zeuxis.experiments.resume import resume
from zeuxis.experiments.train import train
from zeuxis.model import Batch, Model, Player
from zeuxis.optim import factory as optimizers
from zeuxis.training.config import TrainingConfig
from zeuxis.training.ema import EMA, decay
from zeuxis.training.loop import Trainer, fit
from zeuxis.training.sampler import EpochSampler, ExtraBatches


@dataclasses.dataclass(frozen=True)
class BaseConfig:
    lr: float = 0.1


class Mean(Model):
    """One weight per pixel that learns the mean image: a game with a known end."""

    name = "mean-image"
    Config = BaseConfig
    breaks_at = -1

    def __init__(self, config: BaseConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        self.net = nn.Linear(1, spec.size, bias=False)

    def players(self) -> dict[str, Player]:
        return {"mean": Player(self.net, self.config.lr, optimizer="sgd", betas=(0.0, 0.0))}

    def play(self, batch: Batch):
        error = batch.x.float().flatten(1) / 255 - self.net.weight[:, 0]
        batch.logs["error"] = error.detach().abs().mean()
        loss = error.square().sum(1).mean()
        yield "mean", loss * (math.nan if batch.images == self.breaks_at else 1.0)


def mean_model() -> Mean:
    torch.manual_seed(0)
    return Mean(BaseConfig(), tiny.images().spec)


def a_run(folder: Path, model: Model, training: TrainingConfig | None = None) -> Run:
    run = Run.create(folder, "test")
    run.write_json(
        "config.json",
        describe(model) | {"training": dataclasses.asdict(training or tiny.training())},
    )
    return run


def state_of(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path("state.safetensors"))


@pytest.mark.parametrize("name", tiny.PARAMS)
def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(name: str, tmp_path: Path) -> None:
    data, training = (
        tiny.data_for(name),
        tiny.training(images=128, schedule="linear", film=4, average=100),
    )
    whole = tiny.model(name)
    run = a_run(tmp_path, whole)
    fit(whole, data, run, training, quiet=True)

    stop_at = 64
    broken = tiny.model(name)
    other = a_run(tmp_path, broken)
    stopping = StopAt(data, stop_at)
    result = fit(broken, stopping, other, training, quiet=True)
    assert result.stopped
    assert result.images < 128
    fresh = tiny.model(name, seed=9)
    fit(fresh, data, other, training, quiet=True)
    a, b = state_of(run), state_of(other)
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key
    assert [f.name for _, f in run.frames()] == [f.name for _, f in other.frames()]
    assert all(
        x.read_bytes() == y.read_bytes()
        for (_, x), (_, y) in zip(run.frames(), other.frames(), strict=True)
    )


class StopAt(Dataset):
    """Data that sends this process SIGTERM when a training under way has asked for this many
    images."""

    def __init__(self, data: Dataset, images: int) -> None:
        super().__init__(data.spec, data.x, data.y, facts=data.facts)
        object.__setattr__(self, "left", images)

    def batch(self, index: torch.Tensor):
        if (
            signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        ):  # what a model reads before the loop that can be stopped
            return super().batch(index)
        before = self.left
        object.__setattr__(self, "left", before - len(index))
        if before > 0 >= self.left:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().batch(index)


def test_accumulation_gives_the_gradient_of_the_whole_batch() -> None:
    models = [mean_model(), mean_model()]
    for model, portions in zip(models, (1, 4), strict=True):
        fit(model, tiny.images(), training=tiny.training(accumulate=portions), quiet=True)
    torch.testing.assert_close(models[0].net.weight, models[1].net.weight, rtol=1e-5, atol=1e-6)


def test_a_game_with_a_known_end_is_learned() -> None:
    model, data = mean_model(), tiny.images()
    result = fit(
        model, data, training=tiny.training(images=16 * 300, batch=64, average=0), quiet=True
    )
    expected = data.all().float().flatten(1).mean(0) / 255
    torch.testing.assert_close(result.model.net.weight[:, 0], expected, atol=1e-3, rtol=0)


def test_the_average_is_bias_corrected() -> None:
    model = mean_model()
    average = EMA(model, halflife=30, batch=10)
    d, weights = decay(30, 10), []
    for value in (3.0, -1.0, 4.0, 1.5):
        nn.init.constant_(model.net.weight, value)
        average.update(model)
        weights.append(value)
        expected = sum((1 - d) * d ** (len(weights) - 1 - i) * w for i, w in enumerate(weights)) / (
            1 - d ** len(weights)
        )
        torch.testing.assert_close(
            average.model.net.weight, torch.full_like(model.net.weight, expected)
        )
    assert abs(d**3 - 0.5) < 1e-12


def test_clipping_bounds_the_step() -> None:
    model = mean_model()
    before = model.net.weight.detach().clone()
    fit(model, tiny.images(), training=tiny.training(images=16, clip=0.5), quiet=True)
    assert abs((model.net.weight - before).norm().item() - 0.5 * 0.1) < 1e-6


class Pair(Mean):
    """Two weights of one player, whose gradients are 3 and 4 whatever they are."""

    def __init__(self, config: BaseConfig, spec: Spec) -> None:
        super().__init__(config, spec)
        self.net = nn.ModuleList([nn.Linear(1, 1, bias=False) for _ in range(2)])
        self.draws: list[float] = []

    def play(self, batch: Batch):
        self.draws += batch.noise.uniform(1).flatten().tolist()
        yield "mean", 3 * self.net[0].weight.sum() + 4 * self.net[1].weight.sum()


def pair() -> Pair:
    torch.manual_seed(0)
    return Pair(BaseConfig(), tiny.images().spec)


def weights_of(model: Pair) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_clipping_keeps_the_direction_of_all_a_players_gradients() -> None:
    model = pair()
    before = weights_of(model)
    fit(model, tiny.images(), training=tiny.training(images=16, clip=1.0), quiet=True)
    torch.testing.assert_close(before - weights_of(model), 0.1 * torch.tensor([0.6, 0.8]))


def test_the_step_size_follows_its_schedule() -> None:
    for changes, factors in (
        ({"schedule": "linear", "decay_from": 0.5}, [1, 1, 1, 0.5]),
        ({"warmup": 32}, [0, 0.5, 1, 1]),
        ({}, [1, 1, 1, 1]),
    ):
        model = pair()
        at, moved = weights_of(model), []
        trainer = Trainer(
            model, tiny.images(), None, tiny.training(images=64, **changes), quiet=True
        )
        for _ in range(4):
            trainer.one_step()
            moved.append((at - weights_of(model))[0].item())
            at = weights_of(model)
        assert moved == pytest.approx([0.1 * 3 * f for f in factors], abs=1e-6)


def test_every_example_of_a_step_has_separate_noise() -> None:
    model = pair()
    fit(model, tiny.images(), training=tiny.training(images=32, accumulate=2), quiet=True)
    assert len(model.draws) == len(set(model.draws)) == 32


def test_further_examples_are_shuffled_independently_of_the_batch() -> None:
    streams, order = ExtraBatches(tiny.images(64), 0), EpochSampler(64, 16, 0)
    rows = {
        kind: [streams.rows(kind, 16, i).tolist() for i in range(4)] for kind in ("any", "labeled")
    }
    rows["batch"] = [order.rows(i).tolist() for i in range(4)]
    for one, other in (("any", "batch"), ("labeled", "batch"), ("any", "labeled")):
        for a, b in zip(rows[one], rows[other], strict=True):
            assert len(set(a) & set(b)) < 12, f"{one} shows the examples of {other}"
    for kind in ("any", "labeled"):
        second = [streams.rows(kind, 16, i, 1).tolist() for i in range(4)]
        assert sorted(row for batch in second for row in batch) == list(range(64))
        assert second != rows[kind]


def test_schedules() -> None:
    at = lambda p, kind: optimizers.factor(p, 10**9, kind, 0.5, 0)  # noqa: E731
    assert [at(p, "constant") for p in (0, 1)] == [1, 1]
    assert [round(at(p, "linear"), 6) for p in (0, 0.5, 0.75, 1)] == [1, 1, 0.5, 0]
    assert [round(at(p, "cosine"), 6) for p in (0, 0.5, 0.75, 1)] == [1, 1, 0.5, 0]
    assert optimizers.factor(0, 25, "constant", 0.5, 100) == 0.25


def test_every_pass_sees_every_example_once() -> None:
    order = EpochSampler(10, 4, seed=1)
    seen = torch.cat([order.rows(step) for step in range(10)])
    for epoch in range(4):
        assert sorted(seen[10 * epoch : 10 * epoch + 10].tolist()) == list(range(10))
    assert not torch.equal(seen[:10], seen[10:20])
    assert torch.equal(EpochSampler(10, 4, seed=1).rows(7), order.rows(7))
    assert len(EpochSampler(3, 10, seed=1).rows(2)) == 10


def test_figures_are_written_and_a_cut_line_is_forgiven(tmp_path: Path) -> None:
    model = mean_model()
    run = a_run(tmp_path, model)
    fit(model, tiny.images(), run, tiny.training(images=64, log_every=32), quiet=True)
    lines = run.metrics()
    assert [line["images"] for line in lines] == [32, 64]
    assert {"mean", "error", "images/s", "seconds", "step", "memory"} <= lines[0].keys()
    with open(run.path("metrics.jsonl"), "a") as file:
        file.write('{"images": 99, "me')
    assert len(run.metrics()) == 2


def test_a_loss_that_is_no_number_names_step_player_and_save(tmp_path: Path) -> None:
    model = mean_model()
    run = a_run(tmp_path, model)
    model.breaks_at = 48
    with pytest.raises(
        DivergenceError,
        match=r"loss of the mean became nan at step 3 \(48 images\); nothing was saved before",
    ):
        fit(model, tiny.images(), run, tiny.training(), quiet=True)
    model = mean_model()
    model.breaks_at = 48
    with pytest.raises(DivergenceError, match="last good save, at 32 images"):
        saved_then_broken(model, run)
    assert load_file(run.path("model.safetensors"))["net.weight"].isfinite().all()


def saved_then_broken(model: Model, run: Run) -> None:
    fit(mean_model(), tiny.images(), run, tiny.training(images=32), quiet=True)
    fit(model, tiny.images(), run, tiny.training(images=64), quiet=True)


def test_a_weight_that_is_no_number_is_never_saved(tmp_path: Path) -> None:
    model = mean_model()
    run = a_run(tmp_path, model)
    nn.init.constant_(model.net.weight, 3e38)  # finite, and its square is not
    with pytest.raises(DivergenceError):
        fit(model, tiny.images(), run, tiny.training(images=16), quiet=True)
    assert not run.path("state.safetensors").exists()


def test_selection_keeps_the_best_and_not_the_last(tmp_path: Path) -> None:
    model = mean_model()
    run = a_run(tmp_path, model)
    seen = iter([3.0, 1.0, 2.0, 5.0])
    training = tiny.training(images=64, validate_every=16, select="min:error")
    fit(model, tiny.images(), run, training, lambda _: {"error": next(seen)}, quiet=True)
    _, about = run.read_tensors("best.safetensors")
    assert about == {"images": 32, "held-out/error": 1.0}
    with pytest.raises(UsageError, match="it gives error"):
        fit(
            mean_model(),
            tiny.images(),
            training=tiny.training(select="max:nats"),
            validate=lambda _: {"error": 1.0},
            quiet=True,
        )


def test_a_kill_in_the_last_validation_loses_nothing(tmp_path: Path) -> None:
    """Validation may take minutes: the last weights are saved before it, and it is made up for."""
    model, training = mean_model(), tiny.training(images=64)
    run = a_run(tmp_path, model)

    def killed(_: Model) -> dict[str, float]:
        raise SystemExit

    with pytest.raises(SystemExit):
        fit(model, tiny.images(), run, training, killed, quiet=True)
    assert run.read_tensors("ema.safetensors")[1] == {"images": 64}
    for error in (1.0, 2.0):  # a second time there is nothing left to do
        fit(mean_model(), tiny.images(), run, training, lambda _, e=error: {"error": e}, quiet=True)
    figures = [row["held-out/error"] for row in run.metrics() if "held-out/error" in row]
    assert figures == [1.0]


def with_little_room(folder: Path, said: Queue) -> None:
    """Trains on where no file may exceed 4 KiB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    training = tiny.training(images=32)
    try:
        fit(tiny.model("dcgan"), tiny.images(), Run(folder), training, quiet=True)
    except ZeuxisError as error:
        said.put(str(error))


def test_a_full_disk_keeps_the_last_save(tmp_path: Path) -> None:
    model = tiny.model("dcgan")
    run = a_run(tmp_path, model)
    fit(model, tiny.images(), run, tiny.training(images=16), quiet=True)
    fork = multiprocessing.get_context("fork")  # the limit must not reach the other tests
    said = fork.Queue()
    process = fork.Process(target=with_little_room, args=(run.folder, said))
    process.start()
    sentence = said.get(timeout=60)
    process.join()
    assert "could not be written" in sentence
    assert "the save of 16 images is kept" in sentence
    assert run.saved_images() == 16
    assert not list(run.folder.rglob("*.partial"))


def test_no_room_is_said_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(tmp_path, mean_model())
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(ZeuxisError, match="make room"):
        fit(mean_model(), tiny.images(), run, tiny.training(), quiet=True)


def test_a_place_that_is_no_folder_is_said_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ZeuxisError, match="writable folder"):
        Run.create(tmp_path / "file" / "runs", "test")


def test_run_folders_are_numbered(tmp_path: Path) -> None:
    names = [Run.create(tmp_path, "a b/c").folder.name for _ in range(2)]
    assert names == ["0001-a-b-c", "0002-a-b-c"]


def test_trainings_that_begin_at_the_same_moment_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Path, "iterdir", lambda self: iter(())
    )  # each sees the folder as it was before the others
    names = [Run.create(tmp_path, "a").folder.name for _ in range(3)]
    assert names == ["0001-a", "0002-a", "0003-a"]


def test_damaged_folders_are_named(tmp_path: Path) -> None:
    folder = save(tiny.model("dcgan"), tmp_path / "model")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    with pytest.raises(ZeuxisError, match="damaged"):
        load(folder)
    weights.write_bytes(whole)
    tensors = load_file(weights)
    save_file({k: v for k, v in tensors.items() if "last" not in k}, weights)
    with pytest.raises(ZeuxisError, match="does not fit"):
        load(folder)
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text("{")
    with pytest.raises(ZeuxisError, match="cannot be read"):
        load(folder)
    (folder / "config.json").write_text(json.dumps(about | {"model": "unheard-of"}))
    with pytest.raises(UsageError, match="no model 'unheard-of'"):
        load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ZeuxisError, match="no run folder"):
        load(folder)
    with pytest.raises(UsageError, match="shipped models"):
        load("no/such")


def test_a_pickle_under_a_weights_name_is_not_opened(tmp_path: Path) -> None:
    folder = save(tiny.model("dcgan"), tmp_path / "model")
    marker = tmp_path / "opened"

    class Trap:
        def __reduce__(self):
            return Path.touch, (marker,)

    torch.save(Trap(), folder / "model.safetensors")
    with pytest.raises(ZeuxisError, match="no safetensors file"):
        load(folder)
    assert not marker.exists()


@pytest.mark.parametrize("name", tiny.NAMES)
def test_a_training_begins_from_the_weights_of_another(name: str, tmp_path: Path) -> None:
    data, first = tiny.data_for(name), tiny.model(name)
    run = a_run(tmp_path, first)
    fit(first, data, run, tiny.training(images=32), quiet=True)
    second = tiny.model(name, seed=9)
    training = tiny.training(images=32, start=str(run.folder))
    Trainer(second, data, None, training, quiet=True)
    expected = load(run.folder).state_dict()
    assert second.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in second.state_dict().items())
    other = a_run(tmp_path, second)
    fit(second, data, other, training, quiet=True)
    resumed = tiny.model(name, seed=3)  # a save of the run itself comes before
    assert fit(resumed, data, other, training, quiet=True).images == 32
    assert all(
        torch.equal(value, resumed.state_dict()[key]) for key, value in second.state_dict().items()
    )


def test_a_start_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    start = str(save(tiny.model("vae"), tmp_path / "vae"))
    for name, changes, sentence in (
        ("dcgan", {}, "a model of kind vae"),
        ("vae", {"latent_dim": 5}, "other layers"),
    ):
        with pytest.raises(UsageError, match=sentence):
            Trainer(
                tiny.model(name, **changes),
                tiny.data_for(name),
                None,
                tiny.training(start=start),
                quiet=True,
            )
    with pytest.raises(UsageError, match="neither a folder nor"):
        Trainer(
            tiny.model("vae"), tiny.data_for("vae"), None, tiny.training(start="absent"), quiet=True
        )
    with pytest.raises(UsageError, match="other layers"):
        train(
            "vae",
            tiny.data_for("vae"),
            out=tmp_path / "runs",
            config=tiny.model("vae", latent_dim=5).config,
            images=16,
            start=start,
        )
    assert not (tmp_path / "runs").exists()


def test_only_runs_are_resumed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="saved model and no run"):
        resume(save(tiny.model("dcgan"), tmp_path / "model"))


def test_a_run_is_resumed_with_its_own_settings(tmp_path: Path) -> None:
    run = a_run(tmp_path, mean_model())
    fit(mean_model(), tiny.images(), run, tiny.training(images=16), quiet=True)
    with pytest.raises(ZeuxisError, match="other settings"):
        fit(tiny.model("dcgan"), tiny.images(), run, tiny.training(images=32), quiet=True)


@pytest.mark.parametrize(
    ("changes", "world", "sentence"),
    [
        ({"batch": 10, "accumulate": 4}, World(), "multiple of 4"),
        ({"batch": 10}, World(0, 4), "multiple of 4"),
        ({"images": 0}, World(), "--training.images must be at least 1"),
        ({"batch": 0}, World(), "--training.batch must be at least 1"),
        ({"select": "frechet"}, World(), "min:FIGURE"),
    ],
)
def test_settings_that_cannot_work_name_the_flag(changes, world, sentence) -> None:
    with pytest.raises(UsageError, match=sentence):
        fit(mean_model(), tiny.images(), training=tiny.training(**changes), world=world, quiet=True)


def test_half_precision_stays_close_to_float32() -> None:
    models = [mean_model(), mean_model()]
    for model, precision in zip(models, ("fp32", "bf16"), strict=True):
        fit(model, tiny.images(), training=tiny.training(precision=precision), quiet=True)
    torch.testing.assert_close(models[0].net.weight, models[1].net.weight, rtol=0, atol=0.02)
    assert models[1].net.weight.dtype == torch.float32


def test_the_probe_keeps_products_exact() -> None:
    enable_onednn_fp32()
    a, b = torch.randn(300, 784), torch.randn(784, 500)
    exact = a.double() @ b.double()
    assert (a @ b - exact).norm() / exact.norm() < 1e-5


KEEPING = """
import resource, torch
from zeuxis.device import tune_malloc
if not tune_malloc():
    raise SystemExit("no glibc")
faults = []
for _ in range(32):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    big = torch.ones(10_000_000)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    del big
print(max(faults[-4:]))
"""


@pytest.mark.slow
def test_freed_memory_is_kept_and_not_cleared_again() -> None:
    """In another process: one refused allocation, such as another test's, sends a thread to an
    arena that cannot hold so much. At first small things lie between large tensors, so that none
    fits where another was; a few times later there is room."""
    done = subprocess.run(
        [sys.executable, "-c", KEEPING], capture_output=True, text=True, check=False
    )
    if "no glibc" in done.stderr:
        pytest.skip("the allocator is not glibc's")
    assert int(done.stdout) < 100  # of 9,766 pages


def test_training_in_a_thread_needs_no_signals() -> None:
    results = []
    thread = threading.Thread(
        target=lambda: results.append(
            fit(mean_model(), tiny.images(), training=tiny.training(), quiet=True)
        )
    )
    thread.start()
    thread.join()
    assert results[0].images == 64


def test_a_run_on_given_data_does_not_claim_another_set(tmp_path: Path) -> None:
    data = dataclasses.replace(tiny.images(), spec=Spec("my own", (1, 28, 28), 10))
    result = train(
        "dcgan",
        data,
        config=tiny.model("dcgan").config,
        training=tiny.training(images=16),
        out=tmp_path,
    )
    assert result.run is not None
    assert result.run.read_json("config.json")["data"]["data"] == "my own"
