"""One training as the application sees it: updates come out, stop and pause go in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.core.images.tissue import check_content, check_tissue
from napari_selfseg.core.instances import DEFAULT_SCALE
from napari_selfseg.core.methods import METHODS, TrainingStep
from napari_selfseg.core.methods.region_settings import RegionSettings
from napari_selfseg.core.methods.settings import PatchContrastSettings, TrainingSettings
from napari_selfseg.session.clock import RunClock
from napari_selfseg.session.finishing import Ending, finish
from napari_selfseg.session.guarding import check_guard, guard_of
from napari_selfseg.session.preview import LivePreview
from napari_selfseg.session.region_finishing import finish_regions
from napari_selfseg.session.request import TrainingRequest
from napari_selfseg.session.result import StoppedBy
from napari_selfseg.session.steered import RunError, SteeredRun
from napari_selfseg.session.updates import Finished, Preview, Progress, Update
from napari_selfseg.session.warmup import quiet_openmp
from napari_selfseg.session.watch import RegionWatch

if TYPE_CHECKING:
    from torch import nn

    from napari_selfseg.core.learning.convergence import ConvergenceMonitor

LARGEST_TILE = 100_000_000  # px; larger regions are for the slide tools

__all__ = ["Finished", "Preview", "Progress", "RunError", "TrainingRequest", "TrainingRun"]


class TrainingRun(SteeredRun):
    """Iterates a method, throttles what it tells, previews, pauses and stops.

    `updates` is to be iterated once, in any one thread; `stop`, `pause`, `resume`, `abandon`
    and `look_at` may be called from any other at any time, also twice.

    Examples
    --------
    >>> run = TrainingRun(TrainingRequest((tile,), PatchContrastSettings()))  # doctest: +SKIP
    >>> *_, finished = run.updates()  # doctest: +SKIP
    >>> finished.result.maps.shape  # doctest: +SKIP
    (4, 1000, 1000)
    """

    def __init__(self, request: TrainingRequest) -> None:
        shown = request.tiles[:1] if request.previews else ()
        super().__init__(LivePreview(shown[0], image_space_of(request.settings)) if shown else None)
        self.request = request
        self._notes: list[str] = []

    def check_request(self) -> None:
        """Raise `RunError` with one sentence if this request cannot be run."""
        tiles, settings = self.request.tiles, self.request.settings
        if self.request.method not in METHODS:
            raise RunError(f"There is no method {self.request.method!r}.")
        if not isinstance(settings, METHODS[self.request.method].Settings):
            raise RunError("These settings belong to another method.")
        if not tiles:
            raise RunError("There is no image to learn from.")
        check_guard(self.request)
        for tile in tiles:
            n_rows, n_columns = tile.shape
            if n_rows * n_columns > LARGEST_TILE:
                raise RunError(
                    f"{tile.name} has {n_rows * n_columns / 1e6:.0f} megapixels; choose the "
                    "visible view or a rectangle of at most 100 megapixels."
                )
            try:
                _check_content(tile, settings)
            except TileError as error:
                raise RunError(str(error)) from error

    @property
    def _finds_regions(self) -> bool:
        return METHODS[self.request.method].finds == "regions"

    def _train(self) -> Iterator[Update]:
        quiet_openmp()
        import torch

        from napari_selfseg.core.learning.convergence import ConvergenceMonitor, StainAgreement
        from napari_selfseg.core.learning.training import TrainingFailed, choose_device
        from napari_selfseg.core.learning.training_data import TrainingData

        if self.request.threads is not None:
            torch.set_num_threads(self.request.threads)
        settings = self.request.settings
        device = choose_device(settings.device)
        method = METHODS[self.request.method].load()
        space = image_space_of(settings)
        data = TrainingData(self.request.tiles, space)
        data.guard = guard_of(self.request, space, data.um_per_px)
        network = method.build_model(settings, data.n_channels)
        monitor: ConvergenceMonitor | RegionWatch = RegionWatch()
        if not self._finds_regions:
            monitor = ConvergenceMonitor(StainAgreement(data))
            monitor.last = monitor.agreement.of(network)  # of chance: never kept as the best
        clock = RunClock(settings.total_steps)
        steps: list[TrainingStep] = []
        stopped_by: StoppedBy = "steps"
        stopped = False
        because = settings.completed
        try:
            for step in method.fit(network, data, settings, self._stop.is_set):
                steps.append(step)
                if step.note:
                    self._notes.append(step.note)
                verdict = monitor.watch(step, network)
                yield from self._tell(network, monitor, steps, clock)
                if verdict is not None and settings.stop_early:
                    stopped_by, because = verdict, monitor.reason
                    break
                self._hold(clock)
                if self._stop.is_set():
                    break
            stopped = self._stop.is_set()
            if not stopped and steps[-1].exploring:  # the method went through to its end
                monitor.accept(network)
                if steps[-1].enough:
                    stopped_by, because = "plateau", settings.enough
        except TrainingFailed as error:
            if not steps:
                raise
            stopped_by, because = "unstable", str(error)
        if self._abandon.is_set():
            return
        if stopped and stopped_by == "steps":
            stopped_by, because = "user", _stopped_by_user(steps, monitor)
        monitor.restore_best(network)
        yield clock.progress(steps, monitor, "Drawing the final map")
        choice = None if isinstance(monitor, RegionWatch) else monitor.best_choice
        if self._preview is not None and (choice is not None or self._finds_regions):
            for piece in self._preview.last_round(network, choice, len(steps)):
                if self._abandon.is_set():
                    return
                yield piece
        ending = Ending(stopped_by, because, str(device), clock.seconds, tuple(self._notes))
        run = self.request, network, data
        how = tuple(steps), ending, self._abandon.is_set
        if isinstance(monitor, RegionWatch):
            yield Finished(finish_regions(*run, monitor, *how))
        else:
            yield Finished(finish(*run, monitor, *how))

    def _tell(
        self,
        network: nn.Module,
        monitor: ConvergenceMonitor | RegionWatch,
        steps: list[TrainingStep],
        clock: RunClock,
    ) -> Iterator[Update]:
        """Yield progress ten times a second at most, and a piece of the map when it is due."""
        if clock.is_time_to_tell() or steps[-1].note:
            yield clock.progress(steps, monitor, steps[-1].phase)
        if self._preview is not None and self._preview.is_due(clock.seconds):
            choice = None if monitor.last is None else monitor.last.choice
            yield self._preview.piece(network, choice, steps[-1].step)


def image_space_of(settings: TrainingSettings) -> str:
    """Return how the networks of a run read images: "rgb" or "optical-density"."""
    return str(getattr(settings, "image_space", "rgb"))


def _check_content(tile: Tile, settings: TrainingSettings) -> None:
    """Raise `TileError` if there is nothing to learn from in a tile."""
    scale = tile.um_per_px
    if isinstance(settings, PatchContrastSettings):
        check_content(tile, settings.patch_size(scale), settings.stride(scale))
    elif isinstance(settings, RegionSettings):
        least = settings.least_side(scale or DEFAULT_SCALE)
        if min(tile.shape) < least:
            raise TileError(
                f"{tile.name} has {tile.shape[0]} × {tile.shape[1]} px, but regions of tissue "
                f"need {least} × {least} px: choose a larger region."
            )
        check_tissue(tile)


def _stopped_by_user(steps: list[TrainingStep], monitor: ConvergenceMonitor | RegionWatch) -> str:
    if isinstance(monitor, RegionWatch):
        return monitor.stopped_by_user(len(steps))
    if not steps:
        return "You stopped before the first step: the network has not learned anything yet."
    if not monitor.best_step:
        return f"You stopped after {len(steps)} steps, before the map was judged at all."
    return (
        f"You stopped after {len(steps)} steps; the network of step {monitor.best_step} was kept, "
        f"which agreed best with {monitor.agreement.cue_name}."
    )
