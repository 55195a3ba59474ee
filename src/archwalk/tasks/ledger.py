"""``Ledger``: every evaluation of a task goes through here, is counted, and is kept.

In: an evaluator, architecture → metrics. Out: ``Evaluation`` rows in the order in which they were claimed.
One SQLite file (or memory, for tables) holds them: a row is claimed before its evaluation starts, so that
processes sharing the file never evaluate the same key twice; the claim of a process that died is taken over,
a finished evaluation is never repeated. Next: ``archwalk.searching.loop`` reads the evaluations and asks a
method for the next architecture.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from archwalk.calling import ONLY
from archwalk.errors import SearchError, enumerated, reason
from archwalk.files import locked
from archwalk.tasks.identity import FIRST_FORMAT, FORMAT, Identity, first_difference

Metrics = Mapping[str, float]
Evaluator = Callable[[str], Metrics]
Status = Literal["ok", "failed", "timeout", "invalid"]
STATUSES = get_args(Status)
_SETTLED = 60.0  # seconds after which a lock file that nobody holds is not about to be held
_HELD = "until "  # begins the owner of a claim that outlives its process; the time at which it ends follows
_COLUMNS = "architecture, status, metrics, message, seconds"
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS identity (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS evaluations ("
    "position INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE NOT NULL, architecture TEXT NOT NULL,"
    " owner TEXT, status TEXT, metrics TEXT, message TEXT, seconds REAL)",
    "CREATE TABLE IF NOT EXISTS known ("
    "name TEXT NOT NULL, architecture TEXT NOT NULL, value REAL, PRIMARY KEY (name, architecture))",
)


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
class Evaluation:
    """One finished evaluation.

    Attributes:
        architecture: its string.
        status: ``ok``; ``failed`` (crashed), ``timeout``, or ``invalid`` (NaN, infinite, or not there).
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
    """Every evaluation of the budget is made, or claimed by another process."""


