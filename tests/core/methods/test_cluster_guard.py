"""Groups of patches: the auto-encoder learns, the tree follows it, and the guard keeps its word."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_selfseg.core.images.stain import optical_density
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods.cluster_guard import ClusterGuard, Patches, reconstruction
from napari_selfseg.core.methods.cluster_settings import ClusterSettings
from napari_selfseg.core.methods.patch_contrast import PatchContrast, PatchContrastObjective
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.core.networks.autoencoder import SIDE, AutoEncoder
from napari_selfseg.core.networks.network_input import network_input, seen_as
from napari_selfseg.core.networks.patch_groups import PatchGroups, at_side

FEW = {"n_steps": 6, "n_patches": 60, "batch_size": 16, "n_groups": 3, "patch_um": 4.0}


def halves(side=128):
    """Return a tile whose left half is one texture and whose right half is another one."""
    rng = np.random.default_rng(0)
    pixels = np.full((side, side, 3), 0.85, np.float32)
    pixels[:, side // 2 :] = (0.5, 0.3, 0.6)
    pixels += 0.02 * rng.standard_normal(pixels.shape).astype(np.float32)
    return Tile(
        (pixels.clip(0, 1) * 255).astype(np.uint8), white=255, um_per_px=0.25, name="halves"
    )


def learned(settings, tile):
    model = ClusterGuard().build_model(settings)
    data = TrainingData((tile,), settings.image_space)
    steps = list(ClusterGuard().fit(model, data, settings))
    return model, data, steps


# ---- learning


def test_the_auto_encoder_gets_better_and_the_groups_are_the_textures():
    settings = ClusterSettings(**{**FEW, "n_steps": 40})
    model, data, steps = learned(settings, halves())
    assert [step.step for step in steps] == list(range(1, 41))
    assert steps[-1].measures["loss"] < 0.5 * steps[0].measures["loss"]
    guard = model.guard(2, settings.image_space, settings.image_space, 16)
    patches = [data.read(0, slice(40, 56), slice(c, c + 16)) for c in (0, 20, 40, 70, 90, 110)]
    groups = guard(torch.from_numpy(np.stack(patches))).tolist()
    assert len(set(groups[:3])) == len(set(groups[3:])) == 1
    assert groups[0] != groups[3]


def test_it_beats_an_untrained_twin():
    settings = ClusterSettings(**{**FEW, "n_steps": 40})
    model, data, _ = learned(settings, halves())
    twin = ClusterGuard().build_model(settings)
    patches = Patches(data, 16).draw(np.random.default_rng(5), 32, SIDE)
    errors = []
    for network in (model.autoencoder.eval(), twin.autoencoder.eval()):
        with torch.no_grad():
            errors.append(float((network(patches) - patches).square().mean()))
    assert errors[0] < 0.5 * errors[1]


def test_whoever_stops_has_the_groups_of_what_was_learned_by_then():
    settings = ClusterSettings(**FEW)
    model = ClusterGuard().build_model(settings)
    fitting = ClusterGuard().fit(model, TrainingData((halves(),), "optical-density"), settings)
    for _ in range(2):
        next(fitting)
    fitting.close()
    assert model.rows.abs().sum() > 0
    assert not model.problem()
    assert len(set(model.tree.groups(3).tolist())) == 3


def test_the_same_seed_gives_the_same_groups():
    settings = ClusterSettings(**FEW)
    first, *_ = learned(settings, halves())
    second, *_ = learned(settings, halves())
    assert torch.equal(first.rows, second.rows)
    assert torch.equal(first.merges, second.merges)


def test_the_share_that_was_explained_is_told():
    images = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    perfect = reconstruction(images, images, torch.Generator())
    assert perfect.measures["explained"] == 1
    mean = images.mean().expand_as(images)
    assert reconstruction(images, mean, torch.Generator()).measures["explained"] == pytest.approx(
        0, abs=1e-3
    )


def test_patches_are_as_large_as_the_scale_says():
    settings = ClusterSettings(patch_um=16.0)
    assert settings.patch_px(0.25) == 64
    assert settings.patch_px(1.0) == 16
    data = TrainingData((halves(40),), "rgb")
    assert Patches(data, 64).side == 40  # no larger than the tile
    assert Patches(data, 64).draw(np.random.default_rng(0), 2, 999).shape == (2, 3, SIDE, SIDE)


# ---- the networks


@pytest.mark.parametrize("n_channels", [1, 3])
def test_shapes(n_channels):
    network = AutoEncoder(n_channels)
    patches = torch.rand(5, n_channels, SIDE, SIDE)
    assert network(patches).shape == patches.shape
    assert network.encoded(patches).shape == (5, 128)
    assert PatchGroups(n_channels, 10)(torch.rand(5, n_channels, 20, 20)).shape == (5, 128)


@pytest.mark.parametrize("side", [8, SIDE, 50])
def test_patches_of_any_side_keep_their_mean(side):
    patches = torch.rand(2, 3, 1, 1).expand(-1, -1, side, side)
    wanted = patches[..., :1, :1].expand(-1, -1, SIDE, SIDE)
    np.testing.assert_allclose(at_side(patches), wanted, rtol=1e-5)


def test_numbers_that_cannot_be_are_noticed():
    model = PatchGroups(3, 10)
    assert not model.problem()
    model.patch_px.fill_(0)
    assert "0 px" in model.problem()
    model.patch_px.fill_(SIDE)
    model.merges[0, 0] = 99
    assert "tree" in model.problem()


def test_an_input_is_seen_in_another_space():
    pixels = np.random.default_rng(0).random((6, 7, 3)).astype(np.float32)
    rgb, density = (
        torch.from_numpy(network_input(pixels, space)) for space in ("rgb", "optical-density")
    )
    np.testing.assert_allclose(seen_as(rgb, "rgb", "optical-density"), density, atol=1e-5)
    np.testing.assert_allclose(seen_as(density, "optical-density", "rgb"), rgb, atol=1e-2)
    assert seen_as(rgb, "rgb", "rgb") is rgb
    assert optical_density(pixels).min() >= 0


# ---- the guard in method 0


def drawn_case(n_maps=2, n_patches=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    patches = torch.rand(n_maps, n_patches, 20, generator=generator, dtype=torch.float64)
    is_positive = torch.rand(n_maps, n_patches, generator=generator) < 0.5
    is_positive[:, 0], is_positive[:, 1] = True, False
    anchors = torch.stack(
        [
            torch.nonzero(row)[:, 0][torch.randint(int(row.sum()), (4,), generator=generator)]
            for row in is_positive
        ]
    )
    return patches, is_positive, anchors


def slow_loss(patches, is_positive, anchors, groups, together):
    """The loss of method 0 with the guard, pair by pair."""
    n_maps, n_patches, _ = patches.shape
    total = 0.0
    for k in range(n_maps):
        for a in anchors[k].tolist():

            def s(m, q, k=k, a=a):
                return -float((patches[k, a] - patches[m, q]).square().mean())

            alike = {
                (m, q)
                for m in range(n_maps)
                for q in range(n_patches)
                if groups[m, q] == groups[k, a]
            }
            positives = [
                q for q in range(n_patches) if is_positive[k, q] or (together and (k, q) in alike)
            ]
            own = [(k, q) for q in range(n_patches) if not is_positive[k, q]]
            other = [
                (m, q)
                for m in range(n_maps)
                if m != k
                for q in range(n_patches)
                if is_positive[m, q]
            ]
            for denominator in (own, other):
                allowed = [pair for pair in denominator if pair not in alike]
                if allowed:
                    log_sum = np.log(sum(np.exp(s(*pair)) for pair in allowed))
                    total += sum(log_sum - s(k, p) for p in positives)
    return total / (anchors.shape[1] ** 2)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_guarded_patches_against_a_loop(seed, together):
    patches, is_positive, anchors = drawn_case(seed=seed)
    groups = torch.randint(3, is_positive.shape, generator=torch.Generator().manual_seed(seed))
    objective = PatchContrastObjective(together=together)
    found, _ = objective.loss(patches, is_positive, anchors, 1, groups)
    wanted = slow_loss(patches, is_positive, anchors, groups, together)
    assert float(found) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("together", [False, True])
def test_every_patch_its_own_group_is_the_plain_loss(together):
    patches, is_positive, anchors = drawn_case()
    each_alone = torch.arange(is_positive.numel()).view(is_positive.shape)
    objective = PatchContrastObjective(together=together)
    guarded, _ = objective.loss(patches, is_positive, anchors, 1, each_alone)
    plain, _ = PatchContrastObjective().loss(patches, is_positive, anchors, 1)
    assert torch.equal(guarded, plain)


class AllAlike:
    side = 12

    def __call__(self, patches):
        assert patches.shape[-2:] == (12, 12)
        return torch.zeros(len(patches), dtype=torch.int64)


def test_one_group_of_all_teaches_nothing_and_is_counted():
    data = TrainingData((halves(),), "rgb", guard=AllAlike())
    settings = PatchContrastSettings(
        n_steps=3, crop_size=64, patch_um=None, patch_px=8, stride_px=4, stop_early=False
    )
    model = PatchContrast().build_model(settings)
    before = {name: value.clone() for name, value in model.named_parameters()}
    steps = list(PatchContrast().fit(model, data, settings))
    assert steps[-1].measures["skipped"] == 3
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())


def test_a_guard_of_groups_trains_method_0():
    guarding = ClusterSettings(**FEW)
    groups, *_ = learned(guarding, halves())
    guard = groups.guard(3, guarding.image_space, "rgb", 16)
    data = TrainingData((halves(),), "rgb", guard=guard)
    settings = PatchContrastSettings(
        n_steps=4, crop_size=64, patch_um=None, patch_px=8, stride_px=4, stop_early=False
    )
    model = PatchContrast().build_model(settings)
    steps = list(PatchContrast().fit(model, data, settings))
    assert len(steps) == 4
    assert steps[-1].measures["skipped"] < 4
    weights = {name for name, _ in model.named_parameters()}
    assert not any("guard" in name for name in weights)
