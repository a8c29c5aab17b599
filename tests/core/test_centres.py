"""Learned centres: where they are, how prominent, and what is split between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, label

from napari_selfseg.core.centres import LEAST_DEPTH, SMOOTHING_UM, centres_of
from napari_selfseg.core.instances import LabelSettings, label_image


def hills(*places, shape=(60, 80), sigma=5.0):
    """Return a depth with one hill per (row, column, height); the higher one counts."""
    rows, columns = np.indices(shape)
    each = [
        height * np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * sigma**2))
        for r, c, height in places
    ]
    return np.max(each, axis=0).astype(np.float32)


def test_centres_lie_on_the_hills():
    centres = centres_of(hills((20, 20, 1.0), (40, 60, 0.8)), 0.25)
    assert sorted(map(tuple, centres.at_least(0.1).tolist())) == [(20, 20), (40, 60)]


def test_prominence_is_the_way_down_to_the_pass():
    depth = hills((30, 20, 1.0), (30, 44, 0.8), sigma=8.0)
    centres = centres_of(depth, 0.25)
    low, high = np.sort(centres.prominence)[-2:]
    seen = gaussian_filter(depth, SMOOTHING_UM / 0.25)
    pass_height = seen[30, 20:45].min()
    assert low == pytest.approx(seen[30, 44] - pass_height, abs=0.01)
    assert high == pytest.approx(seen[30, 20], abs=0.01)  # nothing higher to go to


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_prominence_by_its_definition(seed):
    """Going down level by level until the land around a centre holds a higher place."""
    noise = gaussian_filter(np.random.default_rng(seed).random((40, 50)), 2.5)
    depth = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)
    centres = centres_of(depth, 0.25)
    relief = centres.relief.astype(int)
    lowest = round(LEAST_DEPTH * 255)
    for place, prominence in zip(centres.places, centres.prominence, strict=True):
        height = relief[tuple(place)]
        if (relief[tuple(centres.places.T)] == height).sum() > 1:
            continue  # which of two equal ones ends at their pass is left open
        expected = height
        for level in range(height, lowest - 1, -1):
            land, _ = label(relief >= level)
            if relief[land == land[tuple(place)]].max() > height:
                expected = height - level
                break
        assert round(float(prominence) * 255) == expected


def test_nothing_deep_has_no_centre():
    centres = centres_of(np.full((20, 20), LEAST_DEPTH / 2, np.float32))
    assert len(centres.places) == 0
    assert len(centres.at_least(0)) == 0


def test_numbers_that_are_none_count_as_outside():
    depth = hills((20, 20, 1.0), shape=(40, 40))
    depth[0, 0] = np.nan
    assert len(centres_of(depth).at_least(0.1)) == 1


def test_objects_are_split_between_learned_centres():
    """A rod without a waist, which its shape alone could not split."""
    confidence = np.zeros((40, 80), np.float32)
    confidence[14:26, 10:70] = 1
    depth = hills((20, 24, 1.0), (20, 54, 1.0), shape=(40, 80)) * confidence
    whole = label_image(confidence, LabelSettings(morphology=False))
    split = label_image(confidence, LabelSettings(morphology=False), centres_of(depth, 0.25))
    assert whole.max() == 1
    assert split.max() == 2
    assert split[20, 24] != split[20, 54]
    np.testing.assert_array_equal(split > 0, whole > 0)
    edge = np.flatnonzero(np.diff(split[20, 10:70].astype(int)))
    assert abs(int(edge[0]) + 10 - 39) <= 2


def test_weak_centres_are_ignored_on_demand():
    confidence = np.zeros((40, 80), np.float32)
    confidence[14:26, 10:70] = 1
    depth = hills((20, 30, 1.0), (20, 48, 0.9), shape=(40, 80), sigma=8.0) * confidence
    centres = centres_of(depth, 0.25)
    counts = [
        label_image(confidence, LabelSettings(morphology=False, split_prominence=p), centres).max()
        for p in (0.05, 0.9)
    ]
    assert counts == [2, 1]


def test_components_without_a_learned_centre_stay():
    confidence = np.zeros((40, 80), np.float32)
    confidence[5:15, 5:15] = confidence[20:32, 40:60] = 1
    depth = hills((26, 45, 1.0), (26, 55, 1.0), shape=(40, 80), sigma=2.0)
    labels = label_image(confidence, LabelSettings(morphology=False), centres_of(depth, 0.25))
    assert labels.max() == 3
