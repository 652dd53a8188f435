r"""Generalized advantage estimation over whole episodes.

$$ \delta_t = r_t + \gamma V(s_{t+1}) - V(s_t), \qquad
   \hat A_t = \sum_{l \ge 0} (\gamma \lambda)^l \delta_{t+l} . $$

After a terminated episode V is 0. After a truncated one the task would have gone on, and V of the
final observation stands for the rest; only a value function that reads the time, and so knows that
the end is near, has 0 there too. With $\lambda = 1$ advantage plus value is the discounted return.

Sources: Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage
Estimation", 2016; Pardo et al., "Time Limits in Reinforcement Learning", 2018, for truncation.
"""

from __future__ import annotations

import numpy as np


def advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    bootstrap_values: np.ndarray,
    lengths: np.ndarray,
    gamma: float,
    lam: float,
) -> np.ndarray:
    """Computes the advantages of all steps of E episodes, (N,).

    Arguments:
        rewards: Reward of each step, one episode after the other, (N,).
        values: V of each step's state, (N,).
        bootstrap_values: V after each episode's last step, 0 where it terminated, (E,).
        lengths: Steps of each episode, (E,).
        gamma: Discount per step.
        lam: 0 looks one step ahead, 1 to the end.

    Example:
        >>> advantages(np.ones(3), np.zeros(3), np.array([0.0, 10.0]), np.array([2, 1]), 0.5, 1.0)
        array([1.5, 1. , 6. ])
    """
    starts, ends = np.cumsum(lengths) - lengths, np.cumsum(lengths) - 1
    next_values = np.append(values[1:], 0.0)
    next_values[ends] = bootstrap_values
    delta = rewards + gamma * next_values - values
    episode = np.repeat(np.arange(len(lengths)), lengths)
    time = np.arange(len(rewards)) - np.repeat(starts, lengths)
    table = np.zeros((int(lengths.max()), len(lengths)))  # (longest episode, E)
    table[time, episode] = delta
    for t in range(len(table) - 2, -1, -1):
        table[t] += gamma * lam * table[t + 1]
    return table[time, episode]
