"""How the threads of one process wait for each other."""

from __future__ import annotations

import os
import sys

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_passively() -> None:
    """Lets waiting OpenMP threads sleep instead of spin; PyTorch must not be loaded yet.

    Spinning threads keep the cores from the one thread that all wait for as soon as another process
    needs a core. `benchmarks/threads.py` measures both policies. Whoever sets one of the variables
    keeps their choice. Processes that this one starts inherit it.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in VARIABLES):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
