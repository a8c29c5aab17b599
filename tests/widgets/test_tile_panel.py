"""The tile panel follows the viewer, asks for µm/px where needed, and takes regions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from skimage.io import imsave

from napari_selfseg.core.images.tile import TileError
from napari_selfseg.widgets.scale_memory import ScaleMemory
from napari_selfseg.widgets.tile_panel import TilePanel

RGB = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
MICRONS = {"scale": (0.25, 0.25), "units": ("um", "um")}


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def memory(tmp_path):
    return ScaleMemory(tmp_path / "config" / "um_per_px.json")


@pytest.fixture
def panel(qtbot, viewer, memory):
    widget = TilePanel(PublicOnlyProxy(viewer), memory=memory)
    qtbot.addWidget(widget)
    widget.show()
    return widget


def names(panel):
    return [panel.image.itemText(i) for i in range(panel.image.count())]


# ---- which image


def test_without_an_image_it_says_what_to_do(panel):
    assert "open a tile" in panel.size.text()
    assert not panel.problem.isVisible()
    assert panel.other_tiles() == ()
    with pytest.raises(TileError, match="no image yet"):
        panel.tile_view()


def test_the_newest_rgb_image_is_chosen_and_told(panel, viewer, qtbot):
    with qtbot.waitSignal(panel.tile_changed, timeout=1000):
        first = viewer.add_image(RGB, name="first", **MICRONS)
    assert panel.tile_view().layer is first
    assert panel.size.text() == "60 × 80 px, RGB, 0.25 µm/px (15 × 20 µm)"
    viewer.add_image(RGB[..., 0], name="grey")
    assert panel.tile_view().layer is first
    second = viewer.add_image(RGB, name="second")
    assert panel.tile_view().layer is second
    viewer.add_labels(np.zeros((60, 80), int))
    assert names(panel) == ["second", "grey", "first"]


def test_a_choice_stays_through_renaming_reordering_and_removals(panel, viewer):
    layers = [viewer.add_image(RGB, name=name) for name in "abc"]
    panel.choose_layer(layers[0])
    layers[0].name = "renamed"
    viewer.layers.move(0, 3)
    viewer.layers.remove("b")
    assert panel.tile_view().layer is layers[0]
    assert panel.image.currentText() == "renamed"
    viewer.layers.remove(layers[0])
    assert panel.tile_view().layer is layers[2]
    viewer.layers.clear()
    assert names(panel) == ["no image"]


def test_a_new_image_is_not_chosen_while_the_panel_is_disabled(panel, viewer):
    first = viewer.add_image(RGB)
    panel.setEnabled(False)
    viewer.add_image(RGB)
    assert panel.image.images() == (first,)
    assert panel.image.count() == 2


def test_replaced_pixels_are_another_tile_a_moved_image_is_not(panel, viewer, qtbot):
    layer = viewer.add_image(RGB)
    panel.refresh()
    with qtbot.assertNotEmitted(panel.tile_changed, wait=250):
        layer.translate = (5, 5)
    with qtbot.waitSignal(panel.tile_changed, timeout=1000):
        layer.data = RGB[:50].copy()
    assert panel.size.text().startswith("50 × 80")


def test_several_changes_are_told_once(panel, viewer, qtbot):
    told = []
    panel.tile_changed.connect(lambda: told.append(1))
    for _ in range(5):
        viewer.add_image(RGB)
    qtbot.wait(250)
    assert told == [1]


def test_three_grey_images_are_offered_as_rgb(panel, viewer):
    for colour, channel in (("blue", 2), ("green", 1), ("red", 0)):
        viewer.add_image(RGB[..., channel], colormap=colour, name=colour)
    assert "red + green + blue as RGB" in names(panel)
    panel.image.setCurrentIndex(names(panel).index("red + green + blue as RGB"))
    assert np.array_equal(np.asarray(panel.tile_view().tile.pixels), RGB)


def test_what_cannot_be_used_is_said_in_the_panel(panel, viewer):
    viewer.add_image(RGB, rgb=False, name="odd")
    panel.refresh()
    assert "looks like an RGB image" in panel.problem.text()
    assert panel.problem.isVisible()
    viewer.add_image(RGB)
    panel.refresh()
    assert not panel.problem.isVisible()


def test_the_slider_of_a_stack_gives_another_tile(panel, viewer, qtbot):
    viewer.add_image(np.zeros((7, 60, 80), np.uint8))
    panel.refresh()
    with qtbot.waitSignal(panel.tile_changed, timeout=1000):
        viewer.dims.set_current_step(0, 6)
    assert panel.tile_view().plane == (6,)
    assert "6 of 0 to 6" in panel.notes.text()
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: "3-D" in panel.problem.text(), timeout=1000)


# ---- also learn from


def test_other_images_can_be_ticked(panel, viewer):
    assert not panel.others.isVisible()
    viewer.add_image(RGB[:50], name="a", **MICRONS)
    viewer.add_image(RGB, name="b")
    viewer.add_image(RGB, name="c")
    panel.refresh()
    assert panel.others.isVisible()
    assert [panel.others.item(i).text() for i in range(2)] == ["b", "a"]
    panel.others.item(1).setCheckState(Qt.CheckState.Checked)
    assert [tile.shape for tile in panel.other_tiles()] == [(50, 80)]
    viewer.layers["b"].name = "renamed"
    panel.refresh()
    assert len(panel.other_tiles()) == 1
    panel.choose_layer(viewer.layers["a"])  # now it is the one in view
    panel.refresh()
    assert panel.other_tiles() == ()
    assert panel.others.height() < 100


# ---- microns


def test_the_field_is_there_only_where_the_image_does_not_say(panel, viewer):
    viewer.add_image(RGB, **MICRONS)
    panel.refresh()
    assert not panel.scale.isVisible()
    layer = viewer.add_image(RGB)
    panel.refresh()
    assert panel.scale.isVisible()
    assert "unknown" in panel.size.text()
    assert panel.tile_view().tile.um_per_px is None
    panel.scale.spin.setValue(0.5)
    assert panel.tile_view().tile.um_per_px == 0.5
    assert "0.5 µm/px" in panel.size.text()
    layer.scale, layer.units = (0.3, 0.3), ("um", "um")  # it says so now
    assert panel.tile_view().tile.um_per_px == 0.3


def test_stated_microns_are_kept_per_image(panel, viewer):
    first, second = viewer.add_image(RGB), viewer.add_image(RGB)
    panel.refresh()
    panel.scale.spin.setValue(0.5)
    panel.choose_layer(first)
    panel.refresh()
    assert panel.scale.spin.value() == 0
    panel.choose_layer(second)
    panel.refresh()
    assert panel.scale.spin.value() == 0.5
    panel.scale.spin.setValue(0)
    assert panel.tile_view().tile.um_per_px is None


def test_the_answer_is_remembered_for_the_folder(panel, viewer, memory, tmp_path, qtbot):
    for name in ("a.png", "b.png"):
        imsave(tmp_path / name, RGB, check_contrast=False)
    panel.open_tile(tmp_path / "a.png")
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=5000)
    panel.refresh()
    panel.scale.spin.setValue(0.46)

    again = TilePanel(viewer, memory=memory)
    qtbot.addWidget(again)
    again.open_tile(tmp_path / "b.png")
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=5000)
    assert again.tile_view().layer.name == "b"
    assert again.tile_view().tile.um_per_px == 0.46
    again.refresh()
    assert again.scale.spin.value() == 0.46


def test_memory(tmp_path):
    path = tmp_path / "um.json"
    memory = ScaleMemory(path)
    memory.remember(tmp_path, 0.25)
    memory.remember(None, 0.5)
    assert ScaleMemory(path).recall(tmp_path) == 0.25
    assert memory.recall(tmp_path / "other") is None
    memory.remember(tmp_path, None)
    assert memory.recall(tmp_path) is None
    for damaged in ("{", "[1]", json.dumps({str(tmp_path): "wide"})):
        path.write_text(damaged)
        assert memory.recall(tmp_path) is None
    memory.remember(tmp_path, 0.3)
    assert memory.recall(tmp_path) == 0.3
    blocked = ScaleMemory(path / "below a file.json")
    blocked.remember(tmp_path, 0.3)  # cannot be written: nobody is disturbed
    assert blocked.recall(tmp_path) is None


# ---- files


def test_an_unreadable_file_is_one_sentence_and_the_button_comes_back(panel, tmp_path, qtbot):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nno")
    panel.open_tile(broken)
    assert not panel.open_button.isEnabled()
    qtbot.waitUntil(panel.open_button.isEnabled, timeout=5000)
    assert "broken.png" in panel.problem.text()
    assert "Traceback" not in panel.problem.text()


def test_open_tile_asks_for_a_file(panel, viewer, tmp_path, qtbot, monkeypatch):
    imsave(tmp_path / "tile.tif", RGB, check_contrast=False)
    answers = ["", str(tmp_path / "tile.tif")]
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (answers.pop(0), ""))
    qtbot.mouseClick(panel.open_button, Qt.MouseButton.LeftButton)  # cancelled
    assert panel.open_button.isEnabled()
    qtbot.mouseClick(panel.open_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=5000)
    assert np.array_equal(np.asarray(panel.tile_view().tile.pixels), RGB)


# ---- regions


def test_the_visible_view_stays_until_it_is_taken_again(panel, viewer, qtbot):
    viewer.add_image(np.zeros((600, 800, 3), np.uint8))
    viewer.canvas.size = (100, 200)
    viewer.scene.camera.zoom = 1
    viewer.scene.camera.center = (0, 300, 400)
    panel.region.choose("view")
    seen = panel.tile_view()
    assert seen.tile.shape == pytest.approx((100, 200), abs=2)
    viewer.scene.camera.center = (0, 100, 100)
    assert panel.tile_view().rows == seen.rows
    panel.refresh()
    with qtbot.waitSignal(panel.tile_changed, timeout=1000):
        qtbot.mouseClick(panel.region.again_button, Qt.MouseButton.LeftButton)
    assert panel.tile_view().columns.start == pytest.approx(0, abs=1)


def test_a_view_beside_the_image_is_said(panel, viewer):
    viewer.add_image(RGB, name="tile")
    viewer.scene.camera.center = (0, 9000, 9000)
    panel.region.choose("view")
    panel.refresh()
    assert "shows nothing of 'tile'" in panel.problem.text()


def test_choosing_the_rectangle_starts_drawing(panel, viewer, qtbot):
    image = viewer.add_image(RGB, **MICRONS)
    viewer.layers.selection.active = image
    panel.region.choose("rectangle")
    panel.refresh()
    shapes = viewer.layers[-1]
    assert shapes.mode == "add_rectangle"
    assert "Drag" in panel.notes.text()
    assert panel.image.images() == (image,)
    with qtbot.waitSignal(panel.tile_changed, timeout=1000):
        shapes.add_rectangles([[9.5, 19.5], [29.5, 49.5]])
    assert panel.tile_view().tile.shape == (20, 30)
    assert panel.size.text().startswith("20 × 30")
    assert viewer.layers.selection.active is image
    assert shapes.mode == "pan_zoom"
    with qtbot.waitSignal(panel.tile_changed, timeout=1000):
        shapes.data = [[[0, 0], [0, 9], [9, 9], [9, 0]]]
    assert panel.tile_view().tile.shape == (10, 10)
    viewer.layers.remove(shapes)
    panel.refresh()
    assert "no rectangle" in panel.problem.text()


def test_nothing_happens_after_the_panel_is_gone(qtbot, viewer, memory):
    panel = TilePanel(viewer, memory=memory)
    panel.region.choose("rectangle")
    panel.deleteLater()
    qtbot.wait(20)
    viewer.add_image(RGB)
    viewer.dims.ndisplay = 3
    viewer.layers.clear()


def test_it_fits_a_narrow_dock(panel, viewer):
    viewer.add_image(RGB, name="TCGA-AA-0000-01Z-00-DX1 " * 5)
    viewer.add_image(RGB, name="a name without an end " * 5)
    panel.refresh()
    panel.show_problem("A sentence that goes on and on. " * 5)
    assert panel.minimumSizeHint().width() <= 340


# ---- a real window


def test_a_rectangle_drawn_with_the_mouse(make_napari_viewer, qtbot, memory, drag_on):
    viewer = make_napari_viewer(show=True)
    image = viewer.add_image(np.zeros((600, 800, 3), np.uint8), rotate=10, **MICRONS)
    panel = TilePanel(viewer, memory=memory)
    viewer.window.add_dock_widget(panel, name="SelfSeg")
    qtbot.waitExposed(panel)
    qtbot.wait(50)
    panel.region.choose("view")
    whole = panel.tile_view().tile.shape
    assert whole == pytest.approx((600, 800), abs=150)
    panel.region.choose("rectangle")
    drag = drag_on(viewer)
    drag.press()
    drag.by(100, 75)
    with qtbot.waitSignal(panel.tile_changed, timeout=2000):
        drag.release()
    view = panel.tile_view()
    assert view.tile.shape < (300, 400)
    # it starts where the mouse went down: the middle of the canvas
    world = viewer.scene.camera.center[-2:]
    row, column = image.world_to_data(world)
    assert (view.rows.start, view.columns.start) == pytest.approx((row, column), abs=4)
    assert viewer.layers.selection.active is image
