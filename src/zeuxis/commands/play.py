"""zeuxis play: a policy in its task, as a film."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from ..errors import UsageError
from ..progress import out, track
from ..ranges import BaseConfig, Count, CountOrNone, Duration, Pixels, Seed, SmallCount
from ..rl.rollouts.rendering import render_episodes
from ..visual.film import write_film
from .evaluate_policy import open_policy, task_name

FRAMES_PER_SECOND = 25


@dataclass(frozen=True)
class Play(BaseConfig, flags="--"):
    """Films a policy while it acts; without a screen too, where OpenGL is there."""

    policy: tyro.conf.Positional[str]
    """A run folder of a policy, or a policy file."""
    env: str = ""
    """Another task than the policy's."""
    out: str = ""
    """Where the film goes: .webp, .gif or .mp4; by default policy.webp, in the run folder."""
    episodes: SmallCount = 1
    """Number of episodes."""
    steps: CountOrNone = 400
    """Most steps of each episode; 0 goes on to its end."""
    every: Count = 3
    """Steps between images."""
    side: Pixels = 320
    """Longest side of an image (pixels)."""
    seconds: Duration = 0.0
    """Length of the film (seconds); 0 takes 25 images a second."""
    stochastic: bool = False
    """Sample actions from the policy's distribution instead of taking its mode."""
    seed: Seed = 0
    """Seed of the episodes."""


def main(argv: Sequence[str]) -> None:
    args = tyro.cli(Play, args=argv, prog="zeuxis play")
    policy, _, training = open_policy(args.policy)
    env, path = task_name(args.env, training, policy), Path(args.policy)
    default = path / "policy.webp" if path.is_dir() else path.with_suffix(".webp")
    film = Path(args.out) if args.out else default
    if film.suffix not in (".webp", ".gif", ".mp4"):
        raise UsageError(
            f"A film is written as .webp, .gif or .mp4, not as '{film.name}': choose one of these."
        )
    frames = render_episodes(
        policy,
        env,
        episodes=args.episodes,
        steps=args.steps,
        every=args.every,
        deterministic=not args.stochastic,
        seed=args.seed,
        side=args.side,
    )
    expected = args.episodes * (args.steps or 1000) // args.every
    with tempfile.TemporaryDirectory() as folder:
        images: list[Path] = []
        returns: list[float] = []
        for image, total, step in track(frames, expected, "drawing"):
            if step == 0:
                returns.append(total)
            returns[-1] = total
            images.append(Path(folder) / f"{len(images):06}.png")
            image.save(images[-1])
        write_film(images, film, args.seconds or len(images) / FRAMES_PER_SECOND)
    shown = ", ".join(f"{total:.1f}" for total in returns)
    sentence = f"{film}: {len(images)} pictures of {env}, return {shown}"
    out.print(sentence, markup=False, soft_wrap=True)
