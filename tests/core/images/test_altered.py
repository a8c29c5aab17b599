"""Altered tiles are what they say: density, ink, glass, scale."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from skimage.measure import regionprops

from napari_selfseg.core.images.altered import (
    INKS,
    at_half_scale,
    dark,
    labels_at_half_scale,
    pale,
    with_density,
    with_glass,
    with_pen,
)
from napari_selfseg.core.images.drawn import GLASS, drawn_he_tile


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    return drawn_he_tile(300, 320, n_nuclei=30)


def density(rgb: np.ndarray) -> float:
    return float(-np.log(rgb.astype(np.float32).clip(1) / 255 / GLASS).mean())


def test_pale_and_dark_are_of_that_density(drawn):
    rgb, _ = drawn
    assert density(pale(rgb)) == pytest.approx(0.5 * density(rgb), rel=0.02)
    assert density(dark(rgb)) == pytest.approx(1.6 * density(rgb), rel=0.05)
    assert np.abs(with_density(rgb, 1).astype(int) - rgb).max() <= 1


def test_glass_stays_glass():
    glass = np.broadcast_to(np.rint(GLASS * 255), (4, 4, 3)).astype(np.uint8)
    for altered in (pale(glass), dark(glass)):
        assert np.abs(altered.astype(int) - glass).max() <= 1


@pytest.mark.parametrize("ink", INKS)
def test_pen_darkens_a_stroke_and_nothing_else(drawn, ink):
    rgb, _ = drawn
    penned, pen = with_pen(rgb, ink)
    assert (penned.shape, penned.dtype, pen.dtype) == (rgb.shape, np.uint8, bool)
    assert 0.2 < pen.mean() < 0.4
    assert (penned <= rgb).all()
    assert penned[pen].mean() < 0.6 * rgb[pen].mean()
    assert_array_equal(penned[:40], rgb[:40])
    assert_array_equal(with_pen(rgb, ink)[0], penned)


def test_half_is_glass(drawn):
    rgb, _ = drawn
    altered = with_glass(rgb)
    assert_array_equal(altered[:, :160], rgb[:, :160])
    assert np.abs(altered[:, 160:].mean(axis=(0, 1)) / 255 - GLASS).max() < 0.005
    assert altered[:, 160:].std(axis=(0, 1)).max() < 3
    assert (rgb != altered).any()  # what was given is left alone


def test_half_the_scale_has_a_quarter_of_the_pixels(drawn):
    rgb, labels = drawn
    small, small_labels = at_half_scale(rgb[:299]), labels_at_half_scale(labels[:299])
    assert (small.shape, small_labels.shape) == ((149, 160, 3), (149, 160))
    np.testing.assert_allclose(small.mean(), rgb.mean(), atol=1)
    areas = {nucleus.label: nucleus.area for nucleus in regionprops(labels[:299])}
    for nucleus in regionprops(small_labels):
        if nucleus.area > 30:
            assert nucleus.area == pytest.approx(areas[nucleus.label] / 4, rel=0.2)
