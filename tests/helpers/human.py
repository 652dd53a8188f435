"""Studies of random images and simulated people, for the tests of the human test."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from zeuxis.applications.human_test.pictures import Material, noise_like, textures
from zeuxis.applications.human_test.protocol import Rules, StudyConfig
from zeuxis.applications.human_test.store import Store, create

CONSENT = {"consent": True, "age_ok": True, "role": "public", "frame_ms": 16.7}


def study(folder: Path, rules: Rules | None = None, **settings: Any) -> Store:
    """A study of random images; real and generated ones have the same distribution."""
    config = StudyConfig(**({"n": 20, "pool": 300, "practice": "none"} | settings))
    generator = torch.Generator().manual_seed(1)

    def drawn(n: int) -> torch.Tensor:
        return torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8, generator=generator)

    pools = {"real": drawn(300), "generated": drawn(300)}
    pools["check"] = noise_like(pools["real"], 60, 0)
    if config.practice != "none":
        pools |= {"real-practice": drawn(40), "generated-practice": drawn(40)}
    if config.qualify:
        pools |= {"real-qualification": drawn(60), "generated-qualification": drawn(60)}
    if config.mode == "timed":
        pools["mask"] = textures(pools["real"], pools["generated"], 0)
    made = Material("a/model", "0" * 64, "noise", "test", False, pools)
    return create(folder / "study.sqlite", made, config, rules)


class Client:
    """Sends requests as the page does."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and value of a reply."""
        status, data, kind = self.raw(path, body, **headers)
        return status, json.loads(data) if kind == "application/json" else data

    def raw(self, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, str]:
        """Status, bytes and type of a reply."""
        if body is None:
            self.connection.request("GET", path, headers=headers)
        else:
            sent = json.dumps(body).encode()
            kind = {"Content-Type": "application/json"} | headers
            self.connection.request("POST", path, sent, kind)
        reply = self.connection.getresponse()
        return reply.status, reply.read(), reply.getheader("Content-Type", "")


def observers(rng: np.random.Generator, d: np.ndarray, c: np.ndarray, images: int) -> np.ndarray:
    """Hits, real, false alarms, generated of people with these d' and criteria, who each saw so
    many images of both kinds."""
    hits = rng.binomial(images, stats.norm.cdf(d / 2 - c))
    alarms = rng.binomial(images, stats.norm.cdf(-d / 2 - c))
    return np.stack([hits, np.full(len(d), images), alarms, np.full(len(d), images)], 1)
