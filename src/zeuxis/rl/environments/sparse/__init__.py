"""Sparse tasks: nothing is rewarded until the agent has come far.

| id | reward | horizon (steps) |
| --- | --- | --- |
| `zeuxis/SparseMountainCar-v0` | 1 for leaving the valley on the right, once | 500 |
| `zeuxis/SparseCartPoleSwingup-v0` | 1 a step while the pole is up | 500 |
| `zeuxis/SparseDoublePendulum-v0` | 1 a step while the tip is near its highest place | 500 |
| `zeuxis/SparseHalfCheetah-v0` | 1 a step beyond five meters | 500 |
| `zeuxis/SwimmerGather-v0` | 1 an apple, -1 a bomb | 500 |

Every command that takes a task knows them, as in `zeuxis train trpo --env
zeuxis/SparseMountainCar-v0`. Gymnasium itself knows them after `import
zeuxis.rl.environments.sparse`, or by the name of the module:
`gymnasium.make("zeuxis.rl.environments.sparse:zeuxis/SparseMountainCar-v0")`.

Source: Houthooft et al., "VIME: Variational Information Maximizing Exploration", 2016, section 3,
and the code released with it.
"""

from __future__ import annotations

import gymnasium

HORIZON = 500
MODULES = {
    "SparseMountainCar": "mountain_car",
    "SparseCartPoleSwingup": "cartpole_swingup",
    "SparseDoublePendulum": "double_pendulum",
    "SparseHalfCheetah": "half_cheetah",
    "SwimmerGather": "swimmer_gather",
}
IDS = tuple(f"zeuxis/{name}-v0" for name in MODULES)


def register() -> None:
    """Registers the tasks with Gymnasium; a second call changes nothing.

    Example:
        >>> register()
        >>> gymnasium.spec("zeuxis/SparseMountainCar-v0").max_episode_steps
        500
    """
    for name, module in MODULES.items():
        task = f"zeuxis/{name}-v0"
        if task not in gymnasium.registry:
            entry_point = f"{__name__}.{module}:{name}"
            gymnasium.register(task, entry_point, max_episode_steps=HORIZON)


register()
