"""What an agent expects of a space before anything is evaluated: one more source.

In: an ``InContextAgent``, a space. Out: its architectures, or some of a space that nobody lists, and what is
expected of each. Next: ``archwalk.searching.experience`` gives it to methods that know sources.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archwalk.searching.incontext.agent import InContextAgent
from archwalk.searching.problem import Floats
from archwalk.spaces.base import ListedSpace, SearchSpace

DRAWN, BEST, OTHERS = 4_000, 64, 192  # of a space that nobody lists: looked at; kept, the best and any
LISTED = 50_000


def small(space: SearchSpace) -> ListedSpace | None:
    """The space as one that lists its architectures, if they are few enough to look at all."""
    return space.listing() if space.size is not None and space.size <= LISTED else None


def expected(agent: InContextAgent, space: SearchSpace, codes: NDArray[np.int16]) -> Floats:
    """Mean normal score of architectures on a task of which nothing is known, [n].

    Args:
        agent: which reads the space.
        space: theirs.
        codes: [n, S].
    """
    vectors = agent.embed(space, codes)
    mean, _ = agent.predict(vectors[:0], np.empty(0), vectors)
    return mean


def opinion_of(agent: InContextAgent, space: SearchSpace) -> tuple[NDArray[np.int16], Floats]:
    """Architectures and what is expected of them: all, or 256 of a space that nobody lists.

    Raises:
        SearchError: a space that the agent cannot read.
    """
    agent.check_reads(space)
    if (all_of := small(space)) is not None:
        codes = all_of.codes.astype(np.int16)
        return codes, expected(agent, space, codes)
    codes = np.unique(space.sample(DRAWN, np.random.default_rng(0)), axis=0)
    values = expected(agent, space, codes)
    order = np.argsort(-values, kind="stable")
    others = np.random.default_rng(1).permutation(order[BEST:])[:OTHERS]
    kept = np.sort(np.concatenate([order[:BEST], others]))
    return codes[kept], values[kept]
