"""A run in regions mode without a window: what it tells and gives, stored and opened again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.drawn_regions import GLAND, drawn_regions

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.methods.region_settings import RegionSettings
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.core.regions import RegionLabelSettings, mask_of_class
from napari_selfseg.session.provenance import preset_of
from napari_selfseg.session.reopened import is_tile_of, region_result_of
from napari_selfseg.session.run import (
    Finished,
    Preview,
    Progress,
    RunError,
    TrainingRequest,
    TrainingRun,
)
from napari_selfseg.session.store import StoredRegions, StoreError, load_run, save_region_run

RGB, TRUTH = drawn_regions()
TILE = Tile(RGB, 255.0, 1.0, "drawn")
SMALL = RegionLabelSettings(min_area_um2=60, max_hole_um2=1000)


def run_of(*tiles, **changes) -> TrainingRun:
    settings = RegionSettings(**{"device": "cpu", **changes})
    return TrainingRun(TrainingRequest(tiles or (TILE,), settings, "regions", threads=1))


def finished(run: TrainingRun):
    *_, last = run.updates()
    assert isinstance(last, Finished)
    return last.result


@pytest.fixture(scope="module")
def result():
    return finished(run_of())


def test_a_run_tells_every_step_once_and_ends_with_classes(monkeypatch):
    monkeypatch.setattr("napari_selfseg.session.clock.UPDATE_EVERY", 0.0)
    updates = list(run_of().updates())
    told = [step.step for u in updates if isinstance(u, Progress) for step in u.steps]
    result = updates[-1].result
    assert told == list(range(1, len(result.curves) + 1))
    assert result.maps.shape == (3, 240, 300)
    assert np.mean(result.labels(SMALL) == TRUTH) > 0.93
    assert result.names == ("region 1", "region 2", "background")
    assert result.stopped_by == "plateau"
    assert "settled" in result.stopped_because
    assert result.curves[result.best_step - 1].renewed
    assert result.labels_used == "none"
    assert "channel" not in result.provenance
    assert result.provenance["preset"] == "default"


def test_the_preview_shows_classes_of_the_whole_tile():
    pieces = [u for u in run_of().updates() if isinstance(u, Preview)]
    seen = np.zeros(TILE.shape, np.uint8)
    for piece in pieces:
        assert piece.n_classes == 3
        seen[piece.rows, piece.columns] = piece.confidence
    assert set(np.unique(seen)) == {1, 2, 3}
    assert np.mean(seen == TRUTH) > 0.6  # of the first steps


def test_stop_keeps_the_closest_fit_and_says_so():
    run = run_of(starts=64, n_steps=100_000, n_classes=6)
    for update in run.updates():
        if isinstance(update, Progress):
            run.stop()
        last = update
    result = last.result
    assert result.stopped_by == "user"
    assert "closest fit so far" in result.stopped_because
    assert result.maps.shape[0] == 6


def test_stop_before_the_first_step_is_said():
    run = run_of()
    run.stop()
    assert "before the first step" in finished(run).stopped_because


def test_too_few_steps_are_said(monkeypatch):
    result = finished(run_of(n_steps=1, starts=1))
    assert result.stopped_by == "steps"
    assert "still moving" in result.stopped_because


@pytest.mark.parametrize(
    ("tile", "words"),
    [
        (Tile(np.full((100, 100, 3), 240, np.uint8), 255.0, 1.0, "white"), "looks blank"),
        (Tile(RGB[:10, :50], 255.0, 1.0, "tiny"), "tiny has 10 × 50 px"),
    ],
)
def test_nothing_to_learn_from_is_one_polite_sentence(tile, words):
    with pytest.raises(RunError, match=words) as told:
        list(run_of(tile).updates())
    assert str(told.value).count(". ") == 0


def test_a_cohort_of_two_scales_is_segmented_in_view_at_its_own():
    finer_rgb, finer_truth = drawn_regions(480, 600, um_per_px=0.5, seed=5)
    result = finished(run_of(Tile(finer_rgb, 255.0, 0.5, "finer"), TILE, TILE))
    assert result.model.um_per_px == 1.0  # the median
    assert result.maps.shape == (3, 480, 600)
    assert np.mean(result.labels() == finer_truth) > 0.9


# ---- names and the structure


def test_a_class_is_renamed_and_an_empty_name_brings_the_default_back(result):
    named = result.renamed(1, "  gland ")
    assert named.names == ("gland", "region 2", "background")
    assert named.provenance["classes"] == ["gland", "region 2", "background"]
    assert named.renamed(1, "").names[0] == "region 1"
    assert result.names[0] == "region 1"  # frozen


def test_one_click_is_said_for_ever_and_a_choice_by_name_is_no_label(result):
    by_name = result.with_structure(2)
    assert by_name.labels_used == "none"
    assert by_name.provenance["structure_chosen_by"] == "user"
    clicked = by_name.with_structure(GLAND, "one click")
    assert clicked.structure == GLAND
    assert clicked.labels_used == "one click"
    none = clicked.with_structure(None)
    assert none.structure is None
    assert none.labels_used == "one click"
    assert "structure_chosen_by" not in none.provenance


# ---- stored and opened again


@pytest.fixture
def stored(result, tmp_path):
    clicked = result.renamed(1, "gland").with_structure(1, "one click")
    labels = clicked.labels(SMALL)
    labels[5:9, 5:9] = 3  # a correction
    objects = mask_of_class(labels, 1, 1.0, SMALL)
    folder = tmp_path / "run"
    save_region_run(clicked, folder, labels, SMALL, objects)
    return folder, clicked, labels, objects


def test_what_was_stored_comes_back(stored):
    folder, clicked, labels, objects = stored
    again = load_run(folder)
    assert isinstance(again, StoredRegions)
    assert again.names == ("gland", "region 2", "background")
    assert again.settings == clicked.model.settings
    assert [s.measures for s in again.curves] == [s.measures for s in clicked.curves]
    assert np.array_equal(again.maps, clicked.maps)
    assert np.array_equal(again.labels, labels)
    assert np.array_equal(again.objects, objects)
    assert (again.structure, again.label_settings, again.um_per_px) == (1, SMALL, 1.0)
    assert again.provenance["labels_used"] == "one click"
    assert again.provenance["labels_as_computed"] is False
    assert is_tile_of(again, TILE)


def test_reopened_it_is_the_same_result_and_works_on_another_tile(stored):
    folder, clicked, _, _ = stored
    again = region_result_of(load_run(folder), TILE)
    assert np.array_equal(again.maps, clicked.maps)
    assert again.structure == 1
    other_rgb, truth = drawn_regions(seed=9)
    other = region_result_of(load_run(folder), Tile(other_rgb, 255.0, 1.0, "other"))
    assert np.mean(other.labels(SMALL) == truth) > 0.9
    assert other.names[0] == "gland"
    assert "drawn" in other.stopped_because


def test_without_its_images_it_opens_too(stored):
    again = load_run(stored[0], with_images=False)
    assert again.maps is None
    assert again.names[0] == "gland"


def test_anonymous_leaves_the_tile_out(result, tmp_path):
    save_region_run(result, tmp_path / "run", anonymous=True)
    assert load_run(tmp_path / "run").provenance["tiles"][0]["name"] == "tile 1"


@pytest.mark.parametrize(
    "names", [None, ["a"], ["a", "b", 3], ["a", "b", ""], ["a", "b", "c" * 99]]
)
def test_names_that_somebody_damaged_are_refused(stored, names):
    path = stored[0] / "settings.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"classes": names}))
    with pytest.raises(StoreError, match="name its classes"):
        load_run(stored[0])


def test_a_structure_that_there_is_not_is_left_out(stored):
    path = stored[0] / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"structure": 44}))
    again = load_run(stored[0])
    assert again.structure is None
    assert again.objects is None


def test_a_place_that_is_taken_stays(stored, result):
    before = (stored[0] / "settings.json").read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        save_region_run(result, stored[0])
    assert (stored[0] / "settings.json").read_bytes() == before


def test_settings_without_presets_are_default_or_own():
    assert preset_of(RegionSettings(seed=4)) == "default"
    assert preset_of(RegionSettings(n_classes=4)) == "own"
    assert preset_of(PatchContrastSettings()) == "own"
