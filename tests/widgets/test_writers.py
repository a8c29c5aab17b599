"""File > Save: what napari hands over becomes a file that other programs read with its scale."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels, Layer
from PIL import Image as PillowImage

from napari_selfseg.session.label_files import StoreError
from napari_selfseg.widgets.writers import write_image, write_labels


def saved(writer, path: Path, layer: Layer) -> Path:
    data, meta, _ = layer.as_layer_data_tuple()
    assert writer(str(path), data, meta) == [str(path)]
    return path


def um_per_px_in(path: Path) -> tuple[float, float] | None:
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        if page.resolutionunit != tifffile.RESUNIT.CENTIMETER:
            return None
        return tuple(1e4 / value for value in page.resolution)


@pytest.fixture
def labels() -> np.ndarray:
    image = np.zeros((40, 60), np.uint16)
    image[5:20, 5:20] = 1
    image[22:39, 30:50] = 700
    return image


def test_labels_as_tiff_keep_numbers_and_microns(tmp_path, labels):
    layer = Labels(labels, scale=(0.25, 0.25), units="um")
    path = saved(write_labels, tmp_path / "nuclei.tif", layer)
    np.testing.assert_array_equal(tifffile.imread(path), labels)
    assert um_per_px_in(path) == pytest.approx((0.25, 0.25), rel=1e-4)


@pytest.mark.parametrize(("unit", "scale"), [("nm", 250.0), ("mm", 0.00025)])
def test_other_lengths_are_converted(tmp_path, labels, unit, scale):
    layer = Labels(labels, scale=(scale, scale), units=unit)
    path = saved(write_labels, tmp_path / "nuclei.tif", layer)
    assert um_per_px_in(path) == pytest.approx((0.25, 0.25), rel=1e-4)


def test_no_microns_are_made_up(tmp_path, labels):
    in_pixels = saved(write_labels, tmp_path / "pixels.tif", Labels(labels, scale=(0.5, 0.5)))
    oblong = Labels(labels, scale=(0.25, 0.5), units="um")
    assert um_per_px_in(in_pixels) is None
    assert um_per_px_in(saved(write_labels, tmp_path / "oblong.tif", oblong)) is None


def test_labels_as_png(tmp_path, labels):
    layer = Labels(labels, scale=(0.25, 0.25), units="um")
    path = saved(write_labels, tmp_path / "nuclei.png", layer)
    with PillowImage.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), labels)
        assert 25_400 / image.info["dpi"][0] == pytest.approx(0.25, rel=1e-3)


def test_lazy_labels_and_pyramids_are_written_whole(tmp_path, labels):
    lazy = saved(write_labels, tmp_path / "lazy.tif", Labels(da.from_array(labels, chunks=16)))
    pyramid = Labels([labels, labels[::2, ::2]], multiscale=True)
    whole = saved(write_labels, tmp_path / "pyramid.tif", pyramid)
    np.testing.assert_array_equal(tifffile.imread(lazy), labels)
    np.testing.assert_array_equal(tifffile.imread(whole), labels)


def test_a_stack_of_labels_gets_one_sentence(tmp_path, labels):
    with pytest.raises(StoreError, match="rows and columns"):
        saved(write_labels, tmp_path / "stack.tif", Labels(np.stack([labels] * 3)))
    assert not list(tmp_path.iterdir())


def test_confidence_is_float32_with_microns(tmp_path):
    confidence = np.linspace(0, 1, 40 * 60, dtype=np.float16).reshape(40, 60)
    layer = Image(confidence, scale=(0.5, 0.5), units="um", contrast_limits=(0, 1))
    path = saved(write_image, tmp_path / "confidence.tif", layer)
    written = tifffile.imread(path)
    assert written.dtype == np.float32
    np.testing.assert_array_equal(written, confidence.astype(np.float32))
    assert um_per_px_in(path) == pytest.approx((0.5, 0.5), rel=1e-4)


@pytest.mark.parametrize("kind", ["rgb", "12 bit", "float beyond 1"])
def test_any_other_image_keeps_its_pixels(tmp_path, kind):
    rng = np.random.default_rng(0)
    pixels, rgb = {
        "rgb": (rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), True),
        "12 bit": (rng.integers(0, 4096, (30, 40), dtype=np.uint16), False),
        "float beyond 1": (rng.normal(size=(30, 40)), False),
    }[kind]
    path = saved(write_image, tmp_path / "image.tif", Image(pixels, rgb=rgb))
    written = tifffile.imread(path)
    assert written.dtype == pixels.dtype
    np.testing.assert_array_equal(written, pixels)
    with tifffile.TiffFile(path) as file:
        expected = tifffile.PHOTOMETRIC.RGB if rgb else tifffile.PHOTOMETRIC.MINISBLACK
        assert file.pages[0].photometric == expected


def test_a_place_that_cannot_be_written_gets_one_sentence(tmp_path, labels):
    (tmp_path / "file").write_text("not a folder")
    for writer, layer in [(write_labels, Labels(labels)), (write_image, Image(labels))]:
        with pytest.raises(StoreError, match="could not be written"):
            saved(writer, tmp_path / "file" / "result.tif", layer)
