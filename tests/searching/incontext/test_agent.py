import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from archwalk.errors import SearchError
from archwalk.searching.incontext.agent import FORMAT, Card, InContextAgent, load_agent_file
from archwalk.searching.incontext.model import InContext, Sizes
from archwalk.spaces.registry import make_space, open_space

SIZES = {"width": 16, "encoder_layers": 1, "context_layers": 1, "query_layers": 1, "heads": 2}


def made(*spaces: str, name: str = "tiny") -> InContextAgent:
    torch.manual_seed(0)
    described = tuple(make_space(space).describe() for space in spaces)
    card = Card(name, "For tests.", described, (), {"sizes": SIZES})
    return InContextAgent(InContext(Sizes(**SIZES)).requires_grad_(False).eval(), card)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    made("digits-micro", "gpt-s").save(path)
    return path


def test_an_agent_comes_back_as_it_was(file: Path) -> None:
    before, after = made("digits-micro", "gpt-s"), load_agent_file(file)
    assert json.loads(json.dumps(after.card.spaces)) == json.loads(json.dumps(before.card.spaces))
    assert replace(after.card, spaces=()) == replace(before.card, spaces=())
    assert len(after.digest) == 64
    space = make_space("digits-micro")
    codes = space.sample(9, np.random.default_rng(0))
    rewards = np.array([1.0, 3.0, 2.0])
    predicted = []
    for agent in (before, after):
        vectors = agent.embed(space, codes)
        predicted.append(agent.predict(vectors[:3], rewards, vectors[3:]))
    np.testing.assert_array_equal(predicted[0], predicted[1])
    assert predicted[0][0].shape == (6,)
    assert (predicted[0][1] > 0).all()


def test_which_spaces_it_was_trained_on_and_can_read() -> None:
    agent = made("digits-micro", "gpt-s")
    assert agent.trained_on(make_space("transnas-micro"))  # the same cells by another name
    assert not agent.trained_on(make_space("nasbench201"))
    agent.check_reads(make_space("nasbench201"))  # operations that it knows or that have a kind
    agent.check_reads(make_space("darts"))
    with pytest.raises(
        SearchError, match=r"trained on digits-micro, gpt-s.*\n.*'neigh=edge_index' the first"
    ):
        agent.check_reads(make_space("gnn"))
    own = {"name": "own", "slots": {"mlp0": {"choices": [2, 3, 4], "kind": "ordinal"}}}
    agent.check_reads(open_space(own))  # its only slot is one of gpt-s


def _changed(file: Path, **header: str) -> bytes:
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    there = json.loads(content[8 : 8 + size])["__metadata__"]
    return save(load(content), {**there, **header})


def _card(file: Path, **changes: object) -> str:
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    card = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["card"])
    return json.dumps({**card, **changes})


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        (lambda f: b"", "damaged"),
        (lambda f: f.read_bytes()[:-40], "damaged"),
        (lambda f: f.read_bytes()[:8] + b"x" + f.read_bytes()[9:], "damaged"),
        (lambda f: b"\x80\x04\x95" + f.read_bytes(), "damaged"),  # a pickle's first bytes
        (lambda f: save({"x": torch.zeros(2)}), "something else"),
        (lambda f: _changed(f, format="2"), f"format {FORMAT}"),
        (lambda f: _changed(f, card="[]"), "damaged"),
        (lambda f: _changed(f, card="{}"), "damaged"),
        (lambda f: _changed(f, card=_card(f, name="../x")), "name '../x'"),
        (lambda f: _changed(f, card=_card(f, more=1)), "damaged"),
        (lambda f: _changed(f, card=_card(f, training={"sizes": {**SIZES, "width": 10**6}})), "sizes"),
        (lambda f: _changed(f, card=_card(f, training={"sizes": {**SIZES, "width": 32}})), "damaged"),
        (lambda f: _changed(f, card=_card(f, training={"sizes": {**SIZES, "heads": "2"}})), "damaged"),
    ],
)
def test_what_is_no_agent_is_refused(file: Path, breaking, message: str) -> None:
    content = breaking(file)
    file.write_bytes(content)
    with pytest.raises(SearchError, match=message):
        load_agent_file(file)


def test_weights_that_are_not_finite_and_files_that_are_not_there_are_refused(file: Path) -> None:
    tensors = load(file.read_bytes())
    tensors["head.bias"] = torch.tensor([np.nan, 0.0])
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    file.write_bytes(save(tensors, json.loads(content[8 : 8 + size])["__metadata__"]))
    with pytest.raises(SearchError, match="not finite"):
        load_agent_file(file)
    with pytest.raises(SearchError, match="No such file"):
        load_agent_file(file.with_name("other.safetensors"))
    with pytest.raises(SearchError, match="Is a directory"):
        load_agent_file(file.parent)
