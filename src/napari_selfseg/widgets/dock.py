"""The SelfSeg dock: tile, learn, result, correct, review, save."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QPoint, QSize, Qt, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_selfseg.core.images.tile import TileError
from napari_selfseg.core.methods.settings import preset_settings
from napari_selfseg.session.provenance import NOTICE
from napari_selfseg.session.reopened import (
    best_step_of,
    is_tile_of,
    name_of_tile,
    region_result_of,
    result_of,
)
from napari_selfseg.session.store import StoredRegions, StoredRun
from napari_selfseg.session.warmup import DeviceReport, preset_seconds, warm_up
from napari_selfseg.session.work_settings import training_settings
from napari_selfseg.widgets.background import run_once, stop_on_close
from napari_selfseg.widgets.correction_control import CorrectionControl
from napari_selfseg.widgets.correction_panel import CorrectionPanel
from napari_selfseg.widgets.earlier_work import Prepared
from napari_selfseg.widgets.export_panel import ExportPanel
from napari_selfseg.widgets.image_layers import unwrapped
from napari_selfseg.widgets.layers import draw_safely_after_removals, prepare_labels
from napari_selfseg.widgets.learning_control import LearningControl
from napari_selfseg.widgets.learning_panel import LearningPanel
from napari_selfseg.widgets.region_control import RegionControl
from napari_selfseg.widgets.region_panel import RegionPanel
from napari_selfseg.widgets.region_work import RegionWork
from napari_selfseg.widgets.result_control import ResultControl
from napari_selfseg.widgets.result_panel import ResultPanel
from napari_selfseg.widgets.review_control import ReviewControl
from napari_selfseg.widgets.review_panel import ReviewPanel
from napari_selfseg.widgets.session_bar import EarlierCard, SavedLine, TroubleBanner
from napari_selfseg.widgets.session_control import SessionControl, settings_of
from napari_selfseg.widgets.storing import Storing
from napari_selfseg.widgets.style import Section, Sentence, leave_wheel_to_dock, stylesheet
from napari_selfseg.widgets.tile_panel import TilePanel
from napari_selfseg.widgets.tile_work import TileWork
from napari_selfseg.widgets.training_control import THREADS, TrainingControl
from napari_selfseg.widgets.training_panel import OWN_SETTINGS, SHOWN_PRESETS, TrainingPanel

if TYPE_CHECKING:
    import napari.viewer

WIDTH, NARROWEST = 372, 340  # px
LEARNING = "Your corrections are being learned: train anew when that has ended."


class SelfSegDock(QWidget):
    """Everything from a tile to an editable labels layer, from top to bottom.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    warm_up : bool
        Import torch and time this device in the background, for the seconds of the presets.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer", warm_up: bool = True) -> None:  # noqa: UP037
        super().__init__()
        self._viewer = unwrapped(napari_viewer)
        draw_safely_after_removals(self._viewer)
        self._works: list[TileWork] = []
        self._report: DeviceReport | None = None
        self._no_tile, self._scroll_to_result = "", False
        self.tile_panel = TilePanel(self._viewer)
        self.training_panel = TrainingPanel(self._viewer)
        self.result_panel, self.region_panel = ResultPanel(), RegionPanel()
        self.correction_panel, self.export_panel = CorrectionPanel(), ExportPanel()
        self.training = TrainingControl(self._viewer, self.training_panel, self)
        self.learning_panel = LearningPanel(self._viewer)
        self.correction_panel.add(self.learning_panel)
        self.learning = LearningControl(
            self._viewer, self.learning_panel, self.tile_panel.other_tiles, self
        )
        self.corrections = CorrectionControl(self._viewer, self.correction_panel, self)
        for panel in (self.result_panel, self.region_panel):  # before they put a tool aside
            panel.click_wanted.connect(self.corrections.tools.put_down)
        self.results = ResultControl(self._viewer, self.result_panel, self)
        self.region_results = RegionControl(self._viewer, self.region_panel, self)
        self.review_panel = ReviewPanel()
        self.reviews = ReviewControl(self._viewer, self.review_panel, self)
        self.storing = Storing(self.export_panel, self)
        self.earlier_card, self.trouble, self.saved_line = (
            EarlierCard(),
            TroubleBanner(),
            SavedLine(),
        )
        self.session = SessionControl(
            self.earlier_card,
            self.trouble,
            self.saved_line,
            lambda work: settings_of(work, self.training_panel),
            self,
        )
        self._lay_out()
        self._connect()
        self._take_theme()
        self._take_tile()
        stop_on_close(self, self._viewer, self._close_down)
        if warm_up:
            self._warm_up()

    @property
    def work(self) -> TileWork | None:
        """What has been found in the tile that is shown."""
        return self.results.work

    @property
    def in_mode(self) -> TileWork | RegionWork | None:
        """What has been found in the tile in the mode that is chosen."""
        if self.work is None or self.training_panel.mode == "objects":
            return self.work
        return self.work.regions

    def sizeHint(self) -> QSize:
        """Return a width that leaves room for the image."""
        return QSize(WIDTH, 800)

    # ---- the tile

    def _take_tile(self) -> None:
        """Show what is known of the tile that is chosen now."""
        try:
            view = self.tile_panel.tile_view()
        except TileError as error:
            self._no_tile = str(error)
            # an image that went away leaves its results, so that they can still be saved
            if self.work is not None and self.work.is_empty:
                self._show(None)
        else:
            self._no_tile = ""
            self._show(self._work_of(view))
        self._show_obstacle()
        self._show_seconds()

    def _work_of(self, view: Any) -> TileWork:
        for work in self._works:
            if work.is_of(view):
                work.set_view(view)
                return work
        work = TileWork(self._viewer, view, self)
        for former in [w for w in self._works if not w.is_needed]:
            self._works.remove(former)
            self.session.forget(former)
        self._works.append(work)
        keeping = self.session.keep(work)
        keeping.taking_up.connect(lambda told: self.tile_panel.scale.state(told.um_per_px))
        keeping.taken_up.connect(self._on_taken_up)
        work.search.find_threshold()
        return work

    def _show(self, work: TileWork | None) -> None:
        self.results.show_work(work)
        self.region_results.show_work(None if work is None else work.regions)
        self.session.show_work(work)
        self.result_section.note.setText("" if work is None else work.tile_view.tile.name)

    # ---- learning

    def _train(self) -> None:
        try:
            work = self._work_of(self.tile_panel.tile_view())
            others = self.tile_panel.other_tiles()
        except TileError as error:
            self.training_panel.show_problem(str(error))
            return
        self._show(work)
        self.training.start(self.in_mode, others)
        if self.training.is_running:
            for one in (work, work.regions):
                one.make_way()

    def _on_finished(self, work: TileWork | RegionWork, result: Any) -> None:
        self._show(next(one for one in self._works if work in (one, one.regions)))
        work.take_result(result)
        self._scroll_to_result = True

    def _on_mode(self, mode: str) -> None:
        self.result_panel.setVisible(mode == "objects")
        self.region_panel.setVisible(mode == "regions")
        self._stop_picking()
        if self.work is not None and self.in_mode.show_again():
            (self.work.regions if mode == "objects" else self.work).hide()
        self._on_shown()
        self._show_seconds()

    def _stop_picking(self) -> None:
        self.results.nucleus_click.stop()
        self.region_results.structure_click.stop()
        for panel in (self.result_panel, self.region_panel):
            panel.set_picking(False)

    def _on_shown(self) -> None:
        self.corrections.show_work(self.in_mode)
        self.learning.show_work(self.in_mode)
        self.storing.show_work(self.in_mode)
        self.reviews.show_work(self.work if self.in_mode is self.work else None)
        if self._scroll_to_result and self.in_mode is not None and self.in_mode.is_shown:
            self._scroll_to_result = False
            QTimer.singleShot(50, self._scroll_to_outcome)  # after the layout has grown

    def _scroll_to_outcome(self) -> None:
        if isalive(self):
            place = self.training_panel.outcome.mapTo(self.scroll.widget(), QPoint(0, 0))
            self.scroll.verticalScrollBar().setValue(place.y() - 8)

    def _set_running(self, running: bool) -> None:
        self.results.set_learning(running)
        self.region_results.set_learning(running)
        self.session.set_learning(running)
        self.tile_panel.setEnabled(not running)
        self.export_panel.open_button.setEnabled(not running)
        self.learning.set_training(running)
        if not running:
            self.tile_panel.refresh()

    def _warm_up(self) -> None:
        def prepare() -> DeviceReport:
            prepare_labels()
            return warm_up(THREADS)

        run_once(prepare, self._on_warm, lambda *_: None, self)

    def _on_warm(self, report: DeviceReport) -> None:
        self._report = report
        self._show_obstacle()
        self._show_seconds()

    def _show_obstacle(self) -> None:
        problem = self._report.problem if self._report is not None else None
        meanwhile = LEARNING if self.learning.is_running else ""
        obstacle = problem or self._no_tile or meanwhile
        self.training_panel.set_obstacle(obstacle, is_fault=problem is not None)

    def _show_seconds(self) -> None:
        panel, report = self.training_panel, self._report
        seconds: dict[str, float] = {}
        known = report is not None and report.problem is None and self.work is not None
        if known and panel.form.settings_type.has_presets:
            shape, kind = self.work.tile_view.tile.shape, panel.form.settings_type
            wanted = {name: preset_settings(name, kind) for name in SHOWN_PRESETS}
            own = panel.settings()
            wanted |= {OWN_SETTINGS: own} if own is not None else {}
            seconds = {n: preset_seconds(report, s, shape) for n, s in wanted.items()}
        panel.show_seconds(seconds)

    # ---- stored runs

    def _reopen(self, stored: StoredRun | StoredRegions) -> None:
        """Bring a stored run back: settings, curves, and its result on the chosen tile."""
        is_regions = isinstance(stored, StoredRegions)
        panel, work = self.training_panel, self.work
        panel.load(stored.settings, stored.model.method)
        panel.show_curves_of(stored.curves, best_step_of(stored))
        if work is None or self._no_tile:
            self.export_panel.show_problem(
                f"Its settings and curves are back; open the image {name_of_tile(stored)} and "
                "then the run again to see its result."
            )
            return
        tile = work.tile_view.tile
        self.export_panel.show_busy("Drawing the result …")

        def draw() -> Any:
            read = region_result_of if is_regions else result_of
            return read(stored, tile), is_tile_of(stored, tile)

        def show(drawn: Any) -> None:
            result, own = drawn
            edits = [stored.label_settings, stored.labels] if own else [None, None]
            if is_regions:
                objects = stored.objects if own else None
                sizes = stored.label_settings  # in µm, so they fit other tiles too
                work.regions.take_result(result, sizes, edits[1], objects, is_own_run=own)
            else:
                work.take_result(result, *edits, is_own_run=own)
            self._show(work)
            self.export_panel.show_done(result.stopped_because)

        run_once(draw, show, lambda sentence, _: self.export_panel.show_problem(sentence), self)

    # ---- earlier work on the tile

    def _on_taken_up(self, prepared: Prepared) -> None:
        """Show the settings and curves that belong to the work that is shown again."""
        taken, panel = prepared.taken, self.training_panel
        settings = training_settings(taken.settings)
        if settings is not None:
            panel.load(settings, taken.settings.method)
        result = taken.region_result if taken.settings.mode == "regions" else taken.result
        if result is not None:
            panel.show_curves_of(result.curves, result.best_step)
        panel.outcome.tell(taken.note, "problem")

    # ---- inside

    def _lay_out(self) -> None:
        names = ("Tile", "Learn", "Result", "Correct", "Review", "Save")
        found = QWidget()
        modes = QVBoxLayout(found)
        modes.setContentsMargins(0, 0, 0, 0)
        modes.addWidget(self.result_panel)
        modes.addWidget(self.region_panel)
        self.region_panel.hide()
        above = (self.tile_panel, self.training_panel, found)
        panels = (*above, self.correction_panel, self.review_panel, self.export_panel)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(10)
        sections = []
        for number, (name, panel) in enumerate(zip(names, panels, strict=True), start=1):
            section = Section(number, name)
            section.add(panel)
            column.addWidget(section)
            sections.append(section)
        self.tile_section, self.training_section, self.result_section = sections[:3]
        self.correction_section, self.review_section, self.export_section = sections[3:]
        column.addStretch()
        column.addWidget(Sentence(NOTICE))
        self.scroll = QScrollArea()
        self.scroll.setWidgetResizable(True)
        self.scroll.setFrameShape(QFrame.Shape.NoFrame)
        self.scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll.setWidget(content)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        notices = QVBoxLayout()
        notices.setContentsMargins(8, 0, 8, 0)
        for notice in (self.earlier_card, self.trouble):
            notices.addWidget(notice)
        whole.addLayout(notices)
        whole.addWidget(self.scroll, 1)
        whole.addWidget(self.saved_line)
        self.setMinimumWidth(NARROWEST)
        leave_wheel_to_dock(self)

    def _connect(self) -> None:
        self.tile_panel.tile_changed.connect(self._take_tile)
        self.training_panel.train_wanted.connect(self._train)
        self.training_panel.settings_changed.connect(self._show_seconds)
        self.training_panel.settings_changed.connect(self.session.note_settings)
        self.training_panel.mode_changed.connect(self._on_mode)
        self.training.started.connect(lambda: self._set_running(True))
        self.training.finished.connect(self._on_finished)
        self.training.ended.connect(lambda: self._set_running(False))
        for changed in (self.learning.started, self.learning.ended):
            changed.connect(self._show_obstacle)
            changed.connect(lambda: self.session.set_learning(self.learning.is_running))
        self.results.shown.connect(self._on_shown)
        self.region_results.shown.connect(self._on_shown)
        self.corrections.tools.mouse_wanted.connect(self._stop_picking)
        self.storing.opened.connect(self._reopen)
        self._viewer.events.theme.connect(self._take_theme)

    def _take_theme(self, *_: Any) -> None:
        if isalive(self):
            self.setStyleSheet(stylesheet(self._viewer.theme))

    def _close_down(self) -> None:
        self.session.close_all()
        self.training.abandon()
        self.learning.close()
        self.corrections.close()
        self.reviews.stop()
        self.results.nucleus_click.stop()
        self.region_results.structure_click.stop()
