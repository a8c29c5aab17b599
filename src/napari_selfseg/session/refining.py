"""Learning from corrections as the application sees it: a start and strokes in, a version out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.images.evidence import stain_of
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.instances import LabelSettings
from napari_selfseg.core.learning.strokes import Strokes, StrokesError
from napari_selfseg.core.maps import Prediction
from napari_selfseg.core.methods import METHODS, TrainingStep
from napari_selfseg.core.methods.local_contrast_settings import OF_THE_START, LocalContrastSettings
from napari_selfseg.core.methods.settings import TrainingSettings
from napari_selfseg.core.spreading import STRENGTH, denied, spread
from napari_selfseg.session.clock import RunClock
from napari_selfseg.session.finishing import all_cores
from napari_selfseg.session.preview import LivePreview
from napari_selfseg.session.provenance import build_provenance
from napari_selfseg.session.result import YOUR_STROKES, RunResult, StoppedBy, Suggestion
from napari_selfseg.session.run import LARGEST_TILE, image_space_of
from napari_selfseg.session.steered import RunError, SteeredRun
from napari_selfseg.session.updates import Finished, Preview, Update
from napari_selfseg.session.warmup import quiet_openmp
from napari_selfseg.session.watch import RegionWatch

if TYPE_CHECKING:
    from torch import nn

    from napari_selfseg.core.checkpoint import TrainedModel
    from napari_selfseg.core.learning.stroke_crops import PaintedData
    from napari_selfseg.core.networks.corrected import Corrected

METHOD = "local-contrast"
LEARNED = "The strokes were learned."
DEFAULTS = LocalContrastSettings.model_validate({})
MOST_OTHERS, SIDE_OF_OTHERS = 3, 1024  # unlabelled tiles that are looked at, and px of their middle


@dataclass(frozen=True, eq=False)
class RefineRequest:
    """What is to be learned from.

    Parameters
    ----------
    start : RunResult
        What is shown now: found without labels, or learned from earlier corrections.
    strokes : Strokes
        Painted on the tile of the start, (M, N).
    settings : LocalContrastSettings
        What they say of the start is replaced by what it is.
    others : tuple of Tile
        Unlabelled tiles: what is learned must not change much on them without a reason.
    threads : int, optional
        How many threads torch may use; a setting of the whole process. None leaves it.
    previews : bool
        Whether the map of the tile is drawn while it learns, for a twentieth of the time.
    """

    start: RunResult
    strokes: Strokes
    settings: LocalContrastSettings = DEFAULTS
    others: tuple[Tile, ...] = ()
    threads: int | None = None
    previews: bool = True


class RefiningRun(SteeredRun):
    """Learns from strokes; what `TrainingRun` tells, and at last a `RunResult` of the same tile.

    The map of the tile follows its strokes twice: what the network has learned of them holds for
    all tiles, and what lies beside a stroke is most likely the same (`core.spreading`), which
    holds for this tile only.
    """

    def __init__(self, request: RefineRequest) -> None:
        tile, settings = request.start.tile, request.start.model.settings
        self._space = image_space_of(_first_settings(settings))
        shown = EvidencePreview(tile, self._space) if request.previews else None
        super().__init__(shown)
        self.request = request
        self._evidence_preview = shown

    def check_request(self) -> None:
        """Raise `RunError` with one sentence if this request cannot be run."""
        start, strokes = self.request.start, self.request.strokes
        if METHODS[start.model.method].finds != "objects":
            raise RunError("Corrections of tissue regions are kept, but not learned from.")
        try:
            strokes.check()
        except StrokesError as error:
            raise RunError(str(error)) from error
        n_rows, n_columns = start.tile.shape
        if strokes.classes.shape != (n_rows, n_columns):
            rows, columns = strokes.classes.shape
            raise RunError(
                f"The strokes have {rows} × {columns} px, but {start.tile.name} has "
                f"{n_rows} × {n_columns} px."
            )
        if n_rows * n_columns > LARGEST_TILE:
            raise RunError(f"{start.tile.name} is too large to learn from; choose a region of it.")

    def _train(self) -> Iterator[Update]:
        quiet_openmp()
        import torch

        from napari_selfseg.core.learning.training import choose_device
        from napari_selfseg.core.methods.local_contrast import LocalContrast

        began = time.perf_counter()
        if self.request.threads is not None:
            torch.set_num_threads(self.request.threads)
        settings = self._settings()
        device = choose_device(settings.device)
        tile, strokes = self.request.start.tile, self.request.strokes.classes
        before = self._settled()
        beside = _said_beside(strokes, before, tile)
        network, data = self._material(settings, before, beside)
        if self._evidence_preview is not None:
            self._evidence_preview.begin(before, beside)

        def shown(step: TrainingStep) -> Preview | None:
            preview = self._evidence_preview
            if preview is None or step.phase != "map" or not preview.is_due(clock.seconds):
                return None
            return preview.piece(network.correction, CHOICE, step.step)

        clock, steps = RunClock(settings.total_steps), list[TrainingStep]()
        fit = LocalContrast().fit(network, data, settings, self._stop.is_set)
        ended = yield from self._follow(fit, clock, steps, LEARNED, shown)
        if self._abandon.is_set():
            return
        yield clock.progress(steps, RegionWatch(), "Drawing the map")
        drawn = self._drawn(network, before, beside)
        yield Finished(
            self._result(
                network,
                settings,
                drawn,
                tuple(steps),
                ended,
                str(device),
                time.perf_counter() - began,
            )
        )

    # ---- what is learned from

    def _settings(self) -> LocalContrastSettings:
        """Return the settings with what the start is."""
        from napari_selfseg.core.methods.local_contrast import knows_tissue

        start, own = self.request.start, self.request.settings
        former = start.model.settings
        n_classes = max(self.request.strokes.n_classes, 1)
        if isinstance(former, LocalContrastSettings):
            fixed = {name: getattr(former, name) for name in OF_THE_START}
            fixed["n_classes"] = max(n_classes, former.n_classes)
        else:
            fixed = {
                "start_method": start.model.method,
                "start_settings": former.model_dump(mode="json"),
                "channel": start.choice.channel,
                "inverted": start.choice.inverted,
                "n_classes": n_classes,
            }
        if knows_tissue(start.model.network):
            fixed["global_steps"] = 0
        return own.model_copy(update=fixed)

    def _settled(self) -> Prediction:
        """Return what was drawn of the tile without labels, as the one map that is corrected."""
        from napari_selfseg.core.correction import settled
        from napari_selfseg.core.segmentation import has_stain_edges, prediction_of_tile, start_of

        start = self.request.start
        if isinstance(start.model.settings, LocalContrastSettings):
            if start.prediction.before is not None:
                return start.prediction.before
            first, choice = start_of(start.model)
            return settled(
                prediction_of_tile(first, start.tile, self._abandon.is_set),
                choice,
                start.tile,
                has_stain_edges(first, choice),
            )
        has_edges = has_stain_edges(start.model, start.choice)
        return settled(start.prediction, start.choice, start.tile, has_edges)

    def _material(
        self, settings: LocalContrastSettings, before: Prediction, beside: NDArray[np.float32]
    ) -> tuple[Corrected, PaintedData]:
        """Return the network that learns and the tiles it learns from, at its scale."""
        from napari_selfseg.core.learning.refinement import shrinking
        from napari_selfseg.core.learning.stroke_crops import Painted, PaintedData
        from napari_selfseg.core.methods.local_contrast import corrected_from
        from napari_selfseg.core.sharpening import logit_of

        start, tile = self.request.start, self.request.start.tile
        network = corrected_from(
            start.model.network, settings, shrinking(tile.um_per_px), tile.n_channels
        )
        shrink = int(network.correction.shrink)
        painted = Painted.of(
            stain_of(tile).pixels,
            self.request.strokes.classes,
            beside / np.float32(STRENGTH),
            logit_of(before.maps[0].astype(np.float32)),
            shrink,
        )
        others = [
            Painted.unpainted(_middle(other), shrink)
            for other in self.request.others[:MOST_OTHERS]
            if other.n_channels == tile.n_channels
        ]
        return network, PaintedData((painted, *others), self._space)

    # ---- what comes out

    def _drawn(
        self, network: Corrected, before: Prediction, beside: NDArray[np.float32]
    ) -> Prediction:
        """Return the map of the tile with all that its strokes say."""
        from napari_selfseg.core.correction import with_evidence
        from napari_selfseg.core.prediction import predict_within_memory

        network.eval()
        with all_cores():
            evidence = predict_within_memory(
                network.correction, self.request.start.tile, self._space, self._abandon.is_set
            ).astype(np.float32)
        evidence[0] += beside
        return with_evidence(before, evidence)

    def _result(
        self,
        network: nn.Module,
        settings: LocalContrastSettings,
        prediction: Prediction,
        steps: tuple[TrainingStep, ...],
        ended: tuple[StoppedBy, str],
        device: str,
        seconds: float,
    ) -> RunResult:
        from napari_selfseg.core.checkpoint import TrainedModel

        start, tile = self.request.start, self.request.start.tile
        stopped_by, because = ended
        stain = stain_of(tile)
        learned = Suggestion.of_learned(prediction, CHOICE, stain, tile.um_per_px)
        scores = {**start.scores, "learned": learned.score}
        told = build_provenance(
            method=METHOD,
            settings=settings,
            tiles=(tile, *self.request.others[:MOST_OTHERS]),
            device=device,
            threads=_threads(),
            seconds=seconds,
            stopped_by=stopped_by,
            best_step=len(steps),
            choice=CHOICE,
            scores=scores,
            notes=[step.note for step in steps if step.note],
        )
        model: TrainedModel = TrainedModel(
            network.cpu(), METHOD, settings, start.model.um_per_px, tile.n_channels
        )
        return RunResult(
            model=model,
            curves=steps,
            prediction=prediction,
            choice=CHOICE,
            stopped_by=stopped_by,
            stopped_because=because,
            best_step=len(steps),
            tile=tile,
            threshold=start.threshold,
            scores=scores,
            recommended="learned",
            seconds=seconds,
            provenance={
                **told,
                "labels_used": YOUR_STROKES,
                "painted_px": self.request.strokes.n_painted,
                "start": dict(start.provenance),
            },
            suggestion=learned,
        )


CHOICE = ChannelChoice(0, False, 1.0, "user", (1.0,))
"""Corrected maps have the object in their first one; the strokes said so."""


class EvidencePreview(LivePreview):
    """Draws the corrected map in pieces: only the evidence is computed anew."""

    def begin(self, before: Prediction, beside: NDArray[np.float32]) -> None:
        """Take the map that is corrected, and what is known beside strokes, (M, N)."""
        self._before, self._beside = before, beside

    def draw(
        self,
        network: nn.Module,
        place: tuple[slice, slice],
        choice: ChannelChoice | None,
        step: int,
        halo: int | None,
    ) -> Preview:
        """Return the corrected map in one place; parameters as `LivePreview.draw`."""
        from napari_selfseg.core.correction import with_evidence
        from napari_selfseg.core.prediction import predict_region

        evidence = predict_region(network, self.tile, *place, self.image_space, halo)
        evidence[0] += self._beside[place]
        here = replace(self._before, maps=self._before.maps[:, *place])
        shown = np.round(with_evidence(here, evidence).maps[0].astype(np.float32) * 255)
        return Preview(*place, shown.astype(np.uint8), step, 0, False)


def _said_beside(strokes: NDArray[np.uint8], before: Prediction, tile: Tile) -> NDArray[np.float32]:
    """Return the evidence of strokes (M, N), where they are and beside them, as a logit."""
    from napari_selfseg.core.segmentation import labels_of

    evidence = spread(strokes, stain_of(tile).pixels, tile.um_per_px)
    objects, _ = labels_of(before, CHOICE, tile, LabelSettings.for_scale(tile.um_per_px))
    evidence[denied(objects, strokes)] = -STRENGTH
    return evidence


def _first_settings(settings: TrainingSettings) -> TrainingSettings:
    """Return the settings of the label-free network that a model stands on."""
    if isinstance(settings, LocalContrastSettings):
        return METHODS[settings.start_method].Settings(**settings.start_settings)
    return settings


def _middle(tile: Tile) -> NDArray[np.float32]:
    sides = [(length, min(length, SIDE_OF_OTHERS)) for length in tile.shape]
    middle = [slice((length - side) // 2, (length + side) // 2) for length, side in sides]
    return tile.read(*middle)


def _threads() -> int:
    import torch

    return int(torch.get_num_threads())
