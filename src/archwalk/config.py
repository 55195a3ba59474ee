"""Settings: frozen, validated, with a sentence under every field; presets; TOML in and out.

In: a preset's name or a TOML file. Out: ``Settings``, which every later module reads and none changes.
Imports no torch, so that the command line answers at once.

Defaults are the published values (the preset ``paper`` repeats them); what the paper leaves open is marked
"assumption" and listed in docs/paper.md.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from archwalk.errors import SettingsError, unknown

__all__ = [
    "DistributionalSettings",
    "ExplorationSettings",
    "LearnerSettings",
    "ModelBasedSettings",
    "MultiTaskSettings",
    "NetworkSettings",
    "ObservationSettings",
    "PPOSettings",
    "RaySettings",
    "ReplaySettings",
    "RewardSettings",
    "Settings",
    "SkeletonSettings",
    "TrainingSettings",
    "WalkSettings",
    "load_preset",
    "preset_names",
]

EXECUTORS = ("inline", "ray")
# Groups of settings that one algorithm alone reads.
OWN_GROUPS = {"ppo": "ppo", "distributional": "distributional", "model-based": "model_based"}
Precision = Literal["auto", "float32", "bfloat16"]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


_Checked = TypeVar("_Checked", bound=_Group)


class WalkSettings(_Group):
    """The decision process."""

    max_neighbours: int = Field(50, ge=1)
    """Most neighbours offered at a step; where more exist, as many are drawn anew at every step."""
    step_limit: int = Field(50, ge=1)
    """Steps after which a walk is cut off (assumption)."""


class RewardSettings(_Group):
    """Shaping of the reward."""

    gamma: dict[str, float] = Field(default_factory=lambda: {"segmentsemantic": 0.478})
    """Task name and exponent of the gamma transform R' = R^gamma (paper, section 3.2); needs R >= 0."""
    standardise: bool = False
    """Subtract the mean and divide by the standard deviation of the rewards of the first starts."""


class ObservationSettings(_Group):
    """How architectures are shown to the network."""

    tokens: Literal["graph", "slots", "encoded"] = "graph"
    """graph: randomly padded adjacency matrix and operations (paper, section 4); slots: one-hot slots;
    encoded: the vector that a frozen encoder makes of the graph, the same input in every space."""
    encoder: str = ""
    """Of encoded tokens: the file of an autoencoder ('archwalk encoder pretrain') or of an in-context agent;
    random:SEED for one that was never trained. A run notes a digest of its weights behind it."""

    @model_validator(mode="after")
    def _encoder_where_needed(self) -> ObservationSettings:
        if (self.tokens == "encoded") != bool(self.encoder):
            raise ValueError("tokens = encoded and an encoder go together; other tokens have none")
        return self


