"""`python -m zeuxis`, also under torchrun."""

from .cli import run

run()
