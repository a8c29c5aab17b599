"""Haematoxylin with DAB is told from H&E, pale or dark, in any light, on much or little glass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.data import immunohistochemistry

from napari_selfseg.core.images.altered import dark, pale, with_pen
from napari_selfseg.core.images.dab import dab, dab_share, has_dab
from napari_selfseg.core.images.drawn import GLASS, HAEMATOXYLIN, drawn_he_tile

DAB = np.float32([0.27, 0.57, 0.78])  # Ruifrok and Johnston (2001)
YELLOW, BLUE = (1.0, 0.95, 0.85), (0.9, 0.95, 1.0)


def as_pixels(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(np.float32) / 255


@pytest.fixture(scope="module")
def he() -> np.ndarray:
    return drawn_he_tile(300, 300, n_nuclei=40)[0]


ALTERED = pytest.mark.parametrize(
    "alter", [np.asarray, pale, dark], ids=["as it is", "pale", "dark"]
)
LIGHT = pytest.mark.parametrize("light", [(1, 1, 1), YELLOW, BLUE], ids=["white", "yellow", "blue"])


@ALTERED
@LIGHT
def test_ihc_has_dab(alter, light):
    array = as_pixels(alter(immunohistochemistry())) * np.float32(light)
    assert has_dab(array)
    assert dab_share(array) > 0.3


@ALTERED
@LIGHT
def test_h_and_e_has_none(he, alter, light):
    assert dab_share(as_pixels(alter(he)) * np.float32(light)) < 0.01


@pytest.mark.parametrize("every", [2, 5, 10**4])
def test_a_nuclear_marker_that_some_nuclei_have(every):
    _, labels = drawn_he_tile(300, 300, n_nuclei=40)
    positive = (labels > 0) & (labels % every == 0)
    blue = np.where(positive, 0.2, np.where(labels > 0, 0.5, 0.03))  # below the brown, too
    brown = np.where(positive, 0.5, 0.01)
    density = blue[..., None] * HAEMATOXYLIN + brown[..., None] * DAB
    array = (GLASS * 10**-density).astype(np.float32)
    assert has_dab(array) == positive.any()


def test_pale_collagen_in_yellow_light_is_not_brown():
    light = np.float32([0.95, 0.92, 0.76])
    array = np.broadcast_to(light, (200, 200, 3)).copy()
    array[:, 40:] *= np.float32([0.9, 0.72, 0.72])
    assert not has_dab(array)


def test_ihc_without_brown_has_none():
    assert not has_dab(as_pixels(immunohistochemistry()[330:, 400:]))


def test_glass_does_not_count():
    tissue = as_pixels(immunohistochemistry()[:180, :180])
    slide = np.full((2000, 2000, 3), 0.94, np.float32)
    slide[500:680, 500:680] = tissue  # less than a hundredth
    assert dab_share(slide) == pytest.approx(dab_share(tissue), abs=0.1)


def test_a_brown_speck_on_glass_is_dirt():
    slide = np.full((1000, 1000, 3), 0.94, np.float32)
    slide[100:104, 100:104] = (0.45, 0.3, 0.15)
    assert not has_dab(slide)


@pytest.mark.parametrize("ink", ["blue", "green", "red", "black"])
def test_pen_is_not_dab(he, ink):
    assert dab_share(as_pixels(with_pen(he, ink)[0])) < 0.01


def test_grey_blank_black_and_tiny():
    for array in (
        as_pixels(immunohistochemistry()).mean(axis=2, keepdims=True),
        np.repeat(as_pixels(immunohistochemistry())[..., :1], 3, axis=2),
        np.ones((50, 50, 3), np.float32),
        np.zeros((50, 50, 3), np.float32),
        np.zeros((0, 3, 3), np.float32),
        np.ones((1, 1, 3), np.float32),
    ):
        assert dab_share(array) == 0
        assert not has_dab(array)


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)),
        elements=st.floats(0, 1, width=32),
    )
)
@settings(max_examples=50, deadline=None)
def test_a_share_is_a_share(array):
    assert 0 <= dab_share(array) <= 1


def test_the_dab_channel_is_high_where_it_is_brown():
    brown, blue, glass = (0.5, 0.35, 0.2), (0.4, 0.4, 0.65), (0.95, 0.95, 0.95)
    amount = dab(np.float32([[brown, blue, glass]]))
    assert (amount.shape, amount.dtype) == ((1, 3), np.float32)
    assert amount[0, 0] > 3 * max(amount[0, 1], amount[0, 2])
