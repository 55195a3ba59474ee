"""Training an agent from whatever is at hand, the box, and ``archwalk agents``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import archwalk
from archwalk.cli.entry import main
from archwalk.errors import ArchwalkError, RunError, SearchError, SettingsError
from archwalk.searching.incontext import box
from archwalk.searching.incontext.agent import load_agent_file
from archwalk.searching.incontext.fitting import Training, train
from archwalk.searching.incontext.learned import FEWEST, pool_of_space, pools_of_benchmark, pools_of_searches
from archwalk.searching.incontext.model import Sizes
from archwalk.searching.incontext.opinion import BEST, OTHERS, expected, opinion_of
from archwalk.searching.incontext.tasks import Mix
from archwalk.searching.incontext.verbs import train_agent
from archwalk.searching.methods import in_context
from archwalk.spaces.registry import make_space
from archwalk.tasks import Benchmark

SIZES = Sizes(width=16, encoder_layers=1, context_layers=1, query_layers=1, heads=2)
SHORT = Training(4, sizes=SIZES, mix=Mix(tasks=3, architectures=40, queries=8), pretraining=3)


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def score(architecture: str) -> float:
    return float(sum(int(c) for c in architecture.rpartition("-")[2] if c.isdigit()))


@pytest.mark.parametrize("encoder", ["none", "frozen", "fine-tuned"])
def test_training_repeats_itself_and_a_frozen_encoder_stays(encoder) -> None:
    pools = [pool_of_space("digits-micro")[0], pool_of_space("gnn")[0]]
    training = Training(**{**SHORT.__dict__, "encoder": encoder})
    networks = [train(pools, training) for _ in range(2)]
    assert torch.equal(*map(weights, networks))
    longer = train(pools, Training(**{**training.__dict__, "steps": 5}))
    same = torch.equal(weights(longer.encoder), weights(networks[0].encoder))
    assert same == (encoder == "frozen")
    assert not torch.equal(weights(longer.head), weights(networks[0].head))
    assert all(p.requires_grad for p in longer.parameters())


def test_a_training_that_was_killed_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch) -> None:
    from archwalk.searching.incontext import fitting

    pools = [pool_of_space("digits-micro")[0]]
    training = Training(**{**SHORT.__dict__, "steps": 6, "encoder": "fine-tuned"})
    monkeypatch.setattr(fitting, "SAY_EVERY", 2)
    whole, file = train(pools, training), tmp_path / "partial"

    def stop(text: str) -> None:
        if text.startswith("step 4"):
            raise KeyboardInterrupt

    for _ in range(2):  # from the beginning, then from the checkpoint after two steps
        with pytest.raises(KeyboardInterrupt):
            train(pools, training, stop, file)
    assert torch.equal(weights(train(pools, training, checkpoint=file)), weights(whole))
    with pytest.raises(RunError, match="of another one"):
        train(pools, Training(**{**training.__dict__, "seed": 1}), checkpoint=file)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(RunError, match="remove that file"):
        train(pools, training, checkpoint=file)


def test_the_loss_falls() -> None:
    said: list[str] = []
    mix = Mix(tasks=4, architectures=80, queries=24)
    train([pools_of_benchmark("synthetic")[0]], Training(500, sizes=SIZES, mix=mix), said.append)
    losses = [float(line.rpartition(" ")[2]) for line in said]
    assert len(losses) == 2
    assert losses[1] < losses[0] - 0.1


def test_an_agent_of_benchmarks_searches_and_spaces(tiny: Benchmark, tmp_path: Path) -> None:
    tiny.save(tmp_path / "tiny.parquet")
    for name, budget in (("alone", FEWEST), ("few", FEWEST - 1)):
        archwalk.search(
            score, tmp_path / name, space="synthetic-cells", metric="acc", budget=budget, method="random"
        )
    out = tmp_path / "own.safetensors"
    agent = train_agent(
        out,
        benchmarks=[f"{tmp_path / 'tiny.parquet'}:main", "synthetic"],
        searches=[tmp_path / "alone"],
        spaces=["gnn"],
        left_out=[archwalk.load_benchmark("synthetic").tasks[0]],
        training=SHORT,
        summary="Mine.",
    )
    card = load_agent_file(out).card
    assert card == agent.card
    tasks = [(task["space"], task["task"], task["architectures"]) for task in card.tasks]
    assert tasks[0] == ("slots", "main", len(tiny))
    assert tasks[-1] == ("synthetic-cells", "alone", FEWEST)
    assert len(tasks) == 1 + len(archwalk.load_benchmark("synthetic").tasks)
    assert [space["name"] for space in card.spaces] == ["slots", "synthetic-cells", "gnn"]
    with pytest.raises(SearchError, match=f"{FEWEST - 1} in"):
        pools_of_searches(tmp_path / "few")
    [(pool, _, _)] = pools_of_searches(tmp_path / "alone")
    values = [score(make_space("synthetic-cells").format(code)) for code in pool.codes.tolist()]
    assert len(pool) == FEWEST
    assert np.corrcoef(values, pool.scores[0])[0, 1] > 0  # live codes: edges behind nothing count less


def test_what_cannot_be_learned_from_changes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    with pytest.raises(SearchError, match="to learn from"):
        train_agent(out, training=SHORT)
    with pytest.raises(ArchwalkError, match="task of 'synthetic'"):
        train_agent(out, benchmarks=["synthetic:nothing"], training=SHORT)
    with pytest.raises(SearchError, match="folder of an earlier search"):
        train_agent(out, searches=[tmp_path], training=SHORT)
    with pytest.raises(ArchwalkError):
        train_agent(out, spaces=["nowhere"], training=SHORT)
    for bad in (tmp_path / "own.pt", tmp_path / "a b.safetensors"):
        with pytest.raises(SettingsError, match="a new file"):
            train_agent(bad, spaces=["gnn"], training=SHORT)
    assert list(tmp_path.iterdir()) == []
    out.write_bytes(b"mine")
    with pytest.raises(SettingsError, match="which is there"):
        train_agent(out, spaces=["gnn"], training=SHORT)
    assert out.read_bytes() == b"mine"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an agent that has seen measurements of cells."""
    path = tmp_path_factory.mktemp("box") / "tiny.safetensors"
    train_agent(path, benchmarks=["synthetic"], spaces=["gnn", "nasbench201"], training=SHORT)
    return path


