"""One step: nobody waits for the device, and what is skipped leaves everything as it was."""

import copy

import numpy as np
import pytest
import torch
from tests.core.learning.looks import Looks
from tests.core.learning.small_training import (
    Sequence,
    Small,
    learned,
    patch_contrast_with,
    random_tile,
    same,
    settings_with,
    state_of,
    towards_dark,
)
from torch import nn

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning.refinement import LessonObjective
from napari_selfseg.core.learning.sampling import SAMPLERS, draw_from
from napari_selfseg.core.learning.starts import EveryMember
from napari_selfseg.core.learning.step import OptimiserStep, lay_out_alike
from napari_selfseg.core.learning.training import training_loop
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods.patch_contrast import PatchContrast, PatchContrastObjective
from napari_selfseg.core.networks.confidence import ConfidenceNetwork
from napari_selfseg.core.networks.ensemble import Ensemble

CPU = torch.device("cpu")


def step_of(network, objective, rate=1e-2):
    trained = nn.ModuleList([network.train()])
    if isinstance(objective, nn.Module):
        trained.append(objective)
    step = OptimiserStep(trained, objective, CPU, 0, 1e-4, torch.tensor(0.0))
    step.rate.fill_(rate)
    return step


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def adam_of(step):
    return copy.deepcopy(step.optimiser.state_dict()["state"])


def numbers_of(step, values):
    return dict(zip(step.names, values.tolist(), strict=True))


class TestNobodyWaits:
    @pytest.mark.parametrize(
        "look",
        [
            torch.Tensor.item,
            bool,
            float,
            int,
            torch.Tensor.tolist,
            torch.Tensor.numpy,
            np.asarray,
            lambda number: rand(3)[number > 0.5],
            lambda number: "" if number > 0.5 else "no",
        ],
    )
    def test_who_would_is_caught(self, look):
        number = torch.tensor(1.0)
        with Looks() as looks:
            look(number)
        assert looks.seen

    @pytest.mark.parametrize("crops", [rand(3, 3, 40, 40), torch.full((3, 3, 40, 40), torch.nan)])
    @pytest.mark.parametrize("sampler", SAMPLERS)
    @pytest.mark.parametrize("similarity", ["mse", "cross-entropy", "featurised-cosine"])
    def test_in_a_step_of_method_0(self, similarity, sampler, crops):
        objective = PatchContrastObjective(18, 5, 3, SAMPLERS[sampler], similarity)
        network = ConfidenceNetwork(3, 2, n_members=2)
        step = step_of(network, EveryMember(objective, 2))
        with Looks() as looks:
            for _ in range(2):
                step(crops)
        assert looks.seen == []

    @pytest.mark.parametrize("taught", [0.0, 1.0])
    def test_in_a_step_of_the_refinement(self, taught):
        crops = rand(2, 6, 32, 32)
        crops[:, 4] = taught
        step = step_of(Ensemble(2), LessonObjective())
        with Looks() as looks:
            for _ in range(2):
                values = step(crops)
        assert looks.seen == []
        assert numbers_of(step, values)["skipped"] == (0 if taught else 2)

    def test_in_a_training_on_a_card_but_every_tenth_step(self, pretend_card):
        tile = Tile(drawn_he_tile(96, 96, n_nuclei=12, seed=1)[0], 255)
        settings = patch_contrast_with(n_steps=25)
        data = TrainingData([tile])
        model = PatchContrast().build_model(settings)
        objective = PatchContrast().build_objective(settings, data)
        loop = training_loop(model, objective, data, settings)
        next(loop)
        places = []
        with Looks() as looks:
            for step in loop:
                places += [step.step] * len(looks.seen)
                looks.seen.clear()
        assert places == [11, 21, 25]
        assert set(step.measures) > {"loss", "skipped"}

    def test_on_a_card_something_bad_is_noticed_at_the_tenth_step(self, pretend_card):
        def bad(images, output, generator):
            return learned(output.sum() * torch.nan, loss=torch.nan)

        model = Small()
        data = TrainingData([random_tile(64, 64)])
        settings = settings_with(n_steps=15)
        states, notes = [], []
        for step in training_loop(model, Sequence({4: bad}), data, settings):
            states.append(state_of(model))
            notes.append(step.note)
            assert ("loss" in step.measures) == (step.step != 4)
        assert same(states[2], states[3])  # weights and buffers: nothing bad ever gets into them
        assert ["unstable" in note for note in notes] == [n == 11 for n in range(1, 16)]
        start = state_of(Small())
        assert same(states[10], start)  # the only one that was known to be good


