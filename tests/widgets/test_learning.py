"""Learning from corrections in a real window, with real clicks; only the training is faked."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QCheckBox
from tests.widgets.fake_training import (
    RGB,
    TRUTH,
    FakeRefining,
    FakeTraining,
    corrected_truth,
    make_result,
    roomiest,
)

from napari_selfseg.core.changes import changes_between
from napari_selfseg.core.editing import Edit
from napari_selfseg.session import effects
from napari_selfseg.widgets import background, learning_control, training_control
from napari_selfseg.widgets.dock import SelfSegDock
from napari_selfseg.widgets.layers import PREVIEW_NAME
from napari_selfseg.widgets.learning_control import TRAIN_FIRST
from napari_selfseg.widgets.proposal_view import FRAME_NAME, PROPOSAL_NAME
from napari_selfseg.widgets.proposal_work import GONE

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SOON = 20_000  # ms; for a machine that is busy with other things


@pytest.fixture(autouse=True)
def fakes(monkeypatch, tmp_path):
    """Train and learn by fakes; remember choices in a folder of the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(training_control, "TrainingRun", FakeTraining)
    monkeypatch.setattr(learning_control, "RefiningRun", FakeRefining)
    FakeTraining.runs, FakeRefining.runs = [], []
    yield
    for run in (*FakeTraining.runs, *FakeRefining.runs):
        run.abandon()


