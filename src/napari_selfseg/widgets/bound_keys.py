"""Keys that act on one labels layer only, and take none away from napari."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari.layers import Labels
from napari.utils.key_bindings import coerce_keybinding

Action = Callable[[Labels], None]


class BoundKeys:
    """Keys that are bound to a layer, until they are taken back.

    A key that napari, the user or another plugin has bound for the layer, its kind or the viewer
    stays theirs.

    Parameters
    ----------
    viewer : napari viewer
    layer : Labels
    actions : mapping of str to callable(layer)
        By key, such as "S" or "Shift-S".
    """

    def __init__(self, viewer: Any, layer: Labels, actions: Mapping[str, Action]) -> None:
        self.layer = layer
        taken = _taken_keys(viewer, layer)
        self._bound: dict[Any, Action] = {}
        self.left_out = []
        for key, action in actions.items():
            if str(coerce_keybinding(key)) in taken:
                self.left_out.append(key)
            else:
                self._bound[coerce_keybinding(key)] = bound = _named(action)
                layer.bind_key(key, bound)

    def take_back(self) -> None:
        """Unbind the keys, but not those that somebody else has bound since."""
        for key, action in self._bound.items():
            if self.layer.keymap.get(key) is action:
                self.layer.bind_key(key, None)
        self._bound.clear()


def _named(action: Action) -> Action:
    """Return a plain function: napari asks every bound one for its ``__name__``."""

    def act_on_our_layer(layer: Labels) -> None:
        action(layer)

    return act_on_our_layer


def _taken_keys(viewer: Any, layer: Labels) -> set[str]:
    """Return the keys that do something already while the layer is active."""
    keymaps = [layer.keymap, viewer.keymap]
    for thing in (layer, viewer):
        keymaps += [getattr(kind, "class_keymap", {}) for kind in type(thing).__mro__]
    return {str(key) for keymap in keymaps for key in keymap}
