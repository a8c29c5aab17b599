"""A pretraining from request to folder and back, and what a guard is asked before it is used."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.methods.cluster_settings import ClusterSettings
from napari_selfseg.core.methods.region_settings import RegionSettings
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.session.pretraining import PretrainingRun, PretrainRequest
from napari_selfseg.session.request import GroupGuard, TrainingRequest
from napari_selfseg.session.run import TrainingRun
from napari_selfseg.session.steered import RunError
from napari_selfseg.session.store import (
    StoreError,
    load_pretraining,
    load_run,
    save_pretraining,
    save_run,
)

TILE = Tile(
    drawn_he_tile(96, 96, n_nuclei=12, seed=1, um_per_px=0.5)[0], 255, um_per_px=0.5, name="secret"
)
FEW = ClusterSettings(n_steps=3, n_patches=40, batch_size=8, n_groups=4, patch_um=8.0)
SHORT = PatchContrastSettings(
    n_steps=2, stop_early=False, crop_size=64, patch_um=None, patch_px=8, stride_px=4
)


@pytest.fixture(scope="module")
def pretrained():
    *_, finished = PretrainingRun(PretrainRequest((TILE,), FEW, "clusters")).updates()
    return finished.result


def problem_of(run):
    with pytest.raises(RunError) as caught:
        run.check_request()
    return str(caught.value)


# ---- pretraining


def test_it_tells_its_steps_and_what_it_came_from(pretrained):
    assert [step.phase for step in pretrained.curves] == ["patches"] * 3
    assert {"loss", "explained"} <= set(pretrained.curves[0].measures)
    assert pretrained.stopped_by == "steps"
    assert pretrained.provenance["labels_used"] == "none"
    assert pretrained.provenance["method"] == "clusters"
    assert pretrained.provenance["tiles"][0]["name"] == "secret"


def test_there_and_back_gives_the_same_groups(pretrained, tmp_path):
    save_pretraining(pretrained, tmp_path / "run", anonymous=True)
    assert "secret" not in (tmp_path / "run" / "provenance.json").read_text()
    back = load_pretraining(tmp_path / "run")
    one, other = pretrained.model.network, back.model.network
    for k in (2, 4, 40):
        assert np.array_equal(one.tree.groups(k), other.tree.groups(k))
    assert back.model.settings == FEW
    assert len(back.curves) == 3
    with pytest.raises(StoreError, match="exists already"):
        save_pretraining(pretrained, tmp_path / "run")


def test_a_run_and_a_pretraining_are_not_the_same(pretrained, tmp_path):
    save_pretraining(pretrained, tmp_path / "groups")
    with pytest.raises(StoreError, match=r"pretraining.*--guard.*refine"):
        load_run(tmp_path / "groups")
    *_, finished = TrainingRun(TrainingRequest((TILE,), SHORT)).updates()
    save_run(finished.result, tmp_path / "run")
    with pytest.raises(StoreError, match="no pretraining, but a run of patch-contrast"):
        load_pretraining(tmp_path / "run")


def test_a_tree_that_is_none_is_refused(pretrained, tmp_path):
    from safetensors.torch import load_file, save_file

    save_pretraining(pretrained, tmp_path / "run")
    path = tmp_path / "run" / "model.safetensors"
    state = load_file(path)
    state["merges"][0, 0] = 10_000
    save_file(state, path)
    with pytest.raises(StoreError, match="damaged: its tree of groups is none"):
        load_pretraining(tmp_path / "run")


def test_whoever_stops_has_what_was_learned_by_then():
    run = PretrainingRun(
        PretrainRequest((TILE,), FEW.model_copy(update={"n_steps": 500}), "clusters")
    )
    updates = run.updates()
    next(updates)
    run.stop()
    *_, finished = updates
    result = finished.result
    assert result.stopped_by == "user"
    assert 0 < len(result.curves) < 500
    assert not result.model.network.problem()
    assert result.model.network.rows.abs().sum() > 0


def test_requests_that_make_no_sense():
    assert "no pretraining 'regions'" in problem_of(
        PretrainingRun(PretrainRequest((TILE,), RegionSettings(), "regions"))
    )
    assert "another method" in problem_of(
        PretrainingRun(PretrainRequest((TILE,), SHORT, "clusters"))
    )
    assert "no image" in problem_of(PretrainingRun(PretrainRequest((), FEW, "clusters")))


# ---- the guard of a training


def guarded(pretrained, n_groups, tile=TILE, settings=SHORT, method="patch-contrast"):
    guard = GroupGuard(pretrained.model, n_groups)
    return TrainingRun(TrainingRequest((tile,), settings, method, guard=guard))


def test_a_guarded_training_says_so(pretrained):
    *_, finished = guarded(pretrained, 3).updates()
    told = finished.result.provenance["guard"]
    assert told["groups"] == 3
    assert told["method"] == "clusters"
    json.dumps(told)


def test_guards_that_make_no_sense(pretrained):
    assert "nothing to contrast" in problem_of(guarded(pretrained, 1))
    assert "cannot be 41 groups" in problem_of(guarded(pretrained, 41))
    grey = Tile(np.asarray(TILE.pixels)[..., 1:2], 255, um_per_px=0.5, name="grey")
    assert "another kind of image" in problem_of(guarded(pretrained, 3, tile=grey))
    regions = guarded(pretrained, 3, settings=RegionSettings(), method="regions")
    assert "Only patch contrast" in problem_of(regions)
    wrong = replace(pretrained, model=replace(pretrained.model, method="regions", settings=SHORT))
    assert "not of regions" in problem_of(guarded(wrong, 3))
