"""Images per second out of shards, against the memory-mapped cache of decoded images.

    python benchmarks/streams.py [--quick]

Photographs of CIFAR-10, enlarged to 128 pixels, are written as shards. Batches are then read as a
training reads them: decoded from the shards, in random order and through a shuffle buffer, and as
rows of the cache. Seconds are those of the processor, since other work on the machine does not
change them; files come from the system's cache.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch

from zeuxis.data import load_data
from zeuxis.data.dataset import Dataset
from zeuxis.data.shard_writer import write_shards
from zeuxis.evaluation.record import write_record
from zeuxis.training.sampler import EpochSampler, kept_files

SIDE, BATCH = 128, 64


def speed(data: Dataset, buffer: int, images: int) -> float:
    """Images per second of the processor, after a first batch."""
    order = EpochSampler(len(data), BATCH, 0, 1, buffer, kept_files(data))
    data.batch(order.rows(0))
    began, steps = time.process_time(), images // BATCH
    for step in range(1, steps + 1):
        data.batch(order.rows(step))
    return steps * BATCH / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", default="results/speed/streams.json")
    parser.add_argument("--quick", action="store_true", help="few images, no record")
    args = parser.parse_args()
    began, n = time.monotonic(), 640 if args.quick else 2_000
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"ZEUXIS_CACHE": folder, "ZEUXIS_MEMORY": "1"}
        photos = load_data("cifar10", split="test", size=SIDE, limit=n)
        paths = write_shards(photos, Path(folder, "shards"), "train", 1_000)
        size = sum(path.stat().st_size for path in paths)
        streamed = load_data(f"{folder}/shards", stream=True)
        figures = {
            "images": n,
            "bytes per image in shards": size / n,
            "bytes per image in the cache": 3 * SIDE * SIDE,
            "shards, images/s": speed(streamed, 0, n),
            "shards through a buffer, images/s": speed(streamed, 1_000, n),
        }
        os.environ["ZEUXIS_MEMORY"] = str(1 << 20)
        cached = load_data(f"{folder}/shards", size=SIDE)
        assert torch.equal(streamed.batch_of(9), cached.batch_of(9))
        figures["cache, first reading, images/s"] = speed(cached, 0, n)
        figures["cache, images/s"] = speed(cached, 0, n)
    for name, value in figures.items():
        print(f"{name}: {value:,.0f}")
    if not args.quick:
        note = "128x128 color photographs as PNG; seconds of the processor, one process"
        path = write_record(
            args.record, figures, seconds=time.monotonic() - began, seed=0, note=note
        )
        print("record:", path)


if __name__ == "__main__":
    main()
