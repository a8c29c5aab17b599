"""Result layers: corrections are never lost, undo restores what the person saw."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_selfseg.widgets.layers import PREVIEW_NAME, ResultLayers, make_tile_view

SHAPE = (60, 80)
RGB = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(RGB, scale=(0.5, 0.5), name="tile")
    return viewer


@pytest.fixture
def results(viewer):
    return ResultLayers(viewer, make_tile_view(viewer, viewer.layers[0]))


def square(top, left, value=1, dtype=np.uint8):
    labels = np.zeros(SHAPE, dtype)
    labels[top : top + 10, left : left + 10] = value
    return labels


A, B, C = square(5, 5), square(5, 30), square(5, 55)


def paint(layer, row, column, value=1):
    """One brush stroke of about 97 pixels."""
    layer.brush_size = 10
    layer.paint((row, column), value)


class Stroke:
    """A stroke that goes on, as napari's mouse callback makes it."""

    def __init__(self, layer, row, column):
        self._block = layer.block_history()
        self._block.__enter__()
        paint(layer, row, column)

    def end(self):
        self._block.__exit__(None, None, None)


# ---- untouched


def test_an_untouched_layer_is_replaced_and_nothing_can_be_undone(results):
    layer = results.add_labels(A, "labels")
    paint(layer, 40, 40)
    layer.undo()
    assert results.update_labels(layer, B) is layer
    assert np.array_equal(layer.data, B)
    assert not results.is_touched(layer)
    layer.undo()
    layer.redo()  # would bring the old stroke back
    assert np.array_equal(layer.data, B)


def test_the_caller_keeps_its_own_array(results):
    prediction = A.copy()
    layer = results.add_labels(prediction, "labels")
    paint(layer, 40, 40)
    assert np.array_equal(prediction, A)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (bool, np.uint8),
        (np.uint8, np.uint8),
        (np.uint16, np.uint16),
        (np.int32, np.int32),
        (np.int64, np.int32),
    ],
)
def test_label_types(results, dtype, expected):
    assert results.add_labels(A.astype(dtype), "labels").data.dtype == expected


def test_from_binary_to_instances_and_back(results):
    layer = results.add_labels(A, "labels")
    many = square(5, 5, 700, np.uint16)
    results.update_labels(layer, many)
    assert layer.data.dtype == np.uint16
    results.update_labels(layer, A)
    assert np.array_equal(layer.data, A)


# ---- touched


def test_painted_pixels_survive_and_the_update_is_one_undoable_step(results):
    layer = results.add_labels(A, "labels")
    paint(layer, 40, 40)
    painted = (layer.data == 1) & (A == 0)
    seen = layer.data.copy()
    assert np.array_equal(results.touched(layer), painted)

    results.update_labels(layer, B)
    assert np.array_equal(layer.data, np.where(painted, 1, B))
    layer.undo()
    assert np.array_equal(layer.data, seen)  # the old prediction with the stroke
    layer.undo()
    assert np.array_equal(layer.data, A)
    layer.redo()
    assert np.array_equal(layer.data, seen)
    layer.redo()
    assert np.array_equal(layer.data, np.where(painted, 1, B))


def test_erased_pixels_stay_erased(results):
    layer = results.add_labels(A, "labels")
    paint(layer, 10, 10, 0)
    erased = results.touched(layer)
    assert erased[10, 10]
    assert erased.sum() > 50
    results.update_labels(layer, np.ones(SHAPE, np.uint8))
    assert np.array_equal(layer.data == 0, erased)


def test_filled_pixels_survive(results):
    layer = results.add_labels(A, "labels")
    layer.fill((10, 10), 3)
    results.update_labels(layer, B)
    assert (layer.data[5:15, 5:15] == 3).all()
    assert (layer.data[5:15, 30:40] == 1).all()


def test_what_was_undone_is_not_touched_and_what_was_redone_is(results):
    layer = results.add_labels(A, "labels")
    paint(layer, 40, 40)
    layer.undo()
    assert not results.is_touched(layer)
    layer.redo()
    assert results.is_touched(layer)
    paint(layer, 40, 60)
    layer.undo()
    results.update_labels(layer, B)
    assert layer.data[40, 40] == 1
    assert layer.data[40, 60] == 0


