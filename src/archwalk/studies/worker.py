"""A worker process: makes one agent after the other, as it is told.

    python -m archwalk.studies.worker FOLDER

In: on standard input, one job a line as JSON. Out: on standard output, one ``Event`` a line as JSON. It ends
when its input does; when whoever gave the orders has died, the next event finds no reader, and it ends too.
Next: ``study`` reads the events.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from archwalk import api
from archwalk.benchmark.catalog import load_benchmark
from archwalk.errors import ArchwalkError, InUseError
from archwalk.files import hold
from archwalk.studies.folder import StudyDir
from archwalk.studies.plan import Job, Result
from archwalk.training.loop import Row
from archwalk.training.rundir import FREE


@dataclass(frozen=True)
class Event:
    """What a worker has to say.

    Attributes:
        kind: ``row``: a row of metrics; ``done``: the agent is; ``busy``: another process is making it;
            ``error``: it cannot be made.
        job: the agent.
        trained_steps: so far, in a row.
        evaluations: so far, in a row.
        score: the last validation score, in a row that has one.
        error: expected, got, remedy.
        node: where it is made, if not in a process on this machine.
    """

    kind: Literal["row", "done", "busy", "error"]
    job: Job
    trained_steps: int = 0
    evaluations: int = 0
    score: float | None = None
    error: tuple[str, str, str] | None = None
    node: str = ""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self) | {"job": list(self.job)})

    @classmethod
    def from_json(cls, line: str | bytes) -> Event:
        """The inverse of ``to_json``."""
        values = json.loads(line)
        error = tuple(values["error"]) if values["error"] else None
        return cls(**values | {"job": Job(*values["job"]), "error": error})


OnEvent = Callable[[Event], None]


def make_agent(study: StudyDir, job: Job, on_event: OnEvent) -> None:
    """Train one agent, or go on with it, and evaluate all that comes of it.

    Args:
        study: the folder; what the agent begins with is done.
        job: the agent.
        on_event: told of every row, and of the end.
    """

    def on_row(row: Row, seconds: float) -> None:
        score = row.get("greedy_validation_score")
        on_event(Event("row", job, int(row["trained_steps"]), int(row["evaluations"]), score))

    try:
        with hold(study.lock(job)):
            if not study.done(job):
                _train(study, job, on_row)
                study.write_evaluations(job, _evaluate(study, job))
        on_event(Event("done", job))
    except InUseError:
        on_event(Event("busy", job))
    except ArchwalkError as error:
        on_event(Event("error", job, error=(error.expected, error.got, error.remedy)))


def _train(study: StudyDir, job: Job, on_row: api.OnRow) -> None:
    plan, folder = study.plan(), study.run(job).path
    if job.scratch:
        api.train(plan.benchmark, job.target_task, folder, preset=plan.settings, seed=job.seed, on_row=on_row)
    else:
        source = study.run(job.source).path
        api.transfer(source, job.target_task, "retrain", folder, benchmark=plan.benchmark, on_row=on_row)


def _evaluate(study: StudyDir, job: Job) -> list[dict[str, Any]]:
    return [_row(study, job, result) for result in study.plan().results(job)]


def _row(study: StudyDir, job: Job, result: Result) -> dict[str, Any]:
    """An evaluation; that of an agent used as it is costs nothing beyond what went into the agent."""
    folder, task = study.run(job).path / result.subfolder, result.target_task
    table = load_benchmark(study.plan().benchmark)
    splits = {column.split for column in table.columns if column[:2] == table.reward_column(task)[:2]}
    split = "test" if "test" in splits else table.reward_column(task).split
    row = api.evaluate(folder, task=task, split=split, benchmark=study.plan().benchmark)
    if result.regime == "zero-shot":
        row |= asdict(FREE) | {"source_trained_steps": row["trained_steps"]}
    return row


def _say(event: Event) -> None:
    sys.stdout.write(event.to_json() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do the jobs that come in."""
    study = StudyDir(Path(sys.argv[1]))
    for line in sys.stdin:
        make_agent(study, Job(*json.loads(line)), _say)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.stderr.close()  # the interpreter's own complaints about the lost reader
        sys.exit(130)
