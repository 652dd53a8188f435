"""What PNG and WebP need for all test digits on one sheet, black and white, beside a file for each
digit.

A file a digit is mostly headers. The digits of the codec's table, 100 by 100 on a sheet of 2,800
pixels, as one file each.
"""

from __future__ import annotations

import argparse
import io
import time

import torch

from zeuxis import load_data
from zeuxis.data.binarized import binarized
from zeuxis.evaluation.record import write_record
from zeuxis.visual.grid import to_image


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--record", default="results/studies/codec-sheet-mnist.json", help="where the figures go"
    )
    parser.add_argument("--quick", action="store_true", help="no record")
    args = parser.parse_args()
    began = time.monotonic()
    digits = binarized(load_data("mnist", split="test").all(), torch.arange(10_000), 0)
    sheet = to_image(
        digits.view(100, 100, 28, 28).permute(0, 2, 1, 3).reshape(1, 2_800, 2_800)
    ).convert("1")
    figures = {}
    for name, options in (
        ("PNG", {"optimize": True}),
        ("WebP", {"lossless": True, "quality": 100, "method": 6}),
    ):
        file = io.BytesIO()
        (sheet.convert("RGB") if name == "WebP" else sheet).save(file, name, **options)
        figures[name] = {"bytes": len(file.getvalue())}
        print(f"{name}: {figures[name]['bytes']:,} bytes")
    if not args.quick:
        print(
            "record:",
            write_record(
                args.record,
                figures,
                seconds=time.monotonic() - began,
                seed=0,
                note="one sheet of 100 by 100 digits",
            ),
        )


if __name__ == "__main__":
    main()
