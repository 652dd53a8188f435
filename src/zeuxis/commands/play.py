"""zeuxis play: a policy seen in its task, as a film."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from ..errors import UsageError
from ..progress import out, track
from ..ranges import BaseConfig, Count, CountOrNone, Duration, Few, Pixels, Seed
from ..rl.rollouts.rendering import frames
from ..visual.film import write_film
from .evaluate_policy import opened, task_named


@dataclass(frozen=True)
class Play(BaseConfig, flags="--"):
    """Films a policy while it acts; without a screen too, where OpenGL is there."""

    policy: tyro.conf.Positional[str]
    """A run folder of a policy, or a policy file."""
    env: str = ""
    """Another task than the policy's own."""
    out: str = ""
    """Where the film goes: .webp, .gif or .mp4; by default policy.webp, in the run folder."""
    episodes: Few = 1
    """Episodes shown."""
    steps: CountOrNone = 400
    """Most steps of each; 0 goes on to its end."""
    every: Count = 3
    """Steps from picture to picture."""
    side: Pixels = 320
    """Longest side of a picture (pixels)."""
    seconds: Duration = 0.0
    """Length of the film (seconds); 0 takes 25 pictures a second."""
    stochastic: bool = False
    """Draw actions from the policy's law instead of taking the likeliest."""
    seed: Seed = 0
    """Fixes the episodes."""


def main(words: Sequence[str]) -> None:
    wish = tyro.cli(Play, args=words, prog="zeuxis play")
    actor, _, run = opened(wish.policy)
    env, path = task_named(wish.env, run, actor), Path(wish.policy)
    film = (
        Path(wish.out)
        if wish.out
        else path / "policy.webp"
        if path.is_dir()
        else path.with_suffix(".webp")
    )
    if film.suffix not in (".webp", ".gif", ".mp4"):
        raise UsageError(
            f"A film is written as .webp, .gif or .mp4, not as '{film.name}': choose one of these."
        )
    options = {
        "episodes": wish.episodes,
        "steps": wish.steps,
        "every": wish.every,
        "seed": wish.seed,
        "side": wish.side,
    }
    seen = frames(actor, env, deterministic=not wish.stochastic, **options)
    expected = wish.episodes * (wish.steps or 1000) // wish.every
    with tempfile.TemporaryDirectory() as folder:
        pictures: list[Path] = []
        returns: list[float] = []
        for image, total, step in track(seen, expected, "drawing"):
            returns = [*returns, total] if step == 0 else [*returns[:-1], total]
            pictures.append(Path(folder) / f"{len(pictures):06}.png")
            image.save(pictures[-1])
        write_film(pictures, film, wish.seconds or len(pictures) / 25)
    earned = ", ".join(f"{total:.1f}" for total in returns)
    out.print(
        f"{film}: {len(pictures)} pictures of {env}, return {earned}", markup=False, soft_wrap=True
    )
