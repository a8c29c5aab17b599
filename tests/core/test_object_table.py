"""Objects of a label image against scikit-image's, and what became of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.measure import regionprops

from napari_selfseg.core.object_table import object_table
from napari_selfseg.core.outcomes import outcomes_of

label_images = arrays(
    np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 5)
)


@given(label_images)
def test_it_measures_what_scikit_image_measures(labels):
    table, expected = object_table(labels), regionprops(labels.astype(int))
    assert table.number.tolist() == [p.label for p in expected]
    assert table.area.tolist() == [p.area for p in expected]
    assert np.allclose(table.centre, np.array([p.centroid for p in expected]).reshape(-1, 2))
    assert table.box.tolist() == [list(p.bbox) for p in expected]


def test_numbers_may_be_huge():
    labels = np.zeros((5, 5), np.int32)
    labels[1:3, 1:3], labels[4, 4] = 2_000_000_000, 7
    table = object_table(labels)
    assert table.number.tolist() == [7, 2_000_000_000]
    assert table.area.tolist() == [1, 4]


def test_objects_at_the_edge_count_half_and_in_a_corner_a_quarter():
    labels = np.zeros((9, 9), np.uint8)
    labels[0, 0], labels[0, 4], labels[4, 4], labels[8, 8] = 1, 2, 3, 4
    assert object_table(labels).share.tolist() == [0.25, 0.5, 1, 0.25]
    assert object_table(labels).is_cut.tolist() == [True, True, False, True]


def test_grown_is_the_same_in_strips(monkeypatch):
    rng = np.random.default_rng(0)
    labels = (rng.random((70, 40)) > 0.96) * rng.integers(1, 9, (70, 40))
    whole = object_table(labels).grown(3)
    monkeypatch.setattr("napari_selfseg.core.object_table.STRIP", 11)
    assert np.array_equal(object_table(labels).grown(3), whole)


def test_an_empty_image_has_no_objects():
    table = object_table(np.zeros((4, 6), np.uint8))
    assert len(table) == 0
    assert not table.grown(2).any()


# ---- outcomes


def blank():
    return np.zeros((20, 30), np.uint16)


def compared(before, after):
    return outcomes_of(object_table(before), object_table(after))


@given(label_images)
def test_nothing_became_of_what_did_not_change(labels):
    same = compared(labels, labels)
    assert same.parent.tolist() == list(range(len(same.before)))
    assert (same.iou == 1).all()


def test_split_joined_deleted_and_added():
    before, after = blank(), blank()
    before[1:5, 1:9], before[8:12, 1:5], before[8:12, 5:11], before[15:18, 1:4] = 1, 2, 3, 4
    after[1:5, 1:5], after[1:5, 5:9] = 1, 7  # split
    after[8:12, 1:11] = 3  # joined; 4 is deleted
    after[15:18, 20:25] = 9  # added
    made = compared(before, after)
    assert made.of_before(np.ones(4)).tolist() == [2, 0, 1, 0]
    assert made.after.number[made.added].tolist() == [9]
    assert made.iou == pytest.approx([0.5, 0, 0.6, 0])


def test_a_trimmed_object_is_itself_whatever_its_number():
    before, after = blank(), blank()
    before[2:10, 2:10], after[2:10, 2:9] = 5, 6
    made = compared(before, after)
    assert made.parent.tolist() == [0]
    assert made.iou == pytest.approx([7 / 8])


@given(label_images, st.randoms(use_true_random=False))
def test_every_object_after_has_one_parent_or_was_added(labels, random):
    other = labels.copy()
    for _ in range(3):
        other[random.randrange(labels.shape[0]), random.randrange(labels.shape[1])] = 6
    made = compared(labels, other)
    assert made.of_before(np.ones(len(made.after))).sum() + len(made.added) == len(made.after)
    assert ((made.iou >= 0) & (made.iou <= 1)).all()
