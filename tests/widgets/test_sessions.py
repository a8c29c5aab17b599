"""Work that is kept while it goes on, and comes back: real windows, a real mouse, real files."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from tests.drawn_regions import drawn_regions
from tests.widgets.fake_training import RGB, make_result
from tests.widgets.test_main_job import Person, docked

from napari_selfseg.core.learning.strokes import Strokes
from napari_selfseg.core.methods.local_contrast_settings import LocalContrastSettings
from napari_selfseg.core.methods.settings import preset_settings
from napari_selfseg.session import autosave as autosave_module
from napari_selfseg.session import waiting
from napari_selfseg.session.autosave import close_all
from napari_selfseg.session.refining import RefineRequest, RefiningRun
from napari_selfseg.session.session_folder import LOCK, SessionFolder
from napari_selfseg.session.session_place import PLACE_VARIABLE, choose_place
from napari_selfseg.session.versions import Version
from napari_selfseg.widgets import autosaving, background
from napari_selfseg.widgets.candidate import learned_candidate
from napari_selfseg.widgets.session_control import since

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SOON, LATER = 30_000, 120_000  # ms
SHORT = preset_settings("quick", starts=1, n_steps=4, stop_early=False, patch_um=4.0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch, tmp_path):
    """Save and try again sooner."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(autosaving, "SAVE_S", 0.2)
    monkeypatch.setattr(autosaving, "LOOK_MS", 100)
    monkeypatch.setattr(autosaving, "LOOK_AGAIN_MS", 300)
    monkeypatch.setattr(autosave_module, "BEAT_S", 0.3)
    monkeypatch.setattr(waiting, "FIRST_RETRY_S", 0.2)
    monkeypatch.setattr(waiting, "LAST_RETRY_S", 0.4)


@pytest.fixture
def open_window(make_napari_viewer, qtbot, drag_on):
    """Return the function that opens a window with the dock and an image in it."""
    persons = []

    def opened(rgb=RGB):
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(1200, 900)
        viewer.add_image(rgb, name="biopsy", scale=(0.25, 0.25), units="um")
        dock = docked(viewer, qtbot)
        person = Person(viewer, dock, qtbot, drag_on(viewer))
        person.wait_until(lambda: dock.work is not None and "threshold" in dock.work.candidates)
        person.wait_until(lambda: dock.session.shown._has_looked)
        persons.append(person)
        return person

    yield opened
    for person in persons:
        if isalive(person.dock):
            person.dock.session.close_all()
    close_all()
    qtbot.waitUntil(lambda: not background._going_on, timeout=SOON)
    for person in persons:
        vars(person).clear()


def only_session(place):
    (path,) = (path for path in place.iterdir() if path.is_dir())
    return SessionFolder(path)


def stored_labels(place):
    return only_session(place).load().state.layers["threshold"].labels


def start_painting(me):
    """Take the threshold's labels and a brush."""
    me.click(me.dock.result_panel.cards["threshold"])
    me.wait_until(lambda: me.labels() is not None)
    take_brush(me)


def take_brush(me):
    layer = me.labels()
    me.viewer.layers.selection.active = layer
    layer.mode = "paint"
    layer.brush_size = 8
    layer.selected_label = 401


def all_saved(me):
    """Wait until what was done is on the disk."""
    keeping = me.dock.session.shown
    me.wait_until(lambda: keeping._changed_at is None and keeping.status.saved_at is not None)
    me.wait_until(lambda: not keeping.status.is_waiting)


def work_of(me):
    """Return labels and touched pixels as they are in the window."""
    editable = me.dock.work.editable()
    return editable.labels(), editable.touched()


def kill(me, place):
    """Leave behind what a program that was killed leaves: no last save, and a lock."""
    keeping = me.dock.session.shown
    keeping._clock.stop()
    keeping._is_closed = True
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for lock in place.glob(f"*/{LOCK}"):
        told = json.loads(lock.read_text())
        keeping._autosave._lock = None
        keeping._autosave._status = waiting.SaveStatus(is_elsewhere=True)
        lock.write_text(json.dumps({**told, "pid": ended.pid, "token": "killed"}) + "\n")


def close(me):
    """Close the dock, and wait until all is saved."""
    me.dock.session.close_all()
    autosave = me.dock.session.shown._autosave
    assert autosave is None or autosave.wait(20)


# ---- there and back


