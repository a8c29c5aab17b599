"""The command that learns from strokes."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_selfseg.cli import main
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.session.store import load_run

SCALE = ["--um-per-px", "0.25"]
FEW = [f"--set={name}={n}" for name, n in (("global_steps", 2), ("local_steps", 2), ("n_steps", 3))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tile, strokes of several kinds, and a label-free run."""
    folder = tmp_path_factory.mktemp("refine")
    pixels, truth = drawn_he_tile(160, 176, n_nuclei=24, seed=3)
    Image.fromarray(pixels).save(folder / "tile.png")
    classes = np.zeros(truth.shape, np.uint8)
    classes[np.isin(truth, np.unique(truth)[1:5])] = 2
    tifffile.imwrite(folder / "one kind.tif", classes)
    rows, columns = np.nonzero(truth == 0)
    classes[rows[::60], columns[::60]] = 1
    tifffile.imwrite(folder / "strokes.tif", classes)
    tifffile.imwrite(folder / "small.tif", classes[:50])
    classes[classes == 2] = np.where(np.arange((classes == 2).sum()) % 2, 2, 3)
    tifffile.imwrite(folder / "two classes.tif", classes)
    steps = ["--set", "n_steps=4", "--set", "starts=1", "--set", "committee=1"]
    arguments = ["train", str(folder / "tile.png"), "--preset", "quick", *steps, *SCALE]
    assert main([*arguments, "--out", str(folder / "run"), "--device", "cpu"]) == 0
    return folder


@pytest.fixture
def refine(folder, capsys):
    def refine(strokes, out, *more, run="run"):
        capsys.readouterr()
        places = [str(folder / run), str(folder / "tile.png"), "--strokes", str(folder / strokes)]
        arguments = ["refine", *places, "--out", str(folder / out), *SCALE, *FEW]
        code = main([*arguments, "--device", "cpu", *more])
        told = capsys.readouterr()
        return code, told.out, told.err

    return refine


def test_a_run_learns_from_strokes_and_segments(folder, refine, capsys):
    code, out, _ = refine("strokes.tif", "v1", "--json", "--seed", "1")
    assert code == 0
    told = json.loads(out)
    assert told["labels_used"] == "your strokes"
    assert told["steps"] == 7
    assert told["painted_px"] > 0
    for name in ("model.safetensors", "settings.json", "provenance.json", "curves.csv"):
        assert (folder / "v1" / name).is_file()
    stored = load_run(folder / "v1")
    strokes = tifffile.imread(folder / "strokes.tif")
    assert (stored.labels[strokes == 2] > 0).mean() > 0.95
    image = str(folder / "tile.png")
    assert main(["segment", str(folder / "v1"), image, "--out", str(folder / "a.tif"), *SCALE]) == 0
    assert tifffile.imread(folder / "a.tif").shape == strokes.shape


def test_the_same_seed_gives_the_same_run(folder, refine):
    for out in ("same 1", "same 2"):
        assert refine("strokes.tif", out, "--seed", "4")[0] == 0
    one, other = (load_run(folder / out) for out in ("same 1", "same 2"))
    np.testing.assert_array_equal(one.maps, other.maps)


def test_a_version_learns_on_and_several_classes_are_learned(refine):
    assert refine("strokes.tif", "first")[0] == 0
    assert refine("strokes.tif", "second", run="first")[0] == 0
    code, out, _ = refine("two classes.tif", "classes", "--set", "mode=block")
    assert code == 0
    assert "Labels used: your strokes." in out


@pytest.mark.parametrize(
    ("strokes", "words"),
    [
        ("one kind.tif", "erase something that is no object"),
        ("small.tif", "The strokes have 50 × 176 px, but tile has 160 × 176 px"),
        ("nothing.tif", "nothing.tif"),
        ("tile.png", "--strokes"),
    ],
)
def test_strokes_that_teach_nothing_are_refused_in_a_sentence(folder, refine, strokes, words):
    code, _, err = refine(strokes, "never")
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert not (folder / "never").exists()


def test_other_mistakes(folder, refine):
    assert refine("strokes.tif", "never", run="no run")[0] == 2
    code, _, err = refine("strokes.tif", "never", "--set", "n_classes=4")
    assert code == 2
    assert "There is no setting 'n_classes'" in err
    assert refine("strokes.tif", "v1 again")[0] == 0
    code, _, err = refine("strokes.tif", "v1 again")
    assert code == 2
    assert "exists already" in err
    assert refine("strokes.tif", "v1 again", "--overwrite")[0] == 0
