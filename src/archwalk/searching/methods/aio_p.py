"""AIO-P (Mills et al. 2023, arXiv:2211.17228): a predictor on computational graphs, an adapter a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from archwalk.errors import ArchwalkError, SearchError
from archwalk.networks.build import build_network
from archwalk.networks.computation import KINDS, Computation, computation_of
from archwalk.proxies.measures import flops
from archwalk.proxies.measuring import small_skeleton
from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Floats, Ints, Problem
from archwalk.searching.rounds import Rounds, pool_of, sample_of
from archwalk.spaces.base import SearchSpace

HIDDEN, LAYERS, ADAPTER = 64, 4, 16  # width and message-passing layers; width of an adapter
EPOCHS, TUNED, LEARNING_RATE = 150, 100, 3e-3  # of the pretraining, of the fine-tuning; Adam, whole batches
LABELS = 20  # evaluations of the target before the predictor is fine-tuned to them
POOL = 400  # candidates a round
SIDE = 16  # of images, for FLOPs


@dataclass(frozen=True)
class Graphs:
    """Computational graphs as arrays.

    Attributes:
        nodes: kind, kernel, stride, channels of each operation, [n, N, features]; 0 behind the last one.
        adjacency: messages from column to row, mean over the operations before, [n, N, N].
        real: 1 for operations, [n, N].
        size: log10(1 + FLOPs), [n].
    """

    nodes: Tensor
    adjacency: Tensor
    real: Tensor
    size: Tensor


def check(problem: Problem) -> None:
    """Raises ``SearchError`` for a space whose architectures are no networks."""
    index = int(problem.sample(1, np.random.default_rng(0))[0])
    try:
        _graph(problem.space, problem.text(index))
    except ArchwalkError as error:
        raise SearchError(
            "architectures that are networks, whose computational graphs the method aio-p reads",
            f"the space {problem.space.name!r}",
            "choose another method: 'archwalk methods'",
        ) from error


@lru_cache(maxsize=1 << 15)
def _graph(space: SearchSpace, architecture: str) -> tuple[Computation, float]:
    """The computational graph of a small network of an architecture, and its FLOPs."""
    network = build_network(space, architecture, **small_skeleton(space))
    images = torch.zeros(2, 3, SIDE, SIDE)
    return computation_of(network, images), flops(network, images, torch.zeros(2, dtype=torch.int64))


def graphs_of(problem: Problem, ids: Ints) -> Graphs:
    """Computational graphs of architectures; those that compute one function share theirs."""
    codes = problem.view(0, ids).tolist()
    texts = [problem.space.format([c for c in code if c >= 0] if problem.listed else code) for code in codes]
    found = [_graph(problem.space, text) for text in texts]
    most = max(len(graph.operations) for graph, _ in found)
    nodes = torch.zeros(len(found), most, len(KINDS) + 4)
    adjacency, real = torch.zeros(len(found), most, most), torch.zeros(len(found), most)
    for row, (graph, _) in enumerate(found):
        for at, operation in enumerate(graph.operations):
            nodes[row, at, KINDS.index(operation.kind)] = 1
            sizes = operation.kernel / 3, operation.stride / 2, operation.inputs, operation.outputs
            nodes[row, at, len(KINDS) :] = torch.tensor(
                [*sizes[:2], *(np.log2(1 + s) / 8 for s in sizes[2:])]
            )
        real[row, : len(graph.operations)] = 1
        for a, b in graph.edges:
            adjacency[row, b, a] = 1
    adjacency /= adjacency.sum(2, keepdim=True).clamp_min(1)
    size = torch.tensor([np.log10(1 + count) for _, count in found], dtype=torch.float32)
    return Graphs(nodes, adjacency, real, size)


class Backbone(nn.Module):
    """A graph network: what each layer says of every operation, [n, N, HIDDEN] each."""

    def __init__(self) -> None:
        super().__init__()
        widths = [len(KINDS) + 4, *[HIDDEN] * LAYERS]
        self.own = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.heard = nn.ModuleList(nn.Linear(a, b, False) for a, b in pairwise(widths))

    def forward(self, graphs: Graphs) -> list[Tensor]:
        """Layer by layer."""
        x, found = graphs.nodes, []
        for own, heard in zip(self.own, self.heard, strict=True):
            x = torch.relu(own(x) + heard(graphs.adjacency @ x)) * graphs.real[..., None]
            found.append(x)
        return found


class Adapter(nn.Module):
    """A small network beside a frozen one: it reads every layer of it (K-adapter, Wang et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.ModuleList(nn.Linear(HIDDEN, ADAPTER) for _ in range(LAYERS))
        self.mix = nn.ModuleList(nn.Linear(ADAPTER, ADAPTER) for _ in range(LAYERS))

    def forward(self, layers: Sequence[Tensor], graphs: Graphs) -> Tensor:
        """[n, N, HIDDEN] a layer → [n, ADAPTER]."""
        x = layers[0].new_zeros(*layers[0].shape[:2], ADAPTER)
        for layer, read, mix in zip(layers, self.read, self.mix, strict=True):
            x = torch.relu(read(layer) + mix(x))
        return pooled(x, graphs)


def pooled(x: Tensor, graphs: Graphs) -> Tensor:
    """The mean over operations, [n, N, width] → [n, width]."""
    return (x * graphs.real[..., None]).sum(1) / graphs.real.sum(1, keepdim=True)


def scaled(values: Floats, graphs: Graphs) -> tuple[Tensor, float, float]:
    """Labels over the logarithm of FLOPs, standardised (equation 4): [n], their mean, their deviation."""
    labels = torch.from_numpy(values).float() / graphs.size
    mean, deviation = float(labels.mean()), float(labels.std(correction=0)) or 1.0
    return (labels - mean) / deviation, mean, deviation


class Predictor(nn.Module):
    """A backbone, adapters, and a head that reads them all.

    Args:
        adapters: one a task but the first, trained before.
        backbone: trained before.
    """

    def __init__(self, backbone: Backbone, adapters: Sequence[Adapter]) -> None:
        super().__init__()
        self.backbone, self.adapters = backbone, nn.ModuleList(adapters)
        self.head = nn.Linear(HIDDEN + ADAPTER * len(adapters), 1)
        self.mean, self.deviation = 0.0, 1.0

    def forward(self, graphs: Graphs) -> Tensor:
        """Scaled labels, [n]."""
        layers = self.backbone(graphs)
        parts = [pooled(layers[-1], graphs), *(adapter(layers, graphs) for adapter in self.adapters)]
        return self.head(torch.cat(parts, 1))[:, 0]

    @torch.no_grad()
    def values(self, graphs: Graphs) -> Floats:
        """Rewards, [n]."""
        return ((self(graphs) * self.deviation + self.mean) * graphs.size).double().numpy()


def train(
    predictor: Predictor, parameters: Sequence[Tensor], graphs: Graphs, values: Floats, epochs: int
) -> None:
    """Steps of Adam on the mean squared error of scaled labels; ``parameters`` alone are changed."""
    labels, predictor.mean, predictor.deviation = scaled(values, graphs)
    adam = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
    for _ in range(epochs):
        adam.zero_grad()
        (predictor(graphs) - labels).square().mean().backward()
        adam.step()


class AIOP(Rounds):
    """A graph network on computational graphs, an adapter a task; fine-tuned at 20 evaluations and every 10.

    The backbone is pretrained on the first other task; each further one trains an adapter beside the frozen
    backbone. Labels are divided by the logarithm of FLOPs. Before 20 evaluations the other tasks' predictors
    choose, by their mean rank, or at random without any; then a predictor with all adapters, fine-tuned to
    the target. Graphs are those of a small network of the architecture.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        check(problem)
        super().__init__(problem, seed)
        self._pretrained: list[Predictor] | None = None

    def _others(self) -> list[Predictor]:
        """A predictor of each other task: the first is the backbone's, the others' is an adapter's."""
        if self._pretrained is None:
            with torch.random.fork_rng([]):
                torch.manual_seed(self.seed)
                self._pretrained = self._pretrain()
        return self._pretrained

    def _pretrain(self) -> list[Predictor]:
        generator, found = np.random.default_rng([self.seed, 0xA10]), list[Predictor]()
        for source in self.sources:
            ids, values = sample_of(source, self.problem, generator)
            if len(ids) < 2:
                continue
            adapters = [Adapter()] if found else []
            predictor = Predictor(found[0].backbone if found else Backbone(), adapters)
            frozen = set(map(id, predictor.backbone.parameters())) if found else set()
            free = [p for p in predictor.parameters() if id(p) not in frozen]
            train(predictor, free, graphs_of(self.problem, ids), values, EPOCHS)
            found.append(predictor)
        return found

    def fit(self, known: History, generator: np.random.Generator) -> Ints:
        """Candidates in the order of what is predicted of them."""
        others = self._others()
        with torch.random.fork_rng([]):
            torch.manual_seed(int(generator.integers(2**31)))
            ids = pool_of(self.problem, known, POOL, generator)
            if len(known) < LABELS:
                if not others:
                    return ids[:0]
                graphs = graphs_of(self.problem, ids)
                ranks = [np.argsort(np.argsort(-other.values(graphs))) for other in others]
                return ids[np.argsort(np.mean(ranks, 0), kind="stable")]
            predictor = tuned(others, graphs_of(self.problem, known.indices), known.rewards)
            if not len(ids):
                return ids
            return ids[np.argsort(-predictor.values(graphs_of(self.problem, ids)), kind="stable")]

    def propose(self, model: Ints, history: History, generator: np.random.Generator) -> int:
        """The next in the order."""
        free = model[~history.visited(model)]
        return int(free[0]) if len(free) else random(self.problem, history, self.seed)


def tuned(others: Sequence[Predictor], graphs: Graphs, values: Floats) -> Predictor:
    """A predictor with a copy of the backbone and all adapters, fine-tuned to a few labels.

    Args:
        others: of the other tasks; may be none.
        graphs: of the labelled architectures, n.
        values: their rewards, [n].
    """
    adapters = [Adapter() for other in others for _ in other.adapters]
    predictor = Predictor(Backbone(), adapters)
    if others:
        predictor.backbone.load_state_dict(others[0].backbone.state_dict())
    for adapter, known in zip(adapters, (a for other in others for a in other.adapters), strict=True):
        adapter.load_state_dict(known.state_dict())
    train(predictor, [*predictor.parameters()], graphs, values, TUNED if others else EPOCHS)
    return predictor


METHOD = make_method(
    "aio-p", AIOP, source="Mills et al. 2023, arXiv:2211.17228", knows_sources=True, check=check
)
