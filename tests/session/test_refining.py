"""Learning from corrections as a run: what it tells, refuses and gives."""

import threading

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from tests.core.learning.small_training import patch_contrast_with

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning.strokes import Strokes
from napari_selfseg.core.methods.local_contrast_settings import LocalContrastSettings
from napari_selfseg.core.metrics import dice
from napari_selfseg.core.segmentation import prediction_of_tile
from napari_selfseg.session.refining import RefineRequest, RefiningRun
from napari_selfseg.session.reopened import result_of
from napari_selfseg.session.run import TrainingRequest, TrainingRun
from napari_selfseg.session.steered import RunError
from napari_selfseg.session.store import load_run, save_run
from napari_selfseg.session.updates import Finished, Preview, Progress

torch.set_num_threads(1)
PIXELS, TRUTH = drawn_he_tile(144, 160, n_nuclei=24, seed=5)
TILE = Tile(PIXELS, 255, 0.25, name="drawn")
FEW = LocalContrastSettings(
    global_steps=2, local_steps=2, n_steps=4, batch_size=4, crop_size=32, device="cpu"
)
STARTS = {
    "as published": {"starts": 1, "n_confidence_maps": 2, "n_steps": 6},
    "quick": {"starts": 2, "committee": 2, "stain_edges": True, "n_steps": 6},
    "refined": {"starts": 2, "committee": 2, "refinement_steps": 5, "n_confidence_maps": 3},
}


def label_free(name):
    request = TrainingRequest((TILE,), patch_contrast_with(**STARTS[name]), previews=False)
    *_, finished = TrainingRun(request).updates()
    return finished.result


@pytest.fixture(scope="module", params=STARTS)
def start(request):
    return label_free(request.param)


@pytest.fixture(scope="module")
def quick():
    return label_free("quick")


def strokes(n_classes=1):
    classes = np.zeros(TRUTH.shape, np.uint8)
    for order, number in enumerate(np.unique(TRUTH)[1:6]):
        classes[number == TRUTH] = 2 + order % n_classes
    rows, columns = np.nonzero(TRUTH == 0)
    classes[rows[::40], columns[::40]] = 1
    return Strokes(classes)


def updates_of(start, said=None, settings=FEW, **how):
    return list(RefiningRun(RefineRequest(start, said or strokes(), settings, **how)).updates())


def test_any_start_learns_and_gives_a_result_that_says_what_taught_it(start):
    updates = updates_of(start)
    result = updates[-1].result
    assert isinstance(updates[-1], Finished)
    assert result.provenance["labels_used"] == "your strokes"
    assert result.provenance["painted_px"] == strokes().n_painted
    assert result.provenance["start"]["method"] == "patch-contrast"
    assert result.choice.channel == 0
    assert result.prediction.maps.shape == (1, *TILE.shape)
    said = strokes().classes
    found = result.confidence() > 0.5
    assert found[said == 2].mean() > 0.95
    assert found[said == 1].mean() < 0.05
    steps = [step for u in updates if isinstance(u, Progress) for step in u.steps]
    assert [step.step for step in steps] == list(range(1, len(steps) + 1))


def test_previews_are_of_the_map_that_comes_out(quick):
    shown = [u for u in updates_of(quick, settings=FEW) if isinstance(u, Preview)]
    assert shown
    assert shown[0].confidence.shape == TILE.shape
    said = strokes().classes
    assert np.median(shown[0].confidence[said == 2]) > 200
    assert not [u for u in updates_of(quick, previews=False) if isinstance(u, Preview)]


def test_where_nobody_painted_little_changes_at_first(quick):
    one = np.zeros(TILE.shape, np.uint8)
    one[10:14, 10:14], one[100:104, 100:104] = 1, 2
    result = updates_of(quick, Strokes(one))[-1].result
    before = result.prediction.before.maps[0].astype(float)
    far = np.ones(TILE.shape, bool)
    far[:40, :40] = far[80:125, 80:125] = False
    assert np.abs(result.prediction.maps[0].astype(float) - before)[far].mean() < 0.02


def test_a_second_round_keeps_the_label_free_map_below(quick):
    first = updates_of(quick)[-1].result
    second = updates_of(first)[-1].result
    assert second.prediction.before is first.prediction.before
    assert second.model.settings.start_settings == quick.model.settings.model_dump(mode="json")
    assert not [s for s in second.curves if s.phase == "views"]


def test_a_stored_version_is_opened_and_goes_on(quick, tmp_path):
    first = updates_of(quick)[-1].result
    save_run(first, tmp_path / "v1", first.labels())
    stored = load_run(tmp_path / "v1")
    again = result_of(stored, TILE)
    np.testing.assert_array_equal(again.maps, first.maps)
    assert again.choice == first.choice
    other = Tile(drawn_he_tile(120, 120, n_nuclei=12, seed=9)[0], 255, 0.25, name="other")
    np.testing.assert_array_equal(
        prediction_of_tile(stored.model, other).maps, prediction_of_tile(first.model, other).maps
    )
    second = updates_of(again)[-1].result
    np.testing.assert_allclose(
        second.prediction.before.maps.astype(float),
        first.prediction.before.maps.astype(float),
        atol=0.02,
    )


def test_several_classes(quick):
    result = updates_of(quick, strokes(n_classes=2))[-1].result
    assert result.maps.shape == (3, *TILE.shape)
    assert result.model.settings.n_classes == 2


def test_other_tiles_may_be_looked_at(quick):
    others = tuple(
        Tile(drawn_he_tile(90, 110, n_nuclei=8, seed=seed)[0], 255, 0.25) for seed in (1, 2)
    )
    result = updates_of(quick, others=others)[-1].result
    assert len(result.provenance["tiles"]) == 3


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (np.zeros(TILE.shape, np.uint8), "Nothing is painted yet"),
        (np.full(TILE.shape, 2, np.uint8), "of one kind"),
        (np.resize(np.array([1, 2], np.uint8), (10, 10)), "but drawn has"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_a_sentence(quick, said, words):
    with pytest.raises(RunError, match=words):
        updates_of(quick, Strokes(said))


def test_stop_uses_what_was_learned_and_abandon_gives_nothing(quick):
    for how in ("stop", "abandon"):
        run = RefiningRun(RefineRequest(quick, strokes(), FEW))
        updates = []
        for update in run.updates():
            updates.append(update)
            if isinstance(update, Progress) and update.step >= 1:
                getattr(run, how)()
        assert isinstance(updates[-1], Finished) == (how == "stop")
    assert len(updates) < 8


def test_pause_holds_and_resume_goes_on(quick):
    run = RefiningRun(RefineRequest(quick, strokes(), FEW, previews=False))
    run.pause()
    told = []
    thread = threading.Thread(target=lambda: told.extend(run.updates()))
    thread.start()
    thread.join(1.5)
    assert thread.is_alive()
    run.resume()
    thread.join(60)
    assert isinstance(told[-1], Finished)


def test_right_strokes_make_nothing_worse(quick):
    longer = FEW.model_copy(update={"n_steps": 30})
    classes = np.zeros(TRUTH.shape, np.uint8)
    classes[np.isin(TRUTH, np.unique(TRUTH)[1:8])] = 2
    far = distance_transform_edt(TRUTH == 0) > 12
    classes[far] = 1
    result = updates_of(quick, Strokes(classes), longer)[-1].result
    unpainted = classes == 0
    before = dice((result.prediction.before.maps[0] > 0.5) & unpainted, TRUTH * unpainted)
    after = dice((result.maps[0] > 0.5) & unpainted, TRUTH * unpainted)
    assert after > before - 0.01
