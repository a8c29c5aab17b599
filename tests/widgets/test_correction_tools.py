"""The correction tools with real keys and a real mouse: each is one step that can be undone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from napari.layers import Labels
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import Qt
from scipy import ndimage
from skimage.draw import disk
from tests.widgets.test_main_job import (  # fixtures too
    RGB,
    TRUTH,
    own_config,  # noqa: F401
    sit_down,  # noqa: F401
)

from napari_selfseg.widgets.editable_labels import EditableLabels
from napari_selfseg.widgets.layers import ensure_region_layer
from napari_selfseg.widgets.tool_list import BY_NAME, TOOLS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def me(sit_down):  # noqa: F811
    """Return a person whose labels are those of the drawn tile, with a clump and a ring."""
    person = sit_down()
    correcting(person)
    return person


def correcting(person, **image):
    """Open the drawn tile, start from the threshold and put known labels into the layer."""
    person.viewer.add_image(RGB, name="biopsy", **image)
    person.wait_until(lambda: person.dock.work is not None)
    person.wait_until(lambda: "threshold" in person.dock.work.candidates)
    take_known_labels(person)


def take_known_labels(person):
    person.click(person.dock.result_panel.cards["threshold"])
    work = person.dock.work
    work.layers.update_labels(work.layer_of("threshold"), known_labels())
    person.viewer.layers.selection.active = person.labels()


def known_labels():
    labels = np.zeros(TRUTH.shape, np.uint16)
    labels[disk((60, 60), 12)] = 1
    labels[disk((60, 81), 11)] = 1  # a clump of two
    labels[disk((60, 140), 14)] = 2
    labels[disk((60, 140), 6)] = 0  # a ring
    labels[disk((140, 60), 12)] = 3
    labels[disk((140, 86), 12)] = 4  # two, two px apart
    labels[disk((140, 160), 12)] = 5
    labels[120:128, 160] = 5  # with a spike
    labels[disk((200, 200), 10)] = 6
    return labels


def hover(me, row, column):
    me.mouse.hover(me.at(row, column))
    me.qtbot.wait(20)  # napari looks at moves every 5 ms


def press(me, name):
    """Press the key of a tool over the canvas."""
    tool = BY_NAME[name]
    modifier = SHIFT if "Shift" in tool.key else Qt.KeyboardModifier.NoModifier
    me.key(getattr(Qt.Key, f"Key_{tool.key[-1]}"), modifier)


def redo(me):
    me.key(Qt.Key.Key_Z, CONTROL | SHIFT)


def draw(me, *places):
    """Draw a line from place to place with the mouse."""
    points = [me.at(*place) for place in places]
    me.mouse.press(points[0])
    for one, other in pairwise(points):
        off = other - one
        me.mouse.by(off.x(), off.y())
    me.mouse.release()


def said(me):
    return me.dock.correction_panel.tools.message.text()


def is_on(me, name):
    return me.dock.correction_panel.tools.buttons[name].isChecked()


def is_one_step(me, before):
    """Whether undo and redo bring back exactly the pixels before and after."""
    after = me.labels().data.copy()
    me.undo()
    is_undone = np.array_equal(me.labels().data, before)
    redo(me)
    is_redone = np.array_equal(me.labels().data, after)
    return is_undone and is_redone and not np.array_equal(before, after)


AT_THE_MOUSE = {
    "delete": ((200, 200), lambda now, old: not now[old == 6].any()),
    "split": ((60, 60), lambda now, old: len(np.unique(now[old == 1])) == 2),
    "holes": ((50, 140), lambda now, old: now[60, 140] == 2),
    "smooth": ((140, 160), lambda now, old: now[120, 160] == 0),
}


def test_keys_act_on_the_object_under_the_mouse(me):
    before = me.labels().data.copy()
    for name, (place, is_done) in AT_THE_MOUSE.items():
        hover(me, *place)
        press(me, name)
        assert is_done(me.labels().data, before), name
        others = ~np.isin(before, [0, before[place]])
        assert np.array_equal(me.labels().data[others], before[others])
        assert me.dock.work.editable().touched()[before == before[place]].all()
        assert is_one_step(me, before)
        assert said(me) == ""
        hover(me, 230, 20)
        press(me, name)
        assert said(me) == "There is no object here."
        me.undo()


def test_buttons_wait_for_clicks(me):
    before, layer = me.labels().data.copy(), me.labels()
    layer.mode = "paint"
    for name, (place, is_done) in AT_THE_MOUSE.items():
        me.click(BY_NAME[name].title)
        assert is_on(me, name)
        assert "Esc ends it" in said(me)
        me.click_pixel(*place)
        assert is_done(layer.data, before), name
        assert is_one_step(me, before)
        me.click_pixel(230, 20)
        assert said(me) == "There is no object here."
        assert is_on(me, name)
        me.key(Qt.Key.Key_Escape)
        assert not is_on(me, name)
        assert layer.mode == "paint"
        me.undo()


def test_a_line_cuts(me):
    before = me.labels().data.copy()
    press(me, "cut")
    assert is_on(me, "cut")
    draw(me, (40, 71), (80, 71))
    now = me.labels().data
    assert set(np.unique(now)) == set(range(8))
    assert now[60, 60] == 1
    assert now[60, 81] == 7
    assert is_one_step(me, before)
    me.click_pixel(60, 60)
    assert "draw a line" in said(me)
    press(me, "cut")
    assert not is_on(me, "cut")


def test_a_line_merges_across_a_narrow_gap(me):
    before = me.labels().data.copy()
    press(me, "merge")
    draw(me, (140, 60), (140, 86))
    now = me.labels().data
    assert len(np.unique(now[np.isin(before, [3, 4])])) == 1
    assert ndimage.label(now == now[140, 60])[1] == 1
    assert is_one_step(me, before)
    draw(me, (140, 60), (140, 160))
    assert "too far apart" in said(me)


def test_two_clicks_merge(me):
    before = me.labels().data.copy()
    me.click("Merge")
    me.click_pixel(140, 60)
    assert "Now click" in said(me)
    me.click_pixel(140, 86)
    assert len(np.unique(me.labels().data[np.isin(before, [3, 4])])) == 1
    assert is_one_step(me, before)
    me.click_pixel(230, 20)
    assert said(me) == "There is no object here."


def test_the_number_touched_before_stays(me):
    layer = me.labels()
    assert np.sum(layer.data == 3) == np.sum(layer.data == 4)
    layer.data_setitem((np.array([140]), np.array([86])), 0)
    layer.data_setitem((np.array([140]), np.array([86])), 4)
    press(me, "merge")
    draw(me, (140, 60), (140, 90))
    assert layer.data[140, 60] == 4


def test_an_outline_becomes_an_object(me):
    before = me.labels().data.copy()
    press(me, "add")
    draw(me, (190, 40), (190, 70), (220, 70), (220, 40))
    now = me.labels().data
    assert now[205, 55] == 7
    assert np.sum(now == 7) == pytest.approx(31 * 31, rel=0.15)
    assert is_one_step(me, before)


def test_a_click_adds_the_nucleus_that_was_missed(me):
    free = [n for n in np.unique(TRUTH)[1:] if not me.labels().data[n == TRUTH].any()]
    assert free
    press(me, "add")
    for number in free[:3]:
        one = number == TRUTH
        before = me.labels().data.copy()
        me.click_pixel(*ndimage.center_of_mass(one))
        new = (me.labels().data > 0) & (before == 0)
        assert np.sum(new & one) / np.sum(new | one) > 0.5
        assert is_one_step(me, before)


def test_an_area_is_cleared(me):
    before = me.labels().data.copy()
    press(me, "clear")
    draw(me, (40, 110), (40, 170), (80, 170), (80, 110))
    assert not np.any(me.labels().data == 2)
    assert me.dock.work.editable().touched()[45, 120]
    assert is_one_step(me, before)


def test_brush_and_eraser_come_with_the_size_of_a_nucleus(me):
    layer = me.labels()
    press(me, "brush")
    assert layer.mode == "paint"
    assert layer.selected_label == 7
    assert "number 7" in said(me)
    assert 8 <= layer.brush_size <= 18
    assert is_on(me, "brush")
    before = layer.data.copy()
    me.stroke(230, 40)
    assert np.any(layer.data == 7)
    assert is_one_step(me, before)
    layer.brush_size = 5
    press(me, "eraser")
    assert layer.mode == "erase"
    assert layer.brush_size == 5  # the person's own
    assert is_on(me, "eraser")
    assert not is_on(me, "brush")
    press(me, "eraser")
    assert layer.mode == "pan_zoom"
    me.key(Qt.Key.Key_2)  # napari's own key is shown too
    assert is_on(me, "brush")


def test_the_next_number_is_nobodys(me):
    hover(me, 200, 200)
    press(me, "delete")  # 6 was touched: it is not given again while it is remembered
    press(me, "next")
    number = me.labels().selected_label
    assert number not in np.unique(me.labels().data)
    assert number not in me.dock.work.editable().reserved()


def test_unlocking(me, monkeypatch):
    unlocked = []
    monkeypatch.setattr(
        EditableLabels, "unlock", lambda self, mask: unlocked.append(mask), raising=False
    )
    hover(me, 60, 140)
    press(me, "unlock")
    assert "Nobody has touched this" in said(me)
    press(me, "unlock_all")
    assert "nothing to unlock" in said(me)
    hover(me, 50, 140)
    press(me, "holes")
    press(me, "unlock")
    (mask,) = unlocked
    assert np.array_equal(mask, me.labels().data == 2)
    press(me, "unlock_all")
    assert np.array_equal(unlocked[-1], me.dock.work.editable().touched())


# ---- manners


def test_no_key_is_napari_s(me):
    ours = {str(coerce_keybinding(tool.key)) for tool in TOOLS}
    assert len(ours) == len(TOOLS)
    napari_s = {
        str(key)
        for provider in (Labels, type(me.viewer))
        for kind in provider.__mro__
        for key in getattr(kind, "class_keymap", {})
    }
    assert {"E", "P", "M", "V", "Ctrl+Z", "Shift+V"} <= napari_s  # they are bound by now
    assert not ours & napari_s
    assert me.dock.corrections.tools.keys_left_out == []
    assert not ours & {"A", "N", "P", "R"}  # the review's


def test_the_keys_are_those_of_the_list(me):
    bound = {str(key) for key in me.labels().keymap}
    assert bound == {str(coerce_keybinding(tool.key)) for tool in TOOLS}
    assert not me.viewer.keymap
    help_window = me.dock.corrections.help
    assert not help_window.isVisible()
    press(me, "help")
    assert help_window.isVisible()
    shown = {name: tuple(label.text() for label in row) for name, row in help_window.rows.items()}
    assert shown == {tool.name: (tool.title, tool.key_said, tool.does) for tool in TOOLS}
    me.click("All keys")
    assert not help_window.isVisible()


def test_napari_s_own_keys_work(me):
    layer = me.labels()
    modes = ("erase", "paint", "polygon", "fill", "pick", "pan_zoom")
    for number, mode in enumerate(modes, start=1):
        me.key(getattr(Qt.Key, f"Key_{number}"))
        assert layer.mode == mode
    for letter, mode in zip("EPFLZ", ("erase", "paint", "fill", "pick", "pan_zoom"), strict=True):
        me.key(getattr(Qt.Key, f"Key_{letter}"))
        assert layer.mode == mode
    me.key(Qt.Key.Key_M)
    assert layer.selected_label == 7
    me.key(Qt.Key.Key_V)
    assert not layer.visible
    me.key(Qt.Key.Key_V)
    me.key(Qt.Key.Key_V, SHIFT)
    assert not me.viewer.layers["biopsy"].visible
    me.key(Qt.Key.Key_V, SHIFT)
    press(me, "cut")
    me.key(Qt.Key.Key_2)  # whoever takes another tool puts ours down
    assert layer.mode == "paint"
    assert not is_on(me, "cut")


def test_keys_do_nothing_on_other_layers(me):
    own = me.viewer.add_labels(known_labels(), name="mine")
    me.viewer.layers.selection.active = own
    before, ours = own.data.copy(), me.labels().data.copy()
    hover(me, 60, 60)
    for tool in TOOLS:
        press(me, tool.name)
        assert str(own.mode) == "pan_zoom"
    assert np.array_equal(own.data, before)
    assert np.array_equal(me.labels().data, ours)
    assert not me.dock.corrections.help.isVisible()
    assert not own.keymap
    me.viewer.layers.selection.active = me.viewer.layers["biopsy"]
    press(me, "delete")
    assert np.array_equal(me.labels().data, ours)


def test_a_key_that_somebody_else_has_stays_theirs(sit_down):  # noqa: F811
    person, theirs = sit_down(), []
    person.viewer.bind_key("D", lambda viewer: theirs.append("D"))
    correcting(person)
    before = person.labels().data.copy()
    hover(person, 200, 200)
    press(person, "delete")
    assert theirs == ["D"]
    assert np.array_equal(person.labels().data, before)
    button = person.dock.correction_panel.tools.buttons["delete"]
    assert button.key.text() == ""
    person.click("Delete")
    person.click_pixel(200, 200)
    assert not np.any(person.labels().data == 6)


def test_a_layer_made_again_has_the_keys(me):
    first = me.labels()
    press(me, "cut")
    me.viewer.layers.remove(first)
    assert not first.keymap
    assert not is_on(me, "cut")
    assert not me.dock.correction_panel.tools.isVisible()
    me.click(me.dock.result_panel.cards["threshold"])
    again = me.labels()
    assert again is not first
    assert again.keymap
    me.viewer.layers.selection.active = again
    place = tuple(int(i) for i in np.argwhere(again.data)[0])
    number = again.data[place]
    hover(me, *place)
    press(me, "delete")
    assert not np.any(again.data == number)


def test_a_closed_dock_takes_its_keys_along(me):
    layer = me.labels()
    press(me, "split")
    me.click("Split")
    me.viewer.window.remove_dock_widget(me.dock)
    me.wait_until(lambda: not layer.keymap)
    assert me.viewer.mouse_double_click_callbacks


def test_esc_takes_back_a_line_and_then_the_tool(me):
    before = me.labels().data.copy()
    press(me, "cut")
    me.mouse.press(me.at(40, 71))
    me.mouse.by(0, 60)
    me.key(Qt.Key.Key_Escape)
    me.mouse.release()
    assert np.array_equal(me.labels().data, before)
    assert is_on(me, "cut")
    me.key(Qt.Key.Key_Escape)
    assert not is_on(me, "cut")


def test_drawing_moves_the_view_only_with_the_space_bar(me):
    centre = me.viewer.camera.center
    press(me, "cut")
    draw(me, (40, 71), (80, 71))
    assert me.viewer.camera.center == pytest.approx(centre)
    me.qtbot.keyPress(me.mouse.native, Qt.Key.Key_Space)
    before = me.labels().data.copy()
    me.mouse.press()
    me.mouse.by(60, 0)
    me.mouse.release()
    me.qtbot.keyRelease(me.mouse.native, Qt.Key.Key_Space)
    assert me.viewer.camera.center != pytest.approx(centre)
    assert np.array_equal(me.labels().data, before)
    assert is_on(me, "cut")
    assert not me.labels().mouse_pan


def test_a_tool_and_the_nucleus_click_put_each_other_down(me):
    me.labels().mode = "paint"
    me.click("Cut")
    me.dock.result_panel.click_wanted.emit(True)
    assert not is_on(me, "cut")
    me.click("Cut")
    assert is_on(me, "cut")
    assert not me.dock.results.nucleus_click.is_waiting
    me.key(Qt.Key.Key_Escape)
    assert me.labels().mode == "paint"


def test_a_key_without_the_mouse_over_the_image_does_nothing(me):
    before = me.labels().data.copy()
    hover(me, 200, 200)
    me.viewer.mouse_over_canvas = False  # as when it leaves
    press(me, "delete")
    assert "Move the mouse over an object" in said(me)
    assert np.array_equal(me.labels().data, before)


def test_hidden_labels_are_not_corrected(me):
    me.labels().visible = False
    before = me.labels().data.copy()
    hover(me, 200, 200)
    press(me, "delete")
    assert "hidden" in said(me)
    assert np.array_equal(me.labels().data, before)


def test_tools_find_the_place_in_turned_and_scaled_layers(sit_down):  # noqa: F811
    person = sit_down()
    correcting(person, scale=(0.5, 0.5), rotate=30, translate=(100, -40))
    person.viewer.reset_view()
    before = person.labels().data.copy()
    hover(person, 200, 200)
    press(person, "delete")
    assert np.array_equal(person.labels().data != before, before == 6)
    press(person, "cut")
    draw(person, (40, 71), (80, 71))
    assert person.labels().data[60, 60] != person.labels().data[60, 81]


def test_tools_find_the_place_in_a_region(sit_down):  # noqa: F811
    person = sit_down()
    larger = np.pad(RGB, ((40, 0), (60, 0), (0, 0)), mode="reflect")
    person.viewer.add_image(larger, name="larger")
    ensure_region_layer(person.viewer, person.viewer.layers["larger"]).add_rectangles(
        [[40, 60], [295, 315]]
    )
    person.dock.tile_panel.region.choose("rectangle")
    person.wait_until(
        lambda: person.dock.work is not None and person.dock.work.tile_view.rows.start == 40
    )
    person.wait_until(lambda: "threshold" in person.dock.work.candidates)
    take_known_labels(person)
    before = person.labels().data.copy()
    hover(person, 240, 260)  # of the larger image
    press(person, "delete")
    assert np.array_equal(person.labels().data != before, before == 6)
