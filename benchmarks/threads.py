"""How OpenMP's threads should wait: DCGAN's images per second, on a quiet and on a busy machine.

    python benchmarks/threads.py [--quick]

By default the threads of libgomp spin at every barrier. Another process that takes one of the cores
then makes the others spin until the late thread is back. Each contestant trains in a fresh process
with other environment variables, in turn; "busy" adds one process that keeps a core at work.
Figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import time

from zeuxis.evaluation.record import machine, write_record

CONTESTANTS = {
    "default": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "GOMP_SPINCOUNT=0": {"GOMP_SPINCOUNT": "0"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}
VARIABLES = {"OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}


def speed(seconds: float) -> float:
    """Images per second of DCGAN's small recipe on random images, after two steps."""
    import torch

    from zeuxis.checkpoints.weights import build
    from zeuxis.data.dataset import Dataset, Spec
    from zeuxis.recipes import recipes
    from zeuxis.training.config import TrainingConfig
    from zeuxis.training.loop import Trainer

    spec = Spec("random", (1, 28, 28), 10)
    x = torch.randint(0, 256, (4_096, 1, 28, 28), dtype=torch.uint8)
    model = build("dcgan", recipes()["dcgan/mnist-small"].config, spec)
    config = TrainingConfig(images=10**9, film=0, log_every=10**9, device="cpu", precision="fp32")
    trainer = Trainer(model, Dataset(spec, x), None, config, quiet=True)
    for _ in range(2):
        trainer.one_step()
    steps, start = 0, time.monotonic()
    while time.monotonic() - start < seconds:
        trainer.one_step()
        steps += 1
    return steps * config.batch / (time.monotonic() - start)


def measured(variables: dict[str, str], seconds: float) -> float:
    """The speed in a fresh process with these environment variables."""
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES} | variables
    command = [sys.executable, __file__, "--child", str(seconds)]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


def spin() -> None:
    """Keeps a core at work."""
    while True:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one short round, no record")
    parser.add_argument("--record", default="results/speed/threads.json", help="record's place")
    parser.add_argument("--child", type=float, default=0.0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(speed(args.child))
        return
    rounds, seconds = (1, 3.0) if args.quick else (3, 3.0)
    began, figures = time.monotonic(), {}
    print(machine())
    for load in ("quiet", "busy"):
        speeds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
        other = multiprocessing.Process(target=spin, daemon=True)
        if load == "busy":
            other.start()
        try:
            for _ in range(rounds):
                for name, variables in CONTESTANTS.items():
                    speeds[name].append(measured(variables, seconds))
        finally:
            if load == "busy":
                other.kill()
        figures[load] = {
            f"{name}, images/s": statistics.median(values) for name, values in speeds.items()
        }
        print(load, {name: round(value) for name, value in figures[load].items()})
    if not args.quick:
        note = (
            "DCGAN's recipe mnist-small in float32; busy: one other process keeps a core at work."
        )
        written = write_record(
            args.record, figures, seconds=time.monotonic() - began, seed=0, note=note
        )
        print("record:", written)


if __name__ == "__main__":
    main()