def test_undoing_one_of_two_strokes_over_the_same_place_leaves_it_touched(results):
    layer = results.add_labels(A, "labels")
    paint(layer, 40, 40, 1)
    paint(layer, 40, 40, 2)
    layer.undo()
    assert results.touched(layer)[40, 40]


def test_a_slider_leaves_one_step(results):
    layer = results.add_labels(A, "labels")
    paint(layer, 40, 40)
    seen = layer.data.copy()
    for prediction in (B, C, A, C):
        results.update_labels(layer, prediction)
    assert layer.data[10, 60] == 1
    layer.undo()
    assert np.array_equal(layer.data, seen)
    layer.redo()
    assert layer.data[10, 60] == 1


def test_a_slider_that_comes_back_leaves_nothing_to_redo(results):
    layer = results.add_labels(A, "labels")
    paint(layer, 40, 40)
    seen = layer.data.copy()
    results.update_labels(layer, B)
    results.update_labels(layer, A)
    layer.redo()
    assert np.array_equal(layer.data, seen)


def test_strokes_between_updates_are_undone_in_order(results):
    layer = results.add_labels(A, "labels")
    states = [layer.data.copy()]
    for change in (
        lambda: paint(layer, 40, 20),
        lambda: results.update_labels(layer, B),
        lambda: paint(layer, 40, 40),
        lambda: results.update_labels(layer, C),
        lambda: paint(layer, 40, 60),
    ):
        change()
        states.append(layer.data.copy())
    for state in states[-2::-1]:
        layer.undo()
        assert np.array_equal(layer.data, state)
    for state in states[1:]:
        layer.redo()
        assert np.array_equal(layer.data, state)


def test_an_undone_update_is_replaced_by_the_next_one(results):
    layer = results.add_labels(A, "labels")
    paint(layer, 40, 40)
    results.update_labels(layer, B)
    layer.undo()
    results.update_labels(layer, C)
    assert layer.data[40, 40] == 1
    assert layer.data[10, 60] == 1
    assert layer.data[10, 35] == 0
    assert not results.touched(layer)[10, 10]


