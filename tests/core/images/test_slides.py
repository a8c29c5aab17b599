"""Slides and pyramids: opened lazily at full resolution, without label and macro."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal

from napari_selfseg.core.images.intensity import is_lazy
from napari_selfseg.core.images.reading import read_pyramid, read_tile


def write_svs(path: Path, rgb: np.ndarray, mpp: str = "0.2498") -> None:
    """Write what a slide scanner writes: baseline, thumbnail, level, label and macro."""
    about = f"Aperio Image Library v1\r\n90x70 (32x32)|AppMag = 40|User = X|MPP = {mpp}"
    with tifffile.TiffWriter(path) as file:
        tiled = {"tile": (32, 32), "photometric": "rgb", "metadata": None, "compression": "zlib"}
        flat = {"photometric": "rgb", "metadata": None}
        file.write(rgb, description=about, **tiled)
        file.write(rgb[::4, ::4], description="Aperio Image Library v1\r\nthumb", **flat)
        file.write(np.ascontiguousarray(rgb[::2, ::2]), description="Aperio v1\r\nlevel", **tiled)
        file.write(
            np.zeros((40, 40, 3), np.uint8),
            description="Aperio Image Library v1\r\nlabel 40x40",
            subfiletype=1,
            **flat,
        )
        file.write(
            np.zeros((300, 400, 3), np.uint8),
            description="Aperio Image Library v1\r\nmacro 400x300",
            subfiletype=9,
            **flat,
        )


def test_a_slide_is_opened_lazily_at_full_resolution_without_its_label(tmp_path, rgb):
    write_svs(tmp_path / "slide.svs", rgb)
    tile = read_tile(tmp_path / "slide.svs")
    assert is_lazy(tile.pixels)
    assert tile.um_per_px == pytest.approx(0.2498)
    assert_array_equal(tile.pixels, rgb)
    assert not any("Aperio" in note or "User" in note for note in tile.notes)


def test_a_pyramid_gives_its_levels_with_their_scales(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (256, 320, 3), dtype=np.uint8)
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        about = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        keywords = {"tile": (64, 64), "photometric": "rgb"}
        file.write(pixels, subifds=1, metadata=about, **keywords)
        file.write(np.ascontiguousarray(pixels[::2, ::2]), subfiletype=1, **keywords)
    first, second = read_pyramid(path)
    assert (first.shape, second.shape) == ((256, 320), (128, 160))
    assert (first.um_per_px, second.um_per_px) == pytest.approx((0.5, 1.0))
    assert_array_equal(second.pixels, pixels[::2, ::2])
    assert read_tile(path).shape == (256, 320)


def test_a_lazy_tile_reads_only_what_it_is_asked_for(tmp_path):
    # A second tile of the file is damaged: whoever reads only the first does not notice.
    pixels = np.random.default_rng(0).integers(0, 255, (2048, 4096, 3), dtype=np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, tile=(1024, 1024), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path) as file:
        start, size = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    damaged = bytearray(path.read_bytes())
    damaged[start : start + size] = bytes(size)
    path.write_bytes(damaged)
    tile = read_tile(path)
    region = tile.read(slice(1500, 1600), slice(3000, 3100))
    np.testing.assert_allclose(region, pixels[1500:1600, 3000:3100] / 255, atol=1e-6)
    with pytest.raises(Exception, match=r"DEFLATE|zlib|[Ii]nflate|corrupt"):
        tile.read(slice(0, 10), slice(0, 10))
