"""Policies: an optimiser with a trust region, imitation of an expert, and what both learn from.

```python
from zeuxis.rl import GAIL, TRPO, Learning, read_actor, record, returns_of

agent = TRPO("Hopper-v5", Learning(batch=5_000)).learn(1_000_000)
action, _ = agent.policy.predict(observation, deterministic=True)

demos = record(read_actor("expert.safetensors"), "Hopper-v5", 4)
agent = GAIL("Hopper-v5", demos).learn(25_000_000)
print(returns_of(agent.policy, "Hopper-v5"))
```
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

WHERE = {
    "actor": ("Actor", "read_actor", "write_actor"),
    "cloning": ("BC", "CloningConfig"),
    "demos": ("Demonstrations", "read_demos", "record"),
    "envs": ("Task", "task_of"),
    "explorer": ("VIME",),
    "gail": ("GAIL",),
    "judges": ("Discriminator", "GAILConfig"),
    "learner": ("PPO", "TRPO", "Learner", "Learning"),
    "play": ("frames",),
    "policy": ("Policy", "load_policy"),
    "ppo": ("Proximal",),
    "returns": ("Returns", "returns_of"),
    "rollout": ("Engine", "Rollouts", "Trajectory"),
    "trust_region": ("TrustRegion",),
    "vime": ("InformationGain", "VIMEConfig"),
}
HOME = {name: module for module, names in WHERE.items() for name in names}
__all__ = sorted(HOME)


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module 'zeuxis.rl' has no attribute '{name}'")
    return getattr(import_module(f".{HOME[name]}", __name__), name)