def test_strokes_beyond_naparis_undo_limit_stay_touched(results):
    layer = results.add_labels(np.zeros(SHAPE, np.uint8), "labels")
    layer.brush_size = 1
    for i in range(120):
        layer.paint((i % 60, i // 60 * 40), 1)
    assert results.touched(layer).sum() == 120
    for _ in range(100):
        layer.undo()
    assert results.touched(layer).sum() == 20
    results.update_labels(layer, A)
    assert (layer.data[:20, 0] == 1).all()


def test_more_numbers_than_the_layer_can_hold_and_undo_stays_right(results):
    layer = results.add_labels(square(5, 5, 9, np.uint16), "labels")
    paint(layer, 40, 40, 8)
    seen = layer.data.copy()
    wide = np.arange(SHAPE[0] * SHAPE[1], dtype=np.int32).reshape(SHAPE) + 70_000
    results.update_labels(layer, wide)
    assert layer.data[40, 40] == 8
    layer.undo()
    assert np.array_equal(layer.data, seen)


def test_one_pixel_of_difference(results):
    layer = results.add_labels(A, "labels")
    paint(layer, 40, 40)
    one = A.copy()
    one[0, 0] = 1
    results.update_labels(layer, one)
    assert layer.data[0, 0] == 1


def test_our_steps_are_bounded_in_memory_and_strokes_are_kept(results, monkeypatch):
    monkeypatch.setattr("napari_selfseg.widgets.label_history.OWN_BYTES", 10_000)
    layer = results.add_labels(np.zeros(SHAPE, np.uint8), "labels")
    layer.brush_size = 1
    for i in range(10):
        layer.paint((50, i), 2)
        results.update_labels(layer, np.full(SHAPE, i % 2, np.uint8))
    assert len(layer._undo_history) < 15
    assert (layer.data[50, :10] == 2).all()
    for _ in range(15):
        layer.undo()
    assert not results.is_touched(layer)


# ---- a glimpse of labels that are being made

PART = slice(0, 30), slice(20, 60)


def glimpse(results, layer, labels=B):
    results.show_glimpse(layer, *PART, labels[PART])


def test_a_glimpse_is_seen_and_the_update_comes_over_it(results):
    layer = results.add_labels(A, "labels")
    glimpse(results, layer)
    assert np.array_equal(layer.data, A | B)
    assert not results.is_touched(layer)
    assert np.array_equal(results.labels_of(layer), A)
    results.update_labels(layer, C)
    assert np.array_equal(layer.data, C)
    assert not results.is_touched(layer)


def test_a_glimpse_leaves_touched_pixels_and_undo_alone(results):
    layer = results.add_labels(A, "labels")
    paint(layer, 10, 35, 7)
    painted = layer.data == 7
    before = layer.data.copy()
    glimpse(results, layer)
    glimpse(results, layer, C)
    glimpse(results, layer)
    assert (layer.data[painted] == 7).all()
    assert np.array_equal(layer.data, np.where(painted, 7, A | B))
    assert np.array_equal(results.touched(layer), painted)
    assert np.array_equal(results.labels_of(layer), before)
    results.update_labels(layer, B)
    assert np.array_equal(layer.data, np.where(painted, 7, B))
    layer.undo()
    assert np.array_equal(layer.data, before)  # as if there had been no glimpse
    layer.undo()
    assert np.array_equal(layer.data, A)


def test_what_is_painted_on_a_glimpse_survives_it(results):
    layer = results.add_labels(A, "labels")
    glimpse(results, layer)
    paint(layer, 10, 35, 7)
    painted = layer.data == 7
    assert np.array_equal(results.touched(layer), painted)
    results.end_glimpse(layer)
    assert np.array_equal(layer.data, np.where(painted, 7, A))
    glimpse(results, layer)
    results.update_labels(layer, C)
    assert np.array_equal(layer.data, np.where(painted, 7, C))
    layer.undo()
    assert np.array_equal(layer.data, np.where(painted, 7, A))


@pytest.mark.parametrize("undone_before", [False, True])
def test_undo_and_redo_under_a_glimpse_are_nobodys_work(results, undone_before):
    layer = results.add_labels(A, "labels")
    paint(layer, 40, 40, 7)
    touched = layer.data == 7
    results.update_labels(layer, B)
    if undone_before:
        layer.undo()
        glimpse(results, layer, C)
        results.end_glimpse(layer)
    else:
        glimpse(results, layer, C)
        layer.undo()
    layer.redo()
    assert np.array_equal(results.touched(layer), touched)
    results.update_labels(layer, C)
    assert np.array_equal(layer.data, np.where(touched, 7, C))


def test_labels_of_another_shape_under_a_glimpse_are_handed_over_as_they_are(results):
    layer = results.add_labels(A, "labels")
    glimpse(results, layer)
    layer.data = np.ones((20, 20), np.uint8)  # another plugin
    assert results.labels_of(layer).shape == (20, 20)


def test_no_glimpse_during_a_stroke_or_of_numbers_that_do_not_fit(results):
    layer = results.add_labels(A, "labels")
    stroke = Stroke(layer, 40, 40)
    during = layer.data.copy()
    glimpse(results, layer)
    assert np.array_equal(layer.data, during)
    stroke.end()
    glimpse(results, layer, B.astype(np.uint16) * 300)
    assert np.array_equal(layer.data, during)


# ---- changes that come without a stroke


def test_data_assigned_by_another_plugin_is_kept(results):
    layer = results.add_labels(A, "labels")
    changed = layer.data.copy()
    changed[50, 50] = 1
    layer.data = changed
    assert results.is_touched(layer)
    results.update_labels(layer, B)
    assert layer.data[50, 50] == 1
    assert layer.data[10, 10] == 0
    results.update_labels(layer, C)
    assert layer.data[50, 50] == 1


def test_pixels_written_in_place_by_another_plugin_are_kept(results):
    layer = results.add_labels(A, "labels")
    paint(layer, 40, 40)
    results.update_labels(layer, B)
    layer.data[50, 50] = 1
    layer.refresh()
    results.update_labels(layer, C)
    assert layer.data[50, 50] == 1
    assert layer.data[10, 35] == 0


def test_steps_told_in_an_unknown_form_are_found_by_the_pixels(results):
    layer = results.add_labels(A, "labels")
    layer.data[50, 50] = 1
    layer.events.paint(value=[("a form", "of a later napari")])
    results.update_labels(layer, B)
    assert layer.data[50, 50] == 1


def test_without_naparis_private_stack_strokes_still_survive(results, monkeypatch):
    monkeypatch.setattr("napari_selfseg.widgets.label_painting.LabelPainting.undo_stack", None)
    layer = results.add_labels(A, "labels")
    paint(layer, 40, 40)
    for prediction in (B, C):
        results.update_labels(layer, prediction)
        assert layer.data[40, 40] == 1
    assert layer.data[10, 60] == 1


# ---- a stroke that is going on


def test_an_update_waits_for_the_end_of_a_stroke(results, qtbot):
    layer = results.add_labels(A, "labels")
    stroke = Stroke(layer, 40, 40)
    results.update_labels(layer, B)
    results.update_labels(layer, C)
    qtbot.wait(120)
    assert layer.data[10, 60] == 0
    paint(layer, 40, 60)
    stroke.end()
    qtbot.waitUntil(lambda: layer.data[10, 60] == 1, timeout=2000)
    assert layer.data[40, 40] == layer.data[40, 60] == 1
    assert layer.data[10, 35] == 0  # B was out of date
    layer.undo()
    layer.undo()
    assert np.array_equal(layer.data, A)


def test_a_layer_deleted_during_a_stroke_is_left_alone(results, viewer, qtbot):
    layer = results.add_labels(A, "labels")
    stroke = Stroke(layer, 40, 40)
    results.update_labels(layer, B)
    viewer.layers.remove(layer)
    stroke.end()
    qtbot.wait(120)
    assert len(viewer.layers) == 1


# ---- renamed, duplicated, deleted


def test_a_renamed_layer_is_still_ours_and_a_duplicate_is_not(results, viewer):
    layer = results.add_labels(A, "labels")
    layer.name = "mine"
    copy = viewer.add_layer(Labels.create(*layer.as_layer_data_tuple()))
    copy.data = copy.data.copy()
    results.update_labels(layer, B)
    assert np.array_equal(layer.data, B)
    assert np.array_equal(copy.data, A)


def test_a_deleted_layer_is_made_again_and_the_old_handle_still_works(results, viewer):
    layer = results.add_labels(A, "labels")
    layer.contour = 2
    viewer.layers.remove(layer)
    new = results.update_labels(layer, B)
    assert new is not layer
    assert new in viewer.layers
    assert (new.name, new.contour) == ("labels", 2)
    assert results.update_labels(layer, C) is new
    assert np.array_equal(new.data, C)


def test_a_layer_whose_shape_was_changed_is_left_alone(results, viewer):
    layer = results.add_labels(A, "labels")
    layer.data = np.zeros((5, 5), np.uint8)
    layer.paint((2, 2), 1)
    assert results.is_touched(layer)
    new = results.update_labels(layer, B)
    assert new is not layer
    assert new.data.shape == SHAPE
    assert layer in viewer.layers


def test_a_foreign_layer_is_refused(results, viewer):
    with pytest.raises(ValueError, match="not a layer of this result"):
        results.update_labels(viewer.add_labels(A), B)


def test_names_are_unique(results, viewer):
    results.add_labels(A, "labels")
    results.add_labels(B, "labels")
    assert len({layer.name for layer in viewer.layers}) == len(viewer.layers)


# ---- preview and confidence


def test_adding_layers_keeps_the_active_layer_and_its_tool(results, viewer):
    layer = results.add_labels(A, "labels")
    viewer.layers.selection = {layer, viewer.layers[0]}
    viewer.layers.selection.active = layer
    layer.mode = "paint"
    results.prepare_preview()
    results.show_confidence(np.zeros(SHAPE, np.float32), "confidence")
    results.add_labels(A, "more")
    assert viewer.layers.selection.active is layer
    assert layer.mode == "paint"


def test_pieces_of_the_preview(results, viewer):
    layer = results.prepare_preview()
    results.show_preview(slice(10, 20), slice(30, 50), np.full((10, 20), 200, np.uint8))
    results.show_preview(slice(50, 60), slice(0, 80), np.full((10, 80), 90, np.uint8))
    assert [each.name for each in viewer.layers] == ["tile", PREVIEW_NAME]
    assert (layer.data[10:20, 30:50] == 200).all()
    assert (layer.data[50:, :] == 90).all()
    assert (layer.data == 0).sum() == 60 * 80 - 200 - 800
    layer.name = "renamed"
    results.remove_preview()
    results.remove_preview()
    assert len(viewer.layers) == 1


def test_a_preview_the_user_deleted_does_not_come_back(results, viewer):
    viewer.layers.remove(results.prepare_preview())
    results.show_preview(slice(0, 60), slice(0, 80), np.zeros(SHAPE, np.uint8))
    assert len(viewer.layers) == 1
    results.prepare_preview()
    assert len(viewer.layers) == 2


def test_a_large_tile_is_previewed_reduced_and_in_place(viewer, monkeypatch):
    monkeypatch.setattr("napari_selfseg.widgets.result_layers.LARGEST_PREVIEW", 30)
    view = make_tile_view(viewer, viewer.layers["tile"])
    results = ResultLayers(viewer, view)
    layer = results.prepare_preview()
    assert max(layer.data.shape) <= 30
    full = np.arange(60 * 80, dtype=np.uint32).reshape(SHAPE) % 251
    full = full.astype(np.uint8)
    for rows in (slice(0, 7), slice(7, 41), slice(41, 60)):
        for columns in (slice(0, 1), slice(1, 55), slice(55, 80)):
            results.show_preview(rows, columns, full[rows, columns])
    i, j = 5, 9
    row, column = view.to_tile(layer.data_to_world((i, j)))
    assert layer.data[i, j] == full[row, column]
    # a piece may come reduced itself
    results.show_preview(slice(0, 60), slice(0, 80), full[::4, ::4])
    assert abs(int(layer.data[i, j]) - int(full[row // 4 * 4, column // 4 * 4])) == 0


def test_the_confidence_layer_of_a_name_is_updated(results, viewer):
    layer = results.show_confidence(np.zeros(SHAPE, np.float16), "confidence")
    layer.name = "renamed"
    assert results.show_confidence(np.ones(SHAPE, np.float16), "confidence") is layer
    assert layer.data.max() == 1
    assert tuple(layer.contrast_limits) == (0, 1)
    viewer.layers.remove(layer)
    again = results.show_confidence(np.ones(SHAPE, np.float16), "confidence")
    assert again is not layer
    assert again in viewer.layers


def test_everything_works_after_the_image_was_removed(results, viewer):
    viewer.layers.remove("tile")
    layer = results.add_labels(A, "labels")
    results.prepare_preview()
    results.show_confidence(np.ones(SHAPE), "confidence")
    assert results.update_labels(layer, B) is layer
    assert np.allclose(layer.scale, 0.5)


# ---- a real window


def test_painting_with_the_mouse_while_predictions_arrive(make_napari_viewer, qtbot, drag_on):
    viewer = make_napari_viewer(show=True)
    image = viewer.add_image(np.zeros((300, 400, 3), np.uint8), scale=(0.5, 0.5), rotate=15)
    results = ResultLayers(viewer, make_tile_view(viewer, image))
    before = np.zeros((300, 400), np.uint8)
    after = before.copy()
    after[:50] = 1
    layer = results.add_labels(before, "labels")
    viewer.layers.selection.active = layer
    layer.mode = "paint"
    qtbot.wait(50)
    results.prepare_preview()
    assert layer.mode == "paint"

    drag = drag_on(viewer)
    drag.press()
    drag.by(60, 40)
    results.show_preview(slice(0, 300), slice(0, 400), after * 255)
    results.update_labels(layer, after)
    assert not (layer.data[:50] == 1).all()  # the stroke is not disturbed
    drag.by(20, -60)
    drag.release()
    qtbot.waitUntil(lambda: (layer.data[:50] == 1).all(), timeout=2000)
    painted = results.touched(layer)
    assert painted[150, 200]
    assert painted.sum() > 300
    assert (layer.data[painted] == 1).all()

    viewer.layers.selection.active = layer
    for expected in (painted, before):
        qtbot.keyClick(drag.native, "Z", Qt.KeyboardModifier.ControlModifier)
        assert np.array_equal(layer.data, expected)
    for _ in range(2):
        qtbot.keyClick(
            drag.native,
            "Z",
            Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier,
        )
    assert np.array_equal(layer.data == 1, painted | (after == 1))
