"""Regions in a real window with a real mouse: switch, Train, names, one click, sizes, save, again.

Nothing is faked but the file dialogues. ``SELFSEG_SCREENSHOTS=FOLDER`` keeps pictures.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from qtpy.QtCore import Qt
from tests.drawn_regions import CENTRES, EMPTY, GLAND, STROMA, drawn_regions
from tests.widgets.test_main_job import (  # fixtures too
    dialogues,
    own_config,
    sit_down,
)

from napari_selfseg.core.masks import inner_edge
from napari_selfseg.widgets.layers import PREVIEW_NAME

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
__all__ = ["dialogues", "own_config", "sit_down"]

RGB, TRUTH = drawn_regions()
GLAND_WALL = round(0.28 * 240), round(0.3 * 300) + 30
IN_STROMA = 215, 30
LATER = 180_000  # ms


@pytest.fixture
def at_work(sit_down):
    """Return a person with the drawn tile open who has switched to regions."""
    me = sit_down()
    me.viewer.add_image(RGB, name="biopsy", scale=(1.0, 1.0), units=("um", "um"))
    me.wait_until(lambda: me.dock.work is not None and "threshold" in me.dock.work.candidates)
    me.click("Find regions")
    return me


def train(me):
    me.click("Train")
    me.wait_until(lambda: not me.dock.training.is_running, LATER)
    me.wait_until(lambda: regions(me).active == "regions", LATER)
    settle(me)


def regions(me):
    return me.dock.work.regions


def settle(me):
    me.wait_until(lambda: not regions(me).is_finding, LATER)


def layer(me, shown="regions"):
    return regions(me).layer_of(shown)


def click_structure(me, row, column):
    me.click("Click a structure")
    assert me.button("Click one now … (Esc)").isChecked()
    me.click_pixel(row, column)
    me.wait_until(lambda: regions(me).active == "structure", LATER)
    settle(me)


def test_the_switch_shows_what_belongs_to_the_mode(at_work):
    me, panel = at_work, at_work.dock.training_panel
    assert me.button("Find regions").isChecked()
    assert not panel.preset_buttons["quick"].isVisible()
    me.wait_until(panel.form.widget_of("n_classes").isVisible)
    assert panel.settings().n_classes == 3
    assert me.dock.region_panel.isVisible()
    assert not me.dock.result_panel.isVisible()
    me.picture("regions-00-switched")
    me.click("Find objects")
    assert panel.preset_buttons["quick"].isVisible()
    assert panel.method == "patch-contrast"
    assert panel.preset_buttons["standard"].isChecked()
    assert me.dock.result_panel.isVisible()
    assert not me.dock.region_panel.isVisible()


def test_the_whole_job(at_work, dialogues, tmp_path):
    me, panel = at_work, at_work.dock.region_panel
    train(me)
    found = layer(me)
    assert isinstance(found, Labels)
    assert found.editable
    assert found.name == "biopsy regions"
    assert np.mean(found.data == TRUTH) > 0.9
    assert PREVIEW_NAME not in me.viewer.layers
    assert [field.text() for field in panel.table.names] == ["region 1", "region 2", "background"]
    shares = [float(label.text().rstrip("%")) / 100 for label in panel.table.shares]
    for number, share in enumerate(shares, start=1):
        assert share == pytest.approx((found.data == number).mean(), abs=0.001)
    colours = [tuple(found.get_color(k)) for k in (1, 2, 3)]
    assert len(set(colours)) == 3
    me.picture("regions-01-found")

    # names
    me.type_in(panel.table.names[0], "gland")
    assert regions(me).result.names == ("gland", "region 2", "background")
    assert list(found.features["class"]) == ["", "gland", "region 2", "background"]
    assert panel.labels_used.text() == "Labels used: none"

    # one click
    click_structure(me, *GLAND_WALL)
    objects = layer(me, "structure")
    assert objects.name == "biopsy gland"
    assert objects.data.max() == 2
    assert objects.visible
    assert not found.visible
    centre = round(CENTRES[0][0] * 240), round(CENTRES[0][1] * 300)
    assert TRUTH[centre] == EMPTY
    assert objects.data[centre] == objects.data[GLAND_WALL] > 0  # the lumen is filled
    assert panel.count.text() == "<b>gland: 2 objects</b>"
    assert panel.labels_used.text() == "Labels used: one click"
    me.picture("regions-02-one-click")

    # sizes act at once, on both layers
    me.type_in(panel.sliders.sliders["max_hole_um2"].number, "0")
    settle(me)
    assert layer(me, "structure").data[centre] == 0
    me.click("Reset")
    settle(me)
    assert layer(me, "structure").data[centre] > 0

    # all classes again, and a correction that a slider leaves alone
    me.click("All regions")
    assert found.visible
    assert not objects.visible
    paint(me, found)
    me.type_in(panel.sliders.sliders["min_area_um2"].number, "900")
    settle(me)
    assert (found.data[me.painted] == EMPTY).all()

    # saved and opened again
    folder = tmp_path / "run"
    dialogues.append(folder)
    me.click("Whole run …")
    message = me.dock.export_panel.message
    me.wait_until(lambda: message.text() == "Saved as run.")
    me.picture("regions-03-saved")
    labels = found.data.copy()
    assert np.array_equal(tifffile.imread(folder / "result" / "labels.tif"), labels)
    told = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert told["labels_used"] == "one click"
    assert told["classes"][0] == "gland"
    me.click("Find objects")
    dialogues.append(folder)
    me.click("Open run …")
    me.wait_until(lambda: layer(me) is not found and regions(me).active == "structure", LATER)
    settle(me)
    assert me.button("Find regions").isChecked()
    assert np.array_equal(layer(me).data, labels)
    assert panel.table.names[0].text() == "gland"
    assert panel.sliders.settings().min_area_um2 == 900
    assert panel.labels_used.text() == "Labels used: one click"


def paint(me, found):
    """Paint background into the stroma."""
    before = found.data.copy()
    me.viewer.layers.selection.active = found
    me.key(Qt.Key.Key_2)
    found.brush_size = 6
    found.selected_label = EMPTY
    me.stroke(*IN_STROMA, columns=40)
    me.painted = (found.data == EMPTY) & (before != EMPTY)
    assert me.painted.sum() > 50


def test_a_correction_is_undone_like_any_other_and_the_share_follows(at_work):
    me = at_work
    train(me)
    found = layer(me)
    before, share = found.data.copy(), me.dock.region_panel.table.shares[EMPTY - 1].text()
    paint(me, found)
    me.wait_until(lambda: me.dock.region_panel.table.shares[EMPTY - 1].text() != share)
    me.undo()
    assert np.array_equal(found.data, before)
    me.wait_until(lambda: me.dock.region_panel.table.shares[EMPTY - 1].text() == share)


def test_what_was_touched_of_regions_is_outlined(at_work):
    me = at_work
    train(me)
    found = layer(me)
    paint(me, found)
    outline = me.dock.region_results.outline
    me.wait_until(lambda: outline.layer is not None)
    touched = me.dock.work.regions.editable().touched()
    me.wait_until(lambda: np.array_equal(outline.layer.data > 0, inner_edge(touched)))
    assert (touched[me.painted]).all()
    box = me.dock.region_panel.touched_box
    box.setChecked(False)
    assert outline.layer is None
    box.setChecked(True)
    me.wait_until(lambda: outline.layer is not None)
    found.visible = False
    assert outline.layer is None


def test_a_slider_beside_a_correction_is_one_undoable_step(at_work):
    me = at_work
    train(me)
    found = layer(me)
    paint(me, found)
    painted = found.data.copy()
    slider = me.dock.region_panel.sliders.sliders["smoothing_um"].slider
    for _ in range(3):
        me.qtbot.keyClick(slider, Qt.Key.Key_PageUp)
    settle(me)
    assert not np.array_equal(found.data, painted)
    assert (found.data[me.painted] == EMPTY).all()
    me.undo()
    assert np.array_equal(found.data, painted)


def test_escape_and_a_click_beside_the_tile_choose_nothing(at_work):
    me = at_work
    train(me)
    me.click("Click a structure")
    me.key(Qt.Key.Key_Escape)
    assert not me.button("Click a structure").isChecked()
    me.click("Click a structure")
    me.click_pixel(-30, 10)
    assert "beside the tile" in me.dock.region_panel.problem.text()
    assert regions(me).result.structure is None


def test_a_click_on_a_corrected_pixel_means_what_was_painted(at_work):
    me = at_work
    train(me)
    paint(me, layer(me))
    row, column = (int(v) for v in np.argwhere(me.painted)[len(np.argwhere(me.painted)) // 2])
    click_structure(me, row, column)
    assert regions(me).result.structure == EMPTY
    assert layer(me, "structure").name == "biopsy background"


def test_another_structure_has_its_own_layer_and_the_first_is_kept(at_work):
    me = at_work
    train(me)
    click_structure(me, *GLAND_WALL)
    first = layer(me, "structure")
    me.click(me.dock.region_panel.table.objects_buttons[STROMA - 1])
    me.wait_until(lambda: layer(me, "structure") not in (None, first), LATER)
    settle(me)
    assert first in me.viewer.layers
    assert not first.visible
    assert layer(me, "structure").visible
    assert regions(me).result.structure == STROMA
    assert regions(me).result.labels_used == "one click"  # the first click was one


def test_switching_shows_the_layers_of_the_mode(at_work):
    me = at_work
    train(me)
    found = layer(me)
    me.click("Find objects")
    assert found.visible  # there is nothing else to see yet
    me.click(me.dock.result_panel.cards["threshold"])
    threshold = me.labels()
    me.click("Find regions")
    assert found.visible
    assert not threshold.visible
    me.click("Find objects")
    assert threshold.visible
    assert not found.visible


def test_a_second_training_makes_new_layers_and_leaves_a_corrected_one(at_work):
    me = at_work
    train(me)
    first = layer(me)
    paint(me, first)
    kept = first.data.copy()
    me.type_in(me.dock.training_panel.form.widget_of("n_classes"), "4")
    train(me)
    assert layer(me) is not first
    assert np.array_equal(first.data, kept)
    assert first.visible
    assert not layer(me).visible
    assert "stays as it is" in me.dock.region_panel.problem.text()
    assert len(me.dock.region_panel.table.names) == 4
    me.click("All regions")
    assert layer(me).visible


def test_a_deleted_layer_comes_back_with_its_colours_and_names(at_work):
    me = at_work
    train(me)
    first = layer(me)
    colours = [tuple(first.get_color(k)) for k in (1, 2, 3)]
    me.viewer.layers.remove(first)
    me.click("All regions")
    again = layer(me)
    assert again is not None
    assert again is not first
    assert [tuple(again.get_color(k)) for k in (1, 2, 3)] == colours
    assert list(again.features["class"])[3] == "background"


def test_the_preview_shows_the_classes_while_it_learns(at_work, monkeypatch):
    me = at_work
    seen = []
    work = regions(me).layers
    show = work.show_preview
    monkeypatch.setattr(
        work, "show_preview", lambda *piece: (show(*piece), seen.append(work.preview.data.copy()))
    )
    train(me)
    assert seen
    assert set(np.unique(seen[-1])) <= {0, 1, 2, 3}
    assert np.mean(seen[-1] == TRUTH) > 0.5


def test_a_blank_tile_is_one_sentence(sit_down):
    me = sit_down()
    me.viewer.add_image(np.full((90, 90, 3), 240, np.uint8), name="white")
    me.wait_until(lambda: me.dock.work is not None)
    me.click("Find regions")
    me.click("Train")
    outcome = me.dock.training_panel.outcome
    me.wait_until(lambda: "looks blank" in outcome.text(), LATER)
    assert me.button("Train").isEnabled()
    assert PREVIEW_NAME not in me.viewer.layers


def test_glands_are_the_first_class(at_work):
    train(at_work)
    assert np.mean(layer(at_work).data[TRUTH == GLAND] == GLAND) > 0.9
