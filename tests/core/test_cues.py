"""Cues of drawn tiles; which one is taken; what sharpening does to an outline."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_selfseg.core.cues import Cue, clearest_cue, cues_of
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.evidence import Stain
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.metrics import dice
from napari_selfseg.core.shapes import shapes_of
from napari_selfseg.core.sharpening import sharpened, sharpened_consensus

RGB, TRUTH = drawn_he_tile(256, 256, n_nuclei=50, seed=3)
PIXELS = RGB.astype(np.float32) / 255


def test_every_cue_of_a_stained_tile_finds_its_nuclei():
    cues = list(cues_of(Stain(PIXELS), 0.25))
    assert len({cue.name for cue in cues}) == len(cues) == 8
    for cue in cues:
        assert cue.margin.dtype == np.float32
        assert np.abs(cue.margin).max() <= 2
        assert dice(cue.margin > 0, TRUTH) > 0.6, cue.name


def test_the_clearest_cue_has_the_roundest_objects():
    stain, settings = Stain(PIXELS), LabelSettings.for_scale(0.25)

    def fit(cue):
        return shapes_of(label_image(cue.confidence(), settings)).mean_fit

    taken = clearest_cue(stain, 0.25)
    assert fit(taken) == max(fit(cue) for cue in cues_of(stain, 0.25))


def test_uneven_staining_does_not_mislead():
    """A shade over half of the tile: cues without background removal find the shade."""
    shade = np.where(np.arange(256) < 128, 1.0, 0.45).astype(np.float32)
    shaded = PIXELS * gaussian_filter(shade, 20)[None, :, None]
    by_name = {cue.name: cue for cue in cues_of(Stain(shaded), 0.25)}
    plain = dice(by_name["haematoxylin"].margin > 0, TRUTH)
    removed = dice(by_name["haematoxylin, background removed"].margin > 0, TRUTH)
    assert removed > plain + 0.05


@pytest.mark.parametrize(
    "pixels",
    [PIXELS.mean(axis=2, keepdims=True), 0.8 * (1 - PIXELS.mean(axis=2, keepdims=True)) ** 2],
    ids=["grey", "dark field"],
)
def test_without_hue_there_are_two_cues(pixels):
    cues = list(cues_of(Stain(pixels.astype(np.float32)), None))
    assert len(cues) == 2
    assert max(dice(cue.margin > 0, TRUTH) for cue in cues) > 0.6


def test_a_uniform_tile_has_no_objects():
    cue = clearest_cue(Stain(np.full((64, 64, 3), 0.8, np.float32)), 0.25)
    assert not label_image(cue.confidence()).any()


def test_confidence_is_one_half_at_the_threshold():
    confidence = Cue("x", np.array([[-2, 0, 2]], np.float32)).confidence()
    assert confidence[0, 1] == pytest.approx(0.5)
    assert confidence[0, 0] < 0.001 < 0.999 < confidence[0, 2]


class TestSharpening:
    def test_blurred_outlines_come_back(self):
        blurred = gaussian_filter((TRUTH > 0).astype(np.float32), 5)
        sharp = sharpened(blurred, Stain(PIXELS), 0.25)
        assert sharp.dtype == np.float32
        assert sharp.min() >= 0
        assert sharp.max() <= 1
        assert dice(sharp > 0.5, TRUTH) > dice(blurred > 0.5, TRUTH) + 0.03

    def test_what_is_surely_no_object_stays_none(self):
        """Dark spots that the network denies do not come in through the stain."""
        denied = np.full(TRUTH.shape, 1e-4, np.float32)
        assert (sharpened(denied, Stain(PIXELS), 0.25) < 0.5).all()

    def test_more_confidence_never_becomes_less(self):
        low = np.random.default_rng(0).random(TRUTH.shape).astype(np.float32)
        stain = Stain(PIXELS)
        assert (
            sharpened(np.minimum(low + 0.1, 1), stain, 0.25) >= sharpened(low, stain, 0.25) - 1e-6
        ).all()

    def test_starts_that_know_where_but_not_how_far_get_edges(self):
        """Their map is blurred, faint, and never above one half."""
        blurred = 0.2 + 0.2 * gaussian_filter((TRUTH > 0).astype(np.float32), 5)
        best = max(dice(blurred > t, TRUTH) for t in np.linspace(0.2, 0.4, 21))
        sharp = sharpened_consensus(blurred, Stain(PIXELS), 0.25)
        assert dice(sharp > 0.5, TRUTH) > best + 0.02

    @pytest.mark.parametrize("shift", [-2.0, 1.5])
    def test_what_starts_call_one_half_means_nothing(self, shift):
        logit = 2 * gaussian_filter((TRUTH > 0).astype(np.float32), 2) - 1
        stain = Stain(PIXELS)
        one, other = (
            sharpened_consensus(1 / (1 + np.exp(-of)), stain, 0.25) for of in (logit, logit + shift)
        )
        assert np.abs(one - other).mean() < 0.02

    def test_starts_that_say_nothing_leave_it_to_the_stain(self):
        nothing = np.full(TRUTH.shape, 0.3, np.float32)
        stain = Stain(PIXELS)
        sharp = sharpened_consensus(nothing, stain, 0.25)
        evidence = np.log(sharp / (1 - sharp))
        margin = clearest_cue(stain, 0.25).margin
        assert np.corrcoef(evidence.ravel(), margin.ravel())[0, 1] > 0.95
