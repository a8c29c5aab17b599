"""Areas and ellipse fits, against scikit-image and known figures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import ellipse
from skimage.measure import label, regionprops

from napari_selfseg.core.shapes import shapes_of


def drawn(long, short, angle=0.0):
    labels = np.zeros((120, 120), np.int32)
    labels[ellipse(60, 60, long, short, rotation=angle)] = 1
    return labels


@given(seed=st.integers(0, 50))
def test_measures_are_those_of_scikit_image(seed):
    labels = label(np.random.default_rng(seed).random((30, 40)) < 0.45)
    shapes, parts = shapes_of(labels), regionprops(labels)
    np.testing.assert_allclose(shapes.area, [part.area for part in parts])
    # scikit-image takes pixels for points; a square of 1 px has the second moment 1/12
    long, short = (
        4
        * np.sqrt(
            np.array([getattr(part, f"axis_{name}_length") / 4 for part in parts]) ** 2 + 1 / 12
        )
        for name in ("major", "minor")
    )
    np.testing.assert_allclose(shapes.axis_ratio, short / long, atol=1e-6)
    expected = np.minimum(shapes.area / (np.pi / 4 * long * short), 1)
    np.testing.assert_allclose(shapes.ellipse_fit, expected, atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2])
def test_an_ellipse_fits_itself(angle):
    shapes = shapes_of(drawn(30, 15, angle))
    assert shapes.ellipse_fit[0] > 0.98
    assert shapes.axis_ratio[0] == pytest.approx(0.5, abs=0.03)


def test_a_clump_a_ring_and_a_hook_fit_less():
    whole = shapes_of(drawn(20, 20)).mean_fit
    clump = drawn(14, 14)
    clump[ellipse(60, 88, 14, 14)] = 1
    ring = drawn(20, 20)
    ring[ellipse(60, 60, 12, 12)] = 0
    hook = drawn(20, 20)
    hook[60:, 60:] = 0
    for odd in (clump, ring, hook):
        assert shapes_of(odd).mean_fit < whole - 0.05


def test_the_mean_is_weighted_by_area_and_missing_numbers_count_for_nothing():
    labels = drawn(30, 30)
    labels[:4, :4] = 7
    shapes = shapes_of(labels)
    assert shapes.area.tolist()[1:6] == [0] * 5
    expected = (shapes.area * shapes.ellipse_fit).sum() / (labels > 0).sum()
    assert shapes.mean_fit == pytest.approx(expected)


def test_no_objects_is_no_error():
    empty = shapes_of(np.zeros((5, 6), np.uint16))
    assert empty.mean_fit == 0
    assert len(empty.area) == 0
