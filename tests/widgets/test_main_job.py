"""The main job in a real window with a real mouse: from a file to a stored run and back.

Nothing is faked but the file dialogues: torch trains, the canvas is drawn, buttons are found by
their words and clicked. ``SELFSEG_SCREENSHOTS=FOLDER`` keeps a picture of the window after every
stage, to be looked at.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QAbstractButton, QCheckBox, QFileDialog, QLineEdit
from scipy import ndimage

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.methods.settings import PatchContrastSettings, preset_settings
from napari_selfseg.core.metrics import dice
from napari_selfseg.widgets import background
from napari_selfseg.widgets.dock import SelfSegDock
from napari_selfseg.widgets.image_layers import plane_to_world
from napari_selfseg.widgets.layers import PREVIEW_NAME
from napari_selfseg.widgets.touched_outline import OUTLINE_NAME

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

UM_PER_PX = 0.25
RGB, TRUTH = drawn_he_tile(256, 256, n_nuclei=26, seed=1, um_per_px=UM_PER_PX)
WINDOW = 1380, 940  # px
SOON, LATER = 60_000, 180_000  # ms; for a machine that is busy with other things
LEFT = Qt.MouseButton.LeftButton
# cheap steps without an end: a test says when it is over
ENDLESS = PatchContrastSettings(
    n_steps=100_000, stop_early=False, crop_size=64, batch_size=2, n_draws=10, patch_um=4.0
)


@pytest.fixture(autouse=True)
def own_config(monkeypatch, tmp_path):
    """Remember µm/px in a folder of the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


