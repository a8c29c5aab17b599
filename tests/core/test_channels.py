import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_selfseg.core.channels import (
    LEAST_SHARE,
    MAP_SIGMA,
    ChannelChoice,
    choose_by_click,
    choose_channel,
    confidence_of,
    mask_agreement,
)


@pytest.fixture
def scene():
    """Return the mask of four nuclei and a cue that shows them, noisily."""
    rows, columns = np.indices((60, 70))
    mask = np.zeros((60, 70), bool)
    for row, column in [(12, 15), (14, 50), (45, 20), (44, 55)]:
        mask |= (rows - row) ** 2 + (columns - column) ** 2 <= 49
    noise = np.random.default_rng(0).normal(0, 0.3, mask.shape)
    return mask, (mask + noise).astype(np.float32)


def flat_maps(shape=(60, 70), k=4):
    return np.random.default_rng(1).uniform(0.4, 0.6, (k, *shape)).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("channel", [0, 3])
@pytest.mark.parametrize("inverted", [False, True])
def test_the_map_that_shows_the_stain_is_chosen_in_its_polarity(scene, dtype, channel, inverted):
    mask, cue = scene
    maps = flat_maps()
    maps[channel] += 0.3 * (0.5 - mask if inverted else mask - 0.5)
    choice = choose_channel(maps.astype(dtype), cue)
    assert (choice.channel, choice.inverted, choice.how) == (channel, inverted, "guess")
    assert len(choice.correlations) == 4
    assert choice.score == pytest.approx(abs(choice.correlations[channel]))
    assert (choice.correlations[channel] < 0) == inverted
    confidence = confidence_of(maps.astype(dtype), choice)
    assert confidence.dtype == np.float32
    assert confidence[mask].mean() > confidence[~mask].mean() + 0.2


def test_the_agreement_is_that_of_the_best_mask(scene):
    mask, cue = scene
    maps = flat_maps(k=2)
    maps[1] -= 0.3 * mask
    smooth = gaussian_filter(maps, (0, MAP_SIGMA, MAP_SIGMA))
    agreement = mask_agreement(maps, cue)
    masks = [smooth[1] > t for t in np.linspace(0, 1, 400)]
    signed = [
        np.corrcoef(m.ravel(), cue.ravel())[0, 1]
        for m in masks
        if LEAST_SHARE < m.mean() < 1 - LEAST_SHARE
    ]
    assert agreement[1] == pytest.approx(min(signed), abs=0.01)
    assert agreement[1] < -0.5
    assert abs(agreement[0]) < 0.1, "noise agrees with nothing"


def test_a_blurred_map_of_the_right_place_is_worth_less_than_a_sharp_one(scene):
    mask, cue = scene
    sharp = 0.5 + 0.2 * mask
    blurred = gaussian_filter(mask.astype(float), 6)
    choice = choose_channel(np.stack([blurred, sharp]), cue)
    assert choice.channel == 1


def test_a_clear_inverted_map_beats_a_weak_upright_one(scene):
    mask, cue = scene
    maps = np.stack([0.5 + 0.02 * mask, 0.9 - 0.8 * mask])
    maps[0] += np.random.default_rng(2).normal(0, 0.05, mask.shape)
    choice = choose_channel(maps, cue)
    assert (choice.channel, choice.inverted) == (1, True)


def test_maps_that_say_nothing_score_zero(scene):
    mask, cue = scene
    maps = np.stack([np.full(mask.shape, 0.3), np.where(mask, 0.6, 0.5), np.zeros(mask.shape)])
    broken = maps.copy()
    broken[0, 3, 3] = np.nan
    for some in (maps, broken):
        choice = choose_channel(some.astype(np.float32), cue)
        assert choice.channel == 1
        assert choice.correlations[0] == choice.correlations[2] == 0
    nothing = choose_channel(np.zeros((2, *mask.shape)), cue)
    assert (nothing.channel, nothing.inverted, nothing.score) == (0, False, 0)
    assert choose_channel(maps, np.ones(mask.shape)).score == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("inverted", [False, True])
def test_one_click_on_a_nucleus_chooses_map_and_polarity(scene, dtype, inverted):
    mask, _ = scene
    maps = flat_maps()
    maps[1] = 0.9  # sure everywhere: no object
    maps[2] = 0.1 + 0.7 * mask
    if inverted:
        maps[2] = 1 - maps[2]
    choice = choose_by_click(maps.astype(dtype), 45.4, 19.7)
    assert (choice.channel, choice.inverted, choice.how) == (2, inverted, "one click")
    assert choice.score == pytest.approx(0.7, abs=0.01)
    assert abs(choice.correlations[1]) < 0.01


def test_a_click_chooses_what_was_clicked_not_what_is_common(scene):
    mask, _ = scene
    other = np.zeros(mask.shape)
    other[25:34, 5:65] = 1  # another structure
    maps = np.stack([0.1 + 0.8 * other, 0.1 + 0.6 * mask])
    assert choose_by_click(maps, 12, 15).channel == 1
    assert choose_by_click(maps, 29, 40).channel == 0


def test_a_click_uses_a_disk_of_the_given_radius():
    maps = np.zeros((2, 40, 40))
    maps[0, 20, 20] = 1  # one bright pixel
    maps[1, 16:25, 16:25] = 0.8
    assert choose_by_click(maps, 20, 20).channel == 1
    assert choose_by_click(maps, 20, 20, radius=0.5).correlations[0] == pytest.approx(1 / 5)


def test_clicks_at_the_edge_work_and_outside_are_refused(scene):
    maps = flat_maps()
    maps[0, :5, :5] = 1
    assert choose_by_click(maps, -0.4, 0).channel == 0
    assert choose_by_click(maps, 59.4, 69.4).how == "one click"
    for row, column in [(-1, 5), (5, -1), (59.5, 5), (5, 70), (float("nan"), 5)]:
        with pytest.raises(ValueError, match="outside the tile"):
            choose_by_click(maps, row, column)


def test_shapes_have_to_belong_together(scene):
    _, cue = scene
    with pytest.raises(ValueError, match=r"60 × 70 px, but the stain has 70 × 60 px"):
        choose_channel(flat_maps(), cue.T)
    with pytest.raises(ValueError, match="shape"):
        choose_channel(flat_maps()[0], cue)
    with pytest.raises(ValueError, match="There is no map 5, only 4"):
        confidence_of(flat_maps(), ChannelChoice(4, False, 1.0, "user", ()))


def test_confidence_of_does_not_change_the_maps():
    maps = flat_maps()
    before = maps.copy()
    for inverted in (False, True):
        confidence = confidence_of(maps, ChannelChoice(1, inverted, 1.0, "user", ()))
        np.testing.assert_allclose(confidence, 1 - maps[1] if inverted else maps[1])
    np.testing.assert_array_equal(maps, before)


def test_another_map_is_taken_in_the_polarity_of_its_correlation():
    choice = ChannelChoice(0, False, 0.5, "guess", (0.5, -0.4))
    assert (choice.of_map(1).channel, choice.of_map(1).inverted) == (1, True)
    assert not choice.of_map(2).inverted  # of this one nothing was measured
