"""What the shipped table must show, each bar on the file itself."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from archwalk.datasets.digits.scenes import SPLITS
from archwalk.datasets.digits.statistics import (
    TaskSummary,
    climb,
    correlations,
    open_seeds,
    rank_noise,
    summarise,
    text,
)
from archwalk.datasets.digits.tasks import TASKS
from archwalk.datasets.digits.training import Settings
from archwalk.datasets.digits.verify import TOLERANCE, Report, Row, verify
from archwalk.errors import BenchmarkError, SettingsError
from archwalk.tasks import Benchmark, benchmark_names, load_benchmark, open_benchmark
from archwalk.tasks.table import seal

FILE = Path(str(files("archwalk.datasets.digits") / "digits.parquet"))


@pytest.fixture(scope="module")
def digits() -> Benchmark:
    return load_benchmark("digits")


@pytest.fixture(scope="module")
def summaries(digits: Benchmark) -> list[TaskSummary]:
    return summarise(digits, open_seeds())


def test_it_is_complete_and_small(digits: Benchmark) -> None:
    assert "digits" in benchmark_names()
    assert len(digits) == len(digits.space) == 4096
    assert digits.tasks == tuple(sorted(TASKS))
    assert not digits.missing
    assert FILE.stat().st_size <= 2 * 2**20
    for task in TASKS.values():
        for split in SPLITS:
            for epoch in Settings().epoch_names:
                assert len(digits.values(task.name, split, epoch=epoch)) == 4096
        for metric in ("params", "flops", "time_elapsed"):
            assert (digits.values(task.name, "none", metric) > 0).all()
        assert digits.reward_column(task.name) == (task.name, task.metric, "valid", "final")


def test_cells_of_one_group_share_every_number_and_others_do_not(digits: Benchmark) -> None:
    groups = digits.space.canonical_groups()
    _, first = np.unique(groups, return_index=True)
    for values in digits.columns.values():
        np.testing.assert_array_equal(values, values[first][groups])
    distinct = np.unique(np.stack([digits.values(task)[first] for task in digits.tasks]), axis=1)
    # x and 2x are one behind the normalisation; any other two groups differ somewhere.
    assert distinct.shape[1] >= 1009


def test_seed_noise_was_measured(summaries: list[TaskSummary]) -> None:
    for s in summaries:
        assert s.repeated >= 100
        assert s.seeds == 3
        assert 0 < s.rank_noise < 1


def test_tasks_differ(digits: Benchmark, summaries: list[TaskSummary]) -> None:
    matrix = correlations(digits)
    off = matrix[np.triu_indices(len(matrix), 1)]
    assert off.min() <= 0.15
    assert off.max() >= 0.7
    apart = digits.tasks.index("autoencoder")
    others = [i for i in range(len(matrix)) if i != apart]
    assert matrix[apart, others].max() < matrix[np.ix_(others, others)].min()
    assert all(s.valid_test >= 0.7 for s in summaries)


def test_there_is_something_to_find(summaries: list[TaskSummary]) -> None:
    for s in summaries:
        assert s.lead >= 2, s.task
        assert s.climbs < 1, s.task


def test_nothing_is_near_chance_or_perfect_for_most_cells(summaries: list[TaskSummary]) -> None:
    chance = {"class_object": 10, "class_scene": 12.5, "jigsaw": 100 / 24, "room_layout": -1, "normal": 0.3}
    perfect = {"top1": 95, "mIoU": 95, "ssim": 0.95, "neg_loss": -0.05}
    for s in summaries:
        assert s.median < perfect[s.metric]
        assert s.median > chance.get(s.task, 0.5 if s.metric == "ssim" else 20)


def test_opening_is_fast() -> None:
    """In a fresh process, after the imports; the best of a few, since the machine may be busy."""
    code = (
        "import time, archwalk.tasks as b\n"
        "from archwalk.tasks.registry import _open_digits\n"
        "from archwalk.spaces.registry import _named\n"
        "times = []\n"
        "for _ in range(5):\n"
        "    _named.cache_clear(); start = time.perf_counter()\n"
        "    _open_digits(); times.append(time.perf_counter() - start)\n"
        "import sys; assert 'sklearn' not in sys.modules and 'matplotlib' not in sys.modules\n"
        "print(min(times))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(ran.stdout) < 0.05


def test_damage_is_refused_by_name(tmp_path: Path, digits: Benchmark) -> None:
    content = bytearray(FILE.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "digits.parquet"
    damaged.write_bytes(content)
    with pytest.raises(BenchmarkError, match=r"intact benchmark file(.|\n)*digits\.parquet"):
        open_benchmark(damaged)


def test_a_number_changed_without_the_checksum_is_refused(tmp_path: Path) -> None:
    import polars as pl

    frame = pl.read_parquet(FILE)
    header = pl.read_parquet_metadata(FILE)["archwalk"]
    changed = frame.with_columns(pl.col("jigsaw/top1/valid/final") + 0.01)
    file = tmp_path / "digits.parquet"
    changed.write_parquet(file, metadata={"archwalk": header, "archwalk-sha256": "0" * 64})
    file.write_bytes(seal(file.read_bytes()))
    with pytest.raises(BenchmarkError, match="checksum"):
        open_benchmark(tmp_path / "digits.parquet")


def test_rows_of_the_table_come_out_again() -> None:
    report = verify(2, seed=1)
    assert report.agrees, str(report)
    assert "2 of 2 rows agree" in str(report)


def test_a_wrong_row_is_noticed() -> None:
    row = Row("digits16-0_00_000", "jigsaw", "top1", (4.0, 4.0, 4.0), (4.0, 4.0, 5.0 + TOLERANCE["top1"]))
    assert not row.agrees
    assert "OFF" in str(Report((row,)))
    with pytest.raises(SettingsError, match="positive sample"):
        verify(0)


def test_the_tables_of_the_card(digits: Benchmark, summaries: list[TaskSummary]) -> None:
    printed = text(digits, summaries, correlations(digits))
    card = Path(__file__).parents[3] / "docs" / "digits.md"
    for line in printed.splitlines():
        assert line in card.read_text(), f"docs/digits.md lacks: {line}"


def test_rank_noise_of_nothing_but_chance_and_of_none() -> None:
    values = np.arange(50.0)
    assert rank_noise(np.stack([values, values, values])) == 0
    g = np.random.default_rng(0)
    assert rank_noise(np.stack([g.permutation(values) for _ in range(20)])) == pytest.approx(1, abs=0.1)


def test_climb_by_hand() -> None:
    # A line 0-1-2-3-4 with a small hill at 0 and the top at 3.
    values = np.array([2.0, 1.0, 3.0, 5.0, 4.0])
    neighbours = np.array([[1, 1], [0, 2], [1, 3], [2, 4], [3, 3]], dtype=np.int32)
    assert climb(values, neighbours).tolist() == [0, 3, 3, 3, 3]
