"""NT-Xent and its guard against loops written from the papers; their invariants."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_selfseg.core.learning.view_contrast import (
    alignment,
    contrast_of_views,
    left_out,
    nt_xent,
    same_group,
    uniformity,
)

cases = given(st.integers(0, 10_000), st.integers(1, 6), st.floats(0.05, 2.0))
some = settings(max_examples=25, deadline=None)


def views(seed, n, size=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, size, generator=generator, dtype=torch.float64)


def groups_of(seed, n, k=3):
    return torch.randint(k, (n,), generator=torch.Generator().manual_seed(seed + 1))


def unit(vector):
    return [v / math.sqrt(sum(w * w for w in vector)) for v in vector]


def dot(u, v):
    return sum(a * b for a, b in zip(u, v, strict=True))


def slow_nt_xent(one, other, temperature):
    z = [unit(v) for v in (*one.tolist(), *other.tolist())]
    n, total = len(one), 0.0
    for i in range(2 * n):
        twin = (i + n) % (2 * n)
        rest = sum(math.exp(dot(z[i], z[k]) / temperature) for k in range(2 * n) if k != i)
        total -= math.log(math.exp(dot(z[i], z[twin]) / temperature) / rest)
    return total / (2 * n)


def slow_guarded(one, other, temperature, groups, together):
    z = [unit(v) for v in (*one.tolist(), *other.tolist())]
    y = [*groups.tolist(), *groups.tolist()]
    n, losses = len(one), []
    for i in range(2 * n):
        twin = (i + n) % (2 * n)
        negatives = [k for k in range(2 * n) if y[k] != y[i]]
        alike = [k for k in range(2 * n) if y[k] == y[i] and k != i]
        positives = alike if together else [twin]
        if not negatives:
            continue
        rest = sum(math.exp(dot(z[i], z[k]) / temperature) for k in [*negatives, *positives])
        each = [-math.log(math.exp(dot(z[i], z[p]) / temperature) / rest) for p in positives]
        losses.append(sum(each) / len(each))
    return sum(losses) / len(losses) if losses else 0.0


# ---- against loops


@cases
@some
def test_two_views_against_a_loop(seed, n, temperature):
    one, other = views(seed, n)
    assert nt_xent(one, other, temperature).item() == pytest.approx(
        slow_nt_xent(one, other, temperature), rel=1e-6, abs=1e-9
    )


@pytest.mark.parametrize("together", [False, True])
@cases
@some
def test_guarded_views_against_a_loop(together, seed, n, temperature):
    (one, other), groups = views(seed, n), groups_of(seed, n)
    found = nt_xent(one, other, temperature, groups, together)
    wanted = slow_guarded(one, other, temperature, groups, together)
    assert found.item() == pytest.approx(wanted, rel=1e-6, abs=1e-9)


# ---- the guard


@pytest.mark.parametrize("together", [False, True])
@cases
@some
def test_every_place_its_own_group_is_the_plain_loss(together, seed, n, temperature):
    one, other = views(seed, n)
    each_alone = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    plain = nt_xent(one, other, temperature)
    assert torch.equal(nt_xent(one, other, temperature, each_alone, together), plain)


@pytest.mark.parametrize("together", [False, True])
def test_one_group_of_all_leaves_no_anchor_and_no_nan(together):
    one, other = (view.requires_grad_() for view in views(0, 5))
    loss = nt_xent(one, other, 0.2, torch.zeros(5, dtype=torch.int64), together)
    loss.backward()
    assert loss.item() == 0
    assert one.grad.isfinite().all()
    assert not one.grad.any()
    assert left_out(torch.zeros(5, dtype=torch.int64)) == 5
    assert left_out(torch.tensor([0, 0, 1])) == 0


def test_views_of_a_group_never_push_each_other_apart():
    one, other = views(3, 4)
    groups = torch.tensor([0, 0, 1, 2])
    z = torch.nn.functional.normalize(torch.cat([one, other]), dim=-1)
    similarity = (z @ z.T).requires_grad_()
    contrast_of_views(similarity, 0.5, groups).backward()
    pair = torch.eye(8, dtype=torch.bool).roll(4, 0)
    alike = same_group(groups.repeat(2))
    assert torch.all(similarity.grad[alike & ~pair] == 0)
    assert torch.all(similarity.grad[~alike] > 0)
    assert torch.all(similarity.grad[pair] < 0)


# ---- alignment and uniformity


@given(st.integers(0, 10_000), st.integers(1, 6))
@some
def test_alignment_and_uniformity_against_a_loop(seed, n):
    one, other = views(seed, n + 1)
    u, v = (np.array([unit(row) for row in view.tolist()]) for view in (one, other))
    apart = [np.sum((a - b) ** 2) for a, b in zip(u, v, strict=True)]
    assert alignment(one, other).item() == pytest.approx(np.mean(apart), rel=1e-6)
    spread = [
        math.exp(-2 * np.sum((u[i] - u[j]) ** 2))
        for i in range(len(u))
        for j in range(len(u))
        if i != j
    ]
    assert uniformity(one).item() == pytest.approx(math.log(np.mean(spread)), rel=1e-6, abs=1e-9)


def test_features_in_one_place_are_aligned_and_not_uniform():
    same = torch.ones(4, 3)
    assert alignment(same, 2 * same) == pytest.approx(0, abs=1e-6)
    assert uniformity(same) == pytest.approx(0, abs=1e-5)
    assert uniformity(torch.eye(4)) < -3