class NetworkSettings(_Group):
    """The Q-network."""

    width: int = Field(256, ge=4)
    """Size of the latent space and of every hidden layer."""
    feedforward: int = Field(2048, ge=1)
    """Inner width of the transformer's feed-forward part (assumption: the framework's default)."""
    layers: int = Field(2, ge=0)
    """Transformer layers."""
    heads: int = Field(4, ge=1)
    """Attention heads a layer; must divide the width."""
    embedding_layers: int = Field(3, ge=1)
    """Linear layers from the token to the latent space."""
    head_layers: int = Field(3, ge=1)
    """Linear layers of the advantage head and of the value head."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> NetworkSettings:
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        return self


class ExplorationSettings(_Group):
    """Who explores how much; one walk keeps one epsilon."""

    actors: int = Field(8, ge=1)
    """Rollout actors."""
    walks_per_actor: int = Field(32, ge=1)
    """Walks that an actor advances at once."""
    schedule: Literal["apex", "linear"] = "apex"
    """apex: actor i of N has epsilon base^(1 + exponent*i/(N-1)); linear: even steps over all walks."""
    base: float = Field(0.4, gt=0, le=1)
    """Base of the apex ladder (Horgan et al. 2018, section 4.1)."""
    exponent: float = Field(7.0, ge=0)
    """Exponent of the apex ladder."""
    highest: float = Field(0.9, ge=0, le=1)
    """Largest epsilon of the linear schedule."""
    lowest: float = Field(0.02, ge=0, le=1)
    """Smallest epsilon of the linear schedule."""

    @property
    def walks(self) -> int:
        """Walks in all."""
        return self.actors * self.walks_per_actor


class ReplaySettings(_Group):
    """Prioritised replay (Schaul et al. 2016)."""

    capacity: int = Field(25_000, ge=1)
    """Transitions held; the oldest goes first."""
    alpha: float = Field(0.6, ge=0)
    """Priority exponent: P(i) proportional to (abs(TD error) + 1e-6)^alpha, applied once."""
    beta: float = Field(0.4, ge=0)
    """Exponent of the importance weights (N P(i))^-beta, divided by their maximum."""
    warmup: int = Field(1_000, ge=1)
    """Steps walked before the first update (assumption)."""

    @model_validator(mode="after")
    def _warmup_fits(self) -> ReplaySettings:
        if self.warmup > self.capacity:
            raise ValueError(f"warmup ({self.warmup}) must be at most capacity ({self.capacity})")
        return self


class LearnerSettings(_Group):
    """Updates of the Q-network."""

    discount: float = Field(0.99, ge=0, lt=1)
    """Discount a step (assumption)."""
    n_step: int = Field(3, ge=1)
    """Steps of reward before the target bootstraps."""
    double: bool = True
    """Double Q-learning: the online network chooses the action that the target network values."""
    batch_size: int = Field(256, ge=1)
    """Transitions an update."""
    learning_rate: float = Field(5e-5, gt=0)
    """Adam's step size at the start."""
    halving_steps: int = Field(0, ge=0)
    """Trained steps after which the step size has halved: lr/(1 + trained/halving_steps); 0: constant."""
    max_grad_norm: float = Field(40.0, gt=0)
    """Gradients are clipped to this L2 norm."""
    frozen_body_steps: int = Field(0, ge=0)
    """Trained steps during which the transformer keeps the weights that it began with."""
    target_period: int = Field(8_192, ge=1)
    """Trained steps between two copies of the online to the target network."""
    planning: bool = False
    """Targets from value iteration over everything seen so far, for all actions of a state at once, in place
    of a target network; needs one-step targets without double Q-learning."""

    @model_validator(mode="after")
    def _planning_is_one_step(self) -> LearnerSettings:
        if self.planning and (self.n_step > 1 or self.double):
            raise ValueError("planning needs n_step = 1 and double = false")
        return self


class PPOSettings(_Group):
    """Of the algorithm ppo alone (Schulman et al. 2017). Epochs are 1 / training.sampled_per_trained."""

    horizon: int = Field(16, ge=1)
    """Steps of every walk between two rounds of updates."""
    trace: float = Field(0.95, ge=0, le=1)
    """Lambda of generalised advantage estimation (Schulman et al. 2016, equation 16)."""
    clip: float = Field(0.2, gt=0)
    """Furthest that the probability ratio is rewarded to move from 1."""
    entropy: float = Field(0.01, ge=0)
    """Weight of the entropy bonus."""
    value_weight: float = Field(0.5, ge=0)
    """Weight of the value head's squared error."""
    learning_rate: float = Field(3e-4, gt=0)
    """Adam's step size at the start."""
    halving_steps: int = Field(0, ge=0)
    """Trained steps after which the step size has halved; 0: constant."""
    max_grad_norm: float = Field(0.5, gt=0)
    """Gradients are clipped to this L2 norm."""


class DistributionalSettings(_Group):
    """Of the algorithm distributional alone: quantiles (Dabney et al. 2018) and noisy heads (Fortunato et al.
    2018). The learner, replay and walks are those of ape-x, whose epsilons it does not have."""

    quantiles: int = Field(32, ge=1)
    """Quantiles of the return, at the midpoints of as many equal parts of (0, 1)."""
    kappa: float = Field(1.0, gt=0)
    """Error up to which the quantile Huber loss is quadratic."""
    noise: float = Field(0.5, ge=0)
    """Sigma_0: noise of a weight at first, times 1/sqrt(fan-in)."""


