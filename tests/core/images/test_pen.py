"""Ink is found in four colours; stain of any strength is not taken for it."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import immunohistochemistry

from napari_selfseg.core.images.altered import INKS, at_half_scale, dark, pale, with_pen
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.pen import pen_mask


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return drawn_he_tile(400, 400, n_nuclei=80)[0]


def as_pixels(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(np.float32) / 255


@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("um_per_px", [0.25, 0.5])
def test_a_stroke_over_tissue_is_found(rgb, ink, um_per_px):
    if um_per_px == 0.5:
        rgb = at_half_scale(rgb)
    array, pen = with_pen(rgb, ink, um_per_px)
    found = pen_mask(as_pixels(array), um_per_px)
    assert (found.shape, found.dtype) == (rgb.shape[:2], bool)
    assert found[pen].mean() > 0.95
    # Besides, at most its fringe.
    assert (found & ~pen).sum() < 2 * 8 / um_per_px * found.shape[1]


@pytest.mark.parametrize("alter", [np.asarray, pale, dark], ids=["as it is", "pale", "dark"])
def test_stain_is_no_ink(rgb, alter):
    assert not pen_mask(as_pixels(alter(rgb)), 0.25).any()
    assert not pen_mask(as_pixels(alter(immunohistochemistry())), 0.5).any()


def test_crowded_nuclei_are_no_ink():
    crowded, labels = drawn_he_tile(200, 200, n_nuclei=200)
    assert (labels > 0).mean() > 0.4
    assert not pen_mask(as_pixels(dark(crowded)), 0.25).any()


def test_what_is_small_is_no_ink(rgb):
    array = as_pixels(rgb)
    array[100:124, 100:124] = INKS["blue"]  # 6 µm
    assert not pen_mask(array, 0.25).any()
    array[100:164, 100:164] = INKS["blue"]  # 16 µm
    assert pen_mask(array, 0.25)[110:154, 110:154].all()


def test_a_tile_of_nothing_but_ink():
    for ink in ("blue", "green", "red"):
        array = np.broadcast_to(np.float32(INKS[ink]), (60, 50, 3))
        assert pen_mask(array, 0.25).all()


def test_in_grey_a_broad_black_stroke_is_found(rgb):
    array, pen = with_pen(rgb, "black")
    found = pen_mask(as_pixels(array).mean(axis=2, keepdims=True), 0.25)
    assert found[pen].mean() > 0.95
    assert not pen_mask(as_pixels(dark(rgb)).mean(axis=2, keepdims=True), 0.25).any()


def test_fluorescence_has_no_ink():
    glowing = np.zeros((200, 200, 3), np.float32)
    glowing[50:120, 50:120, 2] = 0.8
    assert not pen_mask(glowing, 0.25).any()


@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (2, 9)])
def test_small_tiles(shape):
    assert pen_mask(np.full((*shape, 3), 0.9, np.float32)).shape == shape
