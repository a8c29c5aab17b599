"""Learning from corrections: the button, how it goes, what it would change, the versions."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_selfseg.session.updates import Progress
from napari_selfseg.session.versions import Versions
from napari_selfseg.widgets.curves import OF_STROKES, LiveCurves
from napari_selfseg.widgets.proposal_card import ProposalCard
from napari_selfseg.widgets.remembered import Remembered
from napari_selfseg.widgets.style import Fold, Sentence, Tone, with_role
from napari_selfseg.widgets.training_progress import TrainingProgress

BY_ITSELF = "learn_by_itself"  # its name among the remembered choices


class LearningPanel(QWidget):
    """Asks for learning from corrections, and shows what comes of it.

    Parameters
    ----------
    viewer : napari viewer
        Its theme gives the curves their colours.
    memory : Remembered, optional
        Where "by itself" is kept.

    Attributes
    ----------
    learn_wanted, cancel_wanted : Signal()
    by_itself_changed : Signal(bool)
    version_wanted : Signal(int)
        The place of a version.
    """

    learn_wanted = Signal()
    cancel_wanted = Signal()
    by_itself_changed = Signal(bool)
    version_wanted = Signal(int)

    def __init__(self, viewer: Any, memory: Remembered | None = None) -> None:
        super().__init__()
        self._memory = memory or Remembered()
        self.learn_button = with_role(
            QPushButton("Learn from my corrections"),
            "main",
            "Learn what you corrected. Nothing is changed before you have seen what it would be.",
        )
        self.taught, self.reason = Sentence(), Sentence()
        self.by_itself = QCheckBox("Learn by itself when I pause")
        self.by_itself.setToolTip(
            "Learn 5 s after your last correction. What it would change is shown, never applied."
        )
        self.by_itself.setChecked(self._memory.all().get(BY_ITSELF) is True)
        self.progress = TrainingProgress(only_cancel=True)
        self.curves = LiveCurves(viewer, shown=OF_STROKES)
        self.curves.set_histogram_shown(False)
        self.curves_fold = Fold("Curves", self.curves)
        self.outcome = Sentence()
        self.card = ProposalCard()
        self.versions = QComboBox()
        self.versions.setToolTip(
            "Every refinement that you accept is a version. Choosing another one brings its "
            "labels and its model back; your corrections stay."
        )
        self._versions_row = QWidget()
        self._lay_out()
        self._connect()
        self.card.hide()
        self.curves_fold.hide()
        self.show_versions(None)
        self.show_idle()

    def show_taught(self, sentence: str, obstacle: str) -> None:
        """Show what there is to learn from, and why nothing can be learned; empty if it can."""
        self.taught.tell(sentence)
        self.reason.tell(obstacle)
        self.learn_button.setEnabled(not obstacle)

    def show_started(self) -> None:
        """Show that learning begins."""
        self.outcome.tell("")
        self.learn_button.hide()
        self.curves.clear()
        self.progress.show_started()
        self.progress.show()
        self.curves_fold.show()
        self.curves_fold.open()

    def show_progress(self, progress: Progress) -> None:
        """Show how far it is."""
        if progress.steps:
            self.curves.add_steps(progress.steps)
        self.progress.show_progress(progress)

    def show_cancelling(self) -> None:
        """Show at once that Cancel was heard."""
        self.progress.show_stopping()

    def show_idle(self) -> None:
        """Show that nothing is being learned."""
        self.progress.hide()
        self.learn_button.show()
        self.curves_fold.open(False)

    def show_outcome(self, sentence: str, tone: Tone = "plain") -> None:
        """Say how it ended."""
        self.outcome.tell(sentence, tone)

    def show_versions(self, versions: Versions | None, can_change: bool = True) -> None:
        """List the versions; one alone is not listed."""
        names = [] if versions is None else [version.name for version in versions.all]
        self._versions_row.setVisible(len(names) > 1)
        self.versions.setEnabled(can_change)
        if names != [self.versions.itemText(i) for i in range(self.versions.count())]:
            self.versions.clear()
            self.versions.addItems(names)
        if versions is not None:
            self.versions.setCurrentIndex(versions.at)

    def _keep_by_itself(self, on: bool) -> None:
        self._memory.put(BY_ITSELF, on)
        self.by_itself_changed.emit(on)

    def _lay_out(self) -> None:
        row = QHBoxLayout(self._versions_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Version"))
        row.addWidget(self.versions, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(6)
        for widget in (self.learn_button, self.progress, self.taught, self.reason):
            column.addWidget(widget)
        column.addWidget(self.by_itself)
        for widget in (self.curves_fold, self.outcome, self.card, self._versions_row):
            column.addWidget(widget)

    def _connect(self) -> None:
        self.learn_button.clicked.connect(self.learn_wanted)
        self.progress.stop_wanted.connect(self.cancel_wanted)
        self.by_itself.toggled.connect(self._keep_by_itself)
        self.versions.activated.connect(self.version_wanted)
