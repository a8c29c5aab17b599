"""What a review reads of the tile itself: where there is tissue, how it is stained, DAB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_selfseg.core.images.dab import has_dab
from napari_selfseg.core.images.evidence import is_kept, stain_of
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.images.tissue_mask import tissue_mask
from napari_selfseg.core.positivity import dab_density
from napari_selfseg.session.review_findings import Evidence
from napari_selfseg.session.review_numbers import Surroundings

LARGEST_READ = 16_000_000  # px that are read at once; of a larger tile every second, third, ...


def evidence_of(
    tile: Tile,
    confidence: NDArray[Any],
    threshold: float,
    disagreement: NDArray[Any] | None = None,
) -> Evidence:
    """Return what is known of a tile beside its labels; maps are (M, N)."""
    stain = stain_of(tile).weighted_evidence(1.0) if is_kept(tile) else None
    return Evidence(confidence, threshold, disagreement, stain, _tissue(tile), tile.um_per_px)


def surroundings_of(tile: Tile, tissue: NDArray[np.bool_] | None) -> Surroundings:
    """Return what the numbers of a tile are related to."""
    pixels, _ = _thinned(tile)
    density = dab_density(tile) if has_dab(pixels) else None
    return Surroundings(tissue, tile.um_per_px, density)


def _tissue(tile: Tile) -> NDArray[np.bool_]:
    """Return where there is tissue, (M, N); all of the tile if none is recognised."""
    pixels, step = _thinned(tile)
    scale = None if tile.um_per_px is None else tile.um_per_px * step
    mask = tissue_mask(pixels, scale)
    if not mask.any():
        return np.ones(tile.shape, bool)
    n_rows, n_columns = tile.shape
    return mask.repeat(step, axis=0).repeat(step, axis=1)[:n_rows, :n_columns]


def _thinned(tile: Tile) -> tuple[NDArray[np.float32], int]:
    """Return every so many-th pixel of a tile, and how many."""
    n_px = tile.shape[0] * tile.shape[1]
    step = int(np.ceil(np.sqrt(n_px / LARGEST_READ))) if n_px > LARGEST_READ else 1
    thinned = np.asarray(tile.pixels[::step, ::step]).astype(np.float32)
    return np.clip(thinned / np.float32(tile.white), 0, 1), step
