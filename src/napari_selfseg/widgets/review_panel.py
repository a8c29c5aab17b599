"""The review: what to look at now and why, the decision, how far one is, the numbers."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_selfseg.session.review import Decision, Item, Review
from napari_selfseg.widgets.numbers_table import NumbersTable
from napari_selfseg.widgets.style import Fold, Sentence, duration, with_role

INTRODUCTION = (
    "Goes through the objects, the most doubtful first, and through places where some may be "
    "missing. Every fourth is drawn at random: from those the count of the whole tile is "
    "corrected, with an error bar."
)
NO_LABELS = "There are no labels to review yet."
NO_OBJECTS = "The labels are a mask: switch to Objects in the sliders above to review them."
ENDED = "All is checked."
AT_RANDOM = "Drawn at random from all of its kind."
VERDICTS = {"accepted": "✓ accepted", "rejected": "✗ rejected", "fixed": "✎ fixed"}
TONES = {"accepted": "good", "rejected": "problem", "fixed": "offer"}


class ReviewPanel(QWidget):
    """Shows where a review stands, and asks for decisions.

    Attributes
    ----------
    start_wanted, end_wanted : Signal()
    accepted, rejected, next_wanted, previous_wanted : Signal()
    random_only : Signal(bool)
    export_path : Signal(str)
    """

    start_wanted, end_wanted = Signal(), Signal()
    accepted, rejected = Signal(), Signal()
    next_wanted, previous_wanted = Signal(), Signal()
    random_only = Signal(bool)
    export_path = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.suggested_name = "tile"
        self.introduction = Sentence(INTRODUCTION)
        self.start_button = with_role(QPushButton("Start the review"), "main")
        self.place, self.time = QLabel(), QLabel()
        self.bar = QProgressBar()
        self.title, self.verdict, self.reasons = QLabel(), QLabel(), Sentence()
        self.missing = QSpinBox()
        self.previous_button = _key_button("‹ Previous", "P", "Back to the item before.")
        self.next_button = _key_button("Next ›", "N", "On to the next undecided item.")
        self.accept_button = _key_button("Accept", "A", "")
        self.reject_button = _key_button("Reject", "R", "")
        self.at_random = QCheckBox("Only at random")
        self.at_random.setToolTip(
            "No doubtful ones first: the error bars become small sooner, the labels better later."
        )
        self.end_button = with_role(QPushButton("End the review"), "link")
        self.numbers = NumbersTable()
        self.numbers_fold = Fold("Numbers", self.numbers)
        self.export_button = QPushButton("Decisions …")
        self.export_button.setToolTip(
            "Save all items with decision, seconds and inclusion probability as a CSV table."
        )
        self.message = Sentence()
        self._going_on, self._results = QWidget(), QWidget()
        self._lay_out()
        self._connect()
        self.show_nothing(NO_LABELS)

    def show_nothing(self, obstacle: str = "") -> None:
        """There is no review; say what stands in the way of one, if anything does."""
        self._going_on.hide()
        self._results.hide()
        self.introduction.tell(obstacle or INTRODUCTION)
        self.start_button.setVisible(True)
        self.start_button.setEnabled(not obstacle)
        self.start_button.setText("Start the review")

    def show_busy(self, sentence: str) -> None:
        """Say what is being done before a review begins."""
        self.introduction.tell(sentence)
        self.start_button.setEnabled(False)

    def show_review(self, review: Review, is_going_on: bool, problem: str = "") -> None:
        """Show where a review stands."""
        n, total = review.n_decided, len(review.items)
        self.introduction.tell("" if is_going_on else _so_far(review))
        self.start_button.setVisible(not is_going_on and n < total)
        self.start_button.setEnabled(not problem)
        self.start_button.setText("Go on with the review")
        self._going_on.setVisible(is_going_on)
        self._results.show()
        self.bar.setRange(0, max(total, 1))
        self.bar.setValue(n)
        self.bar.setToolTip(f"{n:,} of {total:,} are decided.")
        self.at_random.blockSignals(True)
        self.at_random.setChecked(review.doubtful_in_a_row == 0)
        self.at_random.blockSignals(False)
        item = review.current
        for button in self._buttons:
            button.setEnabled(item is not None and not problem)
        if problem:
            self.message.tell(problem, "problem")
        if item is None:
            self.place.setText("Nothing to review")
            self.title.setText("There is no object, and no place to look for one.")
            self.reasons.tell("")
            self._missing_row.hide()
            return
        self.place.setText(f"<b>{review.at + 1:,}</b> of {total:,}")
        self._show_item(item, review.decision(item))

    def show_time(self, seconds: float, is_idle: bool) -> None:
        """Show the time spent."""
        words = "0 s" if seconds < 1 else duration(seconds)
        self.time.setText(f"{words} · paused" if is_idle else words)

    def show_done(self, sentence: str) -> None:
        """Say what went well."""
        self.message.tell(sentence, "good")

    def show_news(self, sentence: str) -> None:
        """Say what has changed by itself."""
        self.message.tell(sentence, "hint")

    def show_problem(self, sentence: str) -> None:
        """Say what went wrong."""
        self.message.tell(sentence, "problem")

    def _show_item(self, item: Item, decision: Decision | None) -> None:
        unit, is_object = item.unit, item.unit.kind == "object"
        self.title.setText(
            f"Object {unit.number}" if is_object else "Is anything missing in the frame?"
        )
        self.verdict.setText("" if decision is None else VERDICTS[decision.verdict])
        self.verdict.setProperty("tone", None if decision is None else TONES[decision.verdict])
        self.verdict.style().unpolish(self.verdict)
        self.verdict.style().polish(self.verdict)
        why = " · ".join(unit.reasons)
        why = why[:1].upper() + why[1:]
        if item.by == "random":
            why = AT_RANDOM + (f" {why}." if why else "")
        self.reasons.tell(why or "Doubtful all in all.")
        self.accept_button.setText("Accept  (A)" if is_object else "Nothing missing  (A)")
        self.reject_button.setText("Reject  (R)" if is_object else "Missing  (R)")
        self.accept_button.setToolTip(
            "It is right: its pixels are known from now on."
            if is_object
            else "The free background in the frame is known from now on."
        )
        self.reject_button.setToolTip(
            "It is no object: delete it (can be undone)."
            if is_object
            else "Some are missing: say how many. Better: paint them, then press Next."
        )
        self._missing_row.setVisible(not is_object)
        self.missing.setValue(1 if decision is None else max(decision.missing, 1))

    @property
    def _buttons(self) -> tuple[QPushButton, ...]:
        return self.accept_button, self.reject_button, self.previous_button, self.next_button

    def _ask_export(self) -> None:
        name = f"{self.suggested_name}_review.csv"
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the decisions", name, "Comma-separated values (*.csv)"
        )
        if path:
            ends_well = path.lower().endswith(".csv")
            self.export_path.emit(path if ends_well else f"{path}.csv")

    def _connect(self) -> None:
        self.start_button.clicked.connect(self.start_wanted)
        self.end_button.clicked.connect(self.end_wanted)
        self.accept_button.clicked.connect(self.accepted)
        self.reject_button.clicked.connect(self.rejected)
        self.next_button.clicked.connect(self.next_wanted)
        self.previous_button.clicked.connect(self.previous_wanted)
        self.at_random.toggled.connect(self.random_only)
        self.export_button.clicked.connect(self._ask_export)

    def _lay_out(self) -> None:
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.time.setProperty("tone", "hint")
        self.missing.setRange(1, 999)
        self.missing.setFixedWidth(64)
        # the keys belong to the image, also after a click here
        for button in (*self._buttons, self.start_button, self.at_random, self.end_button):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        head = QHBoxLayout()
        head.addWidget(self.place)
        head.addStretch()
        head.addWidget(self.time)
        about = QHBoxLayout()
        about.addWidget(self.title, 1)
        about.addWidget(self.verdict)
        self._missing_row = QWidget()
        missing = QHBoxLayout(self._missing_row)
        missing.setContentsMargins(0, 0, 0, 0)
        missing.addWidget(Sentence("Paint what is missing, or say how many:"), 1)
        missing.addWidget(self.missing)
        buttons = QGridLayout()
        buttons.setSpacing(6)
        buttons.addWidget(self.accept_button, 0, 0)
        buttons.addWidget(self.reject_button, 0, 1)
        buttons.addWidget(self.previous_button, 1, 0)
        buttons.addWidget(self.next_button, 1, 1)
        foot = QHBoxLayout()
        foot.addWidget(self.at_random)
        foot.addStretch()
        foot.addWidget(self.end_button)
        inner = QVBoxLayout(self._going_on)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(6)
        inner.addLayout(head)
        inner.addWidget(self.bar)
        inner.addLayout(about)
        inner.addWidget(self.reasons)
        inner.addWidget(self._missing_row)
        inner.addLayout(buttons)
        inner.addLayout(foot)
        results = QVBoxLayout(self._results)
        results.setContentsMargins(0, 0, 0, 0)
        results.setSpacing(6)
        results.addWidget(self.numbers_fold)
        results.addWidget(self.export_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for widget in (self.introduction, self.start_button, self._going_on, self._results):
            column.addWidget(widget)
        column.addWidget(self.message)
        self.numbers_fold.open(True)


def _so_far(review: Review) -> str:
    if review.n_decided == len(review.items):
        return ENDED
    return (
        f"{review.n_decided:,} of {len(review.items):,} are decided: "
        f"{review.count('accepted'):,} accepted, {review.count('rejected'):,} rejected, "
        f"{review.count('fixed'):,} fixed."
    )


def _key_button(words: str, key: str, tip: str) -> QPushButton:
    button = QPushButton(f"{words}  ({key})")
    button.setToolTip(tip)
    return button
