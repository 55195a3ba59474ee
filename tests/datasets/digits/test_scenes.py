import numpy as np
import pytest

from archwalk.datasets.digits import scenes as module
from archwalk.datasets.digits.scenes import (
    DIGIT,
    KINDS,
    SPLITS,
    Split,
    make_scenes,
    split_digits,
    surface_normals,
)
from archwalk.errors import SettingsError


def test_no_digit_is_in_two_splits() -> None:
    pools = [set(split_digits(split).tolist()) for split in SPLITS]
    assert sum(map(len, pools)) == len(set.union(*pools)) == 1797
    for split, pool in zip(SPLITS, pools, strict=True):
        assert set(make_scenes(split, 40).source.tolist()) <= pool


def test_no_picture_of_a_digit_occurs_twice_in_the_source() -> None:
    images, _ = module._load_digits()
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_are_the_same_whenever_and_however_many_are_made(split: Split) -> None:
    few, many = make_scenes(split, 5), make_scenes(split, 12)
    for name in vars(few):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:5])


def test_splits_differ() -> None:
    assert not np.array_equal(make_scenes("valid", 5).image, make_scenes("test", 5).image)


def test_scenes_are_what_they_say() -> None:
    s = make_scenes("train", 300)
    _, digits = module._load_digits()
    assert s.image.min() >= 0
    assert s.image.max() <= 1
    assert s.image.shape == s.height.shape == s.labels.shape == (300, 16, 16)
    np.testing.assert_array_equal(s.digit, digits[s.source])
    assert set(s.kind.tolist()) == set(range(len(KINDS)))
    assert ((s.labels == DIGIT).sum((1, 2)) > 5).all()
    # Above the floor's edge at the left border is wall, below it floor, unless something stands before it.
    column = s.labels[:, :, 0]
    v = (np.arange(16) + 0.5) / 16
    seen = column < 3
    below = v > s.layout[:, 2:3] + 0.06
    above = v < s.layout[:, 2:3] - 0.06
    assert (column[seen & below] == 2).all()
    assert (column[seen & above] == 0).all()


def test_normals_of_a_plane() -> None:
    v, u = np.indices((16, 16)) / 16
    (normal,) = surface_normals((0.5 * u - 0.25 * v)[None])
    expected = np.array([-0.5, 0.25, 1.0]) / np.sqrt(0.5**2 + 0.25**2 + 1)
    np.testing.assert_allclose(normal, np.broadcast_to(expected[:, None, None], (3, 16, 16)), atol=1e-9)


def test_no_scenes_is_an_error() -> None:
    with pytest.raises(SettingsError, match="at least one scene"):
        make_scenes("train", 0)
