"""The pictures show what they say: outlines where objects are, curves where the numbers are."""

import math

import numpy as np
import pytest
from PIL import Image

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.session.curves_picture import curves_picture, series, ticks
from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.overlay import (
    CAPTION,
    GAP,
    OUTLINE,
    outlined,
    overlay_picture,
    write_picture,
)

WHITE = np.full((8, 8, 3), 255, np.uint8)


def is_outline(picture):
    return (picture == OUTLINE).all(axis=-1)


class TestOutlines:
    def test_the_outline_lies_on_the_object(self):
        labels = np.zeros((8, 8), np.uint16)
        labels[2:6, 2:6] = 1
        expected = labels > 0
        expected[3:5, 3:5] = False
        np.testing.assert_array_equal(is_outline(outlined(WHITE, labels)), expected)

    def test_touching_objects_are_told_apart(self):
        labels = np.ones((8, 8), np.uint16)
        labels[:, 4:] = 2
        drawn = is_outline(outlined(WHITE, labels))
        assert drawn[:, 3:5].all()
        assert drawn.sum() == 16

    def test_no_object_no_outline_and_the_image_is_not_changed(self):
        pixels = np.random.default_rng(0).integers(0, 200, (8, 8, 3), dtype=np.uint8)
        before = pixels.copy()
        np.testing.assert_array_equal(outlined(pixels, np.zeros((8, 8), int)), before)
        outlined(pixels, np.eye(8, dtype=int))
        np.testing.assert_array_equal(pixels, before)


class TestOverlay:
    tile = Tile(np.random.default_rng(0).integers(0, 200, (450, 500, 3), dtype=np.uint8), 255)

    def test_every_panel_shows_its_own(self):
        labels = np.zeros((450, 500), np.uint16)
        labels[100:200, 100:200] = 1
        confidence = np.linspace(0, 1, 500, dtype=np.float32)[np.newaxis].repeat(450, axis=0)
        panels = [("tile", None), ("confidence", confidence), ("labels", labels)]
        picture = np.asarray(overlay_picture(self.tile, panels))
        shape = 2 * (450 + CAPTION), 2 * 500 + GAP, 3
        assert picture.shape == shape
        first = picture[CAPTION : CAPTION + 450, :500]
        np.testing.assert_array_equal(first, self.tile.pixels)
        second = picture[CAPTION : CAPTION + 450, 500 + GAP :]
        assert second[0, 0].tolist() == [0, 0, 0]
        assert second[0, -1].tolist() == [255, 255, 255]
        third = picture[2 * CAPTION + 450 :, :500]
        assert is_outline(third).sum() == 4 * 100 - 4
        assert not is_outline(first).any()

    def test_a_caption_is_written_above(self):
        with_words = np.asarray(overlay_picture(self.tile, [("a caption", None)]))
        without = np.asarray(overlay_picture(self.tile, [("", None)]))
        assert (with_words[:CAPTION] != without[:CAPTION]).any()
        np.testing.assert_array_equal(with_words[CAPTION:], without[CAPTION:])

    def test_a_caption_that_is_too_long_is_cut_off(self):
        picture = overlay_picture(self.tile, [("many words " * 50, None), ("", None)])
        right = np.asarray(picture)[:CAPTION, 500:]
        assert (right == 255).all()

    def test_a_large_tile_is_shown_smaller(self):
        tile = Tile(np.zeros((3000, 100, 1), np.uint8), 255)
        labels = np.zeros((3000, 100), np.uint8)
        picture = overlay_picture(tile, [("", labels)])
        assert picture.height <= 1024 + CAPTION

    def test_a_small_grey_tile_is_shown_larger(self):
        tile = Tile(np.full((100, 50, 1), 51, np.uint8), 255)
        picture = np.asarray(overlay_picture(tile, [("", None)]))
        assert picture.shape == (200 + CAPTION, 100, 3)
        assert picture[-1, -1].tolist() == [51, 51, 51]

    def test_an_array_of_another_size_is_refused(self):
        with pytest.raises(ValueError, match="size of the tile"):
            overlay_picture(self.tile, [("x", np.zeros((3, 3), int))])

    def test_writing(self, tmp_path):
        picture = overlay_picture(self.tile, [("x", None)])
        write_picture(tmp_path / "new" / "a.png", picture)
        with Image.open(tmp_path / "new" / "a.png") as written:
            assert written.size == picture.size
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="could not be written"):
            write_picture(tmp_path / "file" / "a.png", picture)


def steps(entropy):
    return [
        TrainingStep("learning", i, len(entropy), {"entropy": value, "entropy/0": value + 1})
        for i, value in enumerate(entropy, start=1)
    ]


def blue_line(picture):
    """Return the row of the first map's line at its left and at its right end."""
    red, _, blue = np.moveaxis(np.asarray(picture).astype(int), -1, 0)[:, :, :780]
    rows, columns = np.nonzero(blue > red + 60)
    return rows[columns.argmin()], rows[columns.argmax()]


class TestCurves:
    def test_a_rising_measure_rises(self):
        left, right = blue_line(curves_picture(steps([0.0, 1.0, 2.0])))
        assert right < left - 50

    def test_a_falling_measure_falls(self):
        left, right = blue_line(curves_picture(steps([2.0, 1.0, 0.0])))
        assert right > left + 50

    def test_a_new_phase_is_marked(self):
        first = [TrainingStep("start", i, 4, {"entropy": 1.0}) for i in (1, 2)]
        same = [TrainingStep("start", i, 4, {"entropy": 1.0}) for i in (3, 4)]
        other = [TrainingStep("learning", i, 4, {"entropy": 1.0}) for i in (3, 4)]
        plain = np.asarray(curves_picture(first + same))
        marked = np.asarray(curves_picture(first + other))
        changed = np.nonzero((plain != marked).any(axis=(0, 2)))[0]
        assert 0 < len(changed) < 12  # one thin line

    @pytest.mark.parametrize(
        "values", [[], [1.0], [1.0, 1.0], [math.nan, 1.0, math.inf], [0.0, 0.0], [1e300, -1e300]]
    )
    def test_odd_numbers_are_drawn_without_an_error(self, values):
        assert curves_picture(steps(values), "title").size == (900, 640)

    def test_more_maps_than_colours(self):
        measures = {"entropy": 1.0} | {f"entropy/{k}": float(k) for k in range(16)}
        curves_picture([TrainingStep("learning", i, 2, measures) for i in (1, 2)])

    def test_a_skipped_step_leaves_a_gap_and_not_a_zero(self):
        curve = [*steps([1.0]), TrainingStep("learning", 2, 3, {}), *steps([3.0])]
        assert series(curve, "entropy") == [(1.0, 1.0), (3.0, 3.0)]

    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (3, 52, [10, 20, 30, 40, 50]), (2, 2, [2])],
    )
    def test_ticks_are_round_numbers(self, low, high, expected):
        assert ticks(low, high) == pytest.approx(expected)
