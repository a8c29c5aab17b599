"""A tile that nothing can be learned from is refused; a tile with one nucleus is not."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from skimage.data import immunohistochemistry
from skimage.draw import disk

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.reading import tile_from_array
from napari_selfseg.core.images.tile import TileError
from napari_selfseg.core.images.tissue import check_content

PATCH, STRIDE = 50, 4
NEEDED = PATCH + 3 * STRIDE


def noisy(level: float, shape=(600, 700, 3), noise: float = 3, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(level, noise, shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def check(array, name: str = "tile") -> None:
    check_content(tile_from_array(array, name=name), PATCH, STRIDE)


# --- size ---------------------------------------------------------------------------------


def test_a_patch_and_three_strides_are_enough():
    rgb, _ = drawn_he_tile(NEEDED, NEEDED, n_nuclei=4)
    check(rgb)


@pytest.mark.parametrize(("rows", "columns"), [(NEEDED - 1, 500), (500, NEEDED - 1)])
def test_less_than_a_patch_and_three_strides(rows, columns):
    rgb, _ = drawn_he_tile(rows, columns, n_nuclei=4)
    with pytest.raises(TileError) as refusal:
        check(rgb, name="liver")
    assert str(refusal.value) == (
        f"liver has {rows} × {columns} px, but patches of 50 px with a stride of 4 px need "
        "62 × 62 px: choose a larger region or a smaller patch."
    )


# --- blank and saturated ------------------------------------------------------------------


@pytest.mark.parametrize(
    "blank",
    [
        noisy(240),
        noisy(128),
        noisy(255),
        noisy(8, noise=1),
        np.full((300, 300, 3), 255, np.uint8),
        np.zeros((300, 300), np.uint8),
        np.full((300, 300), 0.4, np.float32),
        np.full((300, 300, 3), (230, 170, 200), np.uint8),
        np.random.default_rng(0).normal(110, 4, (300, 300)).astype(np.uint16),
    ],
    ids=["glass", "grey", "white", "dark", "pure white", "black", "float", "pink", "camera dark"],
)
def test_blank(blank):
    with pytest.raises(TileError) as refusal:
        check(blank, name="liver")
    assert str(refusal.value) == (
        "liver looks blank: its brightness hardly varies; choose a region with tissue."
    )


def test_a_mask_is_saturated():
    mask = drawn_he_tile(300, 300)[1] > 0
    for array in (mask, mask.astype(np.uint8) * 255, np.dstack([mask] * 3) * np.float32(1)):
        with pytest.raises(TileError, match=r"^liver is saturated: nearly all its pixels are pure"):
            check(array, name="liver")


@pytest.mark.parametrize(
    "tile",
    [
        drawn_he_tile(300, 300, n_nuclei=30)[0],
        immunohistochemistry(),
        immunohistochemistry()[..., 1],
        immunohistochemistry().astype(np.uint16) * 16,
    ],
    ids=["drawn H&E", "IHC", "grey", "12 bit"],
)
def test_tissue_passes(tile):
    check(tile)


def test_one_nucleus_on_glass_is_content():
    array = noisy(240, shape=(1200, 1500, 3))
    array[disk((1100, 1400), 14)] = (90, 60, 140)
    check(array)


def test_dim_fluorescence_is_content():
    array = np.random.default_rng(0).normal(110, 4, (400, 400))
    for centre in ((60, 80), (200, 220), (330, 100)):
        array[disk(centre, 12)] += 150
    check(array.astype(np.uint16))


def test_tissue_on_pure_white_is_not_saturated():
    array = np.full((600, 600, 3), 255, np.uint8)
    array[100:160, 200:300] = drawn_he_tile(60, 100, n_nuclei=5)[0]
    check(array)


def test_of_a_large_lazy_tile_one_block_is_enough():
    read = []

    def block(info):
        read.append(info["chunk-location"])
        return drawn_he_tile(512, 512)[0]

    def draw(array, block_info=None):
        return block(block_info[None]) if block_info else array

    chunks = da.zeros((8192, 8192, 3), dtype=np.uint8, chunks=(512, 512, 3))
    check(chunks.map_blocks(draw, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)))
    assert 1 <= len(read) <= 4  # a block may lie across four chunks
