"""The sparse tasks: rewards and ends, mechanics against a solver in full coordinates, and random
actions."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("mujoco")

from gymnasium.utils.env_checker import check_env

from zeuxis.rl.environments.environment import task_of
from zeuxis.rl.environments.sparse import (
    HORIZON,
    IDS,
    cartpole_swingup,
    double_pendulum,
    mountain_car,
)
from zeuxis.rl.environments.sparse.half_cheetah import SparseHalfCheetah
from zeuxis.rl.environments.sparse.planar import GRAVITY, Mechanics, PlanarEnv
from zeuxis.rl.environments.sparse.swimmer_gather import LATTICE, SwimmerGather, readings
from zeuxis.rl.policies.numpy_policy import linear_policy
from zeuxis.rl.rollouts.collector import Collector

SIZES = {
    "SparseMountainCar": (2, 1),
    "SparseCartPoleSwingup": (4, 1),
    "SparseDoublePendulum": (6, 1),
    "SparseHalfCheetah": (20, 6),
}
SIZES |= {"SwimmerGather": (33, 2)}
SINGLE: dict[str, type[PlanarEnv]] = {
    "SparseMountainCar": mountain_car.SparseMountainCar,
    "SparseCartPoleSwingup": cartpole_swingup.SparseCartPoleSwingup,
    "SparseDoublePendulum": double_pendulum.SparseDoublePendulum,
}


def name_of(task: str) -> str:
    return task.split("/")[1].rsplit("-v", 1)[0]


@pytest.mark.parametrize("task", IDS)
def test_tasks_are_found_here_and_in_worker_processes(task: str) -> None:
    result = task_of(task)
    entries, actions = SIZES[name_of(task)]
    assert (result.observation, result.action, result.horizon) == (entries, actions, 500)
    assert result.low == (-1.0,) * actions and result.high == (1.0,) * actions
    weights = np.random.default_rng(0).standard_normal((actions, entries)) * 0.1
    policy = linear_policy(weights, log_std=np.zeros(actions), head="gaussian_mean")
    results = []
    for workers in (0, 1):
        with Collector(task, workers, seed=1, horizon=30) as collector:
            results.append(collector.collect(policy, steps=40)[0])
    assert np.array_equal(results[0].observations, results[1].observations)
    assert len(results[0]) >= 40


def test_tasks_are_found_without_an_import() -> None:
    code = (
        "from zeuxis.rl.environments.environment import task_of; "
        "print(task_of('zeuxis/SwimmerGather-v0').observation)"
    )
    code += (
        "; import gymnasium; "
        "gymnasium.make('zeuxis.rl.environments.sparse:zeuxis/SparseMountainCar-v0')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "33", done.stderr


@pytest.mark.filterwarnings("ignore")  # the checker would rather have bounds
@pytest.mark.parametrize("task", IDS)
def test_gymnasiums_checker_passes_them_and_the_time_limit_is_a_cut(task: str) -> None:
    drawn = name_of(task) in SINGLE
    check_env(
        gymnasium.make(task, render_mode="rgb_array" if drawn else None).unwrapped,
        skip_render_check=not drawn,
    )
    environment = gymnasium.make(task)
    first = [environment.reset(seed=seed)[0] for seed in (3, 3, 4)]
    assert np.array_equal(first[0], first[1]) and not np.array_equal(first[0], first[2])
    rest = np.zeros(environment.action_space.shape, np.float32)
    ends = [environment.step(rest)[2:4] for _ in range(500)]
    assert ends == [(False, False)] * 499 + [(False, True)]


def states(name: str, n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    scale = {
        "SparseMountainCar": (0.5, 1.5),
        "SparseCartPoleSwingup": (1, 2, 3, 6),
        "SparseDoublePendulum": (3, 10, 3, 20),
    }[name]
    return rng.standard_normal((n, len(scale))) * scale


def solved(name: str, world: Mechanics, state: np.ndarray, force: float) -> np.ndarray:
    """One step in full coordinates: free velocities, then what violates the constraints projected
    out in the metric of the masses."""
    h, sin, cos = world.h, np.sin, np.cos
    if name == "SparseMountainCar":
        x, v = state
        slope, old = (math.pi / 2 * sin(math.pi / 2 * at) for at in (x, x - h * v))
        tangent = np.array([1, slope]) / np.hypot(1, slope)
        mass, rows = np.eye(2) * 0.4, np.array([[slope, -1.0]])
        free = np.array([v, v * old]) + h * (force * tangent / 0.4 - [0, GRAVITY])
        bound = mountain_car.FRICTION
    elif name == "SparseCartPoleSwingup":
        x, v, a, w = state
        m, inertia = 0.1, 0.1 * (1 + 0.01) / 12
        mass = np.diag([1.0, 1.0, m, m, inertia])  # cart x, y; pole x, y, angle
        rows = np.array(
            [[0, 1, 0, 0, 0], [1, 0, -1, 0, -0.5 * cos(a)], [0, 1, 0, -1, -0.5 * sin(a)]]
        )
        old = a - h * w
        free = np.array([v, 0, v - 0.5 * w * cos(old), -0.5 * w * sin(old), w]) + h * np.array(
            [force, -GRAVITY, 0, -GRAVITY, 0]
        )
        bound = 0.0
    else:
        a, da, b, db = state
        m, inertia = 0.5, 0.5 * (1 + 0.01) / 12
        mass = np.diag([m, m, inertia] * 2)
        one, two = (0.5 * np.array([cos(at), sin(at)]) for at in (a, b))
        rows = np.zeros((4, 6))
        rows[:2, :2], rows[:2, 2] = np.eye(2), -one  # the upper link's center
        rows[2:, 3:5], rows[2:, :2], rows[2:, 2], rows[2:, 5] = (
            np.eye(2),
            -np.eye(2),
            -one,
            -two,
        )  # the joint
        c, d = (0.5 * np.array([cos(at), sin(at)]) for at in (a - h * da, b - h * db))
        free = np.array([*(da * c), da, *(2 * da * c + db * d), db])
        free = free + h * np.array([0, -GRAVITY, -force / inertia, 0, -GRAVITY, force / inertia])
        bound = 0.0
    pull = np.linalg.solve(rows @ np.linalg.inv(mass) @ rows.T, rows @ free)
    kept = free - np.linalg.inv(mass) @ rows.T @ pull
    if name == "SparseMountainCar":
        speed, normal = tangent @ kept, np.linalg.norm(free - kept)
        v = math.copysign(max(abs(speed) - bound * normal, 0.0), speed) * tangent[0]
        return np.array([x + h * v, v])
    if name == "SparseCartPoleSwingup":
        return np.array([x + h * kept[0], kept[0], a + h * kept[4], kept[4]])
    return np.array([a + h * kept[2], kept[2], b + h * kept[5], kept[5]])


@pytest.mark.parametrize("name", SINGLE)
def test_a_step_is_the_projection_in_full_coordinates(name: str) -> None:
    world = SINGLE[name].mechanics_class()
    for state in states(name, 50):
        for force in (0.0, world.limit, -0.3 * world.limit):
            assert np.allclose(
                world.advance(tuple(state), force),
                solved(name, world, state, force),
                rtol=0,
                atol=1e-9,
            )


@pytest.mark.parametrize("name", SINGLE)
def test_small_steps_keep_energy_and_the_tasks_own_lose_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mountain_car, "FRICTION", 0.0)
    start: Any = {
        "SparseMountainCar": (0.0, 2.0),
        "SparseCartPoleSwingup": (0.0, 0.5, 2.0, 1.0),
        "SparseDoublePendulum": (2.0, 0.0, 1.5, 0.0),
    }
    rest: Any = {
        "SparseMountainCar": (0.0, 0.0),
        "SparseCartPoleSwingup": (0.0, 0.0, math.pi, 0.0),
        "SparseDoublePendulum": (0.0,) * 4,
    }
    lost = []
    for substeps in (1, 1000):
        world = SINGLE[name].mechanics_class(substeps)
        state, low = start[name], world.energy(rest[name])
        before = world.energy(state) - low
        for _ in range(world.substeps * (100 if substeps == 1 else 20)):
            state = world.advance(state, 0.0)
        lost.append(1 - (world.energy(state) - low) / before)
    assert lost[0] > 0.05 and abs(lost[1]) < 0.01


def test_a_car_leaves_on_the_right_by_swinging() -> None:
    task = mountain_car.SparseMountainCar()
    assert abs(1 - math.cos(math.pi / 2 * mountain_car.GOAL) - 0.412) < 5e-4
    slope = math.pi / 2 * math.sin(math.pi / 2 * mountain_car.GOAL)
    assert abs(0.4 * GRAVITY * slope / math.hypot(1, slope) - 3.1) < 0.05
    assert [task.mechanics.outcome((x, 0.0)) for x in (0.599, 0.6, -0.7, -2.0)] == [
        (False, False),
        (True, True),
        (False, False),
        (False, True),
    ]
    starts = [task.reset(seed=seed)[0] for seed in range(200)]
    assert (
        np.all(np.array(starts)[:, 0] == 0)
        and np.ptp(np.array(starts)[:, 1]) > 1.9
        and np.abs(starts).max() <= 1
    )
    for seed in range(10):
        (_, v), total = task.reset(seed=seed)[0], []
        for _ in range(500):
            (_, v), reward, over, _, _ = task.step([1.0 if v > 0 else -1.0])
            total.append(reward)
            if over:
                break
        assert sum(total) == 1 and total[-1] == 1 and 30 < len(total) < 100
    task.reset(seed=0)
    assert max(task.step([1.0])[0][0] for _ in range(500)) < 0.6, "pushing alone is not enough"


def test_a_pole_is_rewarded_while_it_is_up_and_a_cart_ends_beyond_its_track() -> None:
    task = cartpole_swingup.SparseCartPoleSwingup()
    edge = math.radians(36.8698976)
    outcomes = [
        task.mechanics.outcome((x, 0.0, a, 0.0))
        for x, a in ((0, edge - 1e-6), (0, edge + 1e-6), (0, math.tau - 0.1), (3, 0.0), (3.01, 0.0))
    ]
    assert outcomes == [(True, False), (False, False), (True, False), (True, False), (False, True)]
    starts = np.array([task.reset(seed=seed)[0] for seed in range(300)])
    low, high = np.array([-1, -2, math.pi - 1, -3]), np.array([1, 2, math.pi + 1, 3])
    assert (
        (starts >= low - 1e-6).all()
        and (starts <= high + 1e-6).all()
        and (np.ptp(starts, 0) > 0.9 * (high - low)).all()
    )
    task.reset(seed=0)
    task.state, still = (0.0, 0.0, 0.0, 0.0), [task.step([0.0])[1] for _ in range(100)]
    assert sum(still) == 0 or sum(still) == 100
    task.state = (0.0, 0.0, 0.0, 0.0)
    assert sum(task.step([0.0])[1] for _ in range(100)) == 100


def test_a_tip_is_rewarded_near_its_highest_place() -> None:
    world = double_pendulum.Links()
    assert np.allclose(world.tip((math.pi, 0.0, math.pi, 0.0)), (0, 2)) and np.allclose(
        world.tip((math.pi / 2, 0.0, 0.0, 0.0)), (1, -1)
    )
    for a, b in np.random.default_rng(0).uniform(-4, 4, (200, 2)).tolist():
        near = math.dist((math.sin(a) + math.sin(b), -math.cos(a) - math.cos(b)), (0, 2)) < 1
        assert world.outcome((a, 0.0, b, 0.0)) == (near, False)
    starts = np.array(
        [double_pendulum.SparseDoublePendulum().reset(seed=seed)[0] for seed in range(300)]
    )
    assert np.allclose(starts[:, 0] ** 2 + starts[:, 1] ** 2, 1, atol=1e-5)
    assert (
        abs(np.arctan2(starts[:, 3], starts[:, 4]).std() - 0.1) < 0.02
        and abs(starts[:, 5].std() - 0.01) < 0.002
    )
    assert world.h == 0.01 and world.substeps == 2


def test_a_cheetah_is_rewarded_beyond_five_meters() -> None:
    task = SparseHalfCheetah()
    seen, _ = task.reset(seed=0)
    assert math.isclose(task.dt, 0.01) and task.skip == 1
    for x, paid in ((4.0, 0.0), (6.0, 1.0)):
        task.reset(seed=0)
        task.data.qpos[0] = x
        seen, reward, over, cut, _ = task.step(np.zeros(6))
        body = task.model.body("torso").id
        whole = (
            sum(task.model.body_mass[i] * task.data.xipos[i] for i in range(body, task.model.nbody))
            / task.model.body_mass[body:].sum()
        )
        assert np.allclose(seen[17:], whole) and abs(whole[0] - x) < 0.3
        assert (reward, over, cut) == (paid, False, False)
        assert np.array_equal(seen[:8], task.data.qpos[1:]) and np.array_equal(
            seen[8:17], task.data.qvel
        )


def test_sensors_see_the_nearest_object_in_each_tenth_of_the_half_circle_ahead() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        x, y, heading = *rng.uniform(-7, 7, 2), rng.uniform(-10, 10)
        objects = [LATTICE[i] for i in rng.permutation(len(LATTICE))[:8]]
        expected = np.zeros(10)
        for i in range(10):
            low, high = (
                heading - math.pi / 2 + i * math.pi / 10,
                heading - math.pi / 2 + (i + 1) * math.pi / 10,
            )
            for a, b in objects:
                left_of_low = math.cos(low) * (b - y) - math.sin(low) * (a - x) >= 0
                right_of_high = math.cos(high) * (b - y) - math.sin(high) * (a - x) < 0
                if left_of_low and right_of_high and math.dist((a, b), (x, y)) <= 6:
                    expected[i] = max(expected[i], 1 - math.dist((a, b), (x, y)) / 6)
        assert np.allclose(readings(objects, x, y, heading), expected)
    assert readings([(0, 2)], 0.0, 0.0, 0.0)[9] > 0 and readings([(0, -2)], 0.0, 0.0, 0.0)[0] > 0, (
        "the edges of sight"
    )
    assert readings([(-2, 0)], 0.0, 0.0, 0.0) == [0.0] * 10 == readings([(6, 4)], -1.0, 0.0, 0.0)


def test_a_swimmer_eats_what_it_reaches() -> None:
    task = SwimmerGather()
    assert (
        math.isclose(task.dt, 0.05)
        and not task.model.geom_contype.any()
        and task.model.opt.density == 4000
    )
    assert math.isclose(
        task.model.body_mass.sum(),
        3 * 1000 * (math.pi * 0.01 + 4 / 3 * math.pi * 0.001),
        rel_tol=1e-6,
    )
    assert len(LATTICE) == 35 and min(map(min, LATTICE)) == -6 and max(map(max, LATTICE)) == 4
    seen, _ = task.reset(seed=1)
    assert len({*task.apples, *task.bombs}) == 16
    x, y, _ = task.center
    assert np.allclose(seen[13:23], readings(task.apples, x, y, task.data.qpos[2])) and np.allclose(
        seen[10:13], task.center
    )
    assert np.allclose(seen[23:], readings(task.bombs, x, y, task.data.qpos[2])) and np.array_equal(
        seen[:5], task.data.qpos
    )
    here = (round(x), round(y))
    for apples, bombs, reward, over in (
        ([here, (4, 4)], [], 1.0, False),
        ([(4, 4)], [here], -1.0, False),
        ([here], [here], 0.0, True),
        ([here], [], 1.0, True),
    ):
        task.reset(seed=1)
        task.apples, task.bombs = list(apples), list(bombs)
        assert task.step(np.zeros(2))[1:3] == (reward, over)
        assert here not in task.apples + task.bombs
    task.reset(seed=1)
    for t in range(150):  # a wave that travels along the body swims
        task.step(np.array([math.sin(math.tau * t / 60), math.sin(math.tau * t / 60 - 1.2)]))
    assert math.hypot(*task.center[:2]) > 0.4


def random_returns(name: str, episodes: int, substeps: int = 1) -> np.ndarray:
    """Returns of episodes with actions that are normal and clipped."""
    env, rng, returns = SINGLE[name](substeps=substeps), np.random.default_rng(0), []
    for seed in range(episodes):
        env.reset(seed=seed)
        total = 0.0
        for action in rng.standard_normal((HORIZON, 1)):
            _, reward, terminated, _, _ = env.step(action)
            total += reward
            if terminated:
                break
        returns.append(total)
    return np.array(returns)


@pytest.mark.slow
def test_random_actions_earn_nothing() -> None:
    assert random_returns("SparseMountainCar", 300).sum() == 0
    assert random_returns("SparseCartPoleSwingup", 300).sum() == 0
    assert random_returns("SparseCartPoleSwingup", 300, substeps=10).sum() > 0, (
        "the engine's drag is what makes it hard"
    )
    assert (
        15 < random_returns("SparseDoublePendulum", 100).mean() < 50
    )  # of 500, the one task where rng is paid a little
    for task, episodes in ((SparseHalfCheetah(), 4), (SwimmerGather(), 2)):
        rng, paid = np.random.default_rng(0), 0.0
        for seed in range(episodes):
            task.reset(seed=seed)
            paid += abs(
                sum(task.step(rng.standard_normal(task.action_space.shape))[1] for _ in range(500))
            )
        assert paid == 0 if isinstance(task, SparseHalfCheetah) else paid <= 2


@pytest.mark.parametrize("name", SINGLE)
def test_flat_worlds_are_drawn_on_any_machine(name: str) -> None:
    task = SINGLE[name]("rgb_array")
    task.reset(seed=0)
    pictures = []
    for _ in range(2):
        pictures.append(task.render())
        for _ in range(10):
            task.step([1.0])
    assert pictures[0].dtype == np.uint8 and pictures[0].ndim == 3 and pictures[0].shape[2] == 3
    assert len(np.unique(pictures[0].reshape(-1, 3), axis=0)) > 10 and not np.array_equal(*pictures)


def test_a_body_that_cannot_be_drawn_says_so() -> None:
    code = (
        "from zeuxis.rl.environments.sparse.swimmer_gather import SwimmerGather; t = "
        "SwimmerGather('rgb_array'); t.reset(seed=0); t.render()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"MUJOCO_GL": "disable", "PYTHONPATH": ":".join(sys.path)},
    )
    last = done.stderr.strip().splitlines()[-1]
    assert (
        done.returncode
        and "SwimmerGather' cannot be drawn here" in last
        and "MUJOCO_GL=egl" in last
    )


DRAW = """
import sys
import numpy as np
from zeuxis.errors import UsageError
from zeuxis.rl.environments.sparse.half_cheetah import SparseHalfCheetah
from zeuxis.rl.environments.sparse.swimmer_gather import SwimmerGather
pictures = []
try:
    for kind in (SparseHalfCheetah, SwimmerGather):
        task = kind("rgb_array")
        task.reset(seed=0)
        pictures.append(task.render())
except UsageError as error:
    print(error)
else:
    task.apples, task.bombs = [], []
    np.savez(sys.argv[1], *pictures, task.render())
"""


@pytest.mark.slow
def test_bodies_are_drawn_where_the_machine_can(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRAW, str(tmp_path / "drawn.npz")], capture_output=True, text=True
    )
    if "cannot be drawn here" in done.stdout:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "drawn.npz") as file:
        cheetah, swimmer, alone = (file[name] for name in file.files)
    assert all(
        picture.shape == (320, 480, 3) and picture.std() > 10 for picture in (cheetah, swimmer)
    )
    for drawn, expected in ((swimmer, True), (alone, False)):
        red, green = (
            (drawn[..., i] > 1.5 * drawn[..., 1 - i]) & (drawn[..., i] > 80) for i in (0, 1)
        )
        assert bool(red.sum() > 200 and green.sum() > 200) == expected
