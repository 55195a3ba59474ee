"""What people see on a terminal: progress, evaluations, benchmarks.

In: rows, evaluations, benchmarks. Out: text; results on standard output, progress on standard error.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from archwalk.files import json_text

if TYPE_CHECKING:
    from archwalk.fitting.result import FitResult
    from archwalk.fitting.verbs import Progress as FitProgress
    from archwalk.studies.plan import Job, StudyPlan
    from archwalk.studies.worker import Event
    from archwalk.tasks.ledger import Evaluation
    from archwalk.tasks.surrogates.task import SurrogateTask
    from archwalk.tasks.table import Benchmark


class Reporter:
    """Progress of a run: a live bar on a terminal, plain lines elsewhere, both on standard error."""

    def __init__(self, total: int) -> None:
        console = Console(stderr=True)
        self._total, self._score = total, ""
        self._progress = (
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
        self._task = self._progress.add_task("", total=total, text="") if self._progress else None

    def __enter__(self) -> Reporter:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def __call__(self, row: dict[str, Any], seconds: float) -> None:
        """Show a row of metrics."""
        steps = int(row["trained_steps"])
        if "greedy_validation_score" in row:
            score = row["greedy_validation_score"]  # None in a space that nobody lists
            self._score = f"ends at {row['greedy_valid_mean']:.5g}" if score is None else f"score {score:.3f}"
        rate = steps / max(seconds, 1e-9)
        text = f"{rate:,.0f} steps/s  {row['evaluations']:,} evaluations  {self._score}"
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=steps, text=text)
        elif "greedy_validation_score" in row:
            line = f"{steps:>11,} of {self._total:,} trained steps  {seconds:7.1f} s  {text}"
            print(line, file=sys.stderr, flush=True)


class StudyReporter:
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
        self._live = Live(Group(self._whole, self._agent), console=console) if terminal else None

    def __enter__(self) -> StudyReporter:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

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
            if self._live is None:
                print(f"{job}: done. {self._so_far()}", file=sys.stderr, flush=True)
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
            text += f"  about {_duration(left)} left"
        return text


class FitReporter:
    """Progress of a fit: a live bar on a terminal, a line a training elsewhere, both on standard error."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        text = "{task.percentage:>3.0f} % of the time  {task.fields[left]} left  {task.fields[text]}"
        self._bar = (
            Progress(TextColumn("[bold]{task.description}"), BarColumn(20), TextColumn(text), console=console)
            if console.is_terminal
            else None
        )
        self._task = self._bar.add_task("reading", total=None, left="?", text="") if self._bar else None

    def __enter__(self) -> FitReporter:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, progress: FitProgress) -> None:
        """Show what was trained last."""
        left = _clock(max(0.0, progress.budget - progress.spent))
        best = f"best so far: {progress.best}" if progress.best else "nothing yet"
        if self._bar and self._task is not None:
            what = "searching" if progress.searching else "final trainings"
            self._bar.update(
                self._task,
                description=what,
                total=progress.budget,
                completed=min(progress.spent, progress.budget),
                left=left,
                text=best if progress.searching else progress.text,
            )
        else:
            print_step(f"{left:>8} left  {progress.text}  ({best})")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def print_forecast(plan: StudyPlan, forecast: dict[str, Any], jobs: int) -> None:
    """What a study would do, an agent a line, and how long it would take."""
    for job in plan.jobs():
        what = (
            "from scratch"
            if job.scratch
            else f"{plan.settings.training.fine_tune_steps:,} of them fine-tuning"
        )
        print(f"  {job!s:48} {plan.steps_a_job:>12,} trained steps, {what}")
    print(
        f"{forecast['agents']} agents, {forecast['done']} done; {len(plan.all_results())} results; "
        f"{forecast['steps']:,} trained steps left, about {_duration(3600 * forecast['hours'])} with "
        f"{jobs} worker{'s' if jobs > 1 else ''} at {forecast['steps_a_second']:,.0f} steps/s each, measured "
        "just now; nothing was written"
    )


def print_json(result: Any) -> None:
    """One JSON value on standard output."""
    print(json_text(result))


