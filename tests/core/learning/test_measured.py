"""What a step has measured: read late, once, and then like any other mapping."""

import copy
import pickle

import pytest
import torch
from tests.core.learning.looks import Looks
from tests.core.learning.small_training import patch_contrast_with

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning import convergence
from napari_selfseg.core.learning.convergence import ConvergenceMonitor, StainAgreement
from napari_selfseg.core.learning.measured import Measured
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.patch_contrast import PatchContrast
from napari_selfseg.session.clock import RunClock


def measured():
    return Measured(("a", "b", "c"), torch.tensor([1.0, torch.nan, 3.0]))


@pytest.fixture
def read(monkeypatch):
    """How often somebody looked for the first time."""
    times = []
    numbers = Measured.numbers.fget

    def looked(self):
        if self._numbers is None:
            times.append(1)
        return numbers(self)

    monkeypatch.setattr(Measured, "numbers", property(looked))
    return times


class TestMeasured:
    def test_is_a_mapping_without_what_was_not_measured(self):
        found = measured()
        assert dict(found) == {"a": 1.0, "c": 3.0}
        assert found == {"a": 1.0, "c": 3.0} == found
        assert len(found) == 2
        assert "b" not in found
        assert found.get("b", 5.0) == 5.0
        assert all(type(value) is float for value in found.values())
        assert repr(found) == "{'a': 1.0, 'c': 3.0}"

    def test_is_brought_from_the_device_once_and_at_the_first_look(self):
        with Looks() as looks:
            found = measured()
            TrainingStep("learning", 1, 2, found)
            assert looks.seen == []
            assert found["a"] == 1
            assert found["c"] == 3
            assert len(looks.seen) == 1

    @pytest.mark.parametrize(
        "way", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
    )
    def test_a_copy_is_plain_numbers(self, way):
        assert type(way(measured())) is dict
        assert way(measured()) == measured()


class TestNobodyReadsEveryStep:
    tile = Tile(drawn_he_tile(96, 96, n_nuclei=12, seed=1)[0], 255)

    def test_while_starts_are_tried(self, read):
        settings = patch_contrast_with(starts=4, starts_at_once=2, committee=2, n_steps=6)
        model = PatchContrast().build_model(settings)
        data = TrainingData([self.tile])
        monitor = ConvergenceMonitor(StainAgreement(data))
        for step in PatchContrast().fit(model, data, settings):
            monitor.watch(step, model)
        assert len(read) == 2  # the count of skipped steps, once per batch of starts

    def test_of_a_single_start_before_a_plateau_is_judged(self, read):
        settings = patch_contrast_with(n_steps=23)
        data = TrainingData([self.tile])
        model = PatchContrast().build_model(settings)
        monitor = ConvergenceMonitor(StainAgreement(data))
        known = []
        for step in PatchContrast().fit(model, data, settings):
            monitor.watch(step, model)
            known.append(len(read))
        assert known[:22] == [0] * 9 + [10] * 10 + [20] * 3  # in the last step all may be over

    def test_a_plateau_is_found_in_the_same_steps(self, monkeypatch):
        """Steps without one of both curves do not count; the last eighty others do."""
        monkeypatch.setattr(ConvergenceMonitor, "measure", lambda *_: None)
        agreement = type("Agreement", (), {"cue_name": "haematoxylin"})()
        monitor = ConvergenceMonitor(agreement)
        lacking = {5, 50, 51}
        verdicts = {}
        for n in range(1, 201):
            level = 1.0 if n < 70 else 0.5  # the second half of the eighty must be below it
            measures = {"entropy": level, "separation": level}
            if n in lacking:
                del measures["separation"]
            verdicts[n] = monitor.watch(TrainingStep("learning", n, 200, measures), None)
        found = [n for n, verdict in verdicts.items() if verdict == "plateau"]
        assert found[0] == 70 + 2 * convergence.PLATEAU_WINDOW
        assert found == list(range(found[0], 201, 10))

    def test_a_run_reads_when_it_tells_and_tells_plain_numbers(self, read):
        clock = RunClock(4)
        steps = [TrainingStep("learning", n, 4, measured()) for n in (1, 2)]
        assert read == []
        monitor = type("Monitor", (), {"last": None})()
        told = clock.progress(steps, monitor, "learning").steps
        assert len(read) == 2
        assert [type(step.measures) for step in told] == [dict, dict]
        assert list(told) == steps
