"""The report: every figure and table, nothing loaded from elsewhere, what is missing on the first line."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

import archwalk
from archwalk.errors import ArchwalkError, RunError
from archwalk.reporting.data import read_study
from archwalk.reporting.dimensions import ALGORITHMS, TRANSFERS
from archwalk.reporting.figures import FIGURES
from archwalk.reporting.policies import policy_rows
from archwalk.reporting.published import published_correlation, published_results
from archwalk.reporting.tables import make_tables
from archwalk.reporting.watching.state import look, marks
from archwalk.studies.folder import StudyDir
from archwalk.studies.plan import Job
from archwalk.training.rundir import WEIGHTS
from tests.conftest import small_settings, two_tasks

TABLES = ("regimes", "results", "to_match", "task_correlation", "gamma", "search", "policies", "costs")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_tasks().save(tmp_path_factory.mktemp("table") / "two.parquet")


@pytest.fixture(scope="module")
def study(table: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    settings = small_settings(training={"trained_steps": 1_024, "fine_tune_steps": 256})
    folder = tmp_path_factory.mktemp("study") / "s"
    made = archwalk.study(table, ("one", "two"), folder, seeds=2, preset=settings)
    searched = {"sources": ("one",), "methods": ("random", "agent"), "budgets": (0, 3, 6), "seeds": 2}
    archwalk.compare(table, "two", folder / "comparisons" / "two", **searched)
    plain = searched | {"sources": (), "methods": ("random", "gp")}
    archwalk.compare(table, ["one"], folder / "comparisons" / "more", **plain)
    for name, action in (("first-0", 1), ("first-1", 2), ("keep-0", 0)):
        out = folder / "policies" / f"{name}.json"
        archwalk.evaluate_policy(lambda seen, mask, action=action: action, table, "one", out=out)
    return made


@pytest.fixture(scope="module")
def html(study: StudyDir) -> str:
    return archwalk.report(study.path).read_text()


class Links(HTMLParser):
    """Everything that a browser would load, and the text it would show."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.text: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe", "object", "embed")
        self._hidden = tag in ("style", "title")
        self.links += [value or "" for name, value in attributes if name in ("src", "href", "srcset")]

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._hidden:
            self.text.append(data.strip())


def parsed(html: str) -> Links:
    links = Links()
    links.feed(html)
    return links


def test_every_figure_and_table_is_there(study: StudyDir, html: str) -> None:
    several = (ALGORITHMS, TRANSFERS)  # of studies with more than one
    for spec in (figure for figure in FIGURES if figure.name not in several):
        svg, png = (study.path / "figures" / f"{spec.name}.{kind}" for kind in ("svg", "png"))
        assert svg.read_text().lstrip().startswith("<?xml")
        assert png.read_bytes().startswith(b"\x89PNG")
        assert f'id="{spec.name}"' in html
    for name in TABLES:
        assert len(pl.read_csv(study.path / "tables" / f"{name}.csv")) > 0


def test_it_opens_offline(html: str) -> None:
    links = parsed(html).links
    assert len(links) >= len(FIGURES)
    assert all(link.startswith(("data:image/svg+xml;base64,", "#")) for link in links)
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)
    assert style
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_it_answers_the_questions(html: str) -> None:
    text = " ".join(parsed(html).text)
    assert "of 2 pairs of tasks the retrained agents end on better architectures" in text
    assert "interquartile mean over all pairs" in text
    assert "pairs of runs never matched" in text
    assert "Unfinished" not in text
    assert "learner.discount = 0.9" in text
    assert "2 seeds: too few" in text


def test_its_numbers_are_those_of_the_results(study: StudyDir) -> None:
    data = read_study(study.path)
    row = make_tables(data)["results"].frame.filter(
        (pl.col("regime") == "retrain") & (pl.col("target") == "two")
    )
    results = data.results.filter((pl.col("regime") == "retrain") & (pl.col("target_task") == "two"))
    assert row["mean"].item() == pytest.approx(results["mean"].mean())
    assert row["std"].item() == pytest.approx(results["mean"].std())
    assert row["seeds"].item() == 2
    assert row["starts_high"].item() - row["starts_low"].item() > 0


def test_equal_studies_have_equal_figures(study: StudyDir, html: str, tmp_path: Path) -> None:
    copy = tmp_path / "s"
    shutil.copytree(study.path, copy)
    shutil.rmtree(copy / "figures")
    assert archwalk.report(copy).read_text() == html


def test_captions_name_the_split_of_the_results(study: StudyDir, html: str) -> None:
    data = read_study(study.path)
    assert data.split == "test split"
    assert "on the test split" in html
    one = pl.when(pl.col("target_task") == "one").then(pl.lit("valid"))
    for split, words in (
        (pl.lit("valid"), "validation split"),
        (one.otherwise(pl.lit("test")), "test split (two) or validation split (one)"),
    ):
        other = replace(data, results=data.results.with_columns(split=split))
        assert other.split == words
        captions = [spec.of(other).caption for spec in FIGURES]
        captions += [table.caption for table in make_tables(other).values()]
        assert sum(words in caption for caption in captions) == 5  # three matrices, regret, the table
        assert not any("{" in c or ("test split" in c and words not in c) for c in captions)


