"""Rollouts against Gymnasium's vectors of environments, and products with the Fisher matrix against
differentiating twice.

    python benchmarks/rl.py [--quick]

Interleaved in one process run, printed as rates and as ratios of medians, with the share of the
machine's own rate of matrix products. If sb3-contrib and imitation are installed, their TRPO and
GAIL learn the same tasks with the same networks, end to end, with as many environments as cores and
with 8, in one process and in separate ones.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from dcgan import interleaved, product_rate
from zeuxis.device import setup_device
from zeuxis.evaluation.record import machine, write_record
from zeuxis.rl.environments.environment import task_of
from zeuxis.rl.imitation.demonstrations import Demonstrations
from zeuxis.rl.imitation.discriminator import GAILConfig
from zeuxis.rl.imitation.gail import GAIL
from zeuxis.rl.optimization.config import OnPolicyConfig, PolicyExperiment
from zeuxis.rl.optimization.on_policy import TRPO, OnPolicyTrainer
from zeuxis.rl.optimization.trpo import Fisher
from zeuxis.rl.optimization.trust_region import TrustRegionConfig
from zeuxis.rl.policies.mlp import parameters_to_vector
from zeuxis.rl.policies.policy import Policy, make_policy
from zeuxis.rl.rollouts.collector import Collector


def single(name: str) -> Callable[[Policy, int], int]:
    """One environment in a plain loop, with a PyTorch policy, as most scripts have it."""
    env = gymnasium.make(name)
    x, _ = env.reset(seed=0)
    space = env.action_space

    def steps(policy: Policy, n: int) -> int:
        nonlocal x
        for _ in range(n):
            with torch.inference_mode():
                mean = policy(torch.from_numpy(np.asarray(x, np.float32))[None])[0]
                action = (
                    (mean + policy.log_std.exp() * torch.randn_like(mean))
                    .numpy()
                    .clip(space.low, space.high)
                )
            x, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                x, _ = env.reset()
        return n

    return steps


def vector(name: str, count: int) -> Callable[[Policy, int], int]:
    """A vector of environments in processes that synchronize at every step."""
    env = gymnasium.make_vec(name, count, vectorization_mode="async")
    x, _ = env.reset(seed=0)
    space = env.single_action_space

    def steps(policy: Policy, n: int) -> int:
        nonlocal x
        for _ in range(n // count):
            with torch.inference_mode():
                mean = policy(torch.from_numpy(np.asarray(x, np.float32)))
                action = (
                    (mean + policy.log_std.exp() * torch.randn_like(mean))
                    .numpy()
                    .clip(space.low, space.high)
                )
            x, *_ = env.step(action)
        return n // count * count

    return steps


def twice(policy: Policy, x: Tensor) -> Callable[[Tensor], Tensor]:
    """The Fisher product of the textbook: differentiates the divergence twice, at each call."""
    with torch.no_grad():
        old = policy.distribution(policy.network(x))

    def product(v: Tensor) -> Tensor:
        divergence, parameters = policy.kl(old, policy.network(x)).mean(), list(policy.parameters())
        first = torch.autograd.grad(divergence, parameters, create_graph=True)
        gradient = torch.cat([g.flatten() for g in first])
        second = torch.autograd.grad(gradient @ v, parameters)
        return torch.cat([g.flatten() for g in second])

    return product


def rollouts(name: str, n: int, rounds: int) -> dict[str, float]:
    """Steps a second, policy and noise included."""
    cores = len(os.sched_getaffinity(0))
    policy = make_policy(task_of(name), (100, 100))
    one, many = single(name), vector(name, max(2, cores))
    result = {}
    with Collector(name, 0) as here, Collector(name, cores) as there:
        acting, taken = policy.to_numpy(), {}

        def ours(collector: Collector, key: str) -> None:
            taken[key] = len(collector.collect(acting, steps=n)[0])

        ours(there, "workers")  # starts them
        cases = {
            "plain loop": lambda: taken.update({"plain loop": one(policy, n)}),
            "async vector": lambda: taken.update({"async vector": many(policy, n)}),
            "this process": lambda: ours(here, "this process"),
            "workers": lambda: ours(there, "workers"),
        }
        times = interleaved(cases, rounds)
        for key, seconds in times.items():
            result[f"{key} steps/s"] = taken[key] / statistics.median(seconds)
    best = max(result["plain loop steps/s"], result["async vector steps/s"])
    result["ratio"] = result["workers steps/s"] / best
    print(
        name
        + ": "
        + ", ".join(f"{key} {value:,.0f}" for key, value in result.items() if key != "ratio"),
        end="",
    )
    print(f" ({cores} workers): {result['ratio']:.2f} times the better of the others")
    return result


def products(name: str, n: int, rounds: int) -> dict[str, float]:
    """Milliseconds of a product with the Fisher matrix over n steps."""
    policy = make_policy(task_of(name), (100, 100))
    x = torch.randn(n, policy.task.observation)
    v = torch.randn(len(parameters_to_vector(policy)))
    textbook, ours = twice(policy, x), Fisher(policy, policy.network.trace(x))
    error = ((textbook(v) - ours(v)).norm() / textbook(v).norm()).item()
    times = interleaved({"twice": lambda: textbook(v), "ours": lambda: ours(v)}, rounds)
    slow, fast = (statistics.median(times[key]) for key in ("twice", "ours"))
    ratio = statistics.median(a / b for a, b in zip(times["twice"], times["ours"], strict=True))
    # 2 operations a weight and a row for each product: two forward a layer but one in the first,
    # and two back but one in the first.
    weights = [layer.weight.numel() for layer in policy.network.layers]
    share = 2 * n * (4 * sum(weights) - 2 * weights[0]) / fast / product_rate(False, 5)
    print(
        (
            f"{name}, {n:,} steps: a Fisher product {1e3 * slow:.0f} ms by differentiating "
            f"twice, {1e3 * fast:.0f} ms here: "
        ),
        end="",
    )
    print(f"{ratio:.2f} times as fast, {share:.0%} of the machine's products, error {error:.0e}")
    return {
        "twice ms": 1e3 * slow,
        "ours ms": 1e3 * fast,
        "ratio": ratio,
        "share of product rate": share,
        "relative error": error,
    }


PLACES = ("", "8 DummyVecEnv", "8 SubprocVecEnv")
"""How the peers' environments run: as many as there are cores in one process, as their authors'
settings have it, or 8 in one way or the other; "" is the first, whose figures have no suffix."""


def environments(name: str, place: str) -> Any:
    """Environments of stable-baselines3."""
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    count = 8 if place else len(os.sched_getaffinity(0))
    return make_vec_env(
        name, count, vec_env_cls=SubprocVecEnv if "Subproc" in place else DummyVecEnv
    )


def against_peer(name: str, batch: int, iterations: int, rounds: int) -> dict[str, float]:
    """Steps a second of TRPO from rollout to value function: sb3-contrib's with the settings its
    authors publish, and the same here."""
    if importlib.util.find_spec("sb3_contrib") is None:
        print("sb3-contrib is not installed: no comparison with it")
        return {}
    from sb3_contrib import TRPO as PeerTRPO
    from stable_baselines3.common.vec_env import VecNormalize

    same = {
        "batch_size": 128,
        "learning_rate": 1e-3,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "target_kl": 0.04,
    }
    peers: dict[str, Peer] = {}
    for place in PLACES:
        envs = VecNormalize(environments(name, place))
        more = {"cg_max_steps": 25, "n_critic_updates": 20, "device": "cpu", "seed": 0}
        peer = PeerTRPO("MlpPolicy", envs, n_steps=batch // envs.num_envs, **more, **same)
        peers[place] = peer, peer.learn
    training = OnPolicyConfig(
        steps=10**9, batch=batch, lam=0.95, value_epochs=20, value_batch=128, log_every=10**6
    )
    ours = TRPO(
        PolicyExperiment(name, training, TrustRegionConfig(delta=0.04, iterations=25)), quiet=True
    )
    return race(
        f"TRPO {name}, {batch:,} steps an iteration",
        "sb3-contrib",
        peers,
        ours,
        batch * iterations,
        rounds,
    )


def against_imitation(name: str, batch: int, iterations: int, rounds: int) -> dict[str, float]:
    """Steps a second of GAIL with TRPO: the imitation library's on sb3-contrib's TRPO, and the same
    here, one discriminator step each."""
    if (
        importlib.util.find_spec("imitation") is None
        or importlib.util.find_spec("sb3_contrib") is None
    ):
        print("imitation or sb3-contrib is not installed: no comparison with them")
        return {}
    from imitation.algorithms.adversarial.gail import GAIL as PeerGAIL
    from imitation.data.types import Transitions
    from imitation.rewards.reward_nets import BasicRewardNet
    from imitation.util import logger
    from sb3_contrib import TRPO as PeerTRPO

    with Collector(name, 0) as collector:  # the expert does not matter to the speed
        demos = Demonstrations(
            collector.collect(make_policy(task_of(name), (100, 100)).to_numpy(), episodes=20)[0]
        )
    x, u = demos.pairs()
    pairs = Transitions(
        obs=x, acts=u, infos=np.array([{}] * len(x)), next_obs=x, dones=np.zeros(len(x), bool)
    )
    same = {
        "batch_size": 256,
        "n_critic_updates": 10,
        "policy_kwargs": {"net_arch": [100, 100]},
        "device": "cpu",
        "seed": 0,
    }
    peers: dict[str, Peer] = {}
    for place in PLACES:
        envs = environments(name, place)
        peer = PeerTRPO("MlpPolicy", envs, n_steps=batch // envs.num_envs, **same)
        reward = BasicRewardNet(envs.observation_space, envs.action_space, hid_sizes=(100, 100))
        more = {
            "demo_batch_size": min(batch, len(x)),
            "n_disc_updates_per_round": 1,
            "allow_variable_horizon": True,
            "custom_logger": logger.configure(tempfile.mkdtemp(), ()),
        }
        round_size = batch // envs.num_envs * envs.num_envs
        peer_gail = PeerGAIL(
            demonstrations=pairs,
            venv=envs,
            gen_algo=peer,
            reward_net=reward,
            gen_train_timesteps=round_size,
            **more,
        )
        peers[place] = peer, lambda n, gail=peer_gail, **_: gail.train(n)
    training = OnPolicyConfig(steps=10**9, batch=batch, hidden=(100, 100), log_every=10**6)
    ours = GAIL(
        PolicyExperiment(name, training, TrustRegionConfig(iterations=15), GAILConfig()),
        demos,
        quiet=True,
    )
    return race(
        f"GAIL {name}, {batch:,} steps an iteration",
        "imitation",
        peers,
        ours,
        batch * iterations,
        rounds,
    )


Peer = tuple[Any, Callable[..., object]]


def race(
    what: str, rival: str, peers: dict[str, Peer], ours: OnPolicyTrainer, steps: int, rounds: int
) -> dict[str, float]:
    """Steps a second of a peer in each of its settings and of the trainer here, in turn, after one
    turn to warm up."""
    threads = torch.get_num_threads()
    labels = {place: f"{rival}, {place}" if place else rival for place in peers}
    rates: dict[str, list[float]] = {label: [] for label in (*labels.values(), "zeuxis")}

    def peer_steps(peer: Any, learn: Callable[..., object]) -> int:
        before = peer.num_timesteps
        learn(steps, reset_num_timesteps=False)
        return int(peer.num_timesteps - before)

    def here() -> int:
        before = ours.steps
        while ours.steps - before < steps:
            ours.iterate()
        return ours.steps - before

    turns: dict[str, Callable[[], int]] = {
        labels[place]: lambda peer=peer: peer_steps(*peer) for place, peer in peers.items()
    }
    turns["zeuxis"] = here
    for turn in range(rounds + 1):
        for key, call in turns.items():
            torch.set_num_threads(threads)
            began = time.perf_counter()
            taken = call()
            if turn:
                rates[key].append(taken / (time.perf_counter() - began))
    ours.collector.close()
    for peer, _ in peers.values():
        peer.get_env().close()
    result = {f"{key} steps/s": statistics.median(values) for key, values in rates.items()}
    for place, label in labels.items():
        ratio = statistics.median(a / b for a, b in zip(rates["zeuxis"], rates[label], strict=True))
        result[f"ratio to {place}" if place else "ratio"] = ratio
    best = max(labels.values(), key=lambda label: result[f"{label} steps/s"])
    result["ratio to the best"] = statistics.median(
        a / b for a, b in zip(rates["zeuxis"], rates[best], strict=True)
    )
    said = ", ".join(f"{result[f'{label} steps/s']:,.0f} by {label}" for label in labels.values())
    print(
        (
            f"{what}: steps/s {said}, {result['zeuxis steps/s']:,.0f} here: "
            f"{result['ratio']:.2f} times the first, "
        ),
        end="",
    )
    print(f"{result['ratio to the best']:.2f} times the best")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions, no record")
    parser.add_argument("--record", default="results/speed/rl.json", help="where the figures go")
    args = parser.parse_args()
    began, figures = time.monotonic(), {}
    setup_device("cpu", "fp32")
    print(machine())
    n, rounds = (500, 1) if args.quick else (10_000, 3)
    for name in ("Hopper-v5",) if args.quick else ("Hopper-v5", "HalfCheetah-v5", "Humanoid-v5"):
        figures[f"rollouts {name}"] = rollouts(name, n, rounds)
    for name in ("Hopper-v5", "Humanoid-v5"):
        figures[f"Fisher {name}"] = products(
            name, 2_000 if args.quick else 50_000, 3 if args.quick else 11
        )
    figures["TRPO Hopper-v5"] = against_peer("Hopper-v5", 2048, 1 if args.quick else 5, rounds)
    figures["GAIL Hopper-v5"] = against_imitation("Hopper-v5", 5000, 1 if args.quick else 2, rounds)
    if not args.quick:
        print(
            "record:",
            write_record(
                args.record,
                figures,
                seconds=time.monotonic() - began,
                seed=0,
                note="medians of interleaved rounds",
            ),
        )


if __name__ == "__main__":
    sys.exit(main())
