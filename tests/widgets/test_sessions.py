"""Work that is kept while it goes on, and comes back after a crash: real windows, mouse and keys."""

from __future__ import annotations

import time

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_selfseg.session.session_folder import SessionFolder
from napari_selfseg.widgets import training_control
from tests.widgets.fake_training import RGB, FakeTraining
from tests.widgets.test_main_job import Person, docked

SOON = 30_000  # ms


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
        persons.append(person)
        return person

    yield opened
    for person in persons:
        vars(person).clear()


def sessions(place):
    return [SessionFolder(path) for path in place.iterdir() if path.is_dir()]


def start_painting(me):
    """Take the threshold's labels and a brush."""
    me.click(me.dock.result_panel.cards["threshold"].button)
    me.wait_until(lambda: me.labels() is not None)
    me.labels().mode = "paint"
    me.labels().brush_size = 8
    me.labels().selected_label = 4001


def saved(me, place):
    """Wait until what was done is on the disk and return it."""
    keeping = me.dock.session.shown
    me.wait_until(lambda: keeping._changed_at is None and not keeping.status.is_waiting)
    (folder,) = sessions(place)
    return folder.load()


def killed(me, monkeypatch):
    """Let the program of this window be no more: nothing of it is saved at its end."""
    keeping = me.dock.session.shown
    keeping._clock.stop()
    keeping._is_closed = True
    autosave = keeping._autosave
    autosave.wait(10)
    with autosave._changed:
        autosave._lock = None
        autosave._status = autosave._status.__class__(is_elsewhere=True)


def test_a_stroke_is_on_the_disk_soon_and_comes_back(open_window, own_sessions, monkeypatch):
    me = open_window()
    assert me.dock.earlier_card.isHidden()
    start_painting(me)
    me.stroke(60, 60)
    loaded = saved(me, own_sessions)
    assert loaded.manifest.n_corrections == 1
    assert np.array_equal(loaded.state.layers["threshold"].labels, me.labels().data)
    assert me.dock.saved_line.text.text().startswith("Saved")
    me.picture("session-saved")
    me.dock.close()
    me.viewer.close()


