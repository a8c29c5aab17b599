"""The scale guessed from the size of the nuclei."""

from __future__ import annotations

import numpy as np
import pytest

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.nucleus_size import guess_um_per_px, nucleus_diameter


@pytest.mark.parametrize("um_per_px", [0.25, 0.5])
def test_drawn_nuclei_give_their_scale(um_per_px):
    side = round(100 / um_per_px)
    rgb, labels = drawn_he_tile(side, side, n_nuclei=60, seed=2, um_per_px=um_per_px)
    pixels = rgb.astype(np.float32) / 255
    true = np.sqrt(np.median(np.bincount(labels.ravel())[1:]) * 4 / np.pi)
    assert nucleus_diameter(pixels) == pytest.approx(true, rel=0.35)
    assert guess_um_per_px(pixels) == um_per_px


def test_too_few_nuclei_give_no_guess():
    blank = np.full((100, 100, 3), 0.9, np.float32)
    assert nucleus_diameter(blank) is None
    assert guess_um_per_px(blank) is None
