"""What another label image would change, and taking over a part of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_selfseg.core.changes import KINDS, Counts, changes_between
from napari_selfseg.session.corrections import merge

SHAPE = 9, 11
label_images = arrays(np.uint16, SHAPE, elements=st.integers(0, 6))
masks = arrays(bool, SHAPE)
FEW_MORE = settings(max_examples=60)


def partition(labels):
    """Return the objects of a label image as sets of pixels, whatever their numbers."""
    return {frozenset(np.flatnonzero(labels.ravel() == n)) for n in np.unique(labels[labels > 0])}


def square(labels, rows, columns, number):
    labels[slice(*rows), slice(*columns)] = number


@pytest.fixture
def pair():
    """Return labels before and after: one stays, one grows, one goes, one comes, one is split."""
    before, after = np.zeros((40, 40), np.uint16), np.zeros((40, 40), np.uint16)
    square(before, (2, 8), (2, 8), 3)
    square(after, (2, 8), (2, 8), 1)
    square(before, (2, 8), (12, 16), 5)
    square(after, (2, 8), (12, 20), 2)
    square(before, (12, 16), (2, 6), 7)
    square(after, (12, 18), (12, 18), 3)
    square(before, (22, 30), (2, 20), 9)
    square(after, (22, 30), (2, 10), 4)
    square(after, (22, 30), (11, 20), 5)
    return before, after


def test_changes_are_counted_and_told(pair):
    found = changes_between(*pair)
    assert found.counts == Counts(appear=2, disappear=1, change=2, stay=1)
    assert found.counts.sentence() == (
        "2 objects appear, 1 disappears, 2 change their outline, 1 stays."
    )
    assert Counts(1, 0, 1, 2000).sentence() == (
        "1 object appears, 0 disappear, 1 changes its outline, 2,000 stay."
    )


def test_changes_know_their_kind_and_place(pair):
    found = changes_between(*pair)
    told = {tuple(box): KINDS[kind] for box, kind in zip(found.box, found.kind, strict=True)}
    assert told == {
        (22, 2, 30, 20): "changes",
        (2, 12, 8, 20): "changes",
        (12, 12, 18, 18): "appears",
        (12, 2, 16, 6): "disappears",
    }
    assert found.centre[0].tolist() == [25.5, 10.5]  # the largest first


def test_objects_that_are_the_same_keep_their_number(pair):
    after = changes_between(*pair, reserved=[10, 12]).after
    assert after[4, 4] == 3
    assert after[4, 18] == 5
    assert after[25, 15] == 9  # the larger part
    new = {int(after[14, 14]), int(after[25, 4])}
    assert len(new) == 2
    assert not new & {3, 5, 7, 9, 10, 12}


def test_a_region_takes_over_what_lies_in_it(pair):
    before, after = pair
    found = changes_between(before, after)
    region = np.zeros(before.shape, bool)
    region[:20, :10] = True
    labels = found.accepted(found.within(region))
    assert not labels[12:16, 2:6].any()
    outside = np.ones(before.shape, bool)
    outside[12:16, 2:6] = False
    assert np.array_equal(labels[outside], before[outside])


def test_outlines_tell_the_kinds_apart(pair):
    drawn = changes_between(*pair).outlines()
    assert drawn[12, 12] == 1 + KINDS.index("appears")
    assert drawn[14, 14] == 0  # inside
    assert drawn[12, 2] == 1 + KINDS.index("disappears")
    assert drawn[2, 19] == drawn[25, 11] == 1 + KINDS.index("changes")
    assert drawn[2, 15] == 1 + KINDS.index("changes")
    assert drawn[4, 15] == 0  # where the outline was before
    assert not drawn[2:8, 2:8].any()


def test_equal_images_have_no_changes(pair):
    found = changes_between(pair[0], pair[0])
    assert len(found) == 0
    assert found.counts == Counts(0, 0, 0, 4)
    assert not found.outlines().any()


def test_nothing_at_all():
    empty = np.zeros((5, 6), np.uint16)
    found = changes_between(empty, empty)
    assert len(found) == 0
    assert np.array_equal(found.accepted([]), empty)


def test_a_mask_changes_part_by_part():
    before, after = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    square(before, (1, 5), (1, 5), 1)
    square(before, (10, 15), (1, 5), 1)
    square(after, (1, 5), (1, 5), 1)
    square(after, (10, 15), (10, 15), 1)
    found = changes_between(before, after)
    assert found.counts == Counts(1, 1, 0, 1)
    labels = found.accepted(np.flatnonzero(found.kind == KINDS.index("appears")))
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, np.maximum(before, after))


def test_images_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="size"):
        changes_between(np.zeros((3, 4), np.uint16), np.zeros((4, 4), np.uint16))


def test_many_objects():
    """20,000 objects, of which every tenth is gone and every tenth is new."""
    grid = np.arange(142 * 142).reshape(142, 142) + 1
    before = np.kron(grid, np.pad(np.ones((5, 5), int), ((0, 2), (0, 2)))).astype(np.int32)
    gone = before % 10 == 3
    after = np.where(gone, 0, before)
    found = changes_between(before, after)
    assert found.counts.disappear == len(found) == np.unique(before[gone]).size
    assert np.array_equal(found.accepted(range(len(found))), after)


# ---- properties


@FEW_MORE
@given(label_images, label_images)
def test_all_is_after_and_none_is_before(before, after):
    found = changes_between(before, after)
    assert partition(found.accepted()) == partition(after)
    assert np.array_equal(found.accepted([]), before)


@FEW_MORE
@given(label_images, label_images)
def test_every_change_is_after_if_no_overlap_passes_as_the_same(before, after):
    found = changes_between(before, after, smallest_iou=1.0)
    assert partition(found.accepted(np.arange(len(found)))) == partition(after)


@FEW_MORE
@given(label_images, label_images, masks)
def test_objects_stay_whole_and_regions_commute(before, after, region):
    found = changes_between(before, after)
    here, there = found.within(region), found.within(~region)
    assert sorted([*here, *there]) == list(range(len(found)))
    labels = found.accepted(here)
    assert partition(labels) <= partition(before) | partition(after)
    one_way = _then(labels, found, there)
    other_way = _then(found.accepted(there), found, here)
    both = found.accepted([*here, *there])
    assert np.array_equal(one_way, both)
    assert np.array_equal(other_way, both)


def _then(labels, found, which):
    """Take over further changes on top of labels."""
    at_last = found.accepted(which)
    return np.where(at_last != found.before, at_last, labels)


@FEW_MORE
@given(label_images, label_images, masks, masks)
def test_touched_pixels_never_change(current, predicted, touched, region):
    after = merge(predicted, current, touched, instances=True, reserved=[2, 9])
    reserved = np.union1d([2, 9], current[touched])
    found = changes_between(current, after, reserved)
    for labels in (found.accepted(), found.accepted(found.within(region))):
        assert np.array_equal(labels[touched], current[touched])
    new = set(np.unique(found.after)) - set(np.unique(current))
    assert not new & {2, 9}


@FEW_MORE
@given(label_images, label_images)
def test_counts_add_up(before, after):
    found = changes_between(before, after)
    n_before, n_after = (len(partition(labels)) for labels in (before, after))
    counts = found.counts
    assert counts.disappear + counts.change + counts.stay == n_before
    assert counts.appear + counts.change + counts.stay == n_after
