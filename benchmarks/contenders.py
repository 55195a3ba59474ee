"""DQN on the walks of a benchmark in the frameworks a user would otherwise take, for `frameworks.py`.

All train the same network on the same walks: one-step targets r + γ max Q_target (no double Q-learning),
Huber loss, Adam, gradients clipped to the same norm, a copy to the target network every so many trained
steps, 256 walks, uniform replay of 25,000 transitions, and epsilon 0.1. Observations are the tokens
themselves, since that is what these frameworks store. Each is given one batched environment over archwalk's
own walk dynamics, so none of them pays for a Python loop over 256 environments.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import gymnasium
import numpy as np
import torch
from rounds import System, endless, periods
from torch import Tensor, nn
from torch.nn import functional as F

from archwalk.agents.networks import QNetwork
from archwalk.config import Settings
from archwalk.envs import make_process, restart, shaped_rewards, start, take
from archwalk.envs.gym import WalkVectorEnv
from archwalk.seeding import make_generator
from archwalk.spaces.tokens import make_tokens
from archwalk.tasks import Benchmark, load_benchmark
from archwalk.training.loop import Loop

WALKS, BATCH, CAPACITY, EPSILON = 256, 256, 25_000, 0.1


@dataclass(frozen=True)
class Problem:
    """What all systems are given.

    Attributes:
        benchmark: name or file.
        task: whose metric is the reward.
        settings: a preset, with the walks and batches of this comparison.
        shipped: the preset as it is.
        ratio: sampled steps a trained step.
    """

    benchmark: str
    task: str
    settings: Settings
    shipped: Settings
    ratio: float

    def open(self) -> Benchmark:
        return load_benchmark(self.benchmark)

    @property
    def rhythm(self) -> tuple[int, int]:
        """Steps of all walks, and the updates that follow them."""
        ratio = Fraction(self.ratio * BATCH / WALKS).limit_denominator(16)
        return ratio.numerator, ratio.denominator

    @property
    def target_updates(self) -> int:
        """Updates between two copies to the target network."""
        return max(self.settings.learner.target_period // BATCH, 1)


class Walking:
    """Walks as one batch that starts anew within the step that ends a walk; both ends are truncations.

    A masked action is taken modulo the number of actions that exist, for the frameworks that cannot mask.
    """

    def __init__(self, problem: Problem) -> None:
        benchmark, settings = problem.open(), problem.settings
        rewards = shaped_rewards(benchmark, problem.task, settings.reward)
        self.process = make_process(benchmark, rewards, settings.walk)
        self.tokens = make_tokens(benchmark.space, settings.observation.tokens, benchmark.rows)
        self.masked = bool((self.process.choices < 0).any())
        self.generator = make_generator(0, "walking")
        self.shape = (self.process.actions, self.tokens.features)
        self.observations = gymnasium.spaces.Box(0.0, 1.0, self.shape, np.float32)
        self.actions = gymnasium.spaces.Discrete(self.process.actions)

    def network(self, problem: Problem) -> Seeing:
        weights = make_generator(0, "weights")
        return Seeing(QNetwork(self.tokens.features, problem.settings.network, weights), self.masked)

    def seen(self, offered: Tensor) -> Tensor:
        tokens = self.tokens.rows[self.tokens.draw(offered, self.generator)].float()
        return tokens * (offered >= 0)[..., None] if self.masked else tokens

    def reset(self) -> Tensor:
        self.walks = start(self.process, WALKS, self.generator)
        self.offered = self.process.offer(self.walks.architecture, self.generator)
        return self.seen(self.offered)

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is seen after restarts, reward, ended, and what the step led to."""
        action = action % (self.offered >= 0).sum(1) if self.masked else action
        outcome = take(self.process, self.walks, self.offered, action)
        ended = outcome.terminated | outcome.truncated
        self.offered = self.process.offer(outcome.architecture, self.generator)
        last = self.seen(self.offered)
        restart(self.process, self.walks, ended, self.generator)
        fresh = ended.nonzero().squeeze(1)
        self.offered[fresh] = self.process.offer(self.walks.architecture[fresh], self.generator)
        now = last.clone()
        now[fresh] = self.seen(self.offered[fresh])
        return now, outcome.reward, ended, last


class Seeing(nn.Module):
    """The Q-network on observations; an action whose token is all zeros does not exist."""

    def __init__(self, network: QNetwork, masked: bool) -> None:
        super().__init__()
        self.network, self.masked = network, masked

    def forward(self, seen: Tensor) -> Tensor:
        exists = (seen != 0).any(-1) if self.masked else None
        q: Tensor = self.network(seen, exists)
        return q


