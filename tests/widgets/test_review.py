"""A review in a real window, with real keys and clicks."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels, Shapes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_selfseg.core.editing import Edit
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.widgets import background
from napari_selfseg.widgets.dock import SelfSegDock
from napari_selfseg.widgets.review_view import FRAME_NAME

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

UM_PER_PX = 0.25
RGB, TRUTH = drawn_he_tile(256, 256, n_nuclei=26, seed=1, um_per_px=UM_PER_PX)
SOON = 60_000  # ms; for a machine that is busy with other things
KEYS = {"N": Qt.Key.Key_N, "P": Qt.Key.Key_P, "A": Qt.Key.Key_A, "R": Qt.Key.Key_R}


@pytest.fixture(autouse=True)
def own_config(monkeypatch, tmp_path):
    """Remember µm/px in a folder of the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


class Reviewer:
    """Looks at a window with a review and uses mouse and keyboard in it."""

    def __init__(self, viewer, dock, qtbot, mouse):
        self.viewer, self.dock, self.qtbot, self.mouse = viewer, dock, qtbot, mouse

    @property
    def panel(self):
        return self.dock.review_panel

    @property
    def mine(self):
        return self.dock.reviews.review_work

    @property
    def review(self):
        return self.mine.review

    @property
    def layer(self):
        return self.dock.work.layer_of(self.dock.work.active)

    def click(self, button):
        assert button.isVisible()
        assert button.isEnabled(), button.text()
        self.dock.scroll.ensureWidgetVisible(button)
        self.qtbot.wait(1)
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def key(self, letter):
        self.qtbot.keyClick(self.mouse.native, KEYS[letter])

    def wait_until(self, condition):
        self.qtbot.waitUntil(condition, timeout=SOON)

    def settled(self):
        self.wait_until(lambda: not self.mine.is_looking)

    def start(self):
        self.click(self.panel.start_button)
        self.wait_until(lambda: self.dock.reviews.is_going_on)
        self.settled()

    def go_to(self, kind):
        """Go to the first undecided item of a kind."""
        place = next(
            k
            for k, item in enumerate(self.review.items)
            if item.unit.kind == kind and self.review.decision(item) is None
        )
        self.mine.go_to(place)
        return self.review.current

    def picture(self, name):
        folder = os.environ.get("SELFSEG_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.dock.scroll.ensureWidgetVisible(self.dock.export_panel)
            self.dock.scroll.ensureWidgetVisible(self.dock.review_section)
            self.qtbot.wait(300)
            path = str(Path(folder, f"{name}.png"))
            self.viewer.window.screenshot(path, canvas_only=False, flash=False)


@pytest.fixture
def me(make_napari_viewer, qtbot, drag_on):
    """Return a person with the threshold labels of a drawn tile taken."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1380, 940)
    dock = SelfSegDock(viewer, warm_up=False)
    viewer.window.add_dock_widget(dock, name="SelfSeg", area="right")
    qtbot.waitUntil(dock.training_panel.isVisible, timeout=SOON)
    person = Reviewer(viewer, dock, qtbot, drag_on(viewer))
    viewer.add_image(RGB, name="tile", scale=(UM_PER_PX, UM_PER_PX), units=("um", "um"))
    person.wait_until(lambda: dock.work is not None and "threshold" in dock.work.candidates)
    person.click(dock.result_panel.cards["threshold"])
    yield person
    qtbot.waitUntil(lambda: not background._going_on, timeout=SOON)
    vars(person).clear()


def test_there_is_nothing_to_review_without_labels(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    dock = SelfSegDock(viewer, warm_up=False)
    viewer.window.add_dock_widget(dock, name="SelfSeg", area="right")
    qtbot.waitUntil(dock.review_panel.isVisible, timeout=SOON)
    assert not dock.review_panel.start_button.isEnabled()
    assert "no labels" in dock.review_panel.introduction.text()


def test_keys_go_through_the_queue(me):
    me.start()
    layer, n = me.layer, len(me.review.items)
    assert me.viewer.layers.selection.active is layer
    assert me.panel.place.text() == f"<b>1</b> of {n}"
    assert isinstance(me.viewer.layers[FRAME_NAME], Shapes)
    me.picture("review-1-started")

    first = me.review.current
    centre = np.array(me.viewer.camera.center[-2:])
    me.key("N")
    assert me.review.at == 1
    assert not np.allclose(me.viewer.camera.center[-2:], centre)
    me.key("P")
    assert me.review.current.id == first.id
    assert np.allclose(me.viewer.camera.center[-2:], centre)

    me.go_to("object")
    accepted = me.review.current
    before = layer.data.copy()
    me.key("A")
    assert np.array_equal(layer.data, before)
    own = before == accepted.unit.number
    assert me.mine.editable.touched()[own].all()
    assert me.review.decision(accepted).verdict == "accepted"
    assert me.review.current.id != accepted.id

    rejected = me.go_to("object")
    me.key("R")
    gone = before == rejected.unit.number
    assert not layer.data[gone].any()
    assert np.array_equal(layer.data[~gone], before[~gone])
    assert me.review.decision(rejected).verdict == "rejected"
    me.settled()
    assert me.review.n_decided == 2
    me.picture("review-2-decided")


def test_the_view_shows_an_object_at_a_fifth(me):
    me.start()
    item = me.go_to("object")
    top, left, bottom, right = item.unit.box
    side = max(bottom - top, right - left) * UM_PER_PX
    canvas = min(
        me.viewer.window._qt_viewer.canvas.native.width(),
        me.viewer.window._qt_viewer.canvas.native.height(),
    )
    assert side * me.viewer.camera.zoom == pytest.approx(canvas / 5, rel=0.1)
    middle = np.array([top + bottom - 1, left + right - 1]) / 2 * UM_PER_PX
    assert np.allclose(me.viewer.camera.center[-2:], middle)


def test_an_undone_rejection_is_undecided_again(me):
    me.start()
    item = me.go_to("object")
    me.key("R")
    me.settled()
    assert me.review.decision(item) is not None
    me.layer.undo()
    me.mine.look_soon()
    me.settled()
    assert (me.layer.data == item.unit.number).any()
    assert me.review.decision(item) is None


def test_an_edit_counts_as_fixed(me):
    me.start()
    item = me.go_to("object")
    me.mine.editable.edit(half_away(me.layer.data, item.unit))
    me.wait_until(lambda: me.review.decision(item) is not None)
    assert me.review.decision(item).verdict == "fixed"
    assert "fixed" in me.panel.verdict.text()
    assert me.review.current.id == item.id
    me.key("A")  # as it is now it is right, but it was not
    assert me.review.decision(item).verdict == "fixed"


def half_away(labels, unit):
    """Return the action that erases the upper half of an object."""
    top, left, bottom, right = unit.box
    rows, columns = slice(top, (top + bottom) // 2), slice(left, right)
    mask = labels[rows, columns] == unit.number
    return Edit(rows, columns, mask, np.zeros(mask.shape, labels.dtype))


def test_p_paints_again_after_the_review(me):
    me.start()
    me.layer.mode = "pan_zoom"
    me.key("P")
    assert me.layer.mode == "pan_zoom"
    me.click(me.panel.end_button)
    assert not me.dock.reviews.is_going_on
    assert FRAME_NAME not in me.viewer.layers
    me.viewer.layers.selection.active = me.layer
    me.key("P")
    assert me.layer.mode == "paint"


def test_the_keys_are_those_of_our_layer_only(me):
    other = Labels(np.zeros((8, 8), np.uint8), name="somebody's")
    me.viewer.add_layer(other)
    me.start()
    me.viewer.layers.selection.active = other
    at = me.review.at
    me.key("N")
    assert me.review.at == at
    me.key("P")
    assert other.mode == "paint"


def test_buttons_do_what_the_keys_do(me):
    me.start()
    item = me.go_to("region")
    assert "missing" in me.panel.title.text()
    assert me.panel.missing.isVisible()
    me.picture("review-3-region")
    me.click(me.panel.accept_button)
    assert me.review.decision(item).verdict == "accepted"
    item = me.go_to("region")
    me.panel.missing.setValue(3)
    me.click(me.panel.reject_button)
    assert me.review.decision(item).missing == 3
    me.go_to("object")
    me.click(me.panel.reject_button)
    me.click(me.panel.previous_button)
    me.click(me.panel.next_button)
    assert me.review.n_decided == 3


def test_the_layer_is_deleted_in_the_middle(me):
    me.start()
    me.viewer.layers.remove(me.layer)
    me.wait_until(lambda: "not there any more" in me.panel.message.text())
    assert not me.panel.accept_button.isEnabled()
    me.click(me.panel.end_button)
    me.click(me.dock.result_panel.cards["threshold"])
    me.click(me.panel.start_button)
    me.key("A")
    me.settled()
    assert me.dock.reviews.is_going_on


def test_another_prediction_in_the_middle(me):
    me.start()
    kept = me.go_to("object")
    me.key("A")
    me.settled()
    n_before = len(me.review.items)
    sliders = me.dock.result_panel.sliders
    handle = sliders.sliders["threshold"].slider
    for _ in range(2):
        me.qtbot.keyClick(handle, Qt.Key.Key_PageUp)
    me.wait_until(lambda: not me.dock.work.search.is_finding("threshold"))
    me.wait_until(lambda: me.review.round > 0)
    me.settled()
    assert me.review.decisions[kept.id].verdict == "accepted"
    assert me.review.items[0].id == kept.id
    numbers = {i.unit.number for i in me.review.items if i.unit.kind == "object" and i.round > 0}
    assert numbers == set(np.unique(me.layer.data)) - {0, kept.unit.number}
    assert "have changed" in me.panel.message.text()
    assert len(me.review.items) != n_before or "new" in me.panel.message.text()


def test_everything_is_checked(me, monkeypatch, tmp_path):
    me.start()
    while me.dock.reviews.is_going_on:
        me.key("A")
    me.settled()
    assert me.panel.introduction.text() == "All is checked."
    numbers = me.mine.numbers
    n = len(np.unique(me.layer.data)) - 1
    assert numbers.count.corrected.estimate == numbers.count.raw == n
    assert numbers.count.corrected.low == numbers.count.corrected.high == n
    assert numbers.n_more == 0
    me.picture("review-4-all-checked")
    path = tmp_path / "decisions"
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", staticmethod(lambda *_, **__: (str(path), ""))
    )
    me.click(me.panel.export_button)
    me.wait_until(lambda: "Saved as decisions.csv" in me.panel.message.text())
    with (tmp_path / "decisions.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(me.review.items)
    assert {row["decision"] for row in rows} == {"accepted"}


def test_a_folder_that_is_gone(me, monkeypatch, tmp_path):
    me.start()
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "decisions.csv"
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", staticmethod(lambda *_, **__: (str(path), ""))
    )
    me.click(me.panel.export_button)
    me.wait_until(lambda: "could not be written" in me.panel.message.text())
    assert me.panel.message.property("tone") == "problem"


def test_a_review_is_stored_and_goes_on(me):
    me.start()
    me.key("A")
    me.settled()
    text = me.mine.writer()()
    before = me.review
    me.mine.restore(text)
    me.settled()
    assert me.review.items == before.items
    assert me.review.decisions == before.decisions


def test_numbers_of_a_drawn_region(me):
    me.start()
    for _ in range(12):
        me.key("A")
    field = me.panel.numbers.field
    field.setCurrentIndex(field.findData("shapes"))
    assert "Nothing is drawn" in me.panel.numbers.problem.text()
    me.viewer.add_shapes(
        [np.array([[0, 0], [0, 128], [128, 128], [128, 0]])],
        scale=(UM_PER_PX, UM_PER_PX),
        units=("um", "um"),
    )
    field.setCurrentIndex(field.findData("tile"))
    me.settled()
    whole = me.mine.numbers.count.raw
    field.setCurrentIndex(field.findData("shapes"))
    me.settled()
    assert 0 < me.mine.numbers.count.raw < whole
    field.setCurrentIndex(field.findData("view"))
    me.settled()
    assert me.mine.numbers.count.raw < whole
    me.picture("review-5-view")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_narrow(me, theme):
    me.viewer.theme = theme
    me.start()
    me.go_to("region")
    for _ in range(9):
        me.key("A")
    me.settled()
    dock_widget = me.dock.parentWidget()
    while not hasattr(dock_widget, "setFloating"):
        dock_widget = dock_widget.parentWidget()
    window = me.viewer.window._qt_window
    for width in (372, 340):
        window.resizeDocks([dock_widget], [width], Qt.Orientation.Horizontal)
        me.qtbot.wait(50)
        assert me.panel.minimumSizeHint().width() <= me.dock.scroll.viewport().width() - 16
        me.picture(f"review-6-{theme}-{width}")
