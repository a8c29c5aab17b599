"""The line around what was touched: where it must be, and nobody's way."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QWidget
from scipy import ndimage

from napari_selfseg.widgets.layers import ResultLayers, make_tile_view
from napari_selfseg.widgets.touched_outline import OUTLINE_NAME, TouchedBox, TouchedOutline

SHAPE = (60, 80)


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((*SHAPE, 3), np.uint8), scale=(0.5, 0.5), rotate=20, name="tile")
    return viewer


@pytest.fixture
def results(viewer):
    return ResultLayers(viewer, make_tile_view(viewer, viewer.layers[0]))


@pytest.fixture
def labels(results):
    layer = results.add_labels(np.zeros(SHAPE, np.uint16), "labels")
    layer.brush_size = 10
    return layer


@pytest.fixture
def outline(viewer, labels, results, qtbot):
    owner, box = QWidget(), TouchedBox()
    for widget in (owner, box):
        qtbot.addWidget(widget)
    outline = TouchedOutline(viewer, box, owner)
    outline.box = box
    outline.follow(results.editable(labels))
    return outline


def edge_of(touched):
    return touched & ~ndimage.binary_erosion(touched)


def wait_for_line(qtbot, outline, results, labels):
    def is_right():
        touched = results.touched(labels)
        line = outline.layer
        return line is not None and np.array_equal(line.data > 0, edge_of(touched))

    qtbot.waitUntil(is_right, timeout=5000)


def test_the_line_follows_strokes_undo_redo_and_unlocking(qtbot, outline, results, labels):
    qtbot.wait(150)
    assert outline.layer is None  # nobody has touched anything
    labels.paint((20, 20), 3)
    wait_for_line(qtbot, outline, results, labels)
    labels.paint((24, 26), 0)  # touches the first stroke
    labels.paint((0, 79), 0)  # leaves the image
    wait_for_line(qtbot, outline, results, labels)
    labels.undo()
    labels.undo()
    wait_for_line(qtbot, outline, results, labels)
    labels.redo()
    wait_for_line(qtbot, outline, results, labels)
    results.editable(labels).unlock(np.ones(SHAPE, bool))
    wait_for_line(qtbot, outline, results, labels)
    assert not outline.layer.data.any()
    labels.undo()
    wait_for_line(qtbot, outline, results, labels)
    assert outline.layer.data.any()


def test_the_line_is_in_nobodys_way(qtbot, outline, results, labels, viewer):
    viewer.layers.selection.active = labels
    labels.mode = "paint"
    labels.paint((20, 20), 3)
    wait_for_line(qtbot, outline, results, labels)
    assert viewer.layers.selection.active is labels
    assert labels.mode == "paint"
    line = outline.layer
    assert line.name == OUTLINE_NAME
    assert viewer.layers.index(line) == viewer.layers.index(labels) + 1
    assert np.allclose(line.data_to_world((7, 9)), labels.data_to_world((7, 9)))
    before = line.data.copy()
    assert not line.editable
    line.undo()  # nobody's step
    assert np.array_equal(line.data, before)


def test_the_line_hides_with_the_labels_and_when_it_is_not_wanted(
    qtbot, outline, results, labels, viewer
):
    labels.paint((20, 20), 3)
    wait_for_line(qtbot, outline, results, labels)
    labels.visible = False
    assert OUTLINE_NAME not in viewer.layers
    labels.paint((40, 40), 3)
    labels.visible = True
    wait_for_line(qtbot, outline, results, labels)
    outline.show(False)
    assert OUTLINE_NAME not in viewer.layers
    labels.paint((50, 60), 3)
    qtbot.wait(150)
    assert OUTLINE_NAME not in viewer.layers
    outline.show(True)
    wait_for_line(qtbot, outline, results, labels)


def test_who_deletes_the_line_does_not_want_it(qtbot, outline, results, labels, viewer):
    labels.paint((20, 20), 3)
    wait_for_line(qtbot, outline, results, labels)
    viewer.layers.remove(OUTLINE_NAME)
    assert not outline.box.isChecked()
    labels.paint((40, 40), 3)
    qtbot.wait(150)
    assert OUTLINE_NAME not in viewer.layers


def test_the_line_goes_with_its_labels(qtbot, outline, results, labels, viewer):
    labels.paint((20, 20), 3)
    wait_for_line(qtbot, outline, results, labels)
    other = results.add_labels(np.zeros(SHAPE, np.uint16), "other")
    outline.follow(results.editable(other))
    assert OUTLINE_NAME not in viewer.layers
    other.paint((30, 30), 2)
    wait_for_line(qtbot, outline, results, other)
    viewer.layers.remove(other)
    assert [layer.name for layer in viewer.layers] == ["tile", "labels"]


def test_many_strokes_at_once_and_a_restored_layer(qtbot, outline, results, labels):
    for i in range(12):
        labels.paint((5 * i, 6 * i), i)
    wait_for_line(qtbot, outline, results, labels)
    touched = np.zeros(SHAPE, bool)
    touched[10:30, 40:70] = True
    results.editable(labels).restore(labels.data.copy(), touched, np.array([4]))
    wait_for_line(qtbot, outline, results, labels)
