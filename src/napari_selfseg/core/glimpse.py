"""The labels of what is looked at in a large image, before those of all of it are made."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.centres import Centres
from napari_selfseg.core.instances import LabelSettings, label_image

MOST_PIXELS = 1_000_000  # labelled in a tenth of a second
MARGIN = 64  # px around the part: most objects that it cuts are seen as a whole

Part = tuple[slice, slice]
"""Rows and columns of a part of an image, with start and stop inside it."""


def labels_of_part(
    confidence: NDArray[np.floating[Any]],
    part: Part,
    settings: LabelSettings,
    centres: Centres | None = None,
    most_pixels: int = MOST_PIXELS,
) -> NDArray[np.integer[Any]]:
    """Return labels of a part of an image, nearly those that `label_image` makes of all of it.

    They have numbers of their own, and differ where an object reaches far out of the part. Of a
    part of more than ``most_pixels`` only every n-th row and column is looked at, which is about
    what a screen shows of it.

    Parameters
    ----------
    confidence : ndarray of float, shape (M, N)
    part : (rows, columns)
        (m, n) pixels.
    settings : LabelSettings
        For all pixels, as they are for `label_image`.
    centres : Centres, optional
        Of the whole image.
    most_pixels : int

    Returns
    -------
    ndarray, shape (m, n)
        As `label_image` returns them.
    """
    seen = _with_margin(part, confidence.shape)
    step = math.ceil(math.sqrt(_length(seen[0]) * _length(seen[1]) / most_pixels))
    grid = _every_nth(step, seen[0]), _every_nth(step, seen[1])
    labels = label_image(
        np.ascontiguousarray(confidence[seen][grid]),
        _from_afar(settings, step),
        None if centres is None else _seen_of(centres, seen, grid),
    )
    nearest = (
        np.minimum((np.arange(span.start, span.stop) - margin.start) // step, n - 1)
        for span, margin, n in zip(part, seen, labels.shape, strict=True)
    )
    return labels[np.ix_(*nearest)]


def _with_margin(part: Part, shape: tuple[int, ...]) -> Part:
    rows, columns = (
        slice(max(0, span.start - MARGIN), min(length, span.stop + MARGIN))
        for span, length in zip(part, shape, strict=True)
    )
    return rows, columns


def _every_nth(step: int, span: slice) -> slice:
    """Return the middles of the groups of n pixels of a span, counted from its start."""
    return slice(min(step // 2, _length(span) - 1), None, step)


def _length(span: slice) -> int:
    return int(span.stop - span.start)


def _from_afar(settings: LabelSettings, step: int) -> LabelSettings:
    """Return the settings for every n-th row and column."""
    if step == 1:
        return settings
    # the smallest disk would remove small objects, which are only a few pixels wide now
    cleans = settings.morphology and settings.morphology_radius >= step
    return settings.enlarged(1 / step).model_copy(update={"morphology": cleans})


def _seen_of(centres: Centres, seen: Part, grid: Part) -> Centres:
    """Return the centres inside a part, and the relief at the pixels of a grid in it."""
    relief = np.ascontiguousarray(centres.relief[seen][grid])
    corner = [span.start for span in seen]
    places = (centres.places - corner) // grid[0].step
    inside = np.all((places >= 0) & (places < relief.shape), axis=1)
    return replace(
        centres, places=places[inside], prominence=centres.prominence[inside], relief=relief
    )
