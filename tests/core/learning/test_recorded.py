"""Steps that a card records and repeats: when, when not, and that nothing else changes."""

from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from tests.core.learning.small_training import (
    Sequence,
    Small,
    learned,
    patch_contrast_with,
    random_tile,
    same,
    settings_with,
    state_of,
    weights_of,
)

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning import training, training_data
from napari_selfseg.core.learning.recorded import RecordedStep
from napari_selfseg.core.learning.starts import EveryMember
from napari_selfseg.core.learning.training import CANNOT_RECORD, RECORD_AFTER, training_loop
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods.patch_contrast import PatchContrast
from napari_selfseg.core.networks import confidence
from napari_selfseg.core.networks.confidence import joined


@pytest.fixture
def data():
    return TrainingData([random_tile(300, 280)])


def noisy(images, output, generator):
    target = torch.rand(output.shape, generator=generator, device=output.device)
    loss = (output - target).square().mean()
    return learned(loss, loss=loss)


def bad(images, output, generator):
    return learned(output.mean() * torch.nan, loss=torch.nan)


def full(images, output, generator):
    raise torch.OutOfMemoryError("CUDA out of memory.")


def train(data, objective=noisy, **changes):
    model, settings = Small(), settings_with(**({"n_steps": 12} | changes))
    data.restart()
    steps = list(training_loop(model, objective, data, settings))
    return state_of(model), steps


class TestOnAPretendedCard:
    def test_a_step_is_recorded_once_and_then_repeated(self, data, pretend_card, replayed):
        _, steps = train(data)
        assert replayed.made == 1
        assert not any(step.note for step in steps)

    def test_not_before_it_was_taken_a_few_times(self, data, pretend_card, replayed):
        train(data, n_steps=RECORD_AFTER)
        assert replayed.made == 0

    def test_never_on_a_processor(self, data, replayed, monkeypatch):
        monkeypatch.setattr(training, "RecordedStep", replayed)
        train(data)
        assert replayed.made == 0

    def test_results_are_those_of_the_processor(self, data, request):
        state, steps = train(data)
        request.getfixturevalue("pretend_card")
        on_card, others = train(data)
        assert same(state, on_card)
        assert steps == others

    @pytest.mark.parametrize(
        "error", [RuntimeError("not permitted when stream is capturing"), AttributeError("older")]
    )
    def test_where_it_cannot_be_recorded_it_goes_on_without_and_says_so(
        self, data, pretend_card, monkeypatch, error
    ):
        state, _ = train(data)
        asked = []

        def refuses(step, crops, generator):
            asked.append(1)
            torch.rand(7, generator=generator)  # whatever was drawn until then
            raise error

        monkeypatch.setattr(training, "RecordedStep", refuses)
        without, steps = train(data)
        assert [step.step for step in steps if step.note] == [RECORD_AFTER + 1]
        assert steps[RECORD_AFTER].note == CANNOT_RECORD
        assert len(asked) == 1
        assert same(state, without)

    def test_a_card_that_is_full_while_recording(self, data, pretend_card, monkeypatch, replayed):
        asked = []

        def full_at_first(step, crops, generator):
            asked.append(crops.shape[0])
            if len(asked) == 1:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return replayed(step, crops, generator)

        monkeypatch.setattr(training, "RecordedStep", full_at_first)
        _, steps = train(data, batch_size=20)
        notes = [step.note for step in steps if step.note]
        assert notes == ["The graphics card is full: going on with 10 crops per step."]
        assert asked == [20, 10]
        assert replayed.made == 1

    @pytest.mark.parametrize(("fault", "note"), [(bad, "unstable"), (full, "going on with 10")])
    def test_after_a_fault_it_is_recorded_anew(self, data, pretend_card, replayed, fault, note):
        """The optimiser is another one, or the crops have another shape."""
        _, steps = train(data, Sequence({8: fault}, noisy), n_steps=30, batch_size=20)
        assert note in " ".join(step.note for step in steps)
        assert replayed.made == 2

    def test_a_stop_comes_between_two_repeated_steps(self, data, pretend_card, monkeypatch):
        class Silent:
            """What is repeated asks nobody."""

            def __init__(self, step, crops, generator):
                self.step = step

            def __call__(self, crops):
                network = self.step.trained[0].eval()  # hooks only ask while it is training
                network.layers[1].train()
                values = self.step(crops)
                network.train()
                return values

        monkeypatch.setattr(training, "RecordedStep", Silent)
        model, stopped = Small(), []
        loop = training_loop(
            model, noisy, data, settings_with(n_steps=12), should_stop=lambda: bool(stopped)
        )
        for _ in range(RECORD_AFTER + 2):
            next(loop)
        before = state_of(model)
        stopped.append(1)
        assert list(loop) == []
        assert same(before, state_of(model))

    def test_who_is_told_can_change_after_it_was_recorded(self, pretend_card):
        def member(images, maps, generator):
            return learned(maps.mean(), at=maps.detach().mean())

        every = EveryMember(member, 2)
        maps = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
        index = every.told
        for who in (0, 1, 0):
            every.told.fill_(who)
            assert every.told is index  # a recorded step reads this very tensor
            assert float(every(None, maps, None).measures["at"]) == who + 1


