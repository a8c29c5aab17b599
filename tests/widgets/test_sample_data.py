"""File > Open Sample: three samples, and a clear sentence where the third cannot be fetched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests
import tifffile
from napari.layers import Image, Labels, Layer

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import TileError
from napari_selfseg.widgets import sample_data


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Keep the user's cache folder out of the tests."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NAPARI_SELFSEG_CACHE", str(folder))
    return folder


@pytest.fixture
def offline(monkeypatch) -> list[str]:
    """Let every request fail as it does without a connection; return what was asked for."""
    asked = []

    def refuse(session, method, url, **_):
        asked.append(url)
        raise requests.exceptions.ConnectionError("Name or service not known")

    monkeypatch.setattr(requests.Session, "request", refuse)
    return asked


@pytest.fixture
def slide(tmp_path, monkeypatch) -> Path:
    """A small slide that takes the sample's place, with its hash."""
    path = tmp_path / "source.svs"
    tifffile.imwrite(
        path,
        drawn_he_tile(300, 400)[0],
        tile=(128, 128),
        photometric="rgb",
        description="Aperio Image Library v1\r\n400x300|MPP = 0.499",
        metadata=None,
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(sample_data, "SLIDE_SHA256", digest)
    return path


def serve(monkeypatch, content: bytes) -> list[str]:
    """Let pooch's downloader write this content; return what was asked for."""
    asked = []

    def download(self, url, output_file, pooch, check_only=False):
        asked.append(url)
        Path(output_file).write_bytes(content)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", download)
    return asked


def test_ihc(offline):
    ((data, keywords, kind),) = sample_data.load_ihc()
    layer = Layer.create(data, keywords, kind)
    assert isinstance(layer, Image)
    assert layer.rgb
    assert layer.data.shape == (512, 512, 3)
    assert not offline  # it comes with scikit-image


def test_drawn_tile_with_its_known_nuclei():
    image, labels = (Layer.create(*data) for data in sample_data.load_drawn_he())
    assert isinstance(image, Image)
    assert isinstance(labels, Labels)
    assert image.rgb
    assert image.data.shape[:2] == labels.data.shape
    for layer in (image, labels):
        assert layer.scale.tolist() == [0.25, 0.25]
        assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    nuclei = labels.data > 0
    assert image.data[nuclei].mean() < image.data[~nuclei].mean() - 40


def test_slide_is_fetched_checked_and_opened_lazily(slide, cache, monkeypatch):
    asked = serve(monkeypatch, slide.read_bytes())
    ((data, keywords, kind),) = sample_data.load_openslide_region()
    layer = Layer.create(data, keywords, kind)
    assert asked == [
        "https://openslide.cs.cmu.edu/download/openslide-testdata/Aperio/CMU-1-Small-Region.svs"
    ]
    assert (cache / "CMU-1-Small-Region.svs").exists()
    assert layer.scale.tolist() == pytest.approx([0.499, 0.499])
    assert layer.name == "CMU-1-Small-Region"
    assert np.asarray(layer.data[:5, :5]).shape == (5, 5, 3)


def test_a_slide_in_the_cache_needs_no_connection(slide, cache, offline):
    cache.mkdir()
    (cache / "CMU-1-Small-Region.svs").write_bytes(slide.read_bytes())
    assert sample_data.load_openslide_region()
    assert not offline


def test_offline_is_one_sentence(offline, cache):
    with pytest.raises(TileError) as refusal:
        sample_data.load_openslide_region()
    assert str(refusal.value) == (
        "The sample slide could not be fetched from openslide.cs.cmu.edu; check the connection, "
        "or open one of the other samples, which need none."
    )
    assert offline
    assert not list(cache.glob("*"))  # nothing half-written


def test_another_file_than_expected_is_thrown_away(slide, cache, monkeypatch):
    serve(monkeypatch, b"<html>Log in to the guest network</html>")
    with pytest.raises(TileError, match=r"is not the expected file \(its SHA-256 differs\)"):
        sample_data.load_openslide_region()
    assert not list(cache.glob("*"))


def test_a_cache_that_cannot_be_written(slide, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("NAPARI_SELFSEG_CACHE", str(tmp_path / "file" / "cache"))
    serve(monkeypatch, slide.read_bytes())
    with pytest.raises(TileError, match=r"^The sample slide could not be kept in the cache folder"):
        sample_data.load_openslide_region()
