"""Microns per pixel: believed where a file says it, never made up from the dots of a printer."""

from __future__ import annotations

import pytest
import tifffile
from PIL import Image

from napari_selfseg.core.images.reading import read_tile
from napari_selfseg.core.images.tile import TileError


def test_scale_from_resolution_tags(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, rgb, photometric="rgb", resolution=(20000, 20000), resolutionunit="CENTIMETER"
    )
    assert read_tile(path).um_per_px == pytest.approx(0.5)


@pytest.mark.parametrize("dpi", [72, 96, 300])
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_dots_per_inch_of_paper_are_no_scale(tmp_path, rgb, dpi, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(rgb).save(path, dpi=(dpi, dpi))
    tile = read_tile(path)
    assert (tile.um_per_px, tile.notes) == (None, ())


def test_scale_from_dots_per_inch_of_a_microscope(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "a.png", dpi=(101600, 101600))
    assert read_tile(tmp_path / "a.png").um_per_px == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize(("unit", "per_unit"), [("micron", 4), ("\\u00B5m", 4), ("mm", 4000)])
def test_scale_from_imagej(tmp_path, grey, unit, per_unit):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, grey, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit}
    )
    assert read_tile(path).um_per_px == pytest.approx(0.25)


@pytest.mark.parametrize("unit", ["", "pixel", "inch"])
def test_imagej_units_that_are_no_scale(tmp_path, grey, unit):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, grey, imagej=True, resolution=(72, 72), metadata={"unit": unit})
    assert read_tile(path).um_per_px is None


@pytest.mark.parametrize("size", [250.0, 0.0001, -1.0, 0.0])
def test_an_absurd_scale_in_the_file_is_ignored(tmp_path, rgb, size):
    path = tmp_path / "a.ome.tif"
    about = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeY": size}
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=about)
    tile = read_tile(path)
    assert tile.um_per_px is None
    if size > 0:
        assert tile.notes == (f"The file states {size:.4g} µm/px, which cannot be right: ignored.",)


def test_pixels_that_are_not_square_are_noted(tmp_path, rgb):
    path = tmp_path / "a.ome.tif"
    about = {"axes": "YXS", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.45}
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=about)
    tile = read_tile(path)
    assert tile.um_per_px == pytest.approx(0.3)
    assert "not square (0.45 by 0.2 µm)" in tile.notes[0]


def test_what_the_user_says_counts_more_than_the_file(tmp_path, rgb):
    path = tmp_path / "a.ome.tif"
    about = {"axes": "YXS", "PhysicalSizeX": 90.0, "PhysicalSizeY": 90.0}
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=about)
    tile = read_tile(path, um_per_px=0.5)
    assert (tile.um_per_px, tile.notes) == (0.5, ())


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        (0.0, r"0 µm/px is not a scale; it must be a positive number\."),
        (float("nan"), r"nan µm/px is not a scale"),
        (-0.25, r"-0\.25 µm/px is not a scale"),
        (250.0, r"250 µm/px cannot be right for a microscope; a 40x scan has about 0\.25\."),
    ],
)
def test_an_impossible_scale_of_the_user_is_refused(tmp_path, rgb, stated, sentence):
    Image.fromarray(rgb).save(tmp_path / "a.png")
    with pytest.raises(TileError, match=sentence):
        read_tile(tmp_path / "a.png", um_per_px=stated)
