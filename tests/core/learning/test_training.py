"""The training loop: steps, seeds, interruption; what goes wrong is in test_training_faults."""

import numpy as np
import pytest
import torch
from tests.core.learning.small_training import (
    Sequence,
    Small,
    learned,
    random_tile,
    same,
    settings_with,
    state_of,
    towards_dark,
    weights_of,
)
from torch import nn

from napari_selfseg.core.learning.training import (
    TrainingFailed,
    choose_device,
    training_loop,
)
from napari_selfseg.core.learning.training_data import TrainingData


@pytest.fixture
def data():
    return TrainingData([random_tile(64, 64)])


class TestLoop:
    def test_takes_the_steps_and_lowers_the_loss(self, data):
        model = Small()
        settings = settings_with(n_steps=40, learning_rate=2e-2)
        steps = list(training_loop(model, towards_dark, data, settings))
        assert [s.step for s in steps] == list(range(1, 41))
        assert {(s.phase, s.n_steps, s.note) for s in steps} == {("learning", 40, "")}
        losses = [s.measures["loss"] for s in steps]
        assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])

    def test_phase_can_be_given(self, data):
        settings = settings_with(n_steps=2)
        steps = list(training_loop(Small(), towards_dark, data, settings, "trying"))
        assert [(s.phase, s.step, s.n_steps) for s in steps] == [("trying", 1, 2), ("trying", 2, 2)]

    def test_one_step_is_one_step_of_adam(self, data):
        settings = settings_with(n_steps=1, learning_rate=1e-2, weight_decay=0.1, seed=3)
        model, twin = Small(), Small()
        list(training_loop(model, towards_dark, data, settings))
        data.restart()
        crops = data.draw(np.random.default_rng(3), 4, 32)
        adam = torch.optim.Adam(twin.parameters(), lr=1e-2, weight_decay=0.1)
        towards_dark(crops, twin(crops), None).value.backward()
        adam.step()
        for found, expected in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)

    def test_stopping_at_a_yield_leaves_the_model_of_that_step(self, data):
        whole, stopped = Small(), Small()
        states = [
            state_of(whole) for _ in training_loop(whole, towards_dark, data, settings_with())
        ]
        data.restart()
        next(training_loop(stopped, towards_dark, data, settings_with()))
        assert same(state_of(stopped), states[0])

    def test_crops_have_the_size_of_the_settings_or_of_the_tile(self, data):
        seen = Sequence({})
        list(training_loop(Small(), seen, data, settings_with(n_steps=1, batch_size=3)))
        list(training_loop(Small(), seen, data, settings_with(n_steps=1, crop_size=300)))
        assert seen.shapes == [(3, 32), (4, 64)]

    def test_an_objective_can_ask_for_larger_crops(self, data):
        seen = Sequence({})
        seen.least_crop = 50
        list(training_loop(Small(), seen, data, settings_with(n_steps=1)))
        assert seen.shapes == [(4, 50)]

    def test_grey(self):
        grey = TrainingData([random_tile(64, 64, channels=1)])
        steps = list(training_loop(Small(channels=1), towards_dark, grey, settings_with()))
        assert len(steps) == 4

    def test_an_objective_with_parameters_is_trained_too(self, data):
        class Scaled(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.ones(()))

            def forward(self, images, output, generator):
                return learned((self.scale * output.mean() - 1).square())

        objective = Scaled()
        list(training_loop(Small(), objective, data, settings_with(n_steps=2)))
        assert float(objective.scale.detach()) != 1

    def test_skipped_steps_are_counted_and_change_no_weight(self, data):
        def skip(images, output, generator):
            return learned(output.sum() * 0, False, loss=torch.nan, entropy=0.5)

        model = Small()
        loop = training_loop(model, Sequence({2: skip, 3: skip}), data, settings_with())
        weights = []
        skipped = []
        for step in loop:
            weights.append(weights_of(model))
            skipped.append(step.measures["skipped"])
            assert ("loss" in step.measures) == (step.step in (1, 4))
            assert ("entropy" in step.measures) == (step.step in (2, 3))
        assert skipped == [0, 1, 2, 2]
        assert same(weights[0], weights[1])
        assert same(weights[1], weights[2])
        assert not same(weights[2], weights[3])

    def test_an_unknown_error_is_not_swallowed(self, data):
        def broken(images, output, generator):
            raise RuntimeError("shapes do not match")

        model = Small()
        loop = training_loop(model, Sequence({2: broken}), data, settings_with())
        next(loop)
        with pytest.raises(RuntimeError, match="shapes do not match"):
            next(loop)


