"""``mapping``: a source of another space, seen through what the operations of both have in common.

In: a source. Out: an agent whose network begins with the source's values, mapped and in the target's units.
Next: ``archwalk.training.loop``.

Transfer via inter-task mapping (Taylor, Stone and Liu 2007, section 3): a value function of the source
becomes one of the target through a map of states and one of actions. Here a state is an architecture, and an
action is where it leads, so one map χ of architectures does both: Q(s, a) begins as what the source thinks of
arriving at χ(x), where x is where a leads. χ is

- in the same space, or where both are shown by the same encoder: the identity. The source's weights are kept,
  and the last layers of the heads re-scaled (``scale``).
- where slots have the same names: the same choices (``spaces.correspondence``).
- elsewhere: the nearest architectures of the source's space by what their operations are (``encoding.words``)
  and where they stand. A fresh network is fitted to the mapped values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from archwalk.agents.base import Agent
from archwalk.agents.dqn.agent import DQNAgent
from archwalk.encoding.encoder import draw
from archwalk.envs.build import greedy_process
from archwalk.envs.tabular import TabularProcess
from archwalk.errors import ArchitectureError, SettingsError
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.spaces.correspondence import carry
from archwalk.tasks.table import Benchmark
from archwalk.transferring.base import APEX, Options, Schedule, Source, Target, TransferMethod, source_q
from archwalk.transferring.fitted import Fitting
from archwalk.transferring.scale import at_starts, believed, keep_of, line, own_rewards, rescaled
from archwalk.transferring.shaping import refuse_shaped

CHUNK = 2_048  # architectures described, or compared, at a time


class MappingOptions(Options):
    """How architectures are matched, and how long a fresh network is fitted."""

    nearest: int = Field(4, ge=1)
    """Architectures of the source whose values are averaged, where spaces have other slots."""
    fitting: int = Field(15_360, ge=1)
    """Trained steps of fitting a fresh network to the mapped values, where weights cannot be kept."""


def descriptions(space: SearchSpace, codes: Codes) -> NDArray[np.float32]:
    """What an architecture is made of, in the words that all spaces share, [n, d].

    The sum over the nodes of its graph of what each is, and of that times where it stands, so that what is
    the same operation in the same place is the same in every space.

    Args:
        space: theirs.
        codes: [n, slots].
    """
    parts = []
    for begin in range(0, len(codes), CHUNK):
        drawn = draw(space, codes[begin : begin + CHUNK].astype(np.int16))
        words = drawn.words[drawn.operations.clamp(min=0)] * (drawn.operations >= 0)[:, :, None]
        placed = torch.einsum("nvf,nvp->nfp", words, drawn.places).flatten(1)
        parts.append(torch.cat([words.sum(1), placed], 1).numpy())
    return np.concatenate(parts)


def nearest(wanted: NDArray[np.float32], there: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """For each of ``wanted`` the rows of ``there`` that are nearest, [n, count], every feature in units of
    its spread in ``there``; what does not vary on both sides says nothing."""
    count, spread = min(count, len(there)), there.std(0)
    varies = (wanted.std(0) > 1e-6) & (spread > 1e-6)
    if not varies.any():
        return np.tile(np.arange(count), (len(wanted), 1))
    a, b = (torch.from_numpy(x[:, varies] / spread[varies]) for x in (wanted, there))
    found = [torch.cdist(part, b).topk(count, largest=False).indices for part in a.split(CHUNK)]
    return torch.cat(found).numpy()


def mapped_rows(target: Benchmark, source: Benchmark, count: int) -> NDArray[np.int64]:
    """χ: for each architecture of a table the rows of another space's table that stand for it, [n, count].

    Args:
        target: whose architectures are wanted.
        source: whose architectures stand for them.
        count: at most, where slots differ; where they have the same names one, and the nearest ones for what
            the source does not have.
    """
    codes, others = (t.space.codes[t.rows].astype(np.int16) for t in (target, source))
    rows = nearest(descriptions(target.space, codes), descriptions(source.space, others), count)
    try:
        carried = carry(codes, target.space, source.space)
    except ArchitectureError:
        return rows
    place = {tuple(code): i for i, code in enumerate(others.tolist())}
    same = np.array([place.get(tuple(code), -1) for code in carried.tolist()])
    rows[same >= 0] = same[same >= 0][:, None]
    return rows


class Mapped(TransferMethod):
    """The source's values through a map of architectures, in the target's units.

    As it is (zero-shot), it has the source's agent in the same space, and acts by the fitted network in
    another one, which costs trained steps and no evaluation. The scale is that of the first starts.
    """

    name = "mapping"
    options = MappingOptions
    algorithms = (APEX,)
    across = True
    given: MappingOptions

    def check(self, sources: Sequence[Source], target: Target, algorithm: str) -> None:
        """Values are read; another space must be listed, and all neighbours offered, on both sides."""
        super().check(sources, target, algorithm)
        refuse_shaped(self.name, sources)
        if sources[0].foreign and not isinstance(target.benchmark, Benchmark):
            raise SettingsError(
                "a table, whose architectures are listed, for a source of another space",
                f"{target.benchmark.name} over the space {target.benchmark.space.name!r}",
                "train source and target with --observation.tokens encoded, and use --transfer initialise",
            )

    def weights(self, sources: Sequence[Source], target: Target) -> dict[str, Tensor] | None:
        """The source's, where its network sees what it knows."""
        return None if sources[0].foreign else super().weights(sources, target)

    def zero_shot_steps(self, sources: Sequence[Source], target: Target) -> int:
        """Those of fitting, where there is any."""
        return self.given.fitting if sources[0].foreign else 0

    def prepare(self, agent: Agent, sources: Sequence[Source], target: Target) -> Schedule:
        """Re-scaled weights, or a network to be fitted."""
        assert isinstance(agent, DQNAgent)
        (source,) = sources
        if source.foreign:
            return Fitting(agent, self._arrival(agent, source, target), self.given.fitting, False)
        starts, rewards = at_starts(agent)
        scale = line(believed(source, agent, starts, target.seed), rewards)
        network = agent.values.network
        network.load_state_dict(rescaled(network.state_dict(), scale, agent.settings.learner.discount))
        agent.renew()
        return Schedule()

    def _arrival(self, agent: DQNAgent, source: Source, target: Target) -> Float32[Tensor, " states"]:
        """The source's value of arriving at what stands for each architecture, in the target's units."""
        own, here = source.open_own(), target.benchmark
        assert isinstance(here, Benchmark)
        if not isinstance(own, Benchmark):
            raise SettingsError(
                "a source trained on a table, whose architectures are listed",
                f"{source.name}, trained on {own.name}", "use one, or --observation.tokens encoded",
            )  # fmt: skip
        process = greedy_process(own, source.settings)
        assert isinstance(process, TabularProcess)
        discount = source.settings.learner.discount
        q = source_q(source, process, target.seed)
        rows = torch.from_numpy(mapped_rows(here, own, self.given.nearest))
        starts, rewards = at_starts(agent)
        scale = line(own_rewards(q, discount)[rows].mean(1)[starts], rewards)
        return scale.of_values(keep_of(q)[rows].mean(1), discount).float()
