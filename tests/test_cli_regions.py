"""The command line in regions mode: classes with names, one of them as objects."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.drawn_regions import GLAND, drawn_regions

from napari_selfseg.cli import main
from napari_selfseg.core.metrics import dice
from napari_selfseg.session.store import load_run

SCALE = ["--um-per-px", "1.0"]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two tiles and the masks of their glands."""
    folder = tmp_path_factory.mktemp("images")
    for seed, name in enumerate(("a", "b")):
        rgb, truth = drawn_regions(seed=seed)
        Image.fromarray(rgb).save(folder / f"{name}.png")
        glands = (truth == GLAND).astype(np.uint8) * 255
        Image.fromarray(glands).save(folder / f"{name}_mask.png")
    return folder


@pytest.fixture(scope="module")
def stored(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored") / "run"
    arguments = ["train", str(images / "a.png"), "--method", "regions", "--out", str(folder)]
    assert main([*arguments, *SCALE, "--device", "cpu"]) == 0
    return folder


@pytest.fixture
def run(capsys):
    def run(*arguments):
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stopped:  # argparse
            code = stopped.code
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return run


def test_train_names_the_classes_and_their_shares(run, images, tmp_path):
    out = tmp_path / "run"
    arguments = ["--method", "regions", "--out", out, "--set", "n_classes=4", *SCALE]
    done = run("train", images, *arguments, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert [c["number"] for c in told["classes"]] == [1, 2, 3, 4]
    assert sum(c["share"] for c in told["classes"]) == pytest.approx(1, abs=1e-4)
    assert told["labels_used"] == "none"
    assert told["inertia"] > 0
    stored = load_run(out)
    assert stored.names == tuple(c["name"] for c in told["classes"])
    assert len(stored.provenance["tiles"]) == 2


def test_in_words(run, images, tmp_path):
    done = run("train", images / "a.png", "--method", "regions", "--out", tmp_path / "run", *SCALE)
    assert done.code == 0
    assert "1 region 1 (" in done.out
    assert "background" in done.out
    assert "Labels used: none" in done.out


def test_segment_writes_the_classes(run, images, stored, tmp_path):
    out, maps = tmp_path / "b.tif", tmp_path / "maps.tif"
    arguments = ["--out", out, "--confidence", maps, *SCALE]
    done = run("segment", stored, images / "b.png", *arguments, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    labels = tifffile.imread(out)
    assert labels.dtype == np.uint8
    assert np.mean(labels == drawn_regions(seed=1)[1]) > 0.9
    assert tifffile.imread(maps).shape == (3, 240, 300)
    shares = [c["share"] for c in told["images"][0]["classes"]]
    assert shares[0] == pytest.approx((labels == 1).mean(), abs=1e-5)
    beside = json.loads((tmp_path / "b.provenance.json").read_text())
    assert [c["name"] for c in beside["classes"]] == ["region 1", "region 2", "background"]


@pytest.mark.parametrize("wanted", ["1", "REGION 1"])
def test_one_class_as_objects_can_be_evaluated_with_masks(run, images, stored, tmp_path, wanted):
    done = run("segment", stored, images, "--out", tmp_path / "out", "--class", wanted, *SCALE)
    assert done.code == 0
    assert "2 objects" in done.out
    done = run("evaluate", tmp_path / "out", images, "--json")
    told = json.loads(done.out)
    assert told["n"] == 2
    assert told["mean"]["dice"] > 0.8  # the mask leaves the lumen out
    glands = drawn_regions(seed=0)[1] == GLAND
    assert dice(tifffile.imread(tmp_path / "out" / "a.tif"), glands) > 0.8


def test_sizes_that_the_user_set_in_the_run_are_used(run, images, stored, tmp_path):
    own = shutil.copytree(stored, tmp_path / "own")
    path = own / "result" / "label_settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_hole_um2": 0}))
    arguments = ["--out", tmp_path / "a.tif", "--class", "1", *SCALE]
    assert run("segment", own, images / "a.png", *arguments).code == 0
    centre = round(0.28 * 240), round(0.3 * 300)
    assert tifffile.imread(tmp_path / "a.tif")[centre] == 0  # the lumen is open now


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--binary"], "--class N gives one of them"),
        (["--channel", "1"], "--channel is for runs that find objects"),
        (["--polarity", "normal"], "--polarity is for runs that find objects"),
        (["--class", "7"], "the run has 1 (region 1), 2 (region 2), 3 (background)"),
    ],
)
def test_what_it_does_not_have_is_one_sentence(run, images, stored, tmp_path, flags, words):
    done = run("segment", stored, images / "b.png", "--out", tmp_path / "b.tif", *flags)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "b.tif").exists()


def test_a_setting_that_changes_nothing_here_is_refused(run, images, tmp_path):
    arguments = ["--method", "regions", "--out", tmp_path / "run", "--set", "learning_rate=1"]
    done = run("train", images / "a.png", *arguments)
    assert done.code == 2
    assert "There is no setting 'learning_rate'" in done.err


def test_a_blank_image_is_one_sentence(run, tmp_path):
    Image.new("RGB", (150, 150), (255, 255, 255)).save(tmp_path / "x.png")
    arguments = ["--method", "regions", "--out", tmp_path / "run"]
    done = run("train", tmp_path / "x.png", *arguments, "--um-per-px", "1")
    assert done.code == 2
    assert "looks blank" in done.err
    assert not (tmp_path / "run").exists()


def test_grey_images_work_and_are_not_mixed_with_colour(run, images, stored, tmp_path):
    grey = Image.open(images / "a.png").convert("L")
    grey.save(tmp_path / "grey.png")
    arguments = ["--method", "regions", "--out", tmp_path / "run", *SCALE]
    assert run("train", tmp_path / "grey.png", *arguments).code == 0
    done = run("segment", stored, tmp_path / "grey.png", "--out", tmp_path / "g.tif")
    assert done.code == 2
    assert "learned from colour images" in done.err