class Archwalk(System):
    """archwalk's own loop; prioritised replay, and Q-values of frozen parameters computed once a state."""

    def __init__(self, problem: Problem, shipped: bool = False, **training: Any) -> None:
        settings = (problem.shipped if shipped else problem.settings).replace(training=training)
        self.loop = Loop(problem.open(), problem.task, endless(settings), seed=0)
        self.periods = periods(self.loop)
        next(self.periods)
        self.facts = {"parameters": sum(p.numel() for p in self.loop.agent.values.network.parameters())}

    def train(self, seconds: float) -> tuple[int, float]:
        steps, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            steps += next(self.periods)
        return steps, time.perf_counter() - began


class Rounds(System):
    """A framework: so many steps of all walks, then so many updates, until the time is over."""

    facts: dict[str, Any] = {}  # noqa: RUF012
    problem: Problem

    def warm(self) -> None:
        """Fill the replay with a few batches and train once."""
        self.collect(-(-problem_warmup(self.problem) // WALKS))
        self.update(self.problem.rhythm[1])

    def collect(self, steps: int) -> None:
        raise NotImplementedError

    def update(self, times: int) -> None:
        raise NotImplementedError

    def train(self, seconds: float) -> tuple[int, float]:
        steps, updates = self.problem.rhythm
        trained, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            self.collect(steps)
            self.update(updates)
            trained += updates * BATCH
        return trained, time.perf_counter() - began


def problem_warmup(problem: Problem) -> int:
    """Steps walked before the first update."""
    return min(problem.settings.replay.warmup, CAPACITY // 2)


class Plain(Rounds):
    """A DQN as one would write it in a single file."""

    def __init__(self, problem: Problem) -> None:
        self.problem, learner = problem, problem.settings.learner
        self.walking = Walking(problem)
        self.online, self.target = self.walking.network(problem), self.walking.network(problem)
        self.adam = torch.optim.Adam(self.online.parameters(), lr=learner.learning_rate)
        self.seen = torch.zeros(CAPACITY, *self.walking.shape, dtype=torch.uint8)  # tokens are binary
        self.after = torch.zeros_like(self.seen)
        self.action = torch.zeros(CAPACITY, dtype=torch.long)
        self.reward = torch.zeros(CAPACITY)
        self.stored = self.updates = 0
        self.now = self.walking.reset()
        self.warm()

    def collect(self, steps: int) -> None:
        for _ in range(steps):
            with torch.no_grad():
                q = self.online(self.now)
            exists = (q > -torch.inf).float()
            explore = torch.rand(WALKS) < EPSILON
            action = torch.where(explore, torch.multinomial(exists, 1).squeeze(1), q.argmax(1))
            now, reward, _, last = self.walking.step(action)
            slots = torch.arange(self.stored, self.stored + WALKS) % CAPACITY
            self.seen[slots], self.after[slots] = self.now.byte(), last.byte()
            self.action[slots], self.reward[slots] = action, reward
            self.stored += WALKS
            self.now = now

    def update(self, times: int) -> None:
        learner = self.problem.settings.learner
        for _ in range(times):
            if self.updates % self.problem.target_updates == 0:
                self.target.load_state_dict(self.online.state_dict())
            self.updates += 1
            batch = torch.randint(min(self.stored, CAPACITY), (BATCH,))
            with torch.no_grad():
                value = self.target(self.after[batch].float()).amax(1)
                y = self.reward[batch] + learner.discount * value  # no end cuts the value off
            q = self.online(self.seen[batch].float()).gather(1, self.action[batch][:, None]).squeeze(1)
            self.adam.zero_grad()
            F.huber_loss(q, y).backward()
            nn.utils.clip_grad_norm_(self.online.parameters(), learner.max_grad_norm)
            self.adam.step()


class StableBaselines3(Rounds):
    """stable_baselines3.DQN with a policy that holds the network."""

    def __init__(self, problem: Problem) -> None:
        from stable_baselines3 import DQN
        from stable_baselines3.common.vec_env import VecEnv
        from stable_baselines3.dqn.policies import DQNPolicy
        from stable_baselines3.dqn.policies import QNetwork as Base

        self.problem, learner = problem, problem.settings.learner
        walking = Walking(problem)
        steps, updates = problem.rhythm

        class Envs(VecEnv):
            def __init__(self) -> None:
                super().__init__(WALKS, walking.observations, walking.actions)

            def reset(self) -> np.ndarray:
                return walking.reset().numpy()

            def step_async(self, actions: np.ndarray) -> None:
                self.pending = torch.as_tensor(actions, dtype=torch.long)

            def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
                now, reward, ended, last = walking.step(self.pending)
                infos: list[dict[str, Any]] = [{} for _ in range(WALKS)]
                for i in ended.nonzero().squeeze(1).tolist():
                    infos[i] = {"terminal_observation": last[i].numpy(), "TimeLimit.truncated": True}
                return now.numpy(), reward.numpy(), ended.numpy(), infos

            def close(self) -> None: ...
            def get_attr(self, name: str, indices: Any = None) -> list[Any]:
                return [None] * WALKS

            def set_attr(self, name: str, value: Any, indices: Any = None) -> None: ...
            def env_method(self, name: str, *a: Any, indices: Any = None, **k: Any) -> list[Any]:
                return [None] * WALKS

            def env_is_wrapped(self, wrapper: Any, indices: Any = None) -> list[bool]:
                return [False] * WALKS

        class Net(Base):
            def __init__(self, *a: Any, **k: Any) -> None:
                super().__init__(*a, **k)
                self.q_net = walking.network(problem)

            def forward(self, obs: Tensor) -> Tensor:
                q: Tensor = self.q_net(obs)
                return q

        class Policy(DQNPolicy):
            def make_q_net(self) -> Net:
                arguments = self._update_features_extractor(self.net_args, features_extractor=None)
                return Net(**arguments).to(self.device)

        self.steps, self.updates = steps, updates
        self.model = DQN(
            Policy,
            Envs(),
            learning_rate=learner.learning_rate,
            buffer_size=CAPACITY,
            learning_starts=problem_warmup(problem),
            batch_size=BATCH,
            gamma=learner.discount,
            train_freq=(steps, "step"),
            gradient_steps=updates,
            target_update_interval=round(learner.target_period * problem.ratio),
            exploration_initial_eps=EPSILON,
            exploration_final_eps=EPSILON,
            max_grad_norm=learner.max_grad_norm,
            device="cpu",
            seed=0,
        )
        self.model.learn(problem_warmup(problem) + WALKS * steps, log_interval=10**9)

    def train(self, seconds: float) -> tuple[int, float]:
        before, began = self.model._n_updates, time.perf_counter()
        while time.perf_counter() - began < seconds:
            self.model.learn(WALKS * self.steps, log_interval=10**9, reset_num_timesteps=False)
        return BATCH * (self.model._n_updates - before), time.perf_counter() - began


class Tianshou(Rounds):
    """Tianshou's DQN, collector and vector buffer."""

    def __init__(self, problem: Problem) -> None:
        from tianshou.algorithm.modelfree.dqn import DQN, DiscreteQLearningPolicy
        from tianshou.algorithm.optim import AdamOptimizerFactory
        from tianshou.data import Collector, VectorReplayBuffer
        from tianshou.env import BaseVectorEnv
        from tianshou.utils.torch_utils import policy_within_training_step

        self.problem, learner = problem, problem.settings.learner
        walking, network = Walking(problem), Walking(problem).network(problem)

        class Envs(BaseVectorEnv):
            """What the collector asks of a vector environment: an ended walk starts when it says so."""

            env_num, is_async, is_closed, waiting_id = WALKS, False, False, ()

            def __init__(self) -> None:  # the base class wants one environment a walk
                self.infos = np.array([{"env_id": i} for i in range(WALKS)])

            def __len__(self) -> int:
                return WALKS

            def get_env_attr(self, key: str, id: Any = None) -> list[Any]:
                spaces = {"action_space": walking.actions, "observation_space": walking.observations}
                return [spaces.get(key)] * WALKS

            def reset(self, env_id: Any = None, **_: Any) -> tuple[np.ndarray, np.ndarray]:
                if env_id is None:
                    self.now = walking.reset()
                    return self.now.numpy(), self.infos
                return self.now[env_id].numpy(), self.infos[env_id]

            def step(self, action: Any, id: Any = None) -> tuple[np.ndarray, ...]:
                self.now, reward, ended, last = walking.step(torch.as_tensor(action, dtype=torch.long))
                none = np.zeros(WALKS, dtype=bool)
                return last.numpy(), reward.numpy(), none, ended.numpy(), self.infos

            def close(self) -> None: ...

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def forward(self, obs: Any, state: Any = None, info: Any = None) -> tuple[Tensor, Any]:
                return self.network(torch.as_tensor(obs)), state

        class Clipped(DQN):
            def _create_policy_optimizer(self, optim: Any) -> Any:
                return self._create_optimizer(self.policy, optim, max_grad_norm=learner.max_grad_norm)

        policy = DiscreteQLearningPolicy(
            model=Model(),
            action_space=walking.actions,
            observation_space=walking.observations,
            eps_training=EPSILON,
        )
        self.algorithm = Clipped(
            policy=policy,
            optim=AdamOptimizerFactory(lr=learner.learning_rate),
            gamma=learner.discount,
            n_step_return_horizon=1,
            target_update_freq=problem.target_updates,
            is_double=False,
            huber_loss_delta=1.0,
        )
        self.buffer = VectorReplayBuffer(CAPACITY, WALKS)
        self.collector = Collector(policy, Envs(), self.buffer, exploration_noise=True)
        self.training = policy_within_training_step
        self.collector.reset()
        self.warm()

    def collect(self, steps: int) -> None:
        with self.training(self.algorithm.policy):
            self.collector.collect(n_step=WALKS * steps)

    def update(self, times: int) -> None:
        with self.training(self.algorithm.policy):
            for _ in range(times):
                self.algorithm.update(buffer=self.buffer, sample_size=BATCH)


class QuietEnv(WalkVectorEnv):
    """The package's vector environment without names and masks in ``info``: the network masks by itself."""

    def _info(self, kept: Tensor) -> dict[str, Any]:
        return {}


class RLlib(System):
    """RLlib's DQN on its new API stack, everything within the driver's process."""

    def __init__(self, problem: Problem) -> None:
        import logging

        import ray
        from ray.rllib.algorithms.dqn import DQNConfig
        from ray.rllib.algorithms.dqn.torch.default_dqn_torch_rl_module import DefaultDQNTorchRLModule
        from ray.rllib.core.models.base import ENCODER_OUT
        from ray.rllib.core.rl_module.rl_module import RLModuleSpec
        from ray.tune.registry import register_env

        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        learner, walking = problem.settings.learner, Walking(problem)
        steps, _ = problem.rhythm

        class Encoder(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.seeing = walking.network(problem)

            def forward(self, batch: Any) -> dict[str, Tensor]:
                return {ENCODER_OUT: self.seeing(batch["obs"])}

        class Module(DefaultDQNTorchRLModule):
            def setup(self) -> None:
                from ray.rllib.utils.schedules.scheduler import Scheduler

                self.epsilon_schedule = Scheduler(fixed_value_or_schedule=EPSILON, framework="torch")
                self.uses_double_q, self.uses_dueling, self.num_atoms = False, False, 1
                self.encoder, self.af = Encoder(), nn.Identity()

        def make(context: Any) -> gymnasium.vector.VectorEnv:
            options = {"tokens": problem.settings.observation.tokens, "walk": problem.settings.walk}
            table, walks = problem.open(), context["num_envs"]
            return QuietEnv(
                table, problem.task, walks, reward=problem.settings.reward, keep_truncates=True, **options
            )

        register_env("walks", make)
        config = (
            DQNConfig()
            .environment("walks", observation_space=walking.observations, action_space=walking.actions)
            .env_runners(
                num_env_runners=0,
                num_envs_per_env_runner=WALKS,
                rollout_fragment_length=steps,
                gym_env_vectorize_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT,
            )
            .learners(num_learners=0, num_gpus_per_learner=0)
            .rl_module(rl_module_spec=RLModuleSpec(module_class=Module))
            .training(
                lr=learner.learning_rate,
                gamma=learner.discount,
                grad_clip=learner.max_grad_norm,
                train_batch_size_per_learner=BATCH,
                training_intensity=1 / problem.ratio,
                target_network_update_freq=round(learner.target_period * problem.ratio),
                num_steps_sampled_before_learning_starts=problem_warmup(problem),
                replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": CAPACITY},
                double_q=False,
                dueling=False,
                num_atoms=1,
                n_step=1,
                td_error_loss_fn="huber",
                epsilon=EPSILON,
            )
            .reporting(min_sample_timesteps_per_iteration=8 * WALKS * steps, min_time_s_per_iteration=0)
            .debugging(seed=0)
        )
        self.algorithm = config.build_algo()
        self.updates = 0
        update = self.algorithm.learner_group.update

        def counted(*a: Any, **k: Any) -> Any:
            self.updates += 1
            return update(*a, **k)

        self.algorithm.learner_group.update = counted
        while not self.updates:
            self.algorithm.train()
        self.facts = {}

    def train(self, seconds: float) -> tuple[int, float]:
        before, began = self.updates, time.perf_counter()
        while time.perf_counter() - began < seconds:
            self.algorithm.train()
        return BATCH * (self.updates - before), time.perf_counter() - began

    def end(self) -> dict[str, Any]:
        import ray

        with contextlib.suppress(Exception):
            self.algorithm.stop()
        ray.shutdown()
        return {}
