"""Would lanes pay: many agents' networks in one batched program, against one process an agent?

    python benchmarks/lanes.py --preset laptop --lanes 2,8,16
    python benchmarks/lanes.py --preset paper --lanes 2,4

Times forward and backward pass of a batch of 256 for agents with weights of their own, which is most of an
update: with `torch.func` (one program, weights stacked, vmap over the single agent's network), one agent
after the other in one process, and as a study does it, one process a core with one thread each. All use the
same cores; they take turns. In float32: under vmap bfloat16 autocast's backward pass fails in PyTorch 2.13.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from rounds import System, Turns
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from archwalk.agent.network import QNetwork
from archwalk.benchmark import load_benchmark
from archwalk.config import load_preset
from archwalk.seeding import make_generator
from archwalk.space.tokens import make_tokens


class Agents(System):
    """Networks of several agents and a batch for each."""

    def __init__(self, preset: str, lanes: int, batched: bool) -> None:
        settings, table = load_preset(preset), load_benchmark("synthetic")
        tokens = make_tokens(table.space, settings.observation.tokens, table.rows)
        self.batch = settings.learner.batch_size
        self.networks = [
            QNetwork(tokens.features, settings.network, make_generator(lane, "weights"))
            for lane in range(lanes)
        ]
        draw = make_generator(0, "states")
        shape = (lanes, self.batch, 1 + table.neighbours.shape[1])
        offered = torch.randint(len(table), shape, generator=draw)
        self.seen = tokens.rows[tokens.draw(offered, draw)].float()
        self.facts: dict[str, Any] = {}
        if batched:
            parameters, _ = stack_module_state(self.networks)  # type: ignore[arg-type]
            self.parameters = {name: of.detach() for name, of in parameters.items()}
            gradients = vmap(grad(self._loss))
            self.step = lambda: gradients(self.parameters, self.seen)
        else:
            self.step = self._one_by_one
        self.step()

    def _loss(self, parameters: dict[str, Tensor], seen: Tensor) -> Tensor:
        q: Tensor = functional_call(self.networks[0], parameters, (seen, None))
        return q.square().mean()

    def _one_by_one(self) -> None:
        for network, seen in zip(self.networks, self.seen, strict=True):
            network.zero_grad(set_to_none=True)
            network(seen, None).square().mean().backward()

    def train(self, seconds: float) -> tuple[int, float]:
        steps, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            self.step()
            steps += len(self.networks) * self.batch
        return steps, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--lanes", default="2,8,16")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds-per-round", type=float, default=4.0)
    args = parser.parse_args()

    print(f"preset {args.preset}, {args.cores} cores; trained steps/s through network and gradients\n")
    print("| agents | one batched program | one after the other | a process a core |")
    print("|---|---|---|---|")
    for lanes in map(int, args.lanes.split(",")):
        together = [Turns(Agents, args.cores, args.preset, lanes, batched) for batched in (True, False)]
        share = max(1, lanes // args.cores)
        apart = [Turns(Agents, 1, args.preset, share, False) for _ in range(args.cores)]
        for _ in range(args.rounds):
            for turns in together:
                turns.turn(args.seconds_per_round)
            for turns in apart:
                turns.send(args.seconds_per_round)
            for turns in apart:
                turns.receive()
        for turns in (*together, *apart):
            turns.end()
        batched, serial = (f"{turns.mean:,.0f}" for turns in together)
        print(f"| {lanes} | {batched} | {serial} | {sum(t.mean for t in apart):,.0f} |")


if __name__ == "__main__":
    main()
