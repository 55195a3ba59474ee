"""The environments, held to Gymnasium's checker, to each other, and to a real client."""

from __future__ import annotations

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import archwalk
from archwalk.config import WalkSettings
from archwalk.envs.gym import WalkEnv, WalkVectorEnv
from archwalk.errors import ArchwalkError, SettingsError
from archwalk.tasks import Benchmark
from tests.conftest import tiny_benchmark


@pytest.mark.parametrize("tokens", ["slots", "graph"])
def test_gymnasium_check_env_has_no_complaint(synthetic: Benchmark, tokens: str) -> None:
    env = gymnasium.make("archwalk/Walk-v0", benchmark=synthetic, task="alpha", tokens=tokens)
    check_env(env.unwrapped)  # warnings are errors


def test_gymnasium_finds_both_by_module_and_name() -> None:
    code = (
        "import gymnasium\n"
        "name = 'archwalk.envs.gym:archwalk/Walk-v0'\n"
        "gymnasium.make(name, benchmark='synthetic', task='beta').reset(seed=0)\n"
        "many = gymnasium.make_vec(name, num_envs=3, vectorization_mode='vector_entry_point',"
        " benchmark='synthetic', task='beta')\n"
        "assert many.reset(seed=0)[0].shape == (3, 19, 24)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_walk_by_hand() -> None:
    benchmark = tiny_benchmark()
    env = archwalk.make_env(benchmark, "main", walk=WalkSettings(step_limit=3), keep_truncates=True)
    observation, info = env.reset(seed=1, options={"architecture": "x,p,1,u"})
    assert observation.shape == (8, 11)
    assert info["architecture"] == "x,p,1,u" == env.render()
    assert observation[0].tolist() == [1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0]
    assert info["action_mask"].tolist() == [1] * 8
    _, reward, terminated, truncated, info = env.step(1)
    assert info["architecture"] == benchmark.architectures[benchmark.neighbours[0][0]]
    assert reward == pytest.approx(benchmark.reward("main")[benchmark.index(info["architecture"])])
    assert not terminated
    assert not truncated
    *_, terminated, truncated, info = env.step(0)
    assert (terminated, truncated, info["kept"]) == (False, True, True)


def test_keeping_terminates_and_the_limit_truncates() -> None:
    env = archwalk.make_env(tiny_benchmark(), "main", walk=WalkSettings(step_limit=2))
    env.reset(seed=0)
    assert env.step(1)[2:4] == (False, False)
    assert env.step(1)[2:4] == (False, True)
    env.reset(seed=0)
    assert env.step(0)[2:4] == (True, False)


def test_a_masked_action_is_refused() -> None:
    env = archwalk.make_env(tiny_benchmark(keep=12), "main")
    for seed in range(20):
        _, info = env.reset(seed=seed)
        gone = np.flatnonzero(info["action_mask"] == 0)
        if len(gone):
            with pytest.raises(ArchwalkError, match="action_mask"):
                env.step(int(gone[0]))
            return
    pytest.fail("no start with a masked action")


def test_vector_environment_is_many_single_ones() -> None:
    benchmark, limit = tiny_benchmark(), WalkSettings(step_limit=4)
    many = WalkVectorEnv(benchmark, "main", 6, walk=limit)
    assert many.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    singles = [WalkEnv(benchmark, "main", walk=limit) for _ in range(6)]
    observation, info = many.reset(seed=3)
    for i, env in enumerate(singles):
        seen, _ = env.reset(options={"architecture": info["architecture"][i]})
        assert np.array_equal(seen, observation[i])
    g = np.random.default_rng(0)
    ended, restarts = np.zeros(6, dtype=bool), 0
    for _ in range(40):
        actions = g.integers(0, 8, 6)
        observation, reward, terminated, truncated, info = many.step(actions)
        for i, env in enumerate(singles):
            if ended[i]:  # this call began a new walk
                restarts += 1
                assert reward[i] == 0
                assert not terminated[i]
                assert not truncated[i]
                assert not info["kept"][i]
                seen, _ = env.reset(options={"architecture": info["architecture"][i]})
            else:
                seen, r, d, t, single = env.step(int(actions[i]))
                assert reward[i] == pytest.approx(r)
                assert (terminated[i], truncated[i], info["kept"][i]) == (d, t, single["kept"])
                assert info["architecture"][i] == single["architecture"]
            assert np.array_equal(seen, observation[i])
        ended = terminated | truncated
    assert restarts > 10


def test_seeds_decide(synthetic: Benchmark) -> None:
    env = archwalk.make_env(synthetic, "alpha")
    first = [env.reset(seed=s)[1]["architecture"] for s in (0, 1, 0)]
    assert first[0] == first[2] != first[1]
    assert env.reset()[1]["architecture"] != first[0]  # goes on in the stream


def test_stable_baselines_dqn_trains_on_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own imports are not ours to mend
        from stable_baselines3 import DQN

        env = gymnasium.make("archwalk/Walk-v0", benchmark=tiny_benchmark(), task="main", keep_truncates=True)
        model = DQN(
            "MlpPolicy",
            env,
            learning_rate=1e-3,
            gamma=0.9,
            learning_starts=200,
            exploration_fraction=0.5,
            target_update_interval=200,
            policy_kwargs={"net_arch": [64]},
            seed=0,
            device="cpu",
        )
        model.learn(4_000)
        rewards = []
        for seed in range(40):
            observation, _ = env.reset(seed=seed)
            for _ in range(10):
                action, _ = model.predict(observation, deterministic=True)
                observation, reward, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    break
            rewards.append(reward)
    mean = tiny_benchmark().reward("main").mean()
    assert np.mean(rewards) > mean + 0.1  # it learned to move to better ones


def test_action_masks_are_where_learners_look_for_them() -> None:
    env = archwalk.make_env(tiny_benchmark(keep=12), "main")
    many = archwalk.make_vec_env(tiny_benchmark(keep=12), "main", 4)
    for one in (env, many):
        with pytest.raises(SettingsError, match="reset"):
            one.action_masks()
    _, info = env.reset(seed=0)
    for _ in range(30):
        assert env.action_masks().dtype == np.bool_
        assert np.array_equal(env.action_masks(), info["action_mask"].astype(bool))
        action = env.action_space.sample(mask=env.action_masks().astype(np.int8))  # as a masking learner acts
        *_, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            _, info = env.reset()
    _, info = many.reset(seed=0)
    assert np.array_equal(many.action_masks(), info["action_mask"].astype(bool))
    wrapped = gymnasium.make("archwalk/Walk-v0", benchmark=tiny_benchmark(), task="main")
    wrapped.reset(seed=0)
    assert wrapped.get_wrapper_attr("action_masks")().all()


@pytest.mark.parametrize("tokens", ["slots", "graph"])
@pytest.mark.parametrize("keep_truncates", [False, True])
def test_gymnasium_accepts_whatever_keeping_is_reported_as(tokens: str, keep_truncates: bool) -> None:
    for benchmark, task in ((tiny_benchmark(), "main"), ("digits", "jigsaw")):
        options = {"tokens": tokens, "keep_truncates": keep_truncates}
        env = gymnasium.make("archwalk/Walk-v0", benchmark=benchmark, task=task, **options)
        check_env(env.unwrapped)


def test_samples_are_uniform_and_obey_a_mask() -> None:
    space = archwalk.make_env(tiny_benchmark(), "main").action_space
    space.seed(0)
    counts = np.bincount([space.sample() for _ in range(4_000)], minlength=space.n)
    assert len(counts) == space.n
    assert abs(counts / 4_000 - 1 / space.n).max() < 0.03
    mask = np.zeros(space.n, dtype=np.int8)
    mask[0] = 1
    assert {int(space.sample(mask=mask)) for _ in range(20)} == {0}


def test_a_masking_learner_of_another_library_trains_and_is_evaluated() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own imports are not ours to mend
        from sb3_contrib import MaskablePPO

        benchmark = tiny_benchmark(keep=30)  # most neighbours of an architecture are missing
        env = archwalk.make_env(benchmark, "main", keep_truncates=True)
        model = MaskablePPO(
            "MlpPolicy", env, n_steps=256, batch_size=64, gamma=0.9, learning_rate=2e-3, seed=0, device="cpu"
        )

        def score() -> float:
            def policy(seen: np.ndarray, mask: np.ndarray) -> np.ndarray:
                return model.predict(seen, action_masks=mask, deterministic=True)[0]

            return archwalk.evaluate_policy(policy, benchmark, "main", batched=True).validation_score

        before = score()
        model.learn(2_048)
    assert score() > max(before + 0.1, 0.5)


def test_actions_that_do_not_exist_are_refused_and_change_nothing() -> None:
    benchmark = tiny_benchmark()
    env, many = archwalk.make_env(benchmark, "main"), archwalk.make_vec_env(benchmark, "main", 3)
    for one, action in ((env, 0), (many, np.zeros(3, dtype=np.int64))):
        with pytest.raises(SettingsError, match="reset"):
            one.step(action)
    _, before = env.reset(seed=0)
    for action in (999, 8, -1, 1.7, np.float64(1.0), "1", None, [1, 2], np.array([[1]]), True):
        with pytest.raises(SettingsError):
            env.step(action)
    assert env.render() == before["architecture"]
    for action in (1, np.int32(1), np.array(1), np.array([1])):
        env.reset(seed=0)
        env.step(action)
    _, before = many.reset(seed=0)
    for actions in ([1, 2, 99], [1, 2, -1], [1], 1, [1, 2], [1.0, 2.0, 3.0], [[1, 2, 3]], [1, 2, 3, 4]):
        with pytest.raises(SettingsError):
            many.step(np.array(actions))
    assert many._core.names() == before["architecture"].tolist()
    many.step(np.array([1, 2, 3]))


def test_reset_options_are_obeyed_or_refused() -> None:
    benchmark = tiny_benchmark()
    names = benchmark.architectures
    many = archwalk.make_vec_env(benchmark, "main", 3, walk=WalkSettings(step_limit=3))
    assert (
        many.reset(seed=0, options={"architecture": names[7]})[1]["architecture"].tolist() == [names[7]] * 3
    )
    chosen = [names[1], names[2], names[3]]
    assert many.reset(options={"architecture": chosen})[1]["architecture"].tolist() == chosen
    many.step(np.array([1, 1, 0]))  # the third has ended
    before = many._core.names()
    mask = np.array([True, False, False])
    observation, info = many.reset(options={"reset_mask": mask, "architecture": names[9]})
    assert info["architecture"].tolist() == [names[9], before[1], before[2]]
    assert np.array_equal(observation, many._core.observe())
    assert many._core.walks.age.tolist() == [0, 1, 1]
    single = WalkEnv(benchmark, "main")
    seen, _ = single.reset(options={"architecture": names[9]})
    assert np.array_equal(seen, observation[0])
    *_, info = many.step(np.array([0, 2, 1]))
    assert info["kept"].tolist() == [True, False, False]  # the third began anew, as it was due to
    for options in (
        {"reset_mask": [True, False]},
        {"reset_mask": np.array([1, 0, 0])},
        {"reset_mask": np.zeros(3, dtype=bool)},
        {"architecture": names[:2]},
        {"architecture": "nowhere"},
        {"architectures": names[0]},
    ):
        before = many._core.names()
        with pytest.raises(ArchwalkError):
            many.reset(options=options)
        assert many._core.names() == before
    with pytest.raises(ArchwalkError, match="reset option among: architecture"):
        single.reset(options={"start": names[0]})
    with pytest.raises(SettingsError, match="reset"):
        archwalk.make_vec_env(benchmark, "main", 3).reset(options={"reset_mask": mask})


@pytest.mark.parametrize("seed", [0, np.int64(5), 2**63 - 1, 2**64 + 1, 10**30])
def test_any_seed_from_0_is_taken(seed: int) -> None:
    for env in (
        archwalk.make_env(tiny_benchmark(), "main"),
        archwalk.make_vec_env(tiny_benchmark(), "main", 3),
    ):
        first, again = (np.asarray(env.reset(seed=seed)[1]["architecture"]).tolist() for _ in range(2))
        assert first == again


@pytest.mark.parametrize("seed", [-1, 1.5, "3", [1, 2, 3]])
def test_other_seeds_are_refused(seed: object) -> None:
    for env in (
        archwalk.make_env(tiny_benchmark(), "main"),
        archwalk.make_vec_env(tiny_benchmark(), "main", 3),
    ):
        with pytest.raises(SettingsError, match="seed"):
            env.reset(seed=seed)
