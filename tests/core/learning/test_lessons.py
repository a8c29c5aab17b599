"""What a drawn tile teaches: its single nuclei, and nothing about what is doubtful."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_selfseg.core.cues import clearest_cue
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.evidence import Stain
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.learning.augmentation import stain_jitter, turned
from napari_selfseg.core.learning.lessons import depth_of, lesson_of, shrunk, sure_objects

RGB, TRUTH = drawn_he_tile(320, 300, n_nuclei=60, seed=5)
PIXELS = RGB.astype(np.float32) / 255
CUE = clearest_cue(Stain(PIXELS), 0.25)


def lesson(**changes):
    return lesson_of(**({"pixels": PIXELS, "cue": CUE, "um_per_px": 0.25, "shrink": 2} | changes))


class TestLesson:
    @pytest.mark.parametrize("shrink", [1, 2, 3])
    def test_everything_has_the_size_of_the_smaller_image(self, shrink):
        taught = lesson(shrink=shrink)
        shape = (320 // shrink, 300 // shrink)
        assert taught.pixels.shape == (*shape, 3)
        for one in (taught.objects, taught.weight, taught.depth):
            assert one.shape == shape
            assert one.dtype == np.float32
            assert 0 <= one.min() <= one.max() <= 1

    def test_what_is_taught_is_mostly_true(self):
        taught = lesson(shrink=1)
        known = taught.weight > 0
        assert 0.5 < taught.share_taught < 1
        assert ((taught.objects > 0) != (TRUTH > 0))[known].mean() < 0.03

    def test_objects_are_taught_and_deep_inside(self):
        taught = lesson()
        assert taught.objects.sum() > 200
        assert not taught.depth[taught.objects == 0].any()
        assert (taught.depth[taught.objects > 0] > 0).all()
        assert (taught.weight[taught.objects > 0] == 1).all()

    def test_a_consensus_leaves_open_what_it_denies(self):
        left = np.arange(300) < 100
        consensus = np.where(left, -1.0, 1.0).astype(np.float32) * np.ones((320, 1), np.float32)
        taught, all_of_it = lesson(consensus=consensus, shrink=1), lesson(shrink=1)
        inside = all_of_it.objects[:, :80] > 0
        assert inside.any()
        assert not taught.objects[:, :80].any()
        assert not taught.weight[:, :80][inside].any()  # open, not background
        np.testing.assert_array_equal(taught.objects[:, 120:], all_of_it.objects[:, 120:])

    def test_a_consensus_that_denies_nearly_everything_is_not_believed(self):
        denying = np.full(TRUTH.shape, -1, np.float32)
        np.testing.assert_array_equal(lesson(consensus=denying).objects, lesson().objects)

    def test_a_tile_without_objects_teaches_background_only(self):
        blank = np.full((64, 64, 3), 0.9, np.float32)
        taught = lesson(pixels=blank, cue=clearest_cue(Stain(blank), 0.25))
        assert not taught.objects.any()


def test_sure_objects_are_nuclei_more_often_than_others():
    labels = label_image(CUE.confidence(), LabelSettings.for_scale(0.25))
    sure = sure_objects(labels, CUE, 0.25)
    assert len(sure) == labels.max() + 1
    assert not sure[0]

    def overlap(number):
        own = labels == number
        shares = np.bincount(TRUTH[own], minlength=2)[1:]
        nucleus = 1 + shares.argmax() == TRUTH
        return (own & nucleus).sum() / (own | nucleus).sum()

    good = [overlap(number) for number in np.flatnonzero(sure)]
    other = [overlap(number) for number in np.flatnonzero(~sure)[1:]]
    assert np.mean(good) > np.mean(other) + 0.05


def test_sizes_are_meant_in_microns():
    labels = label_image(CUE.confidence(), LabelSettings.for_scale(0.25))
    assert sure_objects(labels, CUE, 0.25).sum() > 10
    assert not sure_objects(labels, CUE, 0.02).any()  # everything is far too small
    assert not sure_objects(labels, CUE, 2.0).any()  # and far too large


@given(seed=st.integers(0, 30))
def test_depth_is_the_distance_to_the_own_outline(seed):
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 4, (4, 5)), np.ones((7, 9), int)).astype(np.int32)
    depth = depth_of(labels)
    for number in np.unique(labels)[1:]:
        own = labels == number
        touching = np.zeros_like(own)
        for axis in (0, 1):
            for step in (-1, 1):
                beside = np.roll(labels, step, axis)
                edge = [slice(None)] * 2
                edge[axis] = 0 if step == 1 else -1
                beside[tuple(edge)] = 0
                touching |= own & (beside > 0) & (beside != number)
        # pixels that touch another object are outline, as if background lay there
        distance = ndimage.distance_transform_edt((labels > 0) & ~_touching(labels))
        slow = np.where(own, distance + 0.5, 0)
        np.testing.assert_allclose(depth[own], slow[own] / slow[own].max(), atol=1e-6)


def _touching(labels):
    touch = np.zeros(labels.shape, bool)
    for r in range(labels.shape[0]):
        for c in range(labels.shape[1]):
            for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                rr, cc = r + dr, c + dc
                if 0 <= rr < labels.shape[0] and 0 <= cc < labels.shape[1]:
                    a, b = labels[r, c], labels[rr, cc]
                    touch[r, c] |= a > 0 and b > 0 and a != b
    return touch


def test_shrinking_takes_means():
    image = np.arange(24, dtype=np.float32).reshape(4, 6, 1)
    np.testing.assert_allclose(shrunk(image, 2)[0, 0], (0 + 1 + 6 + 7) / 4)
    assert shrunk(image, 3).shape == (1, 2, 1)


class TestAugmentation:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_jitter_keeps_range_type_and_order_of_darkness(self, channels):
        pixels = PIXELS[..., :channels]
        varied = stain_jitter(pixels, np.random.default_rng(0), 0.15)
        assert varied.dtype == np.float32
        assert varied.shape == pixels.shape
        assert 0 <= varied.min() <= varied.max() <= 1
        assert np.corrcoef(varied.ravel(), pixels.ravel())[0, 1] > 0.9
        assert np.abs(varied - pixels).max() > 0.01

    def test_without_strength_there_is_only_a_small_shift(self):
        varied = stain_jitter(PIXELS, np.random.default_rng(0), 0.0)
        shift = np.log(np.clip(varied, 1e-3, 1) / PIXELS)
        inside = (varied < 0.99) & (PIXELS < 0.9)
        assert np.ptp(shift[..., 0][inside[..., 0]]) < 1e-3

    def test_the_eight_orientations_are_different_and_complete(self):
        square = np.arange(9).reshape(3, 3)
        seen = {turned(square, turn).tobytes() for turn in range(8)}
        assert len(seen) == 8
        assert all(sorted(turned(square, t).ravel()) == list(range(9)) for t in range(8))
