"""Growing boosted trees with LightGBM, and writing them down as plain arrays.

In: codes and a target. Out: ``trees.BoostedTrees``. Next: ``fit`` compares it with networks.

LightGBM, because its public dump of a model is the whole of it, and it needs neither pickle nor a GPU's
libraries; scikit-learn's boosting shows its trees in private attributes only. After growing nothing of it is
needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import SettingsError
from archwalk.spaces.base import Codes, SearchSpace
from archwalk.tasks.surrogates.models import Floats
from archwalk.tasks.surrogates.trees import BoostedTrees, Trees

MEMBERS = 5
ROUNDS = 1_000
PATIENCE = 40  # rounds without a better prediction of the held-out part before growing stops
PARAMETERS: dict[str, Any] = {
    "objective": "regression",
    "learning_rate": 0.1,
    "num_leaves": 8,
    "min_data_in_leaf": 8,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "boost_from_average": False,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


class Question(NamedTuple):
    """What a column of LightGBM's input asks: a slot's choice, or (equal) whether it is this one."""

    slot: int
    equal: bool
    choice: int


def grow_trees(
    space: SearchSpace, codes: Codes, target: Floats, ordered: Sequence[bool], seed: int
) -> BoostedTrees:
    """Five members, each grown on four fifths of the sample until it no longer predicts its own fifth better.

    Args:
        space: of the architectures.
        codes: [n, slots].
        target: [n], not constant.
        ordered: whether the choices of each slot have an order, [slots].
        seed: of the parts, and of rows and columns drawn.

    Raises:
        SettingsError: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise SettingsError(
            "LightGBM, which grows boosted trees",
            "it is not installed",
            "pip install 'archwalk[surrogates]', or fit networks alone",
        ) from error
    level, scale = float(target.mean()), float(target.std())
    questions = _questions(codes, ordered)
    columns, y = _columns(codes, questions), (target - level) / scale
    part = np.random.default_rng(seed).permutation(len(y)) % MEMBERS
    grown = []
    for member in range(MEMBERS):
        inside, outside = part != member, part == member
        train = lightgbm.Dataset(columns[inside], y[inside], free_raw_data=False)
        booster = lightgbm.train(
            PARAMETERS | {"seed": seed * MEMBERS + member},
            train,
            ROUNDS,
            valid_sets=[lightgbm.Dataset(columns[outside], y[outside], reference=train)],
            callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        )
        dump = booster.dump_model(num_iteration=booster.best_iteration)
        grown.append([tree["tree_structure"] for tree in dump["tree_info"]])
    return BoostedTrees(space, write_trees(grown, questions, scale), level)


def _questions(codes: Codes, ordered: Sequence[bool]) -> list[Question]:
    questions = []
    for slot, has_order in enumerate(ordered):
        seen = np.unique(codes[:, slot]).tolist()
        if has_order or len(seen) <= 2:
            questions.append(Question(slot, False, 0))
        else:
            questions += [Question(slot, True, choice) for choice in seen]
    return questions


def _columns(codes: Codes, questions: Sequence[Question]) -> NDArray[np.float64]:
    columns = [codes[:, q.slot] == q.choice if q.equal else codes[:, q.slot] for q in questions]
    return np.column_stack(columns).astype(np.float64)


def write_trees(
    members: Sequence[Sequence[dict[str, Any]]], questions: Sequence[Question], scale: float
) -> Trees:
    """LightGBM's trees as arrays.

    Args:
        members: of each member its trees, as ``dump_model`` gives ``tree_structure``.
        questions: what each input column asks.
        scale: multiplies the leaves.
    """
    rows: list[tuple[int, int, int, bool, int, int]] = []
    leaves: list[list[float]] = []
    for number, tree in enumerate(tree for member in members for tree in member):
        values: list[float] = []
        for split, first, count in _splits(tree, values):
            question, threshold = questions[split["split_feature"]], split["threshold"]
            if split["decision_type"] != "<=":
                raise ValueError(f"a split of another kind: {split['decision_type']}")
            choice = question.choice if question.equal else int(np.floor(threshold))
            rows.append((number, question.slot, choice, question.equal, first, count))
        leaves.append([scale * value for value in values])
    width = max(map(len, leaves))
    padded = np.array([row + [0.0] * (width - len(row)) for row in leaves])
    tree_, slot, choices, equal, starts, counts = np.array(rows, dtype=np.int64).reshape(-1, 6).T
    return Trees(
        tree=tree_.astype(np.int32),
        slot=slot.astype(np.int16),
        choice=choices.astype(np.int16),
        equal=equal.astype(np.uint8),
        first=starts.astype(np.uint8),
        count=counts.astype(np.uint8),
        leaves=padded,
        sizes=np.array([len(member) for member in members], dtype=np.int32),
    )


def _splits(node: dict[str, Any], values: list[float]) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Each split below a node with the range of leaves on its left; leaves are added from left to right."""
    if "leaf_value" in node:
        values.append(float(node["leaf_value"]))
        return
    first = len(values)
    yield from _splits(node["left_child"], values)
    count = len(values) - first
    yield from _splits(node["right_child"], values)
    yield node, first, count
