"""A trained model on another tile: confidence and labels, at the scale it was trained at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.transform import resize
from torch import nn

from napari_selfseg.core.channels import ChannelChoice, confidence_of
from napari_selfseg.core.checkpoint import TrainedModel
from napari_selfseg.core.correction import settled, with_evidence
from napari_selfseg.core.images.evidence import Stain, stain_of
from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.maps import Prediction
from napari_selfseg.core.methods import METHODS
from napari_selfseg.core.methods.local_contrast_settings import LocalContrastSettings
from napari_selfseg.core.networks.consensus import Consensus
from napari_selfseg.core.networks.corrected import Corrected
from napari_selfseg.core.networks.network_input import network_input
from napari_selfseg.core.networks.refined import Refined
from napari_selfseg.core.plausibility import suggested_label_settings
from napari_selfseg.core.prediction import predict_within_memory
from napari_selfseg.core.sharpening import sharpened, sharpened_consensus

ADAPTED_TO = 1024  # px a side, of a tile's middle, whose staining is taken for the tile's
LARGEST_SHARPENED = 30_000_000  # px; the stain of larger tiles does not fit into memory at once
SCALE_TOLERANCE = 0.1  # nuclei 10 % larger or smaller are what one slide shows anyway
DIMENSIONS = {
    "min_area": 2,
    "max_hole": 2,
    "smoothing": 1,
    "split_distance": 1,
    "split_smoothing": 1,
    "morphology_radius": 1,
}  # of the label settings that are in px: 1 for lengths, 2 for areas


def segment_tile(
    trained: TrainedModel,
    choice: ChannelChoice,
    tile: Tile,
    label_settings: LabelSettings | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return the label image and the confidence of a tile.

    Parameters
    ----------
    trained : TrainedModel
    choice : ChannelChoice
        The map and polarity chosen at training; they are not chosen again for each image.
    tile : Tile
        Shape (M, N).
    label_settings : LabelSettings, optional
        In pixels of ``tile``; without them the label-free suggestion for this tile is taken.
    should_stop : callable, optional
        Asked before every piece.

    Returns
    -------
    labels : ndarray of integers, shape (M, N)
    confidence : ndarray of float32, shape (M, N)
        0..1, high on objects.

    Raises
    ------
    TileError
        If the tile is grey and the model reads RGB, or the other way round.
    PredictionStopped
        If ``should_stop`` said so.
    """
    prediction = prediction_of_tile(trained, tile, should_stop)
    return labels_of(prediction, choice, tile, label_settings)


