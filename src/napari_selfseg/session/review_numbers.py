"""Numbers with an error bar: what a tile holds, as a review of a part of it lets one say.

Every number is a sum over objects and places. Of the prediction the sum is known; what a person
found is added as differences (see `core.survey`): those that had their turn for their doubt as they
are, those that were drawn at random for all the others of their kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.object_table import ObjectTable, object_table
from napari_selfseg.core.outcomes import Outcomes, outcomes_of
from napari_selfseg.core.positivity import POSITIVE_OD, is_positive
from napari_selfseg.core.survey import Drawn, Interval, Values, interval, units_to_draw
from napari_selfseg.session.review import RANDOM_KINDS, Review
from napari_selfseg.session.review_findings import Findings

COUNT, AREA, POSITIVE, SHARE, ERROR = range(5)
MORE_THAN_SEEN = 2.0  # times the most missing objects seen at a place may be at one not seen
GOAL = 0.03  # of the count, to either side
DRAWS_FOR_A_GUESS = 500  # of the limits while it is sought how many more are to be checked
UM2_PER_MM2 = 1e6
PX_PER_MEGAPIXEL = 1e6

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Number:
    """One number of a tile or a part of it.

    Parameters
    ----------
    name, unit : str
    raw : float
        Of the labels as they are now.
    corrected : Interval
        With 95 % limits; not a number where too little was checked.
    """

    name: str
    unit: str
    raw: float
    corrected: Interval


@dataclass(frozen=True)
class Numbers:
    """The numbers of a tile or a part of it.

    Parameters
    ----------
    count, density, area_fraction, error_rate : Number
    positive_share : Number or None
        None where there is no DAB.
    n_objects, n_drawn : int
        Objects that were to be reviewed here, and how many of them speak for the others.
    n_more : int or None
        About how many items of the queue are still to be checked for ± 3 % of the count; None if
        that cannot be said yet.
    n_skipped : int
        Random items that were left undecided: the numbers may be off.
    """

    count: Number
    density: Number
    area_fraction: Number
    error_rate: Number
    positive_share: Number | None
    n_objects: int
    n_drawn: int
    n_more: int | None
    n_skipped: int

    @property
    def lines(self) -> tuple[Number, ...]:
        """All of them, in the order in which they are shown."""
        last = () if self.positive_share is None else (self.positive_share,)
        return (self.count, self.density, self.area_fraction, *last, self.error_rate)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What the numbers of a tile are related to.

    Parameters
    ----------
    tissue : ndarray of bool, shape (M, N), optional
        Without it the whole tile.
    um_per_px : float, optional
        Without it densities are per megapixel.
    dab : ndarray of float, shape (M, N), optional
        Optical density of DAB; None where there is none.
    positive_od : float
        Above which an object is positive, on average.
    """

    tissue: Mask | None = None
    um_per_px: float | None = None
    dab: NDArray[Any] | None = None
    positive_od: float = POSITIVE_OD


def numbers_of(
    review: Review,
    findings: Findings,
    labels: NDArray[np.integer[Any]],
    around: Surroundings,
    within: Mask | None = None,
    goal: float = GOAL,
) -> Numbers:
    """Return the numbers of a tile.

    Parameters
    ----------
    review : Review
    findings : Findings
        Of the round that the review is in.
    labels : ndarray of integers, shape (M, N)
        As they are now.
    around : Surroundings
    within : ndarray of bool, shape (M, N), optional
        The part of the tile that is asked for. Objects and places belong to it with their middles.
    goal : float
        What `Numbers.n_more` is for, as a part of the count.
    """
    outcomes = outcomes_of(findings.table, object_table(labels))
    found = _Found.of(review, findings, outcomes, around, within)
    area = _area(labels.shape, around.tissue, within)
    scale = around.um_per_px
    size = area / PX_PER_MEGAPIXEL if scale is None else area * scale**2 / UM2_PER_MM2
    n = found.n_objects
    raw = found.raw

    def number(name: str, unit: str, what: Callable[[Values], Values], **ends: Any) -> Number:
        return Number(name, unit, float(what(raw[None])[0]), found.interval(what, **ends))

    def share(totals: Values) -> Values:
        return totals[:, POSITIVE] / np.maximum(totals[:, COUNT], 1e-9)

    count = number("Count", "objects", lambda t: t[:, COUNT])
    return Numbers(
        count=count,
        density=number(
            "Density",
            "/ megapixel" if scale is None else "/ mm²",
            lambda t: t[:, SHARE] / size if size else np.full(len(t), np.nan),
        ),
        area_fraction=number(
            "Area fraction", "%", lambda t: 100 * t[:, AREA] / area if area else 0 * t[:, AREA]
        ),
        error_rate=replace(
            number("Error rate", "%", lambda t: 100 * t[:, ERROR] / max(n, 1)), raw=np.nan
        ),
        positive_share=None
        if around.dab is None
        else number("DAB-positive", "%", lambda t: 100 * share(t), of_share=True),
        n_objects=n,
        n_drawn=found.objects.n,
        n_more=found.n_more(review, goal),
        n_skipped=review.n_skipped,
    )


