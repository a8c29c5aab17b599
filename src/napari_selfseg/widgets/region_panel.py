"""The result in regions mode: the classes with their names, one of them as objects, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_selfseg.widgets.class_table import ClassTable
from napari_selfseg.widgets.nucleus_click import ClickButton
from napari_selfseg.widgets.provenance_fold import ProvenanceFold
from napari_selfseg.widgets.region_sliders import RegionSliders
from napari_selfseg.widgets.result_panel import CORRECT
from napari_selfseg.widgets.style import Sentence, with_role
from napari_selfseg.widgets.touched_outline import TouchedBox

NOTHING_YET = "Press Train: every kind of tissue gets a colour, and you give it a name."


class RegionPanel(QWidget):
    """Shows the classes that were found and asks for names, sizes, a structure.

    Attributes
    ----------
    click_wanted : Signal(bool)
        The user wants to click a structure, or no longer.
    all_wanted : Signal()
        The user wants to see all classes again.
    """

    click_wanted = Signal(bool)
    all_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.hint, self.problem = Sentence(NOTHING_YET), Sentence(tone="problem")
        self.table, self.sliders = ClassTable(), RegionSliders()
        self.all_button = with_role(
            QPushButton("All regions"), "toggle", "Show and edit the layer of all classes."
        )
        self.all_button.setCheckable(True)
        self.click_button = ClickButton(
            "Click a structure",
            "Then click what you look for, such as the wall of a gland: its class alone is shown "
            "as objects. Esc cancels. The result then says that one click was used.",
        )
        self.count, self.labels_used = QLabel(), QLabel()
        self.touched_box = TouchedBox()
        self.provenance = ProvenanceFold()
        self.found = QWidget()
        self._lay_out()
        self.click_button.toggled.connect(self.click_wanted)
        self.all_button.clicked.connect(self._ask_for_all)
        self.show_nothing()

    def show_nothing(self, learning: bool = False) -> None:
        """There is no result yet."""
        self.hint.tell("Learning …" if learning else NOTHING_YET)
        self.found.hide()
        self.set_picking(False)

    def show_found(self, count: str, labels_used: str, shows_all: bool) -> None:
        """Say what is shown, and which labels touched it."""
        self.hint.tell("")
        self.found.show()
        self.count.setText(f"<b>{count}</b>")
        self.labels_used.setText(f"Labels used: {labels_used}")
        self.all_button.setChecked(shows_all)

    def set_picking(self, on: bool) -> None:
        """Show whether a click on a structure is awaited."""
        self.click_button.set_waiting(on)

    def show_provenance(self, provenance: Mapping[str, Any]) -> None:
        """Show how the result came about."""
        self.provenance.tell(provenance)

    def _ask_for_all(self) -> None:
        self.all_button.setChecked(False)  # `show_found` marks it
        self.all_wanted.emit()

    def _lay_out(self) -> None:
        choose = QHBoxLayout()
        choose.setSpacing(6)
        choose.addWidget(self.all_button, 1)
        choose.addWidget(self.click_button, 2)
        told = QHBoxLayout()
        told.addWidget(self.count)
        told.addStretch()
        told.addWidget(self.labels_used)
        self.labels_used.setProperty("tone", "hint")
        found = QVBoxLayout(self.found)
        found.setContentsMargins(0, 0, 0, 0)
        found.setSpacing(6)
        found.addWidget(self.table)
        found.addLayout(choose)
        found.addLayout(told)
        found.addWidget(Sentence(CORRECT, "hint"))
        found.addWidget(self.touched_box)
        found.addWidget(self.sliders)
        found.addWidget(self.provenance)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for widget in (self.hint, self.problem, self.found):
            column.addWidget(widget)
