"""A training that does what a test says, and a result that needs no network."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.evidence import Stain
from napari_selfseg.core.maps import Prediction
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.threshold import threshold_confidence
from napari_selfseg.session.result import RunResult, Suggestion
from napari_selfseg.session.run import RunError
from napari_selfseg.session.updates import Finished, Preview, Progress

ROWS, COLUMNS = 128, 160
RGB, TRUTH = drawn_he_tile(ROWS, COLUMNS, n_nuclei=22, seed=1)
OBJECT = 1  # the map that shows the nuclei


def refined(result):
    """Return the result as a refined one: map 2 with a depth, and doubt in the left half."""
    rows, columns = result.maps.shape[1:]
    distance = distance_transform_edt(TRUTH > 0)[:rows, :columns]
    doubt = np.zeros((rows, columns), np.float16)
    doubt[:, : columns // 2] = 0.5
    depth = np.minimum(distance / 8, 1).astype(np.float16)
    prediction = Prediction(result.maps, doubt, depth, (OBJECT, False))
    made = replace(result, prediction=prediction)
    stain = Stain(result.tile.read())
    suggestion = Suggestion.of_learned(prediction, result.choice, stain, result.tile.um_per_px)
    return replace(made, suggestion=suggestion)


def make_result(tile, scores=(0.7, 0.6), stopped_by="plateau"):
    """Return a result whose map 2 shows the nuclei; map 3 shows them dark, 1 and 4 nothing."""
    nuclei = gaussian_filter((TRUTH > 0).astype(np.float32), 1)
    noise = np.random.default_rng(0).random(nuclei.shape).astype(np.float32)
    maps = np.stack([noise, nuclei, 1 - nuclei, noise * 0.1]).astype(np.float16)
    return RunResult(
        model=None,
        curves=(),
        prediction=Prediction(maps[:, : tile.shape[0], : tile.shape[1]]),
        choice=ChannelChoice(OBJECT, False, 0.7, "guess", (0.1, 0.7, -0.6, 0.0)),
        stopped_by=stopped_by,
        stopped_because="Separation and entropy no longer change.",
        tile=tile,
        seconds=3.0,
        threshold=threshold_confidence(tile.read()),
        provenance={"labels_used": "none", "seed": 0, "tiles": [{"name": tile.name}]},
        recommended="learned" if scores[0] >= scores[1] else "threshold",
        scores=dict(zip(("learned", "threshold"), scores, strict=True)),
        best_step=3,
    )


class FakeTraining:
    """Stands for `TrainingRun`: trains until it is stopped, or until ``may_end`` is set."""

    runs: list  # of the test that uses it
    measures = {"entropy": 0.5, "separation": 0.1}  # noqa: RUF012

    def __init__(self, request):
        type(self).runs.append(self)
        self.request = request
        self.may_end, self._stop, self._abandon = (threading.Event() for _ in range(3))
        self.has_ended = threading.Event()
        self.paused = False
        self.fields = []
        self.error = None

    def stop(self):
        self._stop.set()

    def abandon(self):
        self._abandon.set()
        self._stop.set()

    def pause(self):
        self.paused = True

    def resume(self):
        self.paused = False

    @property
    def stopping(self):
        return self._stop.is_set()

    @property
    def abandoned(self):
        return self._abandon.is_set()

    def look_at(self, rows, columns):
        self.fields.append((rows, columns))

    def updates(self):
        try:
            piece = np.full((20, 30), 200, np.uint8)
            yield self._progress(1)
            yield Preview(slice(10, 30), slice(0, 30), piece, 1, OBJECT, False)
            while not (self._stop.is_set() or self.may_end.wait(0.01)):
                if self.error is not None:
                    raise RunError(self.error)
            if not self._abandon.is_set():
                yield self._progress(2)
                result = self.result()
                if self._stop.is_set():
                    because = "You stopped after 2 steps."
                    result = replace(result, stopped_by="user", stopped_because=because)
                yield Finished(result)
        finally:
            self.has_ended.set()

    def result(self):
        return make_result(self.request.tiles[0])

    def _progress(self, step):
        measures = self.measures
        steps = (TrainingStep("learning", step, 10, measures),)
        return Progress(step, 10, "learning", steps, 1.0, 5.0, 0, "", None, 0.5)


def corrected_truth(seen=TRUTH):
    """Return the objects that corrections "teach": one is gone, one is larger, one is new."""
    labels = seen.copy()
    gone, larger = np.argsort(-np.bincount(labels.ravel())[1:], kind="stable")[:2] + 1
    labels[labels == gone] = 0
    grown = binary_dilation(labels == larger, iterations=3) & (labels == 0)
    labels[grown] = larger
    labels[roomiest(labels)] = labels.max() + 1
    return labels


def roomiest(labels):
    """Return a disk in the middle of the widest background."""
    distance = distance_transform_edt(np.pad(labels == 0, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(distance.argmax(), labels.shape)
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= 5**2


def taught(start):
    """Return what was "learned" from corrections, beginning with a result."""
    rows, columns = start.tile.shape
    now = gaussian_filter((corrected_truth() > 0).astype(np.float32), 1)[:rows, :columns]
    return replace(
        start,
        model=object(),
        prediction=Prediction(now[None].astype(np.float16)),
        choice=ChannelChoice(0, False, 1.0, "user", (1.0,)),
        stopped_because="The strokes were learned.",
        provenance={**start.provenance, "labels_used": "your strokes"},
        suggestion=None,
    )


class FakeRefining(FakeTraining):
    """Stands for `RefiningRun`."""

    measures = {"contrast of strokes": 2.0, "dice of strokes": 0.8}  # noqa: RUF012

    def result(self):
        return taught(self.request.start)
