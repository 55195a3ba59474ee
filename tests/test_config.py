"""Settings: presets, TOML, refusals."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from archwalk.config import Settings, load_preset, preset_names
from archwalk.errors import SettingsError


def test_paper_is_the_published_settings() -> None:
    paper = load_preset("paper")
    assert paper == Settings()  # and the defaults of every field are the published ones
    assert (paper.network.width, paper.network.layers, paper.network.heads) == (256, 2, 4)
    assert (paper.learner.learning_rate, paper.learner.max_grad_norm) == (5e-5, 40.0)
    assert (paper.learner.n_step, paper.learner.double, paper.learner.batch_size) == (3, True, 256)
    assert (paper.replay.capacity, paper.replay.alpha, paper.replay.beta) == (25_000, 0.6, 0.4)
    assert (paper.learner.target_period, paper.walk.max_neighbours) == (8_192, 50)
    assert (paper.exploration.actors, paper.exploration.walks_per_actor) == (8, 32)
    assert (paper.training.trained_steps, paper.training.fine_tune_steps) == (10**7, 10**6)
    assert paper.reward.gamma == {"segmentsemantic": 0.478}
    assert not paper.reward.standardise
    assert paper.observation.tokens == "graph"


@pytest.mark.parametrize("name", preset_names())
def test_presets_round_trip(name: str, tmp_path: Path) -> None:
    settings = load_preset(name)
    file = tmp_path / "again.toml"
    file.write_text(settings.to_toml())
    assert load_preset(file) == settings
    assert set(tomllib.loads(settings.to_toml())) == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[learner]\ndiscount = 1.0\n", "learner.discount = 1.0"),
        ("[learner]\ndicount = 0.9\n", "learner.dicount"),
        ("[lerner]\n", "lerner"),
        ("[network]\nwidth = 30\nheads = 4\n", "heads \\(4\\) must divide width \\(30\\)"),
        ("[replay]\nwarmup = 10\ncapacity = 5\n", "warmup"),
        ("[training]\nthreads = 'many'\n", "training.threads = 'many'"),
        ("not toml", "readable TOML"),
    ],
)
def test_bad_settings(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=says):
        load_preset(file)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_preset("paper").learner.discount = 0.5


def test_every_field_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        group = field.annotation
        for inner, described in group.model_fields.items():  # type: ignore[union-attr]
            assert described.description, f"{name}.{inner}"