class TestLeftOut:
    """Steps from which nothing can be learned, and bad ones."""

    @staticmethod
    def unusable(images, output, generator):
        return learned(output.sum() * 0, False, loss=torch.nan, other=1.0)

    @staticmethod
    def bad(images, output, generator):
        return learned(output.sum() * torch.inf, loss=torch.inf, other=1.0)

    @pytest.mark.parametrize("at", [1, 3])
    @pytest.mark.parametrize("kind", ["unusable", "bad"])
    def test_weights_and_optimiser_stay(self, kind, at):
        def usual(images, output, generator):
            loss = output.square().mean()
            return learned(loss, loss=loss, other=2.0)

        objective = Sequence({at: getattr(self, kind)}, usual)
        step, twin = step_of(Small(), objective), step_of(Small(), usual)
        for n in range(1, 6):
            before = state_of(step.trained), adam_of(step)
            told = numbers_of(step, step(rand(2, 3, 16, 16, seed=n)))
            if n != at:
                # with the statistics of the step that was left out, where it was only unusable
                assert told["loss"] > 0
                continue
            after = state_of(step.trained), adam_of(step)
            weights = [name for name, _ in step.trained.named_parameters()]
            assert all(torch.equal(before[0][name], after[0][name]) for name in weights)
            for index, state in before[1].items():
                assert same(state, after[1][index])
            assert all(float(state["step"]) == n - 1 for state in after[1].values())
            buffers_stay = same(before[0], after[0])
            assert buffers_stay == (kind == "bad")
            assert np.isnan(told["loss"])
            assert np.isnan(told["other"]) == (kind == "bad")
        assert bool(step.was_bad) == (kind == "bad")
        assert told["skipped"] == (kind == "unusable")
        for n in set(range(1, 6)) - {at}:
            twin(rand(2, 3, 16, 16, seed=n))
        for left, never in zip(step.trained.parameters(), twin.trained.parameters(), strict=True):
            torch.testing.assert_close(left, never)

    def test_an_unusable_step_may_have_a_bad_gradient(self):
        def hardly(images, output, generator):
            return learned((output - output.detach()).sqrt().sum(), False)

        step = step_of(Small(), hardly)
        before = [p.detach().clone() for p in step.trained.parameters()]
        step(rand(2, 3, 16, 16))
        assert not step.was_bad
        assert all(map(torch.equal, before, step.trained.parameters()))

    def test_an_output_that_is_no_number_is_bad_whatever_the_objective_says(self):
        step = step_of(Small(), self.unusable)
        with torch.no_grad():
            step.trained[0].layers[3].bias.fill_(torch.nan)
        values = numbers_of(step, step(rand(2, 3, 16, 16)))
        assert step.was_bad
        assert values["skipped"] == 0

    def test_the_rate_is_that_of_the_moment(self):
        """Adam's first step moves a weight by the rate."""
        moved = []
        for rate in (1e-2, 1e-4):
            step = step_of(Small(), towards_dark, rate=1.0)
            step.rate.fill_(rate)
            before = step.trained[0].layers[3].bias.detach().clone()
            step(rand(2, 3, 16, 16))
            moved.append((step.trained[0].layers[3].bias - before).abs().max().item())
        assert moved == pytest.approx([1e-2, 1e-4], rel=0.02)


class TestDrawing:
    def test_from_what_are_no_weights(self):
        weights = torch.tensor([[0.0, 0, 0], [torch.nan, 1, torch.nan], [torch.inf, 0, 2]])
        drawn = draw_from(weights, 400, torch.Generator().manual_seed(0))
        assert drawn[0].unique().tolist() == [0, 1, 2]
        assert drawn[1].unique().tolist() == [1]
        assert drawn[2].unique().tolist() == [2]

    @pytest.mark.parametrize("name", SAMPLERS)
    def test_samplers_do_not_mind_maps_that_are_no_numbers(self, name):
        nothing = torch.full((2, 3, 30), torch.nan)
        locations, _ = SAMPLERS[name](nothing, nothing, 5, torch.Generator())
        assert locations.shape == (2, 3, 5)
        assert ((locations >= 0) & (locations < 30)).all()


def test_gradients_get_the_strides_of_their_weights():
    weight = nn.Parameter(rand(4, 1, 3, 1).contiguous(memory_format=torch.channels_last))
    gradient = rand(4, 1, 3, 1, seed=1)
    weight.grad = gradient.as_strided(weight.shape, (3, 7, 1, 5))
    assert weight.grad.stride() != weight.stride()
    lay_out_alike([weight])
    assert weight.grad.stride() == weight.stride()
    assert torch.equal(weight.grad, gradient)
