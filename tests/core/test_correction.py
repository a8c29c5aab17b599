"""The label-free map with evidence added to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.correction import OBJECT_MAP, settled, with_evidence
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.maps import Prediction

SHAPE = (40, 50)


def start_of(seed=0, n_maps=1):
    rng = np.random.default_rng(seed)
    maps = rng.random((n_maps, *SHAPE)).astype(np.float16)
    maps[:, :5] = 0  # glass
    return Prediction(maps, None, maps[0], OBJECT_MAP)


@given(st.integers(0, 100))
def test_no_evidence_changes_nothing(seed):
    start = start_of(seed)
    after = with_evidence(start, np.zeros((1, *SHAPE), np.float32))
    np.testing.assert_allclose(after.maps.astype(float), start.maps.astype(float), atol=2e-3)
    assert after.before is start


@given(st.integers(0, 100), st.floats(-12, 12))
def test_evidence_is_added_as_a_logit_and_never_to_glass(seed, amount):
    start = start_of(seed)
    after = with_evidence(start, np.full((1, *SHAPE), amount, np.float32)).maps[0].astype(float)
    before = start.maps[0].astype(float).clip(1e-3, 1 - 1e-3)
    wanted = 1 / (1 + (1 - before) / before * np.exp(-amount))
    np.testing.assert_allclose(after[5:], wanted[5:], atol=2e-3)
    assert not after[:5].any()


def test_further_evidence_goes_on_from_the_label_free_map():
    start = start_of()
    once = with_evidence(start, np.ones((1, *SHAPE), np.float32))
    twice = with_evidence(once, np.ones((1, *SHAPE), np.float32))
    assert twice.before is start
    at_once = with_evidence(start, np.full((1, *SHAPE), 2, np.float32))
    np.testing.assert_allclose(twice.maps.astype(float), at_once.maps.astype(float), atol=5e-3)


def test_the_classes_share_the_confidence_of_the_object():
    start = start_of()
    evidence = np.random.default_rng(1).normal(size=(4, *SHAPE)).astype(np.float32)
    maps = with_evidence(start, evidence).maps.astype(float)
    assert maps.shape == (4, *SHAPE)
    np.testing.assert_allclose(maps[1:].sum(0), maps[0], atol=4e-3)
    seen = maps[0] > 0.05
    assert (maps[1:].argmax(0) == evidence[1:].argmax(0))[seen].mean() > 0.99


def test_a_refined_map_is_taken_as_it_is():
    rng = np.random.default_rng(0)
    maps = rng.random((3, *SHAPE)).astype(np.float16)
    drawn = Prediction(maps, maps[0], maps[1], (2, True))
    tile = Tile(np.zeros((*SHAPE, 3), np.uint8), 255, 0.25)
    got = settled(drawn, ChannelChoice(2, True, 1.0, "guess", ()), tile)
    np.testing.assert_allclose(got.maps[0].astype(float), 1 - maps[2].astype(float), atol=1e-3)
    assert got.depth is drawn.depth
    assert got.is_refined(ChannelChoice(0, False, 1.0, "guess", ()))


@pytest.mark.parametrize("has_edges", [False, True])
def test_the_map_of_starts_ends_at_one_half_and_knows_its_depth(has_edges):
    pixels, truth = drawn_he_tile(128, 128, n_nuclei=16, seed=2)
    tile = Tile(pixels, 255, 0.25)
    inside = 0.35 + 0.1 * (truth > 0) + np.random.default_rng(0).normal(0, 0.01, truth.shape)
    drawn = Prediction(inside[None].clip(0, 1).astype(np.float16))
    got = settled(drawn, ChannelChoice(0, False, 1.0, "guess", ()), tile, has_edges)
    found = got.maps[0] > 0.5
    both = (found & (truth > 0)).sum()
    assert 2 * both / (found.sum() + (truth > 0).sum()) > 0.85
    assert got.depth.shape == truth.shape
    assert got.depth.max() == 1
    assert not got.depth[~found & (truth == 0)].mean() > 0.05
