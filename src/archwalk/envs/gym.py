"""Gymnasium environments over the same dynamics: one walk, or a batch of them.

In: a benchmark and a task. Out: ``WalkEnv`` and ``WalkVectorEnv``, registered as ``archwalk/Walk-v0`` when
this module is imported; ``gymnasium.make("archwalk.envs.gym:archwalk/Walk-v0", benchmark=..., task=...)``
imports it by itself. For other libraries; archwalk's own training loop uses ``process`` directly.
"""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any, SupportsIndex

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from archwalk.config import ObservationSettings, RewardSettings, Settings, WalkSettings
from archwalk.envs.build import task_process
from archwalk.envs.process import Walks, restart, start, take
from archwalk.envs.tokens import check_plain
from archwalk.errors import SettingsError, unknown
from archwalk.spaces.base import PAD
from archwalk.spaces.tokens import PlainKind
from archwalk.tasks.base import Predicted
from archwalk.tasks.registry import load_benchmark
from archwalk.tasks.table import Benchmark

__all__ = [
    "WalkEnv",
    "WalkVectorEnv",
    "make_env",
    "make_vec_env",
]

SeedLike = Any  # a whole number from 0, of Python or numpy; anything else is refused


class Actions(gymnasium.spaces.Discrete):
    """The actions; keeping, action 0, is the last that a generator's numbers stand for, not the first.

    Samples are as uniform as they were. Gymnasium's ``check_env`` takes the step of one certain draw, a small
    one, and refuses an environment that truncates there, which keeping does where it truncates.
    """

    def sample(self, mask: Any = None, probability: Any = None) -> np.int64:
        """A random action, of those that a mask allows."""
        drawn = super().sample(mask, probability)
        return drawn if mask is not None or probability is not None else (drawn + 1) % self.n


