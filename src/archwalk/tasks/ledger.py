"""``Evaluations``: every look at a metric goes through here, is counted, and is kept.

In: an evaluator, architecture → metrics. Out: ``Look`` rows in the order in which they were claimed. One
SQLite file (or memory, for tables) holds them: a row is claimed before its evaluation starts, so that
processes sharing the file never look at the same key twice; the claim of a process that died is taken over,
a finished look is never repeated. Next: ``methods`` read the looks and propose the next architecture.
"""

from __future__ import annotations

import fcntl
import json
import math
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from archwalk.errors import SearchError

Metrics = Mapping[str, float]
Evaluator = Callable[[str], Metrics]
Status = Literal["ok", "failed", "timeout", "invalid"]
FORMAT = "1"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS looks (
  position INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE NOT NULL, architecture TEXT NOT NULL,
  owner TEXT, status TEXT, metrics TEXT, message TEXT, seconds REAL);
"""


class EvaluationFailed(Exception):
    """One evaluation that gave no usable number; recorded and counted, the search goes on.

    Args:
        status: ``failed``, ``timeout`` or ``invalid``.
        message: what happened.
    """

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status: Status = status


@dataclass(frozen=True)
class Look:
    """One finished evaluation.

    Attributes:
        architecture: its string.
        status: ``ok``; ``failed`` (crashed), ``timeout``, or ``invalid`` (NaN or infinite).
        metrics: as the evaluator gave them; empty unless ``ok``.
        message: what went wrong.
        seconds: of wall time.
    """

    architecture: str
    status: Status
    metrics: dict[str, float]
    message: str
    seconds: float


class BudgetSpent(Exception):
    """Every look of the budget is taken, or claimed by another process."""


class Evaluations:
    """Budgeted, cached, counted evaluations of one task.

    Args:
        evaluator: raises ``EvaluationFailed`` for what is to be recorded; anything else ends the search
            and leaves no look behind.
        required: names of the metrics that every successful look must have.
        identity: what the file is for; a file made for anything else is refused.
        path: the SQLite file; in memory by default.

    Raises:
        SearchError: the file is damaged, of another task, or cannot be written.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        required: tuple[str, ...],
        identity: Mapping[str, Any] | None = None,
        path: Path | None = None,
    ) -> None:
        self._evaluator, self._required, self._path = evaluator, required, path
        self._owner = uuid.uuid4().hex
        with _readable(path):
            self._db = sqlite3.connect(path or ":memory:", timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_SCHEMA)
            self._check_identity({"format": FORMAT} | {k: json.dumps(v) for k, v in (identity or {}).items()})
        # The kernel lets go of a lock when its process dies, however it dies: so the dead are known.
        self._lock = open(self._lock_file(self._owner), "w") if path else None  # noqa: SIM115
        if self._lock:
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
        if self._lock:
            self._lock_file(self._owner).unlink(missing_ok=True)
            self._lock.close()

    def looks(self) -> list[Look]:
        """Finished looks, in the order of their claims."""
        rows = self._db.execute(
            "SELECT architecture, status, metrics, message, seconds FROM looks"
            " WHERE status IS NOT NULL ORDER BY position"
        )
        return [Look(a, s, json.loads(m), message, t) for a, s, m, message, t in rows]

    def under_way(self) -> list[str]:
        """Architectures that living processes are evaluating now; methods treat them as looked at."""
        rows = self._db.execute("SELECT architecture, owner FROM looks WHERE status IS NULL").fetchall()
        return [architecture for architecture, owner in rows if self._alive(owner)]

    def look(self, architecture: str, key: str, budget: int) -> Look:
        """Evaluate one architecture, or say what an earlier look at the same key found.

        Args:
            architecture: its string.
            key: equal for architectures of which one look tells all.
            budget: looks that may be taken in all, failures included.

        Raises:
            BudgetSpent: no look is left, or another process is at this key.
            SearchError: metrics without a required name; nothing is recorded.
        """
        found = self._claim(architecture, key, budget)
        if found is not None:
            return found
        began = time.monotonic()
        try:
            look = self._evaluate(architecture, began)
        except BaseException:
            self._db.execute("DELETE FROM looks WHERE key = ? AND status IS NULL", (key,))
            raise
        self._db.execute(
            "UPDATE looks SET status=?, metrics=?, message=?, seconds=?, owner=NULL WHERE key=?",
            (look.status, json.dumps(look.metrics), look.message, look.seconds, key),
        )
        return look

    def _claim(self, architecture: str, key: str, budget: int) -> Look | None:
        with self._transaction():
            row = self._db.execute(
                "SELECT architecture, status, metrics, message, seconds, owner FROM looks WHERE key = ?",
                (key,),
            ).fetchone()
            if row and row[1] is not None:
                return Look(row[0], row[1], json.loads(row[2]), row[3], row[4])
            if row and self._alive(row[5]):
                raise BudgetSpent(f"{architecture} is being evaluated by another process")
            for position, owner in self._db.execute(
                "SELECT position, owner FROM looks WHERE status IS NULL"
            ).fetchall():
                if not self._alive(owner):
                    self._db.execute("DELETE FROM looks WHERE position = ?", (position,))
            taken = self._db.execute("SELECT COUNT(*) FROM looks").fetchone()[0]
            if taken >= budget:
                raise BudgetSpent(f"{taken} of {budget} looks are taken")
            self._db.execute(
                "INSERT INTO looks (key, architecture, owner) VALUES (?, ?, ?)",
                (key, architecture, self._owner),
            )
        return None

    def _evaluate(self, architecture: str, began: float) -> Look:
        try:
            metrics = {str(k): float(v) for k, v in self._evaluator(architecture).items()}
        except EvaluationFailed as error:
            return Look(architecture, error.status, {}, str(error), time.monotonic() - began)
        missing = [name for name in self._required if name not in metrics]
        if missing:
            raise SearchError(
                f"an evaluator whose metrics include {', '.join(map(repr, missing))}",
                f"{', '.join(map(repr, metrics)) or 'no metrics'} for {architecture!r}",
                "return that key, or name another one with --metric; no look was counted",
            )
        bad = [name for name in self._required if not math.isfinite(metrics[name])]
        if bad:
            message = ", ".join(f"{name} is {metrics[name]}" for name in bad)
            return Look(architecture, "invalid", {}, message, time.monotonic() - began)
        return Look(architecture, "ok", metrics, "", time.monotonic() - began)

    def _check_identity(self, wanted: dict[str, str]) -> None:
        with self._transaction():
            there = dict(self._db.execute("SELECT name, value FROM identity"))
            if not there:
                self._db.executemany("INSERT INTO identity VALUES (?, ?)", wanted.items())
                return
        changed = [n for n in sorted({*there, *wanted}) if there.get(n) != wanted.get(n)]
        if changed:
            raise SearchError(
                f"a cache of this task ({', '.join(f'{n} {wanted.get(n)}' for n in changed)})",
                f"{self._path}, made for {', '.join(f'{n} {there.get(n)}' for n in changed)}",
                "choose another --out, or repeat the command that made it",
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _lock_file(self, owner: str) -> Path:
        path = self._path or Path()
        return path.with_name(f".{path.name}.{owner}")

    def _alive(self, owner: str) -> bool:
        if self._path is None or owner == self._owner:
            return False
        try:
            with open(self._lock_file(owner)) as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        self._lock_file(owner).unlink(missing_ok=True)  # nobody's any more
        return False


@contextmanager
def _readable(path: Path | None) -> Iterator[None]:
    """SQLite's complaints about a file, as errors that a user can mend."""
    try:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except sqlite3.OperationalError as error:
        raise SearchError(f"to open {path}", str(error), "choose a writable folder with --out") from error
    except (sqlite3.DatabaseError, OSError) as error:
        raise SearchError(
            "an intact cache of evaluations",
            f"{path}: {error}",
            "restore it, or choose another --out; the file was left as it is",
        ) from error


def read_looks(path: Path) -> list[Look]:
    """The finished looks of a cache file, without claiming anything."""
    with _readable(path), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT architecture, status, metrics, message, seconds FROM looks"
            " WHERE status IS NOT NULL ORDER BY position"
        ).fetchall()
    return [Look(a, s, json.loads(m), message, t) for a, s, m, message, t in rows]
