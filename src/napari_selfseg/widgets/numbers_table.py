"""The numbers of a tile with their error bars, and of which part of it."""

from __future__ import annotations

from math import isnan

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_selfseg.core.positivity import POSITIVE_OD
from napari_selfseg.session.review_numbers import GOAL, Number, Numbers
from napari_selfseg.widgets.style import Sentence

FIELDS = {"tile": "Whole tile", "view": "Visible field", "shapes": "Drawn shapes"}
NOTHING_CHECKED = "Accept or reject some objects: those drawn at random speak for the others."
TIP = (
    "Corrected: what the tile holds, judged by the objects you checked, with the limits between "
    "which it lies with 95 %. Now: as the labels are at this moment."
)


class NumbersTable(QWidget):
    """Shows `Numbers`, and asks for which part of the tile.

    Attributes
    ----------
    field_changed : Signal()
    """

    field_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field = QComboBox()
        for key, words in FIELDS.items():
            self.field.addItem(words, key)
        self.field.setToolTip(
            "Drawn shapes: the selected shapes layer of your own, or the newest one."
        )
        self.positive_od = QDoubleSpinBox()
        self.positive_od.setRange(0.01, 3.0)
        self.positive_od.setSingleStep(0.01)
        self.positive_od.setValue(POSITIVE_OD)
        self.positive_od.setToolTip(
            "A nucleus is positive above this optical density of DAB, on average."
        )
        self.more, self.problem = Sentence(), Sentence(tone="problem")
        self.cells: dict[str, tuple[QLabel, QLabel]] = {}
        self._grid = QGridLayout()
        self._lay_out()
        self.field.currentIndexChanged.connect(lambda _: self.field_changed.emit())
        self.positive_od.valueChanged.connect(lambda _: self.field_changed.emit())
        self.show_numbers(None)

    def show_numbers(self, numbers: Numbers | None) -> None:
        """Show what is known; None before anything was reviewed."""
        self.problem.tell("")
        self._table.setVisible(numbers is not None)
        self._dab.setVisible(numbers is not None and numbers.positive_share is not None)
        if numbers is None:
            self.more.tell(NOTHING_CHECKED)
            return
        if list(self.cells) != [line.name for line in numbers.lines]:
            self._build(numbers)
        for line in numbers.lines:
            corrected, now = self.cells[line.name]
            corrected.setText(with_limits(line))
            now.setText("" if isnan(line.raw) else in_words(line.raw))
        self.more.tell(*advice(numbers))

    def show_problem(self, sentence: str) -> None:
        """Say why there are no numbers of this part."""
        self._table.hide()
        self.more.tell("")
        self.problem.tell(sentence)

    def _build(self, numbers: Numbers) -> None:
        while self._grid.count():
            self._grid.takeAt(0).widget().deleteLater()
        right = Qt.AlignmentFlag.AlignRight
        for column, words in ((1, "corrected (95 %)"), (2, "now")):
            head = QLabel(words)
            head.setProperty("tone", "hint")
            self._grid.addWidget(head, 0, column, right)
        self.cells = {}
        for row, line in enumerate(numbers.lines, start=1):
            name = QLabel(f"{line.name} <small>{line.unit}</small>")
            name.setToolTip(TIP)
            name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            cells = QLabel(), QLabel()
            cells[0].setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self._grid.addWidget(name, row, 0)
            for column, cell in enumerate(cells, start=1):
                self._grid.addWidget(cell, row, column, right)
            self.cells[line.name] = cells

    def _lay_out(self) -> None:
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(6)
        self._grid.setVerticalSpacing(3)
        self._grid.setColumnStretch(0, 1)
        self._table = QWidget()
        self._table.setLayout(self._grid)
        self._dab = QWidget()
        dab = QHBoxLayout(self._dab)
        dab.setContentsMargins(0, 0, 0, 0)
        dab.addWidget(QLabel("Positive above (optical density)"), 1)
        dab.addWidget(self.positive_od)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        for widget in (self.field, self._table, self._dab, self.more, self.problem):
            column.addWidget(widget)


def with_limits(number: Number) -> str:
    """Return a corrected number with its limits, as rich text."""
    made = number.corrected
    if isnan(made.estimate):
        return "—"
    limits = f"{in_words(made.low)}–{in_words(made.high)}"
    return f"<b>{in_words(made.estimate)}</b> <small>({limits})</small>"


def in_words(value: float) -> str:
    """Return a number with as many digits as one wants to read."""
    digits = 0 if abs(value) >= 100 or value == round(value) else 1
    return f"{value:,.{digits}f}"


def advice(numbers: Numbers) -> tuple[str, str]:
    """Return when to stop, and in which tone it is said."""
    goal = f"± {100 * GOAL:.0f} %"
    skipped = (
        f" {numbers.n_skipped} drawn at random "
        f"{'was' if numbers.n_skipped == 1 else 'were'} skipped: decide on them too, or the "
        "numbers may be off."
        if numbers.n_skipped
        else ""
    )
    if numbers.n_more is None:
        return "Too few of those drawn at random were checked here to say more." + skipped, "hint"
    if numbers.n_more == 0:
        return f"The count is known to {goal}." + skipped, "good"
    return f"About {numbers.n_more:,} more to check for {goal} of the count." + skipped, "hint"
