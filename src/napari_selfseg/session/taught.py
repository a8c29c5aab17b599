"""What a person's corrections teach, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_selfseg.core.learning.strokes import Strokes, StrokesError

BACKGROUND = 1  # in strokes; what is above are classes of objects


@dataclass(frozen=True, eq=False)
class Taught:
    """The strokes that corrected labels say.

    Parameters
    ----------
    strokes : Strokes
    n_places : int
        Connected places that were touched.
    n_object, n_background : int
        Pixels of either.
    problem : str
        Why nothing can be learned from them, in one sentence; empty if something can.
    """

    strokes: Strokes
    n_places: int
    n_object: int
    n_background: int
    problem: str

    @classmethod
    def by(cls, labels: NDArray[np.integer[Any]], touched: NDArray[np.bool_]) -> Taught:
        """Return what labels and touched pixels (M, N) teach."""
        strokes = Strokes.of_corrections(labels, touched)
        n_touched = int(np.count_nonzero(touched))
        n_background = int(np.count_nonzero(strokes.classes == BACKGROUND))
        problem = ""
        try:
            strokes.check()
        except StrokesError as error:
            problem = str(error)
        n_places = ndimage.label(touched)[1] if n_touched else 0
        return cls(strokes, n_places, n_touched - n_background, n_background, problem)

    def sentence(self) -> str:
        """Return the numbers in words; empty without a correction."""
        if not self.n_places:
            return ""
        noun = "correction" if self.n_places == 1 else "corrections"
        return (
            f"{self.n_places:,} {noun}: {self.n_object:,} px of objects and "
            f"{self.n_background:,} px of background."
        )

    def says_the_same(self, other: Taught | None) -> bool:
        """Whether the same pixels say the same."""
        return other is not None and np.array_equal(self.strokes.classes, other.strokes.classes)
