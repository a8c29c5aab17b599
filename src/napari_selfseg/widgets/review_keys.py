"""Keys of a review, on one labels layer and only while the review goes on.

Of N, P, A and R napari 0.9 itself uses P on labels layers (the paint brush, also on 2), and none
of the others; the viewer uses none of them without Ctrl. A key bound to a layer goes before the
one of its class and before the viewer's, and napari only asks the layer that is active.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari.layers import Labels
from napari.utils.key_bindings import coerce_keybinding


class ReviewKeys:
    """Lets keys do something on a layer, and gives them back.

    Parameters
    ----------
    actions : mapping of str to callable
        By the letter.
    """

    def __init__(self, actions: Mapping[str, Callable[[], None]]) -> None:
        self._actions = {key: _on_layer(action) for key, action in actions.items()}
        self._layer: Labels | None = None
        self._former: dict[str, Any] = {}

    def bind_to(self, layer: Labels | None) -> None:
        """Bind the keys to this layer, or to none; those of the former one are given back."""
        if layer is self._layer:
            return
        self._give_back()
        self._layer = layer
        if layer is None:
            return
        for key, action in self._actions.items():
            self._former[key] = layer.keymap.get(coerce_keybinding(key))
            layer.bind_key(key, action, overwrite=True)

    def _give_back(self) -> None:
        for key, former in self._former.items():
            assert self._layer is not None
            if self._layer.keymap.get(coerce_keybinding(key)) is self._actions[key]:
                self._layer.bind_key(key, former, overwrite=True)
        self._former = {}


def _on_layer(action: Callable[[], None]) -> Callable[[Any], None]:
    def act(_layer: Any) -> None:
        action()

    return act
