"""Where and in which precision to compute. Each choice was measured, and a probe confirms it on
this machine."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from .distributed import World
from .errors import UsageError

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class Device:
    """A torch device, whether it multiplies in bfloat16, and the number of CPU threads."""

    device: torch.device
    bf16: bool
    threads: int

    def autocast(self) -> AbstractContextManager:
        """Convolutions and matrix products in bfloat16; models keep losses and statistics in
        float32."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def __str__(self) -> str:
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        else:
            name = f"{self.device}, {self.threads} threads"
        return f"{name}, {'bf16' if self.bf16 else 'fp32'}"


def setup_device(
    device: str = "auto",
    precision: Precision = "auto",
    threads: int = 0,
    world: World | None = None,
) -> Device:
    """Chooses device and precision, and sets the process up for them.

    Arguments:
        device: "auto", "cpu", "cuda", "cuda:1" or "mps"; auto takes a GPU if there is one, else the
            CPU.
        precision: "auto" takes bfloat16 where the hardware multiplies it faster than float32.
        threads: CPU threads of this process; 0 shares the cores among the processes.
        world: This process among the others.
    """
    world = world or World()
    if device == "auto":
        device = f"cuda:{world.local_rank}" if torch.cuda.is_available() else "cpu"
    chosen = device_named(device)
    threads = threads or thread_limit() or max(1, cpu_count() // world.size)
    torch.set_num_threads(threads)
    if chosen.type == "cuda":
        torch.backends.cudnn.deterministic = True  # a resumed run repeats bit for bit
    if chosen.type == "cpu":
        enable_onednn_fp32()
        tune_malloc()
    bf16 = precision == "bf16" or (precision == "auto" and has_bf16(chosen))
    return Device(chosen, bf16, threads)


def cpu_count() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_limit() -> int:
    """The number of threads in OMP_NUM_THREADS, 0 if it names none."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(limit), 4_096) if limit.isdigit() else 0


def device_named(device: str) -> torch.device:
    """The device of this name, after a first computation on it.

    Raises:
        UsageError: There is no such device on this machine.
    """
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        raise UsageError(
            f"The device '{device}' cannot be used here: choose cpu, or install a build "
            "of torch for it."
        ) from error
    return chosen


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bfloat16: GPUs from Ampere on, CPUs with AVX512-BF16 or
    AMX."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def enable_onednn_fp32() -> bool:
    """Sends float32 products through oneDNN: two to three times as fast on AVX-512 processors that
    are not Intel's.

    The setting allows lower precision, and a processor with AMX uses it. So it is kept only where a
    product of 512x512 matrices agrees with float64 to 1e-5; returns whether it was.
    """
    setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = setting.fp32_precision
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(512, 512, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    setting.fp32_precision = "bf16"
    if ((a @ b - exact).norm() / exact.norm()).item() < 1e-5:
        return True
    setting.fp32_precision = before
    return False


def tune_malloc() -> bool:
    """Lets this process keep memory that it has freed; returns whether glibc's allocator did so.

    By default glibc gives large tensors back to the system, which clears their pages again at the
    next step: a sixth of a step with millions of weights. Huge pages gain nothing beyond this, and
    looking for them can cost more than it saves.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    trim, mmap = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(trim, 2**31 - 1)) and bool(mallopt(mmap, 2**30))


def peak_memory(device: torch.device) -> int:
    """Largest number of bytes held so far: on the GPU if it is one, else by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
