import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from napari.layers import Labels

from napari_selfseg.session.corrections import Touched, merge


def box(rows, columns):
    return slice(*rows), slice(*columns)


def square(shape, rows, columns, value=1, dtype=np.uint16):
    labels = np.zeros(shape, dtype)
    labels[box(rows, columns)] = value
    return labels


# --- Touched ---


def test_both_forms_of_atoms_and_lists_of_them():
    touched = Touched((8, 9))
    assert not touched.mask.any()
    corner = np.array([[True, False], [True, True]])
    touched.add([(box((1, 3), (2, 4)), corner, np.zeros(3), 5)])
    touched.add((box((6, 8), (0, 2)), None, np.zeros((2, 2)), 5))
    touched.add([((np.array([0, 4]), np.array([8, 4])), np.array([0, 0]), 7)])
    expected = np.zeros((8, 9), bool)
    expected[[1, 2, 2], [2, 2, 3]] = True
    expected[6:8, 0:2] = True
    expected[[0, 4], [8, 4]] = True
    np.testing.assert_array_equal(touched.mask, expected)


def test_undoing_one_of_two_strokes_leaves_the_other():
    first = (box((0, 4), (0, 4)), None, None, 1)
    second = [(box((2, 6), (2, 6)), np.eye(4, dtype=bool), None, 2), first]
    touched = Touched((8, 8))
    touched.add(first)
    alone = touched.mask
    touched.add(second)
    assert touched.mask[5, 5]
    touched.remove(second)
    np.testing.assert_array_equal(touched.mask, alone)
    touched.remove(first)
    assert not touched.mask.any()
    touched.remove(first)  # never below zero
    touched.add(first)
    np.testing.assert_array_equal(touched.mask, alone)
    touched.clear()
    assert not touched.mask.any()


def test_a_pixel_twice_in_one_edit_counts_once():
    edit = ((np.array([3, 3]), np.array([4, 4])), np.array([0, 0]), 7)
    touched = Touched((8, 8))
    touched.add(edit)
    touched.remove(edit)
    assert not touched.mask.any()


@pytest.mark.parametrize(
    "wrong",
    [
        (box((0, 2), (0, 2)),),
        (box((0, 2), (0, 2)), np.ones((3, 3), bool), None, 1),
        ((slice(0, 1), *box((0, 2), (0, 2))), None, None, 1),
        ((np.array([99]), np.array([0])), np.array([0]), 1),
        17,
    ],
)
def test_edits_that_do_not_fit_are_told(wrong):
    with pytest.raises(ValueError, match="could not be understood"):
        Touched((8, 8)).add(wrong)


def test_what_napari_tells_of_its_tools_is_understood():
    layer = Labels(square((40, 50), (5, 15), (5, 15), 3))
    touched = Touched((40, 50))
    layer.events.paint.connect(lambda event: touched.add(event.value))
    before = layer.data.copy()
    layer.brush_size = 7
    layer.paint((20, 20), 4)
    layer.paint((20, 24), 4)
    layer.fill((8, 8), 9)
    layer.paint_polygon([[30, 30], [38, 30], [38, 45]], 6)
    layer.data_setitem((np.array([0, 1]), np.array([49, 48])), 5)
    np.testing.assert_array_equal(touched.mask, layer.data != before)
    assert touched.mask[[20, 8, 0], [20, 8, 49]].all()


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


small = hnp.arrays(np.uint16, (9, 11), elements=st.integers(0, 6))


@settings(max_examples=150, deadline=None)
@given(small, small, hnp.arrays(np.bool_, (9, 11)))
def test_what_holds_for_every_merge(new, current, touched):
    before = new.copy(), current.copy(), touched.copy()
    merged = merge(new, current, touched)
    np.testing.assert_array_equal(merged[touched], current[touched])
    free = merged[~touched]
    assert not free[new[~touched] == 0].any(), "nothing appears that was not predicted"
    kept = set(np.unique(current[touched])) - {0}
    for number in set(np.unique(free)) - kept - {0}:
        owners = np.unique(new[~touched & (merged == number)])
        assert len(owners) == 1, "two predicted objects share a fresh number"
    for number in np.unique(new[new > 0]):
        assert len(np.unique(merged[~touched & (new == number)])) <= 1, "an object fell apart"
    for array, copy in zip((new, current, touched), before, strict=True):
        np.testing.assert_array_equal(array, copy)
