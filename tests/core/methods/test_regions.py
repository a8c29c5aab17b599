"""K-means over stain and texture finds the drawn kinds of tissue, again and again the same."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.drawn_regions import EMPTY, GLAND, STROMA, drawn_regions

from napari_selfseg.core.checkpoint import CheckpointError, TrainedModel, load_model, save_model
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods.region_settings import RegionSettings
from napari_selfseg.core.methods.regions import Lloyd, Regions, spread_out
from napari_selfseg.core.prediction import predict

RGB, TRUTH = drawn_regions()
TILE = Tile(RGB, 255.0, 1.0, "drawn")


def fitted(tiles=(TILE,), **changes):
    settings = RegionSettings(device="cpu", **changes)
    method = Regions()
    network = method.build_model(settings, tiles[0].n_channels)
    steps = list(method.fit(network, TrainingData(tiles), settings))
    return network.eval(), steps


def classes_of(network, tile=TILE):
    return predict(network, tile).argmax(0) + 1


def agreement(classes, truth=TRUTH):
    return float(np.mean(classes == truth))


def test_three_kinds_of_tissue_are_found_and_numbered_by_their_haematoxylin():
    network, steps = fitted()
    assert agreement(classes_of(network)) > 0.93
    assert network.glass() == EMPTY - 1
    assert {"inertia", "separation", "moved", "entropy"} <= set(steps[-1].measures)
    assert [step.step for step in steps] == list(range(1, len(steps) + 1))
    assert steps[-1].enough
    assert not any(step.enough for step in steps[:-1])


def test_within_a_start_the_inertia_falls_and_the_best_start_is_kept():
    network, steps = fitted(n_classes=5)
    by_start = {}
    for step in steps:
        by_start.setdefault(step.phase, []).append(step.measures["inertia"])
    assert len(by_start) == 5
    for inertia in by_start.values():
        assert all(late <= early + 1e-9 for early, late in pairwise(inertia))
    best = min(step.measures["inertia"] for step in steps)
    assert float(network.temperature) == pytest.approx(best, rel=1e-5)


def test_the_same_seed_gives_the_same_classes_bit_for_bit():
    one, two = fitted(seed=3)[0], fitted(seed=3)[0]
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])


def test_another_seed_gives_the_same_tissue_the_same_number():
    assert agreement(classes_of(fitted(seed=1)[0]), classes_of(fitted(seed=2)[0])) > 0.98


def test_every_step_leaves_a_usable_model():
    settings = RegionSettings(device="cpu")
    method = Regions()
    network = method.build_model(settings, 3)
    steps = method.fit(network, TrainingData((TILE,)), settings)
    next(steps)
    next(steps)
    steps.close()
    assert agreement(classes_of(network)) > 0.6


def test_it_can_be_stopped_before_and_between_steps():
    settings = RegionSettings(device="cpu")
    network = Regions().build_model(settings, 3)
    data = TrainingData((TILE,))
    assert list(Regions().fit(network, data, settings, lambda: True)) == []
    seen = []
    for step in Regions().fit(network, data, settings, lambda: len(seen) >= 2):
        seen.append(step)
    assert len(seen) == 2


def test_tiles_of_a_cohort_share_their_classes_also_at_another_scale():
    other = Tile(drawn_regions(480, 600, um_per_px=0.5, seed=5)[0], 255.0, 0.5, "finer")
    truth = drawn_regions(480, 600, um_per_px=0.5, seed=5)[1]
    # one that holds stroma only: alone, it would be divided into three shades of pink
    stroma = Tile(RGB[100:200, 220:240], 255.0, 1.0, "stroma")
    network, _ = fitted((TILE, stroma, other))
    assert agreement(classes_of(network)) > 0.9
    assert np.mean(classes_of(network, stroma) == STROMA) > 0.9
    network.set_scale(0.5, 2.0, (6.0, 3.0, 10.0))
    assert agreement(classes_of(network, other), truth) > 0.9


def test_a_grey_image_is_divided_by_its_darkness_and_texture():
    grey = Tile(RGB[..., 1:2], 255.0, 1.0, "grey")
    network, _ = fitted((grey,))
    classes = classes_of(network, grey)
    assert np.mean((classes == 3) == (TRUTH == EMPTY)) > 0.93
    assert network.glass() == 2


def test_a_dark_background_is_background():
    fluorescence = Tile((255 - RGB[..., 1:2]) // 3, 255.0, 1.0, "fluorescence")
    network, _ = fitted((fluorescence,))
    assert np.mean((classes_of(network, fluorescence) == 3) == (TRUTH == EMPTY)) > 0.9


@pytest.mark.parametrize("side", [1, 5, 17])
def test_tiny_images_work_or_say_why_not(side):
    tiny = Tile(RGB[60 : 60 + side, 60 : 60 + side], 255.0, 1.0)
    if side == 1:
        with pytest.raises(ValueError, match="too small for 3 classes"):
            fitted((tiny,))
        return
    maps = predict(fitted((tiny,))[0], tiny)
    assert maps.shape == (3, side, side)
    assert np.isfinite(maps).all()


def test_saved_and_opened_it_draws_the_same_map(tmp_path):
    network, _ = fitted(n_classes=4)
    settings = RegionSettings(device="cpu", n_classes=4)
    save_model(TrainedModel(network, "regions", settings, 1.0, 3), tmp_path)
    again = load_model(tmp_path)
    assert again.settings == settings
    assert np.array_equal(predict(again.network, TILE), predict(network, TILE))


def test_a_damaged_cell_is_refused(tmp_path):
    network, _ = fitted()
    network.stride.fill_(-3)
    save_model(TrainedModel(network, "regions", RegionSettings(), 1.0, 3), tmp_path)
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(tmp_path)


# ---- k-means itself


def test_lloyd_finds_clouds_that_are_far_apart():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    rows = (centres[rng.integers(0, 3, 600)] + rng.normal(0, 0.5, (600, 2))).astype(np.float32)
    lloyd = Lloyd(rows, 3, np.random.default_rng(1))
    for _ in range(20):
        lloyd.iterate()
    assert lloyd.moved == 0
    nearest = np.abs(lloyd.centroids[:, None] - centres).max(2).argmin(0)
    assert sorted(nearest) == [0, 1, 2]
    assert np.allclose(lloyd.centroids[nearest], centres, atol=0.2)
    assert lloyd.inertia == pytest.approx(0.25, rel=0.1)


def test_an_empty_class_is_given_the_farthest_row():
    rows = np.array([[0.0], [0.1], [0.2], [9.0]], np.float32)
    lloyd = Lloyd(rows, 2, np.random.default_rng(0))
    lloyd.centroids = np.array([[0.1], [50.0]], np.float32)  # nobody is near the second
    lloyd.iterate()
    assert lloyd.centroids[1, 0] == 9.0


def test_the_first_centroids_are_spread_out_and_alike_rows_are_no_problem():
    rows = np.repeat(np.array([[0.0], [100.0], [200.0]], np.float32), 50, axis=0)
    for seed in range(5):
        drawn = spread_out(rows, 3, np.random.default_rng(seed))
        assert sorted(drawn.ravel()) == [0, 100, 200]
    same = spread_out(np.ones((5, 2), np.float32), 3, np.random.default_rng(0))
    assert same.shape == (3, 2)


def test_flat_colours_without_any_spread_give_finite_maps():
    flat = np.full((64, 64, 3), 200, np.uint8)
    flat[:, 32:] = 90
    network, _ = fitted((Tile(flat, 255.0, 1.0),), n_classes=4)
    assert np.isfinite(predict(network, Tile(flat, 255.0, 1.0))).all()


def test_glands_are_the_first_class():
    assert np.mean(classes_of(fitted()[0])[TRUTH == GLAND] == GLAND) > 0.9
