"""The switch between finding objects and finding regions."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QWidget

from napari_selfseg.core.methods import Finds
from napari_selfseg.widgets.style import TwoLineButton

MODES: dict[Finds, tuple[str, str, str]] = {
    "objects": (
        "Find objects",
        "nuclei, cells",
        "One kind of small thing against the rest, each with a number of its own.",
    ),
    "regions": (
        "Find regions",
        "glands, stroma, glass",
        "Several kinds of tissue that fill the tile, each with a colour and a name.",
    ),
}


class ModeSwitch(QWidget):
    """Two buttons of which one is on.

    Attributes
    ----------
    changed : Signal(str)
        The mode, when the user or `set_mode` has changed it.
    """

    changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.mode: Finds = "objects"
        self.buttons: dict[Finds, TwoLineButton] = {}
        group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        for mode, (title, line, tip) in MODES.items():
            button = TwoLineButton(title, line)
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, mode=mode: self.set_mode(mode))
            group.addButton(button)
            row.addWidget(button)
            self.buttons[mode] = button
        self.buttons["objects"].setChecked(True)

    def set_mode(self, mode: Finds) -> None:
        """Choose a mode."""
        self.buttons[mode].setChecked(True)
        if mode != self.mode:
            self.mode = mode
            self.changed.emit(mode)