def test_strokes_are_saved_soon_and_come_back_after_a_crash(open_window, own_sessions):
    me = open_window()
    assert me.dock.earlier_card.isHidden()
    assert me.dock.saved_line.text.text() == ""
    start_painting(me)
    me.stroke(60, 60)
    me.stroke(90, 40)
    me.dock.result_panel.sliders.changed.emit(
        me.dock.work.candidates["threshold"].settings.model_copy(update={"min_area": 60})
    )
    me.settled("threshold")
    all_saved(me)
    me.wait_until(lambda: me.dock.saved_line.text.text().startswith("Saved"))
    me.picture("session-saved")
    labels, touched = work_of(me)
    assert touched.any()
    kill(me, own_sessions)

    again = open_window()
    again.wait_until(again.dock.earlier_card.isVisible)
    again.picture("session-offered")
    texts = again.dock.earlier_card.findChildren(type(again.dock.earlier_card._what))
    told = " ".join(text.text() for text in texts)
    assert "Less than a minute ago, 2 corrections." in told
    assert "ended unexpectedly" in told
    again.click("Take it up")
    again.wait_until(lambda: again.dock.earlier_card.isHidden())
    again.wait_until(lambda: again.labels() is not None)
    for one, other in zip(work_of(again), (labels, touched), strict=True):
        assert np.array_equal(one, other)
    assert again.dock.work.candidates["threshold"].settings.min_area == 60
    assert again.dock.result_panel.sliders.settings().min_area == 60
    again.picture("session-taken-up")
    all_saved(again)
    assert only_session(own_sessions).earlier() == ()
    # and it goes on
    take_brush(again)
    again.stroke(30, 60)
    all_saved(again)
    loaded = only_session(own_sessions).load()
    assert loaded.manifest.n_corrections == 3
    assert np.array_equal(loaded.state.layers["threshold"].labels, again.labels().data)
    # the corrections are as sacred as before
    again.dock.work.set_label_settings(
        again.dock.work.candidates["threshold"].settings.model_copy(update={"threshold": 0.9})
    )
    again.settled("threshold")
    assert np.array_equal(again.labels().data[touched], labels[touched])


