"""What makes an object doubtful, and a place worth a look."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk

from napari_selfseg.core.doubtful import (
    OBJECT_WEIGHTS,
    PLACE_WEIGHTS,
    REASONS,
    doubtful,
    entropy_map,
    object_measures,
    place_measures,
    places_of,
)
from napari_selfseg.core.object_table import object_table

UM = 0.25


def disks(radii, side=400, apart=50):
    """Return a label image with disks in rows, and their confidence."""
    labels = np.zeros((side, side), np.uint16)
    for k, radius in enumerate(radii):
        rows, columns = divmod(k, side // apart)
        at = disk((rows * apart + apart // 2, columns * apart + apart // 2), radius)
        labels[at] = k + 1
    return labels, np.where(labels > 0, 0.98, 0.02).astype(np.float32)


def doubt_of(labels, confidence, disagreement=None):
    measures = object_measures(object_table(labels), confidence, 0.5, disagreement, UM)
    return doubtful(measures, OBJECT_WEIGHTS)


def test_a_map_is_undecided_at_its_threshold():
    confidence = np.array([[0.0, 0.15, 0.3, 0.65, 1.0]])
    entropy = entropy_map(confidence, 0.3)[0]
    assert entropy[2] == pytest.approx(1)
    assert entropy[0] == entropy[4] == pytest.approx(0)
    assert entropy[1] == pytest.approx(entropy[3]) == pytest.approx(0.811, abs=1e-3)


def test_an_unsure_outline_and_disagreement_make_doubt():
    labels, confidence = disks([12] * 20)
    around = object_table(labels).grown(4)
    confidence[(around == 3) & (labels == 0)] = 0.4
    disagreement = np.where(labels == 7, 0.8, 0.0).astype(np.float16)
    made = doubt_of(labels, confidence, disagreement)
    assert set(np.argsort(-made.doubt)[:2]) == {2, 6}
    assert made.reasons[2] == (REASONS["entropy around"],)
    assert made.reasons[6] == (REASONS["disagreement"],)
    assert not any(made.reasons[k] for k in range(20) if k not in (2, 6))


def test_odd_sizes_and_shapes_are_found_by_the_others():
    rng = np.random.default_rng(0)
    labels, _ = disks([int(r) for r in rng.integers(11, 15, 30)])
    labels[labels == 4] = 0
    labels[disk((25, 175), 24)] = 4
    labels[labels == 9] = 0
    labels[20 + 50 : 23 + 50, 5:45] = 9
    made = doubt_of(labels, np.where(labels > 0, 0.98, 0.02).astype(np.float32))
    assert REASONS["large"] in made.reasons[3]
    assert REASONS["long"] in made.reasons[8]
    assert {3, 8} == set(np.argsort(-made.doubt)[:2])


def test_an_object_cut_by_the_edge_is_not_doubtful_for_its_shape():
    labels, _ = disks([12] * 20)
    labels[0:3, 180:205] = 40
    measures = object_measures(object_table(labels), labels > 0, 0.5, None, UM)
    assert measures["small"][-1] == measures["ragged"][-1] == measures["long"][-1] == 0


def test_few_objects_are_no_measure_for_each_other():
    labels, confidence = disks([12, 30, 3])
    measures = object_measures(object_table(labels), confidence, 0.5, None, UM)
    assert not measures["large"].any()


def test_nothing_is_doubtful_where_there_is_nothing():
    labels = np.zeros((60, 80), np.uint8)
    made = doubt_of(labels, np.zeros((60, 80), np.float32))
    assert len(made.doubt) == len(made.reasons) == 0


def test_places_cover_the_tile_without_overlap():
    labels, _ = disks([12] * 20)
    places = places_of(object_table(labels), UM)
    seen = np.zeros(labels.shape, int)
    for top, left, bottom, right in places.box:
        seen[top:bottom, left:right] += 1
    assert (seen == 1).all()
    middles = (places.box[:, :2] + places.box[:, 2:]) / 2
    assert places.of(middles).tolist() == list(range(len(places)))
    image = np.arange(labels.size).reshape(labels.shape)
    top, left, bottom, right = places.box[5]
    assert places.reduced(image, np.maximum)[5] == image[top:bottom, left:right].max()


@pytest.mark.parametrize("sign", ["confidence", "stain"])
def test_a_missed_object_makes_its_place_doubtful(sign):
    labels, confidence = disks([12] * 40)
    stain = (labels > 0) + np.random.default_rng(0).normal(0, 0.1, labels.shape)
    missed = labels == 20
    labels[missed] = 0
    if sign == "confidence":
        confidence[missed], stain[missed] = 0.45, 0
    else:
        confidence[missed] = 0.02
    table = object_table(labels)
    places = places_of(table, UM)
    measures = place_measures(places, table, confidence, 0.5, None, UM, stain)
    made = doubtful(measures, PLACE_WEIGHTS)
    at = places.of(np.argwhere(missed).mean(axis=0, keepdims=True))[0]
    assert np.argmax(made.doubt) == at
    assert made.reasons[at]
