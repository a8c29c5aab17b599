"""The edges of a learned map, from the stain of the tile itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.cues import MOST, clearest_cue
from napari_selfseg.core.images.evidence import Stain
from napari_selfseg.core.plausibility import suggested_threshold

WEIGHT = 2.0  # of the cue's margin; as the next two, chosen on training tiles (docs/results.md)
SHIFT = 0.5  # of the logit: what is learned and what is stained both reach a little too far
FARTHEST = 1.5  # standard deviations that a pixel's stain can speak for or against it
CONSENSUS_WEIGHT = np.float32(0.25)  # of the starts' own logit; chosen on training tiles, too
LEAST = 1e-3  # confidence; nearer to 0 or 1 nothing would change it


def sharpened(
    confidence: NDArray[np.float32], stain: Stain, um_per_px: float | None
) -> NDArray[np.float32]:
    """Return a map of objects whose edges follow the stain.

    A network that sees half the resolution knows what is an object but not to the pixel where it
    ends; the clearest cue of the tile knows it the other way round. Their evidence is added, as
    logits.

    Parameters
    ----------
    confidence : ndarray of float32, shape (M, N)
        In 0..1, high on objects, from a network.
    stain : Stain
        Of the same tile.
    um_per_px : float or None
        Microns per pixel; None: unknown.

    Returns
    -------
    ndarray of float32, shape (M, N)
        In 0..1; one half is where objects end, 0 where there is no tissue.
    """
    return _with_edges(logit_of(confidence) - np.float32(SHIFT), stain, um_per_px)


def sharpened_consensus(
    confidence: NDArray[np.float32], stain: Stain, um_per_px: float | None
) -> NDArray[np.float32]:
    """Return a map that starts drew with edges that follow the stain, as `sharpened` does.

    Where objects end in the map is nothing that the starts have learned: it is the threshold
    that fits the stain best (`suggested_threshold`). Parameters and result are those of
    `sharpened`.
    """
    ends = np.full(1, suggested_threshold(confidence, stain), np.float32)
    evidence = CONSENSUS_WEIGHT * (logit_of(confidence) - logit_of(ends))
    return _with_edges(evidence, stain, um_per_px)


def _with_edges(
    logit: NDArray[np.float32], stain: Stain, um_per_px: float | None
) -> NDArray[np.float32]:
    """Add the clearest cue to the evidence (M, N) of objects; return a confidence."""
    margin = clearest_cue(stain, um_per_px).margin
    is_tissue = margin > -MOST  # glass and pen have no more than the least
    logit = logit + np.float32(WEIGHT) * np.clip(margin, -FARTHEST, FARTHEST)
    return np.asarray(is_tissue / (1 + np.exp(-logit)), dtype=np.float32)


def logit_of(confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logit of a confidence, no farther from 0 than that of 0.001."""
    clipped = np.clip(confidence, np.float32(LEAST), np.float32(1 - LEAST))
    return np.asarray(np.log(clipped / (1 - clipped)))
