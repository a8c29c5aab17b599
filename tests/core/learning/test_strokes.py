"""Strokes, the crops around them, and how far they reach."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_selfseg.core.learning.stroke_crops import PLANES, Painted, PaintedData, StrokeCrops
from napari_selfseg.core.learning.strokes import Strokes, StrokesError
from napari_selfseg.core.spreading import NUCLEUS_UM, STRENGTH, spread


@given(
    arrays(np.int32, (9, 11), elements=st.integers(0, 3)),
    arrays(bool, (9, 11)),
)
def test_corrections_say_object_background_or_nothing(labels, touched):
    strokes = Strokes.of_corrections(labels, touched)
    assert ((strokes.classes == 0) == ~touched).all()
    assert ((strokes.classes == 1) == (touched & (labels == 0))).all()
    assert ((strokes.classes == 2) == (touched & (labels > 0))).all()
    assert strokes.n_painted == touched.sum()


@pytest.mark.parametrize(
    ("painted", "words"),
    [
        ([0], "Nothing is painted yet"),
        ([0, 1], "paint an object"),
        ([0, 2], "erase something"),
        ([0, 3], "erase something"),
        ([1, 200], "0 to 33"),
    ],
)
def test_too_few_kinds_of_strokes_are_told_politely(painted, words):
    classes = np.resize(np.array(painted, np.uint8), (4, 5))
    with pytest.raises(StrokesError, match=words):
        Strokes(classes).check()


def test_object_and_background_are_enough_and_so_are_two_classes():
    for kinds in ([0, 1, 2], [1, 2], [0, 2, 3]):
        Strokes(np.resize(np.array(kinds, np.uint8), (4, 5))).check()


# ---- how far a stroke reaches


def grey(shape, value=0.6):
    return np.full((*shape, 3), value, np.float32)


@given(st.integers(0, 2**31 - 1), st.sampled_from([None, 0.25, 0.5]), st.integers(1, 2))
def test_a_stroke_speaks_for_itself_most_and_for_nothing_far_away(seed, um_per_px, number):
    rng = np.random.default_rng(seed)
    classes = np.zeros((90, 70), np.uint8)
    row, column = rng.integers(5, 60, 2)
    classes[row : row + 4, column : column + 4] = number
    evidence = spread(classes, grey(classes.shape), um_per_px)
    sign = 1 if number == 2 else -1
    assert (sign * evidence >= 0).all()
    assert (evidence[classes > 0] == sign * np.float32(STRENGTH)).all()
    rows, columns = np.nonzero(evidence)
    reach = NUCLEUS_UM / (um_per_px or 0.25)
    assert row - reach <= rows.min() <= rows.max() <= row + 3 + reach
    assert column - reach <= columns.min() <= columns.max() <= column + 3 + reach
    across = np.abs(evidence[row, column + 3 :])
    assert (np.diff(across) <= 0).all()


def test_a_stroke_speaks_for_what_looks_like_it():
    pixels = grey((60, 60))
    pixels[20:40, 20:40] = 0.3
    classes = np.zeros((60, 60), np.uint8)
    classes[28:32, 24:36] = 2
    evidence = spread(classes, pixels, 0.25)
    assert evidence[24, 30] > 1
    assert evidence[16, 30] < 0.01 * STRENGTH
    assert spread(classes, grey((60, 60)), 0.25)[24, 30] == pytest.approx(
        evidence[24, 30], rel=0.05
    )


def test_what_is_painted_wholly_says_nothing_of_its_surroundings():
    rows, columns = np.ogrid[:80, :80]
    disk = (rows - 40) ** 2 + (columns - 40) ** 2 <= 15**2
    evidence = spread(np.where(disk, 2, 0).astype(np.uint8), grey((80, 80)), 0.25)
    assert not evidence[~disk].any()


@given(st.integers(0, 2**31 - 1))
def test_strokes_far_apart_do_not_know_of_each_other(seed):
    rng = np.random.default_rng(seed)
    pixels = rng.random((150, 400, 3), dtype=np.float32)
    one, other = np.zeros((2, 150, 400), np.uint8)
    for classes, middle in ((one, 60), (other, 330)):
        row, column = rng.integers(20, 120), middle + rng.integers(-30, 30)
        classes[row : row + 5, column : column + 9] = rng.integers(1, 3)
    together = spread(np.maximum(one, other), pixels, 0.25)
    np.testing.assert_array_equal(together, spread(one, pixels, 0.25) + spread(other, pixels, 0.25))


def test_nothing_painted_says_nothing():
    assert not spread(np.zeros((10, 10), np.uint8), grey((10, 10)), 0.25).any()


# ---- crops


def painted_tile(seed=0, shape=(96, 120), shrink=1):
    rng = np.random.default_rng(seed)
    pixels = rng.random((*shape, 3), dtype=np.float32)
    classes = np.zeros(shape, np.uint8)
    classes[10:20, 10:30], classes[60:64, 80:100] = 1, 2
    beside = np.zeros(shape, np.float32)
    beside[20:24, 10:30] = -0.4
    start = rng.normal(size=shape).astype(np.float32)
    return Painted.of(pixels, classes, beside, start, shrink)


def test_a_smaller_tile_is_painted_where_most_of_a_square_was():
    tile = painted_tile(shrink=2)
    assert tile.pixels.shape == (48, 60, 3)
    assert (tile.said[5:10, 5:15] == 1).all()
    assert (tile.weight[5:10, 5:15] == 1).all()
    assert (tile.said[30:32, 40:50] == 2).all()
    assert tile.weight[10:12, 5:15] == pytest.approx(0.4)
    assert (tile.said[10:12, 5:15] == 1).all()
    assert tile.weight.sum() == pytest.approx(50 + 20 + 0.4 * 20)


@pytest.mark.parametrize("kind", ["single", "twins", "views"])
def test_crops_have_an_image_and_what_is_known(kind):
    crops = StrokeCrops(PaintedData((painted_tile(),)), 0.1, kind, painted=1.0)
    side = crops.crop_side(64)
    drawn = crops.draw(np.random.default_rng(0), 8, side)
    assert drawn.shape == (8, 3 + PLANES, 64, 64)
    assert torch.isfinite(drawn).all()
    again = crops.draw(np.random.default_rng(0), 8, side)
    assert torch.equal(drawn, again)


def test_twins_show_the_same_pixels_in_another_stain():
    crops = StrokeCrops(PaintedData((painted_tile(),)), 0.2, "twins", painted=1.0)
    drawn = crops.draw(np.random.default_rng(1), 8, 32)
    one, other = drawn.chunk(2)
    assert torch.equal(one[:, -PLANES:], other[:, -PLANES:])
    assert not torch.equal(one[:, :3], other[:, :3])


def test_every_kind_of_stroke_is_looked_at_equally_often():
    tile = painted_tile()  # 200 px of background, 80 of objects
    crops = StrokeCrops(PaintedData((tile,)), 0.0, painted=1.0)
    drawn = crops.draw(np.random.default_rng(2), 200, 16)
    said, weight = drawn[:, -3], drawn[:, -2]
    shown = [((said == kind) & (weight == 1)).any((1, 2)).float().mean() for kind in (1, 2)]
    assert shown[0] == pytest.approx(0.5, abs=0.12)
    assert shown[1] == pytest.approx(0.5, abs=0.12)


def test_other_tiles_are_looked_at_without_anything_known():
    other = Painted.unpainted(np.full((80, 80, 3), 0.5, np.float32), 1)
    crops = StrokeCrops(PaintedData((painted_tile(), other)), 0.0, painted=0.0)
    drawn = crops.draw(np.random.default_rng(3), 60, 32)
    is_other = (drawn[:, 0] - drawn[:, 0, :1, :1]).abs().amax((1, 2)) < 1e-6
    assert 0.3 < is_other.float().mean() < 0.7
    assert not drawn[is_other, -2].any()


def test_a_crop_is_no_larger_than_the_smallest_tile():
    small = Painted.unpainted(np.zeros((20, 50, 3), np.float32), 1)
    assert StrokeCrops(PaintedData((painted_tile(), small)), 0.0).crop_side(64) == 20
