import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError
from scipy import ndimage
from skimage import feature, measure, morphology, segmentation

from napari_selfseg.core import masks
from napari_selfseg.core.instances import IN_PIXELS, LabelSettings, instance_dtype, label_image
from napari_selfseg.core.metrics import aji

PLAIN = {"morphology": False, "split": False, "min_area": 0, "max_hole": 0}


def disks(shape, centres, radii):
    rows, columns = np.indices(shape)
    mask = np.zeros(shape, dtype=bool)
    for (row, column), radius in zip(centres, radii, strict=True):
        mask |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return mask


def drawn_confidence(seed, shape=(260, 240), n=70):
    """Soft disks, some touching, some cut by the edge, some with holes, and specks."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform((0, 0), shape, (n, 2))
    mask = disks(shape, centres, rng.uniform(5, 10, n))
    mask &= ~disks(shape, centres[::5], np.full(len(centres[::5]), 2.0))
    mask ^= rng.random(shape) < 0.004
    noise = ndimage.gaussian_filter(rng.normal(size=shape), 1)
    return np.clip(ndimage.gaussian_filter(mask.astype(float), 0.8) + 0.15 * noise, 0, 1)


def parts_of(labels, least):
    """Number the objects of at least this area, one after the other."""
    result = np.zeros(labels.shape, dtype=int)
    for part in measure.regionprops(labels):
        if part.num_pixels >= least:
            result[labels == part.label] = result.max() + 1
    return result


def slow_mask(confidence, s):
    """Return the mask by scikit-image alone, one operation after the other."""
    if s.smoothing:
        confidence = ndimage.gaussian_filter(confidence, s.smoothing, mode="nearest")
    mask = confidence > s.threshold
    if s.morphology:
        for radius in (s.morphology_radius, 1):
            disk = morphology.disk(radius)
            mask = morphology.opening(mask.astype(np.uint8), disk, mode="ignore")
            mask = morphology.closing(mask, disk, mode="ignore") > 0
    for hole in measure.regionprops(measure.label(~mask, connectivity=1)):
        if hole.num_pixels <= s.max_hole:
            mask[tuple(hole.coords.T)] = True
    return parts_of(measure.label(mask, connectivity=1), s.min_area) > 0


def slow_labels(confidence, s):
    mask = slow_mask(confidence, s)
    distance = ndimage.distance_transform_edt(mask)
    smooth = ndimage.gaussian_filter(distance, s.split_smoothing, truncate=2) * mask
    least = max(2.5 * s.split_smoothing, 1)
    centres = feature.peak_local_max(
        smooth, min_distance=s.split_distance, threshold_abs=least, exclude_border=False
    )
    markers = np.zeros(mask.shape, dtype=int)
    markers[tuple(centres.T)] = np.arange(1, len(centres) + 1)
    parts = segmentation.watershed(-distance, markers, mask=mask)
    left = measure.label(mask & (parts == 0), connectivity=1)  # objects without a centre
    return parts_of(np.where(left > 0, left + parts.max(), parts), s.min_area)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "changes",
    [{}, {"threshold": 0.3}, {"smoothing": 1.5}, {"morphology": False}, {"morphology_radius": 2}],
)
def test_the_mask_equals_that_of_scikit_image(seed, changes):
    confidence = drawn_confidence(seed)
    asked = LabelSettings(**changes, instances=False)
    fast = label_image(confidence.astype(np.float32), asked)
    slow = slow_mask(confidence.astype(np.float32), asked)
    assert 0.05 < slow.mean() < 0.7
    np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("changes", [{}, {"threshold": 0.35}, {"split_distance": 8}])
def test_the_objects_agree_with_those_of_scikit_image(seed, changes):
    confidence = drawn_confidence(seed).astype(np.float32)
    asked = LabelSettings(**changes)
    fast, slow = label_image(confidence, asked), slow_labels(confidence, asked)
    unsplit = label_image(confidence, LabelSettings(**changes, split=False))
    assert unsplit.max() < slow.max(), "nothing to split: the comparison would say nothing"
    assert aji(fast, slow) >= 0.95
    np.testing.assert_array_equal(fast > 0, slow > 0)


def test_default_settings_find_separate_and_touching_disks():
    mask = disks((120, 160), [(30, 30), (30, 48), (80, 40), (70, 120)], [10, 10, 9, 20])
    labels = label_image(mask.astype(np.float32))
    assert labels.max() == 4
    assert labels[30, 30] != labels[30, 48]
    cut_row = labels[30, 30:49]
    assert np.count_nonzero(np.diff(cut_row)) == 1
    assert abs(int(np.flatnonzero(np.diff(cut_row))[0]) - 9) <= 1, "cut at the waist"
    assert np.count_nonzero((labels > 0) != mask) < 20, "only corners are rounded"


def test_without_splitting_touching_disks_are_one():
    mask = disks((60, 80), [(30, 30), (30, 48)], [10, 10]).astype(np.float32)
    assert label_image(mask, LabelSettings(split=False)).max() == 1


def test_a_rod_is_one_object_and_bumps_are_ignored_on_request():
    rod = np.zeros((60, 200), np.float32)
    rod[20:35, 20:180] = 1
    assert label_image(rod).max() == 1
    assert label_image(rod, LabelSettings(split_smoothing=0.0)).max() == 1
    knobbly = disks((60, 80), [(30, 24), (30, 34)], [10, 10]).astype(np.float32)
    few = label_image(knobbly, LabelSettings(split_smoothing=4.0)).max()
    assert few == 1 < label_image(knobbly, LabelSettings(split_smoothing=0.0)).max()


def test_objects_that_touch_at_a_corner_are_two():
    confidence = np.zeros((20, 20), np.float32)
    confidence[2:8, 2:8] = confidence[8:14, 8:14] = 1
    assert label_image(confidence, LabelSettings(**PLAIN)).max() == 2


def test_objects_at_the_edge_stay_whole():
    confidence = np.zeros((50, 50), np.float32)
    confidence[:10, :12] = confidence[40:, 35:] = 1
    labels = label_image(confidence)
    assert labels[0, 0] > 0
    assert labels[49, 49] > 0
    assert labels[0, 11] > 0, "not eaten up along the edge"


@pytest.mark.parametrize(("min_area", "n_objects"), [(0, 2), (9, 2), (10, 1), (17, 0)])
def test_smallest_object_counts_pixels(min_area, n_objects):
    confidence = np.zeros((20, 20), np.float32)
    confidence[1:4, 1:4] = confidence[8:12, 8:12] = 1
    for split in (True, False):
        asked = LabelSettings(**{**PLAIN, "min_area": min_area, "split": split})
        labels = label_image(confidence, asked)
        assert labels.max() == n_objects
        mask = label_image(confidence, asked.model_copy(update={"instances": False}))
        np.testing.assert_array_equal(mask, labels > 0)


@pytest.mark.parametrize(("max_hole", "filled"), [(0, False), (3, False), (4, True)])
def test_largest_hole_counts_pixels(max_hole, filled):
    confidence = np.ones((20, 20), np.float32)
    confidence[9:11, 9:11] = 0
    confidence[0] = 0
    labels = label_image(confidence, LabelSettings(**{**PLAIN, "max_hole": max_hole}))
    assert bool(labels[9, 9]) is filled
    assert not labels[0].any()


def test_the_threshold_itself_is_background():
    confidence = np.full((12, 12), 0.5, np.float32)
    assert not label_image(confidence).any()
    assert label_image(confidence, LabelSettings(threshold=0.49)).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_binary_and_instance_dtypes(dtype):
    confidence = drawn_confidence(5).astype(dtype)
    mask = label_image(confidence, LabelSettings(instances=False))
    labels = label_image(confidence)
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) == set(range(labels.max() + 1)), "numbered without gaps"


def test_more_than_65535_objects_do_not_wrap():
    confidence = np.zeros((520, 520), np.float32)
    confidence[::2, ::2] = 1
    labels = label_image(confidence, LabelSettings(**PLAIN))
    assert labels.dtype == np.int32
    assert labels.max() == 260 * 260
    assert instance_dtype(65_535) == np.uint16
    assert instance_dtype(65_536) == np.int32
    with pytest.raises(ValueError, match="more than a label image can hold"):
        instance_dtype(2**31)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_maps(value):
    labels = label_image(np.full((40, 30), value, np.float16))
    assert labels.max() == value
    assert labels.min() == value


@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_pixels_that_are_not_a_number_are_background(smoothing):
    confidence = np.ones((40, 40), np.float32)
    confidence[:, 20:] = np.nan
    labels = label_image(confidence, LabelSettings(smoothing=smoothing))
    assert labels[:, :15].all()
    assert not labels[:, 25:].any()


def test_the_map_is_left_as_it_was():
    confidence = drawn_confidence(1)
    before = confidence.copy()
    label_image(confidence, LabelSettings(smoothing=1.0))
    np.testing.assert_array_equal(confidence, before)


@pytest.mark.parametrize(
    "wrong", [np.zeros((3, 10, 10)), np.zeros(10), np.zeros((10, 10), np.uint8)]
)
def test_other_arrays_are_refused(wrong):
    with pytest.raises(ValueError, match="one floating-point number per row and column"):
        label_image(wrong)


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        np.float32, st.tuples(*[st.integers(1, 24)] * 2), elements=st.floats(0, 1, width=32)
    ),
    st.floats(0, 1),
    st.booleans(),
    st.integers(0, 12),
)
def test_every_object_is_connected_large_enough_and_above_the_mask(
    confidence, threshold, morphology_on, min_area
):
    asked = LabelSettings(
        threshold=threshold,
        morphology=morphology_on,
        min_area=min_area,
        split_distance=2,
        split_smoothing=0.0,
    )
    labels = label_image(confidence, asked)
    mask = label_image(confidence, asked.model_copy(update={"instances": False}))
    assert not (labels > 0)[mask == 0].any()
    for number in range(1, labels.max() + 1):
        part = labels == number
        assert part.sum() >= min_area
        assert ndimage.label(part)[1] == 1


def test_scale_changes_areas_and_lengths():
    assert LabelSettings.for_scale(0.25) == LabelSettings() == LabelSettings.for_scale(None)
    coarse = LabelSettings.for_scale(0.5, threshold=0.4)
    assert coarse.min_area == 8
    assert coarse.max_hole == 25
    assert coarse.split_distance == 2
    assert coarse.split_smoothing == 0.75
    assert coarse.morphology_radius == 1
    assert coarse.threshold == 0.4
    fine = LabelSettings.for_scale(0.125)
    assert (fine.min_area, fine.split_distance, fine.morphology_radius) == (120, 10, 6)
    assert LabelSettings.for_scale(0.2525).morphology_radius == 3, "a 40x scan"


def test_enlarged_keeps_what_is_no_length_and_stays_in_range():
    asked = LabelSettings(threshold=0.3, smoothing=1.5, split=False)
    twice = asked.enlarged(2)
    assert twice.smoothing == 3
    assert twice.threshold == 0.3
    assert not twice.split
    tiny, huge = asked.enlarged(1e-6), asked.enlarged(1e6)
    for name, (_, lowest, highest) in IN_PIXELS.items():
        assert getattr(tiny, name) == pytest.approx(lowest, abs=1e-5)
        assert getattr(huge, name) == highest
    # the ranges in the table are those of the fields
    for name, (_, lowest, highest) in IN_PIXELS.items():
        for outside in (lowest - 1, highest + 1):
            with pytest.raises(ValidationError):
                LabelSettings(**{name: outside})


@pytest.mark.parametrize("scale", [0.0, -0.5, float("nan")])
def test_a_scale_has_to_be_positive(scale):
    with pytest.raises(ValueError, match="must be above 0"):
        LabelSettings.for_scale(scale)


def test_settings_are_frozen_explained_and_refuse_unknown_names():
    with pytest.raises(ValidationError):
        LabelSettings().threshold = 0.3
    with pytest.raises(ValidationError):
        LabelSettings(smallest=3)
    with pytest.raises(ValidationError):
        LabelSettings.for_scale(0.5, threshold=1.5)
    for field in LabelSettings.model_fields.values():
        assert field.title
        assert field.description.endswith(".")


# --- the fast operations against the libraries ---

small_masks = hnp.arrays(np.bool_, st.tuples(*[st.integers(1, 30)] * 2))


@settings(max_examples=60, deadline=None)
@given(small_masks, st.integers(1, 5))
def test_disks_equal_scikit_image(mask, radius):
    disk = morphology.disk(radius)
    as_bytes = mask.astype(np.uint8)
    opened = morphology.opening(as_bytes, disk, mode="ignore")
    closed = morphology.closing(as_bytes, disk, mode="ignore")
    np.testing.assert_array_equal(masks.open_with_disk(mask, radius), opened)
    np.testing.assert_array_equal(masks.close_with_disk(mask, radius), closed)


@settings(max_examples=60, deadline=None)
@given(small_masks)
def test_squared_distance_equals_scipy(mask):
    if mask.all():
        assert not masks.squared_distance(mask).any()
        return
    expected = ndimage.distance_transform_edt(mask) ** 2
    np.testing.assert_allclose(masks.squared_distance(mask), expected, atol=1e-6)


@pytest.mark.parametrize("radius", [20, 47, 48, 49, 63, 64, 80, 150])
def test_squared_distance_of_thick_objects_equals_scipy(radius):
    mask = disks((340, 330), [(170, 160)], [radius])
    mask[5:335, 5:9] = True  # tall and thin: far from background in its columns only
    expected = np.rint(ndimage.distance_transform_edt(mask) ** 2)
    np.testing.assert_array_equal(masks.squared_distance(mask), expected)
    np.testing.assert_array_equal(masks.squared_distance(mask.T), expected.T)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 20)] * 2), elements=st.integers(0, 6)),
    st.integers(1, 4),
)
def test_peaks_are_apart_and_highest_around(values, apart):
    found = masks.peaks(values, apart, at_least=1)
    highest = ndimage.maximum_filter(values, 2 * apart + 1)
    for row, column in found:
        assert values[row, column] == highest[row, column] >= 1
    between = np.abs(found[:, None] - found[None]).max(-1)
    assert (between[~np.eye(len(found), dtype=bool)] > apart).all()
    if values.any():
        assert values.max() in values[tuple(found.T)]


def test_a_ridge_has_one_peak():
    values = np.zeros((9, 40), np.uint8)
    values[4, 3:35] = 7
    assert len(masks.peaks(values, 5, at_least=1)) == 1


def test_flood_stays_inside_and_leaves_nothing_it_can_reach():
    rng = np.random.default_rng(0)
    region = ndimage.gaussian_filter(rng.normal(size=(60, 70)), 3) > 0
    level = np.sqrt(masks.squared_distance(region)).astype(np.uint16)
    components, n = ndimage.label(region)
    markers = np.zeros(region.shape, np.int32)
    for number in range(1, n):  # the last component gets none
        rows, columns = np.nonzero(components == number)
        for place in (0, len(rows) // 2):
            markers[rows[place], columns[place]] = 2 * number + bool(place)
    labels = masks.flood(markers, level, region)
    assert not labels[~region].any()
    assert not labels[components == n].any()
    assert labels[region & (components != n)].all()
    for number in np.unique(markers[markers > 0]):
        part = labels == number
        assert part[markers == number].all()
        assert ndimage.label(part)[1] == 1


def test_flood_cuts_at_the_lowest_level_between_two_markers():
    level = np.array([[9, 8, 7, 6, 3, 4, 5, 8, 9]], np.uint16)
    markers = np.zeros(level.shape, np.int32)
    markers[0, 0], markers[0, 8] = 1, 2
    labels = masks.flood(markers, level, np.ones(level.shape, bool))
    assert labels[0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 2]
