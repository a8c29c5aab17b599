"""Totals from random samples: unbiased, and with limits that hold."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import beta, hypergeom, nbinom

from napari_selfseg.core.survey import Drawn, estimated_total, interval, units_to_draw
from napari_selfseg.session.review_numbers import MORE_THAN_SEEN

ZERO, ONE = np.zeros(1), np.ones(1)
RATES = (0.01, 0.05, 0.2, 0.5)


def first(totals):
    return totals[:, 0]


def wrong(n, size, n_wrong, highest=ONE):
    """Return a stratum of which ``n_wrong`` of ``n`` drawn units are wrong."""
    values = (np.arange(n) < n_wrong).astype(float)[:, None]
    return Drawn(size, values, ZERO, highest)


@given(arrays(float, st.integers(2, 7), elements=st.integers(-3, 3).map(float)), st.integers(1, 7))
def test_the_estimate_is_unbiased_over_all_samples(values, n):
    n = min(n, len(values))
    known = np.array([5.0])
    made = [
        estimated_total(known, [Drawn(len(values), values[list(drawn), None], ZERO, ONE)])
        for drawn in combinations(range(len(values)), n)
    ]
    assert np.mean(made) == pytest.approx(5 + values.sum())


def test_limits_of_right_and_wrong_are_those_of_clopper_and_pearson():
    size, n, x = 10_000_000, 30, 4
    made = interval(ZERO, [wrong(n, size, x)], first, n_draws=100_000)
    assert made.low / size == pytest.approx(beta.ppf(0.025, x, n - x + 1), rel=0.03)
    assert made.high / size == pytest.approx(beta.ppf(0.975, x + 1, n - x), rel=0.03)
    assert made.estimate == pytest.approx(size * x / n)


@pytest.mark.parametrize(("size", "n"), [(40, 15), (500, 15), (500, 60), (5000, 120)])
@pytest.mark.parametrize("rate", RATES)
def test_limits_hold_the_truth_in_19_of_20_samples(size, n, rate):
    truth = max(1, round(size * rate))
    possible = np.arange(max(0, n - size + truth), min(n, truth) + 1)
    chance = hypergeom.pmf(possible, size, truth, n)
    possible, chance = possible[chance > 1e-6], chance[chance > 1e-6]
    limits = [interval(ZERO, [wrong(n, size, x)], first, n_draws=2000) for x in possible]
    held = [made.low <= truth <= made.high for made in limits]
    assert chance @ held >= 0.94


@pytest.mark.parametrize("rate", RATES)
def test_limits_of_clumped_numbers_hold(rate):
    rng = np.random.default_rng(3)
    n_cohorts, size, n, mean = 400, 80, 15, 5 * rate
    held = 0
    for cohort in range(n_cohorts):
        truth = nbinom.rvs(0.5, 0.5 / (0.5 + mean), size=size, random_state=rng).astype(float)
        drawn = rng.permutation(truth)[:n, None]
        highest = np.full(1, max(1.0, MORE_THAN_SEEN * drawn.max()))
        made = interval(ZERO, [Drawn(size, drawn, ZERO, highest)], first, n_draws=300, seed=cohort)
        held += made.low <= truth.sum() <= made.high
    assert held / n_cohorts >= 0.93


def test_nothing_is_open_when_all_are_known():
    made = interval(np.array([3.0]), [wrong(20, 20, 7)], first)
    assert (made.low, made.estimate, made.high) == (10, 10, 10)


def test_of_nothing_drawn_all_may_be_wrong():
    made = interval(ZERO, [wrong(0, 50, 0)], first)
    assert np.isnan(made.estimate)
    assert (made.low, made.high) == (0, 50)


def test_an_empty_stratum_adds_nothing():
    made = interval(np.array([4.0]), [Drawn(0, np.zeros((0, 1)), ZERO, ONE)], first)
    assert (made.low, made.estimate, made.high) == (4, 4, 4)


@given(st.integers(2, 30), st.integers(0, 30))
def test_limits_enclose_the_estimate_and_become_narrower(n, n_wrong):
    n_wrong = min(n, n_wrong)
    few = interval(ZERO, [wrong(n, 1000, n_wrong)], first, n_draws=500)
    many = interval(ZERO, [wrong(10 * n, 1000, 10 * n_wrong)], first, n_draws=500)
    assert few.low <= few.estimate <= few.high
    assert many.half_width < few.half_width


def test_the_same_seed_gives_the_same_limits():
    made = [interval(ZERO, [wrong(9, 9999, 2)], first, seed=seed) for seed in (5, 5, 6)]
    assert made[0] == made[1] != made[2]


def test_a_share_of_two_totals():
    drawn = Drawn(100, np.array([[1.0, 1.0]] * 6 + [[0.0, 1.0]] * 14), np.zeros(2), np.ones(2))
    made = interval(np.zeros(2), [drawn], lambda totals: totals[:, 0] / totals[:, 1])
    assert made.estimate == pytest.approx(0.3)
    assert 0.1 < made.low < 0.3 < made.high < 0.6


def test_projected_keeps_the_shares():
    more = wrong(10, 500, 3).projected(100)
    assert more.n == 100
    assert more.values.sum() == 30
    assert wrong(10, 500, 3).projected(1000).n == 500
    assert wrong(10, 500, 3).projected(4, size=2).n == 2
    assert wrong(0, 500, 0).projected(50).n == 0


def test_units_to_draw_is_the_smallest_number():
    asked = []

    def enough(n):
        asked.append(n)
        return n >= 37

    assert units_to_draw(enough, 1000) == 37
    assert len(asked) < 15
    assert units_to_draw(lambda n: False, 10) is None
    assert units_to_draw(lambda n: True, 10) == 0
