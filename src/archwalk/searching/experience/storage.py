"""Studies of an Optuna storage as tables of trials.

In: an SQLite file. Out: a frame a study, as ``trials`` reads it: a row a trial, with the architecture or its
slots, its status and its results. Read with SQL that names columns of Optuna's schema of versions 3 to 5, so
that Optuna need not be installed. Next: ``trials``.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from archwalk.errors import SearchError, reason

_ARCHITECTURE = "architecture"


def is_storage(content: bytes) -> bool:
    """Whether a file is an SQLite database."""
    return content.startswith(b"SQLite format 3\x00")


def read_storage(path: Path) -> dict[str, tuple[pl.DataFrame, dict[str, str]]]:
    """The studies of a storage.

    Returns:
        Study → its trials, and metric → direction (``max`` or ``min``) of its objectives. An objective
        without a name is called ``value``, of several ``value 0`` and so on.

    Raises:
        SearchError: it is no Optuna storage, or has no study.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            studies = db.execute("SELECT study_id, study_name FROM studies ORDER BY study_id").fetchall()
            found = {str(name): _study(db, number) for number, name in studies}
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        raise SearchError(
            "a storage of Optuna (SQLite)", f"{path}: {reason(error)}", "name another file"
        ) from error
    if not found:
        raise SearchError("a storage with a study", f"{path}, which has none", "name another file")
    return found


def _study(db: sqlite3.Connection, study: int) -> tuple[pl.DataFrame, dict[str, str]]:
    said = "SELECT objective, direction FROM study_directions WHERE study_id = ? ORDER BY objective"
    directions = ["min" if d == "MINIMIZE" else "max" for _, d in db.execute(said, (study,))]
    system = (
        "SELECT value_json FROM study_system_attributes WHERE study_id = ? AND key = 'study:metric_names'"
    )
    row = db.execute(system, (study,)).fetchone()
    alone = len(directions) == 1
    names = (
        json.loads(row[0]) if row else ["value"] if alone else [f"value {i}" for i in range(len(directions))]
    )
    rows: dict[int, dict[str, Any]] = {}
    trials = "SELECT trial_id, state FROM trials WHERE study_id = ? ORDER BY number"
    for trial, state in db.execute(trials, (study,)):
        if state in ("COMPLETE", "FAIL", "PRUNED"):
            rows[trial] = {"status": state.lower()}
    params = (
        "SELECT p.trial_id, param_name, param_value, distribution_json FROM trial_params p"
        " JOIN trials t ON t.trial_id = p.trial_id WHERE study_id = ?"
    )
    for trial, name, value, distribution in db.execute(params, (study,)):
        if trial in rows:
            rows[trial][name] = _value(value, json.loads(distribution))
    texts = (
        "SELECT a.trial_id, value_json FROM trial_user_attributes a"
        f" JOIN trials t ON t.trial_id = a.trial_id WHERE study_id = ? AND key = '{_ARCHITECTURE}'"
    )
    for trial, text in db.execute(texts, (study,)):
        if trial in rows:
            rows[trial][_ARCHITECTURE] = str(json.loads(text))
    values = (
        "SELECT v.trial_id, objective, value FROM trial_values v"
        " JOIN trials t ON t.trial_id = v.trial_id WHERE study_id = ?"
    )
    for trial, objective, value in db.execute(values, (study,)):
        if trial in rows and rows[trial]["status"] == "complete":
            rows[trial][names[objective]] = value
    columns = dict.fromkeys(column for row in rows.values() for column in row)
    frame = pl.DataFrame({c: pl.Series([row.get(c) for row in rows.values()], strict=False) for c in columns})
    return frame, dict(zip(names, directions, strict=True))


def _value(value: float, distribution: dict[str, Any]) -> str:
    """A parameter as text."""
    about = distribution["attributes"]
    if distribution["name"] == "CategoricalDistribution":
        choice = about["choices"][int(value)]
        return choice if isinstance(choice, str) else json.dumps(choice)
    if distribution["name"].startswith("Int"):
        return str(int(value))
    return repr(float(value))
