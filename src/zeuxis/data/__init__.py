"""Data: where they come from, how they are read once and kept, how they are split and checked."""

from .built_in import describe_sources
from .check import Report, check
from .dataset import Dataset, Spec
from .labels import few_labels, hold_out
from .sources import load_data

__all__ = [
    "Dataset",
    "Report",
    "Spec",
    "check",
    "describe_sources",
    "few_labels",
    "hold_out",
    "load_data",
]
