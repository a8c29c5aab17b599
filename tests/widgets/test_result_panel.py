"""The result panel: two cards, the maps, the sliders; it only shows and asks."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.instances import LabelSettings
from napari_selfseg.widgets.label_sliders import LabelSliders
from napari_selfseg.widgets.result_panel import ResultPanel
from napari_selfseg.widgets.thumbnails import map_picture, middle

MAPS = np.random.default_rng(0).random((4, 40, 50)).astype(np.float16)


def choice(channel=1, inverted=False):
    return ChannelChoice(channel, inverted, 0.5, "guess", (0.1, 0.5, -0.2, 0.0))


@pytest.fixture
def panel(qtbot):
    widget = ResultPanel()
    qtbot.addWidget(widget)
    widget.resize(350, 900)
    widget.show()
    return widget


@pytest.fixture
def sliders(qtbot):
    widget = LabelSliders()
    qtbot.addWidget(widget)
    widget.show()
    return widget


def click(qtbot, widget):
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


# ---- the two results


def test_at_first_there_is_nothing_to_take(panel):
    assert not panel.cards["threshold"].isEnabled()
    assert not panel.cards["learned"].isEnabled()
    assert not panel.maps_part.isVisible()
    assert not panel.labels_part.isVisible()


def test_a_card_asks_and_the_mark_follows_what_is_shown(panel, qtbot):
    for card in panel.cards.values():
        card.show_result(QPixmap(10, 10), "Otsu", "3 objects", "Start")
    panel.show_active("threshold")
    with qtbot.waitSignal(panel.source_taken) as taken:
        click(qtbot, panel.cards["learned"])
    assert taken.args == ["learned"]
    assert panel.cards["threshold"].isChecked()
    assert not panel.cards["learned"].isChecked()
    panel.show_active("learned")
    assert panel.cards["learned"].isChecked()


def test_the_recommended_one_has_the_badge(panel):
    panel.show_advice("It explains the stain better.", "learned")
    assert panel.cards["learned"].badge.isVisible()
    assert not panel.cards["threshold"].badge.isVisible()
    panel.show_advice("", None)
    assert not panel.cards["learned"].badge.isVisible()


# ---- the maps


def test_the_guess_is_marked_and_another_map_can_be_ticked(panel, qtbot):
    panel.set_maps_shown(True)
    panel.maps.show_maps(MAPS, choice(1), guess=1)
    assert [b.isChecked() for b in panel.maps.buttons] == [False, True, False, False]
    assert ["guess" in c.text() for c in panel.maps.captions] == [False, True, False, False]
    with qtbot.waitSignal(panel.maps.map_taken) as taken:
        click(qtbot, panel.maps.buttons[2])
    assert taken.args == [2]
    panel.maps.show_maps(MAPS, choice(2, inverted=True), guess=1)
    assert panel.maps.buttons[2].isChecked()
    assert "guess" in panel.maps.captions[1].text()
    assert "⇅" in panel.maps.captions[2].text()


def test_any_map_can_be_made_into_labels(panel, qtbot):
    panel.set_maps_shown(True)
    panel.maps.show_maps(MAPS, choice(), guess=None)
    with qtbot.waitSignal(panel.maps.labels_wanted) as wanted:
        click(qtbot, panel.maps.label_buttons[3])
    assert wanted.args == [3]


def test_the_number_of_maps_may_change(panel):
    panel.maps.show_maps(MAPS, choice(), guess=1)
    panel.maps.show_maps(MAPS[:2], choice(), guess=1)
    assert len(panel.maps.buttons) == 2


def test_clicking_a_nucleus_is_switched_on_and_off(panel, qtbot):
    panel.set_maps_shown(True)
    with qtbot.waitSignal(panel.click_wanted) as wanted:
        click(qtbot, panel.click_button)
    assert wanted.args == [True]
    assert "Esc" in panel.click_button.text()
    with qtbot.assertNotEmitted(panel.click_wanted):
        panel.set_picking(False)
    assert panel.click_button.text() == "Click a nucleus"


def test_a_picture_of_a_map_is_bright_where_the_map_is(qtbot):
    one = np.full((60, 60), 0.2, np.float16)
    one[:, 30:] = 0.4
    image = map_picture(one, side=20).toImage()
    assert image.pixelColor(4, 10).lightness() < 20
    assert image.pixelColor(15, 10).lightness() > 235
    flat = map_picture(np.full((60, 60), 0.2, np.float16), side=20).toImage()
    assert flat.pixelColor(4, 10) == flat.pixelColor(15, 10)


def test_the_middle_of_a_small_image_is_all_of_it():
    assert middle((10, 300), 20, 100) == (slice(0, 10), slice(100, 200))


# ---- the sliders


def test_sliders_show_px_without_a_scale_and_microns_with_one(sliders):
    settings = LabelSettings(min_area=160, smoothing=2.0)
    sliders.show_settings(settings, None)
    assert sliders.sliders["min_area"].value() == 160
    assert "px" in sliders._titles["min_area"].text()
    sliders.show_settings(settings, 0.25)
    assert sliders.sliders["min_area"].value() == pytest.approx(10)
    assert sliders.sliders["smoothing"].value() == pytest.approx(0.5)
    assert "µm²" in sliders._titles["min_area"].text()
    assert sliders.settings() == settings


def test_showing_settings_is_no_change_of_the_users(sliders, qtbot):
    with qtbot.assertNotEmitted(sliders.changed):
        sliders.show_settings(LabelSettings(threshold=0.7, split=False, instances=False), 0.5)


@pytest.mark.parametrize("um_per_px", [None, 0.5])
def test_a_moved_slider_gives_settings_in_px_and_leaves_the_others(sliders, qtbot, um_per_px):
    shown = LabelSettings(threshold=0.433, min_area=77, split_smoothing=2.5, morphology_radius=2)
    sliders.show_settings(shown, um_per_px)
    with qtbot.waitSignal(sliders.changed) as changed:
        sliders.sliders["max_hole"].number.setValue(50)
    in_px = 50 if um_per_px is None else 200
    assert changed.args[0] == shown.model_copy(update={"max_hole": in_px})


def test_the_handle_and_the_number_move_together(sliders):
    slider = sliders.sliders["threshold"]
    slider.slider.setValue(30)
    assert slider.value() == pytest.approx(0.3)
    assert sliders.settings().threshold == pytest.approx(0.3)
    slider.number.setValue(0.75)
    assert slider.slider.value() == 75


def test_a_value_beyond_the_slider_is_shown_and_kept(sliders):
    sliders.show_settings(LabelSettings(min_area=50_000), None)
    assert sliders.sliders["min_area"].value() == 50_000
    sliders.sliders["threshold"].number.setValue(0.2)
    assert sliders.settings().min_area == 50_000


def test_the_least_distance_of_centres_is_one_px(sliders):
    sliders.sliders["split_distance"].number.setValue(0)
    assert sliders.settings().split_distance == 1


def test_mask_or_objects(sliders, qtbot):
    with qtbot.waitSignal(sliders.changed) as changed:
        click(qtbot, sliders.mask_button)
    assert not changed.args[0].instances
    assert not sliders.split_box.isEnabled()
    with qtbot.waitSignal(sliders.changed) as changed:
        click(qtbot, sliders.objects_button)
    assert changed.args[0].instances
    sliders.split_box.setChecked(False)
    assert not sliders.settings().split
    assert not sliders.sliders["split_distance"].isEnabled()
