"""An agent of several tasks on one task, against the network that is told the task."""

from __future__ import annotations

import pytest
import torch

from archwalk.agents.multitask import values_on, weights_on
from archwalk.agents.values import QFunction, make_values
from archwalk.envs import MultiTaskProcess, greedy_process
from archwalk.seeding import make_generator
from tests.conftest import small_settings, three_tasks

TASKS = ("three", "one")


def agent(form: str) -> tuple[QFunction, MultiTaskProcess]:
    settings = small_settings(multitask={"form": form})
    process = MultiTaskProcess(three_tasks(), TASKS, settings)
    return make_values(process, settings, 0), process


@pytest.mark.parametrize("form", ["embedding", "none"])
def test_on_one_task_it_is_the_network_that_is_told_so(form: str) -> None:
    values, _ = agent(form)
    g = make_generator(0, "t")
    of_both = values.sweep(g)
    before = {k: v.clone() for k, v in values.network.state_dict().items()}
    for t, task in enumerate(TASKS):
        alone = values_on(values, task).sweep(g)
        torch.testing.assert_close(alone, of_both[54 * t : 54 * t + 54], rtol=1e-4, atol=1e-5)
    assert torch.equal(of_both[:54], of_both[54:]) == (form == "none")
    assert all(torch.equal(before[k], v) for k, v in values.network.state_dict().items())


def test_on_an_unknown_task_it_has_the_mean_embedding() -> None:
    settings = small_settings()
    values, process = agent("embedding")
    alone = make_values(greedy_process(three_tasks(), settings), settings, 1)
    alone.network.load_state_dict(weights_on(values.network.state_dict(), 2, None))
    table = process.alone("one")
    tokens = table.tokens.rows.float()
    half = torch.cat([tokens, torch.full((54, 2), 0.5)], dim=1)  # half the one task, half the other
    offered = table.choices.clamp(min=0)
    exists = table.choices >= 0
    expected = values.network(half[offered], exists)
    torch.testing.assert_close(alone.sweep(make_generator(0, "t")), expected, rtol=1e-4, atol=1e-5)
