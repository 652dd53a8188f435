r"""Generalized advantage estimation over whole trajectories, with what lies beyond their ends.

$$ \delta_t = r_t + \gamma V(s_{t+1}) - V(s_t), \qquad \hat A_t = \sum_{l \ge 0} (\gamma \lambda)^l \delta_{t+l} . $$

After an episode that ended by itself V is 0. After one that was cut off the world goes on, and V of
the true final observation stands for what was not seen; only a value function that reads the time,
and so knows that the end is near, has 0 there too. With $\lambda = 1$ advantage plus value is the
discounted return.

Source: Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage
Estimation", 2016; for the cut ends Pardo et al., "Time Limits in Reinforcement Learning", 2018.
"""

from __future__ import annotations

import numpy as np


def advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    beyond: np.ndarray,
    lengths: np.ndarray,
    gamma: float,
    lam: float,
) -> np.ndarray:
    """Advantages of all steps of several episodes.

    Arguments:
        rewards: Of each step, one episode after the other, (N,).
        values: V of each step's state, (N,).
        beyond: V after each episode's last step, 0 where it ended by itself, (E,).
        lengths: Steps of each episode, (E,).
        gamma: Discount a step.
        lam: 0 looks one step ahead, 1 to the end.

    Example:
        >>> advantages(np.ones(3), np.zeros(3), np.array([0.0, 10.0]), np.array([2, 1]), 0.5, 1.0)
        array([1.5, 1. , 6. ])
    """
    starts, ends = np.cumsum(lengths) - lengths, np.cumsum(lengths) - 1
    following = np.append(values[1:], 0.0)
    following[ends] = beyond
    delta = rewards + gamma * following - values
    rows, columns = (
        np.repeat(np.arange(len(lengths)), lengths),
        np.arange(len(rewards)) - np.repeat(starts, lengths),
    )
    table = np.zeros((int(lengths.max()), len(lengths)))
    table[columns, rows] = delta
    for t in range(len(table) - 2, -1, -1):
        table[t] += gamma * lam * table[t + 1]
    return table[columns, rows]