def print_evaluation(result: dict[str, Any]) -> None:
    """An evaluation as a short table."""
    r, metric = result, result["metric"]
    low, high = r["starts_ci95"]
    epoch = "" if r["epoch"] in ("final", "none") else f", epoch {r['epoch']}"
    lines = [
        ("agent", f"{r['regime']}, {r['source_task']} → {r['task']}, seed {r['seed']}, {r['benchmark']}"),
        ("trained by", r["algorithm"] + (f", moved by {r['transfer']}" if r["transfer"] else "")),
        *([("protocol", r["protocol"])] if r["protocol"] else []),
        (
            f"{r['split']} {metric}{epoch}",
            f"{r['mean']:.5g} ± {r['std']:.2g}   [{low:.5g}, {high:.5g}] over starts",
        ),
    ]
    if r["validation_score"] is None:
        lines += [
            ("best on the walk", f"{r['best_on_walk_mean']:.5g}, mean"),
            ("place", f"better than {100 * r['random_quantile']:.2f} % of random architectures"),
        ]
    else:
        lines += [
            ("validation score", f"{r['validation_score']:.3f}   (0 a random architecture, 1 the best)"),
            ("oracle", f"{r['oracle']:.4g}, regret {r['regret_mean']:.3g}"),
            ("rank by reward", f"{r['rank_mean']:.1f}, better than {r['rank_percentile_mean']:.1f} %"),
        ]
    lines += [
        ("walks", f"{r['starts']:,} starts, {r['walk_length_mean']:.1f} steps each"),
        (
            "cost",
            f"{r['evaluations']:,} evaluations, {r['trained_steps']:,} trained steps, "
            f"{r['sampled_steps']:,} sampled steps, {r['seconds']:,.0f} s",
        ),
    ]
    if r["note"]:
        lines.insert(1, ("note", r["note"]))
    if r["evaluation_hours"] is not None:
        lines.append(("", f"{r['evaluation_hours']:,.0f} simulated hours of training networks"))
    for label, text in lines:
        print(f"{label:>20}  {text}")


def print_step(text: str) -> None:
    """What is done next, on standard error."""
    print(text, file=sys.stderr, flush=True)


