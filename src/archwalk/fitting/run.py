"""``Run``: a fit whose plan is made: search, train the winner and the baselines, write it all down.

In: a trainer, a ledger, a plan, a method. Out: a ``FitResult``, and the folder. Next: ``verbs``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from archwalk.errors import RunError, reason
from archwalk.files import json_text, write_atomically
from archwalk.fitting.card import write_card, write_trials
from archwalk.fitting.metrics import TIE, differences
from archwalk.fitting.networks import REFERENCE_CELL, Networks, write_source
from archwalk.fitting.plan import MARGIN, SEEDS, Plan
from archwalk.fitting.result import Baseline, FitResult, compared, tested
from archwalk.fitting.schedule import Suggester, Trial, per_step, reserved, search, winner
from archwalk.fitting.splits import TEST
from archwalk.fitting.units import (
    PREDICTIONS,
    SECONDS,
    STOP,
    TRAINING,
    WEIGHTS,
    WORK,
    Role,
    Trainer,
    Unit,
)
from archwalk.networks.export import export_onnx
from archwalk.searching.inputs import Setting
from archwalk.searching.optimizer import Method
from archwalk.tasks.ledger import Evaluation, Ledger
from archwalk.tasks.metrics import Metric

LEDGER, RESULT, SOURCE, ONNX = "trainings.sqlite", "result.json", "model.py", "model.onnx"
OVER = 0.05  # share of the budget by which final trainings may exceed it before they are made shorter
LEAST_SHARE = 1 / 3  # of the chosen lengths, that final trainings have at least
MOST_DRIFT = 1.5  # times
ONNX_NEEDS = ("onnx", "onnxscript")
NO_LIMIT = 10**9  # trainings: the budget is one of seconds


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        spent: seconds that are charged so far.
        budget: seconds in all.
        text: what was done last.
        best: the best validation value so far, with its metric; empty: none yet.
        searching: whether architectures are compared; else the winner and the baselines are trained.
    """

    spent: float
    budget: float
    text: str
    best: str
    searching: bool


OnProgress = Callable[[Progress], None]


