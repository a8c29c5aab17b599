import warnings

import numpy as np
import pytest
from scipy import ndimage
from skimage import data, filters

from napari_selfseg.core.images.stain import nuclear_cue
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.metrics import dice
from napari_selfseg.core.threshold import threshold_confidence

PINK = (0.90, 0.62, 0.75)
BLUE = (0.36, 0.27, 0.57)


def stained_tile(shape=(160, 150), seed=0):
    """Blue disks on pink, with noise; return pixels and the mask of the disks."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    mask = np.zeros(shape, bool)
    for row, column in rng.uniform(8, (shape[0] - 8, shape[1] - 8), (25, 2)):
        mask |= (rows - row) ** 2 + (columns - column) ** 2 <= 36
    pixels = np.where(mask[..., None], BLUE, PINK) + rng.normal(0, 0.03, (*shape, 3))
    return np.clip(pixels, 0, 1).astype(np.float32), mask


def test_half_is_otsus_threshold_of_the_smoothed_cue():
    pixels = data.immunohistochemistry()[:300, :280].astype(np.float32) / 255
    start = threshold_confidence(pixels)
    cue, name = nuclear_cue(pixels)
    smooth = ndimage.gaussian_filter(cue, 1, mode="nearest")
    expected = smooth > filters.threshold_otsu(smooth)
    assert 0.05 < expected.mean() < 0.95
    assert np.count_nonzero((start.confidence > 0.5) != expected) <= 2  # rounding to 0.5
    assert start.cue_name == name == "haematoxylin"
    assert start.title == "Otsu on haematoxylin"


def test_confidence_rises_with_the_cue():
    pixels, _ = stained_tile()
    confidence = threshold_confidence(pixels).confidence
    smooth = ndimage.gaussian_filter(nuclear_cue(pixels)[0], 1, mode="nearest")
    in_order = confidence.ravel()[np.argsort(smooth, axis=None)]
    assert (np.diff(in_order) >= 0).all()
    assert confidence.dtype == np.float32
    assert confidence.shape == pixels.shape[:2]
    assert confidence.min() == 0
    assert confidence.max() == 1
    clipped = np.mean((confidence == 0) | (confidence == 1))
    assert clipped < 0.03, "the sliders need room"


def test_it_finds_nuclei_that_differ_in_stain():
    pixels, mask = stained_tile()
    start = threshold_confidence(pixels)
    labels = label_image(start.confidence, LabelSettings(instances=False))
    assert dice(labels, mask) > 0.9


@pytest.mark.parametrize(
    ("object_level", "ground_level", "cue_name"),
    [(0.2, 0.9, "darkness"), (0.8, 0.05, "brightness")],
)
@pytest.mark.parametrize("n_channels", [1, 3])
def test_grey_and_dark_field_images(object_level, ground_level, cue_name, n_channels):
    _, mask = stained_tile()
    pixels = np.where(mask, object_level, ground_level).astype(np.float32)
    pixels = np.repeat(pixels[..., None], n_channels, axis=2)
    start = threshold_confidence(pixels)
    assert start.cue_name == cue_name
    assert start.title == f"Otsu on {cue_name}"
    labels = label_image(start.confidence, LabelSettings(instances=False))
    assert dice(labels, mask) > 0.9


@pytest.mark.parametrize("colour", [(1, 1, 1), (0, 0, 0), (0.31, 0.31, 0.31), PINK])
def test_a_blank_tile_holds_nothing_and_warns_of_nothing(colour):
    pixels = np.broadcast_to(np.float32(colour), (70, 60, 3)).copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        start = threshold_confidence(pixels)
    assert not start.confidence.any()
    assert start.confidence.shape == (70, 60)


@pytest.mark.parametrize("few_are", ["objects", "background"])
def test_rare_values_beyond_the_clipped_tail_are_still_separated(few_are):
    pixels = np.full((200, 200, 1), 0.9 if few_are == "objects" else 0.3, np.float32)
    pixels[90:100, 90:100] = 0.3 if few_are == "objects" else 0.9
    confidence = threshold_confidence(pixels).confidence
    assert np.isfinite(confidence).all()
    middle, corner = confidence[95, 95], confidence[0, 0]
    assert (middle > 0.9 and corner < 0.1) if few_are == "objects" else (middle < 0.1 < corner)


def test_the_pixels_are_left_as_they_were():
    pixels, _ = stained_tile()
    before = pixels.copy()
    threshold_confidence(pixels)
    np.testing.assert_array_equal(pixels, before)
