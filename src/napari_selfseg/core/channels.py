"""Which of the K confidence maps is the object, and whether it is light or dark in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

MAP_SIGMA = 1.5  # px; the smoothing a learned map gets before it is cut
N_THRESHOLDS = 256
LEAST_SHARE = 1e-4  # of the pixels; a smaller mask explains nothing reliably
LEAST_SPREAD = 1e-6  # a map whose standard deviation is below this says nothing


@dataclass(frozen=True)
class ChannelChoice:
    """A confidence map, its polarity, and how it came to be chosen.

    Parameters
    ----------
    channel : int
        Index of the map, from 0.
    inverted : bool
        The object is where the map is low.
    score : float
        How clear the choice was: the absolute value of the chosen map's correlation.
    how : {"guess", "one click", "user"}
        "guess": without any label, from the stain. "one click": a person showed one nucleus.
        "user": a person ticked it.
    correlations : tuple of float
        One signed number per map, what the choice was made from: for a guess the agreement
        with the stain, for a click how far the map is higher at the click than elsewhere.
    """

    channel: int
    inverted: bool
    score: float
    how: Literal["guess", "one click", "user"]
    correlations: tuple[float, ...]

    def of_map(self, channel: int) -> ChannelChoice:
        """Return the choice of another map, in the polarity of its correlation."""
        signed = self.correlations
        inverted = channel < len(signed) and bool(signed[channel] < 0)
        return replace(self, channel=channel, inverted=inverted)


def mask_agreement(maps: NDArray[np.floating[Any]], cue: NDArray[Any]) -> NDArray[np.float64]:
    """Return how well the best mask of every map agrees with the nuclear cue, signed.

    For each map the threshold t is taken whose mask ``map > t`` correlates most with the cue;
    the square of that correlation is the share of the cue's variance that the mask explains
    (Otsu's criterion, with the mask from the map and the variance of the cue). On training
    tiles this ranked maps by their true Dice much better than the correlation of the map
    itself, which also rewards maps that are too blurred to cut.

    Parameters
    ----------
    maps : ndarray of float, shape (K, M, N)
        Confidence in 0..1.
    cue : ndarray, shape (M, N)
        Higher where the object is more likely, such as haematoxylin. Smoothing it first, since
        it is noisier than the maps, is up to the caller.

    Returns
    -------
    ndarray of float64, shape (K,)
        In -1..1; negative where the object is the low side of the map; 0 for a map or cue
        that is constant or not finite.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    _check(maps)
    if cue.shape != maps.shape[1:]:
        raise ValueError(
            f"The maps have {maps.shape[1]} × {maps.shape[2]} px, but the stain has "
            f"{' × '.join(str(n) for n in cue.shape)} px."
        )
    reference = _standardised(cue)
    return np.array([best_mask(one, reference)[0] for one in maps])


def best_mask(one: NDArray[np.floating[Any]], reference: NDArray[Any]) -> tuple[float, float]:
    """Return the correlation, largest in size, of any mask ``one > t`` with a reference, and t.

    Parameters
    ----------
    one : ndarray of float, shape (M, N)
        A map in 0..1; it is smoothed by 1.5 px first.
    reference : ndarray, shape (M, N)
        Of mean 0 and standard deviation 1.

    Returns
    -------
    correlation : float
        In -1..1; 0 for a map that is constant or not finite.
    threshold : float
        In 0..1; 0.5 where the correlation is 0.
    """
    smooth = gaussian_filter(np.asarray(one, dtype=np.float32), MAP_SIGMA)
    if not np.isfinite(smooth).all():
        return 0.0, 0.5
    bins = (np.clip(smooth, 0, 1) * (N_THRESHOLDS - 1)).astype(np.intp).ravel()
    counts = np.bincount(bins, minlength=N_THRESHOLDS)
    sums = np.bincount(bins, weights=reference.ravel(), minlength=N_THRESHOLDS)
    # from the top down: pixels above each threshold, and the reference summed over them
    share = counts[::-1].cumsum()[::-1][1:] / reference.size
    surplus = sums[::-1].cumsum()[::-1][1:] / reference.size
    spread = np.sqrt(share * (1 - share))
    usable = (share > LEAST_SHARE) & (share < 1 - LEAST_SHARE)
    correlation = np.divide(surplus, spread, out=np.zeros_like(surplus), where=usable)
    best = int(np.abs(correlation).argmax())
    if correlation[best] == 0:
        return 0.0, 0.5
    return float(correlation[best]), (best + 1) / (N_THRESHOLDS - 1)


def choose_channel(maps: NDArray[np.floating[Any]], cue: NDArray[Any]) -> ChannelChoice:
    """Guess, without labels, which map is the object: the one whose mask fits the stain best.

    Parameters, errors and the measure are those of `mask_agreement`; a map that agrees
    inversely is inverted.

    Returns
    -------
    ChannelChoice
        With ``how="guess"``. If no map says anything, the first is chosen with score 0.
    """
    return best_of(mask_agreement(maps, cue))


def best_of(agreements: NDArray[np.float64]) -> ChannelChoice:
    """Return the guess for signed agreements, shape (K,), such as a mean over several tiles."""
    return _best([float(value) for value in agreements], how="guess")


def choose_by_click(
    maps: NDArray[np.floating[Any]], row: float, column: float, radius: float = 4
) -> ChannelChoice:
    """Choose the map and polarity from one nucleus that a person clicked.

    Every map is asked how much higher it is on the clicked disk (mean) than usual on the tile
    (median, which is background where less than half of the tile is object). The largest
    difference wins; where it is negative the map is inverted.

    Parameters
    ----------
    maps : ndarray of float, shape (K, M, N)
        In 0..1.
    row, column : float
        The click in px of the maps, the middle of a pixel being a whole number.
    radius : float
        Of the disk, in px.

    Returns
    -------
    ChannelChoice
        With ``how="one click"``.

    Raises
    ------
    ValueError
        If the click is outside the maps.
    """
    _check(maps)
    _, n_rows, n_columns = maps.shape
    if not (-0.5 <= row < n_rows - 0.5 and -0.5 <= column < n_columns - 0.5):
        raise ValueError("The click is outside the tile.")
    rows, columns = np.ogrid[:n_rows, :n_columns]
    disk = (rows - row) ** 2 + (columns - column) ** 2 <= max(radius, 1) ** 2
    contrasts = [
        float(np.mean(one[disk], dtype=np.float64)) - float(np.median(one)) for one in maps
    ]
    return _best([c if np.isfinite(c) else 0.0 for c in contrasts], how="one click")


def confidence_of(maps: NDArray[np.floating[Any]], choice: ChannelChoice) -> NDArray[np.float32]:
    """Return the chosen map (M, N) with its polarity, high on objects.

    Raises
    ------
    ValueError
        If there is no such map.
    """
    _check(maps)
    if not 0 <= choice.channel < len(maps):
        raise ValueError(f"There is no map {choice.channel + 1}, only {len(maps)}.")
    chosen = np.asarray(maps[choice.channel], dtype=np.float32)
    return 1 - chosen if choice.inverted else chosen


def _best(signed: list[float], how: Literal["guess", "one click"]) -> ChannelChoice:
    channel = int(np.argmax(np.abs(signed)))
    value = signed[channel]
    return ChannelChoice(channel, value < 0, abs(value), how, tuple(signed))


def _standardised(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return values with mean 0 and standard deviation 1; all 0 if they say nothing."""
    values = values.astype(np.float64)
    spread = float(values.std())
    if not spread > LEAST_SPREAD:  # NaN too
        return np.zeros_like(values)
    return np.asarray((values - values.mean()) / spread)


def _check(maps: NDArray[Any]) -> None:
    if maps.ndim != 3 or len(maps) == 0:
        raise ValueError(f"Confidence maps have the shape (K, rows, columns), not {maps.shape}.")
