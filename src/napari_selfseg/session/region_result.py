"""What a run in regions mode gives: K classes of tissue, their names, and the one clicked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.regions import (
    ClassImage,
    RegionLabelSettings,
    clean_name,
    region_labels,
)
from napari_selfseg.session.result import StoppedBy

if TYPE_CHECKING:
    from napari_selfseg.core.checkpoint import TrainedModel

HowChosen = Literal["one click", "user"]


@dataclass(frozen=True, eq=False)
class RegionResult:
    """Classes of tissue with their memberships in the tile in view, and how they came about.

    Parameters
    ----------
    model : TrainedModel
    curves : tuple of TrainingStep
        Every step of the training.
    maps : ndarray of float16, shape (K, M, N)
        The memberships of ``tile``, 0..1.
    names : tuple of str
        Of the classes 1..K.
    stopped_by : {"plateau", "collapse", "steps", "user", "unstable"}
    stopped_because : str
        One sentence for the user.
    best_step : int
        The step of the closest fit; 0 when there was none.
    tile : Tile
        The tile in view, shape (M, N).
    seconds : float
        From the first step to the end of the prediction.
    provenance : mapping
        What is stored with the result (no patient data).
    structure : int or None
        The class, from 1, that is wanted as objects.
    """

    model: TrainedModel
    curves: tuple[TrainingStep, ...]
    maps: NDArray[np.float16]
    names: tuple[str, ...]
    stopped_by: StoppedBy
    stopped_because: str
    best_step: int
    tile: Tile
    seconds: float
    provenance: Mapping[str, Any]
    structure: int | None = None

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.names)

    @property
    def labels_used(self) -> str:
        """Which labels touched the result: "none" or "one click"."""
        return str(self.provenance.get("labels_used", "none"))

    def labels(self, settings: RegionLabelSettings | None = None) -> ClassImage:
        """Return the label image of the tile, (M, N), 1..K."""
        return region_labels(self.maps, self.tile.um_per_px, settings)

    def renamed(self, number: int, name: str) -> RegionResult:
        """Return the same result with another name for a class; empty brings the default back."""
        names = list(self.names)
        names[number - 1] = clean_name(name, number)
        return replace(self, names=tuple(names), provenance={**self.provenance, "classes": names})

    def with_structure(self, number: int | None, how: HowChosen = "user") -> RegionResult:
        """Return the same result with one class chosen as the structure, or none.

        A click that was used once stays said.
        """
        told: dict[str, Any] = {"structure": number}
        if number is not None:
            told["structure_chosen_by"] = how
        if how == "one click" and number is not None:
            told["labels_used"] = "one click"
        kept = {k: v for k, v in self.provenance.items() if k != "structure_chosen_by"}
        return replace(self, structure=number, provenance={**kept, **told})
