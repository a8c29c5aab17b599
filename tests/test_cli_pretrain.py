"""The command that learns what other methods use, and the guard of train."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from napari_selfseg.cli import main
from napari_selfseg.core.images.drawn import drawn_he_tile

SCALE = ["--um-per-px", "0.5", "--device", "cpu"]
FEW = [f"--set={name}={n}" for name, n in (("n_steps", 3), ("n_patches", 40), ("n_groups", 4))]
QUICK = ["--preset", "quick", "--set=n_steps=3", "--set=starts=1", "--set=committee=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tile and groups of its patches."""
    folder = tmp_path_factory.mktemp("pretrain")
    pixels, _ = drawn_he_tile(160, 176, n_nuclei=24, seed=3, um_per_px=0.5)
    Image.fromarray(pixels).save(folder / "tile.png")
    arguments = ["pretrain", str(folder / "tile.png"), "--method", "clusters", *SCALE, *FEW]
    assert main([*arguments, "--out", str(folder / "groups")]) == 0
    return folder


def told_by(capsys, arguments):
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_pretraining_tells_what_it_did(folder, capsys):
    arguments = ["pretrain", folder / "tile.png", "--method", "clusters", *SCALE, *FEW]
    code, out, _ = told_by(capsys, [*arguments, "--out", folder / "again", "--json"])
    assert code == 0
    told = json.loads(out)
    assert told["steps"] == 3
    assert told["labels_used"] == "none"
    assert told["measures"]["loss"] > 0
    assert {path.name for path in (folder / "again").iterdir()} == {
        "model.safetensors",
        "settings.json",
        "provenance.json",
        "curves.csv",
    }
    code, _, err = told_by(capsys, [*arguments, "--out", folder / "again"])
    assert code == 2
    assert "exists already" in err


def test_segment_says_what_a_pretraining_is_for(folder, capsys):
    arguments = ["segment", folder / "groups", folder / "tile.png", "--out", folder / "x.tif"]
    code, _, err = told_by(capsys, arguments)
    assert code == 2
    assert "--guard" in err
    assert "refine" in err


def test_a_training_is_guarded(folder, capsys):
    arguments = ["train", folder / "tile.png", *SCALE, *QUICK, "--guard", folder / "groups"]
    code, _, _ = told_by(capsys, [*arguments, "--out", folder / "run", "--groups", "3"])
    assert code == 0
    provenance = json.loads((folder / "run" / "provenance.json").read_text())
    assert provenance["guard"]["groups"] == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--groups", "3"], "--guard"),
        (["--guard", "nowhere"], "no run folder nowhere"),
        (["--guard", "groups", "--groups", "1"], "nothing to contrast"),
    ],
)
def test_guards_that_make_no_sense(folder, capsys, options, told):
    options = [folder / "groups" if option == "groups" else option for option in options]
    arguments = ["train", folder / "tile.png", *SCALE, *QUICK, "--out", folder / "no", *options]
    code, _, err = told_by(capsys, arguments)
    assert code == 2
    assert told in err
    assert not (folder / "no").exists()
