"""The panel of the regions: it shows classes, and asks once for each thing a person does."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_selfseg.core.regions import RegionLabelSettings
from napari_selfseg.widgets.class_colours import class_colormap, class_colour, preview_colormap
from napari_selfseg.widgets.region_panel import RegionPanel

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def panel(qtbot):
    widget = RegionPanel()
    qtbot.addWidget(widget)
    widget.resize(360, 700)
    widget.table.show_classes(("gland", "stroma", "background"), (0.3, 0.5, 0.2), None)
    widget.show_found("3 classes", "none", True)
    widget.show()
    return widget


def rename(qtbot, field, text, key=Qt.Key.Key_Return):
    qtbot.mouseClick(field, LEFT)
    field.selectAll()
    qtbot.keyClicks(field, text)
    qtbot.keyClick(field, key)


def test_a_new_name_is_told_once(panel, qtbot):
    told = []
    panel.table.renamed.connect(lambda *what: told.append(what))
    rename(qtbot, panel.table.names[1], "tumour stroma")
    panel.table.names[1].clearFocus()
    assert told == [(2, "tumour stroma")]


def test_new_shares_do_not_disturb_who_is_typing(panel, qtbot):
    field = panel.table.names[0]
    panel.activateWindow()
    field.setFocus()
    qtbot.waitUntil(field.hasFocus)
    field.selectAll()
    qtbot.keyClicks(field, "tum")
    panel.table.show_classes(("gland", "stroma", "background"), (0.4, 0.4, 0.2), None)
    assert field.text() == "tum"
    assert panel.table.shares[0].text() == "40.0%"


def test_another_number_of_classes_makes_other_rows(panel):
    panel.table.show_classes(tuple("abcde"), (0.2,) * 5, 4)
    assert [field.text() for field in panel.table.names] == list("abcde")
    assert [field.font().bold() for field in panel.table.names] == [False] * 3 + [True, False]


def test_as_objects_tells_the_class(panel, qtbot):
    with qtbot.waitSignal(panel.table.objects_wanted) as told:
        qtbot.mouseClick(panel.table.objects_buttons[2], LEFT)
    assert told.args == [3]


def test_sliders_tell_the_settings_and_showing_tells_nothing(panel, qtbot):
    told = []
    panel.sliders.changed.connect(told.append)
    panel.sliders.show_settings(RegionLabelSettings(min_area_um2=123), 0.5)
    assert told == []
    panel.sliders.sliders["smoothing_um"].number.setValue(4)
    assert told == [RegionLabelSettings(min_area_um2=123, smoothing_um=4)]
    assert "unknown" not in panel.sliders._assumed.text()
    panel.sliders.show_settings(RegionLabelSettings(), None)
    assert "0.25 µm" in panel.sliders._assumed.text()


def test_nothing_yet(panel):
    panel.show_nothing()
    assert not panel.found.isVisible()
    assert "Press Train" in panel.hint.text()
    panel.show_nothing(learning=True)
    assert panel.hint.text() == "Learning …"


def test_the_colours_are_the_same_everywhere():
    labels, preview = class_colormap(4), preview_colormap(4)
    for number in range(1, 5):
        code = class_colour(number)
        rgb = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        assert list(labels.map(number)[:3]) == pytest.approx(rgb, abs=0.01)
        assert list(preview.map(number / 4)[0][:3]) == pytest.approx(rgb, abs=0.01)
    assert preview.map(0.0)[0][3] == 0
    assert labels.map(0)[3] == 0
    assert labels.map(9)[3] == 1  # what a person paints beyond the classes is seen
