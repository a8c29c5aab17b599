"""The masked contrast against loops and torch's own loss; similarities against differences."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from napari_selfseg.core.learning.contrast import (
    contrast,
    cosine_similarity,
    cross_entropy_similarity,
    mse_similarity,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=generator(seed), dtype=dtype)


def masks(*shape, seed=0, share=0.4):
    return rand(*shape, seed=seed) < share


def contrast_by_loop(similarity, positive, denominator, temperature, reduction):
    """One similarity matrix (A, N) at a time, one anchor at a time."""
    losses = []
    for a in range(similarity.shape[0]):
        positives = [similarity[a, n] / temperature for n in range(similarity.shape[1])]
        positives = [s for s, chosen in zip(positives, positive[a], strict=True) if chosen]
        others = [
            torch.exp(similarity[a, n] / temperature)
            for n in range(similarity.shape[1])
            if denominator[a, n]
        ]
        if positives and others:
            pushed = torch.log(sum(others))
            loss = sum(pushed - s for s in positives)
            losses.append(loss / len(positives) if reduction == "anchor_mean" else loss)
    if not losses:
        return torch.zeros((), dtype=similarity.dtype)
    return sum(losses) / (len(losses) if reduction == "anchor_mean" else 1)


class TestContrast:
    @given(
        n_matrices=st.integers(1, 3),
        n_anchors=st.integers(1, 5),
        n_others=st.integers(1, 7),
        temperature=st.sampled_from([0.2, 1.0, 3.0]),
        reduction=st.sampled_from(["sum", "anchor_mean"]),
        seed=st.integers(0, 1000),
    )
    def test_equals_a_loop_over_anchors(
        self, n_matrices, n_anchors, n_others, temperature, reduction, seed
    ):
        shape = (n_matrices, n_anchors, n_others)
        similarity = 2 * rand(*shape, seed=seed, dtype=torch.float64) - 1
        similarity.requires_grad_()
        positive, denominator = masks(*shape, seed=seed + 1), masks(*shape, seed=seed + 2)
        found = contrast(similarity, positive, denominator, temperature, reduction)
        expected = torch.stack(
            [
                contrast_by_loop(s, p, d, temperature, reduction)
                for s, p, d in zip(similarity, positive, denominator, strict=True)
            ]
        )
        assert found.shape == (n_matrices,)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        if expected.requires_grad:
            (gradient,) = torch.autograd.grad(found.sum(), similarity)
            (by_loop,) = torch.autograd.grad(expected.sum(), similarity)
            torch.testing.assert_close(gradient, by_loop, rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize("temperature", [0.1, 1.0])
    def test_nt_xent_is_torchs_cross_entropy(self, temperature):
        n = 6  # pairs; views i and i + n belong together
        features = F.normalize(rand(2 * n, 5, seed=3) - 0.5, dim=-1)
        similarity = features @ features.T
        myself = torch.eye(2 * n, dtype=torch.bool)
        partner = torch.arange(2 * n).roll(n)
        found = contrast(similarity, F.one_hot(partner).bool(), ~myself, temperature, "anchor_mean")
        logits = (similarity / temperature).masked_fill(myself, -torch.inf)
        torch.testing.assert_close(found, F.cross_entropy(logits, partner))

    def test_worked_by_hand(self):
        similarity = torch.tensor([[0.0, math.log(2), math.log(3), math.log(4)]])
        one = torch.tensor([[True, False, False, False]])
        two = torch.tensor([[True, True, False, False]])
        rest = torch.tensor([[False, False, True, True]])
        # -0 + log(3 + 4)
        assert float(contrast(similarity, one, rest)) == pytest.approx(math.log(7))
        # and for the second positive -log 2 + log 7
        expected = math.log(7) + math.log(7 / 2)
        assert float(contrast(similarity, two, rest)) == pytest.approx(expected)
        mean = contrast(similarity, two, rest, reduction="anchor_mean")
        assert float(mean) == pytest.approx(expected / 2)
        # with temperature 1/2 the exponentials are squared: log(9 + 16)
        half = contrast(similarity, one, rest, temperature=0.5)
        assert float(half) == pytest.approx(math.log(25))

    @pytest.mark.filterwarnings("ignore:Anomaly Detection")
    @pytest.mark.parametrize("reduction", ["sum", "anchor_mean"])
    @pytest.mark.parametrize("empty", ["positive", "denominator", "both"])
    def test_an_empty_set_gives_zero_and_no_gradient(self, empty, reduction):
        similarity = rand(2, 3, 4).requires_grad_()
        positive = torch.zeros(3, 4, dtype=torch.bool)
        denominator = torch.zeros(3, 4, dtype=torch.bool)
        if empty == "denominator":
            positive[:, 0] = True
        if empty == "positive":
            denominator[:, 1] = True
        with torch.autograd.detect_anomaly(check_nan=True):
            loss = contrast(similarity, positive, denominator, reduction=reduction)
            loss.sum().backward()
        assert loss.tolist() == [0.0, 0.0]
        assert not similarity.grad.any()

    def test_an_anchor_without_a_set_leaves_the_others_alone(self):
        similarity = rand(2, 4).requires_grad_()
        positive = torch.tensor([[True, False, False, False]] * 2)
        denominator = torch.tensor([[False, True, True, False], [False] * 4])
        both = contrast(similarity, positive, denominator, reduction="anchor_mean")
        alone = contrast(similarity[:1], positive[:1], denominator[:1], reduction="anchor_mean")
        assert both.item() == alone.item()
        both.backward()
        assert similarity.grad[0].any()
        assert not similarity.grad[1].any()

    def test_nobody_to_compare_with(self):
        nothing = torch.zeros(2, 0, dtype=torch.bool)
        assert float(contrast(torch.zeros(2, 0), nothing, nothing)) == 0.0

    def test_what_is_in_no_set_has_no_say(self):
        similarity = rand(3, 5)
        positive, denominator = masks(3, 5, seed=1), masks(3, 5, seed=2)
        positive[:, 0], denominator[:, 1] = True, True  # no empty set
        unused = ~(positive | denominator)
        assert unused.any()
        expected = contrast(similarity, positive, denominator)
        spoilt = similarity.masked_fill(unused, torch.inf).requires_grad_()
        found = contrast(spoilt, positive, denominator)
        assert found.item() == expected.item()
        found.backward()
        assert spoilt.grad.isfinite().all()
        assert not spoilt.grad[unused].any()

    def test_large_similarities_do_not_overflow(self):
        similarity = torch.tensor([[1e4, 2e4, 2e4]]).requires_grad_()
        positive = torch.tensor([[True, False, False]])
        loss = contrast(similarity, positive, ~positive, temperature=0.1)
        assert loss.item() == pytest.approx(1e5 + math.log(2))
        loss.backward()
        assert similarity.grad.isfinite().all()

    def test_masks_are_broadcast(self):
        similarity = rand(2, 3, 4)
        positive = torch.tensor([True, False, False, False])
        whole = positive.expand(2, 3, 4)
        short = contrast(similarity, positive, ~positive)
        torch.testing.assert_close(short, contrast(similarity, whole, ~whole))

    def test_the_sides_are_not_the_same(self):
        similarity = rand(3, 5)
        positive = masks(3, 5, seed=4)
        positive[:, 0], positive[:, 1] = True, False
        there = contrast(similarity, positive, ~positive)
        back = contrast(similarity, ~positive, positive)
        assert abs(float(there) - float(back)) > 0.1


class TestMse:
    @staticmethod
    def differences(u, v):
        pairs = u.double().unsqueeze(-2) - v.double().unsqueeze(-3)
        return -pairs.square().mean(-1)

    @given(
        n_u=st.integers(1, 4),
        n_v=st.integers(1, 5),
        size=st.sampled_from([12, 192, 7500]),
        spread=st.sampled_from([1.0, 1e-1, 1e-3, 1e-5]),
        base=st.sampled_from([0.0, 0.5, 0.95]),
    )
    def test_equals_differences(self, n_u, n_v, size, spread, base):
        scale = min(spread, 1 - base)
        u = base + scale * rand(2, n_u, size, seed=n_u)
        v = base + scale * rand(2, n_v, size, seed=n_v + 10)
        found = mse_similarity(u, v)
        assert found.shape == (2, n_u, n_v)
        assert (found.double() - self.differences(u, v)).abs().max() < 1e-6

    def test_near_equal_patches_among_distant_ones(self):
        patches = torch.stack([torch.zeros(7500), torch.ones(7500), rand(7500)])
        near = (patches + 1e-4 * rand(7500, seed=1)).clamp(0, 1)
        everything = torch.cat([patches, near])
        found = mse_similarity(everything, everything)
        expected = self.differences(everything, everything)
        assert (found.double() - expected).abs().max() < 1e-6
        assert (found <= 0).all()

    def test_a_patch_is_its_own_nearest(self):
        patches = rand(6, 300)
        found = mse_similarity(patches, patches)
        assert found.diagonal().abs().max() < 1e-6
        assert found.argmax(1).tolist() == list(range(6))

    def test_ends_of_its_range(self):
        black, white = torch.zeros(1, 50), torch.ones(1, 50)
        assert float(mse_similarity(black, white)) == pytest.approx(-1)
        assert float(mse_similarity(white, white)) == 0

    def test_gradient_is_that_of_differences(self):
        u = rand(3, 60, seed=1, dtype=torch.float64).requires_grad_()
        v = rand(4, 60, seed=2, dtype=torch.float64).requires_grad_()
        weights = rand(3, 4, seed=3, dtype=torch.float64)
        found = torch.autograd.grad((mse_similarity(u, v) * weights).sum(), (u, v))
        expected = torch.autograd.grad((self.differences(u, v) * weights).sum(), (u, v))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


class TestCrossEntropy:
    def test_by_hand(self):
        u = torch.tensor([[1.0, 0.0, 1.0, 0.5]])
        v = torch.tensor([[0.5, 0.5, 1.0, 0.25]])
        # log2 .5, log2 .5, log2 1, and (log2 .25 + log2 .75) / 2
        expected = (-1 - 1 + 0 + (-2 + math.log2(0.75)) / 2) / 4
        assert float(cross_entropy_similarity(u, v)) == pytest.approx(expected)

    def test_is_torchs_binary_cross_entropy(self):
        u, v = rand(3, 20, seed=1), rand(4, 20, seed=2)
        found = cross_entropy_similarity(u, v)
        for i in range(3):
            for j in range(4):
                nats = F.binary_cross_entropy(v[j], u[i])
                assert float(found[i, j]) == pytest.approx(-float(nats) / math.log(2), rel=1e-5)

    def test_saturated_values_are_clamped_at_100_bits(self):
        black, white = torch.zeros(1, 8), torch.ones(1, 8)
        assert float(cross_entropy_similarity(white, white)) == 0
        assert float(cross_entropy_similarity(black, black)) == 0
        assert float(cross_entropy_similarity(white, black)) == pytest.approx(-100)
        assert float(cross_entropy_similarity(black, white)) == pytest.approx(-100)

    @pytest.mark.parametrize("logit", [-200.0, -80.0, -17.0, 17.0, 200.0])
    def test_gradient_at_saturated_confidence(self, logit):
        """Through the sigmoid, where 1/c is huge and c (1 - c) tiny."""
        logits = torch.full((4, 30), logit).requires_grad_()
        image = torch.cat([torch.ones(4, 15), torch.full((4, 15), 0.05)], 1)
        attended = image * torch.sigmoid(logits)
        found = cross_entropy_similarity(attended[:2], attended)
        found.sum().backward()
        assert found.isfinite().all()
        assert logits.grad.isfinite().all()


class TestCosine:
    def test_equals_torchs(self):
        u, v = rand(3, 8, seed=1) - 0.5, rand(5, 8, seed=2) - 0.5
        expected = F.cosine_similarity(u.unsqueeze(1), v.unsqueeze(0), dim=-1)
        torch.testing.assert_close(cosine_similarity(u, v), expected)

    def test_no_features_at_all_are_finite(self):
        u = torch.zeros(2, 8).requires_grad_()
        found = cosine_similarity(u, rand(3, 8))
        found.sum().backward()
        assert not found.any()
        assert u.grad.isfinite().all()
