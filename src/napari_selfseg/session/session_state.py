"""What is kept of the work on one tile: labels, touched pixels, and values by name."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LARGEST_VALUE = 8_000_000  # characters of JSON of one value
BACKGROUND = 1  # in a strokes image; classes follow, 0 was not painted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LayerWork:
    """One labels layer as a person left it.

    Parameters
    ----------
    labels : ndarray of uint8, uint16 or int32, shape (M, N)
        Nobody writes to it any more.
    touched : ndarray of bool, shape (M, N)
        Which pixels a person has decided.
    reserved : ndarray of int64
        The numbers that new objects never get, in increasing order.
    settings : mapping
        How its labels are made, as JSON; empty if nobody knows.
    """

    labels: NDArray[np.integer[Any]]
    touched: NDArray[np.bool_]
    reserved: NDArray[np.int64]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_touched(self) -> bool:
        """Whether a person has decided any pixel."""
        return bool(self.touched.any())

    def strokes(self, are_classes: bool = False) -> NDArray[np.uint8]:
        """Return what is known (M, N): 0 not painted, 1 background, 2 object, or class + 1.

        Parameters
        ----------
        are_classes : bool
            Whether the labels are classes; else every number is an object.

        Raises
        ------
        ValueError
            If there are more classes than the image can hold.
        """
        kind = self.labels if are_classes else (self.labels > 0)
        most = int(kind[self.touched].max(initial=0)) + BACKGROUND
        if most > np.iinfo(np.uint8).max:
            raise ValueError(f"Strokes hold at most 254 classes, and there are {most - 1}.")
        known = kind.astype(np.uint8) + np.uint8(BACKGROUND)
        return np.where(self.touched, known, np.uint8(0))


@dataclass(frozen=True, eq=False)
class SessionState:
    """All of the work on one tile at one moment, but the trained runs themselves.

    Parameters
    ----------
    layers : mapping of str to LayerWork
        By the name of what they show: "threshold", "learned", "regions", "structure"; layers of
        earlier runs are "earlier-1", "earlier-2", ... All have the shape (M, N) of the tile.
    values : mapping of str to JSON
        What other parts keep: settings, the review's decisions.
    runs : mapping of str to int
        The number of the run folder behind "learned" and "regions".
    """

    layers: Mapping[str, LayerWork]
    values: Mapping[str, Any] = field(default_factory=dict)
    runs: Mapping[str, int] = field(default_factory=dict)


def corrected_places(touched: NDArray[np.bool_]) -> int:
    """Return how many separate places (M, N) a person has touched."""
    rows = np.flatnonzero(touched.any(axis=1))
    if not len(rows):
        return 0
    columns = np.flatnonzero(touched.any(axis=0))
    box = touched[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return int(ndimage.label(box, structure=np.ones((3, 3)))[1])


class KeptValues:
    """Values of several parts of the program that are saved with a tile and come back with it.

    A value is whatever JSON can hold. What came back for a part that is not there (yet) is kept
    for it, and saved again.
    """

    def __init__(self) -> None:
        self._suppliers: dict[str, Callable[[], Any]] = {}
        self._receivers: dict[str, Callable[[Any], None]] = {}
        self._last: dict[str, Any] = {}  # as saved or brought back last
        self._unclaimed: set[str] = set()
        self.on_change: Callable[[], None] = lambda: None

    def register(
        self, name: str, supplier: Callable[[], Any], receiver: Callable[[Any], None]
    ) -> None:
        """Keep a value from now on.

        Parameters
        ----------
        name : str
            Small letters, digits and underscores.
        supplier : callable() -> JSON
            Asked in the window's thread whenever something is saved. None is not kept; as long as
            there is nothing else to keep, neither is what is empty.
        receiver : callable(JSON)
            Gets the value when stored work is taken up; at once if that was before. The value was
            in a file, so it may be anything: the receiver checks it.
        """
        self._suppliers[name], self._receivers[name] = supplier, receiver
        if name in self._unclaimed:
            self._unclaimed.discard(name)
            self._receive(name)

    def changed(self) -> None:
        """Say that a value is not what was saved."""
        self.on_change()

    def collect(self) -> dict[str, Any]:
        """Return copies of all values. One that cannot be kept is told to the log."""
        for name, supplier in self._suppliers.items():
            try:
                text = json.dumps(supplier(), allow_nan=False, ensure_ascii=False)
                text.encode()  # half a character cannot be written
                if len(text) > LARGEST_VALUE:
                    raise ValueError(f"{len(text):,} characters are too many")
            except Exception:
                logger.exception("'%s' could not be kept; what was kept before stays", name)
            else:
                self._last[name] = json.loads(text)
        return {name: value for name, value in self._last.items() if value is not None}

    def hand_out(self, values: Mapping[str, Any]) -> None:
        """Give stored values back to the parts they came from."""
        self._last = dict(values)
        self._unclaimed = set(values) - set(self._receivers)
        for name in set(values) & set(self._receivers):
            self._receive(name)

    def _receive(self, name: str) -> None:
        try:
            self._receivers[name](self._last[name])
        except Exception:  # somebody may have changed the file; the rest must come back
            logger.exception("What was kept as '%s' could not be brought back", name)
