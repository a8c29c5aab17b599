"""How good the labels of a tile are expected to be, judged without labels of the tile.

What is measured needs no reference. How much each measure counts was fitted once, on the labelled
tiles of MoNuSeg's training set; docs/results.md says how well it ranks the tiles of other sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.shapes import shapes_of

# measure: mean and standard deviation over the training tiles, weight in Dice per deviation
CALIBRATION = {
    "confidence": (0.9, 0.03, 0.012),
    "ellipse fit": (0.9, 0.02, 0.009),
}
MEAN_DICE = 0.776
SPREAD = 0.05


@dataclass(frozen=True)
class Quality:
    """An expectation, not a measurement.

    Parameters
    ----------
    expected_dice : float
        0..1.
    spread : float
        Two of three tiles lie within this of the expectation.
    agreement : float
        How much the networks agree about the objects, 0..1: one minus their mean doubt there.
    """

    expected_dice: float
    spread: float
    agreement: float

    def sentence(self) -> str:
        """Return it in words."""
        return (
            f"Expected Dice {self.expected_dice:.2f} ± {self.spread:.2f} (an estimate), "
            f"agreement {self.agreement:.2f}."
        )


def expected_quality(
    labels: NDArray[np.integer[Any]],
    confidence: NDArray[np.floating[Any]],
    doubt: NDArray[np.floating[Any]],
) -> Quality | None:
    """Return how good the labels of a refined map are expected to be.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
    confidence : ndarray of float, shape (M, N)
        The refined map, in 0..1.
    doubt : ndarray of float, shape (M, N)
        In 0..1.

    Returns
    -------
    Quality or None
        None if there are no objects.
    """
    mask = labels > 0
    if not mask.any():
        return None
    measured = {
        "confidence": float(confidence[mask].mean(dtype=np.float64)),
        "ellipse fit": shapes_of(labels).mean_fit,
    }
    expected = MEAN_DICE
    for name, (mean, deviation, weight) in CALIBRATION.items():
        expected += weight * (measured[name] - mean) / deviation
    agreement = 1 - float(doubt[mask].mean(dtype=np.float64))
    return Quality(min(max(expected, 0.0), 1.0), SPREAD, agreement)
