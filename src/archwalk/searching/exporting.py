"""A ledger as other tools keep trials: a CSV, or an Optuna storage that its dashboard opens.

In: a search's folder. Out: a file. Both are experience for another search: ``archwalk search --experience``.
Next: people, their spreadsheets and dashboards.
"""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from archwalk.errors import SearchError
from archwalk.files import write_atomically
from archwalk.searching.experience.past import CACHE, JOINT
from archwalk.searching.experience.past import space_of_ledger as space_of
from archwalk.spaces.correspondence import slots_of
from archwalk.tasks.ledger import Evaluation, read_evaluations, read_identity

FORMS = ("csv", "optuna:FILE")
ATTRIBUTE = "architecture"  # of an Optuna trial: its string


def export(folder: Path, to: str, out: Path | None = None, name: str | None = None) -> Path:
    """Write what a search has evaluated.

    Args:
        folder: of a search, or of an optimizer.
        to: ``csv``, or ``optuna:FILE`` (SQLite; needs the extra ``peers``).
        out: the CSV's file; ``evaluations.csv`` in the folder by default.
        name: of the Optuna study; the folder's by default.

    Returns:
        The file.

    Raises:
        SearchError: no search there, an unknown form, a study of that name already, or no Optuna.
    """
    form, _, file = to.partition(":")
    if form not in ("csv", "optuna") or (form == "optuna") != bool(file):
        raise SearchError(f"one of {' and '.join(FORMS)}", repr(to), "correct --to")
    if (folder / JOINT).exists():
        raise SearchError("the search of one task", f"{folder}, of several", f"name one: {folder}/TASK")
    if not (folder / CACHE).exists():
        raise SearchError("a search's folder", f"{folder}, without {CACHE}", "check the path")
    evaluations = read_evaluations(folder / CACHE)
    identity = read_identity(folder / CACHE)
    if form == "csv":
        return _csv(folder, identity, evaluations, out or folder / "evaluations.csv")
    return _optuna(folder, identity, evaluations, Path(file), name or folder.resolve().name)


def _csv(folder: Path, identity: dict[str, Any], evaluations: list[Evaluation], out: Path) -> Path:
    """A row an evaluation: the string, the slots, status, message, seconds, metrics."""
    slots = _slot_columns(folder, identity, evaluations)
    metrics = list(dict.fromkeys(name for e in evaluations for name in e.metrics))
    taken = {"architecture", "status", "message", "seconds", *slots}
    columns: dict[str, list[Any]] = {"architecture": [e.architecture for e in evaluations], **slots}
    columns |= {"status": [e.status for e in evaluations], "message": [e.message for e in evaluations]}
    columns["seconds"] = [e.seconds for e in evaluations]
    for metric in metrics:
        column = f"metric {metric}" if metric in taken else metric
        columns[column] = [e.metrics.get(metric) for e in evaluations]
    write_atomically(out, pl.DataFrame(columns, strict=False).write_csv().encode())
    return out


def _slot_columns(
    folder: Path, identity: dict[str, Any], evaluations: list[Evaluation]
) -> dict[str, list[str]]:
    """Choices by slot; an absent slot is empty. Nothing for a space whose slots have no names."""
    space = space_of(identity["space"], folder / CACHE)
    slots = slots_of(space)
    if not slots:
        return {}
    codes = space.rows(e.architecture for e in evaluations).tolist()
    return {
        slot: [choices[code[s]] if code[s] >= 0 else "" for code in codes]
        for s, (slot, choices) in enumerate(slots.items())
    }


def _optuna(
    folder: Path, identity: dict[str, Any], evaluations: list[Evaluation], file: Path, name: str
) -> Path:
    """A study of finished trials: parameters are slots, or the architecture where slots have no names."""
    optuna = import_optuna()
    directions = ["maximize" if d == "max" else "minimize" for _, d in identity["metrics"]]
    goals = [metric for metric, _ in identity["metrics"]]
    columns = _slot_columns(folder, identity, evaluations)
    columns = columns or {ATTRIBUTE: [e.architecture for e in evaluations]}
    spaces = {
        slot: optuna.distributions.CategoricalDistribution(sorted({*values} - {""}) or [""])
        for slot, values in columns.items()
    }
    if not (named := slots_of(space_of(identity["space"], folder / CACHE))):
        named = {}
    spaces |= {s: optuna.distributions.CategoricalDistribution([*named[s]]) for s in columns if s in named}
    file.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{file.resolve()}")
    try:
        if name in optuna.study.get_all_study_names(storage):
            raise SearchError(
                "a study name that the storage does not have", repr(name), "choose another --name"
            )
        study = optuna.create_study(storage=storage, study_name=name, directions=directions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that names of metrics are experimental
            study.set_metric_names(goals)
        study.set_user_attr(
            "archwalk", json.dumps({"space": identity["space"], "metrics": identity["metrics"]})
        )
        began = datetime.now(UTC).replace(tzinfo=None) - timedelta(
            seconds=sum(e.seconds for e in evaluations)
        )
        for i, e in enumerate(evaluations):
            ok = e.status == "ok"
            present = {slot: values[i] for slot, values in columns.items() if values[i] != ""}
            trial = optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE if ok else optuna.trial.TrialState.FAIL,
                values=[e.metrics[goal] for goal in goals] if ok else None,
                params=present,
                distributions={slot: spaces[slot] for slot in present},
                user_attrs={ATTRIBUTE: e.architecture, "status": e.status, "message": e.message}
                | {"seconds": e.seconds}
                | {f"metric {n}": v for n, v in e.metrics.items() if n not in goals},
            )
            trial.datetime_start = began
            began = trial.datetime_complete = began + timedelta(seconds=e.seconds)
            study.add_trial(trial)
    finally:
        storage.remove_session()
        storage.engine.dispose()
    return file


def import_optuna() -> Any:
    """Optuna, silent. Raises ``SearchError`` if it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise SearchError("optuna, for its storages", "none", "pip install 'archwalk[peers]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
