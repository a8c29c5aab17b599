"""All that has to do with correcting labels, one below the other."""

from __future__ import annotations

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_selfseg.widgets.style import Sentence
from napari_selfseg.widgets.tools_panel import ToolsPanel

NOTHING_YET = "Once there are labels, they are corrected here."
ONLY_OBJECTS = "Regions are corrected with napari's own brush and fill."


class CorrectionPanel(QWidget):
    """The correction tools; further parts are added below.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tools = ToolsPanel()
        self.note = Sentence(NOTHING_YET)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(8)
        self.add(self.note)
        self.add(self.tools)
        self.show_state(has_labels=False, has_regions=False)

    def add(self, part: QWidget) -> None:
        """Append a part."""
        self._column.addWidget(part)

    def show_state(self, has_labels: bool, has_regions: bool) -> None:
        """Say what there is to correct."""
        self.note.tell("" if has_labels else ONLY_OBJECTS if has_regions else NOTHING_YET)
        self.tools.setVisible(has_labels)
