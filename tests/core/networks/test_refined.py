"""The refined network: what it draws before and after the pupils have learned."""

import numpy as np
import pytest
import torch

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.networks.confidence import ConfidenceNetwork
from napari_selfseg.core.networks.consensus import Consensus, Opinion
from napari_selfseg.core.networks.refined import Refined
from napari_selfseg.core.networks.unet import UNet
from napari_selfseg.core.prediction import for_prediction, predict, predict_region

IMAGES = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(1))


def lively(network):
    """Give the batch normalisation statistics, so that maps are not flat."""
    network.train()
    with torch.no_grad():
        for seed in range(3):
            torch.manual_seed(seed)
            network(torch.rand(2, 3, 64, 64))
    return network.eval()


def refined_with(shrink=2, inverted=False, members=3, learned=True):
    torch.manual_seed(0)
    networks = [lively(ConfidenceNetwork(3, 3)) for _ in range(members)]
    consensus = Consensus(members, 3, 3)
    consensus.listen_to([Opinion(n.state_dict(), 1, inverted) for n in networks])
    network = Refined(consensus, n_pupils=2)
    lively(network.pupils)
    with torch.no_grad():
        for pupil in network.pupils.members:
            pupil.head.weight.mul_(4)
    if learned:
        network.learned(shrink, 0.01)
    return network.eval()


@torch.no_grad()
def test_before_the_pupils_have_learned_the_consensus_draws():
    network = refined_with(learned=False)
    assert network.object_map is None
    assert torch.allclose(network(IMAGES), network.first(IMAGES), atol=1e-6)
    assert not network.with_extras(IMAGES)[:, 4].any()  # no depth yet


@torch.no_grad()
@pytest.mark.parametrize("inverted", [False, True])
def test_afterwards_the_pupils_draw_the_object_with_its_polarity(inverted):
    network = refined_with(inverted=inverted)
    assert network.object_map == (1, inverted)
    drawn = torch.sigmoid(network.scores(IMAGES))[:, :, 0].mean(1)
    maps = network(IMAGES)
    assert torch.equal(maps[:, 1], 1 - drawn if inverted else drawn)
    leader = network.first.members[0](IMAGES)
    assert torch.equal(maps[:, [0, 2]], leader[:, [0, 2]])


@torch.no_grad()
def test_doubt_is_the_spread_of_all_voices():
    network = refined_with()
    _, voices = network.first.voices(IMAGES)
    drawn = torch.sigmoid(network.scores(IMAGES))[:, :, 0]
    every = torch.cat([voices, drawn], 1).numpy()
    doubt = network.with_extras(IMAGES)[:, 3].numpy()
    np.testing.assert_allclose(doubt, 2 * every.std(axis=1), atol=1e-6)
    assert doubt.max() <= 1
    alone = refined_with(members=1, learned=False)
    assert not alone.with_extras(IMAGES)[:, 3].any()


@torch.no_grad()
@pytest.mark.parametrize("shape", [(64, 80), (63, 81), (33, 47)])
@pytest.mark.parametrize("shrink", [1, 2, 3])
def test_any_size_comes_out_as_it_went_in(shape, shrink):
    network = refined_with(shrink)
    assert network.with_extras(torch.rand(1, 3, *shape)).shape == (1, 5, *shape)


@torch.no_grad()
def test_folding_changes_nothing_but_rounding():
    network = refined_with()
    folded = network.folded()
    assert torch.allclose(folded.with_extras(IMAGES), network.with_extras(IMAGES), atol=1e-5)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())


@pytest.mark.parametrize("shrink", [1, 2, 3])
def test_pieces_join_without_seams(shrink):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 341, 3), np.uint8)
    network, tile = refined_with(shrink), Tile(pixels, 255)
    whole = predict(network, tile, piece=1000)
    pieces = predict(network, tile, piece=128)
    assert whole.shape == (5, 300, 341)
    np.testing.assert_allclose(pieces, whole, atol=1e-3)  # maps are kept as float16
    region = predict_region(for_prediction(network), tile, slice(101, 177), slice(57, 150))
    np.testing.assert_allclose(region, whole[:, 101:177, 57:150], atol=1e-3)


def test_the_halo_is_no_larger_than_needed_and_no_smaller():
    """A pixel is moved by what lies within the halo, and by nothing beyond it."""
    pupil = lively(UNet(3))
    side = 2 * pupil.halo + 2 * pupil.alignment
    centre = side // 2
    one = torch.rand(1, 3, side, side, requires_grad=True)
    pupil(one)[0, 0, centre, centre].backward()
    reached = one.grad.abs().sum((0, 1)).nonzero()
    farthest = int((reached - centre).abs().max())
    assert farthest <= pupil.halo
    assert farthest > pupil.halo - 2 * pupil.alignment


@torch.no_grad()
def test_the_pupil_looks_at_the_image_alone():
    pupil = lively(UNet(3))
    crop = torch.cat([IMAGES, torch.rand(2, 3, 64, 80)], 1)
    assert torch.equal(pupil(crop), pupil(IMAGES))


def test_what_a_file_may_not_say():
    network = refined_with()
    assert network.problem() == ""
    network.shrink.fill_(0)
    assert "shrinks" in network.problem()
    network.shrink.fill_(2)
    network.first.n_heard.fill_(9)
    assert "9 of 3" in network.problem()


@torch.no_grad()
def test_adapting_follows_the_staining_of_a_tile():
    network = refined_with()
    network.usual_distance.fill_(1e-3)
    pale = IMAGES[:1] * 0.3 + 0.6
    adapted = network.adapted(pale)
    assert adapted is not network
    assert not torch.equal(adapted(pale), network(pale))
    usual = [m.running_mean for m in network.pupils.modules() if hasattr(m, "running_mean")]
    moved = [m.running_mean for m in adapted.pupils.modules() if hasattr(m, "running_mean")]
    assert any(not torch.equal(a, b) for a, b in zip(usual, moved, strict=True))
    # the starts have no such statistics to give: they stay
    assert torch.equal(adapted.first(pale), network.first(pale))


def test_a_network_that_has_not_learned_has_nothing_to_adapt():
    network = refined_with(learned=False)
    assert network.adapted(IMAGES[:1]) is network


def test_a_distance_below_nothing_is_damage():
    network = refined_with()
    network.usual_distance.fill_(-1.0)
    assert "nearer than nothing" in network.problem()
