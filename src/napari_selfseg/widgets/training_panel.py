"""Learning from the tile: presets, the Train button, progress, curves, and the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_selfseg.core.methods import METHODS, Finds, TrainingStep
from napari_selfseg.core.methods.settings import TrainingSettings, preset_settings
from napari_selfseg.session.provenance import preset_of
from napari_selfseg.session.updates import Progress
from napari_selfseg.widgets.curves import LiveCurves
from napari_selfseg.widgets.mode_switch import ModeSwitch
from napari_selfseg.widgets.settings_form import SettingsForm
from napari_selfseg.widgets.style import (
    Fold,
    Sentence,
    TwoLineButton,
    duration,
    leave_wheel_to_dock,
    with_role,
)
from napari_selfseg.widgets.training_progress import TrainingProgress

SHOWN_PRESETS = {
    "quick": "A first look: a few steps, with edges from the stain.",
    "standard": "For most tiles.",
    "thorough": "Tries many random beginnings and learns longest from the best one.",
}
PAPER_PRESET = "as-published"
OWN_SETTINGS = "own"  # stands for what is in the form, in `TrainingPanel.show_seconds`
WHEN_UNKNOWN = "…"  # until the device has been timed


class TrainingPanel(QWidget):
    """Asks for a training and shows how it goes.

    Parameters
    ----------
    viewer : napari viewer
        Its theme gives the curves their colours.
    parent : QWidget, optional

    Attributes
    ----------
    train_wanted, stop_wanted, pause_wanted, resume_wanted : Signal()
    settings_changed : Signal()
        Other settings, so other seconds.
    mode_changed : Signal(str)
        "objects" or "regions".
    """

    train_wanted = Signal()
    stop_wanted = Signal()
    pause_wanted = Signal()
    resume_wanted = Signal()
    settings_changed = Signal()
    mode_changed = Signal(str)

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.curves = LiveCurves(viewer)
        self.train_button = with_role(
            QPushButton("Train"), "main", "Learn from this tile; no labels are needed."
        )
        self.progress = TrainingProgress()
        self.reason, self.outcome = Sentence(tone="hint"), Sentence()
        self.preset_buttons = {name: TwoLineButton(name.capitalize()) for name in SHOWN_PRESETS}
        self.mode_switch, self.mode_hint = ModeSwitch(), Sentence()
        self.method_box = QComboBox()
        self._method_row, self._presets_row, self._main_holder = QWidget(), QWidget(), QWidget()
        self.changed_note = Sentence()
        self.curves_fold = Fold("Curves", self.curves)
        self.advanced_fold = Fold("Advanced", self._advanced())
        self._obstacle, self._running = "", False
        self._told, self._own_seconds, self._is_fault = "", None, False
        self._histogram: Any = None
        self._presets = QButtonGroup(self)
        self._lay_out()
        self._connect()
        self.choose_preset("standard")
        self.show_idle()

    @property
    def mode(self) -> Finds:
        """What is looked for."""
        return self.mode_switch.mode

    # ---- what the user has chosen

    @property
    def method(self) -> str:
        """The name of the chosen method."""
        return str(self.method_box.currentData())

    def settings(self) -> TrainingSettings | None:
        """Return the settings in the form; None if one of them is not valid."""
        return self.form.settings()

    def choose_preset(self, name: str) -> None:
        """Fill the form with a preset."""
        self.form.set_settings(preset_settings(name, self.form.settings_type))

    def load(self, settings: TrainingSettings, method: str) -> None:
        """Show the settings of a stored run."""
        self.mode_switch.set_mode(METHODS[method].finds)
        index = self.method_box.findData(method)
        if index >= 0:
            self.method_box.setCurrentIndex(index)
            self.form.set_settings(settings)

    # ---- what the session tells

    def show_seconds(self, seconds: Mapping[str, float]) -> None:
        """Show what each preset, and what is in the form, costs at most on this device.

        What is missing is not known yet.
        """
        self._own_seconds = seconds.get(OWN_SETTINGS)
        self._show_changed_note()
        for name, button in self.preset_buttons.items():
            known = seconds.get(name)
            button.set_line(WHEN_UNKNOWN if known is None else f"≤ {duration(known)}")
            cost = "" if known is None else " Training often stops earlier by itself."
            button.setToolTip(SHOWN_PRESETS[name] + cost)

    def set_obstacle(self, sentence: str, is_fault: bool = False) -> None:
        """Say why nothing can be learned: no tile yet, or a fault (no torch). Empty: it can."""
        self._obstacle, self._is_fault = sentence, is_fault
        self._refresh()

    def show_started(self) -> None:
        """Show that a training begins."""
        self._running = True
        self.outcome.tell("")
        self.curves.clear()
        self.progress.show_started()
        self.curves_fold.setVisible(True)
        self.curves_fold.open()
        self.advanced_fold.open(False)
        self._refresh()

    def show_progress(self, progress: Progress) -> None:
        """Show where the training is."""
        if progress.histogram is not None and progress.histogram is not self._histogram:
            self._histogram = progress.histogram  # measured less often than told
            self.curves.show_histogram(progress.histogram)
        if progress.steps:
            self.curves.add_steps(progress.steps)
        # after the plots, which have painted at once what waits to be painted
        self.progress.show_progress(progress)

    def show_curves_of(self, steps: Sequence[TrainingStep], kept_step: int) -> None:
        """Show the curves of a stored run."""
        self.curves.clear()
        self.curves.add_steps(steps)
        if kept_step:
            self.curves.mark(kept_step, "kept")
        self.outcome.tell("")
        self.curves_fold.setVisible(True)

    def show_paused(self, paused: bool) -> None:
        """Show that the training holds, or goes on."""
        self.progress.show_paused(paused)

    def show_stopping(self) -> None:
        """Show at once that Stop was heard."""
        self.progress.show_stopping()

    def show_finished(self, because: str, kept_step: int | None) -> None:
        """Say why the training ended, and which step the result comes from."""
        if kept_step and f"step {kept_step} " not in because:
            because += f" The best network is that of step {kept_step}."
        self.outcome.tell(because, "plain")
        if kept_step:
            self.curves.mark(kept_step, "kept")
        self.curves_fold.open(False)
        self.show_idle()

    def show_problem(self, sentence: str) -> None:
        """Show why a training could not be started or failed."""
        self.outcome.tell(sentence, "problem")
        self.show_idle()

    def show_idle(self) -> None:
        """Show that no training is going on."""
        self._running = False
        self._refresh()

    # ---- inside

    def _refresh(self) -> None:
        wrong = self.form.problem()
        obstacle = self._obstacle or (wrong and f"Train is off: {wrong}")
        self.train_button.setVisible(not self._running)
        self.train_button.setEnabled(not obstacle)
        is_fault = self._is_fault or (bool(wrong) and not self._obstacle)
        self.reason.tell("" if self._running else obstacle, "problem" if is_fault else "hint")
        self.progress.setVisible(self._running)
        choices = *self.preset_buttons.values(), self.method_box, self.form, self.paper
        for widget in (*choices, self.mode_switch, self._main_holder):
            widget.setEnabled(not self._running)

    def _lay_out(self) -> None:
        presets = QHBoxLayout(self._presets_row)
        presets.setContentsMargins(0, 0, 0, 0)
        presets.setSpacing(6)
        for name, button in self.preset_buttons.items():
            self._presets.addButton(button)
            presets.addWidget(button)
            button.setToolTip(SHOWN_PRESETS[name])
            button.set_line(WHEN_UNKNOWN)
        self.curves_fold.setVisible(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for widget in (self.mode_switch, self.mode_hint, self._presets_row, self._main_holder):
            column.addWidget(widget)
        column.addWidget(self.changed_note)
        column.addWidget(self.train_button)
        column.addWidget(self.reason)
        for widget in (self.progress, self.outcome, self.curves_fold, self.advanced_fold):
            column.addWidget(widget)

    def _advanced(self) -> QWidget:
        self._offer_methods()
        self.paper = QPushButton("As in the paper")
        self.paper.setToolTip(
            "The published settings: 150 steps on large crops, without stopping by itself. Slow."
        )
        self._summary = Sentence()
        self._holder = QWidget()
        holder = QVBoxLayout(self._holder)
        holder.setContentsMargins(0, 0, 0, 0)
        QVBoxLayout(self._main_holder).setContentsMargins(0, 0, 0, 0)
        first = QHBoxLayout(self._method_row)
        first.setContentsMargins(0, 0, 0, 0)
        first.addWidget(QLabel("Method"))
        first.addWidget(self.method_box, 1)
        first.addWidget(self.paper)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._method_row)
        column.addWidget(self._summary)
        column.addWidget(self._holder)
        self._make_form()
        return content

    def _offer_methods(self) -> None:
        """Fill the box with the methods of the mode."""
        self.method_box.blockSignals(True)
        self.method_box.clear()
        for name, entry in METHODS.items():
            if not entry.needs_annotation and entry.finds == self.mode:
                self.method_box.addItem(entry.title, name)
                self.method_box.setItemData(
                    self.method_box.count() - 1, entry.summary, Qt.ItemDataRole.ToolTipRole
                )
        self.method_box.blockSignals(False)

    def _make_form(self) -> None:
        """Build the form of the chosen method in place of the former one."""
        layout, main = self._holder.layout(), self._main_holder.layout()
        for former in (layout, main):
            while former.count():
                former.takeAt(0).widget().deleteLater()
        entry = METHODS[self.method]
        self.form = SettingsForm(entry.Settings)
        self._summary.tell(entry.summary)
        self.form.changed.connect(self._on_settings)
        leave_wheel_to_dock(self.form)
        layout.addWidget(self.form)
        main.addWidget(self.form.main_part)

    def _connect(self) -> None:
        self.train_button.clicked.connect(self._ask_to_train)
        self.progress.stop_wanted.connect(self.stop_wanted)
        self.progress.pause_wanted.connect(self.pause_wanted)
        self.progress.resume_wanted.connect(self.resume_wanted)
        for name, button in self.preset_buttons.items():
            button.clicked.connect(lambda _=False, name=name: self.choose_preset(name))
        self.paper.clicked.connect(lambda: self.choose_preset(PAPER_PRESET))
        self.method_box.currentIndexChanged.connect(self._take_method)
        self.mode_switch.changed.connect(self._take_mode)

    def _ask_to_train(self) -> None:
        if not self._running:  # a double click asks once
            self.train_wanted.emit()

    def _take_method(self) -> None:
        self._make_form()
        self.choose_preset("standard")

    def _take_mode(self, mode: Finds) -> None:
        self._offer_methods()
        self._take_method()
        entry = METHODS[self.method]
        self.mode_hint.tell(entry.summary if mode == "regions" else "")
        self._summary.setVisible(mode == "objects")
        self.curves.set_histogram_shown(mode == "objects")
        self._presets_row.setVisible(entry.Settings.has_presets)
        self._method_row.setVisible(entry.Settings.has_presets or self.method_box.count() > 1)
        self.outcome.tell("")
        self.mode_changed.emit(mode)

    def _on_settings(self) -> None:
        settings = self.form.settings()
        if settings is not None:
            name, _, changed = preset_of(settings).partition(", ")
            self._presets.setExclusive(False)
            for preset, button in self.preset_buttons.items():
                button.setChecked(preset == name)
            self._presets.setExclusive(True)
            self._told = _told(name, bool(changed)) if settings.has_presets else ""
            self._show_changed_note()
        self._refresh()
        self.settings_changed.emit()

    def _show_changed_note(self) -> None:
        known = self._told and self._own_seconds is not None
        cost = f" At most {duration(self._own_seconds)}." if known else ""
        self.changed_note.tell(self._told + cost)


def _told(name: str, changed: bool) -> str:
    """Return what the preset buttons do not show of the settings."""
    if name == "own":
        return "Your own settings, see Advanced."
    title = "the paper's settings" if name == PAPER_PRESET else name
    if changed:
        return f"{title[0].upper()}{title[1:]}, with changes under Advanced."
    return "The paper's settings." if name == PAPER_PRESET else ""
