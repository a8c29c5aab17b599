"""What one action of a person does to a label image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of a part of a label image that is done and undone as one step.

    Parameters
    ----------
    rows, columns : slice
        The part, with start and stop inside the image.
    mask : ndarray of bool, shape (m, n)
        Which pixels of the part the action covers; all of them are known from now on, also those
        that keep their label.
    values : ndarray of integers, shape (m, n)
        The labels they get; only read where the mask is set.
    """

    rows: slice
    columns: slice
    mask: NDArray[np.bool_]
    values: NDArray[np.integer[Any]]
