"""What a type checker says of a user's program: nothing where it is right, and of slips what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLIENT = """
from __future__ import annotations

import archwalk
from archwalk.results import ComparisonRow, EvaluationResult, SearchResult

run = archwalk.train("digits", "jigsaw", "runs/a", preset="quick", executor="inline")
moved = archwalk.transfer(run.path, "normal", "fine-tune", "runs/b")
found: SearchResult = archwalk.search(None, "out", space="digits", task="jigsaw", budget=9)
best: str | None = found.architecture
number: int = found.evaluations + found["failed"]
rows: list[ComparisonRow] = archwalk.compare("digits", "jigsaw", "c", methods=["gp"], source_sample="random")
mean: float | None = rows[0].rank_mean
env = archwalk.make_env("digits", "jigsaw", tokens="graph", keep_truncates=True)
measured: EvaluationResult = archwalk.evaluate_policy(lambda seen, mask: 0, "digits", "jigsaw")
steps: int | None = measured.trained_steps

archwalk.trian("digits", "jigsaw", "runs/a")  # Module has no attribute "trian"; maybe "train"
archwalk.transfer("runs/a", "normal", "finetune", "runs/b")  # expected "Literal['zero-shot', 'fine-tune'
archwalk.train("digits", "jigsaw", "runs/a", executor="spark")  # expected "Literal['inline', 'ray']"
archwalk.search(None, "out", space="digits", budjet=9)  # did you mean "budget"
archwalk.search(None, "out").architecure  # maybe "architecture"
archwalk.make_env("digits", "jigsaw", tokens="nodes")  # expected "Literal['graph', 'slots']"
archwalk.make_vec_env("digits", "jigsaw", 8, token="graph")  # did you mean "tokens"
size: int = archwalk.search(None, "out").architecture  # expression has type "str | None"
archwalk.compare("digits", "jigsaw", "c", source_sample="all")  # expected "Literal['search', 'random']"
archwalk.evaluate(3)  # expected "str | Path"
archwalk.Benchmark  # Module has no attribute "Benchmark"
"""


def test_a_users_program_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "client.py"
    file.write_text(CLIENT)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", file], capture_output=True, text=True, cwd=ROOT
    )
    said = dict(re.findall(r"client\.py:(\d+): error: (.*)", done.stdout))
    lines = CLIENT.splitlines()
    wrong = {str(i): line.partition("  # ")[2] for i, line in enumerate(lines, 1) if "  # " in line}
    assert len(wrong) == 11
    assert said.keys() == wrong.keys(), done.stdout + done.stderr
    for line, says in wrong.items():
        assert says in said[line]
