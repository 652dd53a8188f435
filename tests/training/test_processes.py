"""One process and two give the same weights: one player, two players with batch statistics,
accumulation and averages."""

from __future__ import annotations

import multiprocessing
import os
import socket
from multiprocessing import Queue
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tiny
from zeuxis.checkpoints.run_folder import Run
from zeuxis.distributed import World, average_gradients, broadcast_module, init, shutdown
from zeuxis.model import Model
from zeuxis.training.loop import fit

FORK = multiprocessing.get_context("fork")  # a process that need not import torch again


def work(
    world_size: int, rank: int, port: int, folder: Path, name: str, accumulate: int, sums: Queue
) -> None:
    """One process of a training: writes the run if it is the first, and reports its weights."""
    # In float64: Adam and batch statistics over few images make the last bits of a float32 sum
    # visible.
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    if world_size > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ |= {"WORLD_SIZE": str(world_size), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    world = init()
    torch.manual_seed(world.rank)  # different weights at the start must be the same at the end
    name, _, change = name.partition(" ")
    extra: dict[str, object] = {}
    if change:
        extra = {"minibatch": 4, "distance_momentum": 0.2, "history": 0.1}
        extra |= {"generator": "saturating", "elastic": 0.0, "consistency": 0.0}
        name += "-augmented"
    model = tiny.model(name, seed=world.rank, **extra)
    data = tiny.data_for(name)
    images = 48 if "128" in name else 96
    training = tiny.training(
        images=images, batch=16, accumulate=accumulate, average=40, clip=1.0, validate_every=32
    )

    def score(m: Model) -> dict[str, float]:  # by the first process, without the others waiting
        return {"mean": m.classify(data.all()).mean().item()}

    run = Run(folder) if world.is_main else None
    scored = score if hasattr(model, "classify") else None
    fit(model, data, run, training, scored, world=world, quiet=True)
    sums.put(sum(p.double().sum().item() for p in model.parameters()))
    shutdown()


def train(
    folder: Path, processes: int, name: str, accumulate: int
) -> tuple[dict[str, torch.Tensor], list[float]]:
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.optim.SGD([torch.zeros(1)])  # imports torch's compiler here and not in each process
    sums = FORK.Queue()
    workers = [
        FORK.Process(target=work, args=(processes, rank, port, folder, name, accumulate, sums))
        for rank in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(200)
    assert [worker.exitcode for worker in workers] == [0] * processes
    return load_file(folder / "state.safetensors"), [sums.get(timeout=5) for _ in workers]


CASES = [
    pytest.param("dcgan", 1, marks=pytest.mark.slow),
    ("dcgan", 2),
    pytest.param("planar", 1, marks=pytest.mark.slow),
    pytest.param("classifier", 2, marks=pytest.mark.slow),
    pytest.param("improved-gan", 1, marks=pytest.mark.slow),
    pytest.param("improved-gan minibatch", 2, marks=pytest.mark.slow),
    pytest.param("infogan", 1, marks=pytest.mark.slow),
    pytest.param("improved-gan-128", 1, marks=pytest.mark.slow),
    pytest.param("wgan-gp", 2, marks=pytest.mark.slow),
    pytest.param("flow-matching", 2, marks=pytest.mark.slow),
    pytest.param("cvae", 2, marks=pytest.mark.slow),
    pytest.param("dcign", 1, marks=pytest.mark.slow),
    pytest.param("draw", 2, marks=pytest.mark.slow),
    pytest.param("air", 2, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "accumulate"), CASES)
def test_two_processes_are_one(name: str, accumulate: int, tmp_path: Path) -> None:
    one, _ = train(tmp_path / "one", 1, name, accumulate)
    two, sums = train(tmp_path / "two", 2, name, accumulate)
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(
            two[key], one[key], rtol=1e-6, atol=1e-8, msg=lambda text, key=key: f"{key}: {text}"
        )
    assert sums[0] == sums[1], "the two processes ended with different weights"


def test_rows_are_shared_out_without_gap_or_overlap() -> None:
    rows = [World(rank, 4).rows(12) for rank in range(4)]
    assert [i for r in rows for i in range(12)[r]] == list(range(12))


def test_alone_nothing_is_averaged() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.full((3,), 2.0)
    average_gradients([p])
    broadcast_module(tiny.model("dcgan"))
    assert torch.equal(p.grad, torch.full((3,), 2.0))
