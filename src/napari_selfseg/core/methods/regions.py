"""Regions: kinds of tissue by stain and texture, found by k-means over all tiles of the run.

No threshold on one stain finds a gland: its wall is as blue as the nuclei of the stroma. What is
told apart here is the mixture of stain and texture around each place.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.vq import vq
from torch import nn

from napari_selfseg.core.images.stain import is_dark_field
from napari_selfseg.core.images.tile import TileError
from napari_selfseg.core.instances import DEFAULT_SCALE
from napari_selfseg.core.learning.training import choose_device, never
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.memory import is_out_of_memory, keep_freed_memory
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.region_settings import RegionSettings
from napari_selfseg.core.methods.settings import TrainingSettings
from napari_selfseg.core.networks.region_network import RegionNetwork
from napari_selfseg.core.prediction import pieces, predict_region

MOST_ROWS = 60_000  # cells that k-means sees; more do not move a centroid
PIECE = 1024  # px
MOST_PIECES = 64  # of all tiles together; a larger cohort is looked at in parts
LEAST_SPREAD = 1e-6  # a feature that varies less says nothing
SURE = 1e-12  # keeps the logarithm of a membership of 0 finite

Rows = NDArray[np.float32]


class Regions:
    """Segment into K classes without labels."""

    title: ClassVar[str] = "Regions"
    needs_annotation: ClassVar[bool] = False
    Settings: ClassVar[type[TrainingSettings]] = RegionSettings

    def build_model(self, settings: TrainingSettings, n_channels: int = 3) -> nn.Module:
        """Return a network whose classes are all alike."""
        assert isinstance(settings, RegionSettings)
        return RegionNetwork(n_channels, settings.n_classes)

    def fit(
        self,
        model: nn.Module,
        data: TrainingData,
        settings: TrainingSettings,
        should_stop: Callable[[], bool] = never,
    ) -> Generator[TrainingStep, None, None]:
        """Find the classes; yield after every iteration of k-means (Lloyd).

        The model holds at any time the closest fit so far. A step is ``renewed`` where it
        changed the model, and the last one is ``enough`` if all starts came to their end.

        Raises
        ------
        TileError
            If the tiles hold fewer cells than there are classes.
        """
        assert isinstance(settings, RegionSettings)
        assert isinstance(model, RegionNetwork)
        keep_freed_memory()
        data.restart()
        rows = _standardised_rows(model, data, settings, should_stop)
        if rows is None:
            return
        best, step, settled = np.inf, 0, True
        for start in range(settings.starts):
            rng = np.random.default_rng((settings.seed, start))
            lloyd = Lloyd(rows, settings.n_classes, rng)
            for i in range(settings.n_steps):
                if should_stop():
                    return
                step += 1
                lloyd.iterate()
                renewed = lloyd.inertia < best
                if renewed:
                    best = lloyd.inertia
                    model.take_classes(lloyd.centroids, best)
                is_last_start = start == settings.starts - 1
                ends = lloyd.moved == 0 or i == settings.n_steps - 1
                settled &= lloyd.moved == 0 or not ends
                yield TrainingStep(
                    phase=f"start {start + 1} of {settings.starts}",
                    step=step,
                    n_steps=settings.total_steps,
                    measures=lloyd.measures(),
                    exploring=True,
                    renewed=renewed,
                    enough=ends and is_last_start and settled,
                )
                if ends:
                    break


class Lloyd:
    """K-means, one iteration at a time.

    Parameters
    ----------
    rows : ndarray of float32, shape (n, F)
        Standardised features, n >= K.
    n_classes : int
        K.
    rng : numpy.random.Generator
        For the beginning, drawn as by k-means++ (Arthur and Vassilvitskii, SODA 2007).

    Attributes
    ----------
    centroids : ndarray of float32, shape (K, F)
    inertia : float
        Mean squared distance of a row to its centroid, per feature.
    moved : float
        Share of the rows that changed their class in the last iteration.
    """

    def __init__(self, rows: Rows, n_classes: int, rng: np.random.Generator) -> None:
        self.rows = rows
        self.centroids = spread_out(rows, n_classes, rng)
        self.inertia, self.moved = np.inf, 1.0
        self._classes = np.full(len(rows), -1)

    def iterate(self) -> None:
        """Give every row to its nearest centroid, then move the centroids to their means.

        A centroid without rows is moved to a row that is farthest from its own.
        """
        classes, distances = vq(self.rows, self.centroids)
        self.moved = float(np.mean(classes != self._classes))
        self._classes = classes
        self.inertia = float(np.mean(np.square(distances, dtype=np.float64)))
        self.inertia /= self.rows.shape[1]
        counts = np.bincount(classes, minlength=len(self.centroids))
        sums = [np.bincount(classes, column, len(counts)) for column in self.rows.T]
        means = np.stack(sums, 1) / np.maximum(counts, 1)[:, None]
        empty = np.flatnonzero(counts == 0)
        # stable: the same rows are taken on every machine
        means[empty] = self.rows[np.argsort(-distances, kind="stable")[: len(empty)]]
        self.centroids = means.astype(np.float32)

    def measures(self) -> dict[str, float]:
        """Return the numbers of the last iteration.

        ``separation`` is the mean distance between two centroids in standard deviations of a
        feature, ``entropy`` how undecided the memberships are, in bits per row.
        """
        n_classes, n_features = self.centroids.shape
        pairs = np.triu_indices(n_classes, 1)
        apart = self.centroids[pairs[0]] - self.centroids[pairs[1]]
        separation = np.sqrt(np.square(apart).sum(1) / n_features).mean()
        return {
            "inertia": self.inertia,
            "separation": float(separation),
            "moved": self.moved,
            "entropy": self._entropy(),
        }

    def _entropy(self) -> float:
        some = self.rows[:: max(1, len(self.rows) // 4000)]
        squared = np.square(some[:, None] - self.centroids).sum(2)
        squared -= squared.min(1, keepdims=True)
        members = np.exp(-squared / (2 * max(self.inertia, LEAST_SPREAD)))
        members /= members.sum(1, keepdims=True)
        return float(-(members * np.log2(members + SURE)).sum(1).mean())


def spread_out(rows: Rows, n_classes: int, rng: np.random.Generator) -> Rows:
    """Draw K of the rows (n, F), each by its squared distance to those drawn before: (K, F)."""
    drawn = [rows[int(rng.integers(len(rows)))]]
    nearest = np.full(len(rows), np.inf)
    for _ in range(n_classes - 1):
        to_last = np.square(rows - drawn[-1], dtype=np.float64).sum(1)
        nearest = np.minimum(nearest, to_last)
        total = nearest.sum()
        # all rows alike: any one will do
        chances = nearest / total if total > 0 else None
        drawn.append(rows[int(rng.choice(len(rows), p=chances))])
    return np.stack(drawn).astype(np.float32)


def _standardised_rows(
    model: RegionNetwork,
    data: TrainingData,
    settings: RegionSettings,
    should_stop: Callable[[], bool],
) -> Rows | None:
    """Return features of cells of all tiles (n, F), and leave their mean and spread in the model.

    None if it was stopped before the last tile was read.
    """
    _go_to(model, choose_device(settings.device))
    scales = [tile.um_per_px for tile in data.tiles]
    model.dark_field.fill_(is_dark_field(data.tiles[0].read(*_middle(data.tiles[0].shape))))
    rng = np.random.default_rng(settings.seed)
    of_tiles = []
    for index, scale in enumerate(scales):
        # each tile at its own scale: a detail is as large in one as in the other
        model.set_scale(scale or DEFAULT_SCALE, settings.cell_um, settings.sigmas_um)
        found = _rows_of_tile(model, data, index, rng, should_stop)
        if found is None:
            return None
        of_tiles.append(found)
    model.set_scale(data.um_per_px or DEFAULT_SCALE, settings.cell_um, settings.sigmas_um)
    rows = np.concatenate(of_tiles)
    if len(rows) < settings.n_classes:
        raise TileError(
            f"The image is too small for {settings.n_classes} classes: choose a larger region."
        )
    mean, spread = rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64)
    spread[spread < LEAST_SPREAD] = 1.0
    for buffer, values in ((model.mean, mean), (model.spread, spread)):
        buffer.copy_(torch.from_numpy(values.astype(np.float32)))
    standard: Rows = ((rows - mean) / spread).astype(np.float32)
    return standard


def _rows_of_tile(
    model: RegionNetwork,
    data: TrainingData,
    index: int,
    rng: np.random.Generator,
    should_stop: Callable[[], bool],
) -> Rows | None:
    """Return the features of cells of one tile, spread over it, (n, F)."""
    tile, cell = data.tiles[index], model.alignment
    n_rows, n_columns = tile.shape
    places = list(pieces(slice(0, n_rows), slice(0, n_columns), PIECE))
    n_pieces = max(1, MOST_PIECES // len(data.tiles))
    reading = _OnPixels(model)
    found = []
    for place in rng.permutation(len(places))[:n_pieces]:
        if should_stop():
            return None
        rows, columns = places[place]
        seen = predict_region(reading, tile, rows, columns, data.image_space)
        # the middle pixel of every cell that begins in the piece
        first = [-span.start % cell for span in (rows, columns)]
        on_cells = seen[:, first[0] :: cell, first[1] :: cell]
        found.append(on_cells.reshape(len(seen), -1).T)
    cells = np.concatenate(found)
    most = max(1, MOST_ROWS // len(data.tiles))
    if len(cells) > most:
        cells = cells[rng.permutation(len(cells))[:most]]
    return np.ascontiguousarray(cells)


class _OnPixels(nn.Module):
    """The features of the cells, each repeated over its pixels, so that a tile can be cut up."""

    def __init__(self, network: RegionNetwork) -> None:
        super().__init__()
        self.network = network
        self.halo, self.alignment = network.halo, network.alignment

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        cells = self.network.features(x)
        on_rows = cells.repeat_interleave(self.alignment, -2)
        return on_rows.repeat_interleave(self.alignment, -1)


def _middle(shape: tuple[int, int], most: int = PIECE) -> tuple[slice, slice]:
    """Return the middle of a tile, at most so many px a side."""
    spans = []
    for side in shape:
        start = max(0, (side - most) // 2)
        spans.append(slice(start, start + most))
    return spans[0], spans[1]


def _go_to(model: nn.Module, device: torch.device) -> None:
    """Move a model to a device; to the processor where the graphics card is full."""
    try:
        model.to(device)
    except RuntimeError as error:
        if device.type == "cpu" or not is_out_of_memory(error):
            raise
        model.cpu()
