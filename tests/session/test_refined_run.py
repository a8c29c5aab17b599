"""A run with a refinement: what it tells, what it gives, what is stored of it."""

import numpy as np
import pytest
import tifffile
import torch
from tests.core.learning.small_training import patch_contrast_with

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.session.reopened import result_of
from napari_selfseg.session.run import Finished, Progress, TrainingRequest, TrainingRun
from napari_selfseg.session.store import StoreError, load_run, save_run
from napari_selfseg.session.stored_run import DEPTH_FILE, DOUBT_FILE

torch.set_num_threads(1)
TILE = Tile(drawn_he_tile(128, 144, n_nuclei=20, seed=4)[0], 255, 0.25, name="drawn")
SETTINGS = patch_contrast_with(starts=2, committee=2, refinement_steps=5, n_confidence_maps=3)


def run_with(stop_at=None, settings=SETTINGS):
    """Return all updates of a run, stopped when a step is told that is at least this one."""
    run = TrainingRun(TrainingRequest((TILE,), settings))
    updates = []
    for update in run.updates():
        updates.append(update)
        if stop_at is not None and isinstance(update, Progress) and update.step >= stop_at:
            run.stop()
    return updates


@pytest.fixture(scope="module")
def updates():
    return run_with()


@pytest.fixture(scope="module")
def result(updates):
    assert isinstance(updates[-1], Finished)
    return updates[-1].result


def test_the_refinement_is_told_as_a_phase_of_its_own(updates):
    steps = [step for u in updates if isinstance(u, Progress) for step in u.steps]
    phases = list(dict.fromkeys(step.phase for step in steps))
    assert phases[-1] == "refinement"
    assert steps[-1].step == SETTINGS.total_steps == steps[-1].n_steps
    assert [step.step for step in steps] == list(range(1, len(steps) + 1))


def test_the_result_has_doubt_depth_and_an_expectation(result):
    prediction = result.prediction
    assert prediction.maps.shape == (3, *TILE.shape)
    for extra in (prediction.doubt, prediction.depth):
        assert extra.shape == TILE.shape
        assert 0 <= float(extra.min()) <= float(extra.max()) <= 1
    assert prediction.is_refined(result.choice)
    assert 0 <= result.quality.expected_dice <= 1
    assert result.suggested_label_settings().threshold == 0.5
    np.testing.assert_array_equal(result.labels(), result.suggestion.labels)


def test_another_map_is_not_refined(result):
    import dataclasses

    other = (result.choice.channel + 1) % 3
    choice = dataclasses.replace(result.choice, channel=other)
    assert result.with_choice(choice).quality is None
    flipped = dataclasses.replace(result.choice, inverted=not result.choice.inverted)
    assert result.with_choice(flipped).quality is None
    assert result.with_choice(result.choice).quality == result.quality


def test_what_was_stored_comes_back_with_the_same_labels(result, tmp_path):
    save_run(result, tmp_path / "run", result.labels(), result.suggested_label_settings())
    stored = load_run(tmp_path / "run")
    np.testing.assert_array_equal(stored.prediction.doubt, result.prediction.doubt)
    np.testing.assert_array_equal(stored.prediction.depth, result.prediction.depth)
    again = result_of(stored, TILE)
    np.testing.assert_array_equal(again.labels(), result.labels())
    assert again.quality == result.quality
    assert stored.provenance["labels_as_computed"] is True
    other = Tile(drawn_he_tile(100, 90, n_nuclei=10, seed=9)[0], 255, 0.25, name="other")
    fresh = result_of(stored, other)  # the stored network on another tile
    assert fresh.prediction.depth.shape == (100, 90)
    assert fresh.quality is not None


@pytest.mark.parametrize("name", [DOUBT_FILE, DEPTH_FILE])
def test_a_stored_map_of_another_size_is_said(result, tmp_path, name):
    save_run(result, tmp_path / "run", result.labels(), result.suggested_label_settings())
    tifffile.imwrite(tmp_path / "run" / name, np.zeros((5, 6), np.float32))
    with pytest.raises(StoreError, match="differ in size"):
        load_run(tmp_path / "run")


def test_a_run_of_an_older_version_has_neither(result, tmp_path):
    save_run(result, tmp_path / "run", result.labels(), result.suggested_label_settings())
    for name in (DOUBT_FILE, DEPTH_FILE):
        (tmp_path / "run" / name).unlink()
    again = result_of(load_run(tmp_path / "run"), TILE)
    assert again.quality is None
    assert again.labels().max() >= 0


def test_stopped_while_the_starts_are_tried_there_is_no_refinement():
    *_, last = run_with(stop_at=1)
    assert last.result.prediction.refined is None
    assert last.result.prediction.depth is None
    assert last.result.quality is None
    assert last.result.stopped_by == "user"


def test_the_same_seed_gives_the_same_refined_labels(result):
    again = run_with()[-1].result
    np.testing.assert_array_equal(again.prediction.maps, result.prediction.maps)
    np.testing.assert_array_equal(again.labels(), result.labels())
