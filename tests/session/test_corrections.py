import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_selfseg.session.corrections import Touched, merge, numbers_in


def box(rows, columns):
    return slice(*rows), slice(*columns)


def square(shape, rows, columns, value=1, dtype=np.uint16):
    labels = np.zeros(shape, dtype)
    labels[box(rows, columns)] = value
    return labels


# --- Touched ---


WHOLE = box((0, 8), (0, 8))


def covering(rows, columns):
    """Return the arguments of an action that covers a box."""
    part = box(rows, columns)
    return part, np.ones([span.stop - span.start for span in part], bool)


def test_undoing_one_of_two_strokes_leaves_the_other():
    first = covering((0, 4), (0, 4))
    second = WHOLE, np.eye(8, dtype=bool)
    touched = Touched((8, 8))
    assert not touched.any()
    touched.add(*first)
    alone = touched.mask
    touched.add(*second)
    assert touched.mask[5, 5]
    np.testing.assert_array_equal(touched.mask_in(box((2, 6), (3, 7))), touched.mask[2:6, 3:7])
    touched.remove(*second)
    np.testing.assert_array_equal(touched.mask, alone)
    touched.remove(*first)
    assert not touched.any()
    touched.remove(*first)  # never below zero
    touched.add(*first)
    np.testing.assert_array_equal(touched.mask, alone)
    touched.clear()
    assert not touched.mask.any()


def test_pixels_that_were_made_unknown_come_back_as_often_as_they_were_touched():
    touched, stroke = Touched((8, 8)), covering((1, 5), (1, 5))
    for _ in range(2):
        touched.add(*stroke)
    unlocked = covering((3, 8), (3, 8))
    counted = touched.forget(*unlocked)
    assert not touched.mask[3:, 3:].any()
    assert touched.mask[1, 1]
    touched.bring_back(*unlocked, counted)
    touched.remove(*stroke)
    assert touched.mask.sum() == 16
    touched.remove(*stroke)
    assert not touched.any()


def test_touched_more_often_than_can_be_counted_is_touched():
    touched, stroke = Touched((8, 8)), covering((0, 2), (0, 2))
    for _ in range(300):
        touched.add(*stroke)
    for _ in range(100):  # as far as napari goes back
        touched.remove(*stroke)
    assert touched.mask.sum() == 4


def test_a_mask_that_does_not_fit_is_told():
    with pytest.raises(ValueError, match="does not fit"):
        Touched((8, 8)).add(box((0, 2), (0, 2)), np.ones((3, 3), bool))


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32]),
        (7, 9),
        elements=st.integers(0, 200),
    ),
    st.integers(0, 100_000),
)
def test_numbers_in(labels, more):
    assert numbers_in(labels).tolist() == sorted(set(labels.ravel().tolist()) - {0})
    assert numbers_in([more, 3, 3, 0]).tolist() == sorted({more, 3} - {0})
    assert numbers_in(labels.astype(np.int64) - 100).min(initial=1) > 0


# --- merge ---


def test_touched_pixels_keep_their_value_and_others_follow_the_prediction():
    current = square((10, 10), (0, 3), (0, 3), 5)
    touched = np.zeros((10, 10), bool)
    touched[0, :3] = touched[9, 9] = True
    new = square((10, 10), (5, 9), (5, 9))
    new[8, 9] = new[9, 8:] = 1
    merged = merge(new, current, touched)
    assert (merged[0, :3] == 5).all()
    assert not merged[1:3, :3].any(), "untouched pixels of a vanished object vanish"
    assert merged[9, 9] == 0, "erased stays erased"
    assert (merged[5:9, 5:9] > 0).all()


def test_an_extended_object_stays_one_object_with_its_number():
    current = square((20, 20), (4, 12), (4, 12), 17)
    current[4:12, 12:14] = 17  # painted on
    touched = np.zeros((20, 20), bool)
    touched[4:12, 12:14] = True
    new = square((20, 20), (5, 13), (4, 12), 1)
    new[15:19, 15:19] = 2
    merged = merge(new, current, touched)
    assert set(np.unique(merged[5:12, 4:14])) == {17}
    assert merged[16, 16] == 1, "free numbers from 1 up"


def test_new_numbers_never_use_a_kept_one():
    current = square((20, 20), (0, 4), (0, 4), 2)
    touched = current > 0
    new = square((20, 20), (0, 4), (0, 4), 5)
    for i in range(4):
        new[10 + 2 * i, 10] = i + 1
    merged = merge(new, current, touched)
    assert (merged[:4, :4] == 2).all()
    assert merged[[10, 12, 14, 16], 10].tolist() == [1, 3, 4, 5]


def test_an_erased_object_does_not_come_back_around_its_edge():
    current = np.zeros((30, 30), np.uint16)
    touched = square((30, 30), (10, 20), (10, 20)) > 0
    new = square((30, 30), (9, 21), (9, 21), 1)
    new[2:5, 2:5] = 2
    merged = merge(new, current, touched)
    assert not merged[8:22, 8:22].any()
    assert merged[3, 3] == 1


