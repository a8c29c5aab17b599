"""What the dock says of the saving: a card of earlier work, a banner of trouble, one quiet line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QPoint, Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_selfseg.widgets.steady_text import SteadyText
from napari_selfseg.widgets.style import Sentence, with_role


class EarlierCard(QFrame):
    """Offers stored work on the image that was opened.

    Attributes
    ----------
    taken, declined : Signal()
    """

    taken = Signal()
    declined = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self._headline = QLabel("There is earlier work on this image")
        self._headline.setProperty("role", "section")
        self._headline.setWordWrap(True)
        self._what, self._unexpected = Sentence(tone="plain"), Sentence()
        self.take_button = with_role(
            QPushButton("Take it up"), "main", "Labels, corrections and sliders as they were."
        )
        self.afresh_button = with_role(
            QPushButton("Start afresh"),
            "choice",
            "The earlier work is kept: Earlier work, at the bottom, brings it back.",
        )
        self.take_button.clicked.connect(self.taken)
        self.afresh_button.clicked.connect(self.declined)
        row = QHBoxLayout()
        row.addWidget(self.take_button, 3)
        row.addWidget(self.afresh_button, 2)
        column = QVBoxLayout(self)
        for widget in (self._headline, self._what, self._unexpected):
            column.addWidget(widget)
        column.addLayout(row)
        self.hide()

    def show_offer(self, what: str, ended_unexpectedly: bool, busy: bool, enabled: bool) -> None:
        """Offer work; nothing if ``what`` is empty."""
        self._what.tell(f"{what[:1].upper()}{what[1:]}." if what else "")
        told = "SelfSeg ended unexpectedly; all but the last few seconds is here."
        self._unexpected.tell(told if ended_unexpectedly else "")
        self.take_button.setText("Taking it up …" if busy else "Take it up")
        for button in (self.take_button, self.afresh_button):
            button.setEnabled(enabled and not busy)
        self.setVisible(bool(what))


class TroubleBanner(QFrame):
    """Says why nothing is saved and what to do, as long as it is so.

    Attributes
    ----------
    retry_wanted, copy_wanted, take_over_wanted : Signal()
    place_chosen : Signal(object)
        The folder in which work is to be kept from now on.
    """

    retry_wanted = Signal()
    copy_wanted = Signal()
    take_over_wanted = Signal()
    place_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "banner")
        self._text = Sentence(tone="problem")
        self.retry_button = with_role(QPushButton("Try again"), "choice")
        self.place_button = with_role(
            QPushButton("Keep it elsewhere …"), "choice", "Choose another folder or drive."
        )
        self.copy_button = with_role(
            QPushButton("Save as a copy"),
            "choice",
            "Keep what you do here beside the work of the other window.",
        )
        self.take_over_button = with_role(
            QPushButton("Save here"),
            "choice",
            "Keep what you see here; what the other window saved stays as earlier work.",
        )
        self.retry_button.clicked.connect(self.retry_wanted)
        self.copy_button.clicked.connect(self.copy_wanted)
        self.take_over_button.clicked.connect(self.take_over_wanted)
        self.place_button.clicked.connect(self._ask_for_place)
        row = QHBoxLayout()
        self._buttons = {
            "retry": self.retry_button,
            "place": self.place_button,
            "take over": self.take_over_button,
            "copy": self.copy_button,
        }
        for button in self._buttons.values():
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.addWidget(self._text)
        column.addLayout(row)
        self.hide()

    def text(self) -> str:
        """Return what is said; empty if there is no trouble."""
        return self._text.text() if not self.isHidden() else ""

    def show_trouble(self, sentence: str, offers: Sequence[str] = ()) -> None:
        """Say what is wrong; nothing if the sentence is empty.

        Parameters
        ----------
        sentence : str
        offers : sequence of {"retry", "place", "take over", "copy"}
            What can be done about it.
        """
        if sentence != self._text.text():
            self._text.tell(sentence)
        for name, button in self._buttons.items():
            button.setVisible(name in offers)
        self.setVisible(bool(sentence))

    def _ask_for_place(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Keep the work in this folder")
        if folder:
            self.place_chosen.emit(Path(folder))


class SavedLine(QWidget):
    """One line at the bottom of the dock: when the work was saved, and earlier work.

    Attributes
    ----------
    earlier_wanted : Signal(int)
        Which of the earlier work is to be taken up.
    """

    earlier_wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = SteadyText(tone="hint")
        self.earlier_button = with_role(
            QPushButton("Earlier work"), "link", "Other work on this image that was kept."
        )
        self._menu = QMenu(self.earlier_button)
        self.earlier_button.clicked.connect(self._open_menu)
        self._told: list[str] = []
        self.earlier_button.hide()
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 0, 8, 4)
        row.addWidget(self.text, 1)
        row.addWidget(self.earlier_button, 0, Qt.AlignmentFlag.AlignRight)

    def show_earlier(self, told: Sequence[str], enabled: bool) -> None:
        """Offer earlier work, each told in one line."""
        self._told = list(told)
        if self.earlier_button.isHidden() == bool(told):
            self.earlier_button.setVisible(bool(told))
        self.earlier_button.setEnabled(enabled)

    def _open_menu(self) -> None:
        self._menu.clear()
        for i, told in enumerate(self._told):
            action = self._menu.addAction(f"Take up: {told}")
            action.triggered.connect(lambda _=False, i=i: self.earlier_wanted.emit(i))
        above = self.earlier_button.mapToGlobal(QPoint(0, -self._menu.sizeHint().height()))
        self._menu.popup(above)
