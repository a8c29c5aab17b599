"""What a person does to labels in a review, and what is told by labels that were changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_selfseg.core.doubtful import Places
from napari_selfseg.core.editing import Edit
from napari_selfseg.core.object_table import ObjectTable, object_table
from napari_selfseg.core.outcomes import outcomes_of
from napari_selfseg.session.review import Item, Review, begin
from napari_selfseg.session.review_findings import Evidence, Findings, look_through, survivors

CLEAR = 3  # px; background closer to an object may still become part of it

LabelImage = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]


def accepting(item: Item, labels: LabelImage) -> Edit | None:
    """Return the action that makes known what was accepted; None if nothing is left of it.

    All pixels of an object keep its number; of a region the background that is not close to an
    object, as nothing is missing there.
    """
    where = _within(item, labels.shape)
    part = labels[where]
    if item.unit.kind == "object":
        mask = part == item.unit.number
    else:
        distance = np.asarray(ndimage.distance_transform_edt(part == 0))
        mask = (distance > CLEAR) if part.any() else np.ones(part.shape, bool)
    return Edit(*where, mask, part) if mask.any() else None


def rejecting(item: Item, labels: LabelImage) -> Edit | None:
    """Return the action that deletes an object; None if it has gone already."""
    where = _within(item, labels.shape)
    part = labels[where]
    mask = part == item.unit.number
    return Edit(*where, mask, np.zeros_like(part)) if mask.any() else None


def followed(
    review: Review,
    findings: Findings,
    labels: LabelImage,
    touched: Mask,
    evidence: Evidence,
) -> tuple[Review, Findings]:
    """Return a review, and what it is about, as they are after the labels have changed.

    By a person, see `noticed`, or because there is another prediction, see `Review.renewed`. A
    review without decisions, and one of labels of another size, begins anew.

    Parameters
    ----------
    review : Review
    findings : Findings
    labels : ndarray of integers, shape (M, N)
        As they are now.
    touched : ndarray of bool, shape (M, N)
        What a person changed or accepted.
    evidence : Evidence
        What the labels are made of now.
    """
    if not is_another_prediction(findings, labels, touched):
        return noticed(review, findings, labels, touched), findings
    if not review.decisions or labels.shape != findings.labels.shape:
        now = look_through(labels, evidence, touched)
        return replace(begin(now.units, review.seed), seconds=review.seconds), now
    now = look_through(labels, evidence, touched, findings.places)
    return review.renewed(now.units, survivors(review, findings, now)), now


def is_another_prediction(findings: Findings, labels: LabelImage, touched: Mask) -> bool:
    """Whether labels differ from those that are reviewed where no person has changed them."""
    if labels.shape != findings.labels.shape:
        return True
    return bool(np.any((labels != findings.labels) & ~touched))


def noticed(review: Review, findings: Findings, labels: LabelImage, touched: Mask) -> Review:
    """Return the review with the decisions that follow from what a person did to the labels.

    An undecided object that was changed is fixed, as is a region at which an object was added.
    What was undone is undecided again: an accepted object whose pixels are not known any more, a
    rejected or fixed one that is as it was.

    Parameters
    ----------
    review : Review
    findings : Findings
        Of the round that the review is in.
    labels : ndarray of integers, shape (M, N)
        As they are now, of the same prediction.
    touched : ndarray of bool, shape (M, N)
    """
    table = findings.table
    changed = labels != findings.labels
    is_changed = _changed_objects(table, labels, changed)
    is_known = table.sums(touched) > 0
    added_at = _places_of_added(findings, labels) if changed.any() else set()
    for place, item in enumerate(review.items):
        if item.round != review.round:
            continue
        decision, is_current = review.decision(item), place == review.at
        if item.unit.kind == "region":
            if decision is None and item.unit.number in added_at:
                review = review.decide(item, "fixed", seen=is_current)
            continue
        k = int(np.searchsorted(table.number, item.unit.number))
        if is_changed[k]:
            if decision is None or decision.verdict == "accepted":
                review = review.decide(item, "fixed", seen=is_current)
        elif decision is not None and (decision.verdict != "accepted" or not is_known[k]):
            review = review.withdraw(item)
    return review


def _changed_objects(table: ObjectTable, labels: LabelImage, changed: Mask) -> Mask:
    """Return which objects (n,) lost or won pixels."""
    is_changed = np.zeros(len(table) + 1, bool)
    is_changed[table.place[changed]] = True
    won = np.unique(labels[changed]).astype(np.int64)
    is_changed[1:] |= np.isin(table.number, won)
    return is_changed[1:]


def _places_of_added(findings: Findings, labels: LabelImage) -> set[int]:
    outcomes = outcomes_of(findings.table, object_table(labels))
    places: Places = findings.places
    return set(places.of(outcomes.after.centre[outcomes.added]).tolist())


def _within(item: Item, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the part of the tile that an item lies in; an object may have grown since."""
    top, left, bottom, right = item.unit.box
    if item.unit.kind == "region":
        return slice(top, bottom), slice(left, right)
    more = max(bottom - top, right - left)
    return (
        slice(max(top - more, 0), min(bottom + more, shape[0])),
        slice(max(left - more, 0), min(right + more, shape[1])),
    )
