"""napari's reader: layer data that real layers accept, and a polite no to everything else."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.layers import Image, Layer
from numpy.testing import assert_array_equal
from PIL import Image as PillowImage

from napari_selfseg.core.images.tile import TileError
from napari_selfseg.widgets.reader import get_reader


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (128, 150, 3), dtype=np.uint8)


def layer_from(path: Path) -> Image:
    """Read a file the way napari does and make the layer."""
    read = get_reader(str(path))
    assert read is not None
    (data,) = read(str(path))
    return Layer.create(*data)


@pytest.mark.parametrize("ending", ["png", "tif", "TIFF", "jpg", "jpeg"])
def test_plain_files(tmp_path, rgb, ending):
    path = tmp_path / f"my tile.{ending}"
    PillowImage.fromarray(rgb).save(path)
    layer = layer_from(path)
    assert isinstance(layer, Image)
    assert (layer.rgb, layer.multiscale, layer.name) == (True, False, "my tile")
    assert layer.data.shape == rgb.shape
    assert [str(unit) for unit in layer.units] == ["pixel", "pixel"]


def test_microns_become_scale_and_units(tmp_path, rgb):
    path = tmp_path / "a.ome.tif"
    about = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=about)
    layer = layer_from(path)
    assert layer.scale.tolist() == [0.5, 0.5]
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert layer.name == "a"


def test_planes_first_are_rgb(tmp_path, rgb):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.moveaxis(rgb, -1, 0).copy(), metadata={"axes": "CYX"})
    assert_array_equal(layer_from(path).data, rgb)


def test_a_tiled_file_stays_lazy(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", tile=(64, 64))
    layer = layer_from(path)
    assert isinstance(layer.data, da.Array)
    assert_array_equal(layer.data, rgb)


def test_two_slides_are_not_mixed_up_in_a_cache_of_chunks(tmp_path, rgb):
    names = set()
    for k, name in enumerate(("a.tif", "b.tif")):
        tifffile.imwrite(tmp_path / name, rgb + np.uint8(k), photometric="rgb", tile=(64, 64))
        names.add(layer_from(tmp_path / name).data.name)
    assert len(names) == 2


def test_a_pyramid_becomes_a_multiscale_layer(tmp_path, rgb):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        about = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
        keywords = {"tile": (64, 64), "photometric": "rgb"}
        file.write(rgb, subifds=1, metadata=about, **keywords)
        file.write(np.ascontiguousarray(rgb[::2, ::2]), subfiletype=1, **keywords)
    layer = layer_from(path)
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [(128, 150, 3), (64, 75, 3)]
    assert layer.scale.tolist() == [0.25, 0.25]


@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_12_bit_in_16_is_shown_bright(tmp_path, rgb, tile):
    path = tmp_path / "a.tif"
    deep = rgb.astype(np.uint16) * 16
    tifffile.imwrite(path, deep, photometric="rgb", tile=tile)
    layer = layer_from(path)
    shown = np.asarray(layer.data)
    assert shown.dtype == np.uint16
    np.testing.assert_allclose(shown / 65535, deep / 4095, atol=1e-4)
    assert layer.metadata["selfseg"]["white"] == 65535.0


def test_grey_has_two_axes_and_the_contrast_limits_of_its_bits(tmp_path):
    path = tmp_path / "a.tif"
    grey = np.random.default_rng(0).integers(0, 4000, (100, 120), dtype=np.uint16)
    grey[0, 0] = 4000
    tifffile.imwrite(path, grey)
    layer = layer_from(path)
    assert (layer.rgb, layer.data.shape) == (False, (100, 120))
    assert layer.contrast_limits == [0.0, 4095.0]
    assert_array_equal(layer.data, grey)
    remembered = layer.metadata["selfseg"]
    assert (remembered["white"], remembered["dtype"]) == (4095.0, "uint16")
    assert "12 bit in 16" in remembered["notes"][0]


def test_what_is_left_to_others(tmp_path, rgb):
    def is_left(path) -> bool:
        return get_reader(path) is None

    PillowImage.fromarray(rgb).save(tmp_path / "a.png")
    assert not is_left(str(tmp_path / "a.png"))
    assert is_left([str(tmp_path / "a.png")])  # several files are a stack
    assert is_left(str(tmp_path))  # a folder
    assert is_left(str(tmp_path / "missing.tif"))
    (tmp_path / "text.tif").write_text("no image")
    assert is_left(str(tmp_path / "text.tif"))
    (tmp_path / "empty.png").write_bytes(b"")
    assert is_left(str(tmp_path / "empty.png"))
    np.save(tmp_path / "a.npy", rgb)
    assert is_left(str(tmp_path / "a.npy"))
    tifffile.imwrite(tmp_path / "z.tif", np.zeros((5, 64, 64), np.uint8), metadata={"axes": "ZYX"})
    assert is_left(str(tmp_path / "z.tif"))  # napari's own reader shows it as a stack
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((5, 64, 64), np.uint8), metadata={"axes": "CYX"})
    assert is_left(str(tmp_path / "c.tif"))
    animation = [PillowImage.new("L", (64, 64), value) for value in (10, 20)]
    animation[0].save(tmp_path / "film.png", save_all=True, append_images=animation[1:])
    assert is_left(str(tmp_path / "film.png"))


def test_damage_behind_a_good_header_is_one_sentence(tmp_path, rgb):
    path = tmp_path / "a.png"
    PillowImage.fromarray(rgb).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    read = get_reader(str(path))
    assert read is not None
    with pytest.raises(TileError, match=r"^a\.png is damaged or incomplete and cannot be read\.$"):
        read(str(path))
