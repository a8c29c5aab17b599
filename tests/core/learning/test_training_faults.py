"""The training loop when numbers blow up or memory runs out."""

import itertools

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

from napari_selfseg.core.learning.sampling import draw_from
from napari_selfseg.core.learning.training import (
    GOOD_STATE_EVERY,
    TrainingFailed,
    training_loop,
)
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.memory import is_out_of_memory

CPU_FULL = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"


@pytest.fixture
def data():
    return TrainingData([random_tile(64, 64)])


def no_number(images, output, generator):
    return learned(output.mean() * torch.nan, loss=torch.nan)


def infinite(images, output, generator):
    return learned(output.mean() * torch.inf, loss=torch.inf)


def gradient_no_number(images, output, generator):
    loss = (output - output.detach()).sqrt().mean()
    assert loss.item() == 0
    return learned(loss, loss=loss)


def gradient_too_large_to_square(images, output, generator):
    loss = output.mean() * 1e30
    return learned(loss, loss=loss)


class TestInstability:
    @pytest.mark.parametrize(
        "bad", [no_number, infinite, gradient_no_number, gradient_too_large_to_square]
    )
    def test_first_rolls_back_then_gives_up_with_good_weights(self, data, bad):
        model = Small()
        first, second = 14, 17
        settings = settings_with(n_steps=30, learning_rate=1e-2, crop_size=32)
        loop = training_loop(model, Sequence({first: bad, second: bad}), data, settings)
        weights = []
        for step in itertools.islice(loop, second - 1):
            weights.append(weights_of(model))
            assert all(value.isfinite().all() for value in model.state_dict().values())
            if step.step == first:
                assert "unstable" in step.note
                assert "learning rate 0.001" in step.note
                assert dict(step.measures) == {"skipped": 0.0}
            else:
                assert step.note == ""
                assert "loss" in step.measures
        assert GOOD_STATE_EVERY == 10
        # the copy was taken before step 11
        assert same(weights[first - 1], weights[9])
        assert not same(weights[first], weights[first - 1])  # and it goes on
        with pytest.raises(TrainingFailed, match="unstable twice"):
            next(loop)
        assert same(weights_of(model), weights[9])
        assert all(value.isfinite().all() for value in model.state_dict().values())

    def test_the_rate_is_lowered(self, data):
        """Adam's first step moves a weight by the learning rate, and a roll-back starts anew."""
        model = Small()
        settings = settings_with(n_steps=2, learning_rate=1e-2, weight_decay=0.0)
        loop = training_loop(model, Sequence({1: no_number}), data, settings)
        next(loop)
        before = weights_of(model)
        next(loop)
        moved = max(
            (after - before[name]).abs().max().item() for name, after in model.named_parameters()
        )
        assert moved == pytest.approx(1e-3, rel=0.01)

    def test_in_the_first_step_the_start_comes_back(self, data):
        model = Small()
        start = state_of(model)
        next(training_loop(model, Sequence({1: no_number}), data, settings_with()))
        assert same(state_of(model), start)

    def test_a_network_that_blew_up_is_caught_although_something_is_drawn(self, data):
        """Nobody looks whether the maps are numbers before patches are drawn from them."""
        model = Small()
        loop = training_loop(model, drawing, data, settings_with(n_steps=6))
        next(loop)
        with torch.no_grad():
            model.layers[0].weight.fill_(torch.nan)
        step = next(loop)
        assert "unstable" in step.note
        assert all(value.isfinite().all() for value in model.state_dict().values())
        assert "loss" in next(loop).measures
        with torch.no_grad():
            model.layers[3].bias.fill_(torch.nan)
        with pytest.raises(TrainingFailed):
            next(loop)
        assert all(value.isfinite().all() for value in model.state_dict().values())


def drawing(images, output, generator):
    draw_from(output.detach().flatten(1), 3, generator)
    return towards_dark(images, output, generator)


def full(images, output, generator):
    raise torch.OutOfMemoryError("CUDA out of memory.")


def processor_full(images, output, generator):
    raise RuntimeError(CPU_FULL)


@pytest.fixture
def large():
    return TrainingData([random_tile(300, 280)])


