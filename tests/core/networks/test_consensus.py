"""A consensus is the leading network with a shared map of the objects."""

import pytest
import torch

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning.convergence import StainAgreement
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.networks.confidence import ConfidenceNetwork
from napari_selfseg.core.networks.consensus import Consensus, Opinion

IMAGES = torch.rand(2, 3, 40, 50, generator=torch.Generator().manual_seed(1))


def network_with(seed):
    """An eval-mode network of three maps with statistics of something."""
    torch.manual_seed(seed)
    network = ConfidenceNetwork(3, 3)
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, 48, 48))
        network.head.weight.mul_(5)
    return network.eval()


NETWORKS = [network_with(seed) for seed in range(3)]
OPINIONS = [
    Opinion(NETWORKS[0].state_dict(), 1, False),
    Opinion(NETWORKS[1].state_dict(), 0, True),
    Opinion(NETWORKS[2].state_dict(), 2, False),
]


def consensus_of(*opinions, room=3):
    consensus = Consensus(room, 3, 3)
    consensus.listen_to(opinions)
    return consensus.eval()


@torch.no_grad()
def test_the_object_is_the_mean_turned_as_the_leader_has_it():
    maps = [network(IMAGES) for network in NETWORKS]
    seen = consensus_of(*OPINIONS)(IMAGES)
    mean = (maps[0][:, 1] + (1 - maps[1][:, 0]) + maps[2][:, 2]) / 3
    assert torch.allclose(seen[:, 1], mean, atol=1e-6)
    assert torch.equal(seen[:, [0, 2]], maps[0][:, [0, 2]])
    # led by one whose object is dark, it is dark in the consensus too
    seen = consensus_of(OPINIONS[1], OPINIONS[0])(IMAGES)
    mean = (maps[1][:, 0] + (1 - maps[0][:, 1])) / 2
    assert torch.allclose(seen[:, 0], mean, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("room", [1, 3])
def test_one_opinion_is_that_network(room):
    consensus = consensus_of(*OPINIONS, room=room)
    consensus.listen_to(OPINIONS[2:])  # after others were heard
    assert torch.equal(consensus(IMAGES), NETWORKS[2](IMAGES))


def test_no_more_are_heard_than_there_is_room_for():
    assert int(consensus_of(*OPINIONS, room=2).n_heard) == 2


@torch.no_grad()
def test_it_is_stored_and_folded_like_a_network():
    consensus = consensus_of(*OPINIONS)
    other = Consensus(3, 3, 3)
    other.load_state_dict(consensus.state_dict())
    assert torch.equal(other.eval()(IMAGES), consensus(IMAGES))
    folded = consensus.folded()
    assert torch.allclose(folded(IMAGES), consensus(IMAGES), atol=1e-5)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in consensus.modules())


@torch.no_grad()
def test_the_objects_of_all_members():
    consensus = consensus_of(*OPINIONS)
    _, objects = consensus.voices(IMAGES)
    assert objects.shape == (2, 3, 40, 50)
    assert torch.allclose(objects.mean(1), consensus(IMAGES)[:, 1], atol=1e-6)


def test_the_map_that_is_drawn_together_is_the_object_whatever_agrees_better():
    pixels, _ = drawn_he_tile(200, 200, n_nuclei=25, seed=2)
    data = TrainingData([Tile(pixels, 255.0, 0.25, "drawn")])
    agreement = StainAgreement(data)
    for channel in range(3):
        consensus = consensus_of(Opinion(NETWORKS[0].state_dict(), channel, channel == 1))
        choice = agreement.of(consensus).choice
        assert (choice.channel, choice.inverted) == (channel, channel == 1) == consensus.object_map