def test_what_was_learned_comes_back(open_window, own_sessions):
    me = open_window()
    me.dock.training_panel.form.set_settings(SHORT)
    me.click("Train")
    me.wait_until(lambda: me.dock.work.is_shown, LATER)
    me.wait_until(lambda: not me.dock.training.is_running)
    me.dock.work.take("learned")
    take_brush(me)
    me.stroke(60, 60)
    all_saved(me)
    me.wait_until(lambda: only_session(own_sessions).newest().runs == {"learned": 1})
    labels, touched = work_of(me)
    maps, choice = me.dock.work.result.maps, me.dock.work.result.choice
    settings = me.dock.work.candidates["learned"].settings
    close(me)

    again = open_window()
    again.wait_until(again.dock.earlier_card.isVisible)
    assert not again.dock.earlier_card._unexpected.text()
    assert "1 correction, a trained network" in again.dock.earlier_card._what.text()
    again.click("Take it up")
    again.wait_until(lambda: again.dock.work.is_shown, LATER)
    assert again.dock.work.active == "learned"
    for one, other in zip(work_of(again), (labels, touched), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(again.dock.work.result.maps, maps)
    assert again.dock.work.result.choice == choice
    assert again.dock.work.candidates["learned"].settings == settings
    assert again.dock.training_panel.settings() == SHORT
    assert again.dock.work.has_run
    all_saved(again)
    assert only_session(own_sessions).newest().runs == {"learned": 1}
    assert only_session(own_sessions).runs() == (1,)


def learn_once(work):
    """Take what a short round teaches for the newest version."""
    strokes = np.zeros(work.tile_view.tile.shape, np.uint8)
    strokes[10:20, 10:20], strokes[40:50, 40:50] = 1, 2
    settings = LocalContrastSettings(global_steps=0, local_steps=0, n_steps=2, batch_size=2)
    request = RefineRequest(work.result, Strokes(strokes), settings, previews=False)
    *_, finished = RefiningRun(request).updates()
    work.adopt(finished.result, learned_candidate(finished.result), 2)


def test_all_versions_come_back_and_move_along(open_window, own_sessions, tmp_path):
    me = open_window()
    me.dock.training_panel.form.set_settings(SHORT)
    me.click("Train")
    me.wait_until(lambda: me.dock.work.is_shown, LATER)
    me.wait_until(lambda: not me.dock.training.is_running)
    me.dock.work.take("learned")
    first = me.dock.work.result.maps
    learn_once(me.dock.work)
    learned = me.dock.work.result.maps
    all_saved(me)
    stored = {"learned": 1, "learned-1": 2}
    me.wait_until(lambda: only_session(own_sessions).newest().runs == stored)
    all_saved(me)
    close(me)

    again = open_window()
    again.wait_until(again.dock.earlier_card.isVisible)
    again.click("Take it up")
    again.wait_until(lambda: again.dock.work.is_shown, LATER)
    work, box = again.dock.work, again.dock.learning_panel.versions
    names = ["label-free", "1: 2 corrections"]
    assert [box.itemText(i) for i in range(box.count())] == names
    assert box.currentText() == names[1]
    assert np.array_equal(work.result.maps, learned)
    assert work.versions.all[0].result is None  # read only when it is wanted
    all_saved(again)
    assert only_session(own_sessions).runs() == (1, 2)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again.dock.session.shown.move_to(elsewhere)
    again.wait_until(
        lambda: bool(list(elsewhere.iterdir())) and set(moved_runs(elsewhere)) == set(stored)
    )
    work.go_back_to(0)
    again.wait_until(lambda: work.versions.at == 0 and work.is_shown, LATER)
    assert np.array_equal(work.result.maps, first)
    assert box.currentText() == names[0]
    all_saved(again)
    again.wait_until(lambda: only_session(elsewhere).newest().values["settings"]["version"] == 0)
    assert only_session(elsewhere).runs() == (1, 2)


def moved_runs(place):
    newest = only_session(place).newest()
    return {} if newest is None else newest.runs


def test_a_version_that_cannot_be_read_is_told(open_window, own_sessions, tmp_path):
    me = open_window()
    work = me.dock.work
    work.take_result(make_result(work.tile_view.tile), is_own_run=False)
    me.wait_until(lambda: work.is_shown)
    lost = Version("lost", 1, folder=tmp_path / "lost")
    work.models.all = replace(work.versions, all=(*work.versions.all, lost))
    told = []
    work.failed.connect(told.append)
    work.go_back_to(1)
    me.wait_until(lambda: bool(told))
    assert not work.models.is_opening
    assert work.versions.at == 0


def test_regions_come_back_with_their_names_and_objects(open_window, own_sessions):
    rgb, _ = drawn_regions()
    me = open_window(rgb)
    me.click("Find regions")
    me.click("Train")
    me.wait_until(lambda: me.dock.work.regions.active == "regions", LATER)
    me.wait_until(lambda: not me.dock.training.is_running)
    work = me.dock.work.regions
    work.rename(2, "gland")
    work.take_structure(2)
    me.wait_until(lambda: work.active == "structure" and not work.is_finding)
    layer = work.layer_of("structure")
    me.viewer.layers.selection.active = layer
    layer.mode, layer.brush_size, layer.selected_label = "paint", 8, 77
    me.stroke(120, 150)
    all_saved(me)
    me.wait_until(lambda: only_session(own_sessions).newest().runs == {"regions": 1})
    kept = {name: work.labels_of(name) for name in ("regions", "structure")}
    close(me)

    again = open_window(rgb)
    again.click("Take it up")
    again.wait_until(lambda: again.dock.work.regions.active == "structure", LATER)
    work = again.dock.work.regions
    assert again.dock.training_panel.mode == "regions"
    assert again.dock.region_panel.isVisible()
    for name, labels in kept.items():
        assert np.array_equal(work.labels_of(name), labels)
    assert work.result.names[1] == "gland"
    assert work.result.structure == 2
    assert [layer.visible for layer in again.viewer.layers if layer.name.startswith("biopsy ")] == [
        False,
        True,
    ]
    again.picture("session-regions")
    assert work.layers.editable(work.layer_of("structure")).touched()[120, 150]


def test_corrected_labels_are_kept_beside_those_of_an_opened_run(open_window, own_sessions):
    me = open_window()
    work = me.dock.work
    work.take_result(make_result(work.tile_view.tile), is_own_run=False)
    me.wait_until(lambda: work.is_shown)
    work.take("learned")
    take_brush(me)
    me.stroke(60, 60)
    corrected = work_of(me)
    stored = make_result(work.tile_view.tile)  # opened, with labels that somebody has corrected
    work.take_result(stored, edited=np.fliplr(corrected[0]), is_own_run=False)
    me.wait_until(lambda: work.is_shown and "earlier-1" in work.kept_layers())
    all_saved(me)
    state = only_session(own_sessions).load().state
    assert np.array_equal(state.layers["earlier-1"].labels, corrected[0])
    assert np.array_equal(state.layers["earlier-1"].touched, corrected[1])
    close(me)

    again = open_window()
    again.click("Take it up")
    again.wait_until(lambda: again.dock.earlier_card.isHidden())
    again.wait_until(lambda: not again.dock.session.shown.is_taking_up)
    found = [layer for layer in again.viewer.layers if isinstance(layer, Labels)]
    assert any(np.array_equal(layer.data, corrected[0]) for layer in found)


def test_labels_whose_network_cannot_be_read_are_shown_with_a_word(open_window, own_sessions):
    me = open_window()
    work = me.dock.work
    work.take_result(make_result(work.tile_view.tile), is_own_run=False)
    me.wait_until(lambda: work.is_shown)
    work.take("learned")
    take_brush(me)
    me.stroke(60, 60)
    corrected = work_of(me)[0]
    all_saved(me)
    close(me)
    folder = only_session(own_sessions)
    state = folder.load().state
    layers = {"learned": state.layers["learned"]}
    folder.save(replace(state, layers=layers, runs={"learned": 1}))

    again = open_window()
    again.click("Take it up")
    again.wait_until(lambda: again.dock.earlier_card.isHidden())
    (layer,) = (one for one in again.viewer.layers if isinstance(one, Labels))
    assert layer.visible
    assert np.array_equal(layer.data, corrected)
    assert "could not be read" in again.dock.training_panel.outcome.text()


def test_starting_afresh_keeps_the_earlier_work(open_window, own_sessions):
    me = open_window()
    start_painting(me)
    me.stroke(60, 60)
    all_saved(me)
    first = work_of(me)
    close(me)

    again = open_window()
    again.wait_until(again.dock.earlier_card.isVisible)
    again.click("Start afresh")
    assert again.dock.earlier_card.isHidden()
    start_painting(again)
    again.stroke(30, 20)
    all_saved(again)
    second = work_of(again)
    folder = only_session(own_sessions)
    assert len(folder.earlier()) == 1
    again.wait_until(lambda: again.dock.saved_line.earlier_button.isVisible())
    again.picture("session-earlier")
    # one click brings it back, and what was done meanwhile is kept in its turn
    again.dock.saved_line.earlier_wanted.emit(0)
    again.wait_until(lambda: again.dock.session.shown.is_taking_up)
    again.wait_until(lambda: not again.dock.session.shown.is_taking_up)
    for one, other in zip(work_of(again), first, strict=True):
        assert np.array_equal(one, other)
    all_saved(again)
    kept = [folder.load_number(m.number).state.layers["threshold"] for m in folder.earlier()]
    assert any(np.array_equal(work.labels, second[0]) for work in kept)


def test_whoever_does_not_answer_loses_nothing(open_window, own_sessions):
    me = open_window()
    start_painting(me)
    me.stroke(60, 60)
    all_saved(me)
    first = work_of(me)
    close(me)

    again = open_window()
    again.wait_until(again.dock.earlier_card.isVisible)
    start_painting(again)
    again.stroke(30, 20)
    all_saved(again)
    assert again.dock.earlier_card.isVisible()
    again.click("Take it up")
    again.wait_until(lambda: again.dock.earlier_card.isHidden())
    again.wait_until(lambda: not again.dock.session.shown.is_taking_up)
    assert np.array_equal(work_of(again)[0], first[0])


@pytest.mark.parametrize("what", ["dock", "window"])
def test_closing_saves_what_was_done_last(open_window, own_sessions, monkeypatch, what):
    monkeypatch.setattr(autosaving, "SAVE_S", 1000.0)
    me = open_window()
    start_painting(me)
    me.stroke(60, 60)
    labels = work_of(me)[0]
    if what == "dock":
        me.viewer.window.remove_dock_widget(me.dock.parent())
    else:
        me.viewer.close()
    me.wait_until(lambda: any(own_sessions.iterdir()))
    close_all()
    assert np.array_equal(
        only_session(own_sessions).load().state.layers["threshold"].labels, labels
    )
    assert not (only_session(own_sessions).path / LOCK).exists()


def test_a_layer_that_was_deleted_by_mistake_is_still_kept(open_window, own_sessions):
    me = open_window()
    start_painting(me)
    me.stroke(60, 60)
    labels = work_of(me)[0]
    me.viewer.layers.remove(me.labels())
    me.dock.session.shown.note_change()
    all_saved(me)
    assert np.array_equal(
        only_session(own_sessions).load().state.layers["threshold"].labels, labels
    )


def test_an_image_that_was_only_looked_at_leaves_nothing(open_window, own_sessions):
    me = open_window()
    me.click(me.dock.result_panel.cards["threshold"])
    me.qtbot.wait(600)
    close(me)
    assert list(own_sessions.iterdir()) == []


def test_before_labels_are_predicted_anew_the_work_is_handed_over(open_window, monkeypatch):
    monkeypatch.setattr(autosaving, "SAVE_S", 1000.0)
    me = open_window()
    start_painting(me)
    me.stroke(60, 60)
    labels = work_of(me)[0]
    work, keeping = me.dock.work, me.dock.session.shown
    work.set_label_settings(
        work.candidates["threshold"].settings.model_copy(update={"threshold": 0.8})
    )
    me.settled("threshold")
    me.wait_until(lambda: keeping.status.saved_at is not None)
    assert np.array_equal(keeping._autosave.folder.load().state.layers["threshold"].labels, labels)


def test_values_of_other_parts_are_saved_and_come_back(open_window, own_sessions):
    me = open_window()
    decisions = {"accepted": [4, 9]}
    me.dock.work.kept.register("review", lambda: decisions, lambda _: None)
    me.dock.work.kept.changed()
    start_painting(me)
    all_saved(me)
    assert only_session(own_sessions).load().state.values["review"] == decisions
    close(me)
    again, got = open_window(), []
    again.dock.work.kept.register("review", lambda: got[-1] if got else None, got.append)
    again.click("Take it up")
    again.wait_until(lambda: got == [decisions])


def test_a_review_goes_on_after_a_crash(open_window, own_sessions):
    me = open_window()
    me.click(me.dock.result_panel.cards["threshold"])
    me.wait_until(lambda: me.labels() is not None)
    me.click(me.dock.review_panel.start_button)
    me.wait_until(lambda: me.dock.reviews.is_going_on)
    mine = me.dock.reviews.review_work
    for key in (Qt.Key.Key_A, Qt.Key.Key_R):
        n_decided = len(mine.review.decisions)
        me.key(key)
        me.wait_until(lambda n=n_decided: len(mine.review.decisions) > n and not mine.is_looking)
    decided, items = mine.review.decisions, mine.review.items
    all_saved(me)
    told = f"review_{me.dock.work.active}"
    me.wait_until(lambda: told in only_session(own_sessions).newest().values)
    all_saved(me)
    me.dock.reviews.stop()
    kill(me, own_sessions)

    again = open_window()
    again.wait_until(again.dock.earlier_card.isVisible)
    again.click("Take it up")
    again.wait_until(lambda: again.dock.earlier_card.isHidden())
    again.wait_until(lambda: again.dock.work.active is not None)
    back = again.dock.reviews.review_work
    again.wait_until(lambda: back.review is not None and not back.is_looking)
    assert back.review.decisions == decided
    assert back.review.items == items
    again.click(again.dock.review_panel.start_button)
    again.wait_until(lambda: again.dock.reviews.is_going_on)


# ---- trouble


def test_a_full_disk_is_told_until_it_is_solved(open_window, own_sessions, monkeypatch):
    me = open_window()
    start_painting(me)
    is_full, write = [True], os.write

    def full(*args):
        if is_full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*args)

    monkeypatch.setattr(os, "write", full)
    me.stroke(60, 60)
    me.wait_until(me.dock.trouble.isVisible)
    assert "the disk is full" in me.dock.trouble.text()
    assert "nothing is lost while this window is open" in me.dock.trouble.text()
    assert me.dock.saved_line.text.text() == "Not saved"
    me.picture("session-full-disk")
    me.stroke(90, 40)  # painting goes on
    labels = work_of(me)[0]
    assert me.dock.trouble.isVisible()
    is_full[0] = False
    me.wait_until(lambda: me.dock.trouble.isHidden())
    all_saved(me)
    assert np.array_equal(
        only_session(own_sessions).load().state.layers["threshold"].labels, labels
    )


