"""Between the correction panel and the labels of the tile that is shown."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

from napari_selfseg.widgets.candidate import Source
from napari_selfseg.widgets.correction_panel import CorrectionPanel
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.label_edits import Corrected
from napari_selfseg.widgets.label_tools import LabelTools
from napari_selfseg.widgets.region_work import RegionWork
from napari_selfseg.widgets.tile_work import TileWork
from napari_selfseg.widgets.tools_help import ToolsHelp


class CorrectionControl(QObject):
    """Keeps the tools on the labels layers of one tile, and shows what they say.

    Parameters
    ----------
    viewer : napari viewer
    panel : CorrectionPanel
    owner : QWidget
    """

    def __init__(self, viewer: Any, panel: CorrectionPanel, owner: QWidget) -> None:
        super().__init__(owner)
        self._panel = panel
        self._viewer = unwrapped(viewer)
        self._work: TileWork | RegionWork | None = None
        self.tools = LabelTools(viewer, self)
        self.help = ToolsHelp(owner)
        panel.tools.pressed.connect(self.tools.press)
        self.tools.told.connect(panel.tools.message.tell)
        self.tools.told.connect(self._tell_beside)
        self.tools.taken_up.connect(panel.tools.show_taken_up)
        self.tools.help_wanted.connect(self.help.toggle)
        self._viewer.layers.events.removed.connect(self._refresh)

    def show_work(self, work: TileWork | RegionWork | None) -> None:
        """Correct what is shown now; to be called whenever that may have changed."""
        self._work = work
        self._refresh()

    def close(self) -> None:
        """Take the keys back."""
        self._viewer.layers.events.removed.disconnect(self._refresh)
        self.tools.close()
        self.help.close()

    def _tell_beside(self, sentence: str, tone: str) -> None:
        """Tell a problem below the canvas, too: the dock may be scrolled away."""
        if tone == "problem":
            self._viewer.status = sentence

    def _refresh(self, _event: Any = None) -> None:
        work = self._work
        corrected = _corrected(work) if isinstance(work, TileWork) else []
        self.tools.show(corrected)
        left_out = self.tools.keys_left_out
        self._panel.tools.show_keys(left_out)
        self.help.show_keys(left_out)
        self._panel.show_state(bool(corrected), isinstance(work, RegionWork))


def _corrected(work: TileWork) -> list[Corrected]:
    """Return the labels of a tile that are in the viewer, the active ones first."""
    sources: list[Source] = sorted(work.candidates, key=lambda source: source != work.active)
    found = [(work.editable(source), work.candidates[source]) for source in sources]
    tile = work.tile_view.tile
    return [Corrected(labels, candidate, tile) for labels, candidate in found if labels is not None]
