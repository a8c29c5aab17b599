"""Learning from corrections with nothing faked: torch learns from strokes on a drawn tile."""

from __future__ import annotations

import numpy as np
import pytest
from tests.widgets.test_main_job import RGB, SOON, TRUTH, UM_PER_PX, Person, docked

from napari_selfseg.core.editing import Edit
from napari_selfseg.core.methods.local_contrast_settings import LocalContrastSettings
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.session.run import TrainingRequest, TrainingRun
from napari_selfseg.widgets import background, learning_control

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

LATER = 180_000  # ms
SHORT = {"global_steps": 1, "local_steps": 2, "n_steps": 4, "batch_size": 2}


def test_strokes_teach_a_new_version(make_napari_viewer, qtbot, drag_on, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(
        learning_control, "LocalContrastSettings", lambda: LocalContrastSettings(**SHORT)
    )
    viewer = make_napari_viewer(show=True)
    dock = docked(viewer, qtbot)
    me = Person(viewer, dock, qtbot, drag_on(viewer))
    viewer.add_image(RGB, name="tile", scale=(UM_PER_PX, UM_PER_PX), units=("um", "um"))
    me.wait_until(lambda: dock.work is not None and "threshold" in dock.work.candidates)
    settings = PatchContrastSettings(n_steps=3, stop_early=False, starts=1, crop_size=64)
    *_, finished = TrainingRun(TrainingRequest((dock.work.tile_view.tile,), settings)).updates()
    dock.work.take_result(finished.result)
    me.wait_until(lambda: dock.work.is_shown, LATER)
    if dock.work.active != "learned":
        me.click(dock.result_panel.cards["learned"])
    editable = dock.work.editable()
    for number in (1, 2):  # one nucleus is painted, and the middle of the background erased
        where = np.argwhere((number == TRUTH) if number == 1 else (TRUTH == 0))
        row, column = where[len(where) // 2]
        box = slice(int(row), int(row) + 4), slice(int(column), int(column) + 4)
        value = np.full(editable.layer.data[box].shape, 60 if number == 1 else 0, np.uint16)
        editable.edit(Edit(*box, np.ones(value.shape, bool), value))
    me.wait_until(dock.learning_panel.learn_button.isEnabled)
    touched, before = editable.touched(), editable.labels()
    me.click(dock.learning_panel.learn_button)
    proposals = dock.learning.proposals
    me.wait_until(lambda: proposals.shown is not None, LATER)
    me.wait_until(dock.learning_panel.card.all_button.isEnabled)
    assert dock.learning_panel.outcome.text() == "The strokes were learned."
    assert np.array_equal(editable.labels(), before)
    me.click(dock.learning_panel.card.all_button)
    me.wait_until(lambda: proposals.shown is None)
    assert [version.name for version in dock.work.versions.all] == [
        "label-free",
        "1: 2 corrections",
    ]
    assert dock.work.result.provenance["labels_used"] == "your strokes"
    assert np.array_equal(editable.labels()[touched], before[touched])
    me.undo()
    assert np.array_equal(editable.labels(), before)
    qtbot.wait(350)
    qtbot.waitUntil(lambda: not background._going_on, timeout=SOON)
    vars(me).clear()
