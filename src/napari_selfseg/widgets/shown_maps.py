"""The maps of a tile in their layers: confidence, and where the networks disagree."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_selfseg.widgets.layers import DOUBT_COLOURS, ResultLayers

CONFIDENCE_NAME, DOUBT_NAME = "SelfSeg confidence", "SelfSeg doubt"


class ShownMaps:
    """Shows the maps of the newest result.

    Parameters
    ----------
    layers : ResultLayers
        Of the tile.
    """

    def __init__(self, layers: ResultLayers) -> None:
        self._layers = layers

    @property
    def shows_doubt(self) -> bool:
        """Whether the doubt is to be seen in the viewer now."""
        layer = self._layers.confidence_layer(DOUBT_NAME)
        return layer is not None and bool(layer.visible)

    def show_doubt(self, doubt: NDArray[Any] | None, shown: bool) -> None:
        """Show or hide where the networks disagree, (M, N); nothing is shown without."""
        if doubt is not None and shown:
            layer = self._layers.show_confidence(doubt, DOUBT_NAME, colours=DOUBT_COLOURS)
            layer.visible = True
        elif self.shows_doubt:
            self._layers.confidence_layer(DOUBT_NAME).visible = False

    def show_new(self, confidence: NDArray[Any], doubt: NDArray[Any] | None) -> None:
        """Take the maps (M, N) of another result; the doubt is seen if it was looked at."""
        self._layers.show_confidence(confidence, CONFIDENCE_NAME, visible=False)
        self.show_doubt(doubt, self.shows_doubt)