class Run:
    """A run whose plan is made."""

    def __init__(
        self,
        trainer: Trainer,
        ledger: Ledger,
        plan: Plan,
        goal: Metric,
        setting: Setting,
        method: Method,
        seed: int,
        on_progress: OnProgress | None,
    ) -> None:
        self.trainer, self.ledger, self.plan, self.goal = trainer, ledger, plan, goal
        self.setting, self.method, self.seed = setting, method, seed
        self._tie = TIE[trainer.data.task]
        self._tell = on_progress
        self._records = {e.architecture: e for e in ledger.evaluations()}
        trainer.began = trainer.clock()

    # ---- trainings

    def _evaluate(self, unit: Unit, key: str) -> Evaluation:
        found = self.ledger.evaluate(str(unit), key, NO_LIMIT)
        self._records[str(unit)] = found
        return found

    def trials(self) -> list[Trial]:
        """What the search has done, in order."""
        return [self._trial(e) for e in self._records.values() if Unit.parse(e.architecture).role == "search"]

    def _trial(self, evaluation: Evaluation) -> Trial:
        unit, seconds = Unit.parse(evaluation.architecture), seconds_of(evaluation)
        if evaluation.status != "ok":
            return Trial(unit.what, unit.steps, nan, 0.0, seconds, evaluation.message, seconds, seconds)
        value = evaluation.metrics[self.goal.name] * self.goal.scale
        tie, training = -evaluation.metrics[self._tie], evaluation.metrics[TRAINING]
        work, stop = evaluation.metrics[WORK], int(evaluation.metrics[STOP])
        return Trial(unit.what, unit.steps, value, tie, seconds, "", training, work, stop)

    def spent(self) -> float:
        """Seconds charged so far."""
        return self.plan.spent + sum(map(seconds_of, self._records.values()))

    def _report(self, text: str, searching: bool) -> None:
        if self._tell is None:
            return
        trials = [t for t in self.trials() if isfinite(t.reward)]
        best = f"{self.goal.name} {winner(trials).reward / self.goal.scale:.5g}" if trials else ""
        self._tell(Progress(self.spent(), self.plan.budget, text, best, searching))

    # ---- the search

    def search(self) -> list[Trial]:
        """Spend what the retrained winner and the baselines leave."""
        problem = self.setting.problem
        suggester = Suggester(problem, self.method, self.seed)

        def run(architecture: str, steps: int) -> Trial:
            index = int(problem.ids([architecture])[0])
            unit = Unit("search", architecture, steps, steps, self.seed)
            trial = self._trial(self._evaluate(unit, f"search|{steps}|{problem.key_text(index)}"))
            said = (
                f"{self.goal.name} {trial.reward / self.goal.scale:.5g}"
                if isfinite(trial.reward)
                else f"failed: {trial.message}"
            )
            self._report(f"{architecture}  {steps} steps  {said}", True)
            return trial

        def left(trials: Sequence[Trial]) -> float:
            good = [t for t in trials if isfinite(t.reward)]
            rate = self._rate(good, winner(good).architecture) if good else self.plan.reference_seconds
            drift = self._drift(trials)
            after = self.plan.finals(rate, drift) + self.plan.tuning(rate, drift)
            free = self.plan.budget - self.plan.reserve - self.plan.spent - sum(t.seconds for t in trials)
            return free - after - reserved(trials, self.plan.rungs)

        reference = self.trainer.networks.reference
        return search(suggester, self.plan.rungs, self.trials(), run, left, reference)

    def _rate(self, trials: Sequence[Trial], architecture: str) -> float:
        """Seconds a step of one network in the trainings of the end."""
        rate = per_step(trials, architecture)
        if rate is None:
            return self.plan.reference_seconds
        slower = self._slower(trials)
        return rate / len(self.plan.turns) * (self._drift(trials) / slower if slower else 1.0)

    def _drift(self, trials: Sequence[Trial]) -> float:
        """How much slower trainings of the end will be than the steps that were timed for the plan.

        As the search so far, within bounds: a machine that is busy now need not be so then.
        """
        slower = self._slower(trials)
        return min(MOST_DRIFT, max(1 / MOST_DRIFT, slower)) if slower else 1.0

    def _slower(self, trials: Sequence[Trial]) -> float | None:
        """How much slower the reference was in the search than in the plan; None where nobody knows."""
        rate = per_step(trials, self.trainer.networks.reference or "")
        return rate / len(self.plan.turns) / self.plan.reference_seconds if rate else None

    # ---- the end

    def tune(self, trials: Sequence[Trial], lengths: Mapping[str, Sequence[int]]) -> dict[str, Trial]:
        """How long each baseline is to be trained: its best training, by the rule that chose the winner's.

        A baseline that was one of the architectures of the search is not trained again.

        Args:
            trials: of the search.
            lengths: that each baseline may choose from.
        """
        found: dict[str, Trial] = {}
        reference = self.trainer.networks.reference
        for name, some in lengths.items():
            if name == REFERENCE_CELL and winner(trials).architecture == reference:
                continue
            mine = []
            for steps in some:
                unit = Unit("tuning", name, steps, steps, self.seed)
                known = [t for t in trials if (t.architecture, t.steps) == (reference, steps)]
                if name == REFERENCE_CELL and known:
                    mine.append(known[0])
                    continue
                mine.append(self._trial(self._evaluate(unit, str(unit))))
                self._report(f"{name}, {steps} steps, to find out how long to train it", False)
            found[name] = winner(mine) if any(isfinite(t.reward) for t in mine) else mine[-1]
        return found

    def finish(self, trials: Sequence[Trial], folder: Path, options: dict[str, Any]) -> FitResult:
        """Retrain the winner and the baselines, compare them, write everything."""
        plan, best = self.plan, winner(trials)
        rate, drift = self._rate(trials, best.architecture), self._drift(trials)
        free = plan.budget - plan.reserve - plan.spent - sum(t.seconds for t in trials) + OVER * plan.budget
        # the share of lengths that there is time for, now and when it is known what tuning took
        ease = min(1.0, max(LEAST_SHARE, free / (plan.tuning(rate, drift) + plan.finals(rate, drift))))
        lengths = {
            name: [math.ceil(ease * n) for n in some] for name, some in plan.lengths(rate, drift).items()
        }
        chosen, rates = self.tune(trials, lengths), plan.seconds_per_step(drift)
        tuned = [e for e in self._records.values() if Unit.parse(e.architecture).role == "tuning"]
        needed = ease * rate * best.best_after + sum(rates[name] * t.best_after for name, t in chosen.items())
        fitting = (free - sum(map(seconds_of, tuned))) / (MARGIN * SEEDS * needed)
        share = (
            min(1.0, max(LEAST_SHARE, ease * fitting)) / ease
        )  # of the eased ones, up to their full length
        seeds = [self.seed + i for i in range(SEEDS)]

        def units_of(role: Role, what: str, steps: float, stop: float) -> list[Unit]:
            return [Unit(role, what, max(1, round(steps)), max(1, round(stop)), s) for s in seeds]

        eased = ease * share
        units = {"": units_of("winner", best.architecture, eased * best.steps, eased * best.best_after)}
        units |= {
            name: units_of("baseline", name, share * t.steps, share * t.best_after)
            for name, t in chosen.items()
        }
        found: dict[str, list[Evaluation]] = {name: [] for name in units}
        for i in range(SEEDS):
            for name, some in units.items():
                found[name].append(self._evaluate(some[i], str(some[i])))
                what = name or f"the winner {best.architecture}"
                self._report(f"{what}, seed {some[i].seed}, {some[i].stop} steps", False)
        ours = tested(found[""], self.goal)
        if not ours.values or ours.failed:
            raise RunError(
                "a winner that can be trained again",
                f"{ours.failed} of {SEEDS} trainings failed: {found[''][-1].message}",
                "choose another --seed and --out",
            )
        baselines = [
            compared(
                name,
                tested(found[name], self.goal),
                ours,
                self.goal,
                units[name][0].stop,
                self._differences(folder, units[""], units[name], found[name]),
            )
            for name in units
            if name
        ]
        return self._written(best, units[""][0], ours, baselines, trials, folder, options)

    def _differences(
        self, folder: Path, ours: Sequence[Unit], theirs: Sequence[Unit], found: Sequence[Evaluation]
    ) -> NDArray[np.float64] | None:
        """What each test example adds to the difference from a baseline, [seeds, n]; see ``result.compared``.

        Raises:
            RunError: predictions that were kept are not there any more, or damaged.
        """
        if any(e.status != "ok" for e in found):
            return None
        targets = self.trainer.data.targets[self.trainer.blocks == TEST]
        rows = []
        try:
            for pair in zip(ours, theirs, strict=True):
                one, two = (load_file(u.predictions(folder))["test"].numpy() for u in pair)
                rows.append(differences(self.goal.name, one, two, targets))
            return None if any(row is None for row in rows) else np.stack(rows)  # type: ignore[arg-type]
        except (OSError, SafetensorError, KeyError, ValueError, IndexError) as error:
            raise RunError(
                f"the predictions of the final trainings in {folder / PREDICTIONS}",
                reason(error),
                "restore them, or choose another --out",
            ) from error

    def _written(
        self,
        best: Trial,
        trained: Unit,
        ours: Any,
        baselines: list[Baseline],
        trials: Sequence[Trial],
        folder: Path,
        options: dict[str, Any],
    ) -> FitResult:
        networks, data, plan = self.trainer.networks, self.trainer.data, self.plan
        write_atomically(folder / SOURCE, write_source(networks, best.architecture, data).encode())
        files = [WEIGHTS, SOURCE]
        if all(find_spec(name) is not None for name in ONNX_NEEDS):
            model = load_model(folder, networks, best.architecture, data.shape)
            export_onnx(model, folder / ONNX, data.shape)
            files.append(ONNX)
        tried = {s: sum(t.steps == s for t in trials) for s in plan.rungs}
        search_seconds = sum(t.seconds for t in trials)
        parameters = sum(p.numel() for p in networks.build(best.architecture, 0).parameters())
        result = FitResult(
            architecture=best.architecture,
            space=networks.space.name,
            skeleton=networks.about(),
            parameters=parameters,
            task=data.task,
            metric=self.goal.name,
            direction=self.goal.direction,
            unit=self.goal.unit,
            validation=best.reward / self.goal.scale,
            test=ours,
            baselines=tuple(baselines),
            steps=trained.stop,
            schedule=trained.steps,
            trainings={str(s): n for s, n in tried.items()},
            failed=sum(not isfinite(t.reward) for t in trials),
            budget_seconds=plan.budget,
            search_seconds=search_seconds,
            final_seconds=self.spent() - plan.spent - search_seconds,
            seconds=self.spent(),
            folder=str(folder),
            files=(*files, "card.md", "trials.csv", "splits.csv"),
        )
        write_trials(folder, trials, self.goal, plan.rungs)
        write_card(folder, result, self.trainer, plan, options)
        write_atomically(folder / RESULT, json_text(result.to_json()).encode())
        return result


def load_model(folder: Path, networks: Networks, architecture: str, shape: Sequence[int]) -> torch.nn.Module:
    """The fitted network of a folder, in evaluation mode: raw inputs → scores or predictions."""
    from archwalk.fitting.layers import Standardised

    model = Standardised(networks.build(architecture, 0), shape[0], len(shape))
    model.load_state_dict(load_file(folder / WEIGHTS))
    return model.eval()


def seconds_of(evaluation: Evaluation) -> float:
    """Seconds that an evaluation is charged with."""
    return evaluation.metrics.get(SECONDS, evaluation.seconds)
