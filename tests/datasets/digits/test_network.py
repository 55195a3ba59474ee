from itertools import permutations

import numpy as np
import pytest
import torch

from archwalk.datasets.digits.network import CellNetworks, cosines, count, draw
from archwalk.datasets.digits.tasks import TASKS, losses, make_data
from archwalk.datasets.digits.training import Settings, learning_rate, train_cells
from archwalk.errors import SettingsError
from archwalk.spaces import make_space
from tests.oracles.digits import PlainCell

CPU = torch.device("cpu")
SPACE = make_space("digits-micro")
# All four operations, dead edges, doubled identities, nothing at all, and everything at once.
CELLS = [
    SPACE.parse(f"digits16-{cell}") for cell in ("3_12_023", "1_11_111", "2_30_300", "0_00_000", "3_33_333")
]
TINY = Settings(train=64, measured=16, valid=16, test=16, epochs=2, batch=16)


def test_architecture_strings() -> None:
    assert SPACE.architectures[0] == "digits16-0_00_000"
    assert len(SPACE) == 4096
    assert SPACE.canonical_groups().max() + 1 == 1011


@pytest.mark.parametrize("name", ["class_object", "autoencoder", "normal"])
def test_many_cells_equal_plain_modules_forward_and_in_training(name: str) -> None:
    task, data = TASKS[name], make_data(TASKS[name], "train", 48)
    many = CellNetworks(CELLS, task, 0, CPU)
    plain = [PlainCell(list(code), task.outputs, task.head == "pixels", task.code) for code in CELLS]
    for k, module in enumerate(plain):
        module.copy_from(many, k)
    together = torch.optim.Adam(list(many.parameters.values()), lr=0.01)
    alone = [torch.optim.Adam(module.parameters(), lr=0.01) for module in plain]
    for step in range(3):
        images, targets = (x[16 * step : 16 * step + 16] for x in (data.inputs, data.targets))
        predicted = many(images, training=True)
        together.zero_grad()
        losses(task, predicted, targets).sum().backward()
        together.step()
        for k, (module, optimiser) in enumerate(zip(plain, alone, strict=True)):
            own = module(images)
            torch.testing.assert_close(predicted[:, k], own, atol=2e-3, rtol=2e-3)
            optimiser.zero_grad()
            losses(task, own.unsqueeze(1), targets).sum().backward()
            optimiser.step()
    for k, module in enumerate(plain):
        module.eval()
        with torch.no_grad():
            seen = many(data.inputs[:8], training=False)[:, k]
            torch.testing.assert_close(seen, module(data.inputs[:8]), atol=5e-3, rtol=5e-3)


def test_a_cell_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    task = TASKS["jigsaw"]
    together = train_cells(CELLS, task, 0, TINY).scores
    for k, code in enumerate(CELLS):
        alone = train_cells([code], task, 0, TINY).scores
        # Sixteen scenes: one answer more or less is 6 points.
        np.testing.assert_allclose(alone[:, :, 0], together[:, :, k], atol=7)
    networks = CellNetworks(CELLS, task, 0, CPU)
    images = make_data(task, "valid", 8).inputs
    with torch.no_grad():
        batch = networks(images, training=True)
        for k, code in enumerate(CELLS):
            own = CellNetworks([code], task, 0, CPU)(images, training=True)
            torch.testing.assert_close(own[:, 0], batch[:, k], atol=1e-5, rtol=1e-5)


def outputs_of(code: tuple[int, ...], weights: dict[int, torch.Tensor]) -> torch.Tensor:
    """The network of a cell with given weights on its edges: edge → weight."""
    networks = CellNetworks([code], TASKS["class_object"], 0, CPU)
    for edge, weight in weights.items():
        networks.parameters[f"cell/{edge}/{code[edge]}"] = weight
    with torch.no_grad():
        return networks(torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1)), training=True)


def test_cells_of_one_group_compute_the_same() -> None:
    """For random groups: some way to lay the first cell's weights on another's edges gives its outputs."""
    groups = SPACE.canonical_groups()
    rng = np.random.default_rng(3)
    sizes = np.bincount(groups)
    for group in rng.choice(np.flatnonzero(sizes > 1), 12, replace=False):
        first, *others = (tuple(SPACE.codes[i].tolist()) for i in np.flatnonzero(groups == group))

        def convolutions(code: tuple[int, ...]) -> list[int]:
            return [e for e in SPACE.live_edges(code) if code[e] >= 2]  # type: ignore[attr-defined]

        weights = {
            e: draw(0, "test", str(e), (1, 16, 16, *[3 if first[e] == 3 else 1] * 2), 0.1)
            for e in convolutions(first)
        }
        want = outputs_of(first, weights)
        other = others[int(rng.integers(len(others)))]
        edges = convolutions(other)
        assert sorted(other[e] for e in edges) == sorted(first[e] for e in weights)
        found = False
        for order in permutations(weights):
            if all(first[a] == other[b] for a, b in zip(order, edges, strict=True)):
                got = outputs_of(other, {b: weights[a] for a, b in zip(order, edges, strict=True)})
                found = found or torch.allclose(got, want, atol=1e-5)
        assert found, (first, other)


def test_the_stem_starts_as_an_orthonormal_map() -> None:
    filters = cosines().flatten(1)
    torch.testing.assert_close(filters @ filters.T, torch.eye(16), atol=1e-6, rtol=0)


def test_first_weights_depend_on_seed_task_and_edge_only() -> None:
    a = draw(0, "jigsaw", "cell/0/3", (2, 2), 1.0)
    torch.testing.assert_close(a, draw(0, "jigsaw", "cell/0/3", (2, 2), 1.0), atol=0, rtol=0)
    others = [draw(1, "jigsaw", "cell/0/3", (2, 2), 1.0), draw(0, "normal", "cell/0/3", (2, 2), 1.0)]
    assert all(not torch.equal(a, other) for other in others)


@pytest.mark.parametrize("name", TASKS)
def test_parameter_count_is_that_of_the_module(name: str) -> None:
    task = TASKS[name]
    for code in CELLS:
        live = SPACE.live_edges(code)  # type: ignore[attr-defined]
        pruned = [operation if e in live else 0 for e, operation in enumerate(code)]
        module = PlainCell(pruned, task.outputs, task.head == "pixels", task.code)
        assert count(code, task)[0] == sum(p.numel() for p in module.parameters())


def test_flops_by_hand() -> None:
    # Stem 16 positions × 16 × 16, one 3×3 convolution 16 × 16 × 16 × 9, head 16 × 10.
    assert count(SPACE.parse("digits16-0_00_300"), TASKS["class_object"])[1] == 2 * (4096 + 36864 + 160)


def test_training_learns_and_repeats_itself() -> None:
    settings = Settings(train=1024, measured=100, valid=200, test=200, epochs=2, batch=32)
    code = [SPACE.parse("digits16-3_11_133")]
    first = train_cells(code, TASKS["segmentsemantic"], 0, settings)
    again = train_cells(code, TASKS["segmentsemantic"], 0, settings)
    np.testing.assert_array_equal(first.scores, again.scores)
    assert first.scores[-1, 1, 0] > 40
    assert first.seconds > 0
    other = train_cells(code, TASKS["segmentsemantic"], 1, settings)
    assert not np.array_equal(first.scores, other.scores)


def test_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 100, 0.01) for step in range(100)]
    assert rates[0] == pytest.approx(0.001, rel=0.01)
    assert max(rates) == pytest.approx(0.01, rel=0.03)
    assert rates[-1] < 1e-5


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="within train"):
        Settings(train=10, measured=20)
