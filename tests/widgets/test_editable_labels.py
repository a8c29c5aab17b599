"""What counts as touched, tool by tool, in napari as it is installed; steps of a person."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QPoint, Qt

from napari_selfseg.core.editing import Edit
from napari_selfseg.widgets import label_painting
from napari_selfseg.widgets.editable_labels import EditableLabels
from napari_selfseg.widgets.label_painting import PRIVATE, LabelPainting, pixels_of

SHAPE = (60, 80)
ROWS, COLUMNS = np.indices(SHAPE)


def square(top, left, value=1, dtype=np.uint16, size=10):
    labels = np.zeros(SHAPE, dtype)
    labels[top : top + size, left : left + size] = value
    return labels


A, B = square(5, 5, 7), square(5, 30, 1)


def made(labels=A):
    """Return a layer and what a person does to it; ``told`` counts the actions."""
    layer = Labels(labels.copy())
    editable = EditableLabels(layer)
    editable.told = 0
    editable.edited.connect(lambda: setattr(editable, "told", editable.told + 1))
    layer.brush_size = 9
    return layer, editable


def disk(row, column, brush=9):
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= (brush // 2 + 0.5) ** 2


# ---- napari


def test_napari_still_has_what_we_use_of_it():
    """If this fails: napari has changed; see what `label_painting` says it does without."""
    layer = Labels(A.copy())
    assert [name for name in PRIVATE if not hasattr(layer, name)] == []
    editable = EditableLabels(layer)
    assert editable._history.tells_all
    assert editable._history._painting.can_make_steps
    atom = layer._history_atom_for_mask_paint((slice(0, 2), slice(0, 2)), A[:2, :2], A[:2, :2], 3)
    assert (len(atom), atom._fields[1], atom._fields[3]) == (4, "mask", "new_value")
    with layer.block_history():
        layer.paint((40, 40), 3, refresh=False)
        assert layer._staged_history
        assert layer._block_history
    assert not layer._staged_history
    assert len(layer._undo_history) == 1


def test_what_napari_tells_of_its_tools_is_understood():
    layer, editable = made()
    before, told = layer.data.copy(), []
    layer.events.paint.connect(lambda event: told.append(pixels_of(event.value, SHAPE)))
    layer.paint((20, 20), 4)
    layer.fill((8, 8), 9)
    layer.paint_polygon([[30, 30], [38, 30], [38, 45]], 6)
    layer.data_setitem((np.array([0, 1]), np.array([79, 78])), 5)
    assert len(told) == editable.told == 4
    seen = np.zeros(SHAPE, bool)
    for box, mask in told:
        seen[box] |= mask
    assert np.array_equal(seen, layer.data != before)
    assert np.array_equal(seen, editable.touched())


@pytest.mark.parametrize("hidden", ["_paint_region_with_mask", "_save_history"])
def test_without_naparis_private_parts_changed_pixels_are_still_known(hidden, monkeypatch):
    hides = lambda kind, name: name != hidden and hasattr(kind, name)  # noqa: E731
    monkeypatch.setattr(label_painting, "hasattr", hides, raising=False)
    layer, editable = made()
    layer.paint((10, 10), 7)
    layer.paint((10, 30), 3)
    assert np.array_equal(editable.touched(), layer.data == 3)
    editable.edit(Edit(slice(40, 50), slice(40, 50), np.eye(10, dtype=bool), np.zeros((10, 10))))
    assert editable.touched()[40, 40]
    editable.edit(Edit(slice(40, 50), slice(40, 50), np.eye(10, dtype=bool), np.ones((10, 10))))
    assert editable.told == 3  # of the first stroke napari says nothing
    editable.update(B.copy(), lambda: True)
    assert (layer.data == 3)[disk(10, 30)].all()
    editable.unlock(np.ones(SHAPE, bool))
    assert not editable.is_touched()


# ---- what is touched


def test_a_stroke_touches_what_keeps_its_label_too():
    layer, editable = made()
    layer.paint((10, 14), 7)
    assert np.array_equal(editable.touched(), disk(10, 14))
    layer.undo()
    assert not editable.is_touched()
    assert np.array_equal(layer.data, A)
    layer.redo()
    assert np.array_equal(editable.touched(), disk(10, 14))
    assert editable.told == 3


def test_a_stroke_that_changes_nothing_is_a_step():
    layer, editable = made()
    layer.paint((10, 10), 7)
    layer.paint((40, 40), 0)
    assert np.array_equal(layer.data, A)
    assert np.array_equal(editable.touched(), disk(10, 10) | disk(40, 40))
    layer.undo()
    assert np.array_equal(editable.touched(), disk(10, 10))
    layer.undo()
    assert not editable.is_touched()


def test_labels_that_are_preserved_are_not_touched():
    layer, editable = made()
    layer.preserve_labels = True
    layer.paint((10, 14), 3)
    assert np.array_equal(editable.touched(), disk(10, 14) & (A == 0))
    layer.selected_label = 3
    layer.paint((10, 18), 0)  # erases its own label only
    erased = disk(10, 18) & (A != 7)
    assert np.array_equal(editable.touched(), disk(10, 14) & (A == 0) | erased)
    assert np.array_equal(layer.data == 7, A == 7)


def test_a_brush_beyond_the_edge_of_the_image():
    layer, editable = made()
    for place in ((-2, -2), (61, 30), (90, 90)):
        layer.paint(place, 0)
    assert np.array_equal(editable.touched(), disk(-2, -2) | disk(61, 30))
    assert editable.told == 2


def test_editing_in_more_dimensions_than_there_are_and_a_turned_view():
    layer, editable = made()
    layer.n_edit_dimensions = 3
    layer.paint((30, 30), 0)
    assert np.array_equal(editable.touched(), disk(30, 30))
    layer.n_edit_dimensions = 1  # only along a row
    layer.paint((50, 50), 0)
    assert np.array_equal(editable.touched(), disk(30, 30) | (disk(50, 50) & (ROWS == 50)))
    layer.fill((5, 5), 7)
    assert not editable.touched()[5, 5]


@pytest.mark.parametrize("contiguous", [True, False])
def test_a_fill_touches_its_region_also_if_it_has_the_label_already(contiguous):
    both = A + square(40, 40, 7)
    layer, editable = made(both)
    layer.contiguous = contiguous
    layer.fill((8, 8), 7)
    assert np.array_equal(editable.touched(), A == 7 if contiguous else both == 7)
    assert np.array_equal(layer.data, both)
    layer.fill((0, 0), 0)  # the background: most of the image, by one step
    assert np.array_equal(editable.touched(), (both == 0) | (A == 7 if contiguous else both == 7))
    layer.undo()
    layer.undo()
    assert not editable.is_touched()


def test_a_fill_that_is_dragged_stays_in_the_region_it_began_with():
    layer, editable = made(A + square(5, 15, 3))
    with layer.block_history():
        layer.fill((8, 17), 7, refresh=False)
        layer.fill((8, 18), 7, refresh=False)  # now one region with the object beside it
    assert np.array_equal(editable.touched(), square(5, 15) > 0)
    assert editable.told == 1
    layer.undo()
    assert not editable.is_touched()


def test_a_stroke_that_is_taken_back_before_its_end_touches_nothing():
    layer, editable = made()
    layer._begin_stroke()
    layer.paint((10, 14), 7, refresh=False)
    layer.paint((30, 30), 7, refresh=False)
    layer._abort_stroke()
    assert np.array_equal(layer.data, A)
    assert not editable.is_touched()
    layer.paint((10, 14), 7)
    assert np.array_equal(editable.touched(), disk(10, 14))


def test_an_action_is_told_when_it_has_ended_and_predictions_never():
    layer, editable = made()
    going_on = []
    editable.edited.connect(lambda: going_on.append(editable._history.stroke_going_on))
    with layer.block_history():
        for column in range(10, 40, 4):
            layer.paint((30, column), 2, refresh=False)
        assert editable.told == 0
    assert going_on == [False]
    editable.update(B.copy(), lambda: True)
    editable.update(A.copy(), lambda: True)
    assert editable.told == 1
    layer.undo()
    layer.redo()
    assert editable.told == 3


def test_what_somebody_empties_naparis_history_of_stays_touched():
    layer, editable = made()
    layer.paint((30, 30), 2)
    layer.editable = False
    layer.editable = True
    assert np.array_equal(editable.touched(), disk(30, 30))


# ---- tools


@pytest.mark.parametrize("hidden", [False, True])
def test_a_tool_may_need_wider_numbers(hidden):
    layer, editable = made(square(5, 5, 9, np.uint8))
    layer.paint((10, 10), 4)
    layer.visible = not hidden
    seen = layer.data.copy()
    mask = np.ones((3, 3), bool)
    for number, dtype in ((300, np.uint16), (70_000, np.int32)):
        editable.edit(Edit(slice(30, 33), slice(30, 33), mask, np.full((3, 3), number)))
        assert layer.data.dtype == dtype
        assert (layer.data[30:33, 30:33] == number).all()
    assert {4, 9, 300, 70_000} <= set(editable.reserved())
    layer.undo()
    layer.undo()
    assert np.array_equal(layer.data, seen)
    layer.redo()
    layer.redo()
    assert layer.data[31, 31] == 70_000
    with pytest.raises(ValueError, match="more than a label image can hold"):
        editable.edit(Edit(slice(0, 3), slice(0, 3), mask, np.full((3, 3), 2**40)))


def test_a_prediction_with_wider_numbers_in_a_hidden_layer():
    layer, editable = made(square(5, 5, 9, np.uint8))
    layer.paint((10, 10), 4)
    layer.visible = False
    wide = np.arange(SHAPE[0] * SHAPE[1], dtype=np.int32).reshape(SHAPE) + 1
    editable.update(wide + 70_000, lambda: True)
    seen = layer.data.copy()
    assert seen.dtype == np.uint16  # numbers are given anew
    assert (seen[disk(10, 10)] == 4).all()
    layer.visible = True
    layer.paint((40, 40), 60_000)
    assert layer.data[40, 40] == 60_000
    layer.undo()
    assert np.array_equal(layer.data, seen)


def test_unlocked_pixels_follow_the_next_prediction_and_can_be_locked_again():
    layer, editable = made()
    layer.paint((30, 30), 2)
    layer.paint((50, 50), 3)
    painted = layer.data.copy()
    editable.unlock(disk(30, 30))
    assert np.array_equal(layer.data, painted)
    assert np.array_equal(editable.touched(), disk(50, 50))
    editable.update(B.copy(), lambda: True)
    assert not (layer.data == 2).any()
    layer.undo()
    layer.undo()
    assert np.array_equal(editable.touched(), disk(30, 30) | disk(50, 50))
    assert np.array_equal(layer.data, painted)
    told = editable.told
    editable.unlock(A > 0)  # nothing is touched there
    assert editable.told == told


def test_all_unlocked_and_predicted_anew_can_still_be_undone():
    layer, editable = made()
    layer.paint((30, 30), 2)
    painted = layer.data.copy()
    editable.unlock(np.ones(SHAPE, bool))
    editable.update(B.copy(), lambda: True)
    assert np.array_equal(layer.data > 0, B > 0)
    assert not {2, 7} & set(np.unique(layer.data))
    layer.undo()
    layer.undo()
    assert np.array_equal(layer.data, painted)
    assert np.array_equal(editable.touched(), disk(30, 30))


def test_a_number_stays_reserved_after_its_object_was_erased():
    layer, editable = made(square(5, 5, 1))
    layer.fill((8, 8), 0)
    assert not layer.data.any()
    editable.update(square(30, 30, 1), lambda: True)
    assert set(np.unique(layer.data)) == {0, 2}
    layer.undo()
    layer.undo()
    editable.update(square(40, 40, 1), lambda: True)  # nothing is touched any more
    assert set(np.unique(layer.data)) == {0, 2}
    assert 1 in editable.reserved()


def test_a_persons_work_in_a_fresh_layer():
    layer, editable = made()
    layer.paint((30, 30), 2)
    layer.fill((8, 8), 0)
    kept = editable.labels(), editable.touched(), editable.reserved()
    assert editable.reserved().tolist() == [2, 7]
    fresh, other = made(B)
    fresh.paint((50, 50), 40)
    other.told = 0
    other.restore(*kept)
    assert np.array_equal(fresh.data, kept[0])
    assert np.array_equal(other.touched(), kept[1])
    assert other.told == 0
    fresh.undo()  # nothing of before
    assert np.array_equal(fresh.data, kept[0])
    other.update(A.copy(), lambda: True)
    assert np.array_equal(fresh.data[kept[1]], kept[0][kept[1]])
    fresh.undo()
    assert np.array_equal(fresh.data, kept[0])
    with pytest.raises(ValueError, match="another image"):
        other.restore(kept[0][:5], kept[1], kept[2])


def test_what_is_left_of_a_clipped_object_is_dropped_below_the_smallest_size():
    layer, editable = made(np.zeros(SHAPE, np.uint16))
    layer.fill((0, 0), 0)
    layer.undo()
    layer.paint((30, 30), 5)
    editable.update(square(26, 26, 1, size=11), lambda: True, smallest=90)
    assert set(np.unique(layer.data)) == {0, 5}


# ---- with the mouse


@pytest.fixture
def seen(make_napari_viewer, drag_on, qtbot):
    """Return a layer in a window, what a person does to it, and a mouse."""
    viewer = make_napari_viewer(show=True)
    labels = np.zeros((200, 300), np.uint16)
    labels[80:120, 100:200] = 7
    layer = viewer.add_labels(labels)
    editable = EditableLabels(layer)
    layer.brush_size = 20
    viewer.layers.selection.active = layer
    qtbot.wait(50)
    return layer, editable, drag_on(viewer)


def undo_keys(qtbot, mouse, redo=False):
    keys = Qt.KeyboardModifier.ControlModifier
    if redo:
        keys |= Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(mouse.native, "Z", keys)


def test_a_dragged_stroke_over_its_own_label_is_known_as_a_whole(seen, qtbot):
    layer, editable, mouse = seen
    told = []
    editable.edited.connect(lambda: told.append(True))
    layer.mode, layer.selected_label = "paint", 7
    before = layer.data.copy()
    mouse.press()
    mouse.by(-40, 0)
    mouse.by(40, 0)
    mouse.by(0, -150, steps=20)
    mouse.release()
    touched = editable.touched()
    changed = layer.data != before
    assert len(told) == 1
    assert changed.any()
    assert (touched & (before == 7)).sum() > 200  # where the label was there already
    assert np.array_equal(touched & (before != 7), changed)
    undo_keys(qtbot, mouse)
    assert np.array_equal(layer.data, before)
    assert not editable.is_touched()
    undo_keys(qtbot, mouse, redo=True)
    assert np.array_equal(editable.touched(), touched)
    assert len(told) == 3


def test_the_eraser_and_the_bucket_with_the_mouse(seen, qtbot):
    layer, editable, mouse = seen
    before = layer.data.copy()
    layer.mode = "erase"
    mouse.press(mouse.middle + QPoint(0, -140))
    mouse.by(30, 0)
    mouse.release()
    erased = editable.touched()
    assert erased.sum() > 100
    assert np.array_equal(layer.data, before)  # there was background only
    layer.mode, layer.selected_label = "fill", 7
    mouse.press()
    mouse.by(10, 5)
    mouse.release()
    assert np.array_equal(editable.touched(), erased | (before == 7))
    undo_keys(qtbot, mouse)
    assert np.array_equal(editable.touched(), erased)
    undo_keys(qtbot, mouse)
    assert not editable.is_touched()


def test_a_second_adapter_on_a_layer_tells_the_same():
    layer, editable = made()
    steps = []
    LabelPainting(layer, lambda: None, steps.append, lambda: None)
    layer.paint((10, 14), 7)
    assert len(steps) == 1
    assert np.array_equal(editable.touched(), disk(10, 14))
    layer.undo()
    assert not editable.is_touched()


# ---- what a person accepts of a prediction


def test_every_acceptance_is_a_step_of_its_own():
    layer, editable = made()
    both = np.maximum(A, B)
    editable.accept(both.copy(), lambda: True)
    editable.accept(B.copy(), lambda: True)
    assert np.array_equal(layer.data, B)
    layer.undo()
    assert np.array_equal(layer.data, both)
    layer.undo()
    assert np.array_equal(layer.data, A)
    layer.redo()
    layer.redo()
    assert np.array_equal(layer.data, B)
    assert not editable.is_touched()


def test_a_prediction_after_an_acceptance_can_be_undone_to_it():
    layer, editable = made()
    editable.accept(B.copy(), lambda: True)
    editable.update(A.copy(), lambda: True)
    editable.update(np.maximum(A, B), lambda: True)  # a slider that moves on: the same step
    layer.undo()
    assert np.array_equal(layer.data, B)
    layer.undo()
    assert np.array_equal(layer.data, A)


def test_an_acceptance_keeps_numbers_and_touched_pixels():
    layer, editable = made()
    layer.paint((40, 40), 3)
    kept = disk(40, 40)
    wide = np.where(kept, 0, B.astype(np.int32) * 70_000)
    editable.accept(wide, lambda: True)
    assert (layer.data[kept] == 3).all()
    assert np.array_equal(layer.data == 70_000, B > 0)


def test_an_acceptance_waits_for_the_end_of_a_stroke(qtbot):
    layer, editable = made()
    with layer.block_history():
        layer.paint((40, 40), 3)
        editable.accept(B.copy(), lambda: True)
        assert (layer.data[A > 0] == 7).all()
    qtbot.waitUntil(lambda: not layer.data[A > 0].any(), timeout=5000)
    assert (layer.data[disk(40, 40)] == 3).all()


def test_a_wanted_prediction_can_be_undone_where_nothing_is_touched():
    layer, editable = made()
    editable.update(B.copy(), lambda: True, is_accepted=True)
    assert np.array_equal(layer.data, B)
    layer.undo()
    assert np.array_equal(layer.data, A)
