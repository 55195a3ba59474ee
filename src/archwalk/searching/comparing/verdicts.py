"""Which method is better: on every target, paired over seeds; and over all targets.

In: what every search reached at every budget. Out: a verdict against each baseline, corrected for the number
of targets, and a summary over targets. Next: ``compare`` writes both, ``archwalk.reporting`` draws them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwalk.analysis.paired import ALPHA, ranking, ratio, signed_rank
from archwalk.analysis.statistics import holm
from archwalk.searching.comparing.comparison import BASELINES

Series = Mapping[tuple[str, str, int], NDArray[np.float64]]
NO_DIFFERENCE = "no difference"


def add_verdicts(rows: Sequence[dict[str, Any]], series: Series) -> list[dict[str, Any]]:
    """Put ``against`` into every row: baseline → ``difference, p, p_holm, verdict``.

    Seed by seed the same random numbers of a method's sources, so the test is the signed-rank test on the
    differences of the best ranks (in an open space of the scores). Holm's correction is over the targets, for
    each method, baseline and budget by itself. The difference is that of the means, the method's less the
    baseline's; which of the two is better is for the signed ranks to say.

    Args:
        rows: ``target, method, budget``; changed.
        series: (target, method, budget) → smaller is better, [seeds].

    Returns:
        The same, a row a test.
    """
    tests = []
    for row in rows:
        row["against"] = {}
        for baseline in BASELINES:
            theirs = series.get((row["target"], baseline, row["budget"]))
            if row["method"] == baseline or theirs is None:
                continue
            differences = series[row["target"], row["method"], row["budget"]] - theirs
            balance, p = signed_rank(differences)
            sign = 1.0 if row["rank_mean"] is not None else -1.0  # scores: larger is better
            test: dict[str, Any] = {"difference": sign * float(differences.mean()), "p": p}
            row["against"][baseline] = test
            of = {k: row[k] for k in ("target", "method", "budget")} | {"baseline": baseline}
            tests.append(of | {"test": test, "balance": balance})
    families: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for one in tests:
        families.setdefault((one["method"], one["budget"], one["baseline"]), []).append(one)
    for family in families.values():
        p_holm = holm(np.array([one["test"]["p"] for one in family]))
        for one, corrected in zip(family, p_holm.tolist(), strict=True):
            way = "better" if one.pop("balance") < 0 else "worse"
            one["test"] |= {"p_holm": corrected, "verdict": way if corrected < ALPHA else NO_DIFFERENCE}
    return [one | one.pop("test") for one in tests]


def over_targets(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every method at every budget over all targets.

    Args:
        rows: what ``compare`` returns.

    Returns:
        One object a budget: ``budget, targets, friedman_p, groups`` (methods of which no two differ, by
        signed-rank tests over targets and Holm's correction) and ``methods``, with ``method, mean_rank``
        (among the methods, 1 is best), ``rank_ratio_to_gp`` (geometric mean over targets of the ratio of mean
        ranks), its ``_ci95``, and ``better``, ``worse`` (numbers of targets) against each baseline. The ratio
        is None in an open space, an interval of fewer than 2 targets too.
    """
    found = []
    for budget in dict.fromkeys(row["budget"] for row in rows):
        at = {(row["target"], row["method"]): row for row in rows if row["budget"] == budget}
        targets, methods = (list(dict.fromkeys(key[i] for key in at)) for i in (0, 1))
        ranked = rows[0]["rank_mean"] is not None
        values = np.array([[_value(at[t, m], ranked) for m in methods] for t in targets])
        ranks = ranking(np.log(values) if ranked else values)
        described = []
        for i, method in enumerate(methods):
            entry: dict[str, Any] = {"method": method, "mean_rank": float(ranks.mean_ranks[i])}
            entry |= {"rank_ratio_to_gp": None, "rank_ratio_to_gp_ci95": None}
            if ranked and "gp" in methods:
                center, interval = ratio(values[:, i], values[:, methods.index("gp")])
                entry["rank_ratio_to_gp"] = center
                entry["rank_ratio_to_gp_ci95"] = None if np.isnan(interval.low) else list(interval)
            for baseline in BASELINES:
                said = [at[t, method].get("against", {}).get(baseline, {}).get("verdict") for t in targets]
                if any(said):
                    entry[f"against_{baseline}"] = {v: said.count(v) for v in ("better", "worse")}
            described.append(entry)
        found.append(
            {
                "budget": budget,
                "targets": len(targets),
                "friedman_p": None if np.isnan(ranks.friedman) else ranks.friedman,
                "groups": [[methods[i] for i in group] for group in ranks.groups],
                "methods": described,
            }
        )
    return found


def _value(row: Mapping[str, Any], ranked: bool) -> float:
    return float(row["rank_mean"] if ranked else -row["score_mean"])