@dataclass(frozen=True, eq=False)
class _Found:
    """What is known, and what was drawn of the rest, of the objects and places of a domain."""

    known: Values  # (5,)
    raw: Values  # (5,)
    objects: Drawn
    places: Drawn
    most_missing: float  # at any place
    n_objects: int
    mean: Values  # (5,) of a predicted object
    part: float  # of the objects to be reviewed lie in the domain

    @classmethod
    def of(
        cls,
        review: Review,
        findings: Findings,
        outcomes: Outcomes,
        around: Surroundings,
        within: Mask | None,
    ) -> _Found:
        before, after = outcomes.before, outcomes.after
        was, now = _contributions(before, around), _contributions(after, around)
        change = np.stack([outcomes.of_before(column) for column in now.T], axis=1) - was
        change[:, ERROR] = 1 - outcomes.iou
        mean = was.mean(axis=0) if len(was) else np.array([1.0, 0.0, 0.0, 1.0, 0.0])
        places = findings.places
        at_place = np.zeros((len(places), 5))
        np.add.at(at_place, places.of(after.centre[outcomes.added]), now[outcomes.added])
        inside = {
            "object": _lie_in(before.centre, within),
            "region": _lie_in(_middles(places.box), within),
        }
        queued, sure, drawn = (
            {kind: np.zeros(len(mask), bool) for kind, mask in inside.items()} for _ in range(3)
        )
        by_doubt, *n_drawn = review.stage
        n_of = dict(zip(("object", "region"), n_drawn, strict=True))
        for item in review.items:
            if item.round != review.round:
                continue
            kind, place = item.unit.kind, item.unit.number
            if kind == "object":
                place = int(np.searchsorted(before.number, place))
            queued[kind][place] = True
            decision = review.decision(item)
            if decision is None:
                continue
            if kind == "region" and decision.missing:
                at_place[place] += decision.missing * mean
            if item.rank < by_doubt:
                sure[kind][place] = True
            elif item.turn < n_of[kind]:
                drawn[kind][place] = True
        kept = was[inside["object"]].sum(axis=0)
        known, strata = kept.copy(), []
        for kind, found in (("object", change), ("region", at_place)):
            is_sure = sure[kind] | ~queued[kind]
            known += found[inside[kind] & is_sure].sum(axis=0)
            strata.append(_drawn(found, inside[kind] & ~is_sure, drawn[kind]))
        n_objects = int((inside["object"] & queued["object"]).sum())
        return cls(
            known=known,
            raw=kept + change[inside["object"]].sum(axis=0) + _added(outcomes, now, within),
            objects=strata[0],
            places=strata[1],
            most_missing=float(at_place[:, COUNT].max(initial=0)),
            n_objects=n_objects,
            mean=mean,
            part=n_objects / max(int(queued["object"].sum()), 1),
        )

    def interval(
        self,
        quantity: Callable[[Values], Values],
        of_share: bool = False,
        drawn: tuple[Drawn, Drawn] | None = None,
        known: Values | None = None,
        n_draws: int | None = None,
    ) -> Interval:
        """Return a quantity with its limits, for these or other draws."""
        objects, places = drawn or (self.objects, self.places)
        one = np.array([1.0, self.mean[AREA], 0.0, self.mean[SHARE], 0.0])
        is_positive = np.array([0.0, 0.0, 1.0, 0.0, 0.0])
        is_wrong = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
        most = max(1.0, MORE_THAN_SEEN * self.most_missing)
        if of_share:  # negative ones that are wrong, positive ones that are missing
            ends = (-one - is_positive, -one), (most * one, most * (one + is_positive))
        else:
            ends = (-one, one + is_wrong), (0 * one, most * one)
        strata = [
            replace(stratum, lowest=low, highest=high)
            for stratum, (low, high) in zip((objects, places), ends, strict=True)
        ]
        told = {} if n_draws is None else {"n_draws": n_draws}
        return interval(self.known if known is None else known, strata, quantity, **told)

    def n_more(self, review: Review, goal: float) -> int | None:
        """Return about how many more items have to be checked until the count is known."""
        if any(stratum.size and not stratum.n for stratum in (self.objects, self.places)):
            return None
        row = review.doubtful_in_a_row
        left = sum(item.id not in review.decisions for item in review.items)
        n_rounds = -(-left // (1 + row))
        of_objects = RANDOM_KINDS.count("object") / len(RANDOM_KINDS)

        def enough(more: int) -> bool:
            here = more * self.part
            n_objects = self.objects.n + round(here * of_objects)
            n_places = self.places.n + round(here * (1 - of_objects))
            rest = max(self.objects.size - round(row * here), 0)
            objects = self.objects.projected(n_objects, rest)
            places = self.places.projected(n_places)
            gone = (self.objects.size - rest) * _mean(self.objects)
            known = self.known + gone
            made = self.interval(
                lambda t: t[:, COUNT],
                drawn=(objects, places),
                known=known,
                n_draws=DRAWS_FOR_A_GUESS,
            )
            return made.half_width <= goal * max(made.estimate, 1.0)

        n = units_to_draw(enough, n_rounds)
        return left if n is None else min(n * (1 + row), left)


def _contributions(table: ObjectTable, around: Surroundings) -> Values:
    """Return what every object adds to the totals, (n, 5)."""
    n = len(table)
    positive = np.zeros(n)
    if around.dab is not None:
        positive = is_positive(table, around.dab, around.positive_od).astype(np.float64)
    return np.stack([np.ones(n), table.area, positive, table.share, np.zeros(n)], axis=1)


def _drawn(values: Values, stratum: Mask, drawn: Mask) -> Drawn:
    """Return a stratum; what may be worst in it depends on what is asked."""
    nothing = np.zeros(values.shape[1])
    return Drawn(int(stratum.sum()), values[stratum & drawn], nothing, nothing)


def _mean(drawn: Drawn) -> Values:
    return drawn.values.mean(axis=0) if drawn.n else np.zeros(drawn.values.shape[1])


def _added(outcomes: Outcomes, now: Values, within: Mask | None) -> Values:
    """Return what the added objects in a domain add to the totals, (5,)."""
    added = outcomes.added
    return np.asarray(now[added][_lie_in(outcomes.after.centre[added], within)].sum(axis=0))


def _middles(box: NDArray[np.int64]) -> Values:
    return np.asarray((box[:, :2] + box[:, 2:] - 1) / 2)


def _lie_in(centres: Values, within: Mask | None) -> Mask:
    if within is None:
        return np.ones(len(centres), bool)
    row, column = np.floor(centres + 0.5).astype(np.intp).T
    return np.asarray(within[row, column])


def _area(shape: tuple[int, ...], tissue: Mask | None, within: Mask | None) -> float:
    """Return the area in px that numbers are related to."""
    if tissue is None and within is None:
        return float(shape[0] * shape[1])
    parts = [mask for mask in (tissue, within) if mask is not None]
    return float(np.count_nonzero(np.logical_and.reduce(parts)))
