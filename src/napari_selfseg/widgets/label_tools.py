"""The correction tools on their labels layers: keys, mouse, and one undo step per action."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_selfseg.core.editing import EditError, Place, free_numbers, locked_part, object_at
from napari_selfseg.core.proposing import typical_diameter
from napari_selfseg.widgets.bound_keys import BoundKeys
from napari_selfseg.widgets.canvas_gesture import CanvasGesture
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.label_edits import Corrected, edit_of, merge_of, place_of
from napari_selfseg.widgets.regions import world_to_plane
from napari_selfseg.widgets.tool_list import BY_NAME, TOOLS, Tool

BRUSH = 0.5  # of a nucleus's diameter
MODES = {"brush": "paint", "eraser": "erase"}  # napari's own tools


class LabelTools(QObject):
    """Binds the tools to labels layers and does what is asked of them.

    Parameters
    ----------
    viewer : napari viewer
    parent : QObject

    Attributes
    ----------
    told : Signal(str, str)
        A sentence for the user and its tone; an empty one takes the last one back.
    taken_up : Signal(str)
        The name of the tool that is on now; empty for none.
    mouse_wanted : Signal()
        A tool is about to be taken up: nobody else may wait for a click.
    help_wanted : Signal()
        The list of tools was asked for.
    """

    told = Signal(str, str)
    taken_up = Signal(str)
    mouse_wanted = Signal()
    help_wanted = Signal()

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = unwrapped(viewer)
        self._corrected: list[Corrected] = []
        self._keys: list[BoundKeys] = []
        self._sized: list[Labels] = []  # whose brush has got its first size
        self._tool: Tool | None = None
        self._first: Place | None = None  # where the first of two objects was clicked
        self._gesture = CanvasGesture(viewer, self)
        self._gesture.clicked.connect(lambda position: self._on_drawn(np.atleast_2d(position)))
        self._gesture.drawn.connect(self._on_drawn)
        self._gesture.ended.connect(self._on_ended)
        self._viewer.layers.selection.events.active.connect(self._tell_tool)

    @property
    def keys_left_out(self) -> list[str]:
        """Keys that do something else here, so that they are not ours."""
        return self._keys[0].left_out if self._keys else []

    def show(self, corrected: Sequence[Corrected]) -> None:
        """Act on these labels; a button means the first ones, unless others are active."""
        self._corrected = list(corrected)
        layers = [one.layer for one in corrected]
        if {id(layer) for layer in layers} == {id(keys.layer) for keys in self._keys}:
            return
        if not any(self._viewer.layers.selection.active is layer for layer in layers):
            self.put_down()
        self._unbind()
        for layer in layers:
            actions = {tool.key: partial(self._on_key, tool) for tool in TOOLS}
            self._keys.append(BoundKeys(self._viewer, layer, actions))
            layer.events.mode.connect(self._tell_tool)
        self._tell_tool()

    def press(self, name: str) -> None:
        """Do what a button asks for: take the tool up, put it down, or act at once."""
        tool, active = BY_NAME[name], self._viewer.layers.selection.active
        layer = active if self._of(active) is not None else None
        if layer is None and self._corrected and tool.name != "help":
            layer = self._corrected[0].layer
            self._viewer.layers.selection.active = layer
        if tool.stays_on:
            self._take_up(tool, layer)
        else:
            self._do_now(tool, layer)
        self._tell_tool()  # the button may have to be released again

    def put_down(self) -> None:
        """Take no click or line any more; harmless when no tool is on."""
        self._gesture.stop()

    def close(self) -> None:
        """Take everything back that was bound."""
        self.put_down()
        self._unbind()
        self._corrected = []
        self._viewer.layers.selection.events.active.disconnect(self._tell_tool)

    # ---- what is asked

    def _on_key(self, tool: Tool, layer: Labels) -> None:
        if tool.gesture == "click" and not self._viewer.mouse_over_canvas:
            self.told.emit(f"Move the mouse over an object, then press {tool.key_said}.", "problem")
        elif tool.gesture == "click":
            self._act(tool, layer, np.atleast_2d(self._viewer.cursor.position))
        elif tool.stays_on:
            self._take_up(tool, layer)
        else:
            self._do_now(tool, layer)

    def _take_up(self, tool: Tool, layer: Labels | None) -> None:
        is_on = self._tool is tool
        self.put_down()
        self.told.emit("", "hint")
        if is_on or layer is None or not self._is_seen(layer):
            return
        self.mouse_wanted.emit()
        if tool.gesture == "brush":
            self._take_brush(tool, layer)
            return
        self._gesture.start(layer, tool.gesture != "click", closes=tool.gesture == "outline")
        self._tool, self._first = tool, None
        self._tell_hint()
        self._tell_tool()

    def _take_brush(self, tool: Tool, layer: Labels) -> None:
        mode = MODES[tool.name]
        if layer.mode == mode:
            layer.mode = "pan_zoom"
            return
        one = self._of(layer)
        if not any(layer is sized for sized in self._sized):
            n_rows, n_columns = one.tile.shape
            middle = n_rows // 2, n_columns // 2
            nucleus = typical_diameter(one.layer.data, middle, one.tile.um_per_px)
            layer.brush_size = max(round(BRUSH * nucleus), 1)
            self._sized.append(layer)
        if tool.name == "brush":
            self._do_now(BY_NAME["next"], layer)
        layer.mode = mode

    def _do_now(self, tool: Tool, layer: Labels | None) -> None:
        if tool.name == "help":
            self.help_wanted.emit()
        elif layer is not None:
            one = self._of(layer)
            self._try(partial(self._take_number if tool.name == "next" else self._unlock_all, one))

    def _on_drawn(self, world: NDArray[np.float64]) -> None:
        layer = self._viewer.layers.selection.active
        if self._tool is not None and self._of(layer) is not None:
            self._act(self._tool, layer, world)

    # ---- what is done

    def _act(self, tool: Tool, layer: Labels, world: NDArray[np.float64]) -> None:
        """Let a tool act at one world position (1, D), or along a line (P, D)."""
        if not self._is_seen(layer):
            return
        points = world_to_plane(self._viewer, layer, world)
        one = self._of(layer)
        if tool.name == "unlock":
            self._try(partial(self._unlock_at, one, points))
        elif tool.name == "merge" and len(points) == 1:
            self._try(partial(self._merge_clicked, one, points))
        else:
            self._try(lambda: one.editable.edit(edit_of(tool.name, one, points)))

    def _merge_clicked(self, one: Corrected, points: NDArray[np.float64]) -> str:
        labels = one.labels()
        first, self._first = self._first, None
        if first is None:
            place = place_of(points, labels.shape)
            object_at(labels, place)
            self._first = place
            return "Now click the object that belongs to it."
        one.editable.edit(merge_of(one, first, points))
        return ""

    def _take_number(self, one: Corrected) -> str:
        (number,) = free_numbers(one.labels(), 1, one.editable.reserved().tolist())
        one.layer.selected_label = number
        return f"The brush paints number {number:,} now."

    def _unlock_at(self, one: Corrected, points: NDArray[np.float64]) -> None:
        labels = one.labels()
        place = place_of(points, labels.shape)
        one.editable.unlock(locked_part(labels, one.editable.touched(), place))

    def _unlock_all(self, one: Corrected) -> None:
        touched = one.editable.touched()
        if not touched.any():
            raise EditError("Nobody has touched these labels: there is nothing to unlock.")
        one.editable.unlock(touched)

    # ---- what is said

    def _try(self, action: Callable[[], str | None]) -> None:
        """Do something; say what it says, or why it cannot be done."""
        try:
            said = action()
        except EditError as error:
            self.told.emit(str(error), "problem")
            return
        if said:
            self.told.emit(said, "hint")
        else:
            self._tell_hint()

    def _tell_hint(self) -> None:
        self.told.emit(f"{self._tool.does} Esc ends it." if self._tool else "", "hint")

    def _is_seen(self, layer: Labels) -> bool:
        """Whether one sees what one does; else it is said."""
        if self._viewer.dims.ndisplay != 2:
            self.told.emit("Labels are corrected in 2-D: switch below the layer list.", "problem")
        elif not layer.visible:
            self.told.emit("These labels are hidden: show them first.", "problem")
        else:
            return True
        return False

    def _on_ended(self) -> None:
        self._tool = self._first = None
        self._tell_hint()
        self._tell_tool()

    def _tell_tool(self, _event: Any = None) -> None:
        """Say which tool is on, one of napari's own included."""
        active = self._viewer.layers.selection.active
        name = self._tool.name if self._tool is not None else ""
        if not name and self._of(active) is not None:
            name = next((name for name, mode in MODES.items() if mode == active.mode), "")
        self.taken_up.emit(name)

    # ---- layers

    def _of(self, layer: Any) -> Corrected | None:
        return next((one for one in self._corrected if one.layer is layer), None)

    def _unbind(self) -> None:
        for keys in self._keys:
            keys.take_back()
            keys.layer.events.mode.disconnect(self._tell_tool)
        self._keys = []