class TestMemory:
    settings = settings_with(batch_size=20, crop_size=256, n_steps=3)

    @pytest.mark.usefixtures("pretend_card")
    def test_batch_then_crop_then_processor_then_failure(self, large):
        model = Small()
        before = state_of(model)
        objective = Sequence(dict.fromkeys(range(1, 10), full))
        with pytest.raises(TrainingFailed, match="not enough memory"):
            next(training_loop(model, objective, large, self.settings))
        # twice on the card with its smallest crops: the last time it is the processor
        assert objective.shapes == [(20, 256), (10, 256), (5, 256), (5, 128), (5, 128)]
        assert same(state_of(model), before)

    @pytest.mark.usefixtures("pretend_card")
    def test_says_what_it_does_and_goes_on_so(self, large):
        objective = Sequence({2: full, 4: full, 6: full, 8: full})
        steps = list(
            training_loop(
                Small(), objective, large, self.settings.model_copy(update={"n_steps": 5})
            )
        )
        assert [s.note for s in steps] == [
            "",
            "The graphics card is full: going on with 10 crops per step.",
            "The graphics card is full: going on with 5 crops per step.",
            "The graphics card is full: going on with crops of 128 px.",
            "The graphics card is full: going on on the processor.",
        ]
        assert all("loss" in s.measures for s in steps)
        assert objective.shapes[-1] == (5, 128)

    @pytest.mark.usefixtures("pretend_card")
    def test_every_change_of_a_step_is_told(self, large):
        objective = Sequence({1: full, 2: full, 3: full, 4: no_number})
        step = next(training_loop(Small(), objective, large, self.settings))
        for told in ("10 crops", "5 crops", "128 px", "unstable"):
            assert told in step.note
        assert "on the processor" not in step.note

    @pytest.mark.usefixtures("pretend_card")
    def test_a_card_that_is_full_from_the_start(self, large, monkeypatch):
        def no_room(device="cpu"):
            if torch.device(device).type == "cuda":
                raise RuntimeError("CUDA error: out of memory")
            return generator(device)

        generator = torch.Generator
        monkeypatch.setattr(torch, "Generator", no_room)
        first, second, _ = training_loop(Small(), towards_dark, large, self.settings)
        assert first.note == "The graphics card is full: going on on the processor."
        assert second.note == ""

    @pytest.mark.parametrize("error", [full, processor_full])
    def test_on_the_processor(self, large, error):
        objective = Sequence({1: error, 2: error, 3: error})
        step = next(training_loop(Small(), objective, large, self.settings))
        assert step.note.endswith("The memory is full: going on with crops of 128 px.")
        assert "card" not in step.note

    def test_crops_stay_large_enough_for_the_objective(self, large):
        objective = Sequence(dict.fromkeys(range(1, 10), full))
        objective.least_crop = 150
        with pytest.raises(TrainingFailed):
            next(training_loop(Small(), objective, large, self.settings))
        assert objective.shapes[-1] == (5, 256)

    def test_a_step_that_is_repeated_counts_once_in_the_buffers(self, large):
        model = Small()
        next(training_loop(model, Sequence({1: full}), large, self.settings))
        assert model.layers[1].num_batches_tracked == 1

    def test_same_weights_as_with_the_small_batch_on_the_same_crops(self, large):
        """What is left of the batch is what a repeated step sees: nothing of the failed one."""
        model, twin = Small(), Small()
        next(training_loop(model, Sequence({1: full}), large, self.settings))
        large.restart()
        crops = large.draw(np.random.default_rng(0), 20, 256)[:10]
        adam = torch.optim.Adam(twin.parameters(), lr=1e-3, weight_decay=1e-4)
        towards_dark(crops, twin(crops), None).value.backward()
        adam.step()
        for found, expected in zip(model.buffers(), twin.buffers(), strict=True):
            torch.testing.assert_close(found, expected)
        for found, expected in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (torch.OutOfMemoryError(), True),
            (MemoryError(), True),
            (RuntimeError(CPU_FULL), True),
            (RuntimeError("CUDA error: out of memory"), True),
            (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
            (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
            (ValueError("out of memory"), False),
        ],
        ids=repr,
    )
    def test_which_errors_mean_it(self, error, expected):
        assert is_out_of_memory(error) is expected

    def test_torchs_own_words_on_this_machine(self):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            torch.empty(2**50)
        assert is_out_of_memory(caught.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
class TestCard:
    def test_a_full_card_hands_over_to_the_processor(self, large):
        model = Small()
        settings = settings_with(batch_size=5, crop_size=128, n_steps=3, device="cuda")
        notes = [s.note for s in training_loop(model, Sequence({2: full}), large, settings)]
        assert notes == ["", "The graphics card is full: going on on the processor.", ""]
        assert next(model.parameters()).device.type == "cpu"
