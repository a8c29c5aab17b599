"""Refinement on a drawn tile: the pupils learn, follow a seed, can be stopped, survive faults."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.core.learning.small_training import learned, patch_contrast_with, same, state_of, told
from torch.nn.functional import binary_cross_entropy_with_logits

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning import refinement
from napari_selfseg.core.learning.refinement import (
    LessonCrops,
    LessonObjective,
    one_cycle,
    refine,
    shrinking,
)
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods.patch_contrast import PatchContrast
from napari_selfseg.core.metrics import dice
from napari_selfseg.core.prediction import predict

torch.set_num_threads(1)
RGB, TRUTH = drawn_he_tile(200, 220, n_nuclei=40, seed=2)
TILE = Tile(RGB, 255, 0.25)


def settings_of(steps=4, **changes):
    return patch_contrast_with(starts=2, refinement_steps=steps, **changes)


def begun(settings, tiles=(TILE,)):
    data = TrainingData(tiles)
    return PatchContrast().build_model(settings, data.n_channels), data


def test_the_pupils_learn_the_nuclei_whatever_the_consensus_says():
    settings = settings_of(40)
    network, data = begun(settings)
    torch.set_num_threads(2)
    steps = list(refine(network, data, settings))
    torch.set_num_threads(1)
    assert network.object_map == (0, False)
    drawn = predict(network, TILE)[0] > 0.5
    assert dice(drawn, TRUTH) > 0.75
    agreements = [step.measures["agreement"] for step in steps]
    assert agreements[-1] > agreements[0] + 0.2
    depth = predict(network, TILE)[-1].astype(np.float32)
    assert depth[TRUTH > 0].mean() > depth[TRUTH == 0].mean() + 0.1


def test_steps_go_on_counting_and_tell_when_the_map_is_another_one(monkeypatch):
    monkeypatch.setattr(refinement, "LEAST_BETWEEN", 0)
    settings = settings_of(5)
    network, data = begun(settings)
    steps = list(refine(network, data, settings))
    first = settings.steps_of_starts + 1
    assert [step.step for step in steps] == list(range(first, first + 5))
    assert {step.n_steps for step in steps} == {settings.total_steps}
    assert all(step.phase == "refinement" and step.exploring for step in steps)
    assert [step.renewed for step in steps] == [False, True, True, True, True]


def test_a_short_refinement_draws_its_map_only_in_the_end():
    settings = settings_of(5)
    network, data = begun(settings)
    assert [step.renewed for step in refine(network, data, settings)] == [False] * 4 + [True]


def test_the_same_seed_gives_the_same_pupils_and_another_does_not():
    states = []
    for seed in (0, 0, 1):
        settings = settings_of(2, seed=seed)
        network, data = begun(settings)
        network.first = begun(settings_of(2))[0].first  # the starts are not what is asked
        list(refine(network, data, settings))
        states.append(state_of(network.pupils))
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_a_stop_before_anything_was_learned_leaves_the_consensus():
    settings = settings_of(6)
    network, data = begun(settings)
    for step in refine(network, data, settings, lambda: True):
        raise AssertionError(step)
    assert network.object_map is None


def test_whoever_stops_at_any_step_has_a_usable_network():
    settings = settings_of(5)
    network, data = begun(settings)
    for _ in refine(network, data, settings):
        maps = predict(network, TILE)
        assert np.isfinite(maps.astype(np.float32)).all()
        network.train()


def test_a_network_that_is_shown_knows_how_far_its_own_tiles_are():
    """Else whoever stops early would have a network that mistrusts what it has learned."""
    settings = settings_of(5)
    network, data = begun(settings)
    for step in refine(network, data, settings):
        assert (float(network.usual_distance) > 0) == (network.object_map is not None), step


def test_an_unstable_refinement_leaves_the_consensus(monkeypatch):
    settings = settings_of(4)
    network, data = begun(settings)

    def broken(self, images, output, generator):
        return learned(output.sum() * float("nan"))

    monkeypatch.setattr(LessonObjective, "__call__", broken)
    *_, last = refine(network, data, settings)
    assert "unstable" in last.note
    assert settings.steps_of_starts <= last.step < settings.total_steps
    assert network.object_map is None


class TestCrops:
    def crops(self, n_tiles=3, **changes):
        settings = settings_of(**changes)
        tiles = [TILE] * n_tiles
        made = []

        def make(tile):
            made.append(tile)
            return refinement.lesson_of(
                tile.read(), refinement.clearest_cue(refinement.Stain(tile.read()), 0.25), 0.25, 2
            )

        return LessonCrops(TrainingData(tiles), make, settings), made

    def test_lessons_are_made_one_by_one(self):
        crops, made = self.crops()
        rng = np.random.default_rng(0)
        for expected in (1, 2, 3, 3):
            crops.draw(rng, 2, 64)
            assert len(made) == expected

    @pytest.mark.parametrize("scale_jitter", [0.0, 0.4])
    def test_image_and_what_is_taught_stay_together(self, scale_jitter):
        crops, _ = self.crops(1, scale_jitter=scale_jitter, stain_jitter=0.0)
        drawn = crops.draw(np.random.default_rng(0), 12, 64)
        assert drawn.shape == (12, 6, 64, 64)
        image, objects, weight, depth = drawn[:, :3], drawn[:, 3], drawn[:, 4], drawn[:, 5]
        assert set(objects.unique().tolist()) <= {0.0, 1.0}
        assert set(weight.unique().tolist()) <= {0.0, 1.0}
        known = weight > 0
        dark = 1 - image[:, 0]  # nuclei absorb red
        inside, outside = dark[known & (objects > 0)].mean(), dark[known & (objects == 0)].mean()
        assert inside > outside + 0.15
        assert not depth[(objects == 0) & known].gt(0.6).any()

    def test_crops_shrink_to_what_a_small_tile_has(self):
        small = Tile(RGB[:60, :80], 255, 0.25)
        crops = LessonCrops(TrainingData([TILE, small]), None, settings_of())
        assert crops.crop_side(128) == 30


class TestObjective:
    def test_is_cross_entropy_and_dice_where_something_is_taught(self):
        generator = torch.Generator().manual_seed(0)
        crops = torch.rand(2, 6, 8, 8, generator=generator)
        crops[:, 3:5] = (crops[:, 3:5] > 0.5).float()
        output = torch.randn(2, 3, 2, 8, 8, generator=generator)
        loss, measures = told(LessonObjective()(crops, output, generator))
        each = [self.slowly(crops, output[:, network]) for network in range(3)]
        assert float(loss) == pytest.approx(sum(one for one, _ in each))
        assert measures["agreement"] == pytest.approx(sum(soft for _, soft in each) / 3)
        assert measures["loss"] == pytest.approx(float(loss) / 3)

    @staticmethod
    def slowly(crops, output):
        """Return the loss and the soft Dice of one network, pixel by pixel."""
        found = wanted = both = entropy = depth = taught = 0.0
        for b in range(2):
            for r in range(8):
                for c in range(8):
                    if not crops[b, 4, r, c]:
                        continue
                    taught += 1
                    p, target = torch.sigmoid(output[b, 0, r, c]), crops[b, 3, r, c]
                    found, wanted, both = found + p, wanted + target, both + p * target
                    entropy -= target * p.log() + (1 - target) * (1 - p).log()
                    depth += binary_cross_entropy_with_logits(output[b, 1, r, c], crops[b, 5, r, c])
        soft = (2 * both + 1) / (found + wanted + 1)
        return float(entropy / taught + 1 - soft + depth / taught), float(soft)

    def test_what_is_left_open_changes_nothing(self):
        crops = torch.rand(1, 6, 8, 8, generator=torch.Generator().manual_seed(1))
        crops[:, 4] = 0
        crops[:, 4, :4] = 1
        output = torch.randn(1, 2, 2, 8, 8, requires_grad=True)
        LessonObjective()(crops, output, torch.Generator()).value.backward()
        assert not output.grad[..., 4:, :].any()
        assert output.grad[..., :4, :].all()

    def test_nothing_taught_skips_the_step(self):
        crops = torch.zeros(1, 6, 8, 8)
        output = torch.randn(1, 2, 2, 8, 8, requires_grad=True)
        step_loss = LessonObjective()(crops, output, torch.Generator())
        assert told(step_loss) == (None, {})
        step_loss.value.backward()
        assert not output.grad.any()


@given(progress=st.floats(0, 1))
def test_the_rate_rises_and_falls_between_nothing_and_one(progress):
    assert 0 <= one_cycle(progress) <= 1
    assert one_cycle(refinement.WARM_UP) == pytest.approx(1)
    assert one_cycle(0) == pytest.approx(refinement.LOWEST_RATE)
    assert one_cycle(1) == pytest.approx(0)


@pytest.mark.parametrize(
    ("um_per_px", "times"), [(0.25, 2), (0.5, 1), (0.1, 5), (1.0, 1), (None, 2), (0.001, 16)]
)
def test_every_scale_is_looked_at_at_about_half_a_micron(um_per_px, times):
    assert shrinking(um_per_px) == times
