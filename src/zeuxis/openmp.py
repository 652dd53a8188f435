"""How the threads of one process wait for each other."""

from __future__ import annotations

import os
import sys

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SPINS = "1000"


def limit_spinning() -> None:
    """Lets waiting OpenMP threads spin for a moment and then sleep; call it before torch is loaded.

    By default they spin for long, which takes the cores away from the one late thread as soon as
    another process needs a core. Sleeping at once costs a quarter of the speed on a quiet machine.
    `benchmarks/threads.py` measures the policies. A variable that is set already is kept, and
    processes that this one starts inherit it.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in VARIABLES):
        os.environ["GOMP_SPINCOUNT"] = SPINS
