import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.searching.incontext.tasks import MOST, Mix, Pool, made_up, make_lesson, make_pool
from archwalk.searching.problem import normal_scores
from archwalk.spaces.registry import make_space
from archwalk.tasks import Benchmark


@pytest.fixture(scope="module")
def pool() -> Pool:
    space = make_space("nasbench201")
    codes = space.codes[::14].astype(np.int16)
    g = np.random.default_rng(0)
    return make_pool(space, codes, [g.normal(size=len(codes)), g.exponential(size=len(codes))])


def test_a_pool_holds_live_codes_counts_and_scores(pool):
    space = make_space("nasbench201")
    for i, code in enumerate(space.codes[::14][:50].tolist()):
        assert pool.codes[i].tolist() == list(space.live_code(code))
        operations = space.graph(code).operations
        assert pool.counts[i].tolist() == [operations.count(w) for w in range(len(space.vocabulary))]
    g = np.random.default_rng(0)
    np.testing.assert_allclose(pool.scores[0], normal_scores(g.normal(size=len(pool))))


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_a_lesson_asks_for_what_is_not_evaluated(pool, seed):
    mix = Mix(tasks=5, architectures=60, queries=12)
    lesson = make_lesson(pool, mix, np.random.default_rng(seed))
    n = len(lesson.drawings)
    assert n <= 60
    assert lesson.context.shape == lesson.known.shape == lesson.rewards.shape
    assert lesson.context.shape[1] <= min(MOST, n // 2)
    assert lesson.queries.shape == lesson.targets.shape
    assert lesson.queries.shape[1] >= 1
    for t in range(5):
        evaluated = set(lesson.context[t][lesson.known[t]].tolist())
        asked = lesson.queries[t].tolist()
        assert len(evaluated) == int(lesson.known[t].sum())
        assert len(set(asked)) == len(asked)
        assert not evaluated & set(asked)


def test_real_tasks_alone_are_what_was_measured(pool):
    mix = Mix(tasks=8, architectures=80, queries=20, synthetic=0, mixed=0, flipped=0, deviating=0, noise=0)
    lesson = make_lesson(pool, mix, np.random.default_rng(1))
    scores = (pool.scores - pool.scores.mean(1, keepdims=True)) / pool.scores.std(1, keepdims=True)
    for t in range(8):
        values = scores[:, lesson.rows[lesson.queries[t].numpy()]]
        gaps = np.abs(values - lesson.targets[t].numpy()).max(1)
        assert gaps.min() < 1e-5  # one of the two tasks, and for the context the same one
        known = lesson.known[t].numpy()
        context = scores[gaps.argmin(), lesson.rows[lesson.context[t].numpy()]]
        np.testing.assert_allclose(context[known], lesson.rewards[t].numpy()[known], atol=1e-5)


def test_lessons_are_repeatable_and_contexts_have_all_sizes(pool):
    mix = Mix(tasks=16, architectures=250, queries=10)
    one, other = (make_lesson(pool, mix, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one.targets, other.targets)
    assert np.array_equal(one.context, other.context)
    sizes = np.concatenate(
        [make_lesson(pool, mix, np.random.default_rng(s)).known.sum(1).numpy() for s in range(30)]
    )
    assert (sizes == 0).mean() > 0.08
    assert ((sizes > 0) & (sizes < 10)).mean() > 0.2
    assert (sizes > 50).mean() > 0.08
    assert sizes.max() <= MOST


def test_made_up_tasks_depend_on_what_the_network_can_see_alone(pool):
    rows = np.arange(len(pool))
    values = made_up(pool, rows, 6, np.random.default_rng(2))
    np.testing.assert_allclose(values.mean(1), 0, atol=1e-9)
    np.testing.assert_allclose(values.std(1), 1, atol=1e-9)
    _, first, group = np.unique(pool.codes[rows], axis=0, return_index=True, return_inverse=True)
    np.testing.assert_allclose(values, values[:, first[group.ravel()]], atol=1e-4)
    apart = (pool.codes[:, None] != pool.codes[None]).sum(2)
    alike = [
        np.mean([v[a] @ v[b] / len(a) for v in values]) for a, b in map(np.nonzero, (apart == 1, apart == 5))
    ]
    assert alike[0] > alike[1] + 0.2  # architectures one edit apart, and far apart
    assert np.abs(np.corrcoef(values))[np.triu_indices(6, 1)].max() < 0.9


def test_a_space_without_measurements_has_made_up_tasks_alone():
    space = make_space("darts")
    bare = make_pool(space, space.sample(50, np.random.default_rng(0)), [])
    lesson = make_lesson(bare, Mix(tasks=4, architectures=40, queries=8), np.random.default_rng(0))
    assert bare.scores.shape == (0, 50)
    assert lesson.targets.isfinite().all()


def test_the_better_are_asked_for_more_often(synthetic: Benchmark):
    codes = synthetic.space.codes[synthetic.rows].astype(np.int16)
    some = make_pool(synthetic.space, codes, [synthetic.reward(task) for task in synthetic.tasks])
    g = np.random.default_rng(3)
    targets = [make_lesson(some, Mix(), g).targets.mean().item() for _ in range(10)]
    assert np.mean(targets) > 0.4  # 0 if it were any
