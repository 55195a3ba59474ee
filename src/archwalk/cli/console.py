"""Results on standard output: evaluations, searches, comparisons, benchmarks.

In: results. Out: text. Next: the commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from archwalk.cli.progress import duration
from archwalk.files import json_text

if TYPE_CHECKING:
    from archwalk.fitting.result import FitResult
    from archwalk.studies.plan import StudyPlan
    from archwalk.tasks.surrogates.task import SurrogateTask
    from archwalk.tasks.table import Benchmark


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
        f"{forecast['steps']:,} trained steps left, about {duration(3600 * forecast['hours'])} with "
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