class Teacher:
    """Corrects labels, and looks at what is learned from it."""

    def __init__(self, viewer, dock, qtbot, mouse):
        self.viewer, self.dock, self.qtbot, self.mouse = viewer, dock, qtbot, mouse
        self.panel = dock.learning_panel
        self.card = self.panel.card

    # ---- hands

    def click(self, button):
        assert button.isVisible(), button.text()
        assert button.isEnabled(), button.text()
        self.dock.scroll.ensureWidgetVisible(button)
        self.qtbot.wait(1)
        is_box = isinstance(button, QCheckBox)
        at = QPoint(10, button.height() // 2) if is_box else button.rect().center()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=at)

    def key(self, letter, modifier):
        self.qtbot.keyClick(self.mouse.native, letter, modifier)

    def undo(self):
        self.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)

    def redo(self):
        ctrl, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
        self.key(Qt.Key.Key_Z, ctrl | shift)

    def paint(self, row, column, value, size=3):
        rows, columns = slice(row, row + size), slice(column, column + size)
        mask = np.ones((size, size), bool)
        self.editable.edit(Edit(rows, columns, mask, np.full(mask.shape, value, np.uint16)))

    def correct(self):
        """Erase a corner of the background and confirm a piece of an object."""
        self.paint(0, 0, 0)
        row, column = inside_object()
        self.paint(row, column, int(self.labels[row, column]))
        self.wait_until(self.panel.learn_button.isEnabled)

    def train(self):
        """Have a result without labels, and look at it."""
        self.work.take_result(make_result(self.work.tile_view.tile))
        self.wait_until(lambda: self.work.is_shown)
        if self.work.active != "learned":
            self.click(self.dock.result_panel.cards["learned"])

    def learn(self):
        """Press the button and wait for what it would change."""
        self.click(self.panel.learn_button)
        self.run.may_end.set()
        self.wait_until(lambda: self.proposal is not None and self.proposal.changes is not None)
        self.settled()

    # ---- eyes

    @property
    def run(self):
        return FakeRefining.runs[-1]

    @property
    def work(self):
        return self.dock.work

    @property
    def editable(self):
        return self.work.editable()

    @property
    def labels(self):
        return self.editable.labels()

    @property
    def proposal(self):
        return self.dock.learning.proposals.shown

    def settled(self):
        self.wait_until(lambda: not self.dock.learning.is_running)
        self.wait_until(lambda: self.proposal is None or not self.proposal.is_looking)
        self.wait_until(lambda: not self.work.search.is_finding("learned"))

    def wait_until(self, condition):
        self.qtbot.waitUntil(condition, timeout=SOON)

    def picture(self, name):
        folder = os.environ.get("SELFSEG_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.dock.scroll.ensureWidgetVisible(self.dock.review_panel)
            self.dock.scroll.ensureWidgetVisible(self.dock.learning_panel)
            self.qtbot.wait(300)
            path = str(Path(folder, f"{name}.png"))
            self.viewer.window.screenshot(path, canvas_only=False, flash=False)


def inside_object():
    """Return the corner of 3 × 3 px inside an object that the corrections leave alone."""
    kept = np.where(corrected_truth() == TRUTH, TRUTH, 0)
    sizes = np.bincount(kept.ravel())
    sizes[0] = 0
    row, column = np.argwhere(kept == sizes.argmax()).mean(axis=0).astype(int)
    return int(row) - 1, int(column) - 1


@pytest.fixture
def sit_down(make_napari_viewer, qtbot, drag_on):
    """Return the function that opens a viewer with the dock and a tile."""
    persons = []

    def seated():
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(1380, 940)
        dock = SelfSegDock(viewer, warm_up=False)
        viewer.window.add_dock_widget(dock, name="SelfSeg", area="right")
        qtbot.waitUntil(dock.training_panel.isVisible, timeout=SOON)
        person = Teacher(viewer, dock, qtbot, drag_on(viewer))
        viewer.add_image(RGB, name="tile")
        person.wait_until(lambda: dock.work is not None and "threshold" in dock.work.candidates)
        persons.append(person)
        return person

    yield seated
    for run in (*FakeTraining.runs, *FakeRefining.runs):
        run.abandon()
    qtbot.wait(350)  # what waits for its turn has begun, and removed layers are deleted
    qtbot.waitUntil(lambda: not background._going_on, timeout=SOON)
    for person in persons:
        vars(person).clear()


@pytest.fixture
def me(sit_down):
    """Return a person who has trained without labels."""
    person = sit_down()
    person.train()
    return person


# ---- the button


def test_the_button_says_what_to_do(sit_down):
    me = sit_down()
    assert not me.panel.isVisible()
    me.click(me.dock.result_panel.cards["threshold"])
    assert me.panel.isVisible()
    assert not me.panel.learn_button.isEnabled()
    assert me.panel.reason.text() == TRAIN_FIRST
    me.train()
    me.wait_until(lambda: "Nothing is painted" in me.panel.reason.text())
    me.paint(0, 0, 0)
    me.wait_until(lambda: "background" in me.panel.reason.text())
    assert not me.panel.learn_button.isEnabled()
    assert "1 correction: 0 px of objects and 9 px of background." in me.panel.taught.text()
    me.paint(*inside_object(), 5)
    me.wait_until(me.panel.learn_button.isEnabled)
    assert not me.panel.reason.isVisible()
    me.undo()
    me.wait_until(lambda: not me.panel.learn_button.isEnabled())


def test_a_training_and_learning_exclude_each_other(me):
    me.correct()
    me.click(me.panel.learn_button)
    assert not me.dock.training_panel.train_button.isEnabled()
    assert "corrections" in me.dock.training_panel.reason.text()
    me.run.may_end.set()
    me.wait_until(me.dock.training_panel.train_button.isEnabled)
    me.click(me.dock.training_panel.train_button)
    assert not me.panel.learn_button.isEnabled()
    assert "training goes on" in me.panel.reason.text()
    assert me.proposal is None
    FakeTraining.runs[-1].stop()
    me.wait_until(lambda: not me.dock.training.is_running)


def test_learning_shows_how_it_goes(me):
    me.correct()
    layer, before = me.editable.layer, me.labels
    me.click(me.panel.learn_button)
    me.wait_until(lambda: PREVIEW_NAME in me.viewer.layers)
    me.wait_until(lambda: "Dice of your strokes 0.8" in me.panel.curves.last_values())
    assert me.panel.progress.isVisible()
    assert me.panel.progress.stop_button.text() == "Cancel"
    assert not me.panel.progress.pause_button.isVisible()
    assert layer.visible
    assert me.viewer.layers.index(PREVIEW_NAME) < me.viewer.layers.index(layer)
    assert me.viewer.layers.selection.active is layer
    me.picture("learning-1-learns")
    assert np.array_equal(me.run.request.strokes.classes > 0, me.editable.touched())
    me.run.may_end.set()
    me.wait_until(lambda: me.proposal is not None and me.proposal.changes is not None)
    assert PREVIEW_NAME not in me.viewer.layers
    assert np.array_equal(me.labels, before)


def test_it_can_be_cancelled(me):
    me.correct()
    before = me.labels
    me.click(me.panel.learn_button)
    me.wait_until(lambda: PREVIEW_NAME in me.viewer.layers)
    me.click(me.panel.progress.stop_button)
    assert me.run.abandoned
    me.settled()
    assert me.proposal is None
    assert not me.card.isVisible()
    assert PREVIEW_NAME not in me.viewer.layers
    assert np.array_equal(me.labels, before)
    assert me.panel.learn_button.isEnabled()


def test_a_failure_is_one_sentence(me):
    me.correct()
    me.click(me.panel.learn_button)
    me.run.error = "There is not enough memory; choose a smaller region."
    me.settled()
    assert me.panel.outcome.text() == "There is not enough memory; choose a smaller region."
    assert me.proposal is None
    assert me.panel.learn_button.isEnabled()


# ---- what it would change


def test_a_proposal_changes_nothing_by_itself(me):
    me.correct()
    before = me.labels
    me.learn()
    assert np.array_equal(me.labels, before)
    counts = me.proposal.changes.counts
    assert min(counts.appear, counts.disappear, counts.change) > 0
    assert me.card.isVisible()
    assert f"{counts.appear}&nbsp;appear" in me.card.counts.text()
    assert "estimate" in me.card.expectation.text()
    lines = me.viewer.layers[PROPOSAL_NAME]
    assert set(np.unique(lines.data)) == {0, 1, 2, 3}
    assert np.allclose(lines.extent.world, me.editable.layer.extent.world)
    assert not lines.editable
    assert me.viewer.layers.selection.active is me.editable.layer
    assert not me.card.elsewhere.isVisible()  # there are no other tiles: nothing is claimed
    me.picture("learning-2-proposal")


def test_accept_all_is_one_step_and_a_version(me):
    me.correct()
    before, touched = me.labels, me.editable.touched()
    me.learn()
    after, result = me.proposal.changes.after, me.proposal.result
    me.click(me.card.all_button)
    assert np.array_equal(me.labels, after)
    assert np.array_equal(me.labels[touched], before[touched])
    assert not me.card.isVisible()
    assert PROPOSAL_NAME not in me.viewer.layers
    assert me.work.result is result
    assert [version.name for version in me.work.versions.all] == ["label-free", "1: 2 corrections"]
    assert me.panel.versions.currentText() == "1: 2 corrections"
    assert me.dock.result_panel.labels_used.text() == "Labels used: your strokes"
    me.picture("learning-3-accepted")
    me.undo()
    assert np.array_equal(me.labels, before)
    me.redo()
    assert np.array_equal(me.labels, after)
    assert np.array_equal(me.editable.touched(), touched)


def test_accepting_one_after_the_other(me):
    me.correct()
    before = me.labels
    me.learn()
    assert me.card.place.text() == "3 changes"
    assert not me.card.one_button.isEnabled()  # none is framed yet
    me.click(me.card.next_button)
    assert me.card.place.text() == "1 of 3"
    me.click(me.card.next_button)
    assert me.card.place.text() == "2 of 3"
    assert FRAME_NAME in me.viewer.layers
    box = me.proposal.changes.box[1]
    middle = (box[:2] + box[2:] - 1) / 2
    assert np.allclose(me.viewer.camera.center[-2:], middle, atol=1)
    me.picture("learning-4-one-change")
    me.click(me.card.previous_button)
    after = me.proposal.changes.after
    firsts = [me.proposal.changes.accepted([0])]
    me.click(me.card.one_button)
    me.settled()
    assert np.array_equal(me.labels, firsts[0])
    assert len(me.proposal.changes) == 2
    assert np.allclose(me.viewer.camera.center[-2:], middle, atol=1)  # on to the next one
    assert me.card.keep_button.isVisible()
    me.click(me.card.one_button)
    me.settled()
    two = me.labels
    assert len(me.proposal.changes) == 1
    me.undo()
    me.settled()
    assert np.array_equal(me.labels, firsts[0])  # two acceptances are two steps
    assert len(me.proposal.changes) == 2
    me.undo()
    me.settled()
    assert np.array_equal(me.labels, before)
    me.redo()
    me.redo()
    me.settled()
    assert np.array_equal(me.labels, two)
    me.click(me.card.one_button)
    me.settled()
    assert me.proposal is None
    assert len(me.work.versions.all) == 2
    assert len(changes_between(me.labels, after)) == 0


def test_done_keeps_the_model_and_leaves_the_rest(me):
    me.correct()
    me.learn()
    one, result = me.proposal.changes.accepted([0]), me.proposal.result
    me.click(me.card.next_button)
    me.click(me.card.one_button)
    me.settled()
    me.click(me.card.keep_button)
    assert me.work.result is result
    assert np.array_equal(me.labels, one)
    assert me.proposal is None


def test_only_what_is_in_view_is_accepted(me):
    me.correct()
    before = me.labels
    me.learn()
    changes = me.proposal.changes
    me.click(me.card.next_button)
    me.viewer.camera.zoom *= 5
    seen = learning_field(me)
    inside = changes.within(seen)
    assert 0 < len(inside) < len(changes)
    me.click(me.card.view_button)
    me.settled()
    assert np.array_equal(me.labels, changes.accepted(inside))
    assert not np.array_equal(me.labels, before)
    me.viewer.camera.center = (-5000, -5000)
    me.click(me.card.view_button)
    assert me.card.message.text() == "Nothing changes in this view."


def learning_field(me):
    from napari_selfseg.widgets.fields import field_mask

    return field_mask(me.viewer, me.work.tile_view, "view")


def test_reject_leaves_everything(me):
    me.correct()
    before, result = me.labels, me.work.result
    me.learn()
    me.click(me.card.reject_button)
    assert np.array_equal(me.labels, before)
    assert me.work.result is result
    assert len(me.work.versions.all) == 1
    assert not me.card.isVisible()
    assert PROPOSAL_NAME not in me.viewer.layers


def test_what_is_painted_meanwhile_is_kept(me):
    me.correct()
    me.click(me.panel.learn_button)
    me.wait_until(lambda: PREVIEW_NAME in me.viewer.layers)
    row, column = np.argwhere(roomiest(np.where(corrected_truth() == TRUTH, TRUTH, 0)))[10]
    me.paint(int(row), int(column), 0, size=4)
    me.run.may_end.set()
    me.wait_until(lambda: me.proposal is not None and me.proposal.changes is not None)
    me.settled()
    touched, before = me.editable.touched(), me.labels
    me.paint(20, 0, 99)
    me.click(me.card.all_button)
    me.wait_until(lambda: me.proposal is None)
    assert np.array_equal(me.labels[touched], before[touched])
    assert (me.labels[20:23, 0:3] == 99).all()
    me.wait_until(lambda: "4 corrections" in me.panel.taught.text())
    me.click(me.panel.learn_button)
    assert (me.run.request.strokes.classes[20:23, 0:3] == 2).all()
    assert me.run.request.start is me.work.result


def test_the_layer_is_deleted_while_it_learns(me):
    me.correct()
    me.click(me.panel.learn_button)
    me.viewer.layers.remove(me.editable.layer)
    assert not me.dock.learning.proposals.shown
    me.run.may_end.set()
    me.wait_until(lambda: me.proposal is not None)
    me.wait_until(lambda: me.card.message.text() == GONE)
    assert not me.panel.learn_button.isEnabled()
    me.click(me.dock.result_panel.cards["learned"])
    me.wait_until(lambda: me.proposal.changes is not None)
    me.settled()
    me.click(me.card.all_button)
    assert len(me.work.versions.all) == 2


def test_the_result_belongs_to_its_tile(me):
    me.correct()
    first = me.work
    me.click(me.panel.learn_button)
    me.viewer.add_image(RGB[:, ::-1].copy(), name="another")
    me.wait_until(lambda: me.work is not None and me.work is not first)
    me.run.may_end.set()
    me.wait_until(lambda: not me.dock.learning.is_running)
    assert me.proposal is None
    assert not me.card.isVisible()
    assert PROPOSAL_NAME not in me.viewer.layers
    me.dock.tile_panel.choose_layer(me.viewer.layers["tile"])
    me.wait_until(lambda: me.work is first)
    me.wait_until(lambda: me.proposal is not None and me.proposal.changes is not None)
    assert me.card.isVisible()
    assert PROPOSAL_NAME in me.viewer.layers


def test_the_outlines_can_be_deleted(me):
    me.correct()
    me.learn()
    me.viewer.layers.remove(PROPOSAL_NAME)
    me.paint(20, 0, 0)
    me.settled()
    assert PROPOSAL_NAME not in me.viewer.layers
    me.click(me.card.next_button)
    assert PROPOSAL_NAME in me.viewer.layers


def test_closing_the_dock_while_it_learns(me):
    me.correct()
    me.click(me.panel.learn_button)
    me.wait_until(lambda: PREVIEW_NAME in me.viewer.layers)
    run = me.run
    me.viewer.window.remove_dock_widget(me.dock)
    me.wait_until(run.has_ended.is_set)
    assert run.abandoned


def test_other_tiles_are_looked_at(me, monkeypatch):
    """What two models draw of an unlabelled image, one after the other."""
    drawn = []

    def drawn_by(result, tile, should_stop):
        drawn.append(tile.name)
        labels = TRUTH if result is me.work.result else corrected_truth()
        return effects.Drawn(labels, (labels > 0).astype(float), None)

    monkeypatch.setattr(effects, "_drawn_by", drawn_by)
    me.viewer.add_image(RGB, name="other")
    me.dock.tile_panel.choose_layer(me.viewer.layers["tile"])
    me.wait_until(lambda: me.dock.tile_panel.others.count() == 1)
    me.dock.tile_panel.others.item(0).setCheckState(Qt.CheckState.Checked)
    me.wait_until(lambda: me.work.is_shown)
    me.correct()
    me.learn()
    assert [tile.name for tile in me.run.request.others] == ["other"]
    me.wait_until(lambda: "On other:" in me.card.elsewhere.text())
    assert "1&nbsp;disappears" in me.card.elsewhere.text()
    me.wait_until(lambda: not me.card.stop_link.isVisible())
    assert drawn == ["other", "other"]
    me.picture("learning-5-other-tiles")


def test_a_proposal_goes_with_the_model_it_came_from(me):
    me.correct()
    me.learn()
    stored = replace(make_result(me.work.tile_view.tile), model=object())
    me.work.take_result(stored)
    me.settled()
    me.wait_until(lambda: me.proposal is None)
    assert not me.card.isVisible()
    assert me.work.versions.current.result is stored


# ---- labels of the threshold


def test_corrected_threshold_labels_become_the_learned_ones(sit_down):
    me = sit_down()
    me.click(me.dock.result_panel.cards["threshold"])
    me.paint(0, 0, 0)
    me.paint(*inside_object(), 3)
    layer = me.editable.layer
    me.work.take_result(make_result(me.work.tile_view.tile))
    me.wait_until(lambda: me.work.is_shown)
    assert me.work.active == "threshold"  # somebody is working on it
    me.wait_until(me.panel.learn_button.isEnabled)
    touched, before = me.editable.touched(), me.labels
    me.learn()
    me.click(me.card.all_button)
    assert me.work.active == "learned"
    assert me.editable.layer is layer
    assert np.array_equal(me.labels[touched], before[touched])
    me.undo()
    assert np.array_equal(me.labels, before)


# ---- by itself


def test_it_learns_by_itself_after_a_pause(me):
    me.dock.learning._pause.setInterval(50)
    me.correct()
    me.qtbot.wait(200)
    assert not FakeRefining.runs  # it was not asked to
    me.click(me.panel.by_itself)
    me.wait_until(lambda: len(FakeRefining.runs) == 1)
    me.run.may_end.set()
    me.wait_until(lambda: me.proposal is not None and me.proposal.changes is not None)
    me.settled()
    me.qtbot.wait(300)
    assert len(FakeRefining.runs) == 1  # there is nothing new to learn
    me.paint(20, 0, 0)
    me.wait_until(lambda: len(FakeRefining.runs) == 2)
    assert me.proposal is None  # the new round knows more
    me.run.may_end.set()
    me.settled()


def test_it_never_begins_during_a_stroke(me):
    me.dock.learning._pause.setInterval(50)
    me.correct()
    me.click(me.panel.by_itself)
    with me.editable.layer.block_history():
        me.qtbot.wait(300)
        assert not FakeRefining.runs
    me.wait_until(lambda: len(FakeRefining.runs) == 1)
    me.click(me.panel.progress.stop_button)
    me.settled()
    me.qtbot.wait(300)
    assert len(FakeRefining.runs) == 1  # what was cancelled is not begun again


def test_by_itself_is_remembered(sit_down):
    me = sit_down()
    assert not me.panel.by_itself.isChecked()
    me.click(me.dock.result_panel.cards["threshold"])
    me.click(me.panel.by_itself)
    assert sit_down().panel.by_itself.isChecked()


# ---- versions


def test_versions_can_be_rolled_back(me):
    start = me.work.result
    me.correct()
    before, touched = me.labels, me.editable.touched()
    me.learn()
    me.click(me.card.all_button)
    refined, result = me.labels, me.work.result
    choose_version(me, 0)
    assert me.work.result is start
    assert me.panel.versions.currentText() == "label-free"
    assert np.array_equal(me.labels > 0, before > 0)
    assert np.array_equal(me.labels[touched], before[touched])
    me.undo()
    assert np.array_equal(me.labels, refined)
    me.redo()
    choose_version(me, 1)
    assert me.work.result is result
    assert np.array_equal(me.labels > 0, refined > 0)
    me.undo()
    assert np.array_equal(me.labels > 0, before > 0)  # two roll-backs are two steps
    choose_version(me, 0)
    me.click(me.panel.learn_button)
    assert me.run.request.start is start
    me.run.may_end.set()
    me.wait_until(lambda: me.proposal is not None and me.proposal.changes is not None)
    me.settled()
    me.click(me.card.all_button)
    names = [version.name for version in me.work.versions.all]
    assert names == ["label-free", "1: 2 corrections", "2: 2 corrections"]
    me.picture("learning-6-versions")


def choose_version(me, place):
    box = me.panel.versions
    me.dock.scroll.ensureWidgetVisible(box)
    box.setFocus()
    key = Qt.Key.Key_Up if place < box.currentIndex() else Qt.Key.Key_Down
    while box.currentIndex() != place:
        me.qtbot.keyClick(box, key)
    me.settled()
    me.qtbot.wait(1)


def test_another_map_belongs_to_its_version(me):
    choice = me.work.result.choice
    me.work.choose(replace(choice, inverted=True, how="user"))
    me.settled()
    assert me.work.versions.current.result.choice.inverted
    assert me.work.versions.current.name == "label-free"
