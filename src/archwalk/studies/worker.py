"""Making one agent of a study: what an executor is given to do.

In: the study's folder, an agent, a device. Out: its run folder and its evaluations; every row of metrics is
said. Next: ``study`` has an executor do it for every agent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from archwalk import api
from archwalk.execution.executor import Say, Work
from archwalk.studies.folder import StudyDir
from archwalk.studies.plan import Job, Result
from archwalk.training.loop import Row
from archwalk.training.ordering import order_training, order_transfer
from archwalk.training.rundir import CHECKPOINT, FREE
from archwalk.training.runner import OnRow, find_device


@dataclass(frozen=True)
class Event:
    """What is heard of an agent.

    Attributes:
        kind: ``row``: a row of metrics; ``done``: the agent is.
        job: the agent.
        trained_steps: so far, in a row.
        evaluations: so far, in a row.
        score: the last validation score, in a row that has one.
        node: where it is made, if not in a process on this machine.
    """

    kind: Literal["row", "done"]
    job: Job
    trained_steps: int = 0
    evaluations: int = 0
    score: float | None = None
    node: str = ""


OnEvent = Callable[[Event], None]


def agent_work(study: StudyDir, job: Job, device: str) -> Work:
    """The making of an agent, for an executor whose root is the study's folder."""
    files = partial(study.files_to_begin, job)
    return Work(f"{__name__}:make_agent", (job, device), study.lock(job), files)


def make_agent(root: Path, say: Say, job: list[Any], device: str) -> None:
    """Train an agent, or go on with it, and evaluate all that comes of it.

    Args:
        root: the study's folder; what the agent begins with is done.
        say: told of every row, with the agent's files after every checkpoint; and of all of them in the end.
        job: the agent.
        device: where to train.
    """
    study, agent = StudyDir(root), Job(*job)
    if study.done(agent):  # by another command, before this one had the lock
        return
    _train(study, agent, device, _on_row(study, agent, say))
    study.write_evaluations(agent, [_row(study, agent, result) for result in study.plan().results(agent)])
    say(None, study.files(agent))


def _on_row(study: StudyDir, job: Job, say: Say) -> OnRow:
    checkpoint = study.run(job).path / CHECKPOINT

    def written() -> int:
        return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0

    seen = written()

    def on_row(row: Row, seconds: float) -> None:
        nonlocal seen
        before, seen = seen, written()
        said = {
            "trained_steps": int(row["trained_steps"]),
            "evaluations": int(row["evaluations"]),
            "score": row.get("greedy_validation_score"),
        }
        say(said, study.files(job) if seen != before else ())

    return on_row


def _train(study: StudyDir, job: Job, device: str, on_row: OnRow) -> None:
    plan, folder, benchmark = study.plan(), study.run(job).path, study.benchmark()
    if job.scratch:
        runner = order_training(
            benchmark,
            job.target_task,
            folder,
            plan.settings,
            job.seed,
            on_row=on_row,
            algorithm=job.algorithm,
        )
    else:
        source = study.run(job.source).path
        runner = order_transfer(
            source,
            job.target_task,
            "retrain",
            folder,
            benchmark=benchmark,
            on_row=on_row,
            transfer=job.transfer,
        )
    spec = replace(runner.spec, benchmark=plan.benchmark)  # as if made where the study is
    replace(runner, spec=spec).make(find_device(device))


def _row(study: StudyDir, job: Job, result: Result) -> dict[str, Any]:
    """An evaluation; that of an agent used as it is costs nothing beyond what went into the agent."""
    folder, task, benchmark = study.run(job).path / result.subfolder, result.target_task, study.benchmark()
    row: dict[str, Any] = dict(api.evaluate(folder, task=task, benchmark=benchmark))
    # As the study calls it, which has a transfer method for agents from scratch, too.
    row |= {"regime": result.regime, "algorithm": result.algorithm, "transfer": result.transfer}
    if result.regime == "zero-shot":
        row |= asdict(FREE) | {"source_trained_steps": row["trained_steps"]}
    return row