class _Core:
    """What both environments share: a process, how it is seen, and where walks stand."""

    def __init__(
        self,
        benchmark: str | Path | Benchmark | Predicted,
        task: str,
        tokens: PlainKind,
        walk: WalkSettings | None,
        reward: RewardSettings | None,
        keep_truncates: bool,
    ) -> None:
        opened = load_benchmark(benchmark) if isinstance(benchmark, str | Path) else benchmark
        check_plain(tokens)
        self.task, self.keep_truncates = task, keep_truncates
        settings = Settings(
            walk=walk or WalkSettings(),
            reward=reward or RewardSettings(),
            observation=ObservationSettings(tokens=tokens),
        )
        self.process = task_process(opened, task, settings)
        self.generator = torch.Generator()
        self.walks = Walks(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))
        self.offered = torch.zeros(0, self.process.actions, dtype=torch.long)
        self.action_space = Actions(self.process.actions)
        shape = (self.process.actions, self.process.features)
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, shape, np.float32)

    def seed(self, seed: int | None) -> None:
        """Seed all randomness. Raises ``SettingsError`` for a negative seed."""
        if seed is None:
            if not len(self.walks.architecture):
                self.generator.seed()
            return
        if seed < 0:
            raise SettingsError("a seed of at least 0", str(seed), "choose another")
        if seed >= 2**63:  # more than the generator takes
            seed = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1)
        self.generator.manual_seed(seed)

    def start(self, walks: int, seed: int | None) -> None:
        self.seed(seed)
        self.walks = start(self.process, walks, self.generator)
        self.offered = self.process.offer(self.walks.architecture, self.generator)

    def move(self, which: Tensor, to: Tensor) -> None:
        """Put some walks, [walks] bool, at the beginning of a walk from given states, [some]."""
        self.walks.architecture[which], self.walks.age[which] = to, 0
        self.offered[which] = self.process.offer(to, self.generator)

    def begun(self) -> None:
        """Raises ``SettingsError`` before the first ``reset``."""
        if not len(self.walks.architecture):
            raise SettingsError("reset before anything else", "no walk under way", "call reset first")

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reward, terminated, truncated; the walks stand at, and are offered, what follows."""
        wrong = (action < 0) | (action >= self.process.actions)
        if bool(wrong.any()):
            raise SettingsError(
                f"an action from 0 to {self.process.actions - 1}",
                f"{int(action[wrong][0])}",
                "choose another",
            )
        taken = self.offered.gather(1, action[:, None]).squeeze(1)
        if bool((taken == PAD).any()):
            exists = int((self.offered != PAD).sum(1)[taken == PAD][0])
            raise SettingsError(
                f"an action below {exists}, as info['action_mask'] says",
                f"{int(action[taken == PAD][0])}, which is masked",
                "mask the actions: only those with action_mask 1 exist",
            )
        outcome = take(self.process, self.walks, self.offered, action)
        self.offered = self.process.offer(outcome.architecture, self.generator)
        if not self.keep_truncates:
            return outcome.reward, outcome.terminated, outcome.truncated
        none = torch.zeros_like(outcome.terminated)
        return outcome.reward, none, outcome.terminated | outcome.truncated

    def observe(self) -> NDArray[np.float32]:
        seen = self.process.observe(self.walks.architecture, self.offered, self.generator)
        return (seen.float() * (self.offered != PAD)[..., None]).numpy()

    def mask(self) -> NDArray[np.int8]:
        return (self.offered != PAD).numpy().astype(np.int8)

    def names(self) -> list[str]:
        return self.process.names(self.walks.architecture)


def _actions(given: Any, walks: int) -> Tensor:
    """Actions as whole numbers, one a walk, [walks]."""
    array = np.asarray(given)
    if array.dtype.kind not in "iu" or array.shape not in ((walks,), *([()] if walks == 1 else [])):
        raise SettingsError(
            f"{walks} action{'s' if walks > 1 else ''}, whole number{'s' if walks > 1 else ''}",
            f"{given!r:.80}, of the type {array.dtype} and shape {array.shape}",
            "give one a walk, as action_space.sample() does",
        )
    return torch.from_numpy(array.astype(np.int64).reshape(walks))


def _whole_seed(seed: Any) -> int | None:
    if seed is None or isinstance(seed, SupportsIndex):
        return None if seed is None else operator.index(seed)
    raise SettingsError("a seed that is one whole number", f"{seed!r:.80}", "all walks share one stream")


def _known(options: dict[str, Any] | None, names: tuple[str, ...]) -> dict[str, Any]:
    for name in options or {}:
        if name not in names:
            raise SettingsError(*unknown("reset option", str(name), names))
    return options or {}


class WalkEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One walk over a benchmark's architectures.

    Observation: the tokens of what is offered, float32 [actions, features], the current architecture first,
    zero rows where an action does not exist. Action 0 keeps the current architecture and ends the walk;
    action k takes the k-th neighbour. Reward: the shaped validation metric of where the action leads.
    ``info``: ``action_mask`` (int8 [actions], 1 where an action exists), ``architecture`` (its string) and
    ``kept`` (the walk ended by its own choice).

    Keeping is reported as ``terminated``, the step limit as ``truncated``. This process cuts no value off in
    either case (partial-episode bootstrapping, Pardo et al. 2018), but most learners bootstrap only where a
    walk is truncated, and then learn never to keep, or to keep at once where rewards are negative. With
    ``keep_truncates`` both ends are reported as ``truncated``, which trains them right.

    Args:
        benchmark: name, file or object.
        task: whose metric is the reward.
        tokens: ``slots`` or ``graph``.
        walk: limits; the published ones by default.
        reward: shaping; the published one by default.
        keep_truncates: see above.

    Raises:
        ArchwalkError: an unknown benchmark or task, or unusable rewards; ``step`` before ``reset``, or with
            an action that is masked, out of range or no whole number.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        benchmark: str | Path | Benchmark | Predicted,
        task: str,
        *,
        tokens: PlainKind = "slots",
        walk: WalkSettings | None = None,
        reward: RewardSettings | None = None,
        keep_truncates: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self._core = _Core(benchmark, task, tokens, walk, reward, keep_truncates)
        self.observation_space = self._core.observation_space
        self.action_space = self._core.action_space
        self.render_mode = render_mode

    def reset(
        self, *, seed: SeedLike = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin at a uniform start, or at ``options={"architecture": string}``."""
        asked = _known(options, ("architecture",))
        at = self._core.process.states([asked["architecture"]]) if "architecture" in asked else None
        seed = _whole_seed(seed)
        self._core.seed(seed)  # refuses before anything has changed
        super().reset(seed=seed)
        self._core.start(1, seed)
        if at is not None:
            self._core.move(torch.ones(1, dtype=torch.bool), at)
        return self._core.observe()[0], self._info(kept=False)

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One step; raises ``SettingsError`` for an action that does not exist."""
        self._core.begun()
        taken = _actions(action, 1)
        reward, terminated, truncated = self._core.step(taken)
        info = self._info(kept=int(taken[0]) == 0)
        return self._core.observe()[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions exist now, [actions], where sb3-contrib's MaskablePPO looks for it."""
        self._core.begun()
        return self._core.mask()[0].astype(np.bool_)

    def _info(self, kept: bool) -> dict[str, Any]:
        return {"action_mask": self._core.mask()[0], "architecture": self._core.names()[0], "kept": kept}

    def render(self) -> str:
        """The current architecture's string."""
        return self._core.names()[0]


class WalkVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """Many walks as one batch of tensor operations; the single environment's observations, stacked.

    Autoreset mode: next step. The step that ends a walk returns its last observation; the following call
    ignores that walk's action, starts a new walk and returns reward 0.

    ``info``: ``action_mask`` int8 [walks, actions], ``architecture`` object array of strings, ``kept`` bool.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        benchmark: str | Path | Benchmark | Predicted,
        task: str,
        num_envs: int = 1,
        *,
        tokens: PlainKind = "slots",
        walk: WalkSettings | None = None,
        reward: RewardSettings | None = None,
        keep_truncates: bool = False,
    ) -> None:
        self._core = _Core(benchmark, task, tokens, walk, reward, keep_truncates)
        self.num_envs = num_envs
        self.single_observation_space = self._core.observation_space
        self.single_action_space = self._core.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._ended = torch.zeros(num_envs, dtype=torch.bool)

    def reset(
        self, *, seed: SeedLike = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin all walks at uniform starts; ``seed`` seeds the whole batch.

        Args:
            seed: any whole number from 0.
            options: ``architecture``: where to begin, a string for all walks or one for each; ``reset_mask``:
                bool [walks], the walks that begin anew, while the others go on.

        Raises:
            ArchwalkError: other options, or such as do not fit.
        """
        core, n = self._core, self.num_envs
        asked, seed = _known(options, ("architecture", "reset_mask")), _whole_seed(seed)
        which = self._mask(asked.get("reset_mask"))
        at = self._places(asked["architecture"]) if "architecture" in asked else None
        if bool(which.all()):
            core.start(n, seed)
        else:
            core.seed(seed)
            core.move(which, core.process.draw(which, core.generator)[which])
        if at is not None:
            core.move(which, at[which])
        self._ended = self._ended & ~which
        return core.observe(), self._info(torch.zeros(n, dtype=torch.bool))

    def _mask(self, given: Any) -> Tensor:
        """Which walks are to begin anew, [walks]."""
        if given is None:
            return torch.ones(self.num_envs, dtype=torch.bool)
        mask = np.asarray(given)
        if mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
            raise SettingsError(
                f"reset_mask with a bool for each of {self.num_envs} walks, one of them true",
                f"{given!r:.80}",
                "correct it, or leave it out",
            )
        if not mask.all():
            self._core.begun()
        return torch.from_numpy(mask.copy())

    def _places(self, given: Any) -> Tensor:
        """The states of the architectures to begin at, [walks]."""
        names = [given] * self.num_envs if isinstance(given, str) else list(given)
        if len(names) != self.num_envs or not all(isinstance(name, str) for name in names):
            raise SettingsError(
                f"one architecture, or one for each of {self.num_envs} walks", f"{given!r:.80}", "correct it"
            )
        return self._core.process.states(names)

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions exist now, [walks, actions]."""
        self._core.begun()
        return self._core.mask().astype(np.bool_)

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """One step of every walk; raises ``SettingsError`` for an action that does not exist."""
        core, resetting = self._core, self._ended
        core.begun()
        action = torch.where(resetting, 0, _actions(actions, self.num_envs))
        reward, terminated, truncated = core.step(action)
        kept = (action == 0) & ~resetting
        reward, terminated, truncated = reward * ~resetting, terminated & ~resetting, truncated & ~resetting
        restart(core.process, core.walks, resetting, core.generator)
        core.offered[resetting] = core.process.offer(core.walks.architecture[resetting], core.generator)
        self._ended = terminated | truncated
        observation = core.observe()
        return observation, reward.numpy(), terminated.numpy(), truncated.numpy(), self._info(kept)

    def _info(self, kept: Tensor) -> dict[str, Any]:
        names = np.array(self._core.names(), dtype=object)
        return {"action_mask": self._core.mask(), "architecture": names, "kept": kept.numpy().copy()}


def make_env(
    benchmark: str | Path | Benchmark | Predicted,
    task: str,
    *,
    tokens: PlainKind = "slots",
    walk: WalkSettings | None = None,
    reward: RewardSettings | None = None,
    keep_truncates: bool = False,
    render_mode: str | None = None,
) -> WalkEnv:
    """A single environment; options as in ``WalkEnv``."""
    return WalkEnv(
        benchmark,
        task,
        tokens=tokens,
        walk=walk,
        reward=reward,
        keep_truncates=keep_truncates,
        render_mode=render_mode,
    )


def make_vec_env(
    benchmark: str | Path | Benchmark | Predicted,
    task: str,
    num_envs: int,
    *,
    tokens: PlainKind = "slots",
    walk: WalkSettings | None = None,
    reward: RewardSettings | None = None,
    keep_truncates: bool = False,
) -> WalkVectorEnv:
    """A batched environment; options as in ``WalkVectorEnv``."""
    return WalkVectorEnv(
        benchmark,
        task,
        num_envs,
        tokens=tokens,
        walk=walk,
        reward=reward,
        keep_truncates=keep_truncates,
    )


gymnasium.register(
    "archwalk/Walk-v0",
    entry_point="archwalk.envs.gym:WalkEnv",
    vector_entry_point="archwalk.envs.gym:WalkVectorEnv",
)
