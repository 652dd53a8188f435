"""One process and two give the same weights: one player, two players with batch statistics,
accumulation and averages."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tiny
from zeuxis.distributed import World, average_gradients, broadcast_module

HELPERS = str(Path(__file__).parents[1] / "helpers")

SCRIPT = """
import os, sys
sys.path.insert(0, sys.argv[1])
import os, tiny, torch
from zeuxis.distributed import init, shutdown
from zeuxis.training.loop import fit
from zeuxis.checkpoints.run_folder import Run
name, folder, accumulate = sys.argv[2], sys.argv[3], int(sys.argv[4])
# In float64: Adam and batch statistics over few images make the last bits of a float32 sum
# visible.
torch.set_default_dtype(torch.float64)
torch.Tensor.float = torch.Tensor.double
world = init()
torch.manual_seed(world.rank)  # processes that start with different weights must end with the same
name, _, change = name.partition(" ")
extra = {}
if change:
    extra = {"minibatch": 4, "distance_momentum": 0.2, "history": 0.1, "generator": "saturating"}
    extra |= {"elastic": 0.0, "consistency": 0.0}
    name += "-augmented"
model = tiny.model(name, seed=world.rank, **extra)
run = Run(folder) if world.is_main else None
data = tiny.data_for(name)
t = tiny.training(images=48 if "128" in name else 96, batch=16, accumulate=accumulate,
                  average=40, clip=1.0, validate_every=32)
# Only the first process scores, which must not wait for the others.
def score(m):
    return {"mean": m.classify(data.all()).mean().item()}
scored = score if hasattr(model, "classify") else None
fit(model, data, run, t, scored, world=world, quiet=True)
print("rank", world.rank, sum(p.double().sum().item() for p in model.parameters()), flush=True)
shutdown()
os._exit(0)  # as the program ends under torchrun
"""


def train(
    folder: Path, processes: int, name: str, accumulate: int
) -> tuple[dict[str, torch.Tensor], list[str]]:
    folder.mkdir()
    words = ["-c", SCRIPT, HELPERS, name, str(folder), str(accumulate)]
    workers = []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for rank in range(processes):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        if processes > 1:
            address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            environment |= address | {
                "RANK": str(rank),
                "WORLD_SIZE": str(processes),
                "LOCAL_RANK": str(rank),
            }
        workers.append(
            subprocess.Popen(
                [sys.executable, *words], env=environment, stdout=subprocess.PIPE, text=True
            )
        )
    said = [worker.communicate(timeout=200)[0].strip() for worker in workers]
    assert all(worker.returncode == 0 for worker in workers)
    return load_file(folder / "state.safetensors"), said


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
    two, said = train(tmp_path / "two", 2, name, accumulate)
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(
            two[key], one[key], rtol=1e-6, atol=1e-8, msg=lambda text, key=key: f"{key}: {text}"
        )
    assert said[0].split()[2] == said[1].split()[2], (
        "the two processes ended with different weights"
    )


def test_rows_are_shared_out_without_gap_or_overlap() -> None:
    rows = [World(rank, 4).rows(12) for rank in range(4)]
    assert [i for r in rows for i in range(12)[r]] == list(range(12))


def test_alone_nothing_is_averaged() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.full((3,), 2.0)
    average_gradients([p])
    broadcast_module(tiny.model("dcgan"))
    assert torch.equal(p.grad, torch.full((3,), 2.0))
