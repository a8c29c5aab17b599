"""Objects that strokes of background go right through."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import disk

from napari_selfseg.core.spreading import denied

SHAPE = 60, 90


def two_objects():
    objects = np.zeros(SHAPE, np.int32)
    objects[disk((30, 25), 12)] = 1
    objects[disk((30, 65), 12)] = 2
    return objects


def stroke(classes, rows, columns, value=1):
    classes[rows, columns] = value
    return classes


def nothing_said():
    return np.zeros(SHAPE, np.uint8)


def test_a_stroke_through_the_middle_denies_all_of_the_object():
    objects = two_objects()
    classes = stroke(nothing_said(), slice(26, 34), slice(12, 40))
    wanted = (objects == 1) & (classes == 0)
    assert np.array_equal(denied(objects, classes), wanted)


def test_a_stroke_along_the_edge_only_trims():
    objects = two_objects()
    classes = stroke(nothing_said(), slice(18, 25), slice(10, 45))
    assert (classes[objects == 1] == 1).mean() > 0.2
    assert not denied(objects, classes).any()


def test_a_dot_in_the_middle_is_too_little():
    objects = two_objects()
    classes = stroke(nothing_said(), slice(28, 32), slice(23, 27))
    assert not denied(objects, classes).any()


def test_an_object_that_was_painted_too_is_one():
    objects = two_objects()
    classes = stroke(nothing_said(), slice(26, 34), slice(12, 40))
    stroke(classes, slice(36, 39), slice(22, 28), 2)
    assert not denied(objects, classes).any()


def test_an_object_erased_wholly_leaves_nothing():
    objects = two_objects()
    classes = np.where(objects == 2, 1, 0).astype(np.uint8)
    assert not denied(objects, classes).any()
    assert not denied(np.zeros(SHAPE, np.int32), classes).any()


@given(st.integers(0, 2**32 - 1))
def test_only_objects_that_meet_an_erasing_stroke_are_denied(seed):
    rng = np.random.default_rng(seed)
    objects = two_objects()
    classes = rng.integers(0, 3, SHAPE).astype(np.uint8) * (rng.random(SHAPE) < 0.3)
    found = denied(objects, classes)
    assert not found[(objects == 0) | (classes > 0)].any()
    classes[objects == 1] = 0
    assert not denied(objects, classes)[objects == 1].any()
