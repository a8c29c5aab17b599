"""The colours of the classes, the same in the table, the preview and the labels layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.utils.colormaps import Colormap, DirectLabelColormap

# bright, and none of them a stain; told apart by colour-blind people too
COLOURS = (
    "#00a2ff",
    "#ffb000",
    "#1fc46b",
    "#ff5fa2",
    "#8f6bff",
    "#00d4d4",
    "#d9480f",
    "#b5c700",
)
PAINTED = "#ffffff"  # a number beyond the classes that a person paints
PREVIEW_ALPHA = 0.5
CLASS_OPACITY = 0.4  # the classes cover the whole tile, which is to be seen below them


def class_colour(number: int) -> str:
    """Return the colour of a class (from 1) as #rrggbb."""
    return COLOURS[(number - 1) % len(COLOURS)]


def class_colormap(n_classes: int) -> DirectLabelColormap:
    """Return the colours of the classes 1..K for a labels layer."""
    numbered = {k: class_colour(k) for k in range(1, n_classes + 1)}
    return DirectLabelColormap(color_dict={None: PAINTED, 0: "transparent", **numbered})


def preview_colormap(n_classes: int) -> Colormap:
    """Return the same colours for an image layer whose values are the classes, 0 none yet."""
    colours = np.zeros((n_classes + 1, 4), np.float32)
    for number in range(1, n_classes + 1):
        code = class_colour(number)
        rgb = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        colours[number] = *rgb, PREVIEW_ALPHA
    return Colormap(
        colours,
        name=f"selfseg {n_classes} classes",
        interpolation="zero",
        controls=np.linspace(0, 1, n_classes + 2),
    )


def class_features(names: Sequence[str]) -> dict[str, list[Any]]:
    """Return names as the features of a labels layer: napari shows them under the mouse."""
    return {"index": list(range(len(names) + 1)), "class": ["", *names]}
