"""Labels of a part are those of all, as far as a person would see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_selfseg.core.centres import centres_of
from napari_selfseg.core.glimpse import MARGIN, labels_of_part
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.metrics import dice


def drawn_map(shape=(420, 500), n=220, radius=7.0):
    """Soft disks, some of which touch."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices(shape)
    places = rng.uniform((0, 0), shape, (n, 2))
    nearest = np.min([np.hypot(rows - r, columns - c) for r, c in places], axis=0)
    return (1 / (1 + np.exp(nearest - radius))).astype(np.float32)


CONFIDENCE = drawn_map()
DEPTH = ndimage.gaussian_filter(CONFIDENCE, 2)
CENTRES = centres_of(DEPTH, 0.25)


def same_objects(labels, others):
    """Whether two label images differ by their numbers only."""
    pairs = np.unique(np.stack([labels.ravel(), others.ravel()]), axis=1)
    return all(len(np.unique(one)) == len(one) for one in pairs)


@pytest.mark.parametrize("centres", [None, CENTRES], ids=["waists", "centres"])
@pytest.mark.parametrize("instances", [True, False], ids=["objects", "mask"])
@given(
    top=st.integers(0, 300),
    left=st.integers(0, 380),
    size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
)
@settings(max_examples=15, deadline=None)
def test_a_part_has_the_objects_of_the_whole(centres, instances, top, left, size):
    wanted = LabelSettings(instances=instances)
    where = slice(top, min(420, top + size[0])), slice(left, min(500, left + size[1]))
    whole = label_image(CONFIDENCE, wanted, centres)
    part = labels_of_part(CONFIDENCE, where, wanted, centres)
    assert part.shape == whole[where].shape
    reach = max(
        max(box[axis].stop - box[axis].start for box in ndimage.find_objects(label))
        for axis, label in ((0, whole), (1, whole))
    )
    assert not instances or reach < MARGIN  # else a difference would be allowed
    assert same_objects(part, whole[where])


@pytest.mark.parametrize("centres", [None, CENTRES], ids=["waists", "centres"])
def test_of_a_large_part_only_some_pixels_are_looked_at(centres):
    whole = label_image(CONFIDENCE, LabelSettings(), centres)
    where = slice(10, 411), slice(3, 500)
    part = labels_of_part(CONFIDENCE, where, LabelSettings(), centres, most_pixels=40_000)
    assert part.shape == whole[where].shape
    assert dice(part > 0, whole[where] > 0) > 0.9
    assert part.max() == pytest.approx(whole.max(), rel=0.25)


def test_small_objects_are_still_seen_from_afar():
    """The clean-up's disk of one pixel would remove them, as they are only a few pixels wide."""
    where = slice(0, 420), slice(0, 500)
    whole = label_image(CONFIDENCE, LabelSettings())
    part = labels_of_part(CONFIDENCE, where, LabelSettings(), most_pixels=10_000)
    assert dice(part > 0, whole > 0) > 0.8
