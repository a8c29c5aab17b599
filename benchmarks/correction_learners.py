"""What learns from strokes in the benchmark: ours, and what it is measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.learning.refinement import one_cycle
from napari_selfseg.core.learning.stroke_crops import Painted, PaintedData, StrokeCrops
from napari_selfseg.core.learning.strokes import Strokes
from napari_selfseg.core.learning.training import training_loop
from napari_selfseg.core.methods.local_contrast import MapObjective
from napari_selfseg.core.methods.local_contrast_settings import LocalContrastSettings
from napari_selfseg.core.networks.corrected import Evidence
from napari_selfseg.core.prediction import predict
from napari_selfseg.core.segmentation import segment_tile
from napari_selfseg.session.refining import RefineRequest, RefiningRun
from napari_selfseg.session.result import RunResult

Labels = NDArray[np.integer]
FOREST_TREES, FOREST_DEPTH, FOREST_SIGMA = 50, 10, 8  # as in scikit-image's own example

MOST_FEATURES = 4  # tiles whose features are kept, 250 MB per megapixel


@dataclass
class Learned:
    """What came of one round: labels of the corrected tile, and of any other one."""

    labels: Labels
    of: Callable[[Tile], Labels]
    version: RunResult | None = None


@dataclass
class Ours:
    """The product: `RefiningRun` with its own settings; each round goes on from the last."""

    settings: dict[str, Any] = field(default_factory=dict)
    others: Sequence[Tile] = ()
    goes_on: bool = True

    def learn(self, start: RunResult, now: RunResult, strokes: Strokes) -> Learned:
        settings = LocalContrastSettings(**self.settings)
        begin = now if self.goes_on else start
        request = RefineRequest(begin, strokes, settings, tuple(self.others), previews=False)
        *_, finished = RefiningRun(request).updates()
        result = finished.result

        def of(tile: Tile) -> Labels:
            return segment_tile(result.model, result.choice, tile)[0]

        return Learned(result.labels(), of, result)


@dataclass
class FromScratch:
    """A U-Net with random weights that learns the strokes alone, by cross-entropy and Dice."""

    steps: int = 150
    rate: float = 3e-3

    def learn(self, start: RunResult, now: RunResult, strokes: Strokes) -> Learned:
        tile, shrink = start.tile, 2
        nothing = np.zeros(tile.shape, np.float32)
        painted = Painted.of(tile.read(), strokes.classes, nothing, nothing, shrink)
        settings = LocalContrastSettings(n_steps=self.steps, learning_rate=self.rate)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = Evidence(tile.n_channels)
            torch.nn.init.normal_(network.learner.head.weight, std=0.1)
        network.shrink.fill_(shrink)
        crops = StrokeCrops(PaintedData((painted,)), settings.stain_jitter, painted=1.0)
        own = settings.of_stage(self.steps, self.rate, settings.batch_size)
        for _ in training_loop(network.learner, MapObjective(0.0), crops, own, schedule=one_cycle):
            pass

        def of(other: Tile) -> Labels:
            score = predict(network.eval(), other)[0].astype(np.float32)
            return _labels_of(1 / (1 + np.exp(-score)), other)

        return Learned(of(tile), of)


@dataclass
class Forest:
    """A random forest on classical features: scikit-image's trainable segmentation."""

    def learn(self, start: RunResult, now: RunResult, strokes: Strokes) -> Learned:
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(
            FOREST_TREES, max_depth=FOREST_DEPTH, max_samples=0.5, random_state=0
        )
        said = strokes.classes
        forest.fit(_features(start.tile)[said > 0], said[said > 0] > 1)

        def of(tile: Tile) -> Labels:
            features = _features(tile)
            flat = features.reshape(-1, features.shape[-1])
            share = forest.predict_proba(flat)[:, list(forest.classes_).index(True)]
            return _labels_of(share.reshape(tile.shape), tile)

        return Learned(of(start.tile), of)


@lru_cache(maxsize=MOST_FEATURES)
def _features(tile: Tile) -> NDArray[np.float32]:
    from skimage.feature import multiscale_basic_features

    found: NDArray[np.float32] = multiscale_basic_features(
        tile.read(), sigma_min=0.5, sigma_max=FOREST_SIGMA, channel_axis=-1
    )
    return found


def _labels_of(confidence: NDArray[np.floating], tile: Tile) -> Labels:
    """Return labels as the plain threshold makes them."""
    return label_image(confidence.astype(np.float32), LabelSettings.for_scale(tile.um_per_px))


LEARNERS: dict[str, Callable[[], Any]] = {
    "ours": Ours,
    "beside the strokes only": lambda: Ours({"local_steps": 0, "n_steps": 1, "keep": 1000.0}),
    "cross-entropy only": lambda: Ours({"local_steps": 0, "global_steps": 0}),
    "stride": lambda: Ours({"mode": "stride"}),
    "block": lambda: Ours({"mode": "block"}),
    "from scratch": FromScratch,
    "random forest": Forest,
}