class ModelBasedSettings(_Group):
    """Of the algorithm model-based alone: a model of the reward, planned in with optimism."""

    members: int = Field(8, ge=2)
    """Heads of the model; how far they disagree is its uncertainty."""
    walks: int = Field(32, ge=1)
    """Walks at once, in place of exploration's: few, since plans soon know where to go."""
    optimism: float = Field(1.0, ge=0)
    """Standard deviations that the most daring walks add to a reward that is not known; the walks lie evenly
    between none and this."""
    levels: int = Field(4, ge=1)
    """Different plans at a time, from none to most daring."""
    backups: int = Field(16, ge=1)
    """Steps that a plan looks ahead; beyond them walks stay where they are."""
    plan_every: int = Field(1_024, ge=1)
    """Trained steps between two plans."""
    best_share: float = Field(0.5, ge=0, lt=1)
    """Share of a batch that is drawn from the best tenth of what was evaluated, the rest from all of it."""
    batch_size: int = Field(32, ge=1)
    """Architectures a step of Adam; an update of learner.batch_size of them is several."""
    learning_rate: float = Field(3e-3, gt=0)
    """Adam's step size at the start."""
    halving_steps: int = Field(20_000, ge=0)
    """Trained steps after which the step size has halved; 0: constant."""


class MultiTaskSettings(_Group):
    """Runs on several tasks at once; no effect on a run on one."""

    form: Literal["embedding", "none"] = "embedding"
    """What tells the network the task of a walk. embedding: a learned vector a task, added to what the first
    layer makes of every token; none: nothing."""
    scale: Literal["starts", "table"] = "starts"
    """What makes the rewards of the tasks comparable: mean and standard deviation of each task's first
    starts, which are evaluations (needs reward.standardise), or of its whole table, which an agent does not
    know."""


class TrainingSettings(_Group):
    """Length and rhythm of a run; a trained step is one transition in a batch."""

    trained_steps: int = Field(10_000_000, ge=1)
    """Length of a run from scratch or of retraining, in trained steps."""
    fine_tune_steps: int = Field(1_000_000, ge=1)
    """Length of fine-tuning, in trained steps: the retraining run cut off."""
    sampled_per_trained: float = Field(2.5, gt=0)
    """Steps walked a trained step (the paper's runs: 2 to 3)."""
    actor_period: int = Field(8_192, ge=1)
    """Trained steps between two copies of the online network to the actors (assumption)."""
    reuse: bool = True
    """Compute the Q-values of one parameter version once a state, not once a step, where all neighbours are
    offered."""
    evaluate_every: int = Field(100_000, ge=1)
    """Trained steps between two greedy evaluations on the training task."""
    evaluation_starts: int = Field(20_000, ge=1)
    """Most starts of a greedy evaluation: every architecture if there are no more, else a random sample."""
    curve_starts: int = Field(20_000, ge=1)
    """The same for the evaluations before the end of a run and of its fine-tuning, which only draw curves."""
    log_every: int = Field(10_240, ge=1)
    """Trained steps between two rows of metrics."""
    checkpoint_every: int = Field(250_000, ge=1)
    """Trained steps between two checkpoints."""
    precision: Precision = "auto"
    """Arithmetic of the network's matrix products; auto is bfloat16 for networks at least 128 wide on a CPU
    that multiplies in it, else float32. A run keeps what it began with."""
    threads: int = Field(0, ge=0)
    """Threads of the tensor library; 0 leaves its default. Results are bit-identical at equal threads."""


