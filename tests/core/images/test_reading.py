"""Image files of every usual kind become the same tile: pixels, white, µm/px, name."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image

from napari_selfseg.core.images.reading import can_read, read_tile
from napari_selfseg.core.images.stain import nuclear_cue

EXIF_ORIENTATION = 0x0112


def saved_tiff(path: Path, array: np.ndarray, **keywords) -> Path:
    tifffile.imwrite(path, array, **keywords)
    return path


# --- kinds of files -----------------------------------------------------------------------


def test_png_is_read_as_it_is(tmp_path, rgb):
    path = tmp_path / "colon 3.png"
    Image.fromarray(rgb).save(path)
    tile = read_tile(path)
    assert_array_equal(tile.pixels, rgb)
    assert (tile.white, tile.um_per_px, tile.name, tile.notes) == (255.0, None, "colon 3", ())


def test_jpeg_is_read_nearly_as_it_is(tmp_path, rgb):
    path = tmp_path / "a.jpg"
    Image.fromarray(rgb).save(path, quality=95, subsampling=0)
    tile = read_tile(path)
    assert np.abs(tile.pixels.astype(int) - rgb).max() < 6
    assert tile.white == 255.0


@pytest.mark.parametrize("name", ["Ångström größe 組織.png", "with space.tif"])
def test_unusual_paths(tmp_path, rgb, name):
    folder = tmp_path / "Präparate und mehr"
    folder.mkdir()
    path = folder / name
    if name.endswith("png"):
        Image.fromarray(rgb).save(path)
    else:
        tifffile.imwrite(path, rgb, photometric="rgb")
    tile = read_tile(str(path))
    assert_array_equal(tile.pixels, rgb)
    assert tile.name == Path(name).stem


def test_grey_png_of_8_and_16_bit(tmp_path, grey):
    Image.fromarray(grey).save(tmp_path / "8.png")
    deep = grey.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "16.png")
    eight, sixteen = read_tile(tmp_path / "8.png"), read_tile(tmp_path / "16.png")
    assert_array_equal(eight.pixels[..., 0], grey)
    assert_array_equal(sixteen.pixels[..., 0], deep)
    assert sixteen.white == 65535.0
    np.testing.assert_allclose(eight.read(), sixteen.read(), atol=1e-6)


def test_rgb_png_of_16_bit_keeps_all_bits(tmp_path, rgb):
    deep = rgb.astype(np.uint16) * 257 - 3
    path = tmp_path / "deep.png"
    path.write_bytes(imagecodecs.png_encode(deep))
    tile = read_tile(path)
    assert_array_equal(tile.pixels, deep)
    assert tile.white == 65535.0


@pytest.mark.parametrize(
    "keywords",
    [
        {"photometric": "rgb"},
        {"photometric": "rgb", "compression": "zlib", "rowsperstrip": 16},
        {"photometric": "rgb", "compression": "lzw", "predictor": True},
        {"photometric": "rgb", "byteorder": ">"},
        {"photometric": "rgb", "bigtiff": True},
        {"photometric": "rgb", "tile": (32, 32), "compression": "zlib"},
    ],
    ids=["plain", "strips", "predictor", "big-endian", "bigtiff", "tiled"],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_of_every_layout_gives_the_same_tile(tmp_path, rgb, keywords, dtype):
    pixels = rgb.astype(dtype) * (1 if dtype == np.uint8 else 257)
    tile = read_tile(saved_tiff(tmp_path / "a.tif", pixels, **keywords))
    assert_array_equal(tile.pixels, pixels)
    assert tile.white == np.iinfo(dtype).max
    plain = read_tile(saved_tiff(tmp_path / "b.tif", pixels, photometric="rgb"))
    assert tile.sha256() == plain.sha256()  # so they are one image in the provenance


@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_planar_tiff(tmp_path, rgb, tile):
    path = tmp_path / "planar.tif"
    planes = np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", tile=tile)
    assert_array_equal(read_tile(path).pixels, rgb)


@pytest.mark.parametrize("axes", ["YXS", "CYX"])
def test_ome_tiff_in_either_axis_order(tmp_path, rgb, axes):
    path = tmp_path / "slide.ome.tif"
    pixels = rgb if axes == "YXS" else np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    metadata = {
        "axes": axes,
        "PhysicalSizeX": 0.25,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 250,
        "PhysicalSizeYUnit": "nm",
    }
    kind = "rgb" if axes == "YXS" else "minisblack"
    tifffile.imwrite(path, pixels, photometric=kind, metadata=metadata)
    tile = read_tile(path)
    assert_array_equal(tile.pixels, rgb)
    assert tile.um_per_px == pytest.approx(0.25)
    assert tile.name == "slide"


def test_three_unnamed_planes_are_rgb(tmp_path, rgb):
    path = tmp_path / "a.tif"
    planes = np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    tifffile.imwrite(path, planes, photometric="minisblack")
    assert_array_equal(read_tile(path).pixels, rgb)


def test_opaque_alpha_is_dropped_and_a_varying_one_laid_on_white(tmp_path, rgb):
    opaque = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    tile = read_tile(saved_tiff(tmp_path / "a.tif", opaque, photometric="rgb"))
    assert_array_equal(tile.pixels, rgb)
    assert tile.notes == ()
    half = opaque.copy()
    half[:35, :, 3] = 0
    Image.fromarray(half).save(tmp_path / "b.png")
    tile = read_tile(tmp_path / "b.png")
    assert (tile.pixels[:35] == 255).all()
    assert_array_equal(tile.pixels[35:], rgb[35:])
    assert "alpha channel that varies" in tile.notes[0]


def test_premultiplied_alpha_is_not_multiplied_again(tmp_path):
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = 100, 128
    pixels[:8] = 255
    path = saved_tiff(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["assocalpha"])
    assert read_tile(path).pixels[30, 30].tolist() == [227, 227, 227]


def test_a_wrong_ending_does_not_matter(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "a.tif", format="PNG")
    tifffile.imwrite(tmp_path / "b.png", rgb, photometric="rgb")
    assert_array_equal(read_tile(tmp_path / "a.tif").pixels, rgb)
    assert_array_equal(read_tile(tmp_path / "b.png").pixels, rgb)


# --- colours ------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_palette_becomes_rgb(tmp_path, rgb, ending):
    image = Image.fromarray(rgb).quantize(64)
    image.save(tmp_path / f"a.{ending}")
    tile = read_tile(tmp_path / f"a.{ending}")
    assert_array_equal(tile.pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("ending", ["jpg", "tif"])
def test_cmyk_becomes_rgb_and_says_so(tmp_path, rgb, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(rgb).convert("CMYK").save(path)
    tile = read_tile(path)
    assert np.abs(tile.pixels.astype(int) - rgb).mean() < 3
    assert tile.notes == ("The colours were converted from CMYK to RGB.",)


@pytest.mark.parametrize("compression", ["raw", "jpeg"])
def test_ycbcr_tiff_becomes_rgb(tmp_path, rgb, compression):
    path = tmp_path / "a.tif"
    Image.fromarray(rgb).convert("YCbCr").save(path, compression=compression)
    assert np.abs(read_tile(path).pixels.astype(int) - rgb).mean() < 3


def test_ycbcr_in_jpeg_2000_tiles_of_aperio_becomes_rgb(tmp_path, rgb):
    ycbcr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    padded = np.zeros((128, 128, 3), np.uint8)
    padded[: rgb.shape[0], : rgb.shape[1]] = ycbcr
    encoded = imagecodecs.jpeg2k_encode(padded, codecformat="j2k", mct=False, reversible=True)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        iter([encoded]),
        shape=rgb.shape,
        dtype=np.uint8,
        photometric="rgb",
        tile=(128, 128),
        compression=33003,
    )
    assert np.abs(np.asarray(read_tile(path).pixels).astype(int) - rgb).max() <= 3


def test_white_is_zero_is_turned_round(tmp_path, grey):
    path = saved_tiff(tmp_path / "a.tif", grey, photometric="miniswhite")
    assert_array_equal(read_tile(path).pixels[..., 0], 255 - grey)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_images_are_turned_upright(tmp_path, rgb, orientation, ending):
    path = tmp_path / f"a.{ending}"
    image = Image.fromarray(rgb)
    exif = image.getexif()
    exif[EXIF_ORIENTATION] = orientation
    upright = {
        1: rgb,
        2: rgb[:, ::-1],
        3: rgb[::-1, ::-1],
        4: rgb[::-1],
        5: rgb.transpose(1, 0, 2),
        6: np.rot90(rgb, -1),
        7: np.rot90(rgb, 2).transpose(1, 0, 2),
        8: np.rot90(rgb),
    }[orientation]
    if ending == "tif":
        tifffile.imwrite(path, rgb, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    else:
        image.save(path, exif=exif, **({"quality": 98} if ending == "jpg" else {}))
    tile = read_tile(path)
    assert tile.shape == upright.shape[:2]
    assert np.abs(tile.pixels.astype(int) - upright).mean() < 2
    assert bool(tile.notes) == (orientation != 1)


def test_a_palette_tiff_is_turned_upright_once(tmp_path, rgb):
    image = Image.fromarray(rgb).quantize(64)
    image.save(tmp_path / "a.tif", tiffinfo={274: 6})
    expected = np.rot90(np.asarray(image.convert("RGB")), -1)
    assert_array_equal(read_tile(tmp_path / "a.tif").pixels, expected)


# --- values -------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_12_bit_in_16(tmp_path, rgb, tile):
    pixels = rgb.astype(np.uint16) * 16
    path = saved_tiff(tmp_path / "a.tif", pixels, photometric="rgb", tile=tile)
    tile = read_tile(path)
    assert tile.white == 4095.0
    assert any("4095" in note for note in tile.notes)
    np.testing.assert_allclose(tile.read(), rgb * (16 / 4095), atol=1e-6)


def test_float_with_nan_is_white_there_and_noted(tmp_path, rgb):
    pixels = rgb / np.float32(255)
    pixels[3:5, 7] = np.nan
    tile = read_tile(saved_tiff(tmp_path / "a.tif", pixels, photometric="rgb"))
    assert (tile.read()[3:5, 7] == 1).all()
    assert tile.notes == ("2 pixels are not numbers (NaN or infinite); NaN counts as white.",)
    np.testing.assert_allclose(tile.read()[10:], rgb[10:] / 255, atol=1e-6)


def test_fluorescence_is_read_and_its_nuclei_are_bright(tmp_path):
    pixels = np.full((128, 128), 300, np.uint16)
    pixels[40:60, 50:70] = 3000
    tile = read_tile(saved_tiff(tmp_path / "dapi.tif", pixels))
    cue, name = nuclear_cue(tile.read())
    assert name == "brightness"
    assert cue[50, 60] > 2 * cue[10, 10]


def test_can_read_tells_without_reading(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 64, 64), np.uint8))
    (tmp_path / "text.png").write_text("no image")
    assert can_read(tmp_path / "a.png")
    assert not can_read(tmp_path / "stack.tif")
    assert not can_read(tmp_path / "text.png")
    assert not can_read(tmp_path / "missing.png")
