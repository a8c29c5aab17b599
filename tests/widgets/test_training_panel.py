"""The training panel: presets, one Train, progress, Pause, Stop."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.region_settings import RegionSettings
from napari_selfseg.core.methods.settings import PatchContrastSettings, preset_settings
from napari_selfseg.session.updates import Progress
from napari_selfseg.widgets.style import duration
from napari_selfseg.widgets.training_panel import OWN_SETTINGS, TrainingPanel


@pytest.fixture
def panel(qtbot):
    widget = TrainingPanel(ViewerModel())
    qtbot.addWidget(widget)
    widget.resize(360, 900)
    widget.show()
    return widget


def progress(step=5, **changes):
    steps = (TrainingStep("learning", step, 20, {"entropy": 0.5, "separation": 0.1}),)
    told = {
        "step": step,
        "n_steps": 20,
        "phase": "learning",
        "steps": steps,
        "seconds": 3.0,
        "seconds_left": 65.0,
        "skipped": 0,
        "note": "",
        "histogram": np.arange(64),
        "score": 0.61,
    }
    return Progress(**{**told, **changes})


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


# ---- choosing


def test_standard_is_chosen_and_presets_fill_the_form(panel, qtbot):
    assert panel.preset_buttons["standard"].isChecked()
    assert panel.settings() == preset_settings("standard")
    click(qtbot, panel.preset_buttons["quick"])
    assert panel.settings() == preset_settings("quick")
    assert [n for n, b in panel.preset_buttons.items() if b.isChecked()] == ["quick"]


def test_the_seconds_are_told_once_they_are_known(panel):
    assert "…" in panel.preset_buttons["quick"].text()
    panel.show_seconds({"quick": 12.3, "standard": 71.5, "thorough": 600.0})
    texts = [b.text().splitlines()[1] for b in panel.preset_buttons.values()]
    assert texts == ["≤ 13 s", "≤ 1 min 20 s", "≤ 10 min"]
    panel.show_seconds({})
    assert "…" in panel.preset_buttons["quick"].text()


def test_as_in_the_paper_is_no_preset_button_but_says_its_cost(panel, qtbot):
    panel.advanced_fold.open()
    click(qtbot, panel.paper)
    assert panel.settings() == preset_settings("as-published")
    assert not any(b.isChecked() for b in panel.preset_buttons.values())
    panel.show_seconds({OWN_SETTINGS: 1500.0})
    assert panel.changed_note.text() == "The paper's settings. At most 25 min."


def test_a_changed_preset_is_said_to_be_changed(panel):
    panel.form.widget_of("n_confidence_maps").setValue(6)
    assert panel.preset_buttons["standard"].isChecked()
    assert panel.changed_note.text() == "Standard, with changes under Advanced."
    panel.form.widget_of("learning_rate").setValue(0.02)
    assert panel.changed_note.text() == "Your own settings, see Advanced."


def test_advanced_is_folded_at_first(panel, qtbot):
    assert not panel.form.isVisible()
    click(qtbot, panel.advanced_fold.button)
    assert panel.form.isVisible()


def test_a_wrong_setting_turns_train_off_and_says_why(panel, qtbot):
    panel.form.widget_of("learning_rate").setValue(0.0)
    assert not panel.train_button.isEnabled()
    assert panel.reason.text().startswith("Train is off: Learning rate")
    panel.choose_preset("quick")
    assert panel.train_button.isEnabled()
    assert not panel.reason.isVisible()


def test_an_obstacle_turns_train_off(panel):
    panel.set_obstacle("There is no image yet.")
    assert not panel.train_button.isEnabled()
    assert panel.reason.text() == "There is no image yet."
    panel.set_obstacle("")
    assert panel.train_button.isEnabled()


def test_settings_of_a_stored_run_come_back(panel):
    settings = PatchContrastSettings(seed=7, patch_um=None, learning_rate=3.3e-4)
    panel.load(settings, "patch-contrast")
    assert panel.settings() == settings


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59.4, "1 min"), (61, "1 min 10 s"), (300, "5 min"), (301, "6 min")],
)
def test_an_upper_bound_is_rounded_up(seconds, words):
    assert duration(seconds) == words


# ---- training


def test_train_pressed_twice_asks_once(panel, qtbot):
    asked = []
    panel.train_wanted.connect(lambda: (asked.append(1), panel.show_started()))
    click(qtbot, panel.train_button)
    panel.train_button.click()
    assert asked == [1]
    assert not panel.train_button.isVisible()
    assert panel.progress.isVisible()


def test_progress_is_told_in_words(panel, qtbot):
    panel.show_started()
    panel.show_progress(progress(skipped=3, note="The batch was halved."))
    assert panel.progress.bar.value() == 5
    assert panel.progress.bar.text() == "5 of 20 steps"
    status = panel.progress.status.text()
    assert "at most 1 min 10 s left" in status
    assert "agreement with the stain 0.61" in status
    assert "3 steps skipped" in status
    assert panel.progress.note.text() == "The batch was halved."
    panel.show_progress(progress(6, skipped=0))
    panel.show_progress(progress(7, skipped=0))
    assert panel.progress.bar.value() == 5  # soon, together with the curves
    qtbot.waitUntil(lambda: panel.progress.bar.value() == 7)
    assert "skipped" not in panel.progress.status.text()
    assert panel.progress.note.text() == "The batch was halved."  # until the end of the run


def test_pause_and_resume_are_one_button(panel, qtbot):
    panel.show_started()
    with qtbot.waitSignal(panel.pause_wanted):
        click(qtbot, panel.progress.pause_button)
    panel.show_paused(True)
    assert panel.progress.pause_button.text() == "Resume"
    panel.show_progress(progress())  # the last one before the pause took hold
    assert panel.progress.status.text().startswith("Paused")
    with qtbot.waitSignal(panel.resume_wanted):
        click(qtbot, panel.progress.pause_button)
    panel.show_paused(False)
    assert panel.progress.pause_button.text() == "Pause"


def test_stop_is_acknowledged_and_progress_does_not_undo_that(panel, qtbot):
    panel.show_started()
    with qtbot.waitSignal(panel.stop_wanted):
        click(qtbot, panel.progress.stop_button)
    panel.show_stopping()
    panel.show_progress(progress())
    assert panel.progress.stop_button.text() == "Stopping …"
    assert not panel.progress.stop_button.isEnabled()
    assert panel.progress.status.text().startswith("Stopping")
    panel.show_finished("You stopped after 5 steps.", 4)
    assert panel.train_button.isVisible()
    panel.show_started()
    assert panel.progress.stop_button.text() == "Stop"
    assert panel.progress.stop_button.isEnabled()


def test_the_end_says_why_and_which_step_was_kept(panel):
    panel.show_started()
    panel.show_finished("All 20 steps were taken.", 15)
    assert panel.outcome.text() == "All 20 steps were taken. The best network is that of step 15."
    panel.show_finished("The network of step 15 was kept.", 15)
    assert panel.outcome.text().count("15") == 1


def test_a_failure_is_one_sentence_and_train_comes_back(panel):
    panel.show_started()
    panel.show_problem("There is not enough memory; choose a smaller region.")
    assert panel.outcome.text() == "There is not enough memory; choose a smaller region."
    assert panel.train_button.isVisible()
    assert panel.train_button.isEnabled()
    panel.show_started()
    assert not panel.outcome.isVisible()


def test_the_settings_cannot_be_changed_while_training(panel):
    panel.show_started()
    assert not panel.form.isEnabled()
    assert not panel.preset_buttons["quick"].isEnabled()
    panel.show_idle()
    assert panel.form.isEnabled()


def test_the_curves_open_with_the_training(panel):
    assert not panel.curves.isVisible()
    panel.show_started()
    panel.show_progress(progress())
    assert panel.curves.isVisible()
    panel.show_finished("Done.", 5)
    assert not panel.curves.isVisible()
    assert panel.curves_fold.isVisible()


# ---- objects or regions


def test_regions_have_their_own_form_and_no_presets(panel, qtbot):
    modes = []
    panel.mode_changed.connect(modes.append)
    click(qtbot, panel.mode_switch.buttons["regions"])
    assert (panel.mode, panel.method, modes) == ("regions", "regions", ["regions"])
    assert panel.settings() == RegionSettings()
    qtbot.waitUntil(panel.form.widget_of("n_classes").isVisible)  # Qt shows it a moment later
    assert not panel.form.widget_of("seed").isVisible()  # under Advanced
    assert not panel.preset_buttons["quick"].isVisible()
    assert "seconds" in panel.mode_hint.text()
    panel.form.widget_of("n_classes").setValue(5)
    assert panel.settings().n_classes == 5
    assert panel.changed_note.text() == ""
    click(qtbot, panel.mode_switch.buttons["regions"])
    assert panel.settings().n_classes == 5  # the same mode again changes nothing


def test_back_to_objects_is_as_it_was(panel, qtbot):
    click(qtbot, panel.mode_switch.buttons["regions"])
    click(qtbot, panel.mode_switch.buttons["objects"])
    assert panel.settings() == preset_settings("standard")
    assert panel.preset_buttons["quick"].isVisible()
    assert panel.mode_hint.text() == ""


def test_the_mode_cannot_change_while_it_learns(panel):
    panel.show_started()
    assert not panel.mode_switch.isEnabled()
    panel.show_finished("Done.", None)
    assert panel.mode_switch.isEnabled()


def test_a_stored_run_brings_its_mode(panel):
    panel.load(RegionSettings(n_classes=6), "regions")
    assert panel.mode == "regions"
    assert panel.mode_switch.buttons["regions"].isChecked()
    assert panel.settings().n_classes == 6
    panel.load(PatchContrastSettings(n_steps=77), "patch-contrast")
    assert panel.mode == "objects"
    assert panel.settings().n_steps == 77
