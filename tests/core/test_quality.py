"""The expected quality falls when a result gets worse, and is honest where there is none."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.instances import label_image
from napari_selfseg.core.quality import CALIBRATION, MEAN_DICE, expected_quality, measures_of

_, TRUTH = drawn_he_tile(200, 200, n_nuclei=30, seed=1)
SHARP = np.clip(gaussian_filter((TRUTH > 0).astype(np.float32), 0.7), 0, 1)
NO_DOUBT = np.zeros(TRUTH.shape, np.float16)


def test_an_undecided_map_is_expected_to_be_worse():
    blurred = gaussian_filter(SHARP, 4)
    good = expected_quality(label_image(SHARP), SHARP, NO_DOUBT)
    bad = expected_quality(label_image(blurred), blurred, NO_DOUBT)
    assert bad.expected_dice < good.expected_dice - 0.02


def test_ragged_objects_are_expected_to_be_worse():
    holes = np.random.default_rng(0).random(SHARP.shape) < 0.3
    ragged = np.where(gaussian_filter(holes.astype(float), 2) > 0.3, 0, TRUTH)
    good = expected_quality(TRUTH, SHARP, NO_DOUBT)
    assert expected_quality(ragged, SHARP, NO_DOUBT).expected_dice < good.expected_dice


def test_measures_by_hand():
    labels = np.array([[0, 1, 1], [0, 1, 1]])
    confidence = np.array([[0.1, 0.9, 0.8], [0.0, 1.0, 0.7]])
    measures = measures_of(labels, confidence)
    assert measures["confidence inside"] == pytest.approx(3.4 / 4)
    assert measures["soft Dice"] == pytest.approx(2 * 3.4 / (3.5 + 4))
    assert set(measures) == set(CALIBRATION)


def test_agreement_is_what_doubt_leaves_inside_the_objects():
    doubt = np.where(TRUTH > 0, 0.25, 1.0)
    assert expected_quality(TRUTH, SHARP, doubt).agreement == pytest.approx(0.75)


def test_the_mean_of_the_training_tiles_gives_their_mean_dice(monkeypatch):
    means = {name: mean for name, (mean, _, _) in CALIBRATION.items()}
    monkeypatch.setattr("napari_selfseg.core.quality.measures_of", lambda *_: means)
    quality = expected_quality(TRUTH, SHARP, NO_DOUBT)
    assert quality.expected_dice == pytest.approx(MEAN_DICE)
    assert quality.sentence() == "Expected Dice 0.78 ± 0.05 (an estimate), agreement 1.00."


def test_without_objects_nothing_is_expected():
    assert expected_quality(TRUTH * 0, SHARP, NO_DOUBT) is None


def test_never_beyond_nothing_and_perfect():
    absurd = np.full(TRUTH.shape, 1e-6, np.float32)
    assert expected_quality(TRUTH, absurd, NO_DOUBT).expected_dice == 0
