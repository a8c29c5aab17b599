"""A stored run comes back on its own tile; on another one its model is used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.core.maps import Prediction
from napari_selfseg.session.reopened import is_tile_of, name_of_tile, result_of
from napari_selfseg.session.store import StoredRun

RGB, TRUTH = drawn_he_tile(96, 112, n_nuclei=14, seed=2)
TILE = Tile(RGB, 255.0, um_per_px=0.25, name="mine")
OTHER = Tile(RGB[::-1].copy(), 255.0, um_per_px=0.25, name="other")


class Model:
    """What `result_of` asks of a trained model before it predicts."""

    n_channels = 3
    image_space = "rgb"


@pytest.fixture
def stored():
    nuclei = (TRUTH > 0).astype(np.float16)
    return StoredRun(
        model=Model(),
        curves=(),
        provenance={
            "tiles": [{"name": "mine", "sha256": TILE.sha256(), "um_per_px": 0.25}],
            "stopped_by": "plateau",
            "best_step": 40,
            "seconds": 12.5,
        },
        choice=ChannelChoice(1, True, 0.8, "guess", (0.1, -0.8)),
        prediction=Prediction(np.stack([nuclei * 0, 1 - nuclei])),
        labels=None,
        label_settings=None,
    )


def test_the_own_tile_gets_what_was_stored(stored):
    result = result_of(stored, TILE)
    assert result.prediction is stored.prediction
    assert result.choice == stored.choice
    assert (result.stopped_by, result.best_step, result.seconds) == ("plateau", 40, 12.5)
    assert result.provenance is stored.provenance
    assert result.recommended == "learned"  # the stored map is the truth
    assert np.array_equal(result.confidence() > 0.5, TRUTH > 0)


def test_a_tile_is_known_by_its_pixels_not_by_its_name(stored):
    assert is_tile_of(stored, TILE)
    assert is_tile_of(stored, replace(TILE, name="renamed"))
    assert not is_tile_of(stored, replace(OTHER, name="mine"))
    assert not is_tile_of(stored, TILE.crop(slice(0, 50), slice(0, 50)))
    assert name_of_tile(stored) == "mine"


def test_another_tile_gets_what_the_model_finds_in_it(stored, monkeypatch):
    seen = []

    def predict(network, tile, image_space, should_stop=None):
        seen.append((network, tile, image_space))
        return np.full((2, *tile.shape), 0.25, np.float16)

    stored.model.network, stored.model.um_per_px = "network", None
    monkeypatch.setattr("napari_selfseg.core.segmentation.predict_within_memory", predict)
    result = result_of(stored, OTHER)
    assert seen == [("network", OTHER, "rgb")]
    assert result.tile is OTHER
    assert "made on mine" in result.stopped_because
    assert "used on other" in result.stopped_because
    assert result.recommended == "threshold"  # a flat map finds nothing


def test_a_grey_tile_for_a_colour_model_is_one_sentence(stored):
    grey = Tile(RGB[..., :1], 255.0, name="grey one")
    with pytest.raises(TileError, match="learned from colour images, but grey one is a grey"):
        result_of(stored, grey)


def test_another_scale_is_seen_at_the_scale_of_the_model(stored, monkeypatch):
    seen = []

    def predict(network, tile, image_space, should_stop=None):
        seen.append(tile.shape)
        return np.full((2, *tile.shape), 0.25, np.float16)

    stored.model.network, stored.model.um_per_px = "network", 0.25
    monkeypatch.setattr("napari_selfseg.core.segmentation.predict_within_memory", predict)
    coarse = replace(OTHER, um_per_px=0.5)
    result = result_of(stored, coarse)
    assert seen == [tuple(2 * side for side in coarse.shape)]
    assert result.maps.shape == (2, *coarse.shape)


@pytest.mark.parametrize("told", [None, "x", float("nan"), [1]])
def test_numbers_that_were_changed_in_the_file_are_0(stored, told):
    damaged = replace(stored, provenance={**stored.provenance, "best_step": told, "seconds": told})
    result = result_of(damaged, TILE)
    assert (result.best_step, result.seconds) == (0, 0.0)


def test_a_provenance_with_nothing_in_it_is_borne(stored):
    bare = replace(stored, provenance={})
    assert not is_tile_of(bare, TILE)
    assert name_of_tile(bare) == "an unknown tile"
