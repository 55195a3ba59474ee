"""What ``evaluate``, ``search`` and ``compare`` return: dictionaries with typed attributes, too.

In: names and values. Out: objects that a type checker knows, that print a line a field, and that are JSON.
Next: whoever called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["ComparisonRow", "EvaluationResult", "Result", "SearchResult"]

WIDEST = 88  # characters of a printed field
LISTED = 4  # entries of a printed list


class Result(dict[str, Any]):
    """A dictionary whose keys can be read as attributes, too: ``result.value`` is ``result["value"]``.

    It equals a dictionary with the same content, and ``json.dumps`` takes it. The attributes that a class
    declares are its documented keys; there may be more.
    """

    if not TYPE_CHECKING:  # a checker knows the declared attributes alone

        def __getattr__(self, name: str) -> Any:
            try:
                return self[name]
            except KeyError:
                raise AttributeError(
                    f"{type(self).__name__} has no {name!r}; it has {', '.join(self)}"
                ) from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self})

    def to_dict(self) -> dict[str, Any]:
        """The same in plain dictionaries and lists, with None for NaN and infinity, which JSON has not."""
        from archwalk.files import finite

        return {key: finite(value) for key, value in self.items()}

    def __str__(self) -> str:
        return "\n".join(f"{key}: {_shown(value)}" for key, value in self.items())


def _shown(value: Any) -> str:
    """A value in one short line."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict) and len(value) > LISTED:
        return f"{len(value)} entries: {', '.join(map(str, list(value)[:LISTED]))}, ..."
    if isinstance(value, list | tuple) and len(value) > LISTED:
        return f"{len(value)} entries"
    text = str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 4]} ..."


class EvaluationResult(Result):
    """How good an agent, or another policy, is on a task, and what it cost; docs/metrics.md explains each."""

    benchmark: str
    """Name of the table or task file."""
    protocol: str
    """The published protocol whose reward counts; empty: the file's own."""
    source_task: str
    """The task that the agent was trained on; empty of a foreign policy."""
    regime: str
    """``scratch``, ``zero-shot``, ``fine-tune`` or ``retrain``; ``policy`` of a foreign one."""
    seed: int
    algorithm: str
    """What trained it; empty of a foreign policy."""
    transfer: str
    """How it was moved to its task; empty where it was not."""
    task: str
    metric: str
    split: str
    epoch: str
    """Of the split's column."""
    note: str
    """Why it is not the test split; empty where it is, or where another was asked for."""
    starts: int
    """Number of walks."""
    walk_length_mean: float
    validation_score: float | None
    """0 a random architecture, 1 the best; None in a space that nobody lists."""
    mean: float
    """Of the metric on the split, where the walks end."""
    std: float
    starts_ci95: tuple[float, float]
    """Of the mean over starts alone."""
    oracle: float | None
    regret_mean: float | None
    rank_mean: float | None
    rank_percentile_mean: float | None
    valid_mean: float
    valid_best_on_walk_mean: float
    best_on_walk_mean: float
    """Short for ``valid_best_on_walk_mean``."""
    test_mean: float | None
    test_std: float | None
    test_best_on_walk_mean: float | None
    oracle_test: float | None
    random_quantile: float
    trained_steps: int | None
    """None of a foreign policy, as all costs."""
    sampled_steps: int | None
    evaluations: int | None
    """Distinct architectures that training looked up on this task."""
    evaluation_hours: float | None
    source_trained_steps: int | None
    seconds: float | None


class SearchResult(Result):
    """What a search found, and what it cost.

    With ``cost`` there is ``front``, with experience ``experience``. Of several tasks there are
    ``evaluations``, ``seconds`` and ``tasks`` alone, in which each task has all the others.
    """

    architecture: str | None
    """The best one; None if every evaluation failed."""
    value: float | None
    """Its value in the metric's own unit."""
    metric: str
    evaluations: int
    ok: int
    failed: int
    timeout: int
    invalid: int
    seconds: float
    """Wall time of the evaluations."""
    looks: list[dict[str, Any]]
    """Every evaluation in order: ``architecture``, ``status``, ``message`` and its metrics."""
    front: list[dict[str, Any]]
    """Those that no other beats in both metric and cost."""
    experience: list[str]
    """What was known beforehand, a line each."""
    tasks: dict[str, SearchResult]


class ComparisonRow(Result):
    """One method on one target after one budget; docs/search.md explains each."""

    target: str
    method: str
    budget: int
    rank_mean: float | None
    """None on a predicting task, as all ranks."""
    rank_std: float | None
    rank_ci95: list[float] | None
    score_mean: float
    score_std: float
    score_ci95: list[float] | None
    regret_mean: float
    value_mean: float
    evaluations: float
    seconds: float
    protocol: str
    reward: str
    source_evaluations: int | None
    against: dict[str, dict[str, Any]]
    """Baseline → ``difference``, ``p``, ``p_holm``, ``verdict``."""
    reference: dict[str, Any]
    """On a predicting task alone: the best that is known."""
