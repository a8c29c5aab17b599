"""The featuriser: which patches it takes, and that 50-px patches are not resampled."""

import pytest
import torch

from napari_selfseg.core.networks.featuriser import GRID, PatchFeaturiser


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("side", [18, 24, 50, 77])
def test_32_features_of_any_patch_from_18_px(side, n_channels):
    features = PatchFeaturiser(n_channels)(torch.rand(5, n_channels, side, side))
    assert features.shape == (5, 32)
    assert features.isfinite().all()


def test_nothing_is_pooled_at_50_px():
    featuriser = PatchFeaturiser()
    *layers, pool = featuriser.convolutions
    before = torch.nn.Sequential(*layers)(torch.rand(2, 3, 50, 50))
    assert before.shape == (2, 1, GRID, GRID)
    assert torch.equal(pool(before), before)
