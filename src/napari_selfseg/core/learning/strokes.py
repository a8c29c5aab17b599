"""What a person said about the pixels of a tile: not painted, background, or a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNKNOWN, BACKGROUND, OBJECT = 0, 1, 2
MOST_CLASSES = 32


class StrokesError(ValueError):
    """Strokes that nothing can be learned from; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class Strokes:
    """The painted pixels of a tile.

    Unlike in the paper, where 0 is background, there are three kinds of pixels: not painted means
    unknown, and an unknown pixel teaches nothing.

    Parameters
    ----------
    classes : ndarray of uint8, shape (M, N)
        0 not painted, 1 background, 2 and above classes of objects.
    """

    classes: NDArray[np.uint8]

    @classmethod
    def of_corrections(
        cls, labels: NDArray[np.integer[Any]], touched: NDArray[np.bool_]
    ) -> Strokes:
        """Return what corrected labels say: touched pixels are object or background.

        Parameters
        ----------
        labels : ndarray of integers, shape (M, N)
            0 is background.
        touched : ndarray of bool, shape (M, N)
        """
        classes = np.where(labels > 0, OBJECT, BACKGROUND).astype(np.uint8)
        classes[~touched] = UNKNOWN
        return cls(classes)

    @property
    def n_classes(self) -> int:
        """How many classes of objects there may be: the largest number, less one."""
        return max(int(self.classes.max(initial=0)) - BACKGROUND, 0)

    @property
    def n_painted(self) -> int:
        """How many pixels were painted."""
        return int(np.count_nonzero(self.classes))

    def check(self) -> None:
        """Raise `StrokesError` if there are not at least two kinds of painted pixels."""
        if self.classes.ndim != 2:
            raise StrokesError(
                f"Strokes have rows and columns, these have the shape {self.classes.shape}."
            )
        said = np.unique(self.classes)
        said = said[said != UNKNOWN]
        if not said.size:
            raise StrokesError("Nothing is painted yet: correct a few objects first.")
        if said[-1] > BACKGROUND + MOST_CLASSES:
            raise StrokesError(
                f"Strokes have the numbers 0 to {BACKGROUND + MOST_CLASSES}, these {said[-1]}."
            )
        if said.size == 1:
            if said[0] == BACKGROUND:
                raise StrokesError(
                    "All that is painted is background: paint an object, too, so that there are "
                    "two things to tell apart."
                )
            raise StrokesError(
                "All that is painted is of one kind: erase something that is no object, too, so "
                "that there are two things to tell apart."
            )
