"""From memberships to classes, without specks; one class as objects; the class under a click."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_selfseg.core.regions import (
    RegionLabelSettings,
    area_shares,
    class_at,
    clean_name,
    default_names,
    mask_of_class,
    region_labels,
    without_specks,
)

AS_THEY_ARE = RegionLabelSettings(min_area_um2=0, max_hole_um2=0)


def maps_of(labels, n_classes=3):
    return np.stack([(labels == k) * 0.8 + 0.1 for k in range(1, n_classes + 1)]).astype("float16")


def halves():
    """Class 1 on the left with a speck of 3, class 2 on the right with a hole of 1."""
    labels = np.full((40, 60), 2, np.uint8)
    labels[:, :30] = 1
    labels[10:13, 10:13] = 3
    labels[18:24, 40:46] = 1
    return labels


def test_every_pixel_gets_its_largest_membership():
    labels = np.random.default_rng(0).integers(1, 4, (30, 40)).astype(np.uint8)
    found = region_labels(maps_of(labels), 1.0, AS_THEY_ARE)
    assert found.dtype == np.uint8
    assert np.array_equal(found, labels)


@pytest.mark.parametrize(("um_per_px", "min_area"), [(1.0, 10.0), (0.5, 2.5)])
def test_a_speck_is_given_to_what_surrounds_it_by_its_size_in_microns(um_per_px, min_area):
    settings = RegionLabelSettings(min_area_um2=min_area)
    found = region_labels(maps_of(halves()), um_per_px, settings)
    assert not (found == 3).any()
    assert (found[10:13, 10:13] == 1).all()
    assert (found[18:24, 40:46] == 1).all()  # large enough
    just = region_labels(
        maps_of(halves()), um_per_px, RegionLabelSettings(min_area_um2=min_area * 0.9)
    )
    assert (just == 3).sum() == 9


def test_a_speck_inside_a_speck_goes_to_what_stays():
    labels = np.full((40, 40), 2, np.uint8)
    labels[10:17, 10:17] = 1
    labels[12:15, 12:15] = 3
    assert (without_specks(labels, 60) == 2).all()


def test_a_speck_between_two_classes_goes_to_the_longer_border():
    labels = np.full((20, 20), 1, np.uint8)
    labels[:, 10:] = 2
    labels[5:7, 6:12] = 3  # touches 1 more than 2
    cleaned = without_specks(labels, 50)
    assert (cleaned[5:7, 6:12] == 1).all()


def test_an_image_of_specks_only_stays_as_it_is():
    board = (np.indices((12, 12)).sum(0) % 2 + 1).astype(np.uint8)
    assert np.array_equal(without_specks(board, 50), board)


@given(st.integers(0, 2**31), st.integers(2, 5), st.floats(0.5, 4.0), st.integers(2, 200))
def test_no_region_below_the_size_is_left_if_any_is_larger(seed, n_classes, sigma, min_area):
    rng = np.random.default_rng(seed)
    noise = [
        ndimage.gaussian_filter(rng.standard_normal((40, 50)), sigma) for _ in range(n_classes)
    ]
    labels = (np.argmax(noise, 0) + 1).astype(np.uint8)
    before = labels.copy()
    cleaned = without_specks(labels, min_area)
    assert np.array_equal(labels, before)  # not written into
    sizes = [
        size
        for k in range(1, n_classes + 1)
        for size in np.bincount(ndimage.label(cleaned == k)[0].ravel())[1:]
    ]
    large_before = any(
        (np.bincount(ndimage.label(labels == k)[0].ravel())[1:] >= min_area).any()
        for k in range(1, n_classes + 1)
    )
    if large_before:
        assert min(sizes) >= min_area


def test_smoothing_takes_fringes_away_and_is_near_a_true_gaussian():
    rng = np.random.default_rng(0)
    labels = np.ones((120, 120), np.uint8)
    labels[:, 60:] = 2
    noisy = np.where(rng.random(labels.shape) < 0.25, 3 - labels, labels)
    smooth = region_labels(
        maps_of(noisy, 2), 1.0, RegionLabelSettings(min_area_um2=0, smoothing_um=8)
    )
    assert np.mean(smooth == labels) > 0.97
    first = ndimage.gaussian_filter(maps_of(noisy, 2)[0].astype(np.float32), 8, mode="nearest")
    assert np.mean((first > 0.5) == (smooth == 1)) > 0.985


def test_one_class_as_objects_has_holes_filled_and_numbers_without_gaps():
    ring = np.full((60, 60), 2, np.uint8)
    away = np.hypot(*(np.indices((60, 60)) - 20))
    ring[away < 15] = 1
    ring[away < 6] = 3
    ring[45:55, 45:55] = 1
    ring[50, 5:8] = 1  # a speck
    settings = RegionLabelSettings(min_area_um2=20, max_hole_um2=200)
    objects = mask_of_class(ring, 1, 1.0, settings)
    assert objects.dtype == np.uint16
    assert set(np.unique(objects)) == {0, 1, 2}
    assert objects[20, 20] == objects[20, 8]
    assert objects[50, 6] == 0
    open_ = mask_of_class(ring, 1, 1.0, RegionLabelSettings(min_area_um2=20, max_hole_um2=50))
    assert open_[20, 20] == 0


def test_a_class_that_is_not_there_gives_no_object():
    assert not mask_of_class(halves(), 7, 1.0).any()


def test_a_hole_at_the_border_counts_as_if_the_image_went_on_mirrored():
    labels = np.ones((40, 50), np.uint8)
    labels[10:15, 20:30] = 2  # 50 px, inside
    labels[:5, 20:30] = 2  # cut by one border: 100
    labels[35:, 40:] = 2  # in a corner: 200
    labels[:, 5:7] = 2  # from border to border: without an end

    def filled(max_hole):
        settings = RegionLabelSettings(min_area_um2=0, max_hole_um2=max_hole)
        objects = mask_of_class(labels, 1, 1.0, settings)
        return [bool(objects[at]) for at in ((12, 25), (2, 25), (38, 45), (20, 5))]

    assert filled(49) == [False, False, False, False]
    assert filled(99) == [True, False, False, False]
    assert filled(199) == [True, True, False, False]
    assert filled(1e6) == [True, True, True, False]


def test_the_class_under_a_click():
    assert class_at(halves(), 11, 11) == 3
    assert class_at(maps_of(halves()), 11, 50) == 2
    for place in ((-1, 0), (40, 0), (0, 60)):
        with pytest.raises(ValueError, match="outside"):
            class_at(halves(), *place)


def test_shares_names_and_wrong_shapes():
    shares = area_shares(halves(), 3)
    assert shares[2] == pytest.approx(9 / 2400)
    assert sum(shares) == pytest.approx(1)
    assert default_names(3, glass=2) == ("region 1", "region 2", "background")
    assert clean_name("  tumour\n stroma ", 2) == "tumour stroma"
    assert clean_name(" ", 2) == "region 2"
    assert len(clean_name("x" * 500, 1)) == 60
    with pytest.raises(ValueError, match="rows, columns"):
        region_labels(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="above 0"):
        region_labels(np.zeros((2, 3, 3)), 0.0)


def test_it_follows_a_slider_on_a_million_pixels():
    rng = np.random.default_rng(0)
    noise = [ndimage.gaussian_filter(rng.standard_normal((1000, 1000)), 8) for _ in range(3)]
    maps = np.exp(np.stack(noise) * 60)
    maps = (maps / maps.sum(0)).astype(np.float16)
    fastest = min(
        _seconds(lambda s=s: region_labels(maps, 0.25, RegionLabelSettings(smoothing_um=s)))
        for s in (0, 1, 4, 0, 1, 4)
    )
    assert fastest < 0.4  # 0.1 alone; the machine of the tests is busy


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def test_shares_of_an_image_of_many_rows_and_of_painted_numbers():
    labels = np.ones((2500, 3), np.uint8)
    labels[2000:] = 2
    labels[0] = 9  # a person painted a number that is no class
    assert area_shares(labels, 3) == pytest.approx((1999 / 2500, 500 / 2500, 0))


def test_the_smallest_object_in_pixels():
    settings = RegionLabelSettings(min_area_um2=100)
    assert settings.smallest_object(0.5) == 400
    assert settings.smallest_object() == settings.smallest_object(0.25) == 1600