def labels_of(
    prediction: Prediction,
    choice: ChannelChoice,
    tile: Tile,
    label_settings: LabelSettings | None = None,
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return labels and confidence of what was drawn of a tile, as `segment_tile` does."""
    confidence = confidence_of(prediction.maps, choice)
    if label_settings is None:
        label_settings = suggested_label_settings(
            confidence, tile.read(), tile.um_per_px, prediction.is_refined(choice)
        )
    centres = prediction.centres(choice, tile.um_per_px)
    return label_image(confidence, label_settings, centres), confidence


def prediction_of_tile(
    trained: TrainedModel, tile: Tile, should_stop: Callable[[], bool] | None = None
) -> Prediction:
    """Return what a model draws of a tile; errors as in `segment_tile`.

    Where both scales are known and differ by more than a tenth, the tile is brought to the
    model's scale and the maps back to the tile's.
    """
    if tile.n_channels != trained.n_channels:
        kinds = {1: "grey", 3: "colour"}
        raise TileError(
            f"The model learned from {kinds[trained.n_channels]} images, but {tile.name} is a "
            f"{kinds.get(tile.n_channels, 'different')} image."
        )
    seen = at_scale(tile, trained.um_per_px) if needs_rescaling(trained, tile) else tile
    network = _adapted(trained.network, seen, trained.image_space)
    drawn = predict_within_memory(network, seen, trained.image_space, should_stop)
    if drawn.shape[1:] != tile.shape:
        drawn = np.stack([_resized(m.astype(np.float32), tile.shape) for m in drawn])
        drawn = drawn.astype(np.float16)
    return _taken_apart(trained, drawn, tile)


def _adapted(network: nn.Module, tile: Tile, image_space: str) -> nn.Module:
    """Return the network as it fits the staining of a tile, seen in its middle."""
    if not isinstance(network, Refined | Corrected):
        return network
    middle = tuple(
        slice((side - min(side, ADAPTED_TO)) // 2, (side + min(side, ADAPTED_TO)) // 2)
        for side in tile.shape
    )
    pixels = torch.from_numpy(network_input(tile.read(*middle), image_space))[None]
    return network.adapted(pixels.to(next(network.parameters()).device))


def _taken_apart(trained: TrainedModel, drawn: NDArray[np.float16], tile: Tile) -> Prediction:
    """Return the maps that a network drew (K or more, M, N), by what they mean."""
    network = trained.network
    if isinstance(network, Corrected):
        planes, evidence = np.split(drawn, [-network.correction.n_planes])
        start, choice = start_of(trained)
        return with_evidence(settled_of(start, planes, choice, tile), evidence)
    if not isinstance(network, Refined):
        if isinstance(network, Consensus) and getattr(trained.settings, "stain_edges", False):
            _sharpen(drawn, network.object_map, tile, sharpened_consensus)
        return Prediction(drawn)
    maps, (doubt, depth) = np.split(drawn, [network.n_confidence_maps])
    if network.object_map is None:
        return Prediction(maps, doubt)
    _sharpen(maps, network.object_map, tile, sharpened)
    return Prediction(maps, doubt, depth, network.object_map)


def start_of(trained: TrainedModel) -> tuple[TrainedModel, ChannelChoice]:
    """Return the label-free model that a corrected one stands on, and which map it corrects."""
    network, settings = trained.network, trained.settings
    assert isinstance(network, Corrected)
    assert isinstance(settings, LocalContrastSettings)
    kind = METHODS[settings.start_method].Settings
    start = replace(
        trained,
        network=network.start,
        method=settings.start_method,
        settings=kind(**settings.start_settings),
    )
    return start, ChannelChoice(settings.channel, settings.inverted, 0.0, "guess", ())


def settled_of(
    start: TrainedModel, drawn: NDArray[np.float16], choice: ChannelChoice, tile: Tile
) -> Prediction:
    """Return what a label-free model drew (K or more, M, N) as the one map that is corrected."""
    prediction = _taken_apart(start, drawn, tile)
    return settled(prediction, choice, tile, has_stain_edges(start, choice))


def has_stain_edges(trained: TrainedModel, choice: ChannelChoice) -> bool:
    """Whether the edges of the chosen map were taken from the stain when it was drawn."""
    network = trained.network
    if not isinstance(network, Consensus) or not getattr(trained.settings, "stain_edges", False):
        return False
    return network.object_map == (choice.channel, choice.inverted)


def _sharpen(
    maps: NDArray[np.float16],
    of_objects: tuple[int, bool],
    tile: Tile,
    sharpen: Callable[[NDArray[np.float32], Stain, float | None], NDArray[np.float32]],
) -> None:
    """Sharpen, in place, the objects' one of the maps (K, M, N); not of very large tiles."""
    if tile.shape[0] * tile.shape[1] > LARGEST_SHARPENED:
        return
    channel, inverted = of_objects
    drawn = maps[channel].astype(np.float32)
    objects = sharpen(1 - drawn if inverted else drawn, stain_of(tile), tile.um_per_px)
    maps[channel] = 1 - objects if inverted else objects


def needs_rescaling(trained: TrainedModel, tile: Tile) -> bool:
    """Whether both scales are known and differ by more than a tenth."""
    if trained.um_per_px is None or tile.um_per_px is None:
        return False
    return abs(tile.um_per_px / trained.um_per_px - 1) > SCALE_TOLERANCE


def at_scale(tile: Tile, um_per_px: float | None) -> Tile:
    """Return the tile resampled to another scale in µm/px, smoothed first when it shrinks.

    A tile of unknown scale, or a scale of None, is returned as it is. The whole tile is read.
    """
    if um_per_px is None or tile.um_per_px is None:
        return tile
    factor = tile.um_per_px / um_per_px
    shape = tuple(max(1, round(side * factor)) for side in tile.shape)
    pixels = _resized(tile.read(), (*shape, tile.n_channels))
    note = f"Seen by the model at {um_per_px:g} instead of {tile.um_per_px:g} µm/px."
    return replace(tile, pixels=pixels, white=1.0, um_per_px=um_per_px, notes=(*tile.notes, note))


def label_settings_at(
    settings: LabelSettings, from_um_per_px: float | None, to_um_per_px: float | None
) -> LabelSettings:
    """Return label settings with their pixels converted from one scale to another.

    Unchanged when a scale is unknown; a value that would leave its range stays at the limit.
    """
    if from_um_per_px is None or to_um_per_px is None:
        return settings
    zoom = from_um_per_px / to_um_per_px
    values = settings.model_dump()
    for name, dimension in DIMENSIONS.items():
        field = LabelSettings.model_fields[name]
        value = values[name] * zoom**dimension
        for limit in field.metadata:
            value = max(value, getattr(limit, "ge", value))
            value = min(value, getattr(limit, "le", value))
        values[name] = round(value) if field.annotation is int else value
    return LabelSettings(**values)


def _resized(image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    shrinks = shape[0] < image.shape[0]
    scaled = resize(image, shape, order=1, anti_aliasing=shrinks, preserve_range=True)
    return np.clip(np.asarray(scaled, dtype=np.float32), 0, 1)