@pytest.fixture
def boxed(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A box with that agent alone."""
    monkeypatch.setattr(box, "FOLDER", trained.parent)
    return trained


def test_an_agent_expects_something_of_every_architecture_of_its_spaces(boxed: Path) -> None:
    agent = box.open_agent("box:tiny")
    assert box.open_agent(boxed) is agent
    assert box.agent_for(make_space("transnas-micro")) is agent
    assert box.agent_for(make_space("nasbench101")) is None
    assert [agent.has_an_opinion(make_space(s)) for s in ("nasbench201", "gnn", "darts")] == [
        True,
        False,
        False,
    ]
    gnn, darts = make_space("gnn"), make_space("darts")
    codes, values = opinion_of(agent, gnn)
    np.testing.assert_array_equal(codes, gnn.listing().codes)
    np.testing.assert_allclose(expected(agent, gnn, codes[5:9]), values[5:9], atol=1e-5)
    codes, values = opinion_of(agent, darts)
    assert len(np.unique(codes, axis=0)) == len(values) == BEST + OTHERS
    assert (values >= np.sort(values)[-BEST]).sum() == BEST
    np.testing.assert_array_equal(opinion_of(agent, darts)[1], values)


def test_the_default_asks_the_agent_in_the_box_first(
    boxed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_context, "HANDED_OVER", 3)
    said: list[str] = []

    def evaluate(architecture: str) -> float:
        return float(sum(map(ord, architecture)) % 101)

    def looks(out: str, **options: object) -> list[str]:
        asked = {"space": "nasbench201", "metric": "acc", "budget": 4, "say": said.append} | options
        said.clear()
        found = archwalk.search(evaluate, tmp_path / out, **asked)
        return [look["architecture"] for look in found["looks"]]

    by_itself = looks("by-itself")
    assert [line for line in said if "the agent tiny, which suggests the first 3 evaluations" in line]
    alone = looks("alone", method="in-context", budget=3)
    assert by_itself[:3] == alone
    assert looks("alone", method="gp", budget=4)[3] == by_itself[3]  # gp went on
    assert looks("named", agent="box:tiny") == looks("file", agent=boxed) == by_itself
    nothing = looks("none", agent="none")
    assert nothing == looks("gp", method="gp")
    assert nothing != by_itself
    assert looks("gnn", space="gnn") == looks("gnn-gp", space="gnn", method="gp")  # of which it knows nothing
    archwalk.search(score, tmp_path / "old", space="nasbench201", metric="acc", budget=5, method="random")
    beside = looks("beside", agent="box:tiny", experience=[tmp_path / "old"])
    assert any("what the agent tiny expects of 15,625 of 15,625 architectures" in line for line in said)
    assert beside != by_itself
    with pytest.raises(SearchError, match="either agents or none"):
        looks("both", agent=["none", "box:tiny"])
    with pytest.raises(SearchError, match="agent in the box"):
        looks("both", agent="box:other")
    assert not (tmp_path / "both").exists()


def test_an_agent_of_the_searched_task_is_refused(
    trained: Path, tmp_path: Path, synthetic: Benchmark
) -> None:
    path = trained
    task = synthetic.tasks[0]
    with pytest.raises(SearchError, match="of this very table"):
        archwalk.search(None, tmp_path / "out", space="synthetic", task=task, budget=3, agent=path)
    with pytest.raises(SearchError, match="trained on it"):
        archwalk.compare("synthetic", task, tmp_path / "c", sources=str(path), methods=("gp",), seeds=1)
    with pytest.raises(SearchError, match="trained on"):
        archwalk.compare("synthetic", task, tmp_path / "c", methods=(f"in-context@{path}",), seeds=1)


def test_the_verbs(boxed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["agents", "list", "--json"])
    [row] = json.loads(capsys.readouterr().out)
    assert row["name"] == "box:tiny"
    assert row["spaces"] == ["synthetic-cells", "gnn", "nasbench201"]
    assert row["bytes"] == boxed.stat().st_size
    main(["agents", "list"])
    assert "box:tiny" in capsys.readouterr().out
    main(["agents", "path", "box:tiny"])
    assert capsys.readouterr().out.strip() == str(boxed)
    out = tmp_path / "mine.safetensors"
    main(["agents", "train", "--out", str(out), "--benchmark", "synthetic", "--space", "gnn", "--steps", "1"])
    capsys.readouterr()
    main(["agents", "show", str(out), "--json"])
    assert json.loads(capsys.readouterr().out)["training"]["steps"] == 1
    main(["agents", "show", str(out)])
    shown = capsys.readouterr().out
    assert "synthetic-cells, gnn" in shown
    assert "4,096 architectures" in shown
    for arguments in (["show", "box:nobody"], ["path", str(tmp_path)], ["train", "--out", str(out)]):
        with pytest.raises(SystemExit) as ended:
            main(["agents", *arguments])
        assert ended.value.code == 2
        assert "Remedy" in capsys.readouterr().err
