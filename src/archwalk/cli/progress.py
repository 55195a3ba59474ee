"""Progress on standard error: a live bar on a terminal, plain lines elsewhere.

In: rows, events, evaluations. Out: text. Next: the commands.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from archwalk.fitting.verbs import Progress as FitProgress
    from archwalk.studies.plan import Job, StudyPlan
    from archwalk.studies.worker import Event
    from archwalk.tasks.ledger import Evaluation


View = TypeVar("View", Progress, Live)
Entered = TypeVar("Entered", bound="_Live[Any]")


class _Live(Generic[View]):
    """A view that is drawn while a reporter is entered, on a terminal; elsewhere there is none."""

    _view: View | None

    def __enter__(self: Entered) -> Entered:
        if self._view:
            self._view.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._view:
            self._view.stop()


class Reporter(_Live[Progress]):
    """Progress of a run: a live bar on a terminal, plain lines elsewhere, both on standard error."""

    def __init__(self, total: int) -> None:
        console = Console(stderr=True)
        self._total, self._score = total, ""
        self._view = (
            Progress(
                TextColumn("[bold]training"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %  {task.fields[text]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=console,
            )
            if console.is_terminal
            else None
        )
        self._task = self._view.add_task("", total=total, text="") if self._view else None

    def __call__(self, row: dict[str, Any], seconds: float) -> None:
        """Show a row of metrics."""
        steps = int(row["trained_steps"])
        if "greedy_validation_score" in row:
            score = row["greedy_validation_score"]  # None in a space that nobody lists
            self._score = f"ends at {row['greedy_valid_mean']:.5g}" if score is None else f"score {score:.3f}"
        rate = steps / max(seconds, 1e-9)
        text = f"{rate:,.0f} steps/s  {row['evaluations']:,} evaluations  {self._score}"
        if self._view and self._task is not None:
            self._view.update(self._task, completed=steps, text=text)
        elif "greedy_validation_score" in row:
            print_step(f"{steps:>11,} of {self._total:,} trained steps  {seconds:7.1f} s  {text}")


class StudyReporter(_Live[Live]):
    """Progress of a study: one live view on a terminal, a line an agent elsewhere, both on standard error.

    Args:
        plan: of the study.
        done: agents that were done before.
    """

    def __init__(self, plan: StudyPlan, done: int) -> None:
        console = Console(stderr=True)
        self._plan, self._agents, self._before, self._done = plan, len(plan.jobs()), done, done
        self._began = time.monotonic()
        self._steps: dict[Job, int] = {}  # trained in this sitting, by agent
        self._first: dict[Job, int] = {}  # steps an agent had when it was first heard of
        self._score: dict[Job, float] = {}
        text = "{task.percentage:>3.0f} %  {task.fields[text]}"
        self._whole = Progress(
            TextColumn("[bold]study"), BarColumn(), TextColumn(text), TimeElapsedColumn(), console=console
        )
        self._agent = Progress(
            TextColumn("{task.description}"), BarColumn(20), TextColumn(text), console=console
        )
        total = self._agents * plan.steps_a_job
        self._total = self._whole.add_task("", total=total, completed=done * plan.steps_a_job, text="")
        self._lines: dict[Job, TaskID] = {}
        terminal = console.is_terminal
        self._view = Live(Group(self._whole, self._agent), console=console) if terminal else None

    def __call__(self, event: Event) -> None:
        """Show what a worker says."""
        job = event.job
        if event.kind == "row":
            self._first.setdefault(job, event.trained_steps)
            self._steps[job] = event.trained_steps - self._first[job]
            if event.score is not None:
                self._score[job] = event.score
            if job not in self._lines:
                self._lines[job] = self._agent.add_task(str(job), total=self._plan.steps_a_job, text="")
            score = f"score {self._score[job]:.3f}" if job in self._score else ""
            text = f"{event.evaluations:,} evaluations  {score}"
            self._agent.update(self._lines[job], completed=event.trained_steps, text=text)
        elif event.kind == "done":
            self._done += 1
            if job in self._lines:
                self._agent.remove_task(self._lines.pop(job))
            if self._view is None:
                print_step(f"{job}: done. {self._so_far()}")
        under_way = sum(
            int(self._agent.tasks[self._agent.task_ids.index(i)].completed) for i in self._lines.values()
        )
        completed = self._done * self._plan.steps_a_job + under_way
        self._whole.update(self._total, completed=completed, text=self._so_far())

    def _so_far(self) -> str:
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = sum(self._steps.values()) / seconds
        text = f"{self._done} of {self._agents} agents  {rate:,.0f} steps/s"
        if rate and self._done > self._before:
            left = (self._agents - self._done) * self._plan.steps_a_job / rate
            text += f"  about {duration(left)} left"
        return text


class FitReporter(_Live[Progress]):
    """Progress of a fit: a live bar on a terminal, a line a training elsewhere, both on standard error."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        text = "{task.percentage:>3.0f} % of the time  {task.fields[left]} left  {task.fields[text]}"
        self._view = (
            Progress(TextColumn("[bold]{task.description}"), BarColumn(20), TextColumn(text), console=console)
            if console.is_terminal
            else None
        )
        self._task = self._view.add_task("reading", total=None, left="?", text="") if self._view else None

    def __call__(self, progress: FitProgress) -> None:
        """Show what was trained last."""
        left = _clock(max(0.0, progress.budget - progress.spent))
        best = f"best so far: {progress.best}" if progress.best else "nothing yet"
        if self._view and self._task is not None:
            what = "searching" if progress.searching else "final trainings"
            self._view.update(
                self._task,
                description=what,
                total=progress.budget,
                completed=min(progress.spent, progress.budget),
                left=left,
                text=best if progress.searching else progress.text,
            )
        else:
            print_step(f"{left:>8} left  {progress.text}  ({best})")


class SearchReporter(_Live[Progress]):
    """Progress of a search on standard error: a line an evaluation; on a terminal with a bar below them.

    Args:
        budget: evaluations in all.
    """

    def __init__(self, budget: int) -> None:
        console = Console(stderr=True)
        self._budget, self._first, self._began = budget, 0, time.monotonic()
        columns = (TextColumn("[bold]search"), BarColumn(), TextColumn("{task.completed} of {task.total}"))
        left = (TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
        self._view = Progress(*columns, *left, console=console) if console.is_terminal else None
        self._task: TaskID | None = None

    def __enter__(self) -> SearchReporter:
        return self  # nothing is drawn before the search has said what it knows

    def __call__(self, evaluation: Evaluation, count: int) -> None:
        """Show one more evaluation."""
        values = "  ".join(f"{k} {v:.6g}" for k, v in evaluation.metrics.items())
        said = values or f"{evaluation.status}: {evaluation.message}"
        line = f"{count:>5} of {self._budget}  {evaluation.architecture}  {said}"
        self._first = self._first or count  # those before it were there already
        seconds = (time.monotonic() - self._began) / (count - self._first + 1)
        left = seconds * (self._budget - count)
        text = f"about {duration(left)} left" if left >= 60 else f"about {left:.0f} s left"
        if self._view is None:
            print_step(line if left < 10 else f"{line}  {text}")
            return
        if self._task is None:
            self._task = self._view.add_task("", total=self._budget, left="")
            self._view.start()
        self._view.update(self._task, completed=count, left=text)
        self._view.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """Hours and minutes, as people say them."""
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def print_step(text: str) -> None:
    """What is done next, on standard error."""
    print(text, file=sys.stderr, flush=True)