def test_an_unfinished_study_says_first_what_is_missing(study: StudyDir, tmp_path: Path) -> None:
    folder = StudyDir(tmp_path / "s")
    shutil.copytree(study.path, folder.path)
    for job in (Job("one", "two", 0), Job("one", "two", 1), Job("two", "one", 1)):
        (folder.run(job).path / WEIGHTS).unlink()
    html = archwalk.report(folder.path).read_text()
    first = parsed(html).text[0]
    assert first.startswith("Unfinished: 3 of 8 agents are missing (one → two, seed 0")
    assert "not done" in html
    shutil.rmtree(folder.path / "runs" / "seed-0" / "from-two")
    shutil.rmtree(folder.path / "runs" / "seed-1")
    assert parsed(archwalk.report(folder.path).read_text()).text[0].startswith("Unfinished: 7 of 8")


def test_the_page_that_follows_a_study(study: StudyDir, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    shutil.copy(study.path / "study.toml", folder)
    assert "0 of 8 agents done" in " ".join(parsed(look(folder).html.decode()).text)
    shutil.copytree(study.path / "runs", folder / "runs")
    view = look(folder)
    assert view.title == "8/8 agents"
    text = " ".join(parsed(view.html.decode()).text)
    assert "100 % of 8,192 trained steps" in text
    assert "source to one to two one 2 2 two 2 2" in text
    run = StudyDir(folder).run(Job("two", "one", 0)).path  # interrupted: no weights, a line cut off
    (run / "weights.safetensors").unlink()
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"trained_st')
    before = marks(folder)
    html = look(folder).html.decode()
    text = " ".join(parsed(html).text)
    assert "7 of 8 agents done" in text
    assert "two → one, seed 0 1,024" in text
    assert "two 1 (1) 2" in text
    assert "Validation score against trained steps of 8 agents" in html
    with (run / "metrics.jsonl").open("a") as file:
        file.write("garbage\n")
    assert marks(folder) != before
    assert "Waiting for one JSON object a line" in look(folder).html.decode()
    (folder / "study.toml").write_text("[study")
    assert "Waiting for a study folder" in look(folder).html.decode()


def test_what_cannot_be_reported(study: StudyDir, table: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="study folder"):
        archwalk.report(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(study.path / "study.toml", empty)
    with pytest.raises(RunError, match="at least one finished agent"):
        archwalk.report(empty)
    with pytest.raises(ArchwalkError, match="--benchmark"):
        archwalk.report(study.path, benchmark="synthetic")
    assert not (empty / "report.html").exists()


def test_the_published_numbers_are_carried_whole() -> None:
    results = published_results()
    assert len(results) == 4 + 3 * 12 + 2 * 16
    assert results["scratch", "autoencoder", "autoencoder"].mean == 0.518
    assert results["retrain", "class_object", "autoencoder"] == (0.537, 0.023, 0.537, 0.538)
    assert results["minutes", "autoencoder", "room_layout"].low == 0.9751  # the misprint, mended
    assert results["trained_steps", "class_object", "autoencoder"].std is None
    tau = published_correlation()
    assert tau["autoencoder", "room_layout"] == tau["room_layout", "autoencoder"] == 0.34
    assert len(tau) == 49


def test_comparisons_in_the_folder_are_shown_or_refused(study: StudyDir, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(study.path, folder)
    rows = make_tables(read_study(folder))["search"].frame
    assert rows["target"].unique(maintain_order=True).to_list() == ["one", "two"]
    assert rows["protocol"].unique().to_list() == ["of the file"]
    lines = ("random", "agent", "gp", "source-walk", "clairvoyant")
    methods = ["random", "gp", *lines]
    assert rows.select("method", "budget").rows() == [(m, b) for m in methods for b in (0, 3, 6)]
    file = folder / "comparisons" / "two" / "compare.json"
    given = file.read_text()
    for bad, why in (
        (given.replace('"checksum": "', '"checksum": "0'), "another benchmark"),
        ("{", "made by"),
    ):
        file.write_text(bad)
        with pytest.raises(RunError, match=why):
            archwalk.report(folder)
    shutil.rmtree(folder / "comparisons")
    assert "search" not in make_tables(read_study(folder))


def test_policies_of_other_libraries_are_shown_or_refused(
    study: StudyDir, table: Path, html: str, tmp_path: Path
) -> None:
    assert "Policies of other libraries" in html
    checksum = read_study(study.path).benchmark.checksum
    first, keep = policy_rows(study.path, checksum)
    assert (first["policy"], first["seeds"], keep["policy"], keep["seeds"]) == ("first", 2, "keep", 1)
    ends = [json.loads((study.path / f"policies/first-{s}.json").read_text())["mean"] for s in (0, 1)]
    assert first["mean"] == pytest.approx(sum(ends) / 2)
    assert first["mean_low"] < first["mean"] < first["mean_high"]
    assert keep["validation_score"] == pytest.approx(0, abs=1e-9)  # who keeps is as good as random
    archwalk.evaluate_policy(lambda seen, mask: 0, two_tasks(0.5), "one", out=tmp_path / "policies/o-0.json")
    with pytest.raises(RunError, match="the study's benchmark"):
        policy_rows(tmp_path, checksum)
    (tmp_path / "policies/o-0.json").write_text("{}")
    with pytest.raises(RunError, match="evaluate_policy"):
        policy_rows(tmp_path, checksum)