class SearchReporter:
    """Progress of a search on standard error: a line an evaluation; on a terminal with a bar below them.

    Args:
        budget: evaluations in all.
    """

    def __init__(self, budget: int) -> None:
        console = Console(stderr=True)
        self._budget, self._first, self._began = budget, 0, time.monotonic()
        columns = (TextColumn("[bold]search"), BarColumn(), TextColumn("{task.completed} of {task.total}"))
        left = (TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
        self._progress = Progress(*columns, *left, console=console) if console.is_terminal else None
        self._task: TaskID | None = None

    def __enter__(self) -> SearchReporter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def __call__(self, evaluation: Evaluation, count: int) -> None:
        """Show one more evaluation."""
        values = "  ".join(f"{k} {v:.6g}" for k, v in evaluation.metrics.items())
        said = values or f"{evaluation.status}: {evaluation.message}"
        line = f"{count:>5} of {self._budget}  {evaluation.architecture}  {said}"
        self._first = self._first or count  # those before it were there already
        seconds = (time.monotonic() - self._began) / (count - self._first + 1)
        left = seconds * (self._budget - count)
        text = f"about {_duration(left)} left" if left >= 60 else f"about {left:.0f} s left"
        if self._progress is None:
            print_step(line if left < 10 else f"{line}  {text}")
            return
        if self._task is None:  # nothing is drawn before the search has said what it knows
            self._task = self._progress.add_task("", total=self._budget, left="")
            self._progress.start()
        self._progress.update(self._task, completed=count, left=text)
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_proxies(result: dict[str, Any]) -> None:
    """A line a training-free metric."""
    for name, value in result["proxies"].items():
        print(f"{name:>12}  {value:.6g}")
    print(f"{'seconds':>12}  {result['seconds']:.3g}")


def print_search(result: dict[str, Any]) -> None:
    """What a search found, and what it cost; of each task, where there are several."""
    for task, found in result.get("tasks", {}).items():
        print(task)
        print_search(found)
    if "tasks" in result:
        print(f"all tasks    {result['evaluations']} evaluations; {result['seconds']:,.1f} s")
        return
    if result["architecture"] is None:
        broken = result.get("infeasible", 0)
        why = (
            f"{broken} evaluations break a limit, the others failed" if broken else "every evaluation failed"
        )
        print(f"best         none: {why}; --retry-failed has failed ones made again")
    else:
        print(f"best         {result['architecture']}  {result['metric']} {result['value']:.6g}")
    failed = ", ".join(f"{result[k]} {k}" for k in ("failed", "timeout", "invalid"))
    print(f"evaluations  {result['evaluations']}, of these {failed}; {result['seconds']:,.1f} s")
    for evaluation in result.get("front", ()):
        values = "  ".join(f"{k} {v:.6g}" for k, v in evaluation.items() if isinstance(v, float))
        print(f"front        {evaluation['architecture']}  {values}")


def print_fit(result: FitResult) -> None:
    """What a fit found: the winner beside the baselines, what it cost, and the files."""
    unit = " %" if result.unit == "percent" else ""
    digits = ".2f" if result.unit == "percent" else ".4g"
    print(f"best         {result.architecture}  ({result.space}, {result.parameters:,} parameters)")
    print(f"{f'test {result.metric}':<32}{'mean':>10}{unit}   95 %, over {len(result.test.values)} seeds")
    rows = [("winner", result.test, "")]
    rows += [(b.name, b.test, f"winner {b.difference:+{digits}}: {b.verdict}") for b in result.baselines]
    for name, test, said in rows:
        interval = f"{test.ci95[0]:{digits}} to {test.ci95[1]:{digits}}"
        print(f"  {name:<30}{test.mean:>10{digits}}{unit}   {interval:<20} {said}".rstrip())
    print(result.verdict)
    tried = sum(result.trainings.values())
    print(
        f"cost         {result.seconds / 60:.1f} of {result.budget_seconds / 60:.4g} minutes; "
        f"{tried} trainings in the search, {result.failed} failed"
    )
    print(f"files        {result.folder}: {', '.join(result.files)}")


def print_methods(rows: list[dict[str, Any]]) -> None:
    """A line a method."""
    for row in rows:
        also = f" (also: {', '.join(row['also'])})" if row["also"] else ""
        needed = [need for need in row["needs"] if need not in ("sources", "columns")]
        needs = f"; needs {', '.join(needed)}" if needed else ""
        taken = [need for need in ("sources", "columns") if need in row["needs"]]
        takes = f"; takes {' and '.join(taken)}" if taken else ""
        print(f"{row['name']:>14}  {row['summary']}{also}\n{'':>16}{row['source']}{needs}{takes}")


def print_comparison(rows: Sequence[dict[str, Any]]) -> None:
    """Mean best rank by target, method and budget, in an open space the score; then all targets together."""
    from archwalk.searching.comparing.verdicts import over_targets

    ranked = rows[0]["rank_mean"] is not None
    what = "rank" if ranked else "score"
    budgets = list(dict.fromkeys(row["budget"] for row in rows))
    targets = list(dict.fromkeys(row["target"] for row in rows))
    for target in targets:
        if target != targets[0]:
            print()
        some = [row for row in rows if row["target"] == target]
        print(f"{target}, {_circumstances(some[0])}")
        print(f"{what + ' after':>12}" + "".join(f"{b:>17}" for b in budgets))
        for method in dict.fromkeys(row["method"] for row in some):
            cells = {r["budget"]: _cell(r, what) for r in some if r["method"] == method}
            print(f"{method:>12}" + "".join(f"{cells[b]:>17}" for b in budgets))
    if any(row["against"] for row in rows):
        many = f", Holm's correction over {len(targets)} targets" if len(targets) > 1 else ""
        print(
            "+ better, - worse, = no difference at the 5 % level: first against gp, then against the\n"
            f"source-walk (.: itself, or not there); signed-rank test over seeds{many}"
        )
    if not ranked:
        to = rows[0]["reference"]
        print(
            "score: share of the gap from the mean of random architectures to the best known that is closed\n"
            f"best known: {to['architecture']}, the {to['how']}; {to['values']:,} values"
        )
    if len(targets) > 1:
        for at in over_targets(rows):
            _print_over_targets(at)


def _circumstances(row: dict[str, Any]) -> str:
    """Under which protocol, and what was known."""
    known = row["source_evaluations"]
    sources = (
        "complete sources" if known is None else f"{known} evaluations a source" if known else "no sources"
    )
    return f"protocol {row['protocol'] or 'of the file'}, reward {row['reward']}, {sources}"


def _cell(row: dict[str, Any], what: str) -> str:
    mean, deviation = row[f"{what}_mean"], row[f"{what}_std"]
    digits = 3 if what == "score" else 1 if max(mean, deviation) < 1_000 else 0
    marks = {"better": "+", "worse": "-", "no difference": "="}
    said = [row["against"].get(b, {}).get("verdict") for b in ("gp", "source-walk")]
    text = f"{mean:.{digits}f} ± {deviation:.{digits}f}"
    return f"{text} {''.join(marks.get(s or '', '.') for s in said)}" if row["against"] else f"{text}   "


def _print_over_targets(at: dict[str, Any]) -> None:
    p = at["friedman_p"]
    tested = "" if p is None else f"; all methods alike: p = {p:.2g} (Friedman)"
    print(f"\n{at['targets']} targets, after {at['budget']} evaluations{tested}")
    heads = ("rank / gp's", "95 %", "gp: + / -", "walk: + / -")
    print(f"{'':>14}{'mean rank':>11}" + "".join(f"{head:>16}" for head in heads))
    for m in sorted(at["methods"], key=lambda m: m["mean_rank"]):
        ratio, interval = m["rank_ratio_to_gp"], m["rank_ratio_to_gp_ci95"]
        cells = [
            "–" if ratio is None else f"{ratio:.2f}",
            f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "–",
        ]
        for baseline in ("gp", "source-walk"):
            counts = m.get(f"against_{baseline}")
            cells.append(f"{counts['better']} / {counts['worse']}" if counts else "–")
        print(f"{m['method']:>14}{m['mean_rank']:>11.2f}" + "".join(f"{cell:>16}" for cell in cells))
    for group in at["groups"]:
        print(f"{'':>14}no difference between: {', '.join(group)}")


def print_benchmark(benchmark: Benchmark) -> None:
    """What a benchmark holds, a line a task, and what is missing."""
    import numpy as np

    print(f"{benchmark.name}: {len(benchmark):,} architectures of {benchmark.space.name}, checksum intact")
    if benchmark.source:
        print(f"source: {benchmark.source}")
    for task in benchmark.tasks:
        column = benchmark.reward_column(task)
        values, metric = benchmark.columns[column], benchmark.metrics[column.metric]
        goal = "larger" if metric.direction == "max" else "smaller"
        low, high = np.nanmin(values), np.nanmax(values)
        print(
            f"  {task:16} reward {'/'.join(column[1:]):18} {low:.4g} to {high:.4g} "
            f"{metric.unit}, {goal} is better; {sum(c.task == task for c in benchmark.columns)} columns"
        )
    if benchmark.protocol:
        print(f"  rewards of protocol {benchmark.protocol}")
    elif benchmark.protocols:
        print(f"  protocols: {', '.join(benchmark.protocols)} (--protocol, or FILE@PROTOCOL)")
    for column, count in benchmark.missing.items():
        print(f"  missing: {count:,} values of {column}")
    if not benchmark.missing:
        print("  nothing missing")


def print_surrogate(tasks: SurrogateTask) -> None:
    """What surrogate tasks predict, a line a metric, and how well it was fitted."""
    size = "an unknown number" if tasks.space.size is None else f"{tasks.space.size:.3g}"
    print(f"{tasks.name}: predicted, {size} of {tasks.space.name}, checksum intact")
    if tasks.source:
        print(f"source: {tasks.source}")
    for output in sorted(
        tasks.outputs, key=lambda o: (o.column.task, o.metric != tasks.rewards[o.column.task])
    ):
        use = "reward" if output.metric == tasks.rewards[output.column.task] else "metric"
        goal = "larger" if output.metric.direction == "max" else "smaller"
        address = "/".join(output.column[1:])
        unit = output.metric.unit or "no unit"
        print(f"  {output.column.task:16} {use} {address:18} {unit}, {goal} is better")
        if output.summary:
            print(f"    {output.summary}")
    print(f"  extrapolates where: {tasks.reach or 'not known'}")
    for note in tasks.notes:
        print(f"  note: {note}")
