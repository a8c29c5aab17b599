"""The correction tools as buttons with their keys, and what a tool has to say."""

from __future__ import annotations

from collections.abc import Collection

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_selfseg.widgets.style import Sentence, with_role
from napari_selfseg.widgets.tool_list import TOOLS, Tool

IN_A_ROW = 3
LINKS = ("unlock_all", "help")  # below the others, and quieter


class ToolButton(QPushButton):
    """A tool's name on the left, its key on the right."""

    def __init__(self, tool: Tool, role: str) -> None:
        super().__init__(tool.title)
        self._tool = tool
        with_role(self, role)
        self.setCheckable(tool.stays_on)
        self.key = QLabel()
        self.key.setProperty("role", "key")
        self.key.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 0, 5, 0)
        row.addStretch()
        row.addWidget(self.key)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # all as wide
        self.toggled.connect(self._colour_key)
        self.show_key(True)

    def show_key(self, is_ours: bool) -> None:
        """Say the key, unless it does something else here."""
        self.key.setText(self._tool.key_shown if is_ours else "")
        said = f"Key: {self._tool.key_said}" if is_ours else f"{self._tool.key_said} is taken here"
        self.setToolTip(f"{self._tool.does}\n{said}.")

    def _colour_key(self, is_on: bool) -> None:
        self.key.setProperty("on", is_on)
        self.key.style().unpolish(self.key)
        self.key.style().polish(self.key)


class ToolsPanel(QWidget):
    """Asks for a tool; shows which one is on.

    Parameters
    ----------
    parent : QWidget, optional

    Attributes
    ----------
    pressed : Signal(str)
        The name of the tool whose button was pressed.
    """

    pressed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[str, ToolButton] = {}
        for tool in TOOLS:
            button = ToolButton(tool, "quiet" if tool.name in LINKS else "tool")
            button.clicked.connect(lambda _=False, name=tool.name: self.pressed.emit(name))
            self.buttons[tool.name] = button
        self.message = Sentence()
        self._lay_out()

    def show_taken_up(self, name: str) -> None:
        """Show which tool is on; empty for none."""
        for one, button in self.buttons.items():
            button.setChecked(one == name)

    def show_keys(self, left_out: Collection[str]) -> None:
        """Show the keys, but not those that do something else here."""
        for tool in TOOLS:
            self.buttons[tool.name].show_key(tool.key not in left_out)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setSpacing(5)
        tools = [tool for tool in TOOLS if tool.name not in LINKS]
        for i, tool in enumerate(tools):
            grid.addWidget(self.buttons[tool.name], *divmod(i, IN_A_ROW))
        for i in range(IN_A_ROW):
            grid.setColumnStretch(i, 1)
        for column, name in ((0, "unlock_all"), (IN_A_ROW - 1, "help")):
            grid.addWidget(self.buttons[name], len(tools) // IN_A_ROW, column)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(grid)
        column.addWidget(self.message)
