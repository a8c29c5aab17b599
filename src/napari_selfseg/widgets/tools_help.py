"""The list of the correction tools: name, key, what each does."""

from __future__ import annotations

from collections.abc import Collection

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDialog, QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_selfseg.widgets.style import Sentence
from napari_selfseg.widgets.tool_list import TOOLS

WIDTH = 600  # px
WHERE = (
    "The keys work while the SelfSeg labels layer is the active one. Every action is one step: "
    "Ctrl + Z takes it back, Ctrl + Shift + Z does it again."
)
NAPARIS = (
    "napari's own keys are as always: 1 eraser, 2 brush, 4 fill, 5 pick, 6 move, M new number, "
    "[ and ] brush size, Space held down moves the view."
)


class ToolsHelp(QDialog):
    """A small window that stays beside the work.

    Parameters
    ----------
    parent : QWidget
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Tool)
        self.setWindowTitle("Correction tools and keys")
        self.rows: dict[str, tuple[QLabel, QLabel, QLabel]] = {}
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(5)
        grid.setColumnStretch(2, 1)
        for i, tool in enumerate(TOOLS):
            name, key, does = (
                QLabel(tool.title),
                QLabel(tool.key_said),
                Sentence(tool.does, "plain"),
            )
            key.setProperty("role", "keycap")
            for column, label in enumerate((key, name, does)):
                grid.addWidget(label, i, column)
            grid.setAlignment(key, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            self.rows[tool.name] = name, key, does
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 12, 14, 12)
        column.setSpacing(10)
        column.addLayout(grid)
        column.addWidget(Sentence(WHERE))
        column.addWidget(Sentence(NAPARIS))

    def show_keys(self, left_out: Collection[str]) -> None:
        """Show the keys, but not those that do something else here."""
        for tool in TOOLS:
            self.rows[tool.name][1].setText(tool.key_said if tool.key not in left_out else "taken")

    def showEvent(self, event: QShowEvent) -> None:
        """Become as high as the sentences need; known once the style is."""
        self.resize(WIDTH, self.layout().heightForWidth(WIDTH))
        super().showEvent(event)

    def toggle(self) -> None:
        """Show the list, or hide it."""
        self.setVisible(not self.isVisible())
