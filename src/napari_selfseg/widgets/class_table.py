"""The classes of the result: colour, name to be changed, share of the area, as objects."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QLineEdit, QPushButton, QWidget

from napari_selfseg.core.regions import LONGEST_NAME
from napari_selfseg.widgets.class_colours import class_colour
from napari_selfseg.widgets.style import with_role

SWATCH = QSize(16, 16)


class ClassTable(QWidget):
    """One row per class.

    Attributes
    ----------
    renamed : Signal(int, str)
        Number (from 1) and the new name.
    objects_wanted : Signal(int)
        The user wants this class alone, as objects.
    """

    renamed = Signal(int, str)
    objects_wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.names: list[QLineEdit] = []
        self.shares: list[QLabel] = []
        self.objects_buttons: list[QPushButton] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(3)
        self._grid.setColumnStretch(1, 1)

    def show_classes(
        self, names: Sequence[str], shares: Sequence[float], structure: int | None
    ) -> None:
        """Show names and shares (0..1) of the classes 1..K; ``structure`` is set in bold."""
        if len(names) != len(self.names):
            self._build(len(names))
        for i, (name, share) in enumerate(zip(names, shares, strict=True)):
            field = self.names[i]
            if not field.hasFocus() or not field.isModified():  # somebody is typing
                field.setText(name)
                field.setCursorPosition(0)
            self.shares[i].setText(f"{share:.1%}")
            font = field.font()
            font.setBold(structure == i + 1)
            field.setFont(font)

    def _build(self, n_classes: int) -> None:
        while self._grid.count():
            self._grid.takeAt(0).widget().deleteLater()
        self.names, self.shares, self.objects_buttons = [], [], []
        for row in range(n_classes):
            self._add_row(row)

    def _add_row(self, row: int) -> None:
        number = row + 1
        swatch = QFrame()
        swatch.setFixedSize(SWATCH)
        swatch.setStyleSheet(f"background: {class_colour(number)}; border-radius: 3px;")
        name = QLineEdit()
        name.setMaxLength(LONGEST_NAME)
        name.setToolTip("What this is: click and type, such as 'gland'.")
        name.editingFinished.connect(lambda: self._take_name(number))
        share = QLabel()
        share.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        share.setMinimumWidth(share.fontMetrics().horizontalAdvance("100.0%"))
        share.setToolTip("Share of the tile's area.")
        objects = with_role(
            QPushButton("as objects"),
            "link",
            "Show this class alone: holes filled, every connected part with a number.",
        )
        objects.clicked.connect(lambda: self.objects_wanted.emit(number))
        for column, widget in enumerate((swatch, name, share, objects)):
            self._grid.addWidget(widget, row, column)
        self.names.append(name)
        self.shares.append(share)
        self.objects_buttons.append(objects)

    def _take_name(self, number: int) -> None:
        field = self.names[number - 1]
        if field.isModified():  # Return and the lost focus tell the same twice
            field.setModified(False)
            self.renamed.emit(number, field.text())
