"""Which patches are drawn, how often, and on which side."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from napari_selfseg.core.learning.sampling import (
    SAMPLERS,
    binary_entropy,
    entropy_sampler,
    gather_around,
    gather_patches,
    grid_shape,
    patch_means,
    probabilistic_sampler,
    top_k_sampler,
    uniform_sampler,
)

N_DRAWS = 20_000
SURE = 1e-4  # a sampler that is right fails a check this rarely; the seeds are fixed besides


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=generator(seed))


def counts(locations, n_locations):
    return np.bincount(locations.flatten().numpy(), minlength=n_locations)


def p_value(locations, weights):
    """How probable counts at least this uneven are, if the weights are true."""
    weights = np.asarray(weights, dtype=float)
    found = counts(locations, len(weights))
    return chisquare(found, weights / weights.sum() * found.sum()).pvalue


class TestEntropy:
    def test_of_certainty_and_of_doubt(self):
        found = binary_entropy(torch.tensor([0.0, 0.5, 1.0]))
        assert found.tolist() == [0.0, 1.0, 0.0]

    def test_by_hand_and_symmetric(self):
        quarter = 2 - 0.75 * np.log2(3)
        found = binary_entropy(torch.tensor([0.25, 0.75]))
        assert found.tolist() == pytest.approx([quarter, quarter], rel=1e-6)

    def test_is_finite_next_to_certainty(self):
        nearly = torch.tensor([1e-45, 1e-38, 1e-20, 1 - 6e-8])
        found = binary_entropy(nearly)
        assert found.isfinite().all()
        assert ((found >= 0) & (found < 1e-5)).all()


class TestGrid:
    @pytest.mark.parametrize(("crop", "side"), [(250, 11), (300, 13), (512, 24)])
    def test_locations_of_the_usual_crops(self, crop, side):
        assert grid_shape(crop, crop, 50, 20) == (side, side)
        assert patch_means(torch.zeros(1, 1, crop, crop), 50, 20).shape == (1, 1, side * side)

    @given(
        shape=st.tuples(st.integers(9, 30), st.integers(9, 30)),
        patch=st.integers(1, 9),
        stride=st.integers(1, 7),
        channels=st.integers(1, 3),
        n=st.integers(1, 5),
    )
    def test_patches_equal_slices(self, shape, patch, stride, channels, n):
        images = rand(2, channels, *shape)
        rows, columns = grid_shape(*shape, patch, stride)
        corners = [
            (r, c)
            for r in range(0, shape[0] - patch + 1, stride)
            for c in range(0, shape[1] - patch + 1, stride)
        ]
        assert len(corners) == rows * columns
        locations = torch.randint(len(corners), (2, n), generator=generator(1))
        patches = gather_patches(images, locations, patch, stride)
        means = patch_means(images, patch, stride)
        assert patches.shape == (2, n, channels, patch * patch)
        assert means.shape == (2, channels, len(corners))
        for b in range(2):
            for i in range(n):
                row, column = corners[locations[b, i]]
                expected = images[b, :, row : row + patch, column : column + patch]
                assert torch.equal(patches[b, i], expected.flatten(1))
                mean = means[b, :, locations[b, i]]
                torch.testing.assert_close(mean, expected.mean((1, 2)))

    def test_gradient_goes_back_to_the_patch_and_adds_up(self):
        images = torch.zeros(1, 1, 8, 8, requires_grad=True)
        gather_patches(images, torch.tensor([[0, 0, 3]]), 4, 4).sum().backward()
        expected = torch.zeros(8, 8)
        expected[:4, :4], expected[4:, 4:] = 2, 1  # the first one was drawn twice
        assert torch.equal(images.grad[0, 0], expected)


@pytest.mark.parametrize("name", SAMPLERS)
class TestEverySampler:
    def draw(self, name, n=10, seed=0, n_locations=121):
        entropy, confidence = rand(3, 2, n_locations, seed=1), rand(3, 2, n_locations, seed=2)
        return SAMPLERS[name](entropy, confidence, n, generator(seed))

    def test_shapes_and_range(self, name):
        for n, n_locations in ((10, 121), (2, 16), (7, 4)):
            locations, is_positive = self.draw(name, n, n_locations=n_locations)
            assert locations.shape == is_positive.shape == (3, 2, n)
            assert locations.dtype == torch.int64
            assert is_positive.dtype == torch.bool
            assert locations.min() >= 0
            assert locations.max() < n_locations

    def test_the_generator_alone_decides(self, name):
        torch.manual_seed(1)
        first = self.draw(name)
        torch.manual_seed(2)
        again, other = self.draw(name), self.draw(name, seed=5)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not torch.equal(first[0], other[0])

    def test_images_and_maps_draw_for_themselves(self, name):
        locations, _ = self.draw(name, n=40)
        drawn = locations.flatten(0, 1).tolist()
        assert len({tuple(one) for one in drawn}) == len(drawn)

    @pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
    def test_a_flat_map_can_be_drawn_from(self, name, value):
        confidence = torch.full((2, 1, 30), value)
        locations, _ = SAMPLERS[name](binary_entropy(confidence), confidence, 6, generator())
        assert locations.shape == (2, 1, 6)

    def test_a_single_location(self, name):
        one = torch.full((2, 3, 1), 0.4)
        locations, _ = SAMPLERS[name](one, one, 4, generator())
        assert not locations.any()


@pytest.mark.parametrize("sampler", [entropy_sampler, uniform_sampler])
class TestSides:
    def test_a_location_drawn_twice_keeps_its_side(self, sampler):
        entropy, confidence = rand(20, 2, 5, seed=1), torch.full((20, 2, 5), 0.5)
        locations, sides = sampler(entropy, confidence, 40, generator())
        for drawn, side in zip(locations.flatten(0, 1), sides.flatten(0, 1), strict=True):
            for location in drawn.unique():
                assert len(side[drawn == location].unique()) == 1
        assert 0.3 < sides.float().mean() < 0.7  # and yet both sides occur

    def test_mean_confidence_is_the_chance_of_a_positive(self, sampler):
        confidence = torch.tensor([0.0, 0.1, 0.5, 0.8, 1.0]).expand(4000, 1, 5)
        locations, sides = sampler(torch.zeros(4000, 1, 5), confidence, 5, generator(4))
        for location, chance in enumerate([0.0, 0.1, 0.5, 0.8, 1.0]):
            # one per image: draws of the same location are no independent ones
            drawn = (locations == location).any(-1)
            share = (sides & (locations == location)).any(-1)[drawn].float().mean()
            assert float(share) == pytest.approx(chance, abs=0.04)
            assert chance not in (0.0, 1.0) or float(share) == chance


class TestEntropySampler:
    def test_weights_are_one_minus_entropy(self):
        entropy = torch.tensor([0.0, 0.25, 0.5, 0.75, 0.9])
        locations, _ = entropy_sampler(
            entropy.view(1, 1, -1), torch.full((1, 1, 5), 0.5), N_DRAWS, generator(1)
        )
        assert p_value(locations, 1 - entropy) > SURE
        assert p_value(locations, np.ones(5)) < SURE  # the check can fail

    def test_undecided_everywhere_draws_evenly(self):
        confidence = torch.full((1, 1, 144), 0.5)
        entropy = binary_entropy(confidence)
        assert (entropy == 1).all()
        locations, _ = entropy_sampler(entropy, confidence, N_DRAWS, generator(2))
        assert p_value(locations, np.ones(144)) > SURE

    def test_undecided_locations_have_a_thousandth(self):
        """One decided patch among 500 undecided ones: 1 to 500 * 0.001."""
        entropy = torch.ones(1, 1, 501)
        entropy[..., 7] = 0
        locations, _ = entropy_sampler(
            entropy, torch.full_like(entropy, 0.5), N_DRAWS, generator(3)
        )
        found = [(locations == 7).sum(), (locations != 7).sum()]
        assert chisquare(found, [N_DRAWS / 1.5, N_DRAWS / 3]).pvalue > SURE

    def test_every_map_has_its_own_weights(self):
        entropy = torch.ones(1, 2, 10)
        entropy[0, 0, 3] = entropy[0, 1, 8] = 0
        locations, _ = entropy_sampler(entropy, torch.full_like(entropy, 0.5), 1000, generator())
        assert locations[0].mode(-1).values.tolist() == [3, 8]
        assert ((locations[0] == torch.tensor([[3], [8]])).float().mean(-1) > 0.97).all()

    def test_uniform_does_not_look_at_entropy(self):
        entropy = torch.linspace(0, 1, 20).view(1, 1, -1)
        locations, _ = uniform_sampler(
            entropy, torch.full_like(entropy, 0.5), N_DRAWS, generator(5)
        )
        assert p_value(locations, np.ones(20)) > SURE


class TestProbabilisticSampler:
    confidence = torch.tensor([0.05, 0.1, 0.3, 0.6, 0.9])

    def draw(self, n=N_DRAWS, seed=6):
        confidence = self.confidence.view(1, 1, -1)
        return probabilistic_sampler(torch.zeros_like(confidence), confidence, n, generator(seed))

    def test_positives_follow_confidence(self):
        locations, sides = self.draw()
        assert p_value(locations[sides], self.confidence / 0.9) > SURE
        assert p_value(locations[sides], np.ones(5)) < SURE

    def test_negatives_follow_what_is_left(self):
        locations, sides = self.draw()
        p = self.confidence / self.confidence.sum()
        assert p_value(locations[~sides], (1 - p) / 4) > SURE
        assert p_value(locations[~sides], np.ones(5)) < SURE

    @pytest.mark.parametrize(("n", "n_positive"), [(2, 1), (5, 3), (10, 5)])
    def test_half_are_positives(self, n, n_positive):
        assert int(self.draw(n)[1].sum()) == n_positive


class TestTopKSampler:
    def test_positives_are_the_50_most_confident(self):
        confidence = rand(3, 2, 144, seed=7)
        locations, sides = top_k_sampler(confidence, confidence, 2000, generator())
        for b in range(3):
            for k in range(2):
                best = set(confidence[b, k].argsort(descending=True)[:50].tolist())
                positives = set(locations[b, k][sides[b, k]].tolist())
                negatives = set(locations[b, k][~sides[b, k]].tolist())
                assert positives == best
                assert negatives == set(range(144)) - best

    def test_each_of_them_equally_often(self):
        confidence = rand(1, 1, 144, seed=8)
        locations, sides = top_k_sampler(confidence, confidence, N_DRAWS, generator(9))
        best = np.zeros(144)
        best[confidence[0, 0].argsort(descending=True)[:50].numpy()] = 1
        found = counts(locations[sides], 144)[best == 1]
        assert chisquare(found).pvalue > SURE

    def test_on_a_small_grid_the_more_confident_half(self):
        confidence = rand(1, 1, 16, seed=10)
        locations, sides = top_k_sampler(confidence, confidence, 500, generator())
        best = set(confidence[0, 0].argsort(descending=True)[:8].tolist())
        assert set(locations[sides].tolist()) == best
        assert set(locations[~sides].tolist()) == set(range(16)) - best


@pytest.mark.parametrize("side", [3, 4, 5, 9])
def test_squares_around_patches_stay_inside(side):
    images = torch.arange(2 * 11 * 13, dtype=torch.float32).view(2, 1, 11, 13)
    patch, stride = 5, 2
    n_rows, n_columns = grid_shape(11, 13, patch, stride)
    locations = torch.arange(n_rows * n_columns).repeat(2, 1)
    found = gather_around(images, locations, patch, stride, side)
    for b in range(2):
        for k in range(n_rows * n_columns):
            top = min(max(k // n_columns * stride - (side - patch) // 2, 0), 11 - side)
            left = min(max(k % n_columns * stride - (side - patch) // 2, 0), 13 - side)
            wanted = images[b, :, top : top + side, left : left + side]
            assert torch.equal(found[b, k], wanted)