def test_a_folder_that_vanishes_is_told_and_another_can_be_chosen(
    open_window, own_sessions, monkeypatch, tmp_path
):
    drive, other = tmp_path / "drive", tmp_path / "other"
    drive.mkdir()
    other.mkdir()
    monkeypatch.delenv(PLACE_VARIABLE)
    choose_place(drive)
    me = open_window()
    start_painting(me)
    me.stroke(60, 60)
    all_saved(me)
    drive.rename(tmp_path / "unplugged")
    me.stroke(90, 40)
    me.wait_until(me.dock.trouble.isVisible)
    assert "is gone" in me.dock.trouble.text()
    assert not drive.exists()
    me.picture("session-vanished")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", staticmethod(lambda *_: str(other)))
    me.click("Keep it elsewhere …")
    me.wait_until(lambda: me.dock.trouble.isHidden())
    all_saved(me)
    assert np.array_equal(stored_labels(other), work_of(me)[0])


def test_a_session_folder_that_was_deleted_comes_back(open_window, own_sessions):
    me = open_window()
    start_painting(me)
    me.stroke(60, 60)
    all_saved(me)
    shutil.rmtree(only_session(own_sessions).path)
    me.wait_until(lambda: any(own_sessions.glob("*/state-*.json")))
    me.wait_until(lambda: me.dock.trouble.isHidden())


