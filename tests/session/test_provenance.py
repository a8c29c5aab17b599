"""The provenance says how a result came about and nothing about persons or computers."""

import getpass
import json
import platform
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.core.learning.small_training import learned

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning.training import training_loop
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods.settings import PRESETS, PatchContrastSettings, preset_settings
from napari_selfseg.session.provenance import (
    anonymised,
    build_provenance,
    plain_name,
    preset_of,
    without_paths,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def provenance(**changes):
    told = {
        "method": "patch-contrast",
        "settings": PatchContrastSettings(seed=7),
        "tiles": [Tile(PIXELS, 255, um_per_px=0.5, name="S12-3456_A1", notes=("16 bit.",))],
        "device": "cpu",
        "threads": 2,
        "seconds": 12.3456,
        "stopped_by": "plateau",
        "best_step": 40,
        "choice": ChannelChoice(2, True, 0.7, "guess", (0.1, 0.2, -0.7)),
        "scores": {"learned": 0.5, "threshold": 0.4},
        "notes": [],
    }
    return build_provenance(**{**told, **changes})


def test_it_says_how_the_result_came_about():
    told = provenance()
    assert told["seed"] == 7
    assert told["device"] == "cpu"
    assert told["threads"] == 2
    assert told["seconds"] == 12.346
    assert told["stopped_by"] == "plateau"
    assert told["best_step"] == 40
    assert told["channel"] == 2
    assert told["polarity"] == "inverted"
    assert told["scores"] == {"learned": 0.5, "threshold": 0.4}
    assert told["settings"]["seed"] == 7
    assert {"python", "napari-selfseg", "torch", "numpy", "scikit-image"} <= set(told["versions"])
    assert "esearch use only" in told["notice"]
    assert json.loads(json.dumps(told)) == told


def test_it_describes_the_tile_by_its_pixels():
    told = provenance()["tiles"][0]
    assert (told["rows"], told["columns"], told["channels"]) == (40, 50, 3)
    assert told["um_per_px"] == 0.5
    assert told["patch_px"] == 25  # 12.5 µm
    assert told["name"] == "S12-3456_A1"
    assert told["sha256"] == Tile(PIXELS.copy(), 255).sha256()
    assert told["sha256"] != Tile(PIXELS + 1, 255).sha256()


def test_an_unknown_scale_is_said():
    told = provenance(tiles=[Tile(PIXELS, 255)])["tiles"][0]
    assert told["um_per_px"] == "unknown, patch in px"
    assert told["patch_px"] == 50


@pytest.mark.parametrize(
    ("how", "labels_used"), [("guess", "none"), ("user", "none"), ("one click", "one click")]
)
def test_it_says_which_labels_were_used(how, labels_used):
    told = provenance(choice=ChannelChoice(0, False, 0.7, how, ()))
    assert told["labels_used"] == labels_used
    assert told["channel_chosen_by"] == how
    assert told["polarity"] == "normal"


@pytest.mark.parametrize("name", list(PRESETS))
def test_the_preset_is_recognised(name):
    assert preset_of(preset_settings(name)) == name
    assert preset_of(preset_settings(name, seed=5, device="cpu")) == name
    assert preset_of(preset_settings(name, weight_decay=0.5)) == f"{name}, changed"


def test_own_settings_are_no_preset():
    assert preset_of(PatchContrastSettings(n_steps=7, batch_size=9)) == "own"


class TestReproducible:
    def test_on_the_processor_without_an_incident(self):
        told = provenance()
        assert told["reproducible_bit_for_bit"] is True
        assert told["differs_because"] == []

    def test_a_full_graphics_card_is_why_it_differs(self):
        told = provenance(notes=[note_of_a_full_graphics_card()])
        assert told["reproducible_bit_for_bit"] is False
        assert "full" in told["differs_because"][0]

    def test_a_roll_back_happens_again(self):
        told = provenance(notes=["The training became unstable; it goes on."])
        assert told["reproducible_bit_for_bit"] is True
        assert told["notes"] == ["The training became unstable; it goes on."]

    @pytest.mark.parametrize("change", [{"device": "cuda"}, {"stopped_by": "user"}])
    def test_a_graphics_card_or_a_stop_by_hand(self, change):
        told = provenance(**change)
        assert told["reproducible_bit_for_bit"] is False
        assert len(told["differs_because"]) == 1


def note_of_a_full_graphics_card():
    """Return what the training loop really says when memory runs out."""

    class FullOnce(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 1, 1)
            self.is_full = True

        def forward(self, x):
            if self.is_full:
                self.is_full = False
                raise torch.OutOfMemoryError
            return self.layer(x)

    settings = PatchContrastSettings(n_steps=1, batch_size=10, crop_size=32, device="cpu")
    data = TrainingData([Tile(PIXELS, 255)])

    def objective(images, output, generator):
        return learned(output.mean())

    (step,) = training_loop(FullOnce(), objective, data, settings)
    return step.note


class TestPrivacy:
    @pytest.mark.parametrize(
        ("text", "clean"),
        [
            ("Read /home/jane/slides/x.tif at 0.25 µm/px.", "Read x.tif at 0.25 µm/px."),
            (r"Read C:\Users\Jane Doe\x.tif at 0.25 µm/px.", "Read x.tif at 0.25 µm/px."),
            (r"Read \\server\share\x.tif.", "Read x.tif."),
            ("Read '/data/jane doe/x.tif'.", "Read 'x.tif'."),
            ("Read ~/slides/x.tif.", "Read x.tif."),
            ("0.25 µm/px, and/or 1 / 2.", "0.25 µm/px, and/or 1 / 2."),
        ],
    )
    def test_paths_are_taken_out(self, text, clean):
        assert without_paths(text) == clean

    @pytest.mark.parametrize(
        "name", ["/home/jane/x", r"C:\jane\x", "jane/x", "x", r"\\server\jane\x"]
    )
    def test_a_name_is_never_a_path(self, name):
        assert plain_name(name) == "x"

    def test_no_path_no_user_no_host_no_date(self):
        home = str(Path.home())
        tile = Tile(PIXELS, 255, name=f"{home}/secret/S1", notes=(f"Read {home}/secret/S1.tif.",))
        told = provenance(tiles=[tile], notes=[f"Wrote {home}/x.tif."])
        text = json.dumps({**told, "versions": None})
        assert home not in text
        assert "secret" not in text
        assert platform.node() not in text
        if getpass.getuser() not in ("root", "user"):  # words that may occur
            assert getpass.getuser() not in text
        assert not re.search(r"\b(19|20)\d\d-\d\d-\d\d", text)
        assert "date" not in text.lower()

    def test_anonymous_drops_the_names_everywhere(self):
        tiles = [
            Tile(PIXELS, 255, name="S12", notes=("S12 was 16 bit.",)),
            Tile(PIXELS, 255, name="S12 b"),
        ]
        told = provenance(tiles=tiles, notes=["S12 b is small; S12 too; S123 is another."])
        anonymous = anonymised(told)
        assert [tile["name"] for tile in anonymous["tiles"]] == ["tile 1", "tile 2"]
        assert anonymous["tiles"][0]["notes"] == ["tile 1 was 16 bit."]
        assert anonymous["notes"] == ["tile 2 is small; tile 1 too; S123 is another."]
        assert told["tiles"][0]["name"] == "S12"  # what it was made from is left alone

    def test_anonymous_keeps_what_the_result_needs(self):
        told = provenance()
        anonymous = anonymised(told)
        assert anonymous["tiles"][0]["sha256"] == told["tiles"][0]["sha256"]
        assert anonymous["settings"] == told["settings"]
