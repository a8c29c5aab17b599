"""The form is the settings model: ranges, words and faults come from its fields."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QDoubleSpinBox

from napari_selfseg.core.methods.region_settings import RegionSettings
from napari_selfseg.core.methods.settings import (
    PRESETS,
    PatchContrastSettings,
    TrainingSettings,
    preset_settings,
)
from napari_selfseg.widgets.settings_form import SettingsForm


@pytest.fixture
def form(qtbot):
    widget = SettingsForm(PatchContrastSettings)
    qtbot.addWidget(widget)
    widget.show()
    return widget


def test_a_new_form_holds_the_defaults(form):
    assert form.settings() == PatchContrastSettings()
    assert form.problem() == ""


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_comes_back_as_it_was_shown(form, preset):
    form.set_settings(preset_settings(preset))
    assert form.settings() == preset_settings(preset)


@pytest.mark.parametrize("rate", [1e-3, 5e-4, 2.5e-4, 1.25e-6])
def test_small_numbers_are_neither_shown_nor_taken_as_zero(form, rate):
    form.set_settings(PatchContrastSettings(learning_rate=rate, weight_decay=1e-5))
    shown = form.widget_of("learning_rate")
    assert float(shown.text()) == rate
    assert form.settings().learning_rate == rate
    assert float(form.widget_of("weight_decay").text()) == 1e-5


def test_every_field_has_its_title_and_its_explanation(form):
    for name, field in PatchContrastSettings.model_fields.items():
        assert field.description in form.widget_of(name).toolTip()


def test_one_step_of_a_small_number_is_the_fields_step(form):
    rate = form.widget_of("learning_rate")
    assert isinstance(rate, QDoubleSpinBox)
    rate.stepUp()
    assert form.settings().learning_rate == pytest.approx(1.1e-3)


def test_a_wrong_value_is_told_below_its_field_and_gives_no_settings(form):
    form.widget_of("learning_rate").setValue(0.0)
    assert form.settings() is None
    assert "greater than 0" in form.shown_problem("learning_rate")
    assert form.problem().startswith("Learning rate: must be greater than 0")
    form.widget_of("learning_rate").setValue(0.01)
    assert form.settings().learning_rate == 0.01
    assert form.shown_problem("learning_rate") == ""


def test_settings_that_do_not_go_together_are_told(form):
    form.widget_of("similarity").setCurrentText("featurised-cosine")
    form.widget_of("patch_px").setValue(10)
    assert form.settings() is None
    assert form.problem() == "featurised-cosine needs patches of at least 18 px."
    form.widget_of("patch_px").setValue(18)
    assert form.settings().similarity == "featurised-cosine"


def test_a_value_that_may_be_missing_can_be_switched_off(form):
    form.set_settings(PatchContrastSettings(patch_um=None))
    assert form.settings().patch_um is None
    assert not form.widget_of("patch_um").isEnabled()
    form.set_settings(PatchContrastSettings(patch_um=9.5))
    assert form.widget_of("patch_um").isEnabled()
    assert form.settings().patch_um == 9.5


def test_values_out_of_range_cannot_be_entered(form):
    form.widget_of("batch_size").setValue(10**6)
    assert form.settings().batch_size == 256
    form.widget_of("seed").setValue(2**31 - 1)
    assert form.settings().seed == 2**31 - 1


def test_filling_the_form_is_one_change(form, qtbot):
    changes = []
    form.changed.connect(lambda: changes.append(form.settings()))
    form.set_settings(preset_settings("quick"))
    assert changes == [preset_settings("quick")]


def test_the_methods_own_fields_come_first(qtbot):
    form = SettingsForm(PatchContrastSettings)
    qtbot.addWidget(form)
    form.resize(340, 900)
    form.show()
    own, common = form.widget_of("n_confidence_maps"), form.widget_of("seed")
    assert own.y() < common.y()
    assert set(TrainingSettings.model_fields) < set(PatchContrastSettings.model_fields)


def test_what_changes_nothing_is_not_asked(qtbot):
    form = SettingsForm(RegionSettings)
    qtbot.addWidget(form)
    assert form.settings() == RegionSettings()
    for name in RegionSettings.unused:
        with pytest.raises(KeyError):
            form.widget_of(name)
    form.widget_of("detail_um").setValue(0.1)  # the box stays in its range
    assert form.settings().detail_um == 0.5
