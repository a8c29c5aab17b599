"""Keys that a review borrows from a layer."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.key_bindings import KeymapHandler, coerce_keybinding

from napari_selfseg.widgets.review_keys import ReviewKeys


@pytest.fixture
def layer():
    return Labels(np.zeros((4, 4), np.uint8))


def press(layer, key):
    """Press a key as napari does with this layer active."""
    handler = KeymapHandler()
    handler.keymap_providers = [layer, ViewerModel()]
    return handler.press_key(key)


def test_ours_go_first_and_are_given_back(layer):
    done = []
    keys = ReviewKeys({"P": lambda: done.append("P"), "N": lambda: done.append("N")})
    keys.bind_to(layer)
    press(layer, "P")
    press(layer, "N")
    assert done == ["P", "N"]
    keys.bind_to(None)
    press(layer, "P")
    assert done == ["P", "N"]
    assert not layer.keymap


def test_a_binding_of_the_layer_itself_comes_back(layer):
    done = []
    layer.bind_key("N", lambda _: done.append("theirs"))
    keys = ReviewKeys({"N": lambda: done.append("ours")})
    keys.bind_to(layer)
    press(layer, "N")
    keys.bind_to(None)
    press(layer, "N")
    assert done == ["ours", "theirs"]


def test_what_was_bound_meanwhile_stays(layer):
    keys = ReviewKeys({"N": lambda: None})
    keys.bind_to(layer)
    done = []
    layer.bind_key("N", lambda _: done.append("newer"), overwrite=True)
    keys.bind_to(None)
    press(layer, "N")
    assert done == ["newer"]


def test_another_layer_gets_them_instead(layer):
    other, done = Labels(np.zeros((4, 4), np.uint8)), []
    keys = ReviewKeys({"R": lambda: done.append("R")})
    keys.bind_to(layer)
    keys.bind_to(other)
    assert coerce_keybinding("R") not in layer.keymap
    press(other, "R")
    assert done == ["R"]
