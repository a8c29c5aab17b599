"""What is to be reviewed in a label image: its doubtful objects, and places to look for more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.doubtful import (
    CUT,
    OBJECT_WEIGHTS,
    PLACE_WEIGHTS,
    Doubtful,
    Places,
    doubtful,
    object_measures,
    place_measures,
    places_of,
)
from napari_selfseg.core.object_table import ObjectTable, object_table
from napari_selfseg.core.outcomes import outcomes_of
from napari_selfseg.session.review import Item, Kind, Review, Unit

MOSTLY = 0.5  # share of an object or a place that a person touched: it is known
LEAST_TISSUE = 0.01  # share of a place; nobody looks for objects on glass
SAME = 0.5  # intersection over union of an object with itself in the next prediction


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a tile beside its labels; arrays of shape (M, N).

    Parameters
    ----------
    confidence : ndarray of float
        The map that the labels were made of, 0..1.
    threshold : float
        At which it was cut.
    disagreement : ndarray of float, optional
        Between the networks, 0..1.
    stain : ndarray of float, optional
        How much a pixel looks like an object in the image itself.
    tissue : ndarray of bool, optional
        Without it all is tissue.
    um_per_px : float, optional
    """

    confidence: NDArray[Any]
    threshold: float = 0.5
    disagreement: NDArray[Any] | None = None
    stain: NDArray[Any] | None = None
    tissue: NDArray[np.bool_] | None = None
    um_per_px: float | None = None


@dataclass(frozen=True, eq=False)
class Findings:
    """A label image as it was when a round of the review began.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
    places : Places
    units : tuple of Unit
        What is to be looked at; what a person had touched already is not among it.
    """

    labels: NDArray[np.integer[Any]]
    places: Places
    units: tuple[Unit, ...]

    @cached_property
    def table(self) -> ObjectTable:
        """The objects of the labels."""
        return object_table(self.labels)


def look_through(
    labels: NDArray[np.integer[Any]],
    evidence: Evidence,
    touched: NDArray[np.bool_] | None = None,
    places: Places | None = None,
) -> Findings:
    """Return what is to be reviewed in a label image.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
        0 is background.
    evidence : Evidence
    touched : ndarray of bool, shape (M, N), optional
        What a person changed or accepted: it is known.
    places : Places, optional
        Those of an earlier round, so that they stay where they are.
    """
    table = object_table(labels)
    places = places or places_of(table, evidence.um_per_px)
    measured = evidence.confidence, evidence.threshold, evidence.disagreement, evidence.um_per_px
    objects = doubtful(object_measures(table, *measured), OBJECT_WEIGHTS)
    missed = doubtful(place_measures(places, table, *measured, stain=evidence.stain), PLACE_WEIGHTS)
    known_objects, known_places = _known(table, places, touched, evidence.tissue)
    cut = table.is_cut
    units = [
        _unit(
            "object",
            int(table.number[k]),
            table.centre[k],
            table.box[k],
            objects,
            int(k),
            bool(cut[k]),
        )
        for k in np.flatnonzero(~known_objects)
    ]
    boxes = places.box
    middles = (boxes[:, :2] + boxes[:, 2:] - 1) / 2
    units += [
        _unit("region", int(k), middles[k], boxes[k], missed, int(k))
        for k in np.flatnonzero(~known_places)
    ]
    found = Findings(labels, places, tuple(units))
    found.__dict__["table"] = table  # it is there already
    return found


def survivors(review: Review, before: Findings, now: Findings) -> Mapping[Unit, int]:
    """Return which item of a review each unit of another prediction was before."""
    outcomes = outcomes_of(before.table, now.table)
    items: dict[tuple[str, int], Item] = {
        (i.unit.kind, i.unit.number): i for i in review.items if i.round == review.round
    }
    same: dict[Unit, int] = {}
    taken: set[int] = set()
    for unit in now.units:
        key = unit.number
        if unit.kind == "object":
            place = int(np.searchsorted(now.table.number, unit.number))
            parent = int(outcomes.parent[place])
            if parent < 0 or outcomes.iou[parent] < SAME or parent in taken:
                continue
            taken.add(parent)
            key = int(before.table.number[parent])
        item = items.get((unit.kind, key))
        if item is not None:
            same[unit] = item.id
    return same


def _unit(
    kind: Kind,
    number: int,
    centre: NDArray[np.float64],
    box: NDArray[np.int64],
    found: Doubtful,
    k: int,
    is_cut: bool = False,
) -> Unit:
    row, column = (round(float(c), 2) for c in centre)
    top, left, bottom, right = (int(edge) for edge in box)
    reasons = found.reasons[k] + ((CUT,) if is_cut else ())
    doubt = round(float(found.doubt[k]), 4)
    return Unit(kind, number, row, column, (top, left, bottom, right), doubt, reasons, is_cut)


def _known(
    table: ObjectTable,
    places: Places,
    touched: NDArray[np.bool_] | None,
    tissue: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which objects (n,) and places (P,) need not be looked at."""
    known_places = np.zeros(len(places), bool)
    if tissue is not None:
        n_px = places.reduced(np.ones(tissue.shape, np.uint8), np.add)
        known_places |= places.reduced(tissue, np.add) < LEAST_TISSUE * n_px
    if touched is None or not touched.any():
        return np.zeros(len(table), bool), known_places
    known_objects = table.sums(touched) > MOSTLY * table.area
    free = table.place == 0
    n_free = places.reduced(free, np.add)
    known_places |= places.reduced(free & touched, np.add) > MOSTLY * n_free
    return known_objects, known_places
