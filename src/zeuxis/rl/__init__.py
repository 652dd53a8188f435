"""Policies: an optimizer with a trust region, imitation of an expert, and what both learn from.

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
    "policies.numpy_policy": ("Actor", "read_actor", "write_actor"),
    "imitation.behavioral_cloning": ("BC", "CloningConfig"),
    "imitation.demonstrations": ("Demonstrations", "read_demos", "record"),
    "environments.environment": ("Task", "task_of"),
    "exploration.vime": ("VIME",),
    "imitation.gail": ("GAIL",),
    "imitation.discriminator": ("Discriminator", "GAILConfig"),
    "optimization.on_policy": ("PPO", "TRPO", "Learner", "OnPolicyConfig"),
    "rollouts.rendering": ("frames",),
    "policies.policy": ("Policy", "load_policy"),
    "optimization.ppo": ("Proximal",),
    "rollouts.policy_evaluation": ("Returns", "returns_of"),
    "rollouts.collector": ("Engine", "Rollouts", "Trajectory"),
    "optimization.trust_region": ("TrustRegionConfig",),
    "exploration.information_gain": ("InformationGain", "VIMEConfig"),
}
HOME = {name: module for module, names in WHERE.items() for name in names}
__all__ = sorted(HOME)


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module 'zeuxis.rl' has no attribute '{name}'")
    return getattr(import_module(f".{HOME[name]}", __name__), name)
