"""Lines over a labels layer: a layer that cannot be painted and that nothing is read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_selfseg.widgets.image_layers import OWN
from napari_selfseg.widgets.result_layers import kept_focus


def add_lines(viewer: Any, labels: Labels, name: str, colours: Mapping[int, str]) -> Labels:
    """Add an empty layer for lines of some colours, exactly over a labels layer (M, N).

    It takes neither focus nor tool from any other layer.
    """
    kinds = {None: next(iter(colours.values())), 0: "transparent", **colours}
    lines = Labels(
        np.zeros(labels.data.shape, np.uint8),
        name=name,
        colormap=DirectLabelColormap(color_dict=kinds),
        opacity=1.0,
        blending="translucent",
        metadata={OWN: {"role": "result"}},
        scale=labels.scale,
        translate=labels.translate,
        rotate=labels.rotate,
        shear=labels.shear,
        units=labels.units,
        axis_labels=labels.axis_labels,
        visible=labels.visible,
    )
    lines.affine = labels.affine
    lines.editable = False
    with kept_focus(viewer):
        viewer.layers.insert(viewer.layers.index(labels) + 1, lines)
    return lines
