"""``Trainer``: one training as an entry of the ledger, measured and charged.

In: what is trained, for how many steps, from which seed. Out: metrics, with the seconds that it took. Next:
``verbs`` reads them back from the ledger, whether they were made just now or before the command was killed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from archwalk.files import write_atomically
from archwalk.fitting.data import Dataset
from archwalk.fitting.metrics import best_point, measure_of, order_of
from archwalk.fitting.networks import Make, Networks
from archwalk.fitting.splits import TEST, Blocks
from archwalk.fitting.training import (
    CHECKPOINT,
    Diverged,
    Examples,
    Keeper,
    Recipe,
    Watch,
    measure,
    predict,
    standardised,
    train,
)
from archwalk.tasks.ledger import EvaluationFailed
from archwalk.tasks.metrics import Metric

Role = Literal["search", "tuning", "winner", "baseline"]
Clock = Callable[[], float]
BOOSTING = "gradient boosting"
SECONDS, TRAINING, WORK = "seconds", "training_seconds", "processor_seconds"
STOP = "stop"
SHARES = (0.25, 0.5, 0.75, 1.0)  # of its steps, after which a training is measured on the validation split
WEIGHTS = "model.safetensors"
PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Unit:
    """One training.

    Attributes:
        role: ``search``, and ``tuning`` of a baseline, train on the training split and measure on the
            validation split, on the way as well; ``winner`` and ``baseline`` train on both and measure on the
            test split.
        what: an architecture, or a baseline by name.
        steps: of the optimiser, over which the learning rate falls to zero; of gradient boosting, trees.
        stop: steps after which the training ends.
        seed: of first weights, order and dropout.
    """

    role: Role
    what: str
    steps: int
    stop: int
    seed: int

    def __str__(self) -> str:
        """As the ledger writes it."""
        return f"{self.role}|{self.stop}/{self.steps}|{self.seed}|{self.what}"

    def predictions(self, folder: Path) -> Path:
        """Where what a final training says of the test split is kept."""
        name = "winner" if self.role == "winner" else self.what.replace(" ", "-")
        return folder / PREDICTIONS / f"{name}-{self.seed}.safetensors"

    @classmethod
    def parse(cls, text: str) -> Unit:
        """The inverse of ``str``."""
        role, length, seed, what = text.split("|", 3)
        stop, steps = map(int, length.split("/"))
        return cls(role, what, steps, stop, int(seed))  # type: ignore[arg-type]


def points(steps: int) -> tuple[int, ...]:
    """Steps of a training after which it is measured, ascending, the last one being its end."""
    return tuple(sorted({math.ceil(share * steps) for share in SHARES}))


class Trainer:
    """Trains and measures units; what the ledger calls.

    Args:
        data: all examples.
        blocks: which split each is in, [n].
        turns: blocks that are the validation split in turns.
        networks: what architectures become.
        recipe: how they are trained.
        goal: the metric by which the best point of a training is chosen.
        device: where.
        folder: of the run: checkpoints and weights.
        clock: seconds.
        first_seed: of which the winner's weights are kept.
        threads: that may compute.
        work: seconds of the processor; the clock where the processor is not what computes.

    Attributes:
        began: when the decision for the present unit began; it is charged from there.
    """

    def __init__(
        self,
        data: Dataset,
        blocks: Blocks,
        turns: tuple[int, ...],
        networks: Networks,
        recipe: Recipe,
        goal: Metric,
        device: torch.device,
        folder: Path,
        clock: Clock,
        first_seed: int,
        threads: int = 1,
        work: Clock | None = None,
    ) -> None:
        self.data, self.blocks, self.turns, self.networks = data, blocks, turns, networks
        self.recipe, self.device, self.clock, self.work = recipe, device, clock, work or clock
        self.goal = goal
        self._folder, self._first, self.threads = folder, first_seed, threads
        self.inputs = torch.from_numpy(data.inputs).to(device)
        self.targets = torch.from_numpy(data.targets).to(device)
        if not data.classes:
            self.targets = self.targets.float()
        self.began = clock()

    def examples(self, rows: NDArray[np.bool_]) -> Examples:
        """Those of a mask, [n]."""
        return Examples(self.inputs, self.targets, np.flatnonzero(rows), len(self.data.classes))

    def __call__(self, text: str) -> Mapping[str, float]:
        """Metrics of a unit, and its ``seconds``, ``training_seconds`` and ``processor_seconds``.

        In the search and for tuning they are those of the training's ``metrics.best_point``, and ``stop``
        says after how many steps that was.

        Raises:
            EvaluationFailed: the training diverged, or the memory did not suffice.
        """
        unit, start, worked = Unit.parse(text), self.clock(), self.work()
        try:
            metrics, before = self._final(unit) if unit.role in ("winner", "baseline") else self._search(unit)
        except Diverged as error:
            self.began = self.clock()
            raise EvaluationFailed("invalid", str(error)) from error
        except (MemoryError, torch.OutOfMemoryError) as error:
            self.began = self.clock()
            raise EvaluationFailed("failed", f"out of memory: {error}") from error
        now, worked = self.clock(), self.work() - worked
        seconds, self.began = before + now - self.began, now
        if before and now > start:  # what a process that is gone did is charged, its work was not counted
            worked *= (before + now - start) / (now - start)
        return metrics | {SECONDS: seconds, TRAINING: before + now - start, WORK: worked}

    def _search(self, unit: Unit) -> tuple[dict[str, float], float]:
        each, before = [], 0.0
        for turn in self.turns:
            trained = (self.blocks != turn) & (self.blocks != TEST)
            found, spent = self._measured(unit, trained, np.flatnonzero(self.blocks == turn), turn)
            before += spent
            each.append(found)
        means = [
            {name: float(np.mean([m[name] for m in some])) for name in some[0]}
            for some in zip(*each, strict=True)
        ]
        best = best_point([order_of(m, self.goal, self.data.task) for m in means])
        return means[best] | {STOP: points(unit.steps)[best]}, before

    def _measured(
        self, unit: Unit, trained: NDArray[np.bool_], asked: NDArray[np.int64], turn: int
    ) -> tuple[list[dict[str, float]], float]:
        """Metrics at each of the ``points``, and seconds that were spent before this process began."""
        at = points(unit.steps)
        if unit.what == BOOSTING:
            rows = np.flatnonzero(trained)
            said = boosted(self.data, rows, asked, at, unit.seed)
            return [measure_of(self.data)(one, self.data.targets[asked]) for one in said], 0.0
        watch = Watch(at, lambda model: measure(model, self.data, self.inputs, asked))
        _, spent = self._trained(self._make(unit), unit, trained, f"{unit} without block {turn}", watch)
        return watch.found, spent

    def _final(self, unit: Unit) -> tuple[dict[str, float], float]:
        test, spent = np.flatnonzero(self.blocks == TEST), 0.0
        if unit.what == BOOSTING:
            rows = np.flatnonzero(self.blocks != TEST)
            (predicted,) = boosted(self.data, rows, test, (unit.stop,), unit.seed)
        else:
            model, spent = self._trained(self._make(unit), unit, self.blocks != TEST, str(unit))
            predicted = predict(model, self.inputs, test)
            if unit.role == "winner" and unit.seed == self._first:
                weights = {k: v.cpu().contiguous() for k, v in model.state_dict().items()}
                write_atomically(self._folder / WEIGHTS, save(weights, {"architecture": unit.what}))
        write_atomically(
            unit.predictions(self._folder), save({"test": torch.from_numpy(np.ascontiguousarray(predicted))})
        )
        return measure_of(self.data)(predicted, self.data.targets[test]), spent

    def _make(self, unit: Unit) -> Make:
        if unit.role in ("baseline", "tuning"):
            return self.networks.baselines()[unit.what]
        return lambda seed: self.networks.build(unit.what, seed)

    def _trained(
        self, make: Make, unit: Unit, rows: NDArray[np.bool_], name: str, watch: Watch | None = None
    ) -> tuple[Any, float]:
        """The trained network, and seconds that it was trained before this process began."""
        examples = self.examples(rows)
        model = standardised(make(unit.seed), examples)
        keeper = Keeper(self._folder, self.clock, name)
        train(model, examples, unit.steps, unit.seed, self.recipe, keeper, stop=unit.stop, watch=watch)
        (self._folder / CHECKPOINT).unlink(missing_ok=True)
        return model, keeper.before


def can_boost(data: Dataset) -> bool:
    """Whether gradient boosting is a baseline: not for images, and where scikit-learn is installed."""
    return data.kind != "images" and find_spec("sklearn") is not None


def boosted(
    data: Dataset, trained: NDArray[np.int64], asked: NDArray[np.int64], at: Sequence[int], seed: int
) -> list[NDArray[np.float64]]:
    """Predictions of scikit-learn's histogram gradient boosting with its defaults, after some numbers of
    trees, ascending: scores that ``measure_of`` takes, [asked, classes], or quantities, [asked].

    Where it stops by itself earlier, the last ones are those of its end.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    flat = data.inputs.reshape(len(data), -1)
    made = HistGradientBoostingClassifier if data.classes else HistGradientBoostingRegressor
    model = made(max_iter=at[-1], random_state=seed).fit(flat[trained], data.targets[trained])
    stages = model.staged_predict_proba if data.classes else model.staged_predict
    kept: dict[int, NDArray[np.float64]] = {}
    for i, said in enumerate(stages(flat[asked]), 1):
        if i in at or i == model.n_iter_:
            kept[i] = np.log(np.clip(said, 1e-12, 1.0)) if data.classes else np.asarray(said)
    return [kept[min(n, model.n_iter_)] for n in at]
