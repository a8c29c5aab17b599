"""What a model draws of a tile: confidence maps, doubt and depth. Without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.centres import Centres, centres_of
from napari_selfseg.core.channels import ChannelChoice


@dataclass(frozen=True, eq=False)
class Prediction:
    """The maps of one tile.

    Parameters
    ----------
    maps : ndarray of float16, shape (K, M, N)
        The confidence maps; the map of a refined object with its edges sharpened.
    doubt : ndarray of float16, shape (M, N), or None
        How much the networks disagree about a pixel, 0..1; None for a single network.
    depth : ndarray of float16, shape (M, N), or None
        How deep inside an object a pixel is, 1 at centres; None without refinement.
    refined : tuple of int and bool, or None
        Which map is the refined one, and whether its objects are where it is low.
    before : Prediction, optional
        Of a map that follows corrections, what was drawn before them.
    """

    maps: NDArray[np.float16]
    doubt: NDArray[np.float16] | None = None
    depth: NDArray[np.float16] | None = None
    refined: tuple[int, bool] | None = None
    before: Prediction | None = None

    def is_refined(self, choice: ChannelChoice) -> bool:
        """Whether the chosen map is the refined one, with its own polarity."""
        return self.depth is not None and (choice.channel, choice.inverted) == self.refined

    def centres(self, choice: ChannelChoice, um_per_px: float | None) -> Centres | None:
        """Return the learned centres of the chosen objects; None if nothing learned them."""
        if self.depth is None or not self.is_refined(choice):
            return None
        return centres_of(self.depth, um_per_px)
