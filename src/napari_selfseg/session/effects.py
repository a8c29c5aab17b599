"""What another model changes on a tile, and how good the labels are expected to be then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.changes import Counts, changes_between
from napari_selfseg.core.channels import ChannelChoice, confidence_of
from napari_selfseg.core.images.evidence import stain_of
from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.core.maps import Prediction
from napari_selfseg.core.plausibility import plausibility
from napari_selfseg.core.quality import expected_quality
from napari_selfseg.session.result import RunResult

MOST_TILES = 3  # that are looked at beside the tile itself
ALIKE = 0.005  # smaller differences are not seen in two digits


@dataclass(frozen=True)
class Expectation:
    """How good labels are expected to be, with one model and with another, without a reference.

    Parameters
    ----------
    before, after : float
    is_dice : bool
        Whether they are expected Dice coefficients; else they say how well the labels explain the
        stain.
    """

    before: float
    after: float
    is_dice: bool

    def sentence(self) -> str:
        """Return it in words."""
        what = "Expected Dice" if self.is_dice else "Agreement with the stain"
        before, after = (f"{x:.2f}".replace("-", "−") for x in (self.before, self.after))
        if abs(self.after - self.before) < ALIKE:
            return f"{what} {after} as before (an estimate)."
        return f"{what} {before} → {after} (an estimate)."


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a model draws of a tile, and labels.

    Parameters
    ----------
    labels : ndarray of integers, shape (M, N)
    confidence : ndarray of float, shape (M, N)
    doubt : ndarray of float, shape (M, N), or None
        Of a refined map.
    """

    labels: NDArray[np.integer[Any]]
    confidence: NDArray[np.floating[Any]]
    doubt: NDArray[np.floating[Any]] | None

    @classmethod
    def of(
        cls, prediction: Prediction, choice: ChannelChoice, labels: NDArray[np.integer[Any]]
    ) -> Drawn:
        """Return labels beside the chosen one of the maps."""
        doubt = prediction.doubt if prediction.is_refined(choice) else None
        return cls(labels, confidence_of(prediction.maps, choice), doubt)

    def expected_dice(self) -> float | None:
        """Return the expected Dice coefficient; None where nobody knows."""
        if self.doubt is None:
            return None
        quality = expected_quality(self.labels, self.confidence, self.doubt)
        return None if quality is None else quality.expected_dice


@dataclass(frozen=True)
class Effect:
    """What another model changes on one tile.

    Parameters
    ----------
    name : str
        Of the tile.
    counts : Counts
    expectation : Expectation or None
        None without objects.
    """

    name: str
    counts: Counts
    expectation: Expectation | None


def expectation_of(tile: Tile, before: Drawn, after: Drawn) -> Expectation | None:
    """Return how good two label images of a tile are expected to be; None without objects."""
    if not (before.labels.any() and after.labels.any()):
        return None
    dice = before.expected_dice(), after.expected_dice()
    if dice[0] is not None and dice[1] is not None:
        return Expectation(dice[0], dice[1], is_dice=True)
    stain = stain_of(tile)
    score, other = (plausibility(drawn.labels, stain) for drawn in (before, after))
    return Expectation(score, other, is_dice=False)


def effect_on(
    tile: Tile, former: RunResult, now: RunResult, should_stop: Callable[[], bool]
) -> Effect:
    """Return what one model in place of another changes on a tile that nobody has corrected.

    Raises
    ------
    TileError
        If the models cannot read the tile.
    PredictionStopped
        If ``should_stop`` said so between two pieces.
    """
    before, after = (_drawn_by(result, tile, should_stop) for result in (former, now))
    counts = changes_between(before.labels, after.labels).counts
    return Effect(tile.name, counts, expectation_of(tile, before, after))


def _drawn_by(result: RunResult, tile: Tile, should_stop: Callable[[], bool]) -> Drawn:
    from napari_selfseg.core.segmentation import labels_of, prediction_of_tile

    prediction = prediction_of_tile(result.model, tile, should_stop)
    return Drawn.of(prediction, result.choice, labels_of(prediction, result.choice, tile)[0])


def effects_on(
    tiles: Sequence[Tile], former: RunResult, now: RunResult, should_stop: Callable[[], bool]
) -> Iterator[Effect]:
    """Yield what another model changes on the first `MOST_TILES` tiles, one after the other.

    It ends early if ``should_stop`` says so; tiles that the models cannot read are left out.
    """
    for tile in tiles[:MOST_TILES]:
        try:
            effect = effect_on(tile, former, now, should_stop)
        except TileError:
            continue
        except Exception as error:
            if type(error).__name__ == "PredictionStopped":
                return
            raise
        if should_stop():
            return
        yield effect
