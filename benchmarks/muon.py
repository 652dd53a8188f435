"""Muon's step against `torch.optim.Muon`, on the parameters of DCGAN and of the VAE.

    python benchmarks/muon.py [--quick]

`torch.optim.Muon` takes matrices only, in bfloat16. So it gets the weights of convolutions as
matrices, and fused Adam gets all other parameters. Ours takes all of them. Gradients are constant
normal numbers. Turns alternate in one process with one thread; figures are medians of
its processor time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from zeuxis.checkpoints.weights import build
from zeuxis.data.dataset import Spec
from zeuxis.evaluation.record import machine, write_record
from zeuxis.optim.muon import Muon
from zeuxis.recipes import recipes

SPEC = Spec("mnist", (1, 28, 28), 10)
LR, BETAS, EPS = 1e-3, (0.9, 0.99), 1e-8


def parameters(name: str) -> list[nn.Parameter]:
    """Fresh parameters in the shapes of a recipe's model, with gradients."""
    torch.manual_seed(0)
    model = build(name.split("/")[0], recipes()[name].config, SPEC)
    copies = [nn.Parameter(p.detach().clone()) for p in model.parameters()]
    for p in copies:
        p.grad = torch.randn_like(p)
    return copies


def is_matrix(p: Tensor) -> bool:
    """Whether Muon rather than Adam updates a parameter."""
    return p.ndim >= 2 and p[0].numel() > 1


def ours(name: str, bf16: bool) -> Callable[[], None]:
    """A step of ours."""
    return Muon(parameters(name), LR, BETAS, EPS, bf16=bf16).step


def torchs(name: str) -> Callable[[], None]:
    """A step of `torch.optim.Muon` on the matrices and of fused Adam on the rest."""
    matrices, others = [], []
    for p in parameters(name):
        if not is_matrix(p):
            others.append(p)
            continue
        matrices.append(nn.Parameter(p.detach().flatten(1)))
        matrices[-1].grad = p.grad.flatten(1)  # type: ignore[union-attr]
    muon = torch.optim.Muon(matrices, LR, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.Adam(others, LR, BETAS, EPS, fused=True) if others else None

    def step() -> None:
        muon.step()
        if adam is not None:
            adam.step()

    return step


def milliseconds(step: Callable[[], None], n: int) -> float:
    """Milliseconds of processor time a step, over n steps."""
    began = time.process_time()
    for _ in range(n):
        step()
    return 1e3 * (time.process_time() - began) / n


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions, no record")
    parser.add_argument("--record", default="results/speed/muon.json", help="where the figures go")
    args = parser.parse_args()
    rounds, n = (2, 2) if args.quick else (5, 3)
    began, figures = time.monotonic(), {}
    torch.set_num_threads(1)
    print(machine())
    for name in ("dcgan/mnist-small", "vae/mnist"):
        steps = {
            "torch.optim.Muon and Adam": torchs(name),
            "zeuxis, float32": ours(name, bf16=False),
            "zeuxis, bfloat16": ours(name, bf16=True),
        }
        times: dict[str, list[float]] = {key: [] for key in steps}
        for turn in range(rounds + 1):
            for key, step in steps.items():
                taken = milliseconds(step, n)
                if turn:
                    times[key].append(taken)
        medians = {key: statistics.median(values) for key, values in times.items()}
        theirs = medians["torch.optim.Muon and Adam"]
        shapes = [tuple(p.flatten(1).shape) for p in parameters(name) if is_matrix(p)]
        figures[name] = {
            "matrices": len(shapes),
            **{f"{key}, ms": value for key, value in medians.items()},
            "ratio, float32": theirs / medians["zeuxis, float32"],
            "ratio, bfloat16": theirs / medians["zeuxis, bfloat16"],
        }
        print(f"{name}: {len(shapes)} matrices", {k: round(v, 2) for k, v in medians.items()})
    if not args.quick:
        note = f"Ratios are torch's time over ours; {torch.get_num_threads()} threads."
        written = write_record(
            args.record, figures, seconds=time.monotonic() - began, seed=0, note=note
        )
        print("record:", written)


if __name__ == "__main__":
    sys.exit(main())
