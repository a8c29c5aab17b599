"""Arrays of every usual kind become the same tile, and lazy ones stay lazy."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from numpy.testing import assert_allclose, assert_array_equal

from napari_selfseg.core.images.intensity import is_lazy
from napari_selfseg.core.images.reading import stack_grey_tiles, tile_from_array
from napari_selfseg.core.images.tile import Tile, TileError


@pytest.fixture
def rgb() -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 70, 3), dtype=np.uint8)
    pixels[0, 0], pixels[0, 1] = 0, 255
    return pixels


def planes_first(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, -1, 0)


def never_computed(shape: tuple[int, ...], dtype: type = np.uint8) -> da.Array:
    """Return a dask array that fails as soon as anybody computes any of it."""

    def fail(block):
        raise AssertionError("computed")

    blank = da.zeros(shape, dtype=dtype, chunks=32)
    return blank.map_blocks(fail, dtype=dtype, meta=np.empty((0,) * len(shape), dtype))


# --- axes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rgb_flag", [None, True, False])
def test_channels_last(rgb, rgb_flag):
    assert_array_equal(tile_from_array(rgb, rgb=rgb_flag).pixels, rgb)


@pytest.mark.parametrize("rgb_flag", [None, False])
def test_channels_first(rgb, rgb_flag):
    assert_array_equal(tile_from_array(planes_first(rgb), rgb=rgb_flag).pixels, rgb)


def test_a_narrow_image_of_planes_needs_its_axes_said(rgb):
    narrow = planes_first(rgb[:, :4])  # (3, 64, 4)
    assert tile_from_array(narrow, axes="CYX").shape == (64, 4)


@pytest.mark.parametrize("axes", ["YXC", "yxs", "YXS"])
def test_axes_said(rgb, axes):
    assert_array_equal(tile_from_array(rgb, axes=axes).pixels, rgb)


def test_axes_in_any_order(rgb):
    turned = rgb.transpose(1, 2, 0)  # columns, channels, rows
    assert_array_equal(tile_from_array(turned, axes="XCY").pixels, rgb)


@pytest.mark.parametrize("shape", [(64, 70), (64, 70, 1), (1, 64, 70), (1, 1, 64, 70)])
def test_grey(shape):
    grey = np.random.default_rng(0).integers(0, 256, (64, 70), dtype=np.uint8)
    tile = tile_from_array(grey.reshape(shape))
    assert (tile.shape, tile.n_channels) == ((64, 70), 1)
    assert_array_equal(tile.pixels[..., 0], grey)


def test_a_stack_names_the_axis(rgb):
    stack = np.stack([rgb, 255 - rgb])
    with pytest.raises(TileError, match=r"^liver is a stack \(z of 2\); choose one plane, for"):
        tile_from_array(stack, name="liver")
    assert_array_equal(tile_from_array(stack, index={"z": 1}).pixels, 255 - rgb)
    grey = np.zeros((9, 64, 70), np.uint8)
    with pytest.raises(TileError, match=r"z of 9.*index=\{'z': 4\}"):
        tile_from_array(grey)


@pytest.mark.parametrize(("shape", "n"), [((64, 70, 2), 2), ((2, 64, 70), 2), ((4, 64, 70), 4)])
def test_neither_grey_nor_rgb(shape, n):
    with pytest.raises(TileError, match=rf"has {n} channels, so it is neither grey \(1\) nor RGB"):
        tile_from_array(np.zeros(shape, np.uint8))


def test_one_channel_can_be_chosen(rgb):
    tile = tile_from_array(rgb, axes="YXC", index={"c": 1})
    assert_array_equal(tile.pixels, rgb[..., 1:2])


@pytest.mark.parametrize("shape", [(5,), (2, 2, 2, 2, 64, 70)])
def test_too_few_or_too_many_axes(shape):
    with pytest.raises(TileError, match=rf"has {len(shape)} axes; an image has rows, columns"):
        tile_from_array(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("axes", ["YX", "ZCX", "YYX", "CYXS"])
def test_axes_that_do_not_fit(rgb, axes):
    with pytest.raises(TileError, match=f"The axes {axes} do not describe"):
        tile_from_array(rgb, axes=axes)


def test_an_empty_array():
    with pytest.raises(TileError, match=r"^tile is empty\.$"):
        tile_from_array(np.zeros((0, 70, 3), np.uint8))


# --- values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "dtype", "white"),
    [
        (1, np.uint8, 255),
        (257, np.uint16, 65535),
        (257, np.uint32, 65535),
        (1, np.int16, 255),
        (1, np.int64, 255),
        (1 / 255, np.float32, 1),
        (1 / 255, np.float64, 1),
        (1 / 255, np.float16, 1),
        (1, np.float32, 255),
        (257, np.float64, 65535),
    ],
)
def test_every_type_means_the_same_picture(rgb, factor, dtype, white):
    tile = tile_from_array((rgb * np.float64(factor)).round(6).astype(dtype))
    assert tile.white == white
    assert_allclose(tile.read(), rgb / np.float32(255), atol=1e-3)


@pytest.mark.parametrize(
    ("top", "white", "bits"), [(200, 255, 8), (1000, 1023, 10), (4095, 4095, 12), (9000, 16383, 14)]
)
def test_16_bit_that_are_not_all_used(rgb, top, white, bits):
    pixels = (rgb.astype(np.uint32) * top // 255).astype(np.uint16)
    tile = tile_from_array(pixels)
    assert tile.white == white
    assert tile.notes == (
        f"The values end at {top}: {bits} bit in 16, so {white} counts as white.",
    )


def test_a_known_white_is_believed(rgb):
    tile = tile_from_array(rgb.astype(np.uint16), white=4095)
    assert (tile.white, tile.notes) == (4095, ())


def test_bool(rgb):
    mask = rgb[..., 0] > 100
    tile = tile_from_array(mask)
    assert_array_equal(tile.read()[..., 0], mask.astype(np.float32))


def test_a_mask_in_a_large_integer_type():
    mask = np.eye(64, dtype=np.int64)
    assert_array_equal(tile_from_array(mask).read()[..., 0], mask)


def test_values_below_zero_are_black_and_noted(rgb):
    tile = tile_from_array(rgb.astype(np.int16) - 20)
    assert tile.read().min() == 0
    assert tile.notes[0] == "Values below zero count as black."


def test_floats_of_no_known_range_are_scaled_by_their_largest(rgb):
    tile = tile_from_array(rgb * np.float32(1000))
    assert tile.white == 255000
    assert tile.notes == ("The largest value, 255000, counts as white.",)


def test_nan_in_stained_tissue_is_white_and_infinity_is_an_end(rgb):
    pixels = 0.6 + 0.4 * (rgb / np.float32(255))
    pixels[5, 5, 1], pixels[6, 6], pixels[7, 7] = np.nan, np.inf, -np.inf
    given = pixels.copy()
    tile = tile_from_array(pixels)
    assert tile.read()[5, 5, 1] == 1
    assert (tile.read()[6, 6] == 1).all()
    assert (tile.read()[7, 7] == 0).all()
    assert tile.notes == ("3 pixels are not numbers (NaN or infinite); NaN counts as white.",)
    assert_array_equal(pixels, given)  # the caller's array is not touched


def test_nan_under_a_dark_background_is_black():
    pixels = np.full((64, 64), 0.02, np.float32)
    pixels[20:30, 20:30] = 1
    pixels[0, :10] = np.nan
    tile = tile_from_array(pixels)
    assert (tile.read()[0, :10] == 0).all()
    assert "black, the background" in tile.notes[0]


def test_nothing_but_nan():
    with pytest.raises(TileError, match=r"^tile holds no numbers \(only NaN\)\.$"):
        tile_from_array(np.full((64, 64), np.nan))


@pytest.mark.parametrize("dtype", [np.complex64, "U3", object])
def test_values_that_are_no_grey_values(dtype):
    with pytest.raises(TileError, match=r"tile holds values of type .*, not grey values"):
        tile_from_array(np.zeros((64, 64), dtype))


def test_byte_order_does_not_change_the_hash(rgb):
    deep = rgb.astype("<u2") * 257
    assert tile_from_array(deep).sha256() == tile_from_array(deep.astype(">u2")).sha256()


# --- alpha --------------------------------------------------------------------------------


def test_constant_alpha_is_dropped(rgb):
    for value in (255, 0, 90):
        alpha = np.full(rgb.shape[:2], value, np.uint8)
        tile = tile_from_array(np.dstack([rgb, alpha]))
        assert_array_equal(tile.pixels, rgb)


@pytest.mark.parametrize("lazy", [False, True])
def test_varying_alpha_is_laid_on_white(rgb, lazy):
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    alpha[:10], alpha[10:20] = 0, 128
    rgba = np.dstack([rgb, alpha])
    tile = tile_from_array(da.from_array(rgba, chunks=(20, 30, 2)) if lazy else rgba)
    pixels = np.asarray(tile.pixels)
    assert (pixels[:10] == 255).all()
    assert_array_equal(pixels[20:], rgb[20:])
    half = rgb[10:20] * (128 / 255) + 255 * (127 / 255)
    assert_allclose(pixels[10:20], half, atol=0.51)
    assert any("alpha" in note for note in tile.notes)
    assert (tile.pixels.shape, tile.pixels.dtype) == (rgb.shape, np.uint8)


# --- lazy arrays --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
@pytest.mark.parametrize("shape", [(64, 70, 3), (3, 64, 70), (64, 70, 4), (64, 70), (2, 64, 70, 3)])
def test_a_dask_array_is_not_computed(shape, dtype):
    index = {"z": 1} if len(shape) == 4 else None
    tile = tile_from_array(never_computed(shape, dtype), index=index)
    assert is_lazy(tile.pixels)
    assert tile.shape == (64, 70)
    crop = tile.crop(slice(3, 20), slice(5, 30))
    assert is_lazy(crop.pixels)
    with pytest.raises(AssertionError, match="computed"):
        tile.read()


def test_a_dask_array_reads_the_same_as_numpy(rgb):
    lazy = da.from_array(planes_first(rgb), chunks=(1, 20, 20))
    tile = tile_from_array(lazy)
    assert_array_equal(tile.pixels, rgb)
    assert tile.sha256() == tile_from_array(rgb).sha256()


def test_a_lazy_float_image_says_what_was_assumed(rgb):
    pixels = rgb / np.float32(255)
    pixels[3, 3] = np.nan
    tile = tile_from_array(da.from_array(pixels, chunks=32))
    assert tile.white == 1.0
    assert (tile.read()[3, 3] == 1).all()
    assert any("1 was taken as white" in note for note in tile.notes)


def test_a_zarr_array_stays_lazy(rgb):
    tile = tile_from_array(zarr.array(rgb, chunks=(32, 32, 3)))
    assert is_lazy(tile.pixels)
    assert_array_equal(tile.pixels, rgb)


# --- three grey tiles ---------------------------------------------------------------------


def grey_tiles(rgb: np.ndarray, lazy: bool = False) -> list[Tile]:
    planes = [rgb[..., k] for k in range(3)]
    if lazy:
        planes = [da.from_array(plane, chunks=32) for plane in planes]
    return [
        tile_from_array(plane, name=name, um_per_px=0.5)
        for plane, name in zip(planes, ("red", "green", "blue"), strict=True)
    ]


@pytest.mark.parametrize("lazy", [False, True])
def test_three_grey_tiles_are_one_rgb_tile(rgb, lazy):
    tile = stack_grey_tiles(grey_tiles(rgb, lazy))
    assert_array_equal(tile.pixels, rgb)
    assert is_lazy(tile.pixels) == lazy
    assert (tile.white, tile.um_per_px, tile.name) == (255.0, 0.5, "red + green + blue")


def test_grey_tiles_of_different_white_are_scaled(rgb):
    red, green, _ = grey_tiles(rgb)
    blue = tile_from_array(rgb[..., 2].astype(np.uint16) * 257, name="blue")
    tile = stack_grey_tiles([red, green, blue])
    assert tile.white == 1.0
    assert_allclose(tile.read(), rgb / 255, atol=1e-6)


def test_grey_tiles_that_do_not_fit_together(rgb):
    red, green, blue = grey_tiles(rgb)
    with pytest.raises(TileError, match=r"^Three grey images make one RGB image, not 2\.$"):
        stack_grey_tiles([red, green])
    with pytest.raises(TileError, match=r"^Only grey images can be put together"):
        stack_grey_tiles([red, green, tile_from_array(rgb)])
    with pytest.raises(TileError, match=r"differ in size \(64 × 70, 64 × 70, 60 × 70 px\)\.$"):
        stack_grey_tiles([red, green, blue.crop(slice(0, 60), slice(None))])
    with pytest.raises(TileError, match=r"differ in µm/px"):
        stack_grey_tiles([red, green, tile_from_array(rgb[..., 2], um_per_px=0.25)])
