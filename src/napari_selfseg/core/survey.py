"""Totals of a finite population of which some units were drawn at random, with honest intervals.

Units that were looked at because of what they are (the most doubtful ones) are counted as they
are: their inclusion probability is 1. The others are a stratum, of which those drawn speak for
the rest:

    total = Σ (take-all stratum) + Σ (drawn) + (N − n) · mean (drawn)

which is the Horvitz-Thompson estimator Σ y/π with π = 1 and π = n/N (Särndal, Swensson and
Wretman, Model Assisted Survey Sampling, 1992, sections 2.8 and 3.7; Cochran, Sampling Techniques,
1977, chapter 5). With y the difference between what is true and what was predicted, and the sum of
the predictions added, it is their difference estimator (section 6.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

N_DRAWS = 4000
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Drawn:
    """Units that were drawn at random without replacement from a stratum.

    Parameters
    ----------
    size : int
        N, how many units the stratum has, drawn ones included.
    values : ndarray of float64, shape (n, K)
        K numbers of every unit that was drawn.
    lowest, highest : ndarray of float64, shape (K,)
        Units that may well exist and were perhaps not drawn: those that pull the quantity down,
        and up, the most.
    """

    size: int
    values: Values
    lowest: Values
    highest: Values

    @property
    def n(self) -> int:
        """How many were drawn."""
        return len(self.values)

    def projected(self, n: int, size: int | None = None) -> Drawn:
        """Return what it would be if ``n`` were drawn (of ``size``) and were like these."""
        size = self.size if size is None else size
        n = min(n, size)
        if not self.n:
            return replace(self, size=size)
        order = np.lexsort(self.values.T)
        taken = order[((np.arange(n) + 0.5) * self.n / n).astype(np.intp)]
        return replace(self, size=size, values=self.values[taken])


@dataclass(frozen=True)
class Interval:
    """An estimate with its limits; not a number where nothing can be said."""

    estimate: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the distance between the limits."""
        return (self.high - self.low) / 2

    def scaled(self, factor: float) -> Interval:
        """Return it in another unit."""
        return Interval(self.estimate * factor, self.low * factor, self.high * factor)


def estimated_total(known: Values, strata: Sequence[Drawn]) -> Values:
    """Return the estimated totals (K,); not a number if nothing was drawn of a stratum.

    Parameters
    ----------
    known : ndarray of float64, shape (K,)
        The sum over all units that are known.
    strata : sequence of Drawn
    """
    total = np.array(known, dtype=np.float64)
    for stratum in strata:
        rest = stratum.size - stratum.n
        total += stratum.values.sum(axis=0)
        if rest:
            total += rest * stratum.values.mean(axis=0) if stratum.n else np.nan
    return total


def interval(
    known: Values,
    strata: Sequence[Drawn],
    quantity: Callable[[Values], Values],
    level: float = LEVEL,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Interval:
    """Return a quantity that depends on the totals, with limits that hold for few units too.

    The limits are those of Gaffke (2005; Learned-Miller and Thomas, arXiv:1905.06208, 2019): the
    units that were drawn, and one more at the worst end of what may be, get random weights
    (Dirichlet with equal parameters), and a quantile is taken. Of units that are right or wrong
    they are those of Clopper and Pearson (1934), which are never too narrow: where 30 were drawn
    and all were right, up to 12 % may be wrong. The N − n units that were not drawn are filled in
    from the weighted ones, so that the limits meet when all are known.

    Parameters
    ----------
    known : ndarray of float64, shape (K,)
    strata : sequence of Drawn
        Independent of each other.
    quantity : callable
        Of totals (B, K): (B,), such as one total over another.
    level : float
    n_draws, seed : int
        Of the random weights; the same seed gives the same limits.
    """
    rng = np.random.default_rng(seed)
    tail = (1 - level) / 2
    limits = []
    for side, at in (("lowest", tail), ("highest", 1 - tail)):
        totals = np.tile(np.asarray(known, np.float64), (n_draws, 1))
        for stratum in strata:
            totals += _filled_in(stratum, getattr(stratum, side), n_draws, rng)
        limits.append(float(np.quantile(quantity(totals), at)))
    estimate = float(quantity(estimated_total(known, strata)[None])[0])
    if not np.isnan(estimate):  # a weighted draw never leaves it, a quantile of few might
        limits = [min(limits[0], estimate), max(limits[1], estimate)]
    return Interval(estimate, *limits)


def _filled_in(stratum: Drawn, worst: Values, n_draws: int, rng: np.random.Generator) -> Values:
    """Return totals (B, K) of a stratum with its unknown units filled in at random."""
    total = stratum.values.sum(axis=0)
    rest = stratum.size - stratum.n
    if not rest:
        return np.tile(total, (n_draws, 1))
    values, times = np.unique(
        np.vstack([stratum.values, worst]), axis=0, return_counts=True
    )  # weights of equal units add up: most are simply right
    weights = rng.standard_gamma(times.astype(np.float64), size=(n_draws, len(times)))
    shares = weights / weights.sum(axis=1, keepdims=True)
    return np.asarray(total + rng.multinomial(rest, shares) @ values, dtype=np.float64)


def units_to_draw(enough: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest number in 0..most that is enough, by bisection; None if none is."""
    if not enough(most):
        return None
    low, high = -1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