def test_the_rim_of_a_painted_object_belongs_to_it():
    current = square((30, 30), (10, 20), (10, 20), 8)
    touched = current > 0
    new = square((30, 30), (9, 21), (9, 21), 1)
    merged = merge(new, current, touched)
    assert set(np.unique(merged[9:21, 9:21])) == {8}


def test_two_nuclei_that_a_person_joined_stay_joined():
    current = square((20, 40), (5, 15), (5, 15), 3)
    current[5:15, 15:25] = 3  # filled with the number of the left one
    touched = np.zeros((20, 40), bool)
    touched[5:15, 15:25] = True
    new = square((20, 40), (4, 15), (5, 15), 1)
    new[4:15, 15:25] = 2
    assert set(np.unique(merge(new, current, touched)[4:15, 5:25])) == {3}


def test_a_cut_that_a_person_made_stays_and_a_neighbour_is_not_swallowed():
    current = square((20, 40), (5, 15), (5, 15), 3)
    current[5:15, 16:26] = 4
    touched = np.zeros((20, 40), bool)
    touched[5:15, 15] = True  # erased between them
    touched[5:15, 16:26] = True  # and the right one got its own number
    new = square((20, 40), (5, 15), (5, 26), 1)
    merged = merge(new, current, touched)
    assert not merged[5:15, 15].any()
    assert (merged[5:15, 16:26] == 4).all()
    # a stroke at the edge of object 3 does not give its number to a neighbour it brushes
    touched = np.zeros((20, 40), bool)
    touched[5:15, 14] = True
    new = square((20, 40), (5, 15), (14, 26), 1)
    merged = merge(new, current, touched)
    assert (merged[5:15, 14] == 3).all()
    assert (merged[5:15, 15:26] == 1).all()


def test_splitting_again_gives_a_kept_number_to_one_part_only():
    current = square((20, 40), (5, 15), (5, 26), 7)
    touched = np.zeros((20, 40), bool)
    touched[5:15, 24:26] = True
    new = square((20, 40), (5, 15), (5, 15), 1)
    new[5:15, 15:25] = 2
    new[5:15, 9] = 1
    merged = merge(new, current, touched)
    assert len(set(np.unique(merged[5:15, 5:24]))) == 2
    assert (merged == 7).any()


def test_negative_numbers_of_a_person_are_kept():
    current = square((10, 10), (0, 3), (0, 3), -1, np.int32)
    merged = merge(square((10, 10), (2, 9), (2, 9)), current, current != 0)
    assert (merged[:3, :3] == -1).all()
    assert (merged[3:9, 3:9] == 1).all()


def test_without_touched_pixels_the_prediction_is_taken():
    rng = np.random.default_rng(0)
    new = np.repeat(np.repeat(rng.integers(0, 30, (6, 6)), 4, 0), 4, 1).astype(np.uint16)
    merged = merge(new, np.zeros_like(new), Touched(new.shape))
    np.testing.assert_array_equal(merged > 0, new > 0)
    assert len(np.unique(merged)) == len(np.unique(new))


def test_classes_are_not_renumbered():
    new = square((10, 10), (2, 8), (2, 8), 1, np.uint8)
    current = square((10, 10), (0, 2), (0, 10), 1, np.uint8)
    current[0, 0] = 3
    touched = square((10, 10), (0, 3), (0, 10)) > 0
    merged = merge(new, current, touched)
    assert merged.dtype == np.uint8
    np.testing.assert_array_equal(merged, np.where(touched, current, new))
    wide = merge(new, current.astype(np.uint16) * 1000, touched)
    assert wide.max() == 3000
    asked = merge(new.astype(np.uint16), current, touched, instances=False)
    np.testing.assert_array_equal(asked, merged)


def test_numbers_never_wrap():
    current = square((10, 10), (0, 3), (0, 3), 65_535)
    touched = current > 0
    new = square((10, 10), (5, 9), (5, 9))
    assert merge(new, current, touched).dtype == np.uint16
    large = merge(new, current.astype(np.int64) + 70_000, touched)
    assert large.dtype == np.int32
    assert large[0, 0] == 135_535
    mixed = merge(new.astype(np.uint8), square((10, 10), (0, 3), (0, 3), -1, np.int32), touched)
    assert mixed[0, 0] == -1


def test_sizes_have_to_be_the_same():
    new = square((10, 10), (0, 3), (0, 3))
    with pytest.raises(ValueError, match="differ in size"):
        merge(new, new[:5], Touched((10, 10)))
    with pytest.raises(ValueError, match="differ in size"):
        merge(new, new, Touched((10, 11)))


def test_a_reserved_number_is_never_given_away():
    new = square((20, 20), (0, 4), (0, 4), 1)
    for i in range(4):
        new[10 + 2 * i, 10] = i + 2
    merged = merge(new, np.zeros_like(new), new < 0, reserved=[1, 3, 4, 900])
    assert numbers_in(merged).tolist() == [2, 5, 6, 7, 8]


