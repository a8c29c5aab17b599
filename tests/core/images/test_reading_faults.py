"""Bad files: one clear sentence each, and no memory taken before a refusal."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_selfseg.core.images.reading import read_tile
from napari_selfseg.core.images.tile import TileError


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (256, 300, 3), dtype=np.uint8)


def cut(path: Path, share: float) -> None:
    """Throw away the end of a file."""
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])


def sentence_of(path: Path, **keywords) -> str:
    """Return what reading a file is refused with."""
    with pytest.raises(TileError) as refusal:
        read_tile(path, **keywords)
    sentence = str(refusal.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert str(path.parent) not in sentence
    return sentence


def test_no_such_file(tmp_path):
    assert sentence_of(tmp_path / "gone.png") == "There is no file gone.png."


def test_a_folder(tmp_path):
    (tmp_path / "tiles.tif").mkdir()
    assert sentence_of(tmp_path / "tiles.tif") == "tiles.tif is a folder, not an image file."


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.svs"])
def test_zero_bytes(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert sentence_of(tmp_path / name) == f"{name} is empty (0 bytes)."


@pytest.mark.parametrize("name", ["notes.png", "notes.tif", "notes.jpg"])
def test_text_that_is_called_an_image(tmp_path, name):
    (tmp_path / name).write_text("Patient came in on Monday.\n" * 20)
    expected = f"{name} is not an image that can be read (PNG, JPEG or TIFF)."
    assert sentence_of(tmp_path / name) == expected


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_truncated_plain_image(tmp_path, rgb, ending, share):
    path = tmp_path / f"cut.{ending}"
    Image.fromarray(rgb).save(path)
    cut(path, share)
    assert sentence_of(path) == f"cut.{ending} is damaged or incomplete and cannot be read."


def test_truncated_png_of_16_bit(tmp_path, rgb):
    import imagecodecs

    path = tmp_path / "cut.png"
    path.write_bytes(imagecodecs.png_encode(rgb.astype(np.uint16) * 257))
    cut(path, 0.5)
    assert "damaged or incomplete" in sentence_of(path)


@pytest.mark.parametrize("compression", [None, "zlib", "jpeg"])
@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_truncated_tiff_is_noticed_before_training(tmp_path, rgb, compression, tile):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", compression=compression, tile=tile)
    n_bytes = path.stat().st_size
    cut(path, 0.9)
    missing = n_bytes - path.stat().st_size
    assert sentence_of(path) == (
        f"cut.tif is incomplete: {missing} bytes are missing at its end; copy it again."
    )


def test_tiff_that_ends_in_its_header(tmp_path, rgb):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, rgb, photometric="rgb")
    path.write_bytes(path.read_bytes()[:12])
    assert sentence_of(path) == "cut.tif is damaged or incomplete and cannot be read."


@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_damaged_pixels(tmp_path, rgb, tile):
    path = tmp_path / "bad.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", compression="zlib", tile=tile)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    content = bytearray(path.read_bytes())
    for start, size in segments:
        content[start : start + size] = bytes(size)
    path.write_bytes(content)
    assert sentence_of(path) == "bad.tif is damaged or incomplete and cannot be read."


# --- stacks -------------------------------------------------------------------------------


@pytest.fixture
def stack(tmp_path) -> tuple[Path, np.ndarray]:
    planes = np.random.default_rng(1).integers(0, 255, (12, 64, 70), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "z.ome.tif", planes, metadata={"axes": "ZYX"})
    return tmp_path / "z.ome.tif", planes


def test_a_z_stack_names_the_axis_and_how_to_pick(stack):
    path, planes = stack
    assert sentence_of(path) == (
        "z.ome.tif is a stack (z of 12); choose one plane, for instance with index={'z': 6}."
    )
    np.testing.assert_array_equal(read_tile(path, index={"z": 3}).pixels[..., 0], planes[3])


def test_a_plane_that_is_not_there(stack):
    path, _ = stack
    assert sentence_of(path, index={"z": 12}) == (
        "There is no z=12 in z.ome.tif; z goes from 0 to 11."
    )
    assert sentence_of(path, index={"t": 1}) == (
        "z.ome.tif has no axis 't' to choose from; its axes are z (12), y (64), x (70)."
    )


def test_a_time_series_of_z_stacks_in_colour(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 255, (2, 4, 64, 70, 3), dtype=np.uint8)
    path = tmp_path / "tz.ome.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", metadata={"axes": "TZYXS"})
    assert sentence_of(path) == (
        "tz.ome.tif is a stack (t of 2, z of 4); choose one plane, for instance with "
        "index={'t': 1, 'z': 2}."
    )
    assert "(z of 4)" in sentence_of(path, index={"t": 0})
    tile = read_tile(path, index={"t": 1, "z": 3})
    np.testing.assert_array_equal(tile.pixels, pixels[1, 3])


def test_pages_of_a_plain_tiff_are_a_stack(tmp_path):
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as file:
        for value in (10, 20, 30, 40):
            page = np.full((64, 64), value, np.uint8)
            file.write(page, metadata=None, contiguous=False)
    assert "(z of 4)" in sentence_of(path)
    assert int(read_tile(path, index={"z": 2}).pixels[5, 5, 0]) == 30


def test_an_animation_is_a_time_series(tmp_path):
    frames = [Image.new("L", (64, 64), value) for value in (10, 20, 30)]
    path = tmp_path / "film.png"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert sentence_of(path) == (
        "film.png is a stack (t of 3); choose one plane, for instance with index={'t': 1}."
    )
    assert int(read_tile(path, index={"t": 2}).pixels[5, 5, 0]) == 30
    assert "t goes from 0 to 2" in sentence_of(path, index={"t": 3})


def test_neither_grey_nor_rgb(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 255, (5, 64, 70), dtype=np.uint8)
    path = tmp_path / "codex.ome.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "CYX"})
    assert sentence_of(path) == (
        "codex.ome.tif has 5 channels, so it is neither grey (1) nor RGB (3); choose one, for "
        "instance with index={'c': 0}."
    )
    np.testing.assert_array_equal(read_tile(path, index={"c": 4}).pixels[..., 0], pixels[4])


def test_several_images_in_one_file_are_noted(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        for side, um_per_px in ((64, 1.0), (128, 0.5)):
            about = {"axes": "YX", "PhysicalSizeX": um_per_px, "PhysicalSizeY": um_per_px}
            file.write(np.zeros((side, side), np.uint8), metadata=about)
    tile = read_tile(path)
    assert (tile.shape, tile.um_per_px) == ((128, 128), 0.5)
    assert tile.notes == ("The largest of 2 images in the file was taken.",)


def test_damaged_ome_metadata_is_ignored_and_noted(tmp_path, rgb):
    path = tmp_path / "a.ome.tif"
    xml = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/x"><Image></OME>'
    tifffile.imwrite(path, rgb, photometric="rgb", description=xml, metadata=None)
    tile = read_tile(path)
    np.testing.assert_array_equal(tile.pixels, rgb)
    assert "The OME metadata of the file is damaged and was ignored." in tile.notes


# --- too large ----------------------------------------------------------------------------


def png_header(rows: int, columns: int) -> bytes:
    """Return a PNG that claims a size and holds nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    size = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    nothing = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + nothing + chunk(b"IEND", b"")