# ---- two windows


def test_the_second_window_says_that_it_is_not_saved(open_window, own_sessions):
    one = open_window()
    start_painting(one)
    one.stroke(60, 60)
    all_saved(one)
    first = work_of(one)

    two = open_window()
    two.wait_until(two.dock.trouble.isVisible)
    assert "Another window works on this image" in two.dock.trouble.text()
    start_painting(two)
    two.stroke(30, 20)
    two.wait_until(lambda: two.dock.session.shown.status.is_elsewhere)
    two.picture("session-second-window")
    assert np.array_equal(stored_labels(own_sessions), first[0])
    two.wait_until(lambda: two.dock.saved_line.text.text() == "Not saved")
    close(one)
    two.wait_until(lambda: "is closed" in two.dock.trouble.text())
    two.picture("session-other-closed")
    second = work_of(two)
    two.click("Save here")
    two.wait_until(lambda: two.dock.trouble.isHidden())
    all_saved(two)
    folder = only_session(own_sessions)
    assert np.array_equal(folder.load().state.layers["threshold"].labels, second[0])
    (kept,) = folder.earlier()
    kept = folder.load_number(kept.number).state.layers["threshold"]
    assert np.array_equal(kept.labels, first[0])


def test_the_second_window_can_save_a_copy(open_window, own_sessions):
    one = open_window()
    start_painting(one)
    one.stroke(60, 60)
    all_saved(one)

    two = open_window()
    two.wait_until(two.dock.trouble.isVisible)
    start_painting(two)
    two.stroke(30, 20)
    two.wait_until(lambda: two.dock.session.shown.status.is_elsewhere)
    two.click("Save as a copy")
    two.wait_until(lambda: two.dock.trouble.isHidden())
    all_saved(two)
    two.stroke(90, 20)
    all_saved(two)
    own, copy = sorted((SessionFolder(p) for p in own_sessions.iterdir()), key=lambda f: f.path)
    assert copy.path.name == f"{own.path.name}-2"
    assert np.array_equal(copy.load().state.layers["threshold"].labels, work_of(two)[0])
    assert np.array_equal(own.load().state.layers["threshold"].labels, work_of(one)[0])


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "1 s ago"), (9.9, "9 s ago"), (47, "40 s ago"), (125, "2 min ago")]
)
def test_the_line_gets_quieter(seconds, told):
    assert since(seconds) == told


def test_a_long_stroke_is_saved_while_it_is_painted(open_window, own_sessions, monkeypatch):
    monkeypatch.setattr(autosaving, "LONG_S", 0.4)
    me = open_window()
    start_painting(me)
    me.mouse.press(me.at(60, 40))
    me.mouse.by(120, 0)
    me.wait_until(lambda: any(own_sessions.glob("*/state-*.json")))
    saved = only_session(own_sessions).load().state.layers["threshold"]
    assert (saved.labels == 401).any()
    assert saved.touched[saved.labels == 401].all()
    me.mouse.release()
    me.key(Qt.Key.Key_Escape)
