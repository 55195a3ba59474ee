"""The one place where a metric's name gets a meaning: split, direction, unit and range.

In: names as people write them, and what a table, an agent or a command says of them. Out: ``Metric`` by name.
A table may carry metrics that are not declared here; their importer declares them, and the file keeps the
declaration. Next: ``importers`` and ``searching.inputs`` ask here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any, Literal, NamedTuple

from archwalk.errors import SettingsError

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class Metric:
    """What a number in the table means.

    Attributes:
        name: as it stands in the table.
        direction: whether larger (``max``) or smaller (``min``) values are better.
        unit: of the stored number; ``percent`` is divided by 100 when it becomes a reward.
        low: smallest possible value.
        high: largest possible value.
    """

    name: str
    direction: Direction
    unit: str
    low: float = -inf
    high: float = inf

    @property
    def scale(self) -> float:
        """Factor from the stored number to a reward: percent to fraction, and better is larger."""
        return (0.01 if self.unit == "percent" else 1.0) * (1.0 if self.direction == "max" else -1.0)

    @property
    def better(self) -> str:
        """``larger`` or ``smaller``."""
        return "larger" if self.direction == "max" else "smaller"

    def as_fraction(self) -> Metric:
        """The same metric in fractions, if it is a percentage."""
        return replace(self, unit="fraction", high=1.0) if self.unit == "percent" else self

    def to_json(self) -> dict[str, Any]:
        """Plain values; an infinite bound is None, since JSON has no infinity."""
        bounds = {"low": self.low, "high": self.high}
        return asdict(self) | {k: None if abs(v) == inf else float(v) for k, v in bounds.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Metric:
        """The inverse of ``to_json``."""
        low, high = values.get("low"), values.get("high")
        return cls(
            values["name"],
            values["direction"],
            values["unit"],
            -inf if low is None else float(low),
            inf if high is None else float(high),
        )


class Column(NamedTuple):
    """The address of one column; in the file it is written ``task/metric/split/epoch``."""

    task: str
    metric: str
    split: str
    epoch: str

    def __str__(self) -> str:
        return "/".join(self)


# In order of preference: the first that a task has on the validation split becomes its default reward.
METRICS = {
    m.name: m
    for m in (
        Metric("top1", "max", "percent", 0, 100),
        Metric("mIoU", "max", "percent", 0, 100),
        Metric("ssim", "max", "fraction", -1, 1),
        Metric("neg_loss", "max", "nats", high=0),
        Metric("acc", "max", "percent", 0, 100),
        Metric("top5", "max", "percent", 0, 100),
        Metric("loss", "min", "nats", low=0),
        Metric("params", "min", "count", 0),
        Metric("flops", "min", "count", 0),
        Metric("time_elapsed", "min", "seconds", 0),
        Metric("inference_ms", "min", "milliseconds", 0),
    )
}
COSTS = (
    "params",
    "flops",
    "time_elapsed",
    "inference_ms",
)  # of METRICS; no split, and never a default reward

SPLITS = ("train", "valid", "test", "none")
_SPLIT_WORDS = {split: split for split in SPLITS} | {
    "training": "train",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "testing": "test",
    "holdout": "test",
    "heldout": "test",
}

# Of what these speak less is usually better: as a word, or at the beginning or end of one (runtime, losses).
_COST_BEGINS = re.compile(
    r"loss|error|perplex|latenc|energ|memor|param|flop|cost|power|duration|delay|entropy|diverg|carbon|regret|byte"
)
_COST_ENDS = re.compile(r".*(loss|losse|error|time|size|second|latency|param|flop|cost|byte)s?")
_COST_WORD = re.compile(
    r"err|ppl|mse|rmse|mae|mape|smape|rmsle|nll|[wce]er|ece|bp[bcd]|bits|fid|kl|b?ce|brier|(g|c|t)pulat|lat|"
    r"[mun]s|secs?|s|h|hours?|minutes?|mem|macs?|[kmg]i?b|[mk]j|joules?|k?w(h|att|atts)|co2|gpuhours"
)
# What is measured of a network to say how good it is.
_MERIT_WORD = re.compile(
    r"acc|accuracy|top|auc|auroc|auprc|m?ap|f|m?iou|dice|ssim|psnr|bleu|rouge|chrf|recall|precision|score|reward|"
    r"return|r|mcc|kappa|em|ndcg|mrr|tau|rho|corr|pearson|spearman|fps|throughput|quality|fitness|objective|"
    r"metric|perf|performance|value|y|target"
)
# What is no measurement of how good a network is: numbers of rows and runs, counts, spreads.
_ASIDE_WORD = re.compile(
    r"(u|g)?u?ids?|index|idx|indices|rows?|lines?|key|hash|md|runs?|trials?|jobs?|seeds?|folds?|rank|place|no|nr|num|"
    r"numbers?|n|counts?|unnamed|level|epochs?|steps?|iters?|iterations?|batch|timestamp|date|day|version|repeats?|"
    r"replicates?|samples?|std|stdev|stddev|sd|sigma|stderr|sem|se|var|variance|ci|iqr|spread|deviation|dev|mad|"
    r"lower|upper|nodes|edges|depth|width|layers|ops|pid|worker|gpu|device|node|"
    r"(run|row|arch|architecture|model|net|network|job|trial|exp|experiment|config|cfg|graph|cell|node|task)"
    r"(id|no|nr|num|idx)s?|.*(index|std|stdev|stddev|stderr|count|counts|seed|number)"
)


def words(name: str) -> list[str]:
    """The words of a name in small letters, separated by capitals and by anything but letters and digits."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.findall(r"[A-Za-z0-9²]+", apart)]


