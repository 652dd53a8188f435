"""Policies: TRPO, imitation of an expert (GAIL, behavioral cloning), and exploration (VIME).

```python
from zeuxis.rl import GAIL, TRPO, OnPolicyConfig, PolicyExperiment, evaluate_policy, record

experiment = PolicyExperiment("Hopper-v5", OnPolicyConfig(batch=5_000))
expert = TRPO(experiment).train(1_000_000).policy
action, _ = expert.predict(observation, deterministic=True)

demos = record(expert, "Hopper-v5", 4)
agent = GAIL(PolicyExperiment("Hopper-v5"), demos).train(25_000_000)
print(evaluate_policy(agent.policy, "Hopper-v5"))
```
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

MODULES = {
    "environments.task": ("Task",),
    "environments.environment": ("task_of",),
    "policies.policy": ("Policy",),
    "policies.numpy_policy": ("NumpyPolicy", "random_policy"),
    "policies.policy_file": ("load_policy", "read_policy", "write_policy"),
    "rollouts.trajectory": ("Rollouts", "Trajectory"),
    "rollouts.collector": ("Collector",),
    "rollouts.policy_evaluation": ("Returns", "evaluate_policy"),
    "rollouts.rendering": ("render_episodes",),
    "optimization.config": ("OnPolicyConfig", "PolicyExperiment"),
    "optimization.trust_region": ("TrustRegionConfig",),
    "optimization.on_policy": ("OnPolicyTrainer", "TRPO"),
    "imitation.demonstrations": ("Demonstrations", "record"),
    "imitation.demonstration_files": ("read_demos", "write_demos"),
    "imitation.behavioral_cloning": ("BC", "BehavioralCloning", "CloningConfig"),
    "imitation.discriminator": ("Discriminator", "GAILConfig"),
    "imitation.gail": ("GAIL",),
    "exploration.information_gain": ("InformationGain", "VIMEConfig"),
    "exploration.vime": ("VIME",),
    "exploration.released_code": ("RELEASED", "ReleasedVIME"),
}
HOME = {name: module for module, names in MODULES.items() for name in names}
__all__ = sorted(HOME)


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module 'zeuxis.rl' has no attribute '{name}'")
    return getattr(import_module(f".{HOME[name]}", __name__), name)