class Ledger:
    """Budgeted, kept, counted evaluations of one task.

    Args:
        evaluator: raises ``EvaluationFailed`` for what is to be recorded; anything else ends the search
            and leaves no evaluation behind.
        required: names of the metrics that every successful evaluation must have.
        identity: what the file is for; a file made for anything else is refused. May be left out in memory.
        path: the SQLite file; in memory by default.

    Raises:
        SearchError: the file is damaged, of another task, or cannot be written.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        required: tuple[str, ...],
        identity: Identity | None = None,
        path: Path | None = None,
    ) -> None:
        self._evaluator, self._required, self._path = evaluator, required, path
        self.closed = False
        self._bare = len(required) == 1 and (identity is None or identity.bare)
        self._owner, self._guard = uuid.uuid4().hex, threading.RLock()
        if path:
            _sweep(path)
        with _readable(path):
            self._db = sqlite3.connect(
                path or ":memory:", timeout=60, isolation_level=None, check_same_thread=False
            )
            self._sql("PRAGMA journal_mode=WAL")
            self._open(identity)
        # The system lets go of a lock when its process dies, however it dies: so the dead are known.
        self._lock = locked(self._lock_file(self._owner)) if path else None

    def copy(self, path: Path) -> None:
        """A file with the finished evaluations; claims are not taken along."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._guard, _readable(path), closing(sqlite3.connect(path)) as db:
            self._db.backup(db)
            db.execute("DELETE FROM evaluations WHERE status IS NULL")
            db.commit()

    def close(self) -> None:
        """Let go of the file."""
        self.closed = True
        self._db.close()
        if self._lock:
            self._lock.release()  # first: Windows removes no file that is open
            self._lock_file(self._owner).unlink(missing_ok=True)

    def _sql(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """One statement. Raises ``SearchError`` where the file turns out to be damaged, full or locked."""
        with self._guard, _readable(self._path):
            return self._db.execute(statement, values)

    def evaluations(self) -> list[Evaluation]:
        """Those that are finished, in the order of their claims."""
        with self._guard, _readable(self._path):
            return _finished(self._db)

    def pending(self) -> list[str]:
        """Architectures under evaluation, here or in other living processes; methods suggest others."""
        rows = self._sql("SELECT architecture, owner FROM evaluations WHERE status IS NULL").fetchall()
        return [architecture for architecture, owner in rows if self._alive(owner)]

    def claim(
        self, architecture: str, key: str, budget: int | None = None, hold: float | None = None
    ) -> Evaluation | None:
        """Claim one architecture, so that nobody else is given it, or say what its evaluation found.

        Args:
            architecture: its string.
            key: equal for architectures of which one evaluation tells all.
            budget: evaluations that may be made in all, failures and claims included; None: any number.
            hold: seconds of wall time for which the claim outlives this process; None: it ends with it.

        Raises:
            BudgetSpent: none is left, or somebody is at this key.
        """
        owner = self._owner if hold is None else f"{_HELD}{time.time() + hold}"
        with self._transaction():
            row = self._sql(f"SELECT {_COLUMNS}, owner FROM evaluations WHERE key = ?", (key,)).fetchone()
            if row and row[1] is not None:
                return _evaluation(row[:-1])
            if row and self._alive(row[-1]):
                raise BudgetSpent(f"{architecture} is being evaluated by another process")
            for position, other in self._sql(
                "SELECT position, owner FROM evaluations WHERE status IS NULL"
            ).fetchall():
                if not self._alive(other):
                    self._sql("DELETE FROM evaluations WHERE position = ?", (position,))
            count = self._sql("SELECT COUNT(*) FROM evaluations").fetchone()[0]
            if budget is not None and count >= budget:
                raise BudgetSpent(f"{count} of {budget} evaluations are made")
            self._sql(
                "INSERT INTO evaluations (key, architecture, owner) VALUES (?, ?, ?)",
                (key, architecture, owner),
            )
        return None

    def release(self, key: str) -> None:
        """Give a claim up; nothing happens to an evaluation that is finished."""
        self._sql("DELETE FROM evaluations WHERE key = ? AND status IS NULL", (key,))

    def tell(
        self, architecture: str, key: str, answer: Metrics | EvaluationFailed, seconds: float = 0.0
    ) -> Evaluation:
        """Keep what an evaluation found, claimed or not, by whomever. It is kept when this returns.

        Args:
            architecture: its string.
            key: as in ``claim``.
            answer: its metrics, or how it failed.
            seconds: of wall time that it took.

        Returns:
            The evaluation; the one that is there, if the same was told before.

        Raises:
            SearchError: another answer was told before; or the first one lacks a required metric: it is kept,
                and counts.
        """
        if isinstance(answer, EvaluationFailed):
            status, metrics, message = answer.status, dict[str, float](), str(answer)
        else:
            status, metrics, message = self._judge({**answer})
        values = status, json.dumps(metrics), message, seconds
        with self._transaction():
            row = self._sql(f"SELECT {_COLUMNS} FROM evaluations WHERE key = ?", (key,)).fetchone()
            if row and row[1] is not None:
                if (status, values[1]) == row[1:3]:
                    return _evaluation(row)
                raise SearchError(
                    f"one answer for {architecture!r}",
                    f"{status} {values[1]}, after {row[1]} {row[2]} was told",
                    "leave it out: an evaluation that is kept does not change",
                )
            first = not self._answered()
            if row is None:
                self._sql("INSERT INTO evaluations (key, architecture) VALUES (?, ?)", (key, architecture))
            self._sql(
                "UPDATE evaluations SET status=?, metrics=?, message=?, seconds=?, owner=NULL WHERE key=?",
                (*values, key),
            )
        missing = self.missing(metrics)
        if metrics and missing and first:
            raise SearchError(
                f"an evaluator whose metrics include {', '.join(map(repr, missing))}",
                f"{_named(metrics)} for {architecture!r}",
                "if one of these is meant, name it with --metric: the evaluation is kept and will count; if "
                "such an answer may come, give the same command again: it goes on with other architectures",
            )
        return Evaluation(architecture, status, metrics if status == "ok" else {}, message, seconds)

    def known(self, name: str) -> dict[str, float]:
        """What was measured before any evaluation, in order: architecture → value."""
        found = "SELECT architecture, value FROM known WHERE name = ? ORDER BY rowid"
        return {
            text: math.nan if value is None else float(value)
            for text, value in self._sql(found, (name,)).fetchall()
        }

    def keep_known(self, name: str, architecture: str, value: float) -> float:
        """Keep what was measured before an evaluation; the first value counts, and is returned."""
        with self._transaction():
            self._sql("INSERT OR IGNORE INTO known VALUES (?, ?, ?)", (name, architecture, value))
            row = self._sql(
                "SELECT value FROM known WHERE name = ? AND architecture = ?", (name, architecture)
            )
            (kept,) = row.fetchone()
        return math.nan if kept is None else float(kept)

    def missing(self, metrics: Metrics) -> list[str]:
        """Names of the required metrics that an answer lacks; none for a bare number where one is meant."""
        bare = set(metrics) == {ONLY} and self._bare
        return [] if bare else [name for name in self._required if name not in metrics]

    def evaluate(self, architecture: str, key: str, budget: int) -> Evaluation:
        """Evaluate one architecture, or say what an earlier evaluation with the same key found.

        Args:
            architecture: its string.
            key: equal for architectures of which one evaluation tells all.
            budget: evaluations that may be made in all, failures included.

        Raises:
            BudgetSpent: none is left, or another process is at this key.
            SearchError: the first answer lacks a required metric; it is kept, and counts.
        """
        found = self.claim(architecture, key, budget)
        return self.answer(architecture, key) if found is None else found

    def answer(self, architecture: str, key: str) -> Evaluation:
        """Evaluate what is claimed, and keep what comes of it. Raises as ``tell`` does."""
        began = time.monotonic()
        answer: Metrics | EvaluationFailed
        try:
            answer = {str(k): float(v) for k, v in self._evaluator(architecture).items()}
        except EvaluationFailed as error:
            answer = error
        except BaseException:
            self.release(key)
            raise
        return self.tell(architecture, key, answer, time.monotonic() - began)

    def _answered(self) -> bool:
        """Whether any evaluation has given a number so far."""
        given = self._sql("SELECT COUNT(*) FROM evaluations WHERE metrics NOT IN ('{}')").fetchone()
        return bool(given[0])

    def forget_failed(self) -> int:
        """Drop the evaluations that failed, so that they can be made again. Returns how many there were."""
        with self._transaction():
            failed = "DELETE FROM evaluations WHERE status IS NOT NULL AND status != 'ok'"
            return self._sql(failed).rowcount

    def _judge(self, metrics: dict[str, float]) -> tuple[Status, dict[str, float], str]:
        """Whether metrics are what was asked for, under their names, and what is wrong if they are not."""
        if set(metrics) == {ONLY} and self._bare:
            metrics = {self._required[0]: metrics[ONLY]}
        missing = self.missing(metrics)
        if missing:
            said = f"no {', '.join(map(repr, missing))} in the answer: {_named(metrics)}"
            return "invalid", metrics, said
        bad = [name for name in self._required if not math.isfinite(metrics[name])]
        if bad:
            return "invalid", metrics, ", ".join(f"{name} is {metrics[name]}" for name in bad)
        return "ok", metrics, ""

    def _open(self, identity: Identity | None) -> None:
        """Make the tables of a new file; compare what an old one is for, and change nothing if it differs."""
        wanted = identity.entries() if identity else {"format": FORMAT}
        with self._transaction():
            tables = {name for (name,) in self._sql("SELECT name FROM sqlite_master")}
            there = dict(self._sql("SELECT name, value FROM identity")) if "identity" in tables else {}
            if identity and there.get("format") == FIRST_FORMAT:
                self._take_over(identity, there)
            elif there:
                if identity and there.get("metrics") != wanted["metrics"] and self._nothing_succeeded(tables):
                    self._compare(there | {"metrics": wanted["metrics"]}, wanted)
                    self._judge_again(wanted["metrics"])
                else:
                    self._compare(there, wanted)
            for statement in _SCHEMA:
                self._sql(statement)
            if not there:
                self._write_identity(wanted)

    def _write_identity(self, entries: Mapping[str, str]) -> None:
        for entry in entries.items():
            self._sql("INSERT INTO identity VALUES (?, ?)", entry)

    def _nothing_succeeded(self, tables: Container[str]) -> bool:
        """Whether no evaluation had the metrics that were asked for: then others may be asked for."""
        if "evaluations" not in tables:
            return False
        succeeded = self._sql("SELECT COUNT(*) FROM evaluations WHERE status = 'ok'").fetchone()
        return not succeeded[0]

    def _judge_again(self, wanted: str) -> None:
        """Keep what was evaluated under another name of the metric."""
        self._sql("UPDATE identity SET value = ? WHERE name = 'metrics'", (wanted,))
        rows = self._sql("SELECT key, metrics FROM evaluations WHERE status = 'invalid'").fetchall()
        for key, text in rows:
            metrics = _loaded(text)
            if isinstance(metrics, dict) and metrics:
                status, metrics, message = self._judge(metrics)
                self._sql(
                    "UPDATE evaluations SET status = ?, metrics = ?, message = ? WHERE key = ?",
                    (status, json.dumps(metrics), message, key),
                )

    def _take_over(self, identity: Identity, there: dict[str, str]) -> None:
        """Go on with a file of the first format, if all that it says fits."""
        self._compare(there, identity.first_entries())
        for (architecture,) in self._sql("SELECT architecture FROM looks"):
            if architecture not in identity.architectures:
                raise self._of_another_task("architectures of this space", repr(architecture))
        self._sql("ALTER TABLE looks RENAME TO evaluations")
        self._sql("DELETE FROM identity")
        self._write_identity(identity.entries())

    def _compare(self, there: dict[str, str], wanted: dict[str, str]) -> None:
        for name in sorted({*there, *wanted}):
            if there.get(name) != wanted.get(name):
                new, old = (_loaded(e.get(name, "null")) for e in (wanted, there))
                at, new, old = first_difference(name, new, old)
                raise self._of_another_task(f"{at} {_short(new)}", f"{at} {_short(old)}")

    def _of_another_task(self, expected: str, got: str) -> SearchError:
        return SearchError(
            f"a cache of evaluations of this task ({expected})",
            f"{self._path}, made for {got}",
            "choose another --out, or repeat the command that made it",
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guard:
            self._sql("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._sql("ROLLBACK")
                raise
            self._sql("COMMIT")

    def _lock_file(self, owner: str) -> Path:
        path = self._path or Path()
        return path.with_name(f".{path.name}.{owner}")

    def _alive(self, owner: str) -> bool:
        if owner == self._owner:
            return True
        if owner.startswith(_HELD):
            return time.time() < float(owner.removeprefix(_HELD))
        if self._path is None:
            return False
        file = self._lock_file(owner)
        if not file.exists():
            return False
        lock = locked(file)
        if lock is None:
            return True
        lock.release()
        file.unlink(missing_ok=True)  # nobody's any more
        return False


def _sweep(path: Path) -> None:
    """Remove the lock files that killed processes have left: old ones that nobody holds."""
    for file in path.parent.glob(f".{path.name}.*"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _SETTLED and (lock := locked(file)) is not None:
                lock.release()
                file.unlink(missing_ok=True)


def _loaded(text: str) -> Any:
    """JSON, or the text where a damaged file has something else."""
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        return str(text)


def _named(metrics: Metrics) -> str:
    """The names of metrics, for a message."""
    if set(metrics) == {ONLY}:
        return "a bare number"
    return enumerated(map(repr, metrics), 12) or "no metrics"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _evaluation(row: Sequence[Any]) -> Evaluation:
    architecture, status, text, message, seconds = row
    try:
        if status not in STATUSES or not isinstance(architecture, str):
            raise ValueError(f"the status {status!r}")
        metrics = {str(k): float(v) for k, v in json.loads(text).items()} if status == "ok" else {}
        return Evaluation(architecture, status, metrics, str(message), float(seconds))
    except (ValueError, TypeError, AttributeError) as error:
        raise sqlite3.DatabaseError(f"the evaluation of {architecture!r}: {reason(error)}") from error


def _finished(db: sqlite3.Connection, table: str = "evaluations") -> list[Evaluation]:
    rows = db.execute(f"SELECT {_COLUMNS} FROM {table} WHERE status IS NOT NULL ORDER BY position")
    return [_evaluation(row) for row in rows]


@contextmanager
def _readable(path: Path | None) -> Iterator[None]:
    """SQLite's complaints about a file, as errors that a user can mend."""
    try:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except sqlite3.OperationalError as error:
        remedy = "choose a writable folder with --out, on a disk with space"
        raise SearchError(f"to use {path}", reason(error), remedy) from error
    except (sqlite3.DatabaseError, OSError, OverflowError, UnicodeDecodeError) as error:
        raise SearchError(
            "an intact cache of evaluations",
            f"{path}: {reason(error)}",
            "restore it, or choose another --out; the file was left as it is",
        ) from error


def _read_only(path: Path) -> sqlite3.Connection:
    """A connection that leaves nothing beside the file: where no log lies there, nobody is writing."""
    how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)


def read_identity(path: Path) -> dict[str, Any]:
    """What a file says it is for: ``Identity.entries``, read. Raises ``SearchError`` if it cannot be read."""
    try:
        with closing(_read_only(path)) as db:
            return {name: json.loads(value) for name, value in db.execute("SELECT name, value FROM identity")}
    except (sqlite3.DatabaseError, ValueError) as error:
        raise SearchError("an intact cache of evaluations", f"{path}: {error}", "leave it out") from error


def count_begun(path: Path) -> int:
    """How many evaluations of a file are claimed and not finished, whether their processes live or not."""
    with _readable(path), closing(_read_only(path)) as db:
        return int(db.execute("SELECT COUNT(*) FROM evaluations WHERE status IS NULL").fetchone()[0])


def read_evaluations(path: Path) -> list[Evaluation]:
    """The finished evaluations of a file of any format, without claiming anything."""
    with _readable(path), closing(_read_only(path)) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        kept = next((name for name in ("looks", "evaluations") if name in tables), None)
        return [] if kept is None else _finished(db, kept)  # another process is about to make them
