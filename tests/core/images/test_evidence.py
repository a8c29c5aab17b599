"""The stain of a tile is computed once, and a large one's is not kept."""

import gc
import weakref

import numpy as np

from napari_selfseg.core.images import evidence
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.evidence import stain_of
from napari_selfseg.core.images.tile import Tile


def drawn_tile():
    return Tile(drawn_he_tile(64, 80, n_nuclei=4)[0], 255.0, 0.25, "drawn")


def test_the_stain_of_a_tile_is_computed_once_and_goes_with_it():
    tile = drawn_tile()
    stain = stain_of(tile)
    assert stain_of(tile) is stain
    assert np.array_equal(stain.pixels, tile.read())
    assert stain_of(drawn_tile()) is not stain
    kept = weakref.ref(stain)
    del tile, stain
    gc.collect()
    assert kept() is None


def test_the_stain_of_a_large_tile_is_not_kept(monkeypatch):
    monkeypatch.setattr(evidence, "MOST_KEPT", 64 * 80 - 1)
    tile = drawn_tile()
    assert stain_of(tile) is not stain_of(tile)
