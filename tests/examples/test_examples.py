"""The examples run as they stand."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.methods.settings import PRESETS
from napari_selfseg.session.store import load_run

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def quick_is_quicker(monkeypatch):
    monkeypatch.setitem(PRESETS, "quick", {**PRESETS["quick"], "starts": 1, "n_steps": 3})


def test_segment_a_tile(tmp_path, monkeypatch, capsys, quick_is_quicker):
    pixels, _ = drawn_he_tile(rows=150, columns=170, n_nuclei=15)
    Image.fromarray(pixels).save(tmp_path / "tile.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["segment_a_tile.py", "tile.png", "0.25"])
    runpy.run_path(str(EXAMPLES / "segment_a_tile.py"), run_name="__main__")
    labels = tifffile.imread(tmp_path / "nuclei.tif")
    assert labels.shape == (150, 170)
    stored = load_run(tmp_path / "run")
    np.testing.assert_array_equal(stored.labels, labels)
    assert len(stored.curves) == 3
    assert f"{labels.max()} objects." in capsys.readouterr().out


def test_every_example_has_a_test():
    tests = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"def test_{path.stem}(" in tests
