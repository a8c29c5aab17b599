"""The loop over anchors that the benchmarks compare with computes the same loss as the rest."""

import pytest
import torch
from benchmarks.loop_step import LoopOverAnchors
from tests.core.methods.loop_reference import Draws, step_loss

from napari_selfseg.core.methods.patch_contrast import PatchContrastObjective


def drawn(seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, 24, 24, generator=generator)
    confidence = torch.rand(2, 3, 24, 24, generator=generator)
    locations = torch.randint(25, (2, 3, 4), generator=generator)
    is_positive = torch.rand(2, 3, 4, generator=generator) < 0.5
    is_positive[0, :, 0], is_positive[0, :, 1] = True, False
    return images, confidence, locations, is_positive


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_that_of_loops_over_pairs_and_of_matrices(seed):
    images, confidence, locations, is_positive = drawn(seed)
    loop = LoopOverAnchors(patch=8, stride=4, n_draws=4)
    positives, negatives = loop.patches(images, confidence, locations, is_positive)
    picked = [[0] * 4 for _ in range(3)]  # the first positive of every map
    loss = loop.loss(positives, negatives, picked, 2)

    flat = is_positive.transpose(0, 1).flatten(1)
    anchors = flat.float().argmax(1, keepdim=True).expand(3, 4)
    slow = step_loss(images, confidence, Draws(locations, is_positive, anchors), 8, 4)
    assert float(loss) == pytest.approx(float(slow), rel=1e-5)

    matrices = PatchContrastObjective(patch=8, stride=4, n_draws=4)
    patches = matrices.attended_patches(images, confidence, locations)
    assert float(loss) == pytest.approx(
        float(matrices.loss(patches, flat, anchors, 2)[0]), rel=1e-4
    )


def test_a_map_with_one_side_only_gives_no_loss():
    loop = LoopOverAnchors(patch=8, stride=4, n_draws=4)
    images = torch.rand(1, 3, 24, 24)
    assert loop(images, torch.ones(1, 2, 24, 24), torch.Generator().manual_seed(0)) is None
