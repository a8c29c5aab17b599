"""A run is used at the scale it was trained at, and its choice of map is not made again."""

import numpy as np
import pytest
import torch

from napari_selfseg.core import segmentation
from napari_selfseg.core.channels import ChannelChoice, confidence_of
from napari_selfseg.core.checkpoint import TrainedModel
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.evidence import Stain
from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.core.instances import LabelSettings
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.core.metrics import dice
from napari_selfseg.core.networks.consensus import Consensus
from napari_selfseg.core.prediction import PredictionStopped
from napari_selfseg.core.segmentation import (
    at_scale,
    label_settings_at,
    needs_rescaling,
    prediction_of_tile,
    segment_tile,
)
from napari_selfseg.core.sharpening import sharpened_consensus

NORMAL = ChannelChoice(0, False, 1.0, "guess", (1.0, 0.5))
INVERTED = ChannelChoice(1, True, 1.0, "guess", (1.0, -0.5))


def confidence_of_tile(trained, choice, seen):
    return confidence_of(prediction_of_tile(trained, seen).maps, choice)


class Darkness(torch.nn.Module):
    """Two maps: how dark a pixel's surroundings of 9 px are, and the opposite of it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((1, 3, 9, 9), 1 / 243))
        self.seen = []

    def forward(self, x):
        self.seen.append(tuple(x.shape[2:]))
        bright = torch.nn.functional.conv2d(x, self.weight, padding=4)
        return torch.cat([1 - bright, bright], dim=1).clamp(0, 1)


@pytest.fixture
def trained():
    return TrainedModel(Darkness(), "patch-contrast", PatchContrastSettings(), 0.5, 3)


def tile(um_per_px, rows=120, columns=150):
    pixels, _ = drawn_he_tile(rows, columns, n_nuclei=20, um_per_px=um_per_px or 0.5)
    return Tile(pixels, 255, um_per_px)


@pytest.mark.parametrize(
    ("um_per_px", "rescaled"),
    [(0.5, False), (0.53, False), (0.47, False), (0.25, True), (1.0, True), (None, False)],
)
def test_only_a_known_and_different_scale_is_rescaled(trained, um_per_px, rescaled):
    assert needs_rescaling(trained, tile(um_per_px)) is rescaled


def test_a_model_of_unknown_scale_rescales_nothing(trained):
    model = TrainedModel(trained.network, "patch-contrast", trained.settings, None, 3)
    assert not needs_rescaling(model, tile(0.25))


@pytest.mark.parametrize(
    ("um_per_px", "seen"), [(0.25, (60, 75)), (1.0, (240, 300)), (0.5, (120, 150))]
)
def test_the_network_sees_the_scale_it_knows_and_the_maps_come_back(trained, um_per_px, seen):
    labels, confidence = segment_tile(trained, NORMAL, tile(um_per_px), LabelSettings())
    assert set(trained.network.seen) == {seen}
    assert labels.shape == confidence.shape == (120, 150)
    assert confidence.dtype == np.float32
    assert 0 <= confidence.min() <= confidence.max() <= 1


def test_a_rescaled_tile_gives_its_objects_at_their_places(trained):
    """The same field, scanned twice as finely, must give the same objects."""
    coarse = tile(0.5)
    fine = Tile(coarse.pixels.repeat(2, axis=0).repeat(2, axis=1), 255, 0.25)
    plain = confidence_of_tile(trained, NORMAL, coarse)
    back = confidence_of_tile(trained, NORMAL, fine)
    level = float(np.median(plain)) + 0.1
    assert 0.02 < (plain > level).mean() < 0.6
    assert dice(back[::2, ::2] > level, plain > level) > 0.9


def test_map_and_polarity_are_those_of_the_choice(trained):
    normal = confidence_of_tile(trained, NORMAL, tile(0.5))
    inverted = confidence_of_tile(trained, INVERTED, tile(0.5))
    other = ChannelChoice(1, False, 1.0, "user", ())
    np.testing.assert_allclose(normal, inverted, atol=2e-3)  # maps are kept as float16
    assert np.abs(normal - confidence_of_tile(trained, other, tile(0.5))).max() > 0.1


def test_without_label_settings_the_suggestion_for_the_tile_is_taken(trained):
    labels, _ = segment_tile(trained, NORMAL, tile(0.5))
    assert labels.max() > 0


@pytest.mark.parametrize(
    ("n_channels", "words"), [(1, "from colour images, but T is a grey image")]
)
def test_grey_and_colour_do_not_mix(trained, n_channels, words):
    grey = Tile(np.zeros((50, 50, n_channels), np.uint8), 255, name="T")
    with pytest.raises(TileError, match=words):
        segment_tile(trained, NORMAL, grey)


def test_it_can_be_stopped(trained):
    with pytest.raises(PredictionStopped):
        segment_tile(trained, NORMAL, tile(0.5), should_stop=lambda: True)


def test_a_full_graphics_card_means_smaller_pieces(trained):
    forward = trained.network.forward

    def full(x):
        if max(x.shape[2:]) > 170:
            raise torch.OutOfMemoryError
        return forward(x)

    trained.network.forward = full
    tall = tile(0.5, rows=300, columns=100)
    confidence = confidence_of_tile(trained, NORMAL, tall)
    assert confidence.shape == (300, 100)
    assert max(rows for rows, _ in trained.network.seen) <= 170


def test_shrinking_smooths_before_it_samples():
    """A fine chequerboard is grey from afar, not a pattern of its own."""
    board = np.indices((64, 64)).sum(axis=0) % 2 * np.uint8(255)
    fine = Tile(board[..., np.newaxis], 255, 0.1)
    coarse = at_scale(fine, 0.4)
    assert coarse.shape == (16, 16)
    assert np.abs(coarse.read()[2:-2, 2:-2] - 0.5).max() < 0.1
    assert coarse.um_per_px == 0.4
    assert "0.4 instead of 0.1 µm/px" in coarse.notes[-1]


class TestLabelSettings:
    def test_every_setting_in_px_is_converted(self):
        for name, field in LabelSettings.model_fields.items():
            if "(px)" not in field.title:
                continue
            settings = LabelSettings(**{name: 8})
            finer = label_settings_at(settings, 0.5, 0.25)
            factor = 4 if name in ("min_area", "max_hole") else 2
            assert getattr(finer, name) == 8 * factor, name

    def test_what_is_no_length_stays(self):
        settings = LabelSettings(threshold=0.3, split=False, instances=False, morphology=False)
        finer = label_settings_at(settings, 0.5, 0.25)
        for name in ("threshold", "split", "instances", "morphology"):
            assert getattr(finer, name) == getattr(settings, name)

    @pytest.mark.parametrize(("a", "b"), [(None, 0.25), (0.25, None), (0.25, 0.25)])
    def test_an_unknown_or_equal_scale_changes_nothing(self, a, b):
        settings = LabelSettings(min_area=77, smoothing=1.5)
        assert label_settings_at(settings, a, b) == settings

    @pytest.mark.parametrize("to", [1e-4, 1e4])
    def test_values_stay_in_their_range(self, to):
        settings = LabelSettings(min_area=77, smoothing=1.5)
        LabelSettings(**label_settings_at(settings, 0.25, to).model_dump())


@pytest.mark.parametrize("inverted", [False, True])
def test_the_edges_of_the_object_come_from_the_stain_if_the_settings_say_so(inverted):
    network = Consensus(1).eval()
    network.channels[0], network.inverted[0] = 2, inverted
    seen = tile(0.5)

    def maps_of(stain_edges):
        settings = PatchContrastSettings(starts=2, committee=1, stain_edges=stain_edges)
        model = TrainedModel(network, "patch-contrast", settings, 0.5, 3)
        return prediction_of_tile(model, seen).maps.astype(np.float32)

    plain, sharp = maps_of(False), maps_of(True)
    assert np.array_equal(np.delete(plain, 2, 0), np.delete(sharp, 2, 0))
    objects = 1 - plain[2] if inverted else plain[2]
    wanted = sharpened_consensus(objects, Stain(seen.read()), 0.5)
    found = 1 - sharp[2] if inverted else sharp[2]
    assert np.abs(found - wanted).max() < 2e-3
    assert np.abs(found - objects).max() > 0.2


def test_of_a_tile_too_large_for_it_the_stain_is_not_even_read(monkeypatch):
    seen = tile(0.5)
    monkeypatch.setattr(segmentation, "LARGEST_SHARPENED", seen.shape[0] * seen.shape[1] - 1)
    monkeypatch.setattr(segmentation, "stain_of", lambda _: pytest.fail("it was read"))
    settings = PatchContrastSettings(starts=2, stain_edges=True)
    model = TrainedModel(Consensus(1).eval(), "patch-contrast", settings, 0.5, 3)
    assert prediction_of_tile(model, seen).maps.shape == (4, *seen.shape)