def split_of(text: str) -> str | None:
    """``train``, ``valid``, ``test`` or ``none``, as people write them; None for anything else."""
    return _SPLIT_WORDS.get(text.strip().lower())


def split_name(name: str) -> tuple[str, str | None]:
    """A metric and the split that its name says: ``val_acc``, ``valid-acc``, ``test acc``, ``accTest``.

    Returns:
        The rest of the name as written, and the split; the whole name and None if it says none.
    """
    parts = list(re.finditer(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", name))
    if not parts:
        return name, None
    first, last = parts[0], parts[-1]
    split, metric = split_of(first.group()), name[first.end() :].strip(_BETWEEN)
    if split not in (None, "none") and words(metric):
        return metric, split
    split, metric = split_of(last.group()), name[: last.start()].strip(_BETWEEN)
    if split not in (None, "none") and last.group().lower() != "dev" and _is_measure(metric):
        return metric, split  # max_val is no split, nor is std_dev
    fused = re.fullmatch(r"(train|valid|val|test)(.+)", name)
    if fused and _is_measure(fused[2]):  # valloss
        return fused[2], split_of(fused[1])
    return name, None


_BETWEEN = " _-.:|"


def _is_measure(name: str) -> bool:
    return name in METRICS or speaks_of_merit(name) or speaks_of_cost(name)


def _meaning(name: str) -> str:
    """Equal for names that are the same metric: without split, unit in brackets, case and separators."""
    metric = re.sub(r"\(.*?\)|\[.*?\]", "", split_name(name)[0])
    return re.sub(r"[^a-z0-9]", "", metric.lower()) or name


_MEANINGS = {_meaning(name): metric for name, metric in METRICS.items()}


def declared_here(name: str) -> Metric | None:
    """The metric of ``METRICS`` that a name means, under the name as written; None if it means none."""
    known = METRICS.get(name) or _MEANINGS.get(_meaning(name))
    return known and replace(known, name=name)


def speaks_of_cost(name: str) -> bool:
    """Whether a name has a word of something of which less is usually better."""
    return any(
        _COST_WORD.fullmatch(word) or _COST_BEGINS.match(word) or _COST_ENDS.fullmatch(word)
        for written in words(name)
        for word in (written, written.rstrip("0123456789²"))
    )


def speaks_of_merit(name: str) -> bool:
    """Whether a name has a word for how good a network is."""
    return any(_MERIT_WORD.fullmatch(word.rstrip("0123456789²")) for word in words(name))


def is_aside(name: str) -> bool:
    """Whether a name is that of a row's number, an id, a count or a deviation, or no name at all."""
    plain = [word.rstrip("0123456789") for word in words(split_name(name)[0])]
    return not any(plain) or any(_ASIDE_WORD.fullmatch(word) for word in plain)


def metric_for(name: str, direction: Direction = "max") -> Metric:
    """The declared metric of that name, or a new one with no unit and no bounds."""
    return declared_here(name) or Metric(name, direction, "")


def find_meant(name: str, among: Iterable[str]) -> str | None:
    """The name among others that means the same metric: the same text before the same meaning."""
    names = list(among)
    if name in names:
        return name
    return next((other for other in names if _meaning(other) == _meaning(name)), None)


def metric_to_search(
    name: str, direction: Direction | None = None, declared: Mapping[str, Metric] | None = None
) -> Metric:
    """What a metric means that a user names: the one place where its direction is decided.

    What a table or an agent's task declares goes before what this module does, and both before the command;
    none may contradict another. Names that say nothing of a cost are better when larger.

    Args:
        name: of the metric, also with its split, as ``val_loss``.
        direction: what the command says of it.
        declared: what the table or the agent's task declares, by name.

    Raises:
        SettingsError: a contradiction, or no direction for a name that speaks of something of which less is
            usually better.
    """
    meant = find_meant(name, declared or ())
    known = replace((declared or {})[meant], name=name) if meant is not None else declared_here(name)
    if known is not None:
        if direction is not None and direction != known.direction:
            raise SettingsError(
                f"{name!r} to be better when {known.better}, as "
                + ("the table declares it" if meant is not None else "a metric of that name is declared"),
                f"--{'minimise' if direction == 'min' else 'maximise'} {name}",
                "leave that out; if the numbers are something else, such as an error, give them a name that "
                "says so",
            )
        return known
    if direction is None and speaks_of_cost(name):
        raise SettingsError(
            f"the direction of {name!r}, whose name speaks of something of which less may be better",
            "none",
            f"give --minimise {name} or --maximise {name}",
        )
    return Metric(name, direction or "max", "")


def directions(minimise: Collection[str], maximise: Collection[str]) -> dict[str, Direction]:
    """What a command says of metrics, by name.

    Raises:
        SettingsError: a name in both.
    """
    both = {name for name in minimise if find_meant(name, maximise)}
    if both:
        raise SettingsError("one direction a metric", f"both for {min(both)!r}", "leave one of them out")
    said: dict[str, Direction] = dict.fromkeys(minimise, "min")
    return said | dict.fromkeys(maximise, "max")


def said_of(name: str, said: Mapping[str, Direction]) -> Direction | None:
    """What a command says of a metric, by whichever of its names."""
    meant = find_meant(name, said)
    return None if meant is None else said[meant]
