"""The result: threshold and learned side by side, which map, how it becomes labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_selfseg.widgets.candidate import Source
from napari_selfseg.widgets.label_sliders import LabelSliders
from napari_selfseg.widgets.nucleus_click import ClickButton
from napari_selfseg.widgets.provenance_fold import ProvenanceFold
from napari_selfseg.widgets.style import Sentence, with_role
from napari_selfseg.widgets.thumbnails import MapChooser
from napari_selfseg.widgets.touched_outline import TouchedBox

CORRECT = "Correct them below, or with napari's own tools, top left. Ctrl+Z undoes."
PICTURE = QSize(154, 96)


class ResultPanel(QWidget):
    """Shows what was found and asks for another map, polarity, size, kind.

    Parameters
    ----------
    parent : QWidget, optional

    Attributes
    ----------
    source_taken : Signal(str)
        "threshold" or "learned": show these labels.
    flip_wanted : Signal()
    click_wanted : Signal(bool)
        The user wants to click a nucleus, or no longer.
    doubt_wanted : Signal(bool)
        The user wants to see where the networks disagree, or no longer.
    """

    source_taken = Signal(str)
    flip_wanted = Signal()
    click_wanted = Signal(bool)
    doubt_wanted = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cards: dict[Source, SourceCard] = {
            "threshold": SourceCard("Threshold"),
            "learned": SourceCard("Learned"),
        }
        self.advice, self.problem = Sentence(tone="plain"), Sentence(tone="problem")
        self.maps = MapChooser()
        self.flip_button = with_role(
            QPushButton("Flip"), "plain", "The objects are the dark side of this map."
        )
        self.click_button = ClickButton(
            "Click a nucleus",
            "Then click one nucleus in the image: the map that shows it best is taken. "
            "Esc cancels. The result then says that one click was used.",
        )
        self.doubt_button = with_role(
            QPushButton("Show doubt"),
            "toggle",
            "Colours the places where the networks that learned from different beginnings "
            "disagree: look there first.",
        )
        self.doubt_button.setCheckable(True)
        self.touched_box = TouchedBox()
        self.quality = Sentence(tone="hint")
        self.count, self.labels_used = QLabel(), QLabel()
        self.sliders = LabelSliders()
        self.provenance = ProvenanceFold()
        self.maps_part, self.labels_part = QWidget(), QWidget()
        self._lay_out()
        for source, card in self.cards.items():
            card.clicked.connect(lambda _=False, source=source: self.source_taken.emit(source))
        self.flip_button.clicked.connect(self.flip_wanted)
        self.click_button.toggled.connect(self.click_wanted)
        self.doubt_button.clicked.connect(self.doubt_wanted)
        self.show_nothing()

    def show_nothing(self) -> None:
        """There is no tile yet."""
        for source, card in self.cards.items():
            card.show_empty("No tile yet." if source == "threshold" else "Press Train.")
        self.show_active(None)
        self.show_advice("", None)
        self.set_maps_shown(False)

    def show_active(self, source: Source | None) -> None:
        """Mark the card whose labels the sliders act on."""
        for name, card in self.cards.items():
            card.setChecked(name == source)
        self.labels_part.setVisible(source is not None)

    def show_advice(self, sentence: str, recommended: Source | None) -> None:
        """Say which of the two SelfSeg recommends, and why."""
        self.advice.tell(sentence)
        for name, card in self.cards.items():
            card.badge.setVisible(name == recommended)

    def set_maps_shown(self, shown: bool) -> None:
        """Show or hide what only concerns a learned result."""
        self.maps_part.setVisible(shown)
        if not shown:
            self.set_picking(False)

    def set_picking(self, on: bool) -> None:
        """Show whether a click on a nucleus is awaited."""
        self.click_button.set_waiting(on)

    def show_count(self, text: str) -> None:
        """Show how many objects there are."""
        self.count.setText(f"<b>{text}</b>")

    def show_doubt(self, offered: bool, shown: bool) -> None:
        """Offer the map of doubt, or not; say whether it is shown."""
        self.doubt_button.setVisible(offered)
        self.doubt_button.setChecked(shown)

    def show_quality(self, sentence: str) -> None:
        """Say how good the labels are expected to be; "" where nobody knows."""
        self.quality.tell(sentence)

    def show_labels_used(self, labels_used: str) -> None:
        """Say which labels touched the result."""
        self.labels_used.setText(f"Labels used: {labels_used}")

    def show_provenance(self, provenance: Mapping[str, Any] | None) -> None:
        """Show how the result came about; None: nothing to show."""
        self.provenance.setVisible(provenance is not None)
        self.provenance.tell(provenance or {})

    def _lay_out(self) -> None:
        cards = QHBoxLayout()
        cards.setSpacing(6)
        for card in self.cards.values():
            cards.addWidget(card)
        choose = QHBoxLayout()
        choose.setSpacing(6)
        choose.addWidget(self.flip_button)
        choose.addWidget(self.click_button, 1)
        part = QVBoxLayout(self.maps_part)
        part.setContentsMargins(0, 0, 0, 0)
        part.setSpacing(4)
        part.addWidget(Sentence("Which map shows the objects? Wrong guess: take another.", "hint"))
        part.addWidget(self.maps)
        part.addLayout(choose)
        told = QHBoxLayout()
        told.addWidget(self.count)
        told.addStretch()
        told.addWidget(self.labels_used)
        self.labels_used.setProperty("tone", "hint")
        labels = QVBoxLayout(self.labels_part)
        labels.setContentsMargins(0, 0, 0, 0)
        labels.setSpacing(4)
        labels.addLayout(told)
        sure = QHBoxLayout()
        sure.setSpacing(6)
        sure.addWidget(self.quality, 1)
        sure.addWidget(self.doubt_button)
        labels.addLayout(sure)
        labels.addWidget(Sentence(CORRECT, "hint"))
        labels.addWidget(self.touched_box)
        labels.addWidget(self.sliders)
        labels.addWidget(self.provenance)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(cards)
        for widget in (self.advice, self.problem, self.maps_part, self.labels_part):
            column.addWidget(widget)
        self.show_provenance(None)


class SourceCard(QPushButton):
    """One of the two results to choose from: picture, name, what it is, a badge."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setCheckable(True)
        self.setProperty("role", "choice")
        # both as high as the higher one
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.picture, self.line, self.offer = QLabel(), QLabel(), QLabel()
        self.badge = QLabel("★ recommended")
        self.badge.setProperty("role", "badge")
        self.picture.setFixedHeight(PICTURE.height())
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setWordWrap(True)
        self.picture.setProperty("tone", "hint")
        self.line.setProperty("tone", "hint")
        self.offer.setProperty("tone", "offer")
        name = QLabel(f"<b>{title}</b>")
        for label in (self.picture, self.line, self.offer, name, self.badge):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        grid = QGridLayout(self)
        grid.setContentsMargins(5, 5, 5, 5)
        grid.setSpacing(2)
        grid.addWidget(self.picture, 0, 0)
        corner = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
        grid.addWidget(self.badge, 0, 0, corner)
        for row, label in enumerate((name, self.line, self.offer), start=1):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            grid.addWidget(label, row, 0)

    def sizeHint(self) -> QSize:
        """Return what the layout needs; a button would only ask for its text."""
        return self.layout().sizeHint()

    def show_empty(self, why: str, can_be_asked_for: bool = False) -> None:
        """There is nothing to take yet; a click may ask for it."""
        self.picture.setPixmap(QPixmap())
        self.picture.setText(why)
        self.line.setText("")
        self.offer.setText("")
        self.setEnabled(can_be_asked_for)

    def show_result(self, picture: QPixmap, title: str, count: str, offer: str) -> None:
        """Show a result that can be taken: how it was found, how much, what a click does."""
        self.picture.setPixmap(picture)
        self.line.setText(f"{title}<br>{count}")
        self.offer.setText(f"<b>{offer}</b>")
        self.setToolTip("Click to show and edit these labels; the other ones are hidden.")
        self.setEnabled(True)

    def nextCheckState(self) -> None:
        """Leave the mark to `ResultPanel.show_active`; a click only asks."""
