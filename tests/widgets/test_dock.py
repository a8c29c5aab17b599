"""The dock as a person uses it: a tile, a threshold at once, Train, another map, save."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QApplication
from tests.widgets import fake_training
from tests.widgets.fake_training import (
    COLUMNS,
    OBJECT,
    RGB,
    ROWS,
    TRUTH,
    FakeTraining,
    refined,
)

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.instances import label_image
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.session import warmup
from napari_selfseg.widgets import background, candidate, candidate_search, training_control
from napari_selfseg.widgets import dock as dock_module
from napari_selfseg.widgets.dock import SelfSegDock
from napari_selfseg.widgets.layers import PREVIEW_NAME, visible_field
from napari_selfseg.widgets.shown_maps import DOUBT_NAME

THRESHOLD_NAME = "SelfSeg threshold (Otsu on haematoxylin)"
SECONDS = 15_000  # ms; how long a test waits for background work on a busy machine


@pytest.fixture
def runs(monkeypatch):
    """The trainings the dock has started; none of them learns."""
    FakeTraining.runs = []
    monkeypatch.setattr(training_control, "TrainingRun", FakeTraining)
    yield FakeTraining.runs
    for run in FakeTraining.runs:
        run.abandon()
        assert run.has_ended.wait(5)


@pytest.fixture(autouse=True)
def nothing_goes_on(qtbot):
    """Every worker has ended when a test is over."""
    yield
    qtbot.waitUntil(lambda: not background._going_on, timeout=SECONDS)


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(RGB, name="tile")
    return viewer


@pytest.fixture
def dock(qtbot, viewer, runs):
    return make_dock(qtbot, viewer)


def make_dock(qtbot, viewer):
    widget = SelfSegDock(viewer, warm_up=False)
    qtbot.addWidget(widget)
    widget.resize(372, 950)
    widget.show()
    return widget


def click(qtbot, widget):
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def wait_for_threshold(qtbot, dock):
    qtbot.waitUntil(lambda: "threshold" in dock.work.candidates, timeout=SECONDS)


def train(qtbot, dock, runs):
    """Press Train, let the training end, wait for the labels."""
    before = len(runs)
    click(qtbot, dock.training_panel.train_button)
    assert len(runs) == before + 1
    runs[-1].may_end.set()
    qtbot.waitUntil(lambda: not dock.training.is_running, timeout=SECONDS)
    qtbot.waitUntil(lambda: "learned" in dock.work.candidates, timeout=SECONDS)


def settle(qtbot, dock, source="learned"):
    """Wait until the labels are those of the newest wish."""
    qtbot.waitUntil(lambda: not dock.work.search.is_finding(source), timeout=SECONDS)


def names(viewer):
    return [layer.name for layer in viewer.layers]


def overlap(labels):
    """Return the Dice coefficient with the drawn nuclei."""
    found, true = np.asarray(labels) > 0, TRUTH > 0
    return 2 * np.count_nonzero(found & true) / (found.sum() + true.sum())


# ---- the threshold at once


def test_a_tile_offers_the_threshold_and_a_click_gives_editable_labels(qtbot, dock, viewer):
    wait_for_threshold(qtbot, dock)
    assert names(viewer) == ["tile"]  # offered, not pressed upon
    assert "Otsu on haematoxylin" in dock.result_panel.cards["threshold"].line.text()
    click(qtbot, dock.result_panel.cards["threshold"])
    assert names(viewer) == ["tile", THRESHOLD_NAME]
    layer = viewer.layers[THRESHOLD_NAME]
    assert layer.editable
    assert viewer.layers.selection.active is layer
    assert overlap(layer.data) > 0.8
    assert f"{layer.data.max()} objects" in dock.result_panel.count.text()


def test_a_second_click_makes_no_second_layer(qtbot, dock, viewer):
    wait_for_threshold(qtbot, dock)
    click(qtbot, dock.result_panel.cards["threshold"])
    click(qtbot, dock.result_panel.cards["threshold"])
    assert names(viewer) == ["tile", THRESHOLD_NAME]
    viewer.layers.remove(THRESHOLD_NAME)
    click(qtbot, dock.result_panel.cards["threshold"])  # deleted, wanted again
    assert names(viewer) == ["tile", THRESHOLD_NAME]


def test_another_tile_has_its_own_threshold_and_the_first_comes_back(qtbot, dock, viewer):
    wait_for_threshold(qtbot, dock)
    click(qtbot, dock.result_panel.cards["threshold"])
    first = dock.work
    second = viewer.add_image(RGB[:100, :100], name="second")
    qtbot.waitUntil(lambda: dock.work is not first, timeout=SECONDS)
    assert dock.work.tile_view.layer is second
    assert not dock.result_panel.labels_part.isVisible()
    dock.tile_panel.choose_layer(first.tile_view.layer)
    qtbot.waitUntil(lambda: dock.work is first, timeout=SECONDS)
    assert dock.result_panel.cards["threshold"].isChecked()


def test_without_a_tile_train_is_off_and_says_why(qtbot, runs):
    dock = make_dock(qtbot, ViewerModel())
    assert not dock.training_panel.train_button.isEnabled()
    assert "open a tile" in dock.training_panel.reason.text()
    assert not dock.result_panel.cards["threshold"].isEnabled()


def test_in_3d_it_says_what_to_do(qtbot, dock, viewer):
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: not dock.training_panel.train_button.isEnabled(), timeout=SECONDS)
    assert "2-D" in dock.training_panel.reason.text()
    viewer.dims.ndisplay = 2
    qtbot.waitUntil(dock.training_panel.train_button.isEnabled, timeout=SECONDS)


# ---- training


def test_train_hands_over_the_tile_the_settings_and_other_tiles(qtbot, dock, viewer, runs):
    other = viewer.add_image(RGB[:, :120], name="other")
    dock.tile_panel.choose_layer(viewer.layers["tile"])
    qtbot.waitUntil(lambda: dock.tile_panel.others.count() == 1, timeout=SECONDS)
    dock.tile_panel.others.item(0).setCheckState(Qt.CheckState.Checked)
    click(qtbot, dock.training_panel.preset_buttons["quick"])
    click(qtbot, dock.training_panel.train_button)
    request = runs[0].request
    assert [tile.name for tile in request.tiles] == ["tile", other.name]
    assert request.settings == dock.training_panel.settings()
    assert request.method == "patch-contrast"


def test_while_it_trains_the_map_is_seen_and_followed(qtbot, dock, viewer, runs):
    click(qtbot, dock.training_panel.train_button)
    qtbot.waitUntil(lambda: dock.training_panel.progress.bar.value() == 1, timeout=SECONDS)
    preview = viewer.layers[PREVIEW_NAME]
    qtbot.waitUntil(lambda: bool(preview.data.any()), timeout=SECONDS)
    assert (preview.data[10:30, :30] == 200).all()
    seen = len(runs[0].fields)
    viewer.scene.camera.zoom *= 3
    viewer.scene.camera.center = (0, 40, 40)
    qtbot.waitUntil(lambda: len(runs[0].fields) > seen, timeout=SECONDS)
    rows, columns = runs[0].fields[-1]
    assert 0 <= rows.start < rows.stop <= ROWS
    assert 0 <= columns.start < columns.stop <= COLUMNS
    assert not dock.tile_panel.isEnabled()


def test_the_end_brings_confidence_labels_and_advice(qtbot, dock, viewer, runs):
    train(qtbot, dock, runs)
    assert {"tile", "SelfSeg confidence", "SelfSeg labels"} <= set(names(viewer))
    assert PREVIEW_NAME not in names(viewer)
    labels = viewer.layers["SelfSeg labels"]
    shown = dock.work.layer_of(dock.work.search.recommended)
    assert [layer for layer in viewer.layers if layer.visible] == [viewer.layers["tile"], shown]
    assert overlap(labels.data) > 0.8
    assert not viewer.layers["SelfSeg confidence"].visible
    assert "step 3" in dock.training_panel.outcome.text()
    assert dock.work.search.recommended in ("learned", "threshold")
    badges = [dock.result_panel.cards[s].badge.isVisible() for s in ("learned", "threshold")]
    assert sorted(badges) == [False, True]
    assert "explain" in dock.result_panel.advice.text()
    assert "Labels used: none" in dock.result_panel.labels_used.text()
    assert dock.tile_panel.isEnabled()


def test_both_results_are_one_click_away(qtbot, dock, viewer, runs):
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["threshold"])
    assert viewer.layers[THRESHOLD_NAME].visible
    assert not viewer.layers["SelfSeg labels"].visible
    click(qtbot, dock.result_panel.cards["learned"])
    assert not viewer.layers[THRESHOLD_NAME].visible
    assert viewer.layers["SelfSeg labels"].visible
    assert dock.result_panel.maps_part.isVisible()


def test_a_result_does_not_disturb_corrections_that_are_going_on(qtbot, dock, viewer, runs):
    wait_for_threshold(qtbot, dock)
    click(qtbot, dock.result_panel.cards["threshold"])
    layer = viewer.layers[THRESHOLD_NAME]
    layer.mode = "paint"
    layer.brush_size = 9
    layer.paint((5, 5), 500)
    painted = np.array(layer.data)
    train(qtbot, dock, runs)
    assert np.array_equal(layer.data, painted)
    assert layer.visible
    assert viewer.layers.selection.active is layer
    assert str(layer.mode) == "paint"
    assert not viewer.layers["SelfSeg labels"].visible  # it waits
    click(qtbot, dock.result_panel.cards["learned"])
    assert viewer.layers["SelfSeg labels"].visible
    assert not layer.visible


def test_stop_is_heard_at_once_and_keeps_a_result(qtbot, dock, runs):
    click(qtbot, dock.training_panel.train_button)
    qtbot.waitUntil(lambda: dock.training_panel.progress.bar.value() == 1, timeout=SECONDS)
    click(qtbot, dock.training_panel.progress.stop_button)
    assert dock.training_panel.progress.stop_button.text() == "Stopping …"
    assert runs[0].stopping
    qtbot.waitUntil(lambda: "learned" in dock.work.candidates, timeout=SECONDS)
    assert dock.training_panel.outcome.text().startswith("You stopped after 2 steps.")


def test_pause_and_resume_reach_the_run(qtbot, dock, runs):
    click(qtbot, dock.training_panel.train_button)
    click(qtbot, dock.training_panel.progress.pause_button)
    assert runs[0].paused
    click(qtbot, dock.training_panel.progress.pause_button)
    assert not runs[0].paused


def test_train_pressed_twice_starts_one_training(qtbot, dock, runs):
    dock.training_panel.train_button.click()
    dock.training_panel.train_button.click()
    dock._train()
    assert len(runs) == 1


def test_a_training_that_fails_says_why_and_leaves_the_labels(qtbot, dock, viewer, runs):
    wait_for_threshold(qtbot, dock)
    click(qtbot, dock.result_panel.cards["threshold"])
    click(qtbot, dock.training_panel.train_button)
    assert not viewer.layers[THRESHOLD_NAME].visible  # it makes way for the live map
    runs[0].error = "There is not enough memory; choose a smaller region."
    qtbot.waitUntil(lambda: not dock.training.is_running, timeout=SECONDS)
    assert dock.training_panel.outcome.text() == runs[0].error
    assert names(viewer) == ["tile", THRESHOLD_NAME]
    assert viewer.layers[THRESHOLD_NAME].visible
    assert dock.training_panel.train_button.isEnabled()


def test_a_second_training_gets_a_new_layer_and_keeps_the_first_one(qtbot, dock, viewer, runs):
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["learned"])
    first = viewer.layers["SelfSeg labels"]
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["learned"])
    learned = dock.work.layer_of("learned")
    assert learned is not first
    assert learned.visible
    assert first in viewer.layers
    assert not first.visible


def test_a_second_training_goes_on_with_labels_a_person_has_corrected(qtbot, dock, viewer, runs):
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["learned"])
    layer = viewer.layers["SelfSeg labels"]
    suggested = dock.work.candidates["learned"].settings  # what the next training comes back to
    dock.work.set_label_settings(suggested.model_copy(update={"min_area": 400}))
    qtbot.waitUntil(lambda: not dock.work.search.is_finding("learned"), timeout=SECONDS)
    layer.brush_size = 9
    layer.paint((20, 20), 99)
    touched = dock.work.editable("learned").touched()
    before = layer.data.copy()
    train(qtbot, dock, runs)
    assert dock.work.layer_of("learned") is layer
    assert dock.work.active == "learned"
    assert layer.visible
    after = layer.data.copy()
    predicted = dock.work.candidates["learned"].labels
    assert np.array_equal((after > 0)[~touched], (predicted > 0)[~touched])
    assert (after[touched] == 99).all()
    assert np.array_equal(dock.work.editable("learned").touched(), touched)
    layer.undo()
    assert np.array_equal(layer.data, before)
    layer.redo()
    assert np.array_equal(layer.data, after)


def test_corrected_labels_that_are_not_looked_at_are_gone_on_with_too(qtbot, dock, viewer, runs):
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["learned"])
    layer = viewer.layers["SelfSeg labels"]
    layer.paint((20, 20), 99)
    click(qtbot, dock.result_panel.cards["threshold"])
    viewer.layers[THRESHOLD_NAME].paint((30, 30), 98)
    train(qtbot, dock, runs)
    assert dock.work.layer_of("learned") is layer
    assert layer.data[20, 20] == 99
    assert dock.work.active == "threshold"
    assert not layer.visible
    assert viewer.layers[THRESHOLD_NAME].visible


@pytest.mark.parametrize("what", ["renamed", "deleted", "image deleted"])
def test_layers_that_change_while_it_trains(qtbot, dock, viewer, runs, what):
    wait_for_threshold(qtbot, dock)
    click(qtbot, dock.result_panel.cards["threshold"])
    click(qtbot, dock.training_panel.train_button)
    qtbot.waitUntil(lambda: dock.training_panel.progress.bar.value() == 1, timeout=SECONDS)
    if what == "renamed":
        viewer.layers["tile"].name = viewer.layers[THRESHOLD_NAME].name = "mine"
    elif what == "deleted":
        viewer.layers.remove(THRESHOLD_NAME)
        viewer.layers.remove(PREVIEW_NAME)
    else:
        viewer.layers.remove("tile")
    runs[0].may_end.set()
    qtbot.waitUntil(lambda: "SelfSeg labels" in names(viewer), timeout=SECONDS)
    assert overlap(viewer.layers["SelfSeg labels"].data) > 0.8
    assert dock.result_panel.cards["learned"].isEnabled()
    assert PREVIEW_NAME not in names(viewer)


def test_two_docks_train_side_by_side(qtbot, viewer, runs):
    docks = [make_dock(qtbot, viewer) for _ in range(2)]
    for dock in docks:
        click(qtbot, dock.training_panel.train_button)
    assert len(runs) == 2
    click(qtbot, docks[0].training_panel.progress.stop_button)
    qtbot.waitUntil(lambda: not docks[0].training.is_running, timeout=SECONDS)
    assert docks[1].training.is_running
    assert not runs[1].stopping


# ---- the result


def test_sliders_change_the_labels_without_the_network(qtbot, dock, viewer, runs):
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["learned"])
    layer = viewer.layers["SelfSeg labels"]
    n_before = layer.data.max()
    sliders = dock.result_panel.sliders
    sliders.sliders["min_area"].number.setValue(400)
    for threshold in (0.2, 0.3, 0.55):  # of a fast drag only the last one counts
        sliders.sliders["threshold"].number.setValue(threshold)
    settle(qtbot, dock)
    candidate = dock.work.candidates["learned"]
    assert candidate.settings.threshold == pytest.approx(0.55)
    assert candidate.settings.min_area == 400
    assert np.array_equal(layer.data, candidate.labels)
    assert 0 < layer.data.max() < n_before
    assert np.bincount(layer.data.ravel())[1:].min() >= 400
    click(qtbot, sliders.reset_button)
    settle(qtbot, dock)
    assert layer.data.max() == n_before
    assert sliders.sliders["min_area"].value() == candidate.suggested.min_area


@pytest.fixture
def large_tiles(monkeypatch):
    """Every tile counts as a large one, whose labels take long."""
    monkeypatch.setattr(candidate_search, "SOON_LABELLED", 0)
    may_label = threading.Event()

    def slowly(*arguments):
        assert may_label.wait(5)
        return label_image(*arguments)

    monkeypatch.setattr(candidate, "label_image", slowly)
    yield may_label
    may_label.set()


def test_in_a_large_tile_what_is_looked_at_follows_the_sliders_first(
    qtbot, dock, viewer, runs, large_tiles
):
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["learned"])
    layer = viewer.layers["SelfSeg labels"]
    before = layer.data.copy()
    part = visible_field(viewer, dock.work.tile_view)
    arrived = []
    dock.work.search.arrived.connect(arrived.append)
    dock.result_panel.sliders.sliders["threshold"].number.setValue(0.3)
    dock.result_panel.sliders.sliders["threshold"].number.setValue(0.8)
    qtbot.waitUntil(lambda: not np.array_equal(layer.data, before), timeout=SECONDS)
    confidence = dock.work.candidates["learned"].confidence
    settings = dock.work.candidates["learned"].settings
    wanted = label_image(confidence, settings)
    assert np.array_equal(layer.data[part] > 0, wanted[part] > 0)
    assert np.array_equal(dock.work.labels_of("learned"), before)  # what would be saved
    large_tiles.set()
    settle(qtbot, dock)
    assert np.array_equal(layer.data, wanted)
    assert np.array_equal(dock.work.labels_of("learned"), wanted)
    assert arrived == ["learned"]  # the older labels would have come over the newer glimpse


def test_the_tile_is_kept_only_while_all_that_is_known_of_it_is_the_same(dock):
    work = dock.work
    first = work.tile_view.tile
    work.set_view(dock.tile_panel.tile_view())
    assert work.tile_view.tile is first  # and its stain with it
    renamed = replace(work.tile_view, tile=replace(first, name="another name"))
    work.set_view(renamed)
    assert work.tile_view.tile is renamed.tile


def test_labels_that_cannot_be_made_take_their_glimpse_back(
    qtbot, dock, viewer, runs, large_tiles, monkeypatch
):
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["learned"])
    layer = viewer.layers["SelfSeg labels"]
    before = layer.data.copy()

    def fails(*_):
        assert large_tiles.wait(5)
        raise MemoryError("The memory is full.")

    monkeypatch.setattr(candidate, "label_image", fails)
    dock.result_panel.sliders.sliders["threshold"].number.setValue(0.8)
    qtbot.waitUntil(lambda: not np.array_equal(layer.data, before), timeout=SECONDS)
    large_tiles.set()
    settle(qtbot, dock)
    assert np.array_equal(layer.data, before)
    assert "memory is full" in dock.result_panel.problem.text()


def test_a_mask_has_one_number(qtbot, dock, viewer, runs):
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["learned"])
    settle(qtbot, dock)
    click(qtbot, dock.result_panel.sliders.mask_button)
    settle(qtbot, dock)
    assert set(np.unique(dock.work.layer_of("learned").data)) == {0, 1}
    assert "% of the tile" in dock.result_panel.count.text()


def test_another_map_and_the_other_polarity(qtbot, dock, viewer, runs):
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["learned"])
    right = np.array(viewer.layers["SelfSeg labels"].data)
    click(qtbot, dock.result_panel.maps.buttons[2])  # the same nuclei, dark
    settle(qtbot, dock)
    choice = dock.work.result.choice
    assert (choice.channel, choice.inverted, choice.how) == (2, True, "user")
    assert overlap(viewer.layers["SelfSeg labels"].data) > 0.8
    assert "guess" in dock.result_panel.maps.captions[OBJECT].text()
    click(qtbot, dock.result_panel.flip_button)
    settle(qtbot, dock)
    assert not dock.work.result.choice.inverted
    assert overlap(viewer.layers["SelfSeg labels"].data) < 0.6
    assert not np.array_equal(viewer.layers["SelfSeg labels"].data, right)
    assert "Labels used: none" in dock.result_panel.labels_used.text()


def test_a_slider_moved_while_another_map_is_on_its_way_loses_neither(qtbot, dock, viewer, runs):
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["learned"])
    dock.result_panel.sliders.sliders["threshold"].number.setValue(0.31)  # is being done
    click(qtbot, dock.result_panel.maps.buttons[2])  # waits
    dock.result_panel.sliders.sliders["threshold"].number.setValue(0.62)  # in its place
    settle(qtbot, dock)
    candidate = dock.work.candidates["learned"]
    assert candidate.choice.channel == 2
    assert candidate.settings.threshold == pytest.approx(0.62)


def test_any_map_becomes_a_layer_of_its_own(qtbot, dock, viewer, runs):
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["learned"])
    click(qtbot, dock.result_panel.maps.label_buttons[2])
    qtbot.waitUntil(lambda: "SelfSeg map 3" in names(viewer), timeout=SECONDS)
    assert overlap(viewer.layers["SelfSeg map 3"].data) > 0.8
    assert dock.work.result.choice.channel == OBJECT  # the choice stays


# ---- one click on a nucleus


# ---- doubt and expected quality


@pytest.fixture
def dock_with_refined(qtbot, dock, runs, monkeypatch):
    """A dock that has learned a refined map."""
    plain = fake_training.make_result
    monkeypatch.setattr(fake_training, "make_result", lambda *a, **k: refined(plain(*a, **k)))
    wait_for_threshold(qtbot, dock)
    train(qtbot, dock, runs)
    return dock


def test_doubt_is_shown_and_hidden_by_a_click(qtbot, dock_with_refined, viewer):
    panel = dock_with_refined.result_panel
    assert panel.doubt_button.isVisible()
    assert DOUBT_NAME not in names(viewer)
    click(qtbot, panel.doubt_button)
    layer = viewer.layers[DOUBT_NAME]
    assert layer.visible
    np.testing.assert_array_equal(layer.data[:, : COLUMNS // 2], 0.5)
    assert not layer.data[:, COLUMNS // 2 :].any()
    assert viewer.layers.selection.active is not layer  # the labels stay the active layer
    click(qtbot, panel.doubt_button)
    assert not layer.visible
    click(qtbot, panel.doubt_button)
    assert layer.visible
    assert names(viewer).count(DOUBT_NAME) == 1


def test_the_expected_dice_is_said_of_the_learned_labels_only(qtbot, dock_with_refined):
    panel = dock_with_refined.result_panel
    assert "Expected Dice 0." in panel.quality.text()
    assert "agreement" in panel.quality.text()
    click(qtbot, panel.cards["threshold"])
    assert panel.quality.text() == ""
    assert not panel.doubt_button.isVisible()


def test_of_another_map_nothing_is_expected(qtbot, dock_with_refined):
    panel = dock_with_refined.result_panel
    click(qtbot, panel.maps.buttons[0])
    settle(qtbot, dock_with_refined)
    qtbot.waitUntil(lambda: panel.quality.text() == "", timeout=SECONDS)


def test_sliders_keep_the_learned_centres(qtbot, dock_with_refined):
    work = dock_with_refined.work
    assert work.candidates["learned"].centres is not None
    before = work.candidates["learned"].labels.max()
    slider = dock_with_refined.result_panel.sliders.sliders["split_prominence"]
    slider.number.setValue(1.0)
    settle(qtbot, dock_with_refined)
    assert work.candidates["learned"].labels.max() < before


def test_one_network_has_no_doubt(qtbot, dock, runs):
    train(qtbot, dock, runs)
    assert not dock.result_panel.doubt_button.isVisible()
    assert dock.result_panel.quality.text() == ""


class Mouse:
    """A mouse event as napari hands it to viewer callbacks."""

    def __init__(self, position, pos=(50, 50)):
        self.type, self.position, self.pos = "mouse_press", position, np.array(pos)
        self.modifiers = ()


def press(viewer, position, drag=0):
    """Press at a world position, move by some px of the screen, release."""
    event = Mouse(position)
    going_on = [callback(viewer, event) for callback in list(viewer.mouse_drag_callbacks)]
    going_on = [generator for generator in going_on if generator is not None]
    for kind in ["mouse_press", *["mouse_move"] * bool(drag), "mouse_release"]:
        event.type = kind
        if kind == "mouse_move":
            event.pos = event.pos + drag
        for generator in going_on:
            next(generator, None)


def a_nucleus():
    """Return a pixel well inside a drawn nucleus."""
    largest = np.bincount(TRUTH.ravel())[1:].argmax() + 1
    rows, columns = np.nonzero(largest == TRUTH)
    return int(rows.mean()), int(columns.mean())


@pytest.fixture
def learned(qtbot, dock, runs):
    train(qtbot, dock, runs)
    click(qtbot, dock.result_panel.cards["learned"])
    return dock


def test_one_click_on_a_nucleus_chooses_the_map(qtbot, learned, viewer):
    panel = learned.result_panel
    click(qtbot, panel.maps.buttons[0])  # noise
    settle(qtbot, learned)
    assert overlap(viewer.layers["SelfSeg labels"].data) < 0.6
    click(qtbot, panel.click_button)
    press(viewer, a_nucleus())
    settle(qtbot, learned)
    choice = learned.work.result.choice
    assert choice.how == "one click"
    assert (choice.channel, choice.inverted) in [(1, False), (2, True)]
    assert overlap(viewer.layers["SelfSeg labels"].data) > 0.8
    assert "Labels used: one click" in panel.labels_used.text()
    assert not panel.click_button.isChecked()
    assert learned.work.result.provenance["labels_used"] == "one click"
    click(qtbot, panel.flip_button)  # the click had a part in what is flipped
    assert "Labels used: one click" in panel.labels_used.text()


def test_dragging_moves_the_view_and_a_click_beside_is_said(qtbot, learned, viewer):
    click(qtbot, learned.result_panel.click_button)
    before = learned.work.result.choice
    press(viewer, a_nucleus(), drag=30)
    press(viewer, (-50, -50))
    assert learned.work.result.choice is before
    assert "beside the tile" in learned.result_panel.problem.text()
    assert learned.results.nucleus_click.is_waiting


def test_esc_cancels_and_gives_the_tool_back(qtbot, learned, viewer):
    layer = viewer.layers["SelfSeg labels"]
    layer.mode = "paint"
    click(qtbot, learned.result_panel.click_button)
    assert str(layer.mode) == "pan_zoom"  # the click must not paint
    key = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Escape, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(learned, key)
    assert not learned.result_panel.click_button.isChecked()
    assert str(layer.mode) == "paint"
    before = learned.work.result.choice
    press(viewer, a_nucleus())
    assert learned.work.result.choice is before


# ---- the device


def test_torch_is_not_imported_when_the_dock_is_built():
    script = (
        "import sys\n"
        "from napari.components import ViewerModel\n"
        "from qtpy.QtWidgets import QApplication\n"
        "app = QApplication([])\n"
        "from napari_selfseg.widgets.dock import SelfSegDock\n"
        "dock = SelfSegDock(ViewerModel(), warm_up=False)\n"
        "dock.show()\n"
        "app.processEvents()\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def report(problem=None):
    return warmup.DeviceReport("cpu", 1, 0.5, 0.1, problem=problem)


def test_the_warm_up_gives_the_presets_their_seconds(qtbot, viewer, runs, monkeypatch):
    monkeypatch.setattr(dock_module, "warm_up", lambda threads: report())
    dock = SelfSegDock(viewer)
    qtbot.addWidget(dock)
    button = dock.training_panel.preset_buttons["thorough"]
    qtbot.waitUntil(lambda: "≤" in button.text(), timeout=SECONDS)


def test_if_torch_cannot_load_the_dock_stays_and_says_the_remedy(qtbot, viewer, runs, monkeypatch):
    remedy = "PyTorch cannot be loaded; install it as described on pytorch.org."
    monkeypatch.setattr(dock_module, "warm_up", lambda threads: report(remedy))
    dock = SelfSegDock(viewer)
    qtbot.addWidget(dock)
    dock.show()
    qtbot.waitUntil(lambda: dock.training_panel.reason.text() == remedy, timeout=SECONDS)
    assert not dock.training_panel.train_button.isEnabled()
    wait_for_threshold(qtbot, dock)  # what needs no torch goes on
    click(qtbot, dock.result_panel.cards["threshold"])
    assert THRESHOLD_NAME in names(viewer)


# ---- saving and opening


def test_labels_are_saved_as_corrected_with_their_scale(qtbot, viewer, runs, tmp_path):
    viewer.layers[0].scale, viewer.layers[0].units = (0.5, 0.5), ("um", "um")
    dock = make_dock(qtbot, viewer)
    wait_for_threshold(qtbot, dock)
    assert not dock.export_panel.labels_button.isEnabled()
    click(qtbot, dock.result_panel.cards["threshold"])
    layer = viewer.layers[THRESHOLD_NAME]
    layer.data_setitem((np.array([0]), np.array([0])), 77)
    dock.export_panel.labels_path.emit(str(tmp_path / "labels.tif"))
    qtbot.waitUntil(lambda: "Saved" in dock.export_panel.message.text(), timeout=SECONDS)
    with tifffile.TiffFile(tmp_path / "labels.tif") as file:
        assert file.asarray()[0, 0] == 77
        assert file.pages[0].tags["XResolution"].value[0] / file.pages[0].tags["XResolution"].value[
            1
        ] == pytest.approx(20_000)
    dock.export_panel.confidence_path.emit(str(tmp_path / "confidence.tif"))
    qtbot.waitUntil((tmp_path / "confidence.tif").exists, timeout=SECONDS)
    assert not dock.export_panel.run_button.isEnabled()  # nothing was learned


def test_what_cannot_be_saved_is_one_sentence_in_the_dock(qtbot, dock, tmp_path):
    wait_for_threshold(qtbot, dock)
    click(qtbot, dock.result_panel.cards["threshold"])
    (tmp_path / "file").write_text("not a folder")
    dock.export_panel.labels_path.emit(str(tmp_path / "file" / "labels.tif"))
    message = dock.export_panel.message
    qtbot.waitUntil(lambda: message.property("tone") == "problem", timeout=SECONDS)
    assert "could not be written" in message.text()
    assert dock.export_panel.isEnabled()


def test_a_folder_that_is_no_run_is_one_sentence(qtbot, dock, tmp_path):
    dock.export_panel.open_folder.emit(str(tmp_path))
    message = dock.export_panel.message
    qtbot.waitUntil(lambda: message.property("tone") == "problem", timeout=SECONDS)
    assert message.text()


def test_a_real_run_is_learned_stored_and_comes_back(qtbot, tmp_path):
    """The only test here that learns; few steps, small crops."""
    rgb, _ = drawn_he_tile(160, 160, n_nuclei=30, seed=3)
    settings = PatchContrastSettings(
        n_steps=3, batch_size=2, crop_size=96, patch_px=16, patch_um=None, stride_px=8, seed=5
    )
    viewer = ViewerModel()
    viewer.add_image(rgb, name="tile")
    dock = make_dock(qtbot, viewer)
    dock.training_panel.form.set_settings(settings)
    click(qtbot, dock.training_panel.train_button)
    qtbot.waitUntil(lambda: "learned" in dock.work.candidates, timeout=60_000)
    assert dock.training_panel.outcome.text()
    click(qtbot, dock.result_panel.cards["learned"])
    dock.result_panel.sliders.sliders["threshold"].number.setValue(0.42)
    settle(qtbot, dock)
    layer = dock.work.layer_of("learned")
    layer.brush_size = 6
    layer.paint((80, 80), 300)
    corrected = np.array(layer.data)
    dock.export_panel.run_folder.emit(str(tmp_path / "run"))
    qtbot.waitUntil(lambda: "Saved" in dock.export_panel.message.text(), timeout=SECONDS)

    again = ViewerModel()
    again.add_image(rgb, name="tile")
    dock = make_dock(qtbot, again)
    dock.export_panel.open_folder.emit(str(tmp_path / "run"))
    qtbot.waitUntil(lambda: "learned" in dock.work.candidates, timeout=SECONDS)
    assert dock.training_panel.settings() == settings
    assert dock.training_panel.curves.last_values().startswith("Step 3")
    layer = dock.work.layer_of("learned")
    assert np.array_equal(layer.data, corrected)
    assert dock.work.candidates["learned"].settings.threshold == pytest.approx(0.42)
    # the correction is still one: the sliders leave it alone
    dock.result_panel.sliders.sliders["threshold"].number.setValue(0.9)
    settle(qtbot, dock)
    assert (dock.work.layer_of("learned").data[79:81, 79:81] == 300).all()

    # on another tile: the stored model is used, and there is no run to store
    other = ViewerModel()
    other.add_image(drawn_he_tile(150, 170, n_nuclei=25, seed=4)[0], name="other")
    dock = make_dock(qtbot, other)
    dock.export_panel.open_folder.emit(str(tmp_path / "run"))
    qtbot.waitUntil(lambda: "learned" in dock.work.candidates, timeout=SECONDS)
    assert dock.work.candidates["learned"].labels.shape == (150, 170)
    assert "made on tile" in dock.export_panel.message.text()
    assert not dock.export_panel.run_button.isEnabled()


# ---- windows


@pytest.fixture
def window(make_napari_viewer, qtbot, runs):
    """Return a real viewer with a tile; its workers end before it is looked for leaks."""
    viewer = make_napari_viewer()
    viewer.add_image(RGB, name="tile")
    yield viewer
    qtbot.waitUntil(lambda: not background._going_on, timeout=SECONDS)
    qtbot.wait(100)  # what deletes itself later has done so


def test_the_dock_in_a_window_and_a_change_of_theme(window):
    viewer = window
    dock = SelfSegDock(viewer, warm_up=False)
    viewer.window.add_dock_widget(dock, name="SelfSeg", area="right")
    dark = dock.styleSheet()
    viewer.theme = "light"
    assert dock.styleSheet() != dark
    assert 340 <= dock.sizeHint().width() <= 400
    assert dock.scroll.widget().minimumSizeHint().width() <= 360


@pytest.mark.parametrize("what", ["dock", "viewer"])
def test_closing_while_it_trains_ends_the_training(qtbot, window, runs, what):
    viewer = window
    dock = SelfSegDock(viewer, warm_up=False)
    shell = viewer.window.add_dock_widget(dock, name="SelfSeg", area="right")
    dock.training_panel.train_button.click()
    qtbot.waitUntil(lambda: dock.training_panel.progress.bar.value() == 1, timeout=SECONDS)
    if what == "dock":
        viewer.window.remove_dock_widget(shell)
    else:
        viewer.close()
    qtbot.waitUntil(lambda: runs[0].has_ended.is_set(), timeout=SECONDS)
    assert runs[0].abandoned
    if what == "dock":
        qtbot.waitUntil(lambda: not dock.training.is_running, timeout=SECONDS)
        assert PREVIEW_NAME not in names(viewer)
        viewer.scene.camera.zoom *= 2  # nobody listens any more
        viewer.theme = "light"


def test_the_manifests_widget_gets_the_viewer(qtbot, window):
    _, widget = window.window.add_plugin_dock_widget("napari-selfseg", "SelfSeg")
    assert isinstance(widget, SelfSegDock)
    wait_for_threshold(qtbot, widget)
