"""The live map: the visible field, predicted in pieces, for a small share of the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from napari_selfseg.core.channels import ChannelChoice, confidence_of
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.session.updates import Preview

if TYPE_CHECKING:
    from torch import nn

PIECE = 256  # px
HALO = 24  # px; less than most networks see: a preview may be slightly off at its seams
SOON_THERE = 4_000_000  # px; such a tile is drawn to its end in a few seconds
MOST_AT_LAST = 1_000_000  # px of a field that is drawn before the rest: drawing it twice is cheap
TIME_SHARE = 0.05  # of the training's time, after the first picture


class LivePreview:
    """Decides when a piece of the visible field is due, and predicts it.

    Parameters
    ----------
    tile : Tile
        The tile in view, shape (M, N).
    image_space : {"rgb", "optical-density"}
    """

    def __init__(self, tile: Tile, image_space: str) -> None:
        self.tile, self.image_space = tile, image_space
        self._field = slice(0, tile.shape[0]), slice(0, tile.shape[1])
        self._lock = threading.Lock()
        self._moved = False
        self._queue: list[tuple[slice, slice]] = []
        self._first_round: int | None = None  # pieces of it that are left; a fixed number
        self._spent = 0.0  # s, since the first round

    def look_at(self, rows: slice, columns: slice) -> None:
        """Say which part of the tile is visible; from any thread, clipped to the tile."""
        spans = []
        for span, length in zip((rows, columns), self.tile.shape, strict=True):
            start = min(max(0, int(span.start or 0)), length - 1)
            stop = length if span.stop is None else int(span.stop)
            spans.append(slice(start, min(length, max(stop, start + 1))))
        with self._lock:
            self._moved |= tuple(spans) != self._field
            self._field = spans[0], spans[1]

    def is_due(self, seconds: float) -> bool:
        """Whether a piece may be predicted now, ``seconds`` after the start."""
        return self._first_round != 0 or self._spent <= TIME_SHARE * seconds

    def piece(self, network: nn.Module, choice: ChannelChoice | None, step: int) -> Preview:
        """Predict the next piece of the visible field, nearest to its centre first.

        Without a choice the classes are shown, as all maps together are the result.
        """
        start = time.perf_counter()
        halo = int(getattr(network, "preview_halo", HALO))
        drawn = self.draw(network, self._next(), choice, step, halo)
        if self._first_round is None:
            self._first_round = len(self._queue) + 1
        if self._first_round:
            # who goes on moving the view starts no second first round
            self._first_round -= 1
        else:
            self._spent += time.perf_counter() - start
        return drawn

    def last_round(
        self, network: nn.Module, choice: ChannelChoice | None, step: int
    ) -> Iterator[Preview]:
        """Predict the visible field with the network that was kept, nearest to its centre first.

        Only of a large tile, whose rest takes a while, and only if it is a small part of it: what
        is looked at should not wait. Refined edges come with the whole map.
        """
        from napari_selfseg.core.prediction import nearest_first, pieces

        with self._lock:
            field = self._field  # who goes on moving the view does not make it longer
        if _n_pixels(self.tile.shape) <= SOON_THERE or _n_pixels(_sides(field)) > MOST_AT_LAST:
            return
        halo = getattr(network, "preview_halo", None)
        for place in nearest_first(pieces(*field, PIECE), *field):
            yield self.draw(network, place, choice, step, halo)

    def draw(
        self,
        network: nn.Module,
        place: tuple[slice, slice],
        choice: ChannelChoice | None,
        step: int,
        halo: int | None,
    ) -> Preview:
        """Return the map in one place; a run whose map is made otherwise draws it in its own way.

        Parameters
        ----------
        network : nn.Module
        place : tuple of slice
        choice : ChannelChoice or None
            None where every pixel has a class.
        step : int
        halo : int or None
            Px around the place that are looked at; None: all that the network can see.
        """
        from napari_selfseg.core.prediction import predict_region

        maps = predict_region(network, self.tile, *place, self.image_space, halo)
        if choice is None:
            shown = (maps.argmax(0) + 1).astype(np.uint8)
            return Preview(*place, shown, step, 0, False, n_classes=len(maps))
        shown = np.round(confidence_of(maps, choice) * 255).astype(np.uint8)
        return Preview(*place, shown, step, choice.channel, choice.inverted)

    def _next(self) -> tuple[slice, slice]:
        from napari_selfseg.core.prediction import nearest_first, pieces

        with self._lock:
            if self._moved or not self._queue:
                field, self._moved = self._field, False
                self._queue = nearest_first(pieces(*field, PIECE), *field)
            return self._queue.pop(0)


def _sides(field: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = field
    return rows.stop - rows.start, columns.stop - columns.start


def _n_pixels(shape: tuple[int, int]) -> int:
    return shape[0] * shape[1]
