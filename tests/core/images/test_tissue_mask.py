"""Tissue against glass: what is cut off, and above all what is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter

from napari_selfseg.core.images.altered import (
    at_half_scale,
    dark,
    labels_at_half_scale,
    pale,
    with_glass,
    with_pen,
)
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tissue_mask import tissue_mask, tissue_sentence

UM = 0.25


def as_pixels(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(np.float32) / 255


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    return drawn_he_tile(400, 480, n_nuclei=60)


def glass(level=0.94, shape=(300, 320, 3), noise=0.01, seed=0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(level, noise, shape)
    return np.clip(values, 0, 1).astype(np.float32)


# --- nothing of the tissue is lost --------------------------------------------------------


@pytest.mark.parametrize("alter", [np.asarray, pale, dark], ids=["as it is", "pale", "dark"])
def test_no_nucleus_is_cut_off(drawn, alter):
    rgb, labels = drawn
    mask = tissue_mask(as_pixels(alter(rgb)), UM)
    assert (mask.shape, mask.dtype) == (labels.shape, bool)
    assert mask[labels > 0].all()
    assert mask.mean() > 0.85


def test_no_nucleus_is_cut_off_at_20x(drawn):
    rgb, labels = (at_half_scale(drawn[0]), labels_at_half_scale(drawn[1]))
    for um_per_px in (0.5, None):
        mask = tissue_mask(as_pixels(rgb), um_per_px)
        assert mask[labels > 0].all()


def test_a_tile_without_glass_is_all_tissue():
    rgb, _ = drawn_he_tile(300, 300, n_nuclei=40)
    stained = as_pixels(rgb) * np.float32([0.9, 0.65, 0.8])
    assert tissue_mask(stained, UM).all()


def test_a_pale_but_coloured_area_is_tissue():
    pink = glass(0, (300, 300, 3)) + np.float32([0.93, 0.84, 0.89])
    assert tissue_mask(pink.astype(np.float32), UM).all()


def test_colourless_fibres_are_tissue():
    row, column = np.mgrid[:400, :400]
    fibres = 0.88 + 0.04 * np.sin((row + 0.3 * column) / 3)
    assert tissue_mask(np.repeat(fibres[..., None], 3, 2).astype(np.float32), UM).all()


def test_one_nucleus_on_glass_is_tissue():
    array = glass(0.94, (600, 600, 3))
    row, column = np.mgrid[:600, :600]
    nucleus = np.hypot(row - 300, column - 200) < 12  # 6 µm
    array[nucleus] = (0.35, 0.25, 0.55)
    mask = tissue_mask(array, UM)
    assert mask[nucleus].all()
    assert 0 < mask.mean() < 0.02


# --- glass --------------------------------------------------------------------------------


@pytest.mark.parametrize("um_per_px", [0.25, 0.5, 1.0, None])
@pytest.mark.parametrize("level", [1.0, 0.94, 0.75])
def test_empty_glass_has_no_tissue(level, um_per_px):
    for noise in (0, 0.01):
        assert not tissue_mask(glass(level, noise=noise), um_per_px).any()


@pytest.mark.parametrize("tint", [(0.89, 0.88, 0.92), (0.95, 0.93, 0.91)])
def test_glass_in_tinted_light(tint):
    tinted = glass(0, (300, 300, 3)) + np.float32(tint)
    assert not tissue_mask(tinted.astype(np.float32), UM).any()


@pytest.mark.parametrize("grey", [False, True], ids=["RGB", "grey"])
@pytest.mark.parametrize("shaded", [False, True], ids=["even", "uneven"])
def test_a_half_of_glass(drawn, grey, shaded):
    rgb, labels = drawn
    array = as_pixels(with_glass(rgb))
    if shaded:
        array = array * np.linspace(0.85, 1, 400, dtype=np.float32)[:, None, None]
    if grey:
        array = array.mean(axis=2, keepdims=True)
    mask = tissue_mask(array, UM)
    assert mask[:, :240][labels[:, :240] > 0].all()
    assert mask[:, 256:].mean() < 0.01
    assert mask[:, :224].mean() > 0.85


def test_only_large_gaps_are_glass():
    array = np.random.default_rng(0).normal((0.8, 0.5, 0.7), 0.05, (400, 600, 3))
    gaps = np.zeros((400, 600), dtype=bool)
    array[50:350, 50:350] = 0.94  # 75 µm
    array[180:230, 480:530] = 0.94  # 12.5 µm: 156 µm²
    mask = tissue_mask(array.clip(0, 1).astype(np.float32), UM)
    gaps[50:350, 50:350] = True
    assert mask[~gaps].all()
    assert (~mask[gaps]).mean() > 0.9


def test_dust_on_glass_is_no_tissue():
    array = glass()
    array[100:104, 100:104] = 0.3  # 1 µm
    assert tissue_mask(array, UM).sum() * UM**2 < 15


# --- pen ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ink", ["blue", "green", "red", "black"])
def test_pen_on_glass_is_no_tissue(ink):
    array, _ = with_pen((glass() * 255).astype(np.uint8), ink)
    assert tissue_mask(as_pixels(array), UM).mean() < 0.01


@pytest.mark.parametrize("ink", ["blue", "green", "red", "black"])
def test_smeared_ink_on_glass_leaves_no_seam(ink):
    blank = np.full((480, 500, 3), 240, np.uint8)
    smeared = gaussian_filter(with_pen(blank, ink)[0].astype(np.float32), (10, 10, 0))
    assert tissue_mask(smeared / 255, UM).mean() < 0.01


def test_pen_beside_tissue(drawn):
    rgb, labels = drawn
    penned, pen = with_pen(rgb, "black")
    mask = tissue_mask(as_pixels(penned), UM)
    assert not mask[pen].any()
    far = np.ones_like(pen)
    rows = np.flatnonzero(pen.any(axis=1))
    far[max(0, rows[0] - 40) : rows[-1] + 40] = False
    assert mask[far & (labels > 0)].all()


# --- other kinds of images ----------------------------------------------------------------


@pytest.mark.parametrize("n_channels", [1, 3])
def test_with_a_dark_background_all_or_nothing(n_channels):
    array = np.random.default_rng(0).normal(0.03, 0.004, (200, 220, n_channels)).astype(np.float32)
    assert not tissue_mask(array.clip(0, 1), UM).any()
    array[80:110, 80:110] += 0.4
    assert tissue_mask(array.clip(0, 1), UM).all()


def test_black_is_no_tissue():
    assert not tissue_mask(np.zeros((50, 50, 3), np.float32), UM).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2), (5, 130), (41, 67)])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_small_and_odd_tiles(shape, n_channels):
    for um_per_px in (None, 0.1, 0.25, 4.0):
        blank = np.full((*shape, n_channels), 0.95, np.float32)
        assert not tissue_mask(blank, um_per_px).any()
        assert tissue_mask(blank * np.float32(0.4), um_per_px).shape == shape


def test_an_empty_array():
    assert tissue_mask(np.zeros((0, 5, 3), np.float32)).shape == (0, 5)


def test_pixels_that_are_no_numbers_are_glass(drawn):
    array = as_pixels(drawn[0])
    array[:200, :240] = np.nan
    mask = tissue_mask(array, UM)
    assert not mask[:180, :220].any()
    assert mask[220:].mean() > 0.8


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
        elements=st.floats(0, 1, width=32),
    ),
    st.sampled_from([None, 0.1, 0.25, 1.0]),
)
@settings(max_examples=50, deadline=None)
def test_any_image_gives_a_mask_of_its_size(array, um_per_px):
    mask = tissue_mask(array, um_per_px)
    assert (mask.shape, mask.dtype) == (array.shape[:2], bool)


# --- sentence -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "sentence"),
    [
        (0.0, "No tissue was found: the tile looks like empty glass or pen."),
        (0.004, "Less than 1 % of the tile is tissue."),
        (0.42, "42 % of the tile is tissue."),
        (1.0, "All of the tile is tissue."),
    ],
)
def test_sentence(share, sentence):
    mask = np.arange(1000).reshape(10, 100) < share * 1000
    assert tissue_sentence(mask) == sentence