class Settings(_Group):
    """Everything that decides what a run computes, except benchmark, task and seed."""

    walk: WalkSettings = WalkSettings()
    reward: RewardSettings = RewardSettings()
    observation: ObservationSettings = ObservationSettings()
    network: NetworkSettings = NetworkSettings()
    exploration: ExplorationSettings = ExplorationSettings()
    replay: ReplaySettings = ReplaySettings()
    learner: LearnerSettings = LearnerSettings()
    multitask: MultiTaskSettings = MultiTaskSettings()
    training: TrainingSettings = TrainingSettings()
    ppo: PPOSettings = PPOSettings()
    distributional: DistributionalSettings = DistributionalSettings()
    model_based: ModelBasedSettings = ModelBasedSettings()

    def tables(self, *algorithms: str) -> dict[str, Any]:
        """Plain values by group, without the groups of other algorithms, which decide nothing."""
        others = {group for name, group in OWN_GROUPS.items() if name not in algorithms}
        return {group: value for group, value in self.model_dump().items() if group not in others}

    def only(self, *algorithms: str) -> Settings:
        """The same with the groups of other algorithms at their defaults."""
        return Settings.model_validate(self.tables(*algorithms))

    def to_toml(self) -> str:
        """As TOML, every field written out."""
        return tomli_w.dumps(self.model_dump())

    def replace(self, **groups: dict[str, Any]) -> Settings:
        """A copy with some fields changed: ``settings.replace(training={"trained_steps": 1000})``.

        Raises:
            SettingsError: an unknown group or field, or a value out of range.
        """
        values = self.model_dump()
        for group, changes in groups.items():
            values[group] = values.get(group, {}) | changes
        return parse_settings(values, "the changed settings")


class RaySettings(_Group):
    """Where a Ray cluster is, and how its resources are shared out; most of it decides no result."""

    address: str | None = None
    """Of a running cluster, as host:port, or auto; by default one is started here for the command's time."""
    cpus: int | None = Field(None, ge=1)
    """CPUs of the cluster started here; by default as many as the machine has."""
    object_store_mb: int = Field(256, ge=80)
    """Shared memory of the cluster started here, in MB."""
    shards: int = Field(4, ge=1)
    """Processes that hold the replay between them; decides a training run's result."""
    chunk: int = Field(512, ge=1)
    """Fewest transitions that an actor sends at once; decides a training run's result."""
    actor_cpus: float | None = Field(None, ge=0)
    """CPUs a rollout actor; by default one, or an equal share where there are fewer."""
    actor_gpus: float = Field(0.0, ge=0)
    """GPUs a rollout actor."""
    shard_cpus: float = Field(0.0, ge=0)
    """CPUs a shard of the replay, which seldom works for long."""
    task_cpus: float = Field(1.0, ge=0)
    """CPUs an agent of a study, or an evaluation of a search."""
    task_gpus: float = Field(0.0, ge=0)
    """GPUs an agent of a study, or an evaluation of a search."""
    resources: dict[str, float] = Field(default_factory=dict)
    """Further resources of every actor, agent or evaluation, by their names in the cluster."""
    tasks: int | None = Field(None, ge=1)
    """Most agents or evaluations under way at once; by default as many as the resources allow."""
    losses: int = Field(8, ge=0)
    """How often a command may lose the same actor, agent or evaluation to dying processes or nodes."""
    patience: float = Field(300.0, gt=0)
    """Seconds without any sign from the cluster after which the command gives up."""


if TYPE_CHECKING:
    ExecutorName = Literal["inline", "ray"]
else:
    ExecutorName = str  # ``ray_settings`` refuses a wrong one with a remedy


def ray_settings(executor: str, given: RaySettings | None) -> RaySettings | None:
    """Ray's settings if that is the executor, None for ``inline``. Raises ``SettingsError`` for any other."""
    if executor not in EXECUTORS:
        raise SettingsError(*unknown("executor", executor, EXECUTORS))
    return None if executor == "inline" else given or RaySettings()


