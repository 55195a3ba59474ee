"""A network trained on many tasks reads what was evaluated of this one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from archwalk.errors import SearchError
from archwalk.searching.acquisition import expected_improvement, maximise
from archwalk.searching.history import History
from archwalk.searching.incontext.agent import InContextAgent
from archwalk.searching.incontext.box import PREFIX, agent_for, boxed, open_agent
from archwalk.searching.listed import ListedProblem
from archwalk.searching.methods.gp import gp
from archwalk.searching.optimizer import FunctionOptimizer, Method
from archwalk.searching.problem import Floats, Ints, Problem

NAME = "in-context"
DIGITS = 8  # of a hash
HOPE = 2.0  # normal score that the first suggestion aims beyond
# Predicted deviations are multiplied by this: of tasks unlike those that it learned from the network is surer
# than it should be. Chosen among 1, 1.5 and 2 on the development targets.
DOUBT = 1.5
LOOKED_AT = 0.7  # share of the free architectures that a suggestion considers, so that seeds differ
FEW, PRIOR = 2_000, 1_000  # of a large table: how many any, and how many that are good by the prior
HANDED_OVER = 50  # evaluations after which the shipped default asks gp
MOST_READ = 200  # evaluations that the network reads: the last ones, and the best


class _Seen:
    """What an agent makes of the architectures of a problem before any is evaluated."""

    def __init__(self, agent: InContextAgent, problem: Problem) -> None:
        self.agent = agent
        self._all: Tensor | None = None
        if problem.listed:
            self._all = agent.embed(problem.space, problem.codes(np.arange(len(problem))).astype(np.int16))
            mean, _ = agent.predict(self._all[:0], np.empty(0), self._all)
            self.foremost = np.argsort(-mean, kind="stable")[:PRIOR]

    def vectors(self, problem: Problem, ids: Ints) -> Tensor:
        """Of architectures, [n, width]."""
        if self._all is not None:
            return self._all[torch.from_numpy(ids)]
        return self.agent.embed(problem.space, problem.codes(ids).astype(np.int16))


def _seen(agent: InContextAgent, problem: Problem) -> _Seen:
    """Found out once a table, whatever copies of the problem there are."""
    if not isinstance(problem, ListedProblem):
        return _Seen(agent, problem)
    key = f"{NAME} {id(agent)}"
    if key not in problem.computed:  # keeps the agent, so that its id stays its own
        problem.computed[key] = _Seen(agent, problem)
    found: _Seen = problem.computed[key]
    return found


def in_context(agent: InContextAgent, problem: Problem, history: History, seed: int) -> int:
    """Expected improvement in the prediction of a network that reads the evaluations: one forward pass.

    A pending architecture is read as if it had turned out as predicted. Where nothing is evaluated, what is
    likely to be far above the middle is suggested.
    """
    seen = _seen(agent, problem)
    evaluated, rewards = _read(history)
    known = seen.vectors(problem, evaluated)
    if len(history.pending):
        waiting = seen.vectors(problem, history.pending)
        both = torch.cat([known, waiting])
        mean, _ = agent.predict(known, rewards, both)
        known, rewards = both, _in_unit(mean, rewards)

    def improvement(ids: Ints | None) -> Floats:
        assert ids is not None
        mean, deviation = agent.predict(known, rewards, torch.cat([seen.vectors(problem, ids), known]))
        best = float(mean[len(ids) :].max()) if len(known) else HOPE
        return expected_improvement(mean[: len(ids)], DOUBT * deviation[: len(ids)], best)

    if not problem.listed:
        return maximise(problem, history, improvement, seed)
    ids = _looked_at(seen, history, np.random.default_rng([seed, len(history.touched)]))
    return int(ids[np.argmax(improvement(ids))])


def _read(history: History) -> tuple[Ints, Floats]:
    """The evaluations that the network reads, at most ``MOST_READ``."""
    n, half = len(history), MOST_READ // 2
    if n <= MOST_READ:
        return history.indices, history.rewards
    best = np.argsort(-history.rewards[: n - half], kind="stable")[:half]
    kept = np.concatenate([np.sort(best), np.arange(n - half, n)])
    return history.indices[kept], history.rewards[kept]


def _in_unit(mean: Floats, rewards: Floats) -> Floats:
    """Predicted scores of pending architectures in the unit of the rewards, behind the rewards."""
    n = len(rewards)
    if n < 2 or mean[:n].std() == 0:
        return np.concatenate([rewards, np.full(len(mean) - n, rewards.mean() if n else 0.0)])
    scale = rewards.std() / mean[:n].std()
    return np.concatenate([rewards, rewards.mean() + (mean[n:] - mean[:n].mean()) * scale])


def _looked_at(seen: _Seen, history: History, generator: np.random.Generator) -> Ints:
    """A random part of the free architectures of a table."""
    free = history.free
    if len(free) > FEW + PRIOR:
        some = generator.choice(free, FEW, replace=False)
        ahead = seen.foremost[~history.visited(seen.foremost)]
        free = np.union1d(some, ahead)
    kept = free[generator.random(len(free)) < LOOKED_AT]
    return kept if len(kept) else free


def with_agent(given: str | Path | InContextAgent) -> Method:
    """The method with an agent of one's own.

    Args:
        given: the agent, its name (``box:NAME``) or its file, perhaps with ``#`` and the first digits of its
            SHA-256 behind it.

    Returns:
        The method. Of a file its name holds these digits, so that results of two agents that were written to
        one place cannot be taken for one another's.

    Raises:
        SearchError: there is no such agent, or its digits are others by now.
    """
    place, _, digits = str(given).partition("#")
    agent = given if isinstance(given, InContextAgent) else open_agent(place)
    if isinstance(given, InContextAgent):
        called = agent.card.name
    elif digits and not agent.digest.startswith(digits):
        got = f"{place}, whose SHA-256 begins with {agent.digest[:DIGITS]}"
        raise SearchError(f"the agent with the SHA-256 {digits}...", got, "give the file of that agent")
    else:
        called = place if place.startswith(PREFIX) else f"{place}#{agent.digest[:DIGITS]}"
    return Method(
        f"{NAME}@{called}",
        lambda problem, seed: _optimizer(agent, problem, seed),
        METHOD.summary,
        METHOD.source,
        learned=agent.learned,
        check=lambda problem: agent.check_reads(problem.space),
    )


def first_with(agent: InContextAgent) -> Method:
    """What the shipped default is where nothing is known but an agent: it suggests the first evaluations,
    ``gp`` those after ``HANDED_OVER``, of which the agent has read too few in training.

    Args:
        agent: which reads the space.
    """

    def suggest(problem: Problem, history: History, seed: int) -> int:
        early = len(history.touched) < HANDED_OVER
        return in_context(agent, problem, history, seed) if early else gp(problem, history, seed)

    return Method(
        f"{NAME}@{agent.card.name}, then gp",
        lambda problem, seed: FunctionOptimizer(suggest, problem, seed),
        METHOD.summary,
        METHOD.source,
        learned=agent.learned,
        check=lambda problem: agent.check_reads(problem.space),
    )


def _optimizer(agent: InContextAgent, problem: Problem, seed: int) -> FunctionOptimizer:
    return FunctionOptimizer(lambda p, history, s: in_context(agent, p, history, s), problem, seed)


def _agent_of(problem: Problem) -> InContextAgent:
    found = agent_for(problem.space)
    if found is None:
        raise SearchError(
            f"an agent in the box, trained on the space {problem.space.name!r}, for the method {NAME}",
            f"none among {', '.join(boxed()) or 'no agents'}",
            f"train one ('archwalk agents train --help') and give it: --method {NAME}@FILE",
        )
    return found


def _check(problem: Problem) -> None:
    _agent_of(problem)


METHOD = Method(
    NAME,
    lambda problem, seed: _optimizer(_agent_of(problem), problem, seed),
    "A network trained on many tasks reads what was evaluated of this one.",
    "this project, after PFNs4BO (Müller et al. 2023); docs/in-context.md",
    check=_check,
)
