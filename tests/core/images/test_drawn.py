"""The drawn tile: labels that are exact, colours of H&E, the same tile from the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import ndimage
from skimage.measure import regionprops

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.stain import haematoxylin, nuclear_cue


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    return drawn_he_tile()


def test_kind_and_size(drawn):
    rgb, labels = drawn
    assert (rgb.shape, rgb.dtype) == ((512, 512, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((512, 512), np.uint16)
    small, small_labels = drawn_he_tile(100, 150, n_nuclei=5)
    assert (small.shape, small_labels.shape) == ((100, 150, 3), (100, 150))


def test_labels_are_numbered_without_gaps(drawn):
    _, labels = drawn
    assert_array_equal(np.unique(labels), np.arange(81))


def test_every_nucleus_is_one_piece_without_holes(drawn):
    _, labels = drawn
    for nucleus in regionprops(labels):
        assert nucleus.euler_number == 1
        assert ndimage.label(nucleus.image)[1] == 1


@pytest.mark.parametrize("um_per_px", [0.25, 0.5])
def test_nuclei_measure_6_to_9_microns(um_per_px):
    _, labels = drawn_he_tile(400, 400, n_nuclei=40, um_per_px=um_per_px)
    inside = [
        nucleus.axis_major_length * um_per_px
        for nucleus in regionprops(labels)
        if min(nucleus.bbox[:2]) > 0 and max(nucleus.bbox[2:]) < 400
    ]
    assert min(inside) > 5.5
    assert max(inside) < 10
    assert 6.5 < np.mean(inside) < 8.5


def test_some_nuclei_touch(drawn):
    _, labels = drawn
    assert ndimage.label(labels > 0, np.ones((3, 3)))[1] < 70


def test_the_same_seed_draws_the_same_tile(drawn):
    for first, again in zip(drawn, drawn_he_tile(), strict=True):
        assert_array_equal(first, again)
    assert (drawn_he_tile(seed=1)[1] != drawn[1]).any()


def test_it_has_the_colours_of_h_and_e(drawn):
    rgb, labels = drawn
    red, green, blue = (float(v) for v in np.median(rgb[labels > 0], axis=0))
    assert green < red < blue < 180  # purple
    tissue = rgb[(labels == 0) & (rgb.min(axis=2) < 200)]
    red, green, blue = (float(v) for v in np.median(tissue, axis=0))
    assert green + 40 < blue < red  # pink
    glass = (rgb.min(axis=2) > 220).mean()
    assert 0.05 < glass < 0.3


def test_nuclei_are_where_haematoxylin_is(drawn):
    rgb, labels = drawn
    pixels = rgb.astype(np.float32) / 255
    assert nuclear_cue(pixels)[1] == "haematoxylin"
    cue = haematoxylin(pixels)
    nuclei, rest = cue[labels > 0], cue[labels == 0]
    right = (nuclei[:, None][:2000] > rest[None, :][:, :2000]).mean()
    assert right > 0.95


def test_nuclei_have_texture(drawn):
    rgb, labels = drawn
    within = [float(rgb[..., 0][labels == k].std()) for k in range(1, 81)]
    assert np.median(within) > 8  # grey levels; noise alone is 3


def test_without_room_fewer_are_drawn():
    _, labels = drawn_he_tile(80, 80, n_nuclei=200)
    assert 3 < labels.max() < 60
    assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
