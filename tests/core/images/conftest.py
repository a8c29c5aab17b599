"""The image that the reading tests write in many ways."""

from __future__ import annotations

import numpy as np
import pytest

ROWS, COLUMNS = 70, 90


@pytest.fixture
def rgb() -> np.ndarray:
    """An image that is different after every turn, with smooth colours as JPEG likes them."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    channels = (60 + 2 * row, 30 + 2 * column, 200 - row - column // 2)
    return np.stack(channels, axis=-1).astype(np.uint8)


@pytest.fixture
def grey(rgb) -> np.ndarray:
    return rgb[..., 0].copy()
