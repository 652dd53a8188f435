"""Contestants of a comparison in separate processes, in turn.

What zeuxis sets up for a whole process (how float32 products are done, what the allocator keeps)
would otherwise speed the plain script up too, which has no such settings where a user runs it.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch

from zeuxis.device import peak_memory

Steps = Callable[[int], None]


def serve(pipe: Connection, make: Callable[[], Steps]) -> None:
    """Answers each number of steps from the pipe with the seconds that they take, and 0 with the
    peak memory in bytes, and ends."""
    steps = make()
    while n := pipe.recv():
        began = time.perf_counter()
        steps(n)
        pipe.send(time.perf_counter() - began)
    pipe.send(peak_memory(torch.device("cpu")))


def in_subprocesses(
    makers: dict[str, Callable[[], Steps]], n: int, rounds: int
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of n steps by each contestant, in turn, after n steps to warm up; and the most bytes
    that each held.

    Arguments:
        makers: What makes a contestant's steps; it is called in the contestant's process, so it
            must be a module's function or a `functools.partial` of one.
        n: Steps a turn.
        rounds: Turns.
    """
    spawn = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    try:
        for name, make in makers.items():
            pipes[name], theirs = spawn.Pipe()
            processes.append(spawn.Process(target=serve, args=(theirs, make), daemon=True))
            processes[-1].start()
            theirs.close()
        times: dict[str, list[float]] = {name: [] for name in makers}
        for turn in range(rounds + 1):
            for name, pipe in pipes.items():
                pipe.send(n)
                taken = pipe.recv()
                if turn:
                    times[name].append(taken)
        for pipe in pipes.values():
            pipe.send(0)
        return times, {name: pipe.recv() for name, pipe in pipes.items()}
    finally:
        for process in processes:
            process.kill()
