"""A worker process: makes agents as it is told, those of one order together.

    python -m archwalk.studies.worker FOLDER DEVICE

In: on standard input, one order a line: a JSON list of jobs. Out: on standard output, one ``Event`` a line as
JSON. It ends when its input does; when whoever gave the orders has died, the next event finds no reader, and
it ends too. Next: ``study`` reads the events.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from archwalk import api
from archwalk.agents.values import CPU
from archwalk.errors import ArchwalkError, InUseError
from archwalk.files import hold
from archwalk.studies.folder import StudyDir
from archwalk.studies.plan import Job, Result
from archwalk.tasks.registry import load_table
from archwalk.training.loop import Row
from archwalk.training.rundir import FREE
from archwalk.training.runner import Runner


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


def make_agents(study: StudyDir, jobs: Sequence[Job], on_event: OnEvent, device: torch.device = CPU) -> None:
    """Train some agents, or go on with them, and evaluate all that comes of them.

    Args:
        study: the folder; what the agents begin with is done.
        jobs: the agents.
        on_event: told of every row, and of the end of each.
        device: where to train.
    """
    with ExitStack() as locks:
        held = []
        for job in jobs:
            try:
                locks.enter_context(hold(study.lock(job)))
                held.append(job)
            except InUseError:
                on_event(Event("busy", job))
        try:
            _train(study, [job for job in held if not study.done(job)], on_event, device)
        except ArchwalkError as error:
            for job in held:
                on_event(Event("error", job, error=(error.expected, error.got, error.remedy)))
            return
    for job in held:
        on_event(Event("done", job))


def _train(study: StudyDir, jobs: Sequence[Job], on_event: OnEvent, device: torch.device) -> None:
    for job in jobs:
        _order(study, job, on_event).make(device)
        study.write_evaluations(job, _evaluate(study, job))


def _order(study: StudyDir, job: Job, on_event: OnEvent) -> Runner:
    def on_row(row: Row, seconds: float) -> None:
        score = row.get("greedy_validation_score")
        on_event(Event("row", job, int(row["trained_steps"]), int(row["evaluations"]), score))

    plan, folder = study.plan(), study.run(job).path
    if job.scratch:
        return api.order_training(
            plan.benchmark, job.target_task, folder, plan.settings, job.seed, on_row=on_row
        )
    source = study.run(job.source).path
    return api.order_transfer(
        source, job.target_task, "retrain", folder, benchmark=plan.benchmark, on_row=on_row
    )


def _evaluate(study: StudyDir, job: Job) -> list[dict[str, Any]]:
    return [_row(study, job, result) for result in study.plan().results(job)]


def _row(study: StudyDir, job: Job, result: Result) -> dict[str, Any]:
    """An evaluation; that of an agent used as it is costs nothing beyond what went into the agent."""
    folder, task = study.run(job).path / result.subfolder, result.target_task
    table = load_table(study.plan().benchmark)
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
    """Make the agents that come in, a line at a time."""
    study, device = StudyDir(Path(sys.argv[1])), torch.device(sys.argv[2])
    for line in sys.stdin:
        make_agents(study, [Job(*job) for job in json.loads(line)], _say, device)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.stderr.close()  # the interpreter's own complaints about the lost reader
        sys.exit(130)