def test_a_png_of_gigabytes_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(60000, 60000))
    tracemalloc.start()
    sentence = sentence_of(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sentence == (
        "bomb.png has too many pixels to be read in one piece; save it as a tiled TIFF or cut out "
        "a region."
    )
    assert peak < 50e6


def test_a_plain_tiff_of_gigabytes_is_refused_before_memory_is_taken(tmp_path, rgb):
    path = tmp_path / "big.tif"
    # 60000 rows of one strip each, all of which point to the same bytes: a small file
    tifffile.imwrite(path, rgb[:1], photometric="rgb", compression="zlib", rowsperstrip=1)
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages[0].tags
        start, size = tags["StripOffsets"].value[0], tags["StripByteCounts"].value[0]
        tags["ImageWidth"].overwrite(60000)
        tags["ImageLength"].overwrite(60000)
        tags["StripOffsets"].overwrite([start] * 60000)
        tags["StripByteCounts"].overwrite([size] * 60000)
        tags["ImageDescription"].overwrite("")
    tracemalloc.start()
    sentence = sentence_of(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sentence == (
        "big.tif has 3600 megapixels in one piece and would take 10.1 GiB of memory; save it as a "
        "tiled TIFF or cut out a region."
    )
    assert peak < 100e6


def test_a_tiled_file_of_gigabytes_is_opened(tmp_path):
    path = tmp_path / "slide.tif"
    tile = np.random.default_rng(0).integers(0, 255, (512, 512, 3), dtype=np.uint8)
    tifffile.imwrite(path, tile, photometric="rgb", tile=(512, 512), metadata=None)
    n_tiles = (40960 // 512) ** 2
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages[0].tags
        start, size = tags["TileOffsets"].value[0], tags["TileByteCounts"].value[0]
        tags["ImageWidth"].overwrite(40960)
        tags["ImageLength"].overwrite(40960)
        tags["TileOffsets"].overwrite([start] * n_tiles)
        tags["TileByteCounts"].overwrite([size] * n_tiles)
    slide = read_tile(path)
    assert slide.shape == (40960, 40960)
    region = slide.read(slice(40000, 40010), slice(512, 522))
    np.testing.assert_allclose(region, tile[40000 % 512 :][:10, :10] / 255, atol=1e-6)
