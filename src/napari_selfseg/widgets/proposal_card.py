"""What corrections would change, counted, and the buttons to accept or reject it."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from napari_selfseg.core.changes import ChangeKind, Changes, Counts
from napari_selfseg.session.effects import Effect, Expectation
from napari_selfseg.widgets.proposal_view import COLOURS
from napari_selfseg.widgets.style import Sentence, with_role

TITLE = "What your corrections change"
LOOKING = "Finding out what changes …"
VERBS: dict[ChangeKind, tuple[str, str]] = {
    "appears": ("appears", "appear"),
    "disappears": ("disappears", "disappear"),
    "changes": ("changes", "change"),
}


class ProposalCard(QFrame):
    """Shows a refinement that is not applied yet.

    Attributes
    ----------
    all_accepted, view_accepted, one_accepted : Signal()
    rejected, kept : Signal()
        The rest is left as it is; the model is forgotten, or kept.
    next_wanted, previous_wanted : Signal()
    enough_seen : Signal()
        Other tiles are not to be looked at any more.
    """

    all_accepted, view_accepted, one_accepted = Signal(), Signal(), Signal()
    rejected, kept = Signal(), Signal()
    next_wanted, previous_wanted = Signal(), Signal()
    enough_seen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.title = QLabel(f"<b>{TITLE}</b>")
        self.counts, self.expectation, self.elsewhere = (Sentence(tone="plain") for _ in range(3))
        self.counts.setTextFormat(Qt.TextFormat.RichText)
        self.elsewhere.setTextFormat(Qt.TextFormat.RichText)
        self.stop_link = with_role(QPushButton("Do not look at further tiles"), "link")
        self.place = QLabel()
        self.previous_button, self.next_button = QPushButton("‹ Previous"), QPushButton("Next ›")
        self.all_button = _button("Accept all", "Take everything over (can be undone).")
        self.view_button = _button("Accept in view", "Take over what is visible now.")
        self.one_button = _button("Accept this one", "Take over the change in the frame.")
        self.reject_button = _button("Reject", "")
        self.keep_button = _button("Done", "Keep the model; the rest stays as it is.")
        self.message = Sentence()
        self._lay_out()
        self._connect()

    def show_looking(self) -> None:
        """Show that it is not known yet what changes."""
        self.counts.tell(LOOKING)
        for sentence in (self.expectation, self.message):
            sentence.tell("")
        self._set_available(0, is_known=False)

    def show_changes(self, changes: Changes, expectation: Expectation | None) -> None:
        """Show what changes on the tile."""
        self.counts.tell(in_colours(changes.counts))
        self.counts.setToolTip(changes.counts.sentence())
        self.expectation.tell("" if expectation is None else expectation.sentence())
        self._set_available(len(changes), is_known=True)

    def show_place(self, at: int | None, n: int) -> None:
        """Show which of the changes is looked at; None for none of them yet."""
        self.one_button.setEnabled(at is not None and n > 0)
        total = f"{n:,} change" if n == 1 else f"{n:,} changes"
        self.place.setText(total if at is None else f"{at + 1:,} of {n:,}")

    def show_accepted(self, some: bool) -> None:
        """Show what can be done once something was accepted, or as long as nothing was."""
        self.keep_button.setVisible(some)
        self.reject_button.setText("Drop the model" if some else "Reject")
        self.reject_button.setToolTip(
            "What was accepted stays; the next round learns from the version before."
            if some
            else "Everything stays as it was."
        )

    def show_elsewhere(self, effects: Sequence[Effect], is_looking: bool) -> None:
        """Show what changes on other tiles, as far as it is known."""
        told = [_told_of(effect) for effect in effects]
        told += ["Looking at other tiles …"] if is_looking else []
        self.elsewhere.tell("<br>".join(told))
        self.stop_link.setVisible(is_looking)

    def show_problem(self, sentence: str) -> None:
        """Say what went wrong; empty for nothing."""
        self.message.tell(sentence, "problem")

    def _set_available(self, n: int, is_known: bool) -> None:
        self.all_button.setEnabled(is_known)
        self.one_button.setEnabled(False)
        for button in (self.view_button, self.previous_button, self.next_button):
            button.setEnabled(n > 0)
        self.keep_button.setEnabled(is_known)

    def _lay_out(self) -> None:
        for button in self.findChildren(QPushButton):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the keys belong to the image
        self.place.setAlignment(Qt.AlignmentFlag.AlignCenter)
        walk = QHBoxLayout()
        walk.setSpacing(6)
        for widget in (self.previous_button, self.place, self.next_button):
            walk.addWidget(widget, 1)
        grid = QGridLayout()
        grid.setSpacing(6)
        grid.addWidget(self.all_button, 0, 0)
        grid.addWidget(self.reject_button, 0, 1)
        grid.addWidget(self.view_button, 1, 0)
        grid.addWidget(self.one_button, 1, 1)
        grid.addWidget(self.keep_button, 2, 0, 1, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        for widget in (self.title, self.counts, self.expectation, self.elsewhere, self.stop_link):
            column.addWidget(widget)
        column.addLayout(walk)
        column.addLayout(grid)
        column.addWidget(self.message)

    def _connect(self) -> None:
        self.all_button.clicked.connect(self.all_accepted)
        self.view_button.clicked.connect(self.view_accepted)
        self.one_button.clicked.connect(self.one_accepted)
        self.reject_button.clicked.connect(self.rejected)
        self.keep_button.clicked.connect(self.kept)
        self.next_button.clicked.connect(self.next_wanted)
        self.previous_button.clicked.connect(self.previous_wanted)
        self.stop_link.clicked.connect(self.enough_seen)


def in_colours(counts: Counts) -> str:
    """Return the counts as rich text, with the colours of their outlines."""
    numbers = {"appears": counts.appear, "disappears": counts.disappear, "changes": counts.change}
    parts = []
    for kind, colour in COLOURS.items():
        n = numbers[kind]
        verb = VERBS[kind][0 if n == 1 else 1]
        parts.append(f'<span style="color:{colour}">■</span>&nbsp;{n:,}&nbsp;{verb}')
    stay = f"{counts.stay:,}&nbsp;{'stays' if counts.stay == 1 else 'stay'}"
    return "&nbsp; ".join([*parts, stay])


def _told_of(effect: Effect) -> str:
    told = f"On {effect.name}: {in_colours(effect.counts)}."
    return told if effect.expectation is None else f"{told} {effect.expectation.sentence()}"


def _button(words: str, tip: str) -> QPushButton:
    button = QPushButton(words)
    button.setToolTip(tip)
    return button
