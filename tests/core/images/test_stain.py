"""Stain without labels: optical density, haematoxylin, and which cue is taken when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import immunohistochemistry

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.stain import (
    haematoxylin,
    is_colourless,
    is_dark_field,
    nuclear_cue,
    optical_density,
)

GLASS, STROMA, NUCLEUS, DAB = (
    (0.95, 0.94, 0.95),
    (0.90, 0.65, 0.80),
    (0.35, 0.25, 0.55),
    (0.50, 0.35, 0.20),
)


def image_of(*colours: tuple[float, ...], shares: tuple[int, ...] = ()) -> np.ndarray:
    """Return an image of stripes, one per colour, (64, 64 per share, C)."""
    shares = shares or (1,) * len(colours)
    stripes = [
        np.broadcast_to(np.float32(colour), (64, 64 * share, len(colour)))
        for colour, share in zip(colours, shares, strict=True)
    ]
    return np.concatenate(stripes, axis=1)


# --- optical density ----------------------------------------------------------------------


def test_optical_density_of_white_half_and_black():
    density = optical_density(np.float32([[[1.0], [0.5], [0.0]]]))
    np.testing.assert_allclose(density.ravel(), [0, 1 / 8, 1], atol=1e-6)  # log 256 = 8 log 2
    assert density.dtype == np.float32


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_darker_is_denser(a, b):
    low, high = sorted((a, b))
    dark, bright = optical_density(np.float32([[[low], [high]]])).ravel()
    assert 0 <= bright <= dark <= 1


def test_stains_add_up_in_optical_density():
    half, third = np.float32([[[0.5]]]), np.float32([[[0.3]]])
    together = optical_density(half * third)
    np.testing.assert_allclose(together, optical_density(half) + optical_density(third), rtol=1e-5)


# --- haematoxylin -------------------------------------------------------------------------


def test_haematoxylin_tells_nuclei_from_eosin_dab_and_glass():
    cue = haematoxylin(image_of(GLASS, STROMA, NUCLEUS, DAB))
    glass, stroma, nucleus, dab = (float(cue[:, k * 64 : k * 64 + 64].mean()) for k in range(4))
    assert nucleus > 3 * max(glass, stroma, dab)


def test_black_pixels_are_finite():
    assert np.isfinite(haematoxylin(np.zeros((8, 8, 3), np.float32))).all()


# --- which cue ----------------------------------------------------------------------------


def test_stained_tissue_gives_haematoxylin():
    for rgb in (drawn_he_tile(256, 256)[0], immunohistochemistry()):
        assert nuclear_cue(rgb.astype(np.float32) / 255)[1] == "haematoxylin"


def test_grey_images_give_darkness():
    grey = drawn_he_tile(256, 256)[0][..., :1].astype(np.float32) / 255
    for pixels in (grey, np.repeat(grey, 3, axis=2)):
        cue, name = nuclear_cue(pixels)
        assert name == "darkness"
        np.testing.assert_allclose(cue, 1 - grey[..., 0], atol=1e-6)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_a_dark_background_gives_brightness(n_channels):
    pixels = np.full((64, 64, n_channels), 0.03, np.float32)
    pixels[20:40, 20:40, 0] = 0.8
    cue, name = nuclear_cue(pixels)
    assert name == "brightness"
    assert is_dark_field(pixels)
    assert cue[30, 30] == np.float32(0.8)


def test_a_little_tissue_on_much_glass_is_still_coloured():
    assert not is_colourless(image_of(GLASS, NUCLEUS, shares=(30, 1)))


def test_noise_of_a_camera_does_not_make_a_grey_image_coloured():
    grey = drawn_he_tile(256, 256)[0][..., :1].astype(np.float32) / 255
    noise = np.random.default_rng(0).normal(0, 0.01, (256, 256, 3)).astype(np.float32)
    assert is_colourless(grey + noise)


def test_the_cue_has_the_tile_s_rows_and_columns():
    for n_channels in (1, 3):
        cue, _ = nuclear_cue(np.random.default_rng(0).random((40, 50, n_channels), np.float32))
        assert (cue.shape, cue.dtype) == ((40, 50), np.float32)