class TestCropsOfACard:
    tiles = (random_tile(64, 80), random_tile(70, 50, seed=1))

    def crops(self, device, space="optical-density", n=7):
        return TrainingData(self.tiles, space).draw(np.random.default_rng(4), n, 32, device)

    @pytest.mark.parametrize("space", ["rgb", "optical-density"])
    @pytest.mark.parametrize("most", [0, 2**29])
    def test_are_those_of_the_processor_bit_for_bit(self, pretend_card, monkeypatch, space, most):
        monkeypatch.setattr(training_data, "MAX_BYTES_ON_CARD", most)
        expected = self.crops(torch.device("cpu"), space)
        assert torch.equal(self.crops(pretend_card, space), expected)

    def test_where_there_is_no_room_for_the_tiles(self, pretend_card, monkeypatch):
        expected = self.crops(torch.device("cpu"))
        to = torch.Tensor.to

        def no_room(tensor, *where, **how):
            if tensor.ndim == 3:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return to(tensor, *where, **how)

        monkeypatch.setattr(torch.Tensor, "to", no_room)
        assert torch.equal(self.crops(pretend_card), expected)


def test_a_record_reads_its_own_crops_and_gives_a_copy_of_its_result(monkeypatch):
    """With a graph that is only pretended: it does again what was done while it recorded."""
    generator = torch.Generator()

    class Graph:
        def register_generator_state(self, one):
            assert one is generator

        def replay(self):
            results[0].copy_(crops_seen[0].sum() * 2)

    @contextmanager
    def recording(graph, capture_error_mode):
        assert isinstance(graph, Graph)
        assert capture_error_mode == "thread_local"
        yield

    def step(crops):
        crops_seen.append(crops)
        results.append(torch.zeros(1))
        return results[-1]

    crops_seen, results = [], []
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    example = torch.ones(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    recorded = RecordedStep(step, example, generator)
    first, second = recorded(example), recorded(example * 3)
    assert (float(first), float(second)) == (192, 576)
    assert len(crops_seen) == 1
    assert crops_seen[0].stride() == example.stride()
    assert torch.equal(example, torch.ones(2, 3, 4, 4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
class TestCard:
    """Several starts of method 0, as they are tried."""

    @staticmethod
    def begun(n_steps):
        settings = patch_contrast_with(n_steps=n_steps, device="cuda", n_confidence_maps=2)
        data = TrainingData([Tile(drawn_he_tile(128, 128, n_nuclei=20, seed=1)[0], 255)])
        method = PatchContrast()
        network = joined([method.build_network(settings) for _ in range(3)])
        objective = EveryMember(method.build_objective(settings, data), 3)
        return network, training_loop(network, objective, data, settings)

    def test_recorded_steps_give_what_single_ones_give(self, monkeypatch):
        # what differs by rounding alone, Adam would make large
        monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
        monkeypatch.setattr(confidence, "half_precision", lambda *_, **__: nullcontext())
        network, loop = self.begun(12)
        notes = [step.note for step in loop]
        assert not any(notes)
        monkeypatch.setattr(training, "RECORD_AFTER", 10**9)
        other, loop = self.begun(12)
        list(loop)
        for found, expected in zip(
            weights_of(network).values(), weights_of(other).values(), strict=True
        ):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("record_after", [3, 10**9])
    def test_nobody_waits_between_two_looks(self, monkeypatch, record_after):
        monkeypatch.setattr(training, "RECORD_AFTER", record_after)
        _, loop = self.begun(24)
        for _ in range(11):
            next(loop)
        torch.cuda.set_sync_debug_mode("error")
        try:
            steps = [next(loop) for _ in range(9)]
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert all("entropy" in step.measures for step in steps)
