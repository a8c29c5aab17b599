"""What a network reads: never zero, channels first, and stain amount on request."""

import numpy as np
import pytest

from napari_selfseg.core.images.stain import optical_density
from napari_selfseg.core.networks.network_input import network_input


@pytest.mark.parametrize("n_channels", [1, 3])
def test_scaled_into_a_range_without_zero(n_channels):
    pixels = np.random.default_rng(0).random((4, 6, n_channels), np.float32)
    pixels[0, 0], pixels[1, 1] = 0, 1
    found = network_input(pixels)
    assert found.shape == (n_channels, 4, 6)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, 0.95 * pixels.transpose(2, 0, 1) + 0.05, rtol=1e-6)
    assert found[:, 0, 0] == pytest.approx([0.05] * n_channels)
    assert found[:, 1, 1] == pytest.approx([1.0] * n_channels)


def test_optical_density_is_high_where_it_is_dark():
    pixels = np.array([[[0.0], [0.5], [1.0]]], np.float32)
    found = network_input(pixels, "optical-density")
    np.testing.assert_allclose(found[0], 0.95 * optical_density(pixels)[..., 0] + 0.05, rtol=1e-6)
    assert found[0, 0] == pytest.approx([1.0, 0.95 / 8 + 0.05, 0.05])
