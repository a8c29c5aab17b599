"""Saving and opening: the panel asks for a place, the disk is written by `Storing`."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_selfseg.widgets.export_panel import ExportPanel
from napari_selfseg.widgets.storing import file_stem


@pytest.fixture
def panel(qtbot):
    widget = ExportPanel()
    qtbot.addWidget(widget)
    widget.show()
    return widget


def test_at_first_a_run_can_only_be_opened(panel):
    enabled = [
        button.isEnabled()
        for button in (
            panel.labels_button,
            panel.confidence_button,
            panel.run_button,
            panel.open_button,
        )
    ]
    assert enabled == [False, False, False, True]


@pytest.mark.parametrize(
    ("button", "dialogue", "signal"),
    [
        ("labels_button", "ask_file", "labels_path"),
        ("confidence_button", "ask_file", "confidence_path"),
        ("run_button", "ask_new_folder", "run_folder"),
        ("open_button", "ask_folder", "open_folder"),
    ],
)
def test_a_named_place_is_asked_for_and_a_cancelled_one_is_not(
    panel, qtbot, monkeypatch, button, dialogue, signal
):
    panel.set_available(labels=True, run=True)
    monkeypatch.setattr(panel, dialogue, lambda *_: "somewhere.tif")
    with qtbot.waitSignal(getattr(panel, signal)) as asked:
        qtbot.mouseClick(getattr(panel, button), Qt.MouseButton.LeftButton)
    assert asked.args == ["somewhere.tif"]
    monkeypatch.setattr(panel, dialogue, lambda *_: "")
    with qtbot.assertNotEmitted(getattr(panel, signal)):
        qtbot.mouseClick(getattr(panel, button), Qt.MouseButton.LeftButton)


@pytest.mark.parametrize(
    ("typed", "kind", "path"),
    [
        ("a/b", "PNG (*.png)", "a/b.png"),
        ("a/b", "TIFF with µm/px (*.tif)", "a/b.tif"),
        ("a/b.PNG", "TIFF with µm/px (*.tif)", "a/b.PNG"),
        ("a/b.v2", "TIFF (*.tif)", "a/b.v2.tif"),
        ("", "TIFF (*.tif)", ""),
    ],
)
def test_a_name_without_an_ending_gets_the_chosen_one(panel, monkeypatch, typed, kind, path):
    dialogue = "napari_selfseg.widgets.export_panel.QFileDialog.getSaveFileName"
    monkeypatch.setattr(dialogue, lambda *_: (typed, kind))
    assert panel.ask_file("Save", "name", "kinds") == path


def test_messages_are_sentences_in_the_dock(panel):
    panel.show_done("Saved as a.tif.")
    assert panel.message.isVisible()
    assert panel.message.property("tone") == "good"
    panel.show_problem("a.tif could not be written: the disk is full.")
    assert panel.message.property("tone") == "problem"


@pytest.mark.parametrize(
    ("name", "stem"),
    [("tile 1", "tile_1"), ("a/b:c*?", "a_b_c"), ("  ", "tile"), ("Gewebe µ", "Gewebe_µ")],
)
def test_a_layers_name_becomes_a_file_name(name, stem):
    assert file_stem(name) == stem
