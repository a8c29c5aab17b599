"""The grid of about 1 µm: means, spread, noise, and the way back to pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from napari_selfseg.core.images.coarse import CoarseTile, camera_noise, relative_chroma
from napari_selfseg.core.images.drawn import drawn_he_tile


@pytest.mark.parametrize(
    ("um_per_px", "factor"), [(0.25, 4), (0.5, 2), (1.0, 1), (4.0, 1), (None, 4), (0.1, 10)]
)
def test_squares_are_about_1_um(um_per_px, factor):
    coarse = CoarseTile(np.ones((40, 60, 3), np.float32), um_per_px)
    assert coarse.factor == factor
    assert coarse.um == pytest.approx((um_per_px or 0.25) * factor)
    assert coarse.means.shape == (40 // factor, 60 // factor, 3)


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([0.1, 0.25, 0.5, 1.0]))
@settings(max_examples=40, deadline=None)
def test_means_are_of_squares_and_the_last_of_what_is_left(rows, columns, um_per_px):
    array = np.random.default_rng(0).random((rows, columns, 3), np.float32)
    coarse = CoarseTile(array, um_per_px)
    k = coarse.factor
    for r in range(coarse.means.shape[0]):
        for c in range(coarse.means.shape[1]):
            square = array[r * k : r * k + k, c * k : c * k + k]
            assert_allclose(coarse.means[r, c], square.mean(axis=(0, 1)), atol=1e-5)
    assert coarse.full(np.ones(coarse.means.shape[:2], bool)).shape == (rows, columns)


def test_a_mask_comes_back_where_it_was():
    coarse = CoarseTile(np.ones((402, 399, 1), np.float32), 0.25)
    mask = np.zeros(coarse.means.shape[:2], bool)
    mask[20:50, 30:60] = True
    full = coarse.full(mask)
    expected = np.zeros((402, 399), bool)
    expected[80:200, 120:240] = True
    assert (full != expected).sum() < 4 * 16  # corners are rounded
    assert_array_equal(full[82:198, 122:238], True)


def test_spread_is_that_of_brightness():
    array = np.full((200, 200, 3), 0.5, np.float32)
    array[:, 100:, :] += np.where(np.indices((200, 100)).sum(0) // 4 % 2, 0.1, -0.1)[..., None]
    spread = CoarseTile(array, 0.25).spread
    assert spread[:, :20].max() < 1e-4
    assert spread[:, 30:].min() > 0.02


def test_noise_is_measured_on_flat_and_sloping_ground():
    slope = np.linspace(0.4, 0.9, 300, dtype=np.float32)[:, None, None]
    noise = np.random.default_rng(0).normal(0, 0.02, (300, 310, 1)).astype(np.float32)
    assert camera_noise(slope + noise) == pytest.approx(0.02, rel=0.1)
    assert camera_noise(slope + 0 * noise) < 1e-4


def test_noise_of_a_drawn_tile_is_little_raised_by_tissue():
    rgb, _ = drawn_he_tile(300, 300)
    measured = camera_noise(rgb.astype(np.float32) / 255)
    assert 0.003 < measured < 0.012  # 0.012 in each channel, less in their mean


def test_chroma():
    colours = np.float32([[1, 1, 1], [0.5, 0.25, 0.5], [1, 0, 0], [0, 0, 0]])
    assert_allclose(relative_chroma(colours), [0, 0.5, 1, 0], atol=1e-6)
