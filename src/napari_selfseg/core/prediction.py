"""From a network and a tile to confidence maps, piece by piece and without seams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.memory import is_out_of_memory, keep_freed_memory
from napari_selfseg.core.networks.confidence import ConfidenceNetwork
from napari_selfseg.core.networks.consensus import Consensus
from napari_selfseg.core.networks.network_input import network_input
from napari_selfseg.core.networks.refined import Refined

SMALLEST_PIECE = 96  # px; below it a piece is nearly all halo
PIECE = 1024  # px; smaller ones are mostly halo, this one needs some 200 MB


class PredictionStopped(Exception):
    """The prediction was stopped before it was complete."""


def pieces(rows: slice, columns: slice, size: int = PIECE) -> Iterator[tuple[slice, slice]]:
    """Cut a region into pieces of at most ``size`` px a side, row by row.

    The pieces are of nearly equal size, so that none is a thin strip of mostly halo.
    """
    for top, bottom in _spans(rows, size):
        for left, right in _spans(columns, size):
            yield slice(top, bottom), slice(left, right)


def for_prediction(network: nn.Module) -> nn.Module:
    """Return a folded copy of a network that can be folded, else the network itself."""
    if isinstance(network, ConfidenceNetwork | Consensus | Refined):
        return network.folded()
    return network


def predict_region(
    network: nn.Module,
    tile: Tile,
    rows: slice,
    columns: slice,
    image_space: str = "rgb",
    halo: int | None = None,
) -> NDArray[np.float32]:
    """Predict one region of a tile in one go, with running batch statistics.

    Parameters
    ----------
    network : nn.Module
        Maps (1, C, m, n) to (1, K, m, n); its device is used, its mode is restored. Its
        attributes ``halo`` and ``alignment`` (px, 0 and 1 without them) are honoured.
    tile : Tile
        Shape (M, N), C channels.
    rows, columns : slice
        With start and stop inside the tile.
    image_space : {"rgb", "optical-density"}
    halo : int, optional
        Pixels read around the region, mirrored at the tile's border. The network's own halo
        makes the result equal to the whole tile's; a smaller one is faster and approximate.

    Returns
    -------
    ndarray of float32, shape (K, m, n)
        Followed by what the network draws besides, if it has ``extras``: (K + E, m, n).
    """
    halo = int(getattr(network, "halo", 0)) if halo is None else halo
    alignment = int(getattr(network, "alignment", 1))
    read_rows, pad_rows, keep_rows = _with_halo(rows, halo, tile.shape[0], alignment)
    read_columns, pad_columns, keep_columns = _with_halo(columns, halo, tile.shape[1], alignment)
    # mirrored at the tile's border: zeros, as the convolutions pad, would draw a frame there
    pixels = np.pad(
        tile.read(read_rows, read_columns), (pad_rows, pad_columns, (0, 0)), mode="symmetric"
    )
    parameter = next(network.parameters())
    batch = torch.from_numpy(network_input(pixels, image_space)).unsqueeze(0).to(parameter.device)
    batch = batch.contiguous(memory_format=torch.channels_last)
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            forward = getattr(network, "with_extras", network)
            maps = forward(batch)[0, :, keep_rows, keep_columns]
    finally:
        network.train(was_training)
    region: NDArray[np.float32] = maps.float().cpu().numpy()
    return region


def predict(
    network: nn.Module,
    tile: Tile,
    image_space: str = "rgb",
    piece: int = PIECE,
    should_stop: Callable[[], bool] | None = None,
) -> NDArray[np.float16]:
    """Predict a whole tile in pieces; memory is bounded by the piece, not by the tile.

    The pieces overlap by the network's halo, so that no seam is left (the difference to a
    prediction in one go is rounding).

    Parameters
    ----------
    network : nn.Module
        Maps (1, C, m, n) to (1, K, m, n).
    tile : Tile
        Shape (M, N).
    image_space : {"rgb", "optical-density"}
    piece : int
        Side of a piece in px.
    should_stop : callable, optional
        Asked before every piece.

    Returns
    -------
    ndarray of float16, shape (K, M, N)
        Followed by the network's extras, as in `predict_region`.

    Raises
    ------
    PredictionStopped
        If ``should_stop`` said so.
    """
    keep_freed_memory()
    network = for_prediction(network)
    maps: NDArray[np.float16] | None = None
    whole = slice(0, tile.shape[0]), slice(0, tile.shape[1])
    for rows, columns in pieces(*whole, piece):
        if should_stop is not None and should_stop():
            raise PredictionStopped
        region = predict_region(network, tile, rows, columns, image_space)
        if maps is None:
            maps = np.empty((region.shape[0], *tile.shape), np.float16)
        maps[:, rows, columns] = region
    assert maps is not None
    return maps


def predict_within_memory(
    network: nn.Module,
    tile: Tile,
    image_space: str = "rgb",
    should_stop: Callable[[], bool] | None = None,
) -> NDArray[np.float16]:
    """Predict; when a graphics card is full in smaller pieces, at last on the processor.

    Parameters, result and errors are those of `predict`. The network may end up on the
    processor.
    """
    piece = PIECE
    while True:
        try:
            return predict(network, tile, image_space, piece, should_stop)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            torch.cuda.empty_cache()
            if piece // 2 >= SMALLEST_PIECE:
                piece //= 2
            elif next(network.parameters()).device.type != "cpu":
                network.cpu()
            else:
                raise


def _spans(whole: slice, size: int) -> Iterator[tuple[int, int]]:
    length = whole.stop - whole.start
    n = max(1, -(-length // size))
    edges = [whole.start + round(i * length / n) for i in range(n + 1)]
    yield from pairwise(edges)


def _with_halo(
    span: slice, halo: int, length: int, alignment: int
) -> tuple[slice, tuple[int, int], slice]:
    """Return what to read for a span with its halo.

    Returns
    -------
    inside : slice
        Of the tile.
    missing : tuple of int
        How much is missing on either side.
    keep : slice
        Where the span lies in what is read, once that is filled up.
    """
    # networks that pool see the same grid in every piece only if all begin on it
    start = (span.start - halo) // alignment * alignment
    stop = -(-(span.stop + halo) // alignment) * alignment
    inside = slice(max(0, start), min(length, stop))
    keep = slice(span.start - start, span.stop - start)
    return inside, (inside.start - start, stop - inside.stop), keep