class SkeletonSettings(_Group):
    """What stands around the cells of a network. Where a value is published, none means that of the space."""

    inputs: int = Field(3, ge=1)
    """Channels of the images."""
    classes: int | None = Field(10, ge=1)
    """Scores that the network gives; none leaves the classifier out."""
    channels: int | None = Field(None, ge=2, multiple_of=2)
    """Channels behind the stem, an even number (TransNAS-Bench-101: 64, NAS-Bench-201: 16,
    NAS-Bench-101: 128); of DARTS the channels of a node in the first cells (36)."""
    modules: str | None = Field(None, pattern="^[1-4]+$")
    """One digit a module of cells: 1 plain, 2 doubles the channels, 3 halves the resolution, 4 does both
    (TransNAS-Bench-101: 41414, NAS-Bench-201 and 101: 144)."""
    cells: int | None = Field(None, ge=1)
    """Cells or residual blocks a module (TransNAS-Bench-101: 2, NAS-Bench-201: 5, NAS-Bench-101: 3); of DARTS
    all cells (20)."""
    stem_stride: Literal[1, 4] | None = None
    """What the stem divides the resolution by (TransNAS-Bench-101: 4, NAS-Bench-201: 1)."""
    live_only: bool = False
    """Leave out edges on no path from a cell's input to its output; the published networks have them."""


class LatencySettings(_Group):
    """How a network's latency is measured."""

    batch: int = Field(1, ge=1)
    """Images a pass."""
    size: int = Field(32, ge=1)
    """Height and width of an image."""
    threads: int = Field(1, ge=1)
    """Of the CPU."""
    passes: int = Field(50, ge=3)
    """Timed; the latency is their median."""
    warmup: int = Field(10, ge=0)
    """Passes before them that are not."""
    device: str = "cpu"
    """cpu, cuda, cuda:N, or auto (a GPU if there is one)."""


def parse_settings(values: dict[str, Any], origin: str) -> Settings:
    """Check plain values. Raises ``SettingsError`` that names the field and ``origin``, whose fault it is."""
    return _parse(Settings, values, origin, "archwalk train --help")


def parse_skeleton(values: dict[str, Any]) -> SkeletonSettings:
    """Check plain values. Raises ``SettingsError`` that names the option."""
    return _parse(SkeletonSettings, values, "the skeleton", "archwalk export --help")


def _parse(model: type[_Checked], values: dict[str, Any], origin: str, manual: str) -> _Checked:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(error, origin, manual) from error


def invalid(error: ValidationError, origin: str, manual: str) -> SettingsError:
    """The error for a user: names the first bad field, ``origin``, whose fault it is, and a help command."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "settings"
    return SettingsError(
        f"valid settings in {origin}",
        f"{where} = {first.get('input')!r}: {first['msg']}",
        f"correct it; '{manual}' lists every setting with its meaning",
    )


def preset_names() -> tuple[str, ...]:
    """Names of the presets in the package."""
    folder = resources.files("archwalk.presets")
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def check_own_groups(asked: Settings, preset: Settings, algorithms: Sequence[str]) -> None:
    """Raises ``SettingsError`` if a setting differs from its preset that belongs to an algorithm which is not
    among those that run."""
    for name, group in OWN_GROUPS.items():
        if name not in algorithms and getattr(asked, group) != getattr(preset, group):
            flag = group.replace("_", "-")
            raise SettingsError(
                f"settings of {', '.join(algorithms)}",
                f"--{flag}.…, of the algorithm {name}, which does not run",
                f"leave them out, or ask for the algorithm {name}",
            )


def load_preset(name_or_path: str | Path) -> Settings:
    """Settings from a preset's name or from a TOML file; fields left out keep the published values.

    Raises:
        SettingsError: no such preset or file, not TOML, or invalid settings.
    """
    text = str(name_or_path)
    try:
        if text in preset_names():
            content = resources.files("archwalk.presets").joinpath(f"{text}.toml").read_text("utf-8")
        elif text.endswith(".toml"):
            content = Path(text).read_text("utf-8")
        else:
            raise SettingsError(*unknown("preset, or a .toml file", text, preset_names()))
        values = tomllib.loads(content)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            "a readable TOML file", f"{text}: {error}", "check the path and the file"
        ) from error
    return parse_settings(values, text)
