"""Policies of other libraries in the report of a study: what ``evaluate_policy`` wrote into its folder.

In: ``policies/NAME-SEED.json`` below the study's folder. Out: rows, one a policy and task, over its seeds.
Next: ``tables`` shows them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.analysis.statistics import mean_interval
from archwalk.errors import RunError, reason

POLICIES = "policies"  # folder within a study's


def policy_rows(study: Path, checksum: str) -> list[dict[str, Any]]:
    """What was evaluated beside a study.

    Args:
        study: its folder.
        checksum: of its benchmark.

    Raises:
        RunError: a file that cannot be read, or of another benchmark.
    """
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for file in sorted((study / POLICIES).glob("*.json")):
        try:
            result = json.loads(file.read_text("utf-8"))
            key = (re.sub(r"-\d+$", "", file.stem), result["task"], result["split"])
            made_on = result["checksum"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            remedy = "write it with archwalk.evaluate_policy(..., out=...), or take it away"
            raise RunError(f"a policy's evaluation in {file}", reason(error), remedy) from error
        if made_on != checksum:
            raise RunError(
                f"evaluations of policies on the study's benchmark ({checksum[:12]}…)",
                f"{file}, on {result['benchmark']} ({made_on[:12]}…)",
                "evaluate the policy on the study's benchmark, or take the file away",
            )
        found.setdefault(key, []).append(result)
    return [_row(*key, results) for key, results in sorted(found.items())]


def _row(policy: str, task: str, split: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"policy": policy, "task": task, "seeds": len(results), "split": split}
    row["metric"] = results[0]["metric"]
    for name in ("mean", "validation_score", "rank_percentile_mean", "walk_length_mean"):
        values = np.array([result[name] for result in results], dtype=np.float64)
        row[name] = float(values.mean())
        if name in ("mean", "validation_score"):
            row[f"{name}_low"], row[f"{name}_high"] = mean_interval(values)
    return row
