"""The verb ``fit``. The command line calls it.

In: labelled data and a budget of minutes. Out: a ``FitResult``, and a folder with everything: weights,
source, ONNX, model card, trainings. Next: whoever uses the network.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from archwalk.errors import RunError, SettingsError
from archwalk.files import hold, json_text, write_atomically
from archwalk.fitting.data import Kind, Task, load_data
from archwalk.fitting.metrics import find_metric
from archwalk.fitting.networks import Networks, choose_networks
from archwalk.fitting.plan import Plan, in_words, make_plan
from archwalk.fitting.result import FitResult
from archwalk.fitting.run import LEDGER, OnProgress, Run
from archwalk.fitting.run import Progress as Progress
from archwalk.fitting.splits import TEST, keep_blocks, kept_blocks, make_blocks, turns
from archwalk.fitting.training import make_recipe
from archwalk.fitting.units import (
    Clock,
    Trainer,
)
from archwalk.searching.asktell import check_fit
from archwalk.searching.experience.known import known_beforehand, named_experience
from archwalk.searching.experience.past import Named
from archwalk.searching.inputs import Directions, Setting
from archwalk.searching.open import make_problem
from archwalk.searching.registry import DEFAULT, find_method
from archwalk.tasks.identity import Identity
from archwalk.tasks.ledger import Ledger
from archwalk.tasks.metrics import Metric
from archwalk.training.runner import find_device

PLAN = "plan.json"


def fit(
    data: str | Path | tuple[Any, Any],
    out: str | Path,
    *,
    minutes: float = 60.0,
    kind: Kind | None = None,
    task: Task | None = None,
    target: str | None = None,
    image_size: int | None = None,
    flip: bool = False,
    metric: str | None = None,
    space: Any = None,
    method: Any = DEFAULT,
    experience: Named | Sequence[Named] | None = None,
    seed: int = 0,
    device: str = "auto",
    on_progress: OnProgress | None = None,
    say: Callable[[str], None] = lambda text: None,
    clock: Clock | None = None,
) -> FitResult:
    """Find a network for labelled data and train it, within a budget of minutes. Called again, it goes on.

    Args:
        data: a folder of images by class, an ``.npz`` or Parquet file, or a pair of arrays; see docs/fit.md.
        out: folder of everything that is made.
        minutes: in all, of this machine, from reading the data to the model card.
        kind: what inputs of three axes are: ``images`` or ``series``.
        task: what whole numbers as targets are: ``classification`` or ``regression``.
        target: name of the array or column of targets, if it is none of label, labels, target, targets, y.
        image_size: largest side, in pixels, that images of a folder are scaled to; 64 by default.
        flip: whether mirrored images mean the same; then half of them are mirrored in training.
        metric: to improve: accuracy, balanced_accuracy, macro_f1, log_loss; rmse, mae, r2. By default
            accuracy, balanced accuracy where the largest class has over three times the examples of the
            smallest, rmse.
        space: of the architectures; by default by the kind of data.
        method: suggests architectures; see ``archwalk.search``.
        experience: what is known of other tasks; see ``archwalk.search``.
        seed: of splits, search and the first of three final trainings.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        on_progress: called after each training.
        say: told in a line what is about to happen.
        clock: seconds, from any zero, by which the budget is counted; the system's by default.

    Returns:
        The winner, its test metric beside those of the baselines, and where the files are.

    Raises:
        ArchwalkError: anything wrong with data, options or folder, before anything is written; a budget too
            small for one training; another command working in the folder; no training that succeeds.
    """
    work = clock if clock is not None else time.process_time
    clock = clock or time.monotonic
    began = clock()
    if not (isfinite(minutes) and minutes > 0):
        raise SettingsError("a positive number of minutes", str(minutes), "correct --minutes")
    folder, method = Path(out), find_method(method)
    where = find_device(device)
    examples = load_data(data, kind=kind, task=task, target=target, image_size=image_size)
    goal = find_metric(metric, examples)
    if flip and examples.kind != "images":
        raise SettingsError("--flip with images", f"{examples.kind}", "leave it out")
    networks = choose_networks(examples, space)
    blocks = make_blocks(examples, seed)
    trained = int((blocks != TEST).sum())
    recipe = make_recipe(examples, trained, goal.name, flip)
    runs, named = named_experience((), experience)
    options: dict[str, Any] = {
        "data": examples.digest,
        "minutes": float(minutes),
        "task": examples.task,
        "metric": goal.name,
        "space": networks.space.describe(),
        "method": method.name,
        "experience": None if named is None else [*(str(r.path) for r in runs), *map(str, named)],
        "seed": seed,
        "flip": flip,
        "device": where.type,
    }
    begun = (folder / PLAN).exists()
    kept = _kept(folder, options) if begun else None
    setting = _setting(networks, goal, examples.digest)
    check_fit(method, setting.problem)
    known = known_beforehand([setting], folder, runs, named, Directions(), method, False)
    if begun:
        blocks = kept_blocks(folder, examples)
    for line in known.said:
        say(f"known beforehand: {line}")
    before = torch.get_num_threads()
    trainer = Trainer(
        examples,
        blocks,
        turns(examples, blocks),
        networks,
        recipe,
        goal,
        where,
        folder,
        clock,
        seed,
        before,
        work if where.type == "cpu" else clock,
    )
    try:
        torch.set_num_threads(1)
        plan = kept or make_plan(trainer, 60.0 * minutes, began)
        if plan.width:
            trainer.networks = networks.with_width(plan.width)
        trainer.turns = plan.turns
        say(in_words(plan, trainer.networks))
        with hold(folder / ".lock"):
            if kept is None:
                keep_blocks(folder, examples, blocks)
                known.keep(folder)
                content = {"options": options, "plan": plan.to_json()}
                write_atomically(folder / PLAN, json_text(content).encode())
            setting = replace(setting, problem=setting.problem.with_experience(known.sources))
            torch.set_num_threads(plan.threads)
            with closing(Ledger(trainer, (goal.name,), setting.identity, folder / LEDGER)) as ledger:
                run = Run(trainer, ledger, plan, goal, setting, method, seed, on_progress)
                return run.finish(run.search(), folder, options)
    finally:
        torch.set_num_threads(before)


def _setting(networks: Networks, goal: Metric, digest: str) -> Setting:
    problem = make_problem(networks.space, measured_apart=False)
    identity = Identity(networks.space.describe(), digest, "archwalk fit", (goal,), bare=False)
    return Setting(problem, goal, (), lambda text: {}, identity)


def _kept(folder: Path, options: dict[str, Any]) -> Plan:
    """The plan of a run that goes on. Raises ``RunError`` if it is another run's."""
    path = folder / PLAN
    try:
        content = json.loads(path.read_bytes())
        there = dict(content["options"])
        plan = Plan.from_json(content["plan"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            "an intact plan of an earlier run", f"{path}: {error}", "choose another --out"
        ) from error
    wanted = json.loads(json_text(options))
    for name in wanted:
        if there.get(name) != wanted[name]:
            what = "the data as they were when it began" if name == "data" else f"{name} {there.get(name)}"
            now = "data that have changed" if name == "data" else f"{name} {wanted[name]}"
            raise RunError(
                f"the run in {folder} to go on with {what}", now, "give what it began with, or another --out"
            )
    return plan
