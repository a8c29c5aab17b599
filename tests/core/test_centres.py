"""Prominence is checked against the h-maxima of scikit-image, which take one h at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, label
from skimage.morphology import h_maxima

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
    pass_height = depth[30, 20:45].min()
    assert low == pytest.approx(0.8 - pass_height, abs=0.03)
    assert high == pytest.approx(1.0, abs=0.03)  # nothing higher to go to


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 100), h=st.sampled_from([0.04, 0.1, 0.2, 0.35]))
def test_keeping_prominent_centres_is_taking_the_h_maxima(seed, h):
    noise = gaussian_filter(np.random.default_rng(seed).random((50, 60)), 3)
    depth = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)
    levels = round(h * 255)
    relief = np.round(np.clip(gaussian_filter(depth, SMOOTHING_UM / 0.25), 0, 1) * 255)
    # flooding goes over the four sides of a pixel, so the regions must too
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    maxima, _ = label(h_maxima(relief.astype(np.int32), levels, cross))
    wanted = {maxima[relief == relief[maxima == i].max()].max() for i in np.unique(maxima)[1:]}
    wanted = {i for i in np.unique(maxima)[1:] if relief[maxima == i].max() >= LEAST_DEPTH * 255}
    kept = centres_of(depth, 0.25).at_least((levels - 0.5) / 255)
    found = {maxima[tuple(place)] for place in kept} - {0}
    assert found == wanted


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
        label_image(
            confidence, LabelSettings(morphology=False, split_prominence=p), centres
        ).max()
        for p in (0.05, 0.9)
    ]
    assert counts == [2, 1]


def test_components_without_a_learned_centre_stay():
    confidence = np.zeros((40, 80), np.float32)
    confidence[5:15, 5:15] = confidence[20:32, 40:60] = 1
    depth = hills((26, 45, 1.0), (26, 55, 1.0), shape=(40, 80), sigma=2.0)
    labels = label_image(confidence, LabelSettings(morphology=False), centres_of(depth, 0.25))
    assert labels.max() == 3
