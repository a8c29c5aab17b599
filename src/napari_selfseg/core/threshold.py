"""The plain threshold start: what three lines without learning already find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from napari_selfseg.core.images.evidence import Stain

TAIL = 0.5  # percent of the pixels at either end that are clipped to 0 or 1
FLAT = 1e-5  # a cue that varies less than this holds nothing: 8-bit steps are 100 times larger


@dataclass(frozen=True, eq=False)
class ThresholdStart:
    """The threshold result of a tile, in the form of a confidence map.

    Parameters
    ----------
    confidence : ndarray of float32, shape (M, N)
        In 0..1, above 0.5 where the smoothed cue is above Otsu's threshold.
    cue_name : {"haematoxylin", "darkness", "brightness"}
        What was thresholded.
    title : str
        What this result is called, such as "Otsu on haematoxylin".
    """

    confidence: NDArray[np.float32]
    cue_name: str
    title: str


def threshold_confidence(pixels: NDArray[np.float32] | Stain) -> ThresholdStart:
    """Threshold the nuclear cue of a tile after Otsu, without learning.

    The cue is smoothed with a Gaussian of 1 px. Its value is mapped linearly to 0..0.5 below
    the threshold and to 0.5..1 above it, so that 0.5 is exactly the threshold and the
    sliders of a learned map work on this one as well. The outermost half percent of the
    pixels at either end is clipped.

    Parameters
    ----------
    pixels : ndarray of float32, shape (M, N, C), or Stain
        Intensity in 0..1; C is 1 or 3. A `Stain` is not computed again.

    Returns
    -------
    ThresholdStart
        Its confidence is 0 everywhere if the cue is the same everywhere.
    """
    stain = Stain.of(pixels)
    smooth, cue_name = stain.amount, stain.cue_and_name[1]
    title = f"Otsu on {cue_name}"
    if np.ptp(smooth) <= FLAT:
        return ThresholdStart(np.zeros(smooth.shape, dtype=np.float32), cue_name, title)
    threshold = float(threshold_otsu(smooth))
    confidence = _centred(smooth, threshold)
    return ThresholdStart(confidence, cue_name, title)


def _centred(values: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Map values to 0..1, monotonically, with the threshold at 0.5."""
    low, high = (float(v) for v in np.percentile(values[::3, ::3], (TAIL, 100 - TAIL)))
    # Rare objects can all lie within the clipped tail; then the range is the scale.
    if high <= threshold:
        high = float(values.max())
    if low >= threshold:
        low = float(values.min())
    above = values - np.float32(threshold)
    span = np.where(above > 0, np.float32(high - threshold), np.float32(threshold - low))
    confidence = np.float32(0.5) + above / (2 * span)
    return np.asarray(np.clip(confidence, 0.0, 1.0), dtype=np.float32)