def test_an_object_with_a_reserved_number_keeps_it_without_a_touched_pixel():
    current = square((20, 20), (4, 12), (4, 12), 9)
    current[14:18, 14:18] = 5
    new = square((20, 20), (5, 13), (4, 12), 2)
    new[14:18, 14:18] = 1
    merged = merge(new, current, new < 0, reserved=[9])
    np.testing.assert_array_equal(merged == 9, new == 2)
    assert merged[15, 15] == 1


def test_an_object_cut_by_an_erased_line_becomes_two():
    current = square((20, 40), (5, 15), (5, 30), 7)
    touched = np.zeros((20, 40), bool)
    touched[4:16, 12] = True
    current[touched] = 0
    new = square((20, 40), (5, 15), (5, 30), 1)
    merged = merge(new, current, touched, reserved=[7])
    assert (merged[5:15, 13:30] == 7).all(), "the larger one keeps the number"
    assert (merged[5:15, 5:12] == 1).all(), "the other one is an object of its own"
    fresh = merge(new, np.where(touched, 0, current * 0), touched)
    assert sorted(numbers_in(fresh)) == [1, 2]


def test_what_is_left_too_small_is_dropped():
    touched = np.zeros((20, 40), bool)
    touched[5:15, 7:12] = True
    current = np.where(touched, 3, 0).astype(np.uint16)
    new = square((20, 40), (5, 15), (10, 20), 1)  # 20 of its 100 px are painted over
    new[0:2, 30:32] = 2  # as small as it is predicted: it met nobody
    assert (merge(new, current, touched, smallest=80)[5:15, 12:20] == 1).all()
    merged = merge(new, current, touched, smallest=81)
    assert not merged[5:15, 12:].any()
    assert (merged[0:2, 30:32] == 2).all()
    assert (merged[touched] == 3).all()


def test_small_pieces_are_dropped_and_large_ones_are_objects():
    touched = np.zeros((20, 60), bool)
    touched[:, 12] = touched[:, 30] = True
    current = np.zeros((20, 60), np.uint16)
    new = square((20, 60), (5, 15), (10, 40), 1)  # cut into 20, 170 and 90 px
    merged = merge(new, current, touched, smallest=50)
    assert not merged[:, :13].any()
    assert (merged[5:15, 13:30] == 1).all()
    assert (merged[5:15, 31:40] == 2).all()


def test_a_small_rest_beside_its_own_painted_pixels_belongs_to_them():
    current = square((20, 20), (4, 12), (4, 12), 6)
    touched = current > 0
    touched[4:12, 11] = False  # one column was not painted
    new = square((20, 20), (4, 12), (4, 12), 1)
    assert (merge(new, current, touched, smallest=100)[4:12, 4:12] == 6).all()


def test_a_part_behind_an_erased_line_does_not_belong_to_the_painted_object():
    current = square((20, 40), (5, 15), (5, 15), 6)
    touched = current > 0
    touched[5:15, 20] = True  # erased
    new = square((20, 40), (5, 15), (5, 24), 1)
    merged = merge(new, current, touched)
    assert (merged[5:15, 5:20] == 6).all()
    assert (merged[5:15, 21:24] == 1).all()


small = hnp.arrays(np.uint16, (9, 11), elements=st.integers(0, 6))


@settings(max_examples=150, deadline=None)
@given(
    small,
    small,
    hnp.arrays(np.bool_, (9, 11)),
    st.lists(st.integers(1, 12), max_size=4),
    st.integers(0, 4),
)
def test_what_holds_for_every_merge(new, current, touched, reserved, smallest):
    before = new.copy(), current.copy(), touched.copy()
    merged = merge(new, current, touched, reserved=reserved, smallest=smallest)
    np.testing.assert_array_equal(merged[touched], current[touched])
    free = merged[~touched]
    assert not free[new[~touched] == 0].any(), "nothing appears that was not predicted"
    kept = set(np.unique(current[touched])) - {0}
    for number in set(np.unique(free)) - kept - set(reserved) - {0}:
        owners = np.unique(new[~touched & (merged == number)])
        assert len(owners) == 1, "two predicted objects share a fresh number"
    clipped = np.unique(new[touched])
    for number in set(np.unique(new)) - set(clipped) - {0}:
        assert len(np.unique(merged[new == number])) == 1, "an object nobody met fell apart"
    for number in set(np.unique(free)) - kept - {0}:
        rest = merged == number
        if np.isin(new[rest], clipped).all():
            assert ndimage.label(rest)[1] == 1, "pieces of a clipped object share a number"
            assert rest.sum() >= smallest, "a piece is too small"
    gone = set(reserved) - set(np.unique(current))
    assert not gone & set(np.unique(merged)), "a reserved number was given away"
    for array, copy in zip((new, current, touched), before, strict=True):
        np.testing.assert_array_equal(array, copy)
