"""All that reads or writes napari layers, in one place to import from.

Nothing else in the package touches a layer. Finding and reading image layers is in
`image_layers`, regions of them in `regions`, results and their undo in `result_layers`.
"""

from __future__ import annotations

from typing import Any

from qtpy.compat import isalive

from napari_selfseg.widgets.image_layers import (
    image_layers,
    newest_image,
    three_grey_layers,
    um_per_px_of,
    unwrapped,
)
from napari_selfseg.widgets.regions import (
    REGION_NAME,
    Region,
    TileView,
    ensure_region_layer,
    make_tile_view,
    region_layer,
    visible_corners,
    visible_field,
)
from napari_selfseg.widgets.result_layers import (
    DOUBT_COLOURS,
    PREVIEW_NAME,
    ResultLayers,
    prepare_labels,
)

__all__ = [
    "DOUBT_COLOURS",
    "PREVIEW_NAME",
    "REGION_NAME",
    "Region",
    "ResultLayers",
    "TileView",
    "draw_safely_after_removals",
    "ensure_region_layer",
    "image_layers",
    "make_tile_view",
    "newest_image",
    "prepare_labels",
    "region_layer",
    "three_grey_layers",
    "um_per_px_of",
    "unwrapped",
    "visible_corners",
    "visible_field",
]


def draw_safely_after_removals(viewer: Any) -> None:
    """Let layers be removed without a crash of the canvas; harmless when called twice.

    napari 0.9 deletes the graphics objects of a removed layer at once, in whatever graphics
    context is current. Outside of drawing that is not the canvas's own: its next drawing then
    crashes, always with Mesa's software drawing (seen with napari alone, 0.9.2).
    """
    viewer = unwrapped(viewer)
    canvas = getattr(getattr(getattr(viewer, "window", None), "_qt_viewer", None), "canvas", None)
    native = getattr(canvas, "native", None)
    if not hasattr(native, "makeCurrent") or native.property("selfseg_current"):
        return
    native.setProperty("selfseg_current", True)

    def make_current(_event: Any) -> None:
        if isalive(native):
            native.makeCurrent()

    viewer.layers.events.removing.connect(make_current)