class TestRepeats:
    @staticmethod
    def train(seed=0, data=None, **changes):
        tiles = [random_tile(64, 64, seed=s) for s in range(3)]
        model = Small()
        settings = settings_with(seed=seed, batch_size=2, **changes)
        steps = list(training_loop(model, noisy, data or TrainingData(tiles), settings))
        return state_of(model), [dict(s.measures) for s in steps]

    def test_the_same_seed_bit_for_bit(self):
        torch.manual_seed(1)
        state, measures = self.train()
        torch.manual_seed(2)
        again, measured = self.train()
        assert same(state, again)
        assert measures == measured

    def test_another_seed(self):
        assert not same(self.train(0)[0], self.train(1)[0])

    def test_another_seed_draws_other_patches_of_the_same_crop(self):
        whole = TrainingData([random_tile(32, 32)])
        assert not same(self.train(0, whole)[0], self.train(1, whole)[0])

    def test_leaves_the_random_numbers_of_others_alone(self):
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002
        before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        tiles = TrainingData([random_tile(64, 64)])
        model = Small()
        torch.set_rng_state(before)
        list(training_loop(model, noisy, tiles, settings_with()))
        assert torch.equal(torch.get_rng_state(), before)
        assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002


def noisy(images, output, generator):
    """An objective that draws, as the samplers do."""
    target = torch.rand(output.shape, generator=generator, device=output.device)
    loss = (output - target).square().mean()
    return learned(loss, loss=loss)


class StopAt:
    """Says no ``n`` times and then always yes; remembers who asked."""

    def __init__(self, n):
        self.left, self.asked = n, 0

    def __call__(self):
        self.asked += 1
        self.left -= 1
        return self.left < 0


def questions_of_a_step(data):
    """How often a step asks whether to stop."""
    stop = StopAt(10_000)
    next(training_loop(Small(), towards_dark, data, settings_with(), should_stop=stop))
    return stop.asked


class TestInterruption:
    def test_is_asked_forwards_and_backwards(self, data):
        n_parts = len(list(Small().modules()))
        assert questions_of_a_step(data) == 2 * n_parts

    def test_leaves_weights_and_buffers_bit_for_bit(self, data):
        """Wherever in the third step it comes."""
        per_step = questions_of_a_step(data)
        for place in range(per_step):
            model, stop = Small(), StopAt(2 * per_step + place)
            loop = training_loop(model, towards_dark, data, settings_with(), should_stop=stop)
            next(loop)
            next(loop)
            before = state_of(model)
            assert list(loop) == []
            assert same(state_of(model), before)
            assert before["layers.1.num_batches_tracked"] == 2
            assert stop.left == -1  # not asked again

    def test_before_the_first_step(self, data):
        model = Small()
        before = state_of(model)
        loop = training_loop(model, towards_dark, data, settings_with(), should_stop=StopAt(0))
        assert list(loop) == []
        assert same(state_of(model), before)

    def test_no_hook_stays_behind(self, data):
        model = Small()
        loop = training_loop(model, towards_dark, data, settings_with(), should_stop=StopAt(99))
        next(loop)
        loop.close()
        hooks = [m._forward_hooks | m._forward_pre_hooks for m in model.modules()]
        assert not any(hooks)


class TestDevice:
    def test_processor(self):
        assert choose_device("cpu").type == "cpu"

    @pytest.mark.parametrize("there", [True, False])
    def test_auto_prefers_a_card(self, monkeypatch, there):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
        assert choose_device("auto").type == ("cuda" if there else "cpu")

    def test_a_card_that_is_not_there(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(TrainingFailed, match="No CUDA graphics card"):
            choose_device("cuda")
