"""From a network and a tile to confidence maps, piece by piece and without seams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.memory import is_out_of_memory, keep_freed_memory
from napari_selfseg.core.networks.confidence import ConfidenceNetwork
from napari_selfseg.core.networks.consensus import Consensus
from napari_selfseg.core.networks.corrected import Corrected, Evidence
from napari_selfseg.core.networks.device import sent
from napari_selfseg.core.networks.network_input import network_input
from napari_selfseg.core.networks.precision import has_bfloat16
from napari_selfseg.core.networks.refined import Refined

SMALLEST_PIECE = 96  # px; below it a piece is nearly all halo
PIECE = 1280  # px; smaller ones are mostly halo, this one needs some 300 MB


Place = tuple[slice, slice]
"""Rows and columns of a region, with start and stop inside the tile."""


class PredictionStopped(Exception):
    """The prediction was stopped before it was complete."""


def pieces(rows: slice, columns: slice, size: int = PIECE) -> Iterator[Place]:
    """Cut a region into pieces of at most ``size`` px a side, row by row.

    The pieces are of nearly equal size, so that none is a thin strip of mostly halo.
    """
    for top, bottom in _spans(rows, size):
        for left, right in _spans(columns, size):
            yield slice(top, bottom), slice(left, right)


def folded(network: nn.Module) -> nn.Module:
    """Return a folded copy of a network that can be folded, else the network itself."""
    if isinstance(network, ConfidenceNetwork | Consensus | Refined | Corrected | Evidence):
        return network.folded()
    return network


def for_prediction(network: nn.Module) -> nn.Module:
    """Return the network as it predicts fastest: folded, its tiny networks with half the bits.

    Only where the device is made for bfloat16. Confidences of learned networks differ by .002 to
    .005 then, by at most .04; U-Nets, whose maps are cut along the outlines, keep all bits.
    """
    copy = folded(network)
    if copy is not network and has_bfloat16(next(network.parameters()).device):
        for part in copy.modules():
            if isinstance(part, ConfidenceNetwork):
                part.halve()
    return copy


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
    was_training = network.training
    network.eval()
    try:
        window = _window(network, tile, (rows, columns), halo)
        drawn = _drawn(network, _read(tile, window, image_space), window)
    finally:
        network.train(was_training)
    return _fetched(drawn)


def predict_pieces(
    network: nn.Module,
    tile: Tile,
    places: Iterable[Place],
    image_space: str = "rgb",
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[tuple[Place, NDArray[np.float32]]]:
    """Predict regions of a tile one after another; memory is bounded by the largest of them.

    While one is computed the next is read, and from a graphics card the one before is fetched.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, best a folded one (see `for_prediction`).
    tile : Tile
    places : iterable of (rows, columns)
        Such as `pieces`, in the order they are wanted in (see `nearest_first`).
    image_space : {"rgb", "optical-density"}
    should_stop : callable, optional
        Asked before every piece.

    Yields
    ------
    place : tuple of slice
    maps : ndarray of float32, shape (K, m, n)
        As `predict_region` returns them.

    Raises
    ------
    PredictionStopped
        If ``should_stop`` said so.
    """
    keep_freed_memory()
    windows = (_window(network, tile, place) for place in places)
    before: tuple[Place, Tensor] | None = None
    for window, batch in _read_ahead(tile, windows, image_space):
        if should_stop is not None and should_stop():
            raise PredictionStopped
        drawn = _drawn(network, batch, window)  # a graphics card goes on by itself
        if before is not None:
            yield before[0], _fetched(before[1])
        before = window.place, drawn
    if before is not None:
        yield before[0], _fetched(before[1])


def nearest_first(places: Iterable[Place], rows: slice, columns: slice) -> list[Place]:
    """Sort regions by the distance of their middles from the middle of another region."""
    middle = rows.start + rows.stop, columns.start + columns.stop

    def distance(place: Place) -> int:
        return sum((p.start + p.stop - m) ** 2 for p, m in zip(place, middle, strict=True))

    return sorted(places, key=distance)


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
    maps: NDArray[np.float16] | None = None
    places = pieces(slice(0, tile.shape[0]), slice(0, tile.shape[1]), piece)
    predicting, was_training = for_prediction(network), network.training
    predicting.eval()
    try:
        for (rows, columns), region in predict_pieces(
            predicting, tile, places, image_space, should_stop
        ):
            if maps is None:
                maps = np.empty((region.shape[0], *tile.shape), np.float16)
            maps[:, rows, columns] = region
    finally:
        network.train(was_training)
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


class _Window(NamedTuple):
    """A region with what is read around it.

    ``inside`` is read of the tile, mirrored by ``missing`` px on either side, and of what the
    network draws of that ``keep`` is the region; each for rows and columns.
    """

    place: Place
    inside: Place
    missing: tuple[tuple[int, int], tuple[int, int]]
    keep: Place


def _window(network: nn.Module, tile: Tile, place: Place, halo: int | None = None) -> _Window:
    halo = int(getattr(network, "halo", 0)) if halo is None else halo
    alignment = int(getattr(network, "alignment", 1))
    (top, above, rows), (left, beside, columns) = (
        _with_halo(span, halo, side, alignment)
        for span, side in zip(place, tile.shape, strict=True)
    )
    return _Window(place, (top, left), (above, beside), (rows, columns))


def _read(tile: Tile, window: _Window, image_space: str) -> Tensor:
    """Return a window as the network reads it, (1, C, m, n)."""
    # mirrored at the tile's border: zeros, as the convolutions pad, would be drawn as its outline
    pixels = np.pad(tile.read(*window.inside), (*window.missing, (0, 0)), mode="symmetric")
    batch = torch.from_numpy(network_input(pixels, image_space)).unsqueeze(0)
    return batch.contiguous(memory_format=torch.channels_last)


def _read_ahead(
    tile: Tile, windows: Iterator[_Window], image_space: str
) -> Iterator[tuple[_Window, Tensor]]:
    """Yield windows and what is read of them; the next one is read in the meantime."""
    with ThreadPoolExecutor(1, "read ahead") as reader:

        def begin() -> tuple[_Window, Future[Tensor]] | None:
            window = next(windows, None)
            return window and (window, reader.submit(_read, tile, window, image_space))

        reading = begin()
        while reading is not None:
            window, batch = reading[0], reading[1].result()
            reading = begin()
            yield window, batch


def _drawn(network: nn.Module, batch: Tensor, window: _Window) -> Tensor:
    """Return what a network draws of a window, (K, m, n), where the network is."""
    batch = sent(batch, next(network.parameters()).device)
    with torch.inference_mode():
        drawn: Tensor = getattr(network, "with_extras", network)(batch)
    return drawn[0, :, *window.keep]


def _fetched(drawn: Tensor) -> NDArray[np.float32]:
    maps: NDArray[np.float32] = drawn.float().cpu().numpy()
    return maps


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
