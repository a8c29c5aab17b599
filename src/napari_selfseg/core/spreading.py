"""How far a stroke reaches: what lies beside it is most likely the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

# chosen on the MoNuSeg training tiles, docs/results.md
STRENGTH = 8.0  # of the evidence on a stroke, as a logit
FALL_UM = 1.5  # along which the evidence falls to a third
FARTHEST_UM = 3.5  # beyond it a stroke says nothing
USUAL_UM_PER_PX = 0.25  # taken where the scale is unknown


def spread(classes: NDArray[np.uint8], um_per_px: float | None) -> NDArray[np.float32]:
    """Return what strokes say of being an object, on them and beside them.

    The evidence falls with the distance to the stroke. Added to a map it decides where the map is
    unsure: a stroke through the middle of a nucleus takes in the rest of it, and ends where the
    map is sure of background.

    Parameters
    ----------
    classes : ndarray of uint8, shape (M, N)
        0 not painted, 1 background, 2 and above objects.
    um_per_px : float or None
        Microns per pixel; None: unknown.

    Returns
    -------
    ndarray of float32, shape (M, N)
        A logit: `STRENGTH` on objects, minus that on background, 0 far from any stroke.
    """
    scale = um_per_px or USUAL_UM_PER_PX
    evidence = np.zeros(classes.shape, np.float32)
    for painted, sign in ((classes > 1, 1), (classes == 1, -1)):
        if painted.any():
            far = distance_transform_edt(~painted) * scale
            speaks = STRENGTH * np.exp(-far / FALL_UM)
            evidence += sign * np.where(far <= FARTHEST_UM, speaks, 0).astype(np.float32)
    return evidence