class Person:
    """Looks at a window and uses mouse and keyboard in it.

    Parameters
    ----------
    viewer : napari.Viewer
        Shown.
    dock : SelfSegDock
        In the viewer.
    qtbot : QtBot
    mouse : Drag
        On the canvas.
    """

    def __init__(self, viewer, dock, qtbot, mouse):
        self.viewer, self.dock, self.qtbot, self.mouse = viewer, dock, qtbot, mouse

    # ---- hands

    def click(self, button):
        """Click a button, or the one that shows these words; scroll to it first."""
        if isinstance(button, str):
            button = self.button(button)
        assert button.isEnabled(), f"'{button.text()}' is off"
        self._scroll_to(button)
        box = QPoint(10, button.height() // 2)  # a wide check box reacts on its box only
        at = box if isinstance(button, QCheckBox) else button.rect().center()
        self.qtbot.mouseClick(button, LEFT, pos=at)

    def type_in(self, field, text):
        """Type into a field in place of what stands there."""
        line = field if isinstance(field, QLineEdit) else field.findChild(QLineEdit)
        self._scroll_to(line)
        self.qtbot.mouseClick(line, LEFT)
        line.selectAll()
        self.qtbot.keyClicks(line, text)
        self.qtbot.keyClick(line, Qt.Key.Key_Return)

    def click_pixel(self, row, column):
        """Click where a pixel of the tile is on the canvas."""
        self.mouse.press(self.at(row, column))
        self.mouse.release()

    def stroke(self, row, column, columns=60):
        """Paint from a pixel of the tile to the right, so many px of the screen."""
        self.mouse.press(self.at(row, column))
        self.mouse.by(columns, 0)
        self.mouse.release()

    def key(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        """Press a key over the canvas."""
        self.qtbot.keyClick(self.mouse.native, key, modifier)

    def undo(self):
        self.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)

    # ---- eyes

    def button(self, words):
        found = [
            button
            for button in self.dock.findChildren(QAbstractButton)
            if button.text().split("\n")[0].strip("▸▾ ") == words and button.isVisible()
        ]
        assert len(found) == 1, f"{len(found)} buttons say '{words}'"
        return found[0]

    def at(self, row, column):
        """Return where a pixel of the image is on the canvas, in px of the screen."""
        world = plane_to_world(self.dock.work.tile_view.layer, (), (row, column))
        camera = self.viewer.camera
        off = (world - np.asarray(camera.center)[-2:]) * camera.zoom
        return self.mouse.middle + QPoint(round(off[1]), round(off[0]))

    def wait_until(self, condition, timeout=SOON):
        self.qtbot.waitUntil(condition, timeout=timeout)

    def labels(self):
        """Return the labels layer that the dock acts on."""
        return self.dock.work.layer_of(self.dock.work.active)

    def settled(self, source="learned"):
        """Wait until the labels are those of the newest wish."""
        self.wait_until(lambda: not self.dock.work.search.is_finding(source))

    def picture(self, name):
        """Keep a picture of the window, if pictures are wanted."""
        folder = os.environ.get("SELFSEG_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.qtbot.wait(300)  # what is being drawn is drawn
            self.viewer.window.screenshot(
                str(Path(folder, f"{name}.png")), canvas_only=False, flash=False
            )

    def _scroll_to(self, widget):
        self.dock.scroll.ensureWidgetVisible(widget)
        self.qtbot.wait(1)


@pytest.fixture
def sit_down(make_napari_viewer, qtbot, drag_on):
    """Return the function that opens a viewer with the dock and seats a person at it."""
    persons = []

    def seated(warm_up=False):
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(*WINDOW)
        dock = docked(viewer, qtbot, warm_up)
        persons.append(Person(viewer, dock, qtbot, drag_on(viewer)))
        return persons[-1]

    yield seated
    qtbot.waitUntil(lambda: not background._going_on, timeout=SOON)
    for person in persons:  # who would keep the viewer alive, as pytest keeps the person
        vars(person).clear()


def docked(viewer, qtbot, warm_up=False):
    """Return a new dock, on the screen."""
    dock = SelfSegDock(viewer, warm_up=warm_up)
    viewer.window.add_dock_widget(dock, name="SelfSeg", area="right")
    qtbot.waitUntil(dock.training_panel.isVisible, timeout=SOON)
    return dock


@pytest.fixture
def tile_file(tmp_path):
    """Return a TIFF of the drawn tile that knows its µm/px."""
    path = tmp_path / "biopsy.tif"
    per_cm = 1e4 / UM_PER_PX
    tifffile.imwrite(path, RGB, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER")
    return path


@pytest.fixture
def dialogues(monkeypatch):
    """Answer the file dialogues with the path last put here."""
    answer = []
    named = staticmethod(lambda *_, **__: (str(answer[-1]), "*" + Path(answer[-1]).suffix))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", named)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", named)
    folder = staticmethod(lambda *_, **__: str(answer[-1]))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", folder)
    return answer


# ---- the main job


def test_the_main_job(sit_down, tile_file, dialogues, tmp_path):
    me = sit_down(warm_up=True)
    me.picture("00-empty")
    open_the_tile(me, tile_file, dialogues)
    take_the_threshold_start(me)
    choose_settings(me)
    train_pause_resume_stop(me)
    choose_the_map(me)
    move_the_sliders(me)
    correct(me)
    kept = save(me, tmp_path, dialogues)
    me.viewer.close()
    open_it_again(sit_down(), tile_file, dialogues, kept)


def open_the_tile(me, tile_file, dialogues):
    assert not me.button("Train").isEnabled()
    dialogues.append(tile_file)
    me.click("Open tile…")
    me.wait_until(lambda: me.dock.work is not None)
    assert "256 × 256 px, RGB, 0.25 µm/px" in me.dock.tile_panel.size.text()
    me.wait_until(lambda: "≤" in me.dock.training_panel.preset_buttons["quick"].text())
    assert me.button("Train").isEnabled()


def take_the_threshold_start(me):
    card = me.dock.result_panel.cards["threshold"]
    me.wait_until(lambda: "threshold" in me.dock.work.candidates)
    assert "Otsu on haematoxylin" in card.line.text()
    me.picture("01-tile-opened")
    me.click(card)
    assert isinstance(me.labels(), Labels)
    assert me.labels().editable
    assert "Otsu on haematoxylin" in me.labels().name
    assert dice(me.labels().data > 0, TRUTH > 0) > 0.6
    me.picture("02-threshold-taken")


def choose_settings(me):
    panel = me.dock.training_panel
    me.click("quick".capitalize())
    assert panel.settings() == preset_settings("quick")
    me.click("Advanced")
    me.type_in(panel.form.widget_of("starts"), "1")
    me.type_in(panel.form.widget_of("n_steps"), "60")
    me.click(panel.form.widget_of("stop_early"))
    me.picture("03-advanced")
    assert panel.settings() == preset_settings("quick", starts=1, n_steps=60, stop_early=False)
    assert "Advanced" in panel.changed_note.text()
    me.click("Advanced")


def train_pause_resume_stop(me):
    panel, progress = me.dock.training_panel, me.dock.training_panel.progress
    me.click("Train")
    me.wait_until(lambda: np.any(me.viewer.layers[PREVIEW_NAME].data))
    me.wait_until(lambda: "entropy" in panel.curves.last_values(), LATER)
    assert not me.labels().visible  # nobody has touched them: the map can be seen
    me.click("Pause")
    assert "Paused" in progress.status.text()
    me.picture("04-paused")
    held_at = progress.bar.value()
    me.click("Resume")
    me.wait_until(lambda: progress.bar.value() > held_at + 2, LATER)
    me.wait_until(lambda: progress.bar.value() >= 30, LATER)
    me.picture("05-training")
    me.click("Stop")
    assert "Stopping" in progress.status.text()
    me.wait_until(lambda: "learned" in me.dock.work.candidates, LATER)
    me.wait_until(lambda: not me.dock.training.is_running)
    assert "You stopped after" in panel.outcome.text()
    assert PREVIEW_NAME not in me.viewer.layers
    assert me.dock.work.result.provenance["labels_used"] == "none"
    me.picture("06-result")


def choose_the_map(me):
    work, panel = me.dock.work, me.dock.result_panel
    if work.active != "learned":  # the threshold may be the one that is recommended
        me.click(panel.cards["learned"])
    assert len(panel.maps.buttons) == 4
    guess = work.search.guess
    assert "guess" in panel.maps.captions[guess].text()
    other = (guess + 1) % 4
    me.click(panel.maps.buttons[other])
    me.settled()
    assert work.result.choice.channel == other
    assert work.result.choice.how == "user"
    before = me.labels().data.copy()
    me.click("Flip")
    me.settled()
    assert not np.array_equal(me.labels().data, before)
    me.picture("07-another-map-flipped")
    me.click("Click a nucleus")
    me.picture("08-waiting-for-a-click")
    largest = 1 + int(np.argmax(np.bincount(TRUTH.ravel())[1:]))
    me.click_pixel(*ndimage.center_of_mass(largest == TRUTH))
    me.wait_until(lambda: work.result.choice.how == "one click")
    me.settled()
    assert panel.labels_used.text() == "Labels used: one click"
    assert dice(me.labels().data > 0, TRUTH > 0) > 0.6
    me.picture("09-nucleus-clicked")
    me.click(panel.maps.label_buttons[other])  # "as labels"
    me.wait_until(lambda: f"SelfSeg map {other + 1}" in me.viewer.layers)
    me.viewer.layers.remove(f"SelfSeg map {other + 1}")
    me.click(panel.cards["learned"])


def move_the_sliders(me):
    sliders = me.dock.result_panel.sliders
    suggested, n_suggested = sliders.settings(), np.count_nonzero(me.labels().data)
    handle = sliders.sliders["threshold"].slider
    me.dock.scroll.ensureWidgetVisible(handle)
    for _ in range(2):
        me.qtbot.keyClick(handle, Qt.Key.Key_PageUp)
    me.settled()
    assert sliders.settings().threshold > suggested.threshold
    assert np.count_nonzero(me.labels().data) < n_suggested
    n_objects = int(me.labels().data.max())
    me.type_in(sliders.sliders["min_area"].number, "40")  # µm²: 640 px, above most nuclei
    me.settled()
    assert 0 < int(me.labels().data.max()) < n_objects
    assert str(int(me.labels().data.max())) in me.dock.result_panel.count.text()
    me.click("Reset")
    me.settled()
    assert sliders.settings() == suggested
    me.click("Mask")
    me.settled()
    assert set(np.unique(me.labels().data)) == {0, 1}
    me.picture("10-mask")
    me.click("Objects")
    me.settled()
    assert int(me.labels().data.max()) > 5


def correct(me):
    layer = me.labels()
    me.viewer.layers.selection.active = layer
    predicted = layer.data.copy()
    row, column = empty_place(predicted)
    me.key(Qt.Key.Key_2)
    assert layer.mode == "paint"
    layer.selected_label = int(predicted.max()) + 1
    layer.brush_size = 6
    me.stroke(row, column)
    assert np.count_nonzero(layer.data == predicted.max() + 1) > 40
    me.undo()
    assert np.array_equal(layer.data, predicted)
    me.stroke(row, column)
    painted = layer.data == predicted.max() + 1
    me.picture("11-painted")
    # a slider leaves what was painted alone
    handle = me.dock.result_panel.sliders.sliders["threshold"].slider
    me.qtbot.keyClick(handle, Qt.Key.Key_PageUp)
    me.settled()
    assert np.all(me.labels().data[painted] == predicted.max() + 1)
    assert np.count_nonzero(me.labels().data) < np.count_nonzero(predicted) + painted.sum()


def save(me, folder, dialogues):
    panel, work = me.dock.export_panel, me.dock.work
    labels, confidence = me.labels().data.copy(), work.candidates["learned"].confidence
    for words, name in (
        ("Labels …", "labels.tif"),
        ("Labels …", "labels.png"),
        ("Confidence …", "confidence.tif"),
        ("Whole run …", "run"),
    ):
        dialogues.append(folder / name)
        me.click(words)
        me.wait_until(lambda name=name: panel.message.text() == f"Saved as {name}.")
    me.picture("12-saved")
    assert np.array_equal(tifffile.imread(folder / "labels.tif"), labels)
    with tifffile.TiffFile(folder / "labels.tif") as file:
        numerator, denominator = file.pages[0].tags["XResolution"].value
    assert denominator / numerator == pytest.approx(UM_PER_PX / 1e4)
    from skimage.io import imread

    assert np.array_equal(imread(folder / "labels.png"), labels)
    stored = tifffile.imread(folder / "confidence.tif")
    assert np.allclose(stored.astype(float), confidence, atol=1 / 255)
    provenance = json.loads((folder / "run" / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["labels_used"] == "one click"
    return {
        "folder": folder / "run",
        "labels": labels,
        "settings": me.dock.training_panel.settings(),
        "curves": work.result.curves,
        "curves shown": me.dock.training_panel.curves.last_values(),
        "weights": weights(work.result.model),
        "choice": work.result.choice,
        "sliders": me.dock.result_panel.sliders.settings(),
    }


def open_it_again(me, tile_file, dialogues, kept):
    dialogues.append(tile_file)
    me.click("Open tile…")
    me.wait_until(lambda: me.dock.work is not None)
    dialogues.append(kept["folder"])
    me.click("Open run …")
    me.wait_until(lambda: me.dock.work.active == "learned")
    work = me.dock.work
    assert np.array_equal(me.labels().data, kept["labels"])
    assert me.labels().editable
    assert me.dock.training_panel.settings() == kept["settings"]
    assert [step.step for step in work.result.curves] == [step.step for step in kept["curves"]]
    assert me.dock.training_panel.curves.last_values() == kept["curves shown"]
    again = weights(work.result.model)
    assert again.keys() == kept["weights"].keys()
    assert all(np.array_equal(again[name], kept["weights"][name]) for name in again)
    assert work.result.choice.channel == kept["choice"].channel
    assert work.result.choice.inverted == kept["choice"].inverted
    assert work.result.provenance["labels_used"] == "one click"
    assert me.dock.result_panel.sliders.settings() == kept["sliders"]
    me.picture("13-opened-again")


def weights(model):
    """Return the weights of a trained model by name."""
    return {name: value.numpy().copy() for name, value in model.network.state_dict().items()}


def empty_place(labels):
    """Return a (row, column) far from every object and from the tile's edge."""
    free = np.pad(labels[20:-20, 20:-60] == 0, 1)
    distance = ndimage.distance_transform_edt(free)
    row, column = np.unravel_index(np.argmax(distance), distance.shape)
    return int(row) + 19, int(column) + 19


# ---- what else people do


@pytest.fixture
def at_work(sit_down):
    """Return a person with a tile open and its threshold labels taken; the training is endless."""
    me = sit_down()
    me.viewer.add_image(
        RGB[:128, :160], name="tile", scale=(UM_PER_PX, UM_PER_PX), units=("um", "um")
    )
    me.wait_until(lambda: me.dock.work is not None and "threshold" in me.dock.work.candidates)
    me.click(me.dock.result_panel.cards["threshold"])
    me.dock.training_panel.form.set_settings(ENDLESS)
    return me


def train(me):
    """Press Train and wait for the first steps."""
    me.click("Train")
    me.wait_until(lambda: me.dock.training_panel.progress.bar.value() > 2, LATER)


def stop(me):
    """Press Stop and wait for the result."""
    me.click("Stop")
    me.wait_until(lambda: not me.dock.training.is_running, LATER)
    me.wait_until(lambda: "learned" in me.dock.work.candidates, LATER)


def n_workers():
    """Return how many trainings go on in this process."""
    return sum(repr(work) == "SelfSeg training" for work in background._going_on)


def test_train_pressed_twice_trains_once(at_work):
    button = at_work.button("Train")
    at_work.qtbot.mouseDClick(button, LEFT)
    at_work.qtbot.mouseClick(button, LEFT)
    at_work.qtbot.mouseClick(button, LEFT)
    assert n_workers() == 1
    stop(at_work)


def test_the_image_goes_away_while_it_trains(at_work):
    train(at_work)
    at_work.viewer.layers.remove("tile")
    stop(at_work)
    assert at_work.labels() in at_work.viewer.layers
    assert at_work.button("Labels …").isEnabled()
    assert not at_work.button("Train").isEnabled()


@pytest.mark.parametrize("what", ["deleted", "renamed"])
def test_labels_deleted_or_renamed_come_with_the_next_slider(at_work, what):
    me, layer = at_work, at_work.labels()
    before = layer.data.copy()
    if what == "deleted":
        me.viewer.layers.remove(layer)
    else:
        layer.name = "nuclei of case 7"
    n_layers = len(me.viewer.layers)
    me.qtbot.keyClick(me.dock.result_panel.sliders.sliders["threshold"].slider, Qt.Key.Key_PageUp)
    me.settled("threshold")
    assert not np.array_equal(me.labels().data, before)
    assert (me.labels() is layer) == (what == "renamed")
    assert len(me.viewer.layers) == n_layers + (what == "deleted")


def test_closing_the_dock_ends_the_training(at_work):
    train(at_work)
    at_work.viewer.window.remove_dock_widget(at_work.dock)
    at_work.wait_until(lambda: n_workers() == 0)
    assert PREVIEW_NAME not in at_work.viewer.layers
    assert "tile" in at_work.viewer.layers


def test_closing_the_viewer_ends_the_training(at_work):
    train(at_work)
    at_work.viewer.close()
    at_work.wait_until(lambda: n_workers() == 0)


def test_two_docks_in_one_viewer_train_side_by_side(at_work):
    me = at_work
    dock = docked(me.viewer, me.qtbot)
    other = Person(me.viewer, dock, me.qtbot, me.mouse)
    other.wait_until(lambda: dock.work is not None)
    dock.training_panel.form.set_settings(ENDLESS)
    train(me)
    train(other)
    assert n_workers() == 2
    stop(me)
    assert other.dock.training.is_running
    stop(other)
    assert me.dock.work.layer_of("learned") is not other.dock.work.layer_of("learned")


def test_undo_while_it_trains_and_a_stroke_when_the_result_arrives(at_work):
    me, layer = at_work, at_work.labels()
    clean = layer.data.copy()
    place = empty_place(clean)
    me.viewer.layers.selection.active = layer
    me.key(Qt.Key.Key_2)
    layer.brush_size = 4
    layer.selected_label = 200
    me.stroke(*place)
    assert (layer.data == 200).any()
    train(me)
    me.undo()
    assert np.array_equal(layer.data, clean)
    me.stroke(*place)
    me.mouse.press(me.at(*place))
    me.mouse.by(0, 30)
    me.click("Stop")
    me.wait_until(lambda: "learned" in me.dock.work.candidates, LATER)
    me.mouse.by(0, 30)
    me.mouse.release()
    assert layer in me.viewer.layers
    assert layer.visible
    assert me.viewer.layers.selection.active is layer
    assert layer.mode == "paint"
    painted = layer.data == 200
    assert np.array_equal(layer.data[~painted], clean[~painted])
    for _ in range(2):  # both strokes, and nothing else
        me.undo()
    assert np.array_equal(layer.data, clean)


def test_what_was_touched_is_seen_and_survives_sliders_and_two_trainings(at_work):
    me = at_work
    train(me)
    stop(me)
    me.click(me.dock.result_panel.cards["learned"])
    layer, editable = me.labels(), me.dock.work.editable()
    nucleus = int(layer.data.max()) // 2
    row, column = (int(c) for c in ndimage.center_of_mass(layer.data == nucleus))
    me.viewer.layers.selection.active = layer
    me.key(Qt.Key.Key_2)
    layer.brush_size, layer.selected_label = 8, nucleus
    clean = layer.data.copy()
    me.stroke(row, column, columns=5)  # inside the nucleus: confirms it, and changes little
    touched = editable.touched()
    assert (touched & (clean == nucleus)).sum() > 30
    seen = layer.data.copy()
    me.wait_until(lambda: OUTLINE_NAME in me.viewer.layers)
    assert me.viewer.layers.selection.active is layer
    assert layer.mode == "paint"
    me.picture("30-touched")
    handle = me.dock.result_panel.sliders.sliders["threshold"].slider
    for _ in range(3):
        me.qtbot.keyClick(handle, Qt.Key.Key_PageUp)
        me.settled()
    slid = layer.data.copy()
    assert not np.array_equal(slid, seen)
    assert np.array_equal(slid[touched], seen[touched])
    me.undo()
    assert np.array_equal(layer.data, seen)
    me.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert np.array_equal(layer.data, slid)
    train(me)
    stop(me)
    assert me.labels() is layer
    assert layer.visible
    assert np.array_equal(layer.data[touched], seen[touched])
    assert np.array_equal(editable.touched(), touched)
    me.picture("31-trained-again")
    me.click("Show what I touched")
    assert OUTLINE_NAME not in me.viewer.layers
    me.click("Show what I touched")
    me.wait_until(lambda: OUTLINE_NAME in me.viewer.layers)
    me.undo()  # sliders and trainings in a row are one step
    assert np.array_equal(layer.data, seen)
    me.undo()
    assert np.array_equal(layer.data, clean)
    assert not editable.is_touched()
    me.wait_until(lambda: not me.viewer.layers[OUTLINE_NAME].data.any())


def test_another_theme_while_it_trains(at_work):
    train(at_work)
    at_work.picture("20-dark")
    colour = at_work.dock.styleSheet()
    at_work.viewer.theme = "light"
    assert at_work.dock.styleSheet() != colour
    at_work.picture("21-light")
    stop(at_work)
    at_work.picture("22-light-result")
