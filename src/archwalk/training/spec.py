"""``RunSpec``: everything that decides what a run computes.

In: what a user asks for. Out: one frozen description, which a run folder keeps as ``settings.toml``. Next:
``rundir`` keeps it, ``runner`` carries it out.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tomli_w

from archwalk.agents.registry import DEFAULT
from archwalk.config import Settings, parse_settings
from archwalk.encoding.frozen import digest_of_place
from archwalk.errors import RunError, SettingsError, reason
from archwalk.tasks.registry import benchmark_names, split_protocol
from archwalk.tasks.several import AnyTasks, split_benchmarks
from archwalk.transferring.registry import INITIALISE

if TYPE_CHECKING:
    Regime = Literal["scratch", "zero-shot", "fine-tune", "retrain"]
else:
    Regime = str  # whoever reads one refuses a wrong one with a remedy


@dataclass(frozen=True)
class RunSpec:
    """What a run is: two runs with equal specs compute the same.

    Attributes:
        benchmark: name or path of the benchmark; of several tables with commas between them.
        checksum: of its content, which is what counts; likewise.
        space: description of its search space (``SearchSpace.describe``), or of those of several tables.
        task: the task trained on, the target; of several ``a,b,c``, of several tables ``TABLE:TASK``.
        seed: of every generator.
        regime: scratch, zero-shot, fine-tune or retrain.
        settings: everything else.
        source_task: task of the run the weights came from; empty for scratch.
        source_weights: SHA-256 of those weights; empty for scratch.
        source_trained_steps: trained steps that went into them.
        executor: ``inline``, which repeats itself bit for bit, or what ran elsewhere, and how.
        algorithm: name of the algorithm (``agents.registry``).
        source_part: ``body`` where only the transformer's weights came from the source; empty for all.
        tasks: the names in ``task`` if there are several, else empty.
        transfer: name of the transfer method (``transferring.registry``), where there is a source.
        transfer_options: its settings, every one.
        sources: task, weights and trained steps of each source if there are several, whose names and digests
            stand in ``source_task`` and ``source_weights`` with a + between them; else empty.
    """

    benchmark: str
    checksum: str
    space: dict[str, Any]
    task: str
    seed: int
    regime: Regime
    settings: Settings
    source_task: str = ""
    source_weights: str = ""
    source_trained_steps: int = 0
    executor: str = "inline"
    algorithm: str = DEFAULT
    tasks: tuple[str, ...] = ()
    source_part: str = ""
    transfer: str = INITIALISE
    transfer_options: dict[str, Any] = field(default_factory=dict)
    sources: tuple[dict[str, Any], ...] = ()

    @property
    def shaped(self) -> bool:
        """Whether the Q-values are less a potential, so that their order alone means what it says."""
        return self.transfer == "shaping" and self.regime != "zero-shot"

    @property
    def cut_steps(self) -> int:
        """Trained steps at which the run, cut off, is the fine-tuned one; 0 if it is none of retraining."""
        return self.settings.training.fine_tune_steps if self.regime == "retrain" else 0

    @property
    def each_task(self) -> tuple[str, ...]:
        """The tasks trained on, one or several."""
        return self.tasks or (self.task,)

    @property
    def told_tasks(self) -> int:
        """How many tasks the network has an embedding of: none where it is told nothing, or there is one."""
        return len(self.tasks) if self.settings.multitask.form == "embedding" else 0

    def cut(self) -> RunSpec:
        """The fine-tuning that a retraining run begins with."""
        settings = self.settings.replace(training={"trained_steps": self.cut_steps})
        return replace(self, regime="fine-tune", settings=settings)

    def to_toml(self) -> str:
        """Every field, the settings as tables, without those of other algorithms."""
        values = asdict(self) | {"settings": self.settings.tables(self.algorithm)}
        for name in ("tasks", "source_part", "transfer_options", "sources"):
            if not values[name]:
                del values[name]
        if self.transfer == INITIALISE:
            del values["transfer"]
        return tomli_w.dumps(
            {"run": {k: v for k, v in values.items() if k != "settings"}} | values["settings"]
        )

    def identity(self) -> dict[str, Any]:
        """What must agree for a folder to be continued: all but where benchmark and encoder lie, how long the
        run is, and how often it reports."""
        values = tomllib.loads(self.to_toml())
        del values["run"]["benchmark"], values["training"]["trained_steps"], values["training"]["threads"]
        values["observation"]["encoder"] = digest_of_place(values["observation"]["encoder"])
        return values


def read_spec(file: Path) -> RunSpec:
    """The inverse of ``RunSpec.to_toml``. Raises ``RunError`` if the file is not there or not readable."""
    try:
        values = tomllib.loads(file.read_text("utf-8"))
        run = values.pop("run")
        for name in ("tasks", "sources"):
            run[name] = tuple(run.get(name, ()))
        return RunSpec(**run, settings=parse_settings(values, str(file)))
    except (OSError, KeyError, TypeError, ValueError, SettingsError) as error:
        got = "no such file" if isinstance(error, OSError) else reason(error)
        raise RunError(
            "a run folder made by 'archwalk train' or 'archwalk transfer'",
            f"{file.parent}: {file.name}: {got}",
            "check the path",
        ) from error


def named_in(spec: RunSpec, benchmark: AnyTasks, task: str) -> str:
    """How a run on several tables calls the task of one of them; of any other the task itself."""
    own = "," in spec.checksum and benchmark.checksum in spec.checksum.split(",")
    return f"{benchmark.name}:{task}" if own else task


def describe_benchmark(given: str | Path | AnyTasks) -> str:
    """How a spec names a benchmark: a built-in name as it is, a file by its absolute path, an object by
    its own name, which leads nowhere: whoever reads the run must give the object again. Several have commas
    between them."""
    if not isinstance(given, str | Path):
        return given.name
    each = split_benchmarks(given)
    if len(each) > 1:
        return ",".join(describe_benchmark(one) for one in each)
    where, protocol = split_protocol(str(given))
    full = where if where in benchmark_names() else str(Path(where).resolve())
    return f"{full}@{protocol}" if protocol else full
