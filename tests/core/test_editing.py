"""What actions do to a label image, and what they must never do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import disk, ellipse, polygon

from napari_selfseg.core.drawn_line import along, enclosed
from napari_selfseg.core.editing import (
    EditError,
    add,
    delete,
    erase,
    fill_holes,
    free_numbers,
    locked_part,
    object_at,
    object_of,
    smooth,
)
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.merging import merge, merge_along
from napari_selfseg.core.proposing import propose
from napari_selfseg.core.splitting import cut, split


def after(labels, edit):
    """Return the labels after an edit."""
    labels = labels.copy()
    part = labels[edit.rows, edit.columns]
    part[edit.mask] = edit.values[edit.mask]
    return labels


def covered(labels, edit):
    """Return the pixels (M, N) that an edit covers."""
    mask = np.zeros(labels.shape, bool)
    mask[edit.rows, edit.columns] = edit.mask
    return mask


def n_pieces(mask):
    return ndimage.label(mask)[1]


@st.composite
def label_images(draw):
    """Objects of smooth random shape, most of them touching others, each in one piece."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    shape = rng.integers(25, 60, 2)
    rough = ndimage.gaussian_filter(rng.random(shape), 2)
    parts, _ = ndimage.label(rough > np.quantile(rough, 0.45))
    grid = parts * 100 + np.add.outer(np.arange(shape[0]) // 15, np.arange(shape[1]) // 17)
    labels = np.zeros(shape, np.uint16)
    number = 0
    for value in np.unique(grid[parts > 0]):
        pieces, n = ndimage.label((grid == value) & (parts > 0))
        for i in range(1, n + 1):
            number += int(rng.integers(1, 4))
            labels[pieces == i] = number
    return labels


def any_object(labels, data):
    places = np.argwhere(labels)
    return tuple(int(i) for i in places[data.draw(st.integers(0, len(places) - 1))])


def a_line(labels, data):
    n_rows, n_columns = labels.shape
    point = st.tuples(st.floats(-3, n_rows + 3), st.floats(-3, n_columns + 3))
    return np.array(data.draw(st.lists(point, min_size=2, max_size=4)))


# ---- properties


@given(labels=label_images(), data=st.data())
def test_nobody_elses_pixels_change(labels, data):
    place = any_object(labels, data)
    number = labels[place]
    for action in (delete, fill_holes, smooth, split):
        try:
            edit = action(labels, place)
        except EditError:
            continue
        changed = after(labels, edit) != labels
        assert np.all(np.isin(labels[changed], [0, number]))
        assert np.all(covered(labels, edit)[changed])
        assert np.all(covered(labels, edit)[labels == number])


@given(labels=label_images(), data=st.data())
def test_what_is_smoothed_or_filled_stays_one_piece(labels, data):
    place = any_object(labels, data)
    for action in (fill_holes, smooth):
        try:
            now = after(labels, action(labels, place))
        except EditError:
            continue
        assert n_pieces(now == labels[place]) == 1


@given(labels=label_images(), data=st.data())
def test_splitting_keeps_every_pixel_and_merging_undoes_it(labels, data):
    reserved = set(data.draw(st.lists(st.integers(1, 80), max_size=5)))
    place = any_object(labels, data)
    number = int(labels[place])
    try:
        now = after(labels, split(labels, place, reserved))
    except EditError:
        return
    assert np.array_equal(now > 0, labels > 0)
    parts, areas = np.unique(now[labels == number], return_counts=True)
    assert len(parts) == 2
    assert parts[areas.argmax()] == number or areas[0] == areas[1]
    new = set(parts.tolist()) - {number}
    assert not new & (set(np.unique(labels).tolist()) | reserved)
    assert all(n_pieces(now == part) == 1 for part in parts)
    again = after(now, merge(now, [int(part) for part in parts], {number}))
    assert np.array_equal(again, labels)


@given(labels=label_images(), data=st.data())
def test_a_cut_keeps_every_pixel(labels, data):
    line = a_line(labels, data)
    try:
        now = after(labels, cut(labels, line))
    except EditError:
        return
    assert np.array_equal(now > 0, labels > 0)
    passed = along(line, labels.shape)
    cut_ones = np.unique(labels[now != labels])
    for number in cut_ones:
        parts, areas = np.unique(now[labels == number], return_counts=True)
        assert len(parts) > 1
        assert number in parts
        assert areas.max() == areas[list(parts).index(number)]
        assert all(n_pieces(now == part) == 1 for part in parts)
    if len(cut_ones) > 1:
        assert set(cut_ones.tolist()) <= set(labels[tuple(passed.T)].tolist())


@given(labels=label_images(), data=st.data())
def test_a_merge_is_one_piece_and_takes_background_only(labels, data):
    line = a_line(labels, data)
    reserved = set(data.draw(st.lists(st.integers(1, 40), max_size=5)))
    passed = labels[tuple(along(line, labels.shape).T)]
    numbers = set(passed[passed > 0].tolist())
    try:
        now = after(labels, merge_along(labels, line, reserved))
    except EditError:
        return
    kept = set(np.unique(now).tolist()) & numbers
    assert len(kept) == 1
    assert kept <= reserved or not numbers & reserved
    (number,) = kept
    assert n_pieces(now == number) == 1
    assert np.all(np.isin(labels[now != labels], [0, *numbers]))
    assert np.all(now[np.isin(labels, list(numbers))] == number)


@given(labels=label_images(), data=st.data())
def test_a_new_object_has_a_number_of_its_own_and_is_one_piece(labels, data):
    found = enclosed(a_line(labels, data), labels.shape)
    if found is None:
        return
    (rows, columns), mask = found
    reserved = {int(labels.max()) + 1, int(labels.max()) + 2}
    try:
        edit = add(labels, rows, columns, mask, reserved)
    except EditError:
        assert np.all(labels[rows, columns][mask] > 0)
        return
    now = after(labels, edit)
    (new,) = set(np.unique(now).tolist()) - set(np.unique(labels).tolist())
    assert new not in reserved
    assert n_pieces(now == new) == 1
    inside = np.zeros(labels.shape, bool)
    inside[rows, columns] = mask
    assert np.all(inside[now == new])
    replaced = np.unique(labels[(now != labels) & (labels > 0)])
    for number in replaced:
        assert not np.any(now == number)
        assert np.count_nonzero(inside & (labels == number)) * 2 > np.sum(labels == number)


# ---- known cases


def two_disks(gap, dtype=np.uint16):
    labels = np.zeros((40, 70), dtype)
    labels[disk((20, 15), 10)] = 1
    labels[disk((20, 34 + gap), 10)] = 2
    return labels


@pytest.mark.parametrize("gap", range(7))
def test_a_narrow_gap_is_closed(gap):
    labels = two_disks(gap)
    now = after(labels, merge(labels, [1, 2]))
    assert set(np.unique(now)) == {0, 1}
    assert n_pieces(now) == 1
    assert np.count_nonzero(now) - np.count_nonzero(labels) < 30


def test_objects_far_apart_are_not_merged():
    with pytest.raises(EditError, match="too far apart"):
        merge(two_disks(12), [1, 2])


def test_the_touched_number_is_kept_else_the_larger_ones():
    labels = two_disks(0)
    labels[disk((20, 34), 12)] = 2
    assert set(np.unique(after(labels, merge(labels, [1, 2])))) == {0, 2}
    assert set(np.unique(after(labels, merge(labels, [1, 2], {1})))) == {0, 1}


def test_a_clump_is_split_between_its_parts():
    labels = np.minimum(two_disks(0), 1)
    now = after(labels, split(labels, (20, 15)))
    assert set(np.unique(now)) == {0, 1, 2}
    assert len(np.unique(now[20, :24][now[20, :24] > 0])) == 1
    assert now[20, 15] != now[20, 34]


def test_pieces_of_one_number_become_objects():
    labels = np.minimum(two_disks(9), 1)
    now = after(labels, split(labels, (20, 15)))
    assert now[20, 15] != now[20, 43]
    assert [n_pieces(now == number) for number in (1, 2)] == [1, 1]


def test_a_round_object_is_not_split():
    labels = np.zeros((40, 40), np.uint16)
    labels[disk((20, 20), 12)] = 3
    with pytest.raises(EditError, match="round"):
        split(labels, (20, 20))


def test_a_line_that_ends_inside_goes_on():
    labels = np.minimum(two_disks(0), 1)
    whole = after(labels, cut(labels, np.array([[5.0, 24], [35, 24]])))
    short = after(labels, cut(labels, np.array([[17.0, 24], [23, 24]])))
    assert np.array_equal(whole, short)
    assert set(np.unique(whole)) == {0, 1, 2}


def test_a_line_cuts_what_it_divides_and_not_what_it_only_enters():
    labels = two_disks(0)
    now = after(labels, cut(labels, np.array([[2.0, 15], [38, 15], [38, 34], [28, 34]])))
    assert np.array_equal(now == 2, labels == 2)
    assert len(np.unique(now)) == 4


def test_masks_have_no_numbers_to_split():
    labels = two_disks(0, np.uint8)
    for action in (
        lambda: split(labels, (20, 15)),
        lambda: cut(labels, np.array([[2.0, 15], [38, 15]])),
        lambda: merge(labels, [1, 2]),
    ):
        with pytest.raises(EditError, match="one mask"):
            action()


def test_of_a_mask_one_connected_part_is_deleted():
    labels = np.minimum(two_disks(9, np.uint8), 1)
    now = after(labels, delete(labels, (20, 43)))
    assert np.array_equal(now[:, :30], labels[:, :30])
    assert not now[:, 30:].any()
    found = enclosed(np.array([[2.0, 60], [2, 68], [12, 64]]), labels.shape)
    assert after(labels, add(labels, *found[0], found[1])).max() == 1


def test_holes_are_filled_around_other_objects():
    labels = np.zeros((40, 40), np.uint16)
    labels[disk((20, 20), 15)] = 1
    labels[disk((20, 20), 9)] = 0
    labels[disk((20, 20), 4)] = 2
    now = after(labels, fill_holes(labels, (20, 8)))
    assert np.array_equal(now == 2, labels == 2)
    assert np.all(now[labels == 1] == 1)
    assert not np.any(now[disk((20, 20), 15)] == 0)
    with pytest.raises(EditError, match="no holes"):
        fill_holes(now, (20, 20))


def test_smoothing_takes_spikes_away_and_keeps_the_area():
    labels = np.zeros((50, 50), np.uint16)
    labels[ellipse(25, 25, 14, 9)] = 1
    smooth_one = labels.copy()
    labels[5:12, 25] = 1
    labels[25, 3:17] = 1
    now = after(labels, smooth(labels, (25, 25)))
    assert now[7, 25] == 0
    assert now[25, 5] == 0
    assert np.count_nonzero(now) == pytest.approx(np.count_nonzero(labels), rel=0.05)
    assert np.count_nonzero(now != smooth_one) < np.count_nonzero(labels != smooth_one) + 20


def test_an_object_mostly_inside_a_new_outline_is_replaced():
    labels = two_disks(0)
    outline = np.array([[8.0, 5], [8, 26], [32, 26], [32, 5]])
    (rows, columns), mask = enclosed(outline, labels.shape)
    now = after(labels, add(labels, rows, columns, mask))
    assert not np.any(now == 1)
    assert np.array_equal(now == 2, labels == 2)
    assert now[20, 15] == 3


def test_numbers_come_after_all_others_and_then_fill_gaps():
    labels = two_disks(0)
    assert free_numbers(labels, 2) == [3, 4]
    assert free_numbers(labels, 2, [7]) == [8, 9]
    labels[0, 0] = 65_535
    numbers = free_numbers(labels, 3, [65_533])
    assert len(set(numbers)) == 3
    assert not {0, 1, 2, 65_533, 65_535} & set(numbers)
    labels.ravel()[:] = 1
    full = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    with pytest.raises(EditError, match="65,535 objects"):
        free_numbers(full)


def test_objects_are_found_with_a_margin_inside_the_image():
    labels = two_disks(0)
    found = object_of(labels, 1)
    assert np.array_equal(labels[found.rows, found.columns] == 1, found.mask)
    assert found.mask[0].any()
    assert found.mask[:, -1].any()
    large = object_at(labels, (20, 15), margin=30)
    assert large.rows == slice(0, 40)
    assert large.area == found.area
    for place in ((0, 0), (-1, 5), (40, 5)):
        with pytest.raises(EditError, match="no object"):
            object_at(labels, place)


def test_erased_pixels_are_known_background():
    labels = two_disks(0)
    (rows, columns), mask = enclosed(np.array([[0.0, 0], [0, 30], [30, 0]]), labels.shape)
    edit = erase(labels, rows, columns, mask)
    assert not after(labels, edit)[:10, :10].any()
    assert covered(labels, edit)[0, 0]


def test_an_outline_outside_the_image_encloses_nothing():
    assert enclosed(np.array([[-9.0, -9], [-9, -3], [-3, -9]]), (40, 40)) is None
    (rows, columns), mask = enclosed(np.array([[-9.0, -9], [-9, 60], [60, 60], [60, -9]]), (40, 40))
    assert (rows, columns) == (slice(0, 40), slice(0, 40))
    assert mask.all()


@given(seed=st.integers(0, 10_000))
def test_an_outline_encloses_what_scikit_image_says(seed):
    rng = np.random.default_rng(seed)
    angle = (np.arange(12) + rng.uniform(-0.4, 0.4, 12)) * 2 * np.pi / 12
    angle = angle[:: rng.choice([1, -1])]
    radius = rng.uniform(5, 40, 12)
    points = np.stack([30 + radius * np.sin(angle), 35 + radius * np.cos(angle)], axis=1)
    expected = np.zeros((60, 70), bool)
    expected[polygon(points[:, 0], points[:, 1], expected.shape)] = True
    expected[tuple(along(np.concatenate([points, points[:1]]), expected.shape).T)] = True
    (rows, columns), mask = enclosed(points, expected.shape)
    assert np.array_equal(mask, expected[rows, columns])
    assert mask.sum() == expected.sum()


def test_what_is_gone_around_twice_is_inside():
    turns = np.linspace(0, 4 * np.pi, 100)
    points = np.stack([30 + 20 * np.sin(turns), 30 + 20 * np.cos(turns)], axis=1)
    _, mask = enclosed(points, (60, 60))
    assert mask.sum() == pytest.approx(np.pi * 20.5**2, rel=0.03)


def test_what_is_locked_at_a_place():
    labels = two_disks(0)
    touched = np.zeros(labels.shape, bool)
    touched[:, :15] = True
    part = locked_part(labels, touched, (20, 18))
    assert np.array_equal(part, touched & (labels == 1))
    part = locked_part(labels, touched, (0, 0))
    assert np.array_equal(part, touched & (labels == 0))
    for place in ((20, 40), (0, 69)):
        with pytest.raises(EditError, match="nothing to unlock"):
            locked_part(labels, touched, place)


# ---- one click


@pytest.fixture(scope="module")
def tile():
    pixels, truth = drawn_he_tile(256, 256, n_nuclei=26, seed=1, um_per_px=0.25)
    return pixels.astype(np.float32) / 255, truth


def test_a_click_finds_the_nucleus(tile):
    pixels, truth = tile
    labels = np.zeros(truth.shape, np.uint16)
    confidence = ndimage.gaussian_filter((truth > 0).astype(np.float32), 3) * 0.4
    agreement = []
    for number in np.unique(truth[truth > 0])[:12]:
        middle = tuple(int(i) for i in ndimage.center_of_mass(truth == number))
        now = after(labels, propose(labels, middle, confidence, pixel_reader(pixels), 0.25))
        one = truth == number
        agreement.append(np.sum((now > 0) & one) / np.sum((now > 0) | one))
        assert n_pieces(now) == 1
    assert np.median(agreement) > 0.7


def test_where_nothing_is_seen_it_is_a_disk_of_the_usual_size():
    labels = np.zeros((120, 120), np.uint16)
    flat = np.ones((120, 120, 3), np.float32)
    now = after(labels, propose(labels, (60, 60), flat[..., 0], pixel_reader(flat), 0.25))
    assert np.count_nonzero(now) == pytest.approx(np.pi * 13**2, rel=0.1)


def test_a_click_leaves_neighbours_alone(tile):
    pixels, truth = tile
    labels = truth.astype(np.uint16)
    number = labels[labels > 0][0]
    middle = tuple(int(i) for i in ndimage.center_of_mass(labels == number))
    labels[labels == number] = 0
    confidence = (truth > 0).astype(np.float32)
    now = after(labels, propose(labels, middle, confidence, pixel_reader(pixels), None))
    assert np.array_equal(now[labels > 0], labels[labels > 0])
    with pytest.raises(EditError, match="already"):
        propose(now, middle, confidence, pixel_reader(pixels), 0.25)
    with pytest.raises(EditError, match="beside"):
        propose(now, (-1, 3), confidence, pixel_reader(pixels), 0.25)


def pixel_reader(pixels):
    return lambda rows, columns: pixels[rows, columns]
