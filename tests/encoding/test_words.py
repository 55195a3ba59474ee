import numpy as np
import pytest

from archwalk.encoding.words import FEATURES, HASHED, KINDS, describe_word, describe_words, hashed
from archwalk.spaces.registry import make_space, space_names


@pytest.mark.parametrize("name", sorted(space_names()))
def test_every_word_of_the_package_is_known_and_told_apart_within_its_slot(name):
    space = make_space(name)
    words = describe_words(space)
    assert words.shape == (len(space.vocabulary), FEATURES)
    assert not words[:, KINDS.index("unknown")].any()
    assert (words[:, : len(KINDS)].sum(1) == 1).all()
    slots = [word.partition("=")[0] if "=" in word else "" for word in space.vocabulary]
    for slot in set(slots):
        own = words[[i for i, other in enumerate(slots) if other == slot]]
        assert len(np.unique(own, axis=0)) == len(own)


@pytest.mark.parametrize(
    "alike",
    [
        ("conv3x3", "nor_conv_3x3", "conv3x3-bn-relu"),
        ("conv1x1", "nor_conv_1x1", "conv1x1-bn-relu"),
        ("skip", "skip_connect", "normal:skip_connect"),
        ("max_pool_3x3", "maxpool3x3", "normal:max_pool_3x3"),
        ("mlp3=4", "mlp11=4"),
    ],
)
def test_what_is_the_same_operation_in_two_spaces_is_the_same_word(alike):
    first = describe_word(alike[0])
    for other in alike[1:]:
        np.testing.assert_array_equal(describe_word(other), first)


def test_operations_that_differ_differ():
    words = ["conv1x1", "conv3x3", "sep_conv_3x3", "dil_conv_3x3", "sep_conv_5x5", "avg_pool_3x3"]
    words += ["max_pool_3x3", "skip", "reduce:skip_connect", "agg=max", "stage=max", "strange", "stranger"]
    assert len(np.unique([describe_word(word) for word in words], axis=0)) == len(words)


def test_ordinal_choices_lie_in_order_and_a_lone_word_has_no_size():
    space = make_space("gpt-s")
    words = describe_words(space)
    of = {word: words[i] for i, word in enumerate(space.vocabulary)}
    size, number = -2 * HASHED - 2, -2 * HASHED - 1
    assert [of[f"embed={n}"][size] for n in (192, 384, 768)] == [-1, 0, 1]
    assert of["embed=192"][number] < of["embed=384"][number] < of["embed=768"][number]
    assert of["input"][size] == 0


def test_a_hash_is_the_same_on_every_machine():
    assert hashed("").tolist() == [0.0] * HASHED
    # SHA-256 of "abc" begins with ba 78: 1011 1010 0111.
    assert hashed("abc").tolist() == [1, -1, 1, 1, 1, -1, 1, -1, -1, 1, 1, 1]
