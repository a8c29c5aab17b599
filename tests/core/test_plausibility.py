"""What is judged without labels: thresholds and masks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, gaussian_filter

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.evidence import Stain, nuclear_evidence
from napari_selfseg.core.metrics import dice
from napari_selfseg.core.plausibility import (
    plausibility,
    suggested_label_settings,
    suggested_threshold,
)
from napari_selfseg.core.threshold import threshold_confidence


@pytest.fixture(scope="module")
def drawn():
    rgb, labels = drawn_he_tile(256, 256, n_nuclei=30, seed=3)
    return rgb.astype(np.float32) / 255, labels


@pytest.mark.parametrize("exponent", [0.3, 1, 4])
def test_the_suggested_threshold_follows_the_map(drawn, exponent):
    """Whatever a map's values, the mask at its threshold is close to the nuclei."""
    pixels, labels = drawn
    confidence = gaussian_filter((labels > 0).astype(np.float32), 2) ** exponent
    threshold = suggested_threshold(confidence, pixels)
    assert dice(confidence > threshold, labels) > 0.9
    if exponent != 1:
        assert dice(confidence > 0.5, labels) < dice(confidence > threshold, labels)


def test_nothing_to_explain_gives_one_half(drawn):
    pixels, labels = drawn
    assert suggested_threshold(np.full(labels.shape, 0.3, np.float32), pixels) == 0.5
    assert suggested_threshold((labels > 0).astype(np.float32), np.full_like(pixels, 0.8)) == 0.5


def test_better_masks_are_more_plausible(drawn):
    pixels, labels = drawn
    good = labels > 0
    fat = binary_dilation(good, iterations=6)
    shifted = np.roll(good, 25, axis=1)
    scores = [plausibility(mask.astype(np.uint8), pixels) for mask in (good, fat, shifted, ~good)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.6
    assert scores[3] < 0


def test_empty_full_and_grey_are_defined(drawn):
    pixels, labels = drawn
    assert plausibility(np.zeros_like(labels), pixels) == 0
    assert plausibility(np.ones_like(labels), pixels) == 0
    grey = pixels.mean(axis=2, keepdims=True)
    assert plausibility((labels > 0).astype(np.uint8), grey) > 0.3


@pytest.mark.parametrize("um_per_px", [None, 0.25, 1.0, 0.001])
def test_suggested_settings_are_valid_at_any_scale(drawn, um_per_px):
    pixels, labels = drawn
    settings = suggested_label_settings((labels > 0).astype(np.float32), pixels, um_per_px)
    assert type(settings)(**settings.model_dump()) == settings
    if um_per_px == 1.0:
        assert settings.smoothing < 0.5


def test_a_stain_gives_what_its_pixels_give_and_is_computed_once(drawn, monkeypatch):
    pixels, labels = drawn
    stain = Stain(pixels)
    confidence = gaussian_filter((labels > 0).astype(np.float32), 2)
    told = [
        (
            plausibility(labels, source),
            suggested_threshold(confidence, source),
            threshold_confidence(source).confidence.tobytes(),
            nuclear_evidence(source)[0].tobytes(),
        )
        for source in (pixels, stain)
    ]
    assert told[0] == told[1]
    monkeypatch.setattr("napari_selfseg.core.images.stain.nuclear_cue", None)
    monkeypatch.setattr("napari_selfseg.core.images.stain.stain_hue", None)
    assert plausibility(labels, stain) == told[0][0]
    assert Stain.of(stain) is stain


def test_evidence_is_hue_and_so_many_times_the_amount(drawn):
    stain = Stain(drawn[0])
    standardised = [(v - v.mean()) / v.std() for v in (stain.amount, stain.hue)]
    for weight in (0, 1, 3):
        expected = weight * standardised[0] + standardised[1]
        assert np.allclose(stain.weighted_evidence(weight), expected, atol=1e-4)
    grey = Stain(drawn[0].mean(axis=2, keepdims=True))
    assert grey.hue is None
    assert np.allclose(grey.evidence.std(), 1, atol=1e-4)
