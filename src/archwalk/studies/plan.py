"""Which agents a study has, in which order, and which results come of each.

In: a benchmark, tasks, a number of seeds, settings. Out: ``StudyPlan``. Next: ``folder`` knows where the
agents lie, ``study`` makes them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from archwalk.agents.registry import DEFAULT, find_algorithm
from archwalk.config import Settings, load_preset, parse_settings
from archwalk.encoding.frozen import digest_of_place
from archwalk.envs.multitask import MultiTaskProcess
from archwalk.envs.reward import shaped_rewards
from archwalk.envs.tokens import settled
from archwalk.errors import RunError, SettingsError, reason
from archwalk.tasks.registry import load_table
from archwalk.training.rundir import CUT
from archwalk.training.spec import describe_benchmark
from archwalk.transferring.registry import INITIALISE, find_transfer, transfer_names


class Job(NamedTuple):
    """One agent to train: from scratch where both tasks are the same, else from a source.

    Attributes:
        source_task: the source's; that of the agent itself from scratch.
        target_task: what it is trained on.
        seed: of both.
        algorithm: of both.
        transfer: how it is moved; agents from scratch, which all ways share, have the paper's.
    """

    source_task: str
    target_task: str
    seed: int
    algorithm: str = DEFAULT
    transfer: str = INITIALISE

    @property
    def scratch(self) -> bool:
        """Whether it starts from nothing."""
        return self.source_task == self.target_task

    @property
    def regime(self) -> str:
        """What the training is: ``scratch`` or ``retrain``, which fine-tuning is the beginning of."""
        return "scratch" if self.scratch else "retrain"

    @property
    def source(self) -> Job:
        """The agent whose weights it begins with; itself if from scratch."""
        return Job(self.source_task, self.source_task, self.seed, self.algorithm)

    def __str__(self) -> str:
        tasks = self.target_task if self.scratch else f"{self.source_task} → {self.target_task}"
        special = [self.algorithm] * (self.algorithm != DEFAULT) + [self.transfer] * (
            self.transfer != INITIALISE
        )
        return ", ".join([tasks, f"seed {self.seed}", *special])


class Result(NamedTuple):
    """One evaluated agent: whose weights, on which task, by what, and in which subfolder of the job they
    lie."""

    source_task: str
    target_task: str
    regime: str
    seed: int
    algorithm: str = DEFAULT
    transfer: str = INITIALISE
    subfolder: str = ""


@dataclass(frozen=True)
class StudyPlan:
    """What a study folder is for.

    Attributes:
        benchmark: name or path of the benchmark.
        checksum: of its content, which is what counts.
        tasks: at least two of its tasks, in the order of rows and columns.
        seeds: number of seeds; they are 0, 1, ...
        preset: what the settings came from, for the report.
        settings: of every agent; one thread each.
        multi_task: whether there are agents of several tasks too (``mixtures``).
        algorithms: every agent is trained by each of them, with the same settings.
        transfers: every agent is moved in each of these ways.
    """

    benchmark: str
    checksum: str
    tasks: tuple[str, ...]
    seeds: int
    preset: str
    settings: Settings
    multi_task: bool = False
    algorithms: tuple[str, ...] = (DEFAULT,)
    transfers: tuple[str, ...] = (INITIALISE,)

    @property
    def mixtures(self) -> dict[str, tuple[str, ...]]:
        """The sources that are trained on several tasks, by name, ``a,b,c``: all tasks, and all but each
        where that is several."""
        if not self.multi_task:
            return {}
        left = [tuple(other for other in self.tasks if other != task) for task in self.tasks]
        return {",".join(one): one for one in (self.tasks, *left) if len(one) > 1}

    def jobs(self) -> list[Job]:
        """Every agent, sources before what is made of them, seed by seed and algorithm by algorithm: with
        four tasks 4 + 12 a seed, and 1 + 4 + 4 of several tasks; 12 and 4 more a further transfer method. All
        are trained equally long."""
        several, parts = list(self.mixtures), self.mixtures
        pairs = [(a, b) for a in self.tasks for b in self.tasks if a != b]
        mixed = [(a, b) for a in several for b in self.tasks if b not in parts[a]]
        jobs = []
        for seed in range(self.seeds):
            for algorithm in self.algorithms:
                for sources, moves in ((self.tasks, pairs), (several, mixed)):
                    jobs += [Job(one, one, seed, algorithm) for one in sources]
                    jobs += [Job(*move, seed, algorithm, way) for way in self.transfers for move in moves]
        return jobs

    def results(self, job: Job) -> list[Result]:
        """What is evaluated once a job is done.

        From scratch: the agent on its own task, and as it is on every other one (zero-shot). Transferred:
        the whole run (retrain), and the same run cut off after ``fine_tune_steps`` (fine-tune). An agent of
        several tasks: on each of them (multi-task), and as it is on the others.
        """
        a, b, seed, algorithm, transfer = job
        by = (algorithm, transfer)
        if job.scratch and a in self.mixtures:
            parts = self.mixtures[a]
            kinds = {task: "multi-task" if task in parts else "zero-shot" for task in self.tasks}
            return [Result(a, task, kind, seed, *by) for task, kind in kinds.items()]
        if job.scratch:
            others = [Result(a, task, "zero-shot", seed, *by) for task in self.tasks if task != a]
            return [Result(a, a, "scratch", seed, *by), *others]
        return [Result(a, b, "fine-tune", seed, *by, subfolder=CUT), Result(a, b, "retrain", seed, *by)]

    def all_results(self) -> list[Result]:
        """Every evaluated agent of the study."""
        return [result for job in self.jobs() for result in self.results(job)]

    @property
    def steps_a_job(self) -> int:
        """Trained steps of each agent."""
        return self.settings.training.trained_steps

    def to_toml(self) -> str:
        """Every field, the settings as tables, without those of other algorithms."""
        return tomli_w.dumps(self._values())

    def _values(self) -> dict[str, Any]:
        study = {
            "benchmark": self.benchmark,
            "checksum": self.checksum,
            "tasks": list(self.tasks),
            "seeds": self.seeds,
            "preset": self.preset,
        }
        if self.multi_task:
            study["multi_task"] = True
        for name, default in (("algorithms", (DEFAULT,)), ("transfers", (INITIALISE,))):
            if getattr(self, name) != default:
                study[name] = list(getattr(self, name))
        return {"study": study} | self.settings.tables(*self.algorithms)

    def identity(self) -> dict[str, Any]:
        """What must agree for a folder to be continued: all but where the benchmark lies, the preset's name,
        how many seeds, algorithms and transfer methods there are, and whether agents of several tasks, of
        which more may be asked for later."""
        values = self._values()
        for name in ("benchmark", "preset", "seeds", "multi_task", "algorithms", "transfers"):
            values["study"].pop(name, None)
        seen = values["observation"]
        seen["encoder"] = digest_of_place(seen["encoder"])
        return values


def read_plan(file: Path) -> StudyPlan:
    """The inverse of ``StudyPlan.to_toml``. Raises ``RunError`` if the file is not there or not readable."""
    try:
        values = tomllib.loads(file.read_text("utf-8"))
        study = values.pop("study")
        several = {name: tuple(value) for name, value in study.items() if isinstance(value, list)}
        return StudyPlan(**study | several, settings=parse_settings(values, str(file)))
    except (OSError, KeyError, TypeError, ValueError, SettingsError) as error:
        got = "no such file" if isinstance(error, OSError) else reason(error)
        raise RunError(
            "a study folder made by 'archwalk study'", f"{file}: {got}", "check the path"
        ) from error


def make_plan(
    benchmark: str | Path,
    tasks: Sequence[str],
    seeds: int,
    preset: str | Path | Settings,
    multi_task: bool = False,
    algorithms: Sequence[str] = (DEFAULT,),
    transfers: Sequence[str] = (INITIALISE,),
) -> StudyPlan:
    """Check what is asked for, before any work.

    Args:
        benchmark: name or file.
        tasks: at least two different tasks of it, each with a complete reward.
        seeds: at least 1.
        preset: name, TOML file, or settings.
        multi_task: with agents of several tasks.
        algorithms: at least one, each once.
        transfers: at least one transfer method, each once.

    Raises:
        BenchmarkError: no such benchmark or task, or missing rewards.
        SettingsError: too few seeds or tasks, an unknown algorithm or transfer method, one that stands there
            twice, or settings that fit neither the tasks nor the regimes.
    """
    if seeds < 1:
        raise SettingsError("at least one seed", f"{seeds} seeds", "ask for 1 or more, better 5")
    if len(tasks) < 2 or len(set(tasks)) < len(tasks):
        raise SettingsError(
            "at least two different tasks", ", ".join(tasks) or "none", "name them as --tasks a,b,c"
        )
    _check_each("algorithm", algorithms, "--algorithms ape-x,ppo")
    _check_each("transfer method", transfers, "--transfers " + ",".join(transfer_names()))
    for name in algorithms:
        find_algorithm(name)
    for name in transfers:
        served = find_transfer(name).algorithms
        for algorithm in algorithms if served else ():
            if algorithm not in served:
                raise SettingsError(
                    f"algorithms that {name} can serve: {', '.join(served)}",
                    algorithm,
                    "leave one of the two out of --algorithms and --transfers",
                )
    settings = preset if isinstance(preset, Settings) else load_preset(preset)
    settings = settled(settings.only(*algorithms)).replace(
        training={"threads": 1}
    )  # one worker a core; bits depend on it
    training = settings.training
    if training.fine_tune_steps > training.trained_steps:
        raise SettingsError(
            f"fine_tune_steps of at most trained_steps ({training.trained_steps:,}): fine-tuning is the "
            "retraining run cut off",
            f"{training.fine_tune_steps:,}",
            "change one of the two",
        )
    table = load_table(benchmark)
    for task in tasks:
        shaped_rewards(table, task, settings.reward)
    if multi_task:
        if any("," in task for task in tasks):
            raise SettingsError(
                "names without a comma, for agents of several tasks",
                ", ".join(tasks),
                "leave --multi-task out",
            )
        MultiTaskProcess(table, tuple(tasks), settings)  # refuses rewards that nothing makes comparable
    name = "own settings" if isinstance(preset, Settings) else str(preset)
    where = describe_benchmark(benchmark)
    return StudyPlan(
        where,
        table.checksum,
        tuple(tasks),
        seeds,
        name,
        settings,
        multi_task,
        tuple(algorithms),
        tuple(transfers),
    )


def _check_each(what: str, names: Sequence[str], example: str) -> None:
    if not names or len(set(names)) < len(names):
        raise SettingsError(f"each {what} once", ", ".join(names) or "none", f"name them as {example}")
