"""The confidence network: its size, its shape and how far it sees."""

import copy

import pytest
import torch

from napari_selfseg.core.networks.confidence import HALO, ConfidenceNetwork, joined


def n_parameters(network):
    return sum(p.numel() for p in network.parameters())


def network_with(seed=0, **arguments):
    torch.manual_seed(seed)
    return ConfidenceNetwork(**arguments)


@pytest.mark.parametrize(
    ("n_channels", "n_maps", "expected"),
    [(3, 4, 7372), (3, 3, 7363), (3, 2, 7354), (3, 1, 7345), (1, 1, 7201), (1, 4, 7228)],
)
def test_parameter_count(n_channels, n_maps, expected):
    network = ConfidenceNetwork(n_channels, n_maps)
    assert n_parameters(network) == expected
    assert all(p.requires_grad for p in network.parameters())


def test_dilations_and_blocks_as_described():
    network = ConfidenceNetwork()
    stem, *inner, head = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert (stem.kernel_size, stem.dilation, stem.bias) == ((3, 3), (1, 1), None)
    assert (head.kernel_size, head.out_channels) == ((1, 1), 4)
    assert [m.dilation[0] for m in inner] == [1, 1, 2, 2, 3, 3, 5, 5, 10, 10, 20, 20]
    assert all(m.kernel_size == (3, 3) and m.bias is None for m in inner)


def test_blocks_add_to_their_input():
    block = network_with().eval().blocks[0]
    x = torch.rand(1, 8, 12, 12)
    torch.testing.assert_close(block(x) - x, block.second(block.first(x)))


def test_says_what_it_takes_and_gives():
    network = ConfidenceNetwork(1, 3)
    assert (network.n_channels, network.n_confidence_maps, network.halo) == (1, 3, 83)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (17, 40), (64, 33), (128, 128)])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_maps_have_the_size_of_the_image(n_channels, shape, training):
    network = network_with(n_channels=n_channels, n_confidence_maps=4).train(training)
    with torch.no_grad():
        maps = network(torch.rand(2, n_channels, *shape))
    assert maps.shape == (2, 4, *shape)
    assert ((maps > 0) & (maps < 1)).all()


def test_maps_differ_from_each_other():
    maps = network_with()(torch.rand(1, 3, 32, 32))[0]
    assert all(not torch.allclose(maps[i], maps[j]) for i in range(4) for j in range(i))


def test_output_depends_on_83_px_around():
    """Double precision, so that the faint influence at the rim is not rounded away."""
    network = network_with(n_confidence_maps=1).double().eval()
    size, centre = 2 * HALO + 21, HALO + 10
    image = torch.rand(1, 3, size, size, dtype=torch.float64)
    changed = image.clone()
    changed[..., centre, centre] += 1000
    with torch.no_grad():
        differs = (network(image) != network(changed))[0, 0]
    rows, columns = differs.nonzero(as_tuple=True)
    assert (rows.min(), rows.max()) == (centre - HALO, centre + HALO)
    assert (columns.min(), columns.max()) == (centre - HALO, centre + HALO)


def test_evaluation_knows_no_neighbours_in_the_batch():
    network = network_with()
    images = torch.rand(3, 3, 24, 24)
    network(images)  # running statistics that are not the initial ones
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(images)[:1], network(images[:1]))


def test_every_parameter_learns():
    network = network_with()
    # weighted by place: batch normalisation takes a plain mean away
    weights = torch.rand(2, 4, 32, 32)
    (network(torch.rand(2, 3, 32, 32)) * weights).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_folded_copy_predicts_the_same_and_leaves_the_network_alone():
    torch.manual_seed(0)
    network = ConfidenceNetwork()
    with torch.no_grad():  # statistics, scales and shifts that are not those of the start
        for _ in range(3):
            network(torch.rand(2, 3, 48, 48))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 2)
                module.bias.uniform_(-1, 1)
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.rand(1, 3, 70, 90)
    with torch.no_grad():
        expected = network(images)
        folded = network.folded()
        assert torch.allclose(folded(images), expected, atol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert expected.std() > 0.01
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


class TestMembers:
    """Several networks in one."""

    networks = tuple(network_with(s, n_channels=3, n_confidence_maps=2) for s in range(3))

    @pytest.mark.parametrize("training", [True, False])
    def test_draw_what_each_draws_alone(self, training):
        together = joined(self.networks).train(training)
        assert (together.n_members, together.n_confidence_maps, together.width) == (3, 2, 8)
        assert n_parameters(together) == sum(map(n_parameters, self.networks))
        images = torch.rand(2, 3, 40, 50)
        with torch.no_grad():
            maps = together(images)
            alone = [copy.deepcopy(one).train(training)(images) for one in self.networks]
        assert maps.shape == (2, 6, 40, 50)
        torch.testing.assert_close(maps, torch.cat(alone, 1), atol=1e-5, rtol=1e-5)

    def test_come_back_as_they_were_put_in(self):
        together = joined(self.networks)
        for member, network in enumerate(self.networks):
            state = together.member_state(member)
            assert state.keys() == network.state_dict().keys()
            assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())

    def test_are_copies(self):
        together = joined(self.networks)
        before = self.networks[1].head.weight.clone()
        with torch.no_grad():
            together.head.weight.zero_()
        assert torch.equal(self.networks[1].head.weight, before)

    def test_teach_each_other_nothing(self):
        together = joined(self.networks).train()
        together(torch.rand(2, 3, 32, 32))[:, 2:4].square().sum().backward()  # of the second one
        for parameter in together.parameters():
            first, second, third = parameter.grad.chunk(3)
            assert not first.any()
            assert second.any()
            assert not third.any()

    def test_fold_as_one_does(self):
        together = joined(self.networks)
        with torch.no_grad():
            together(torch.rand(2, 3, 48, 48))
            together.eval()
            images = torch.rand(1, 3, 40, 40)
            assert torch.allclose(together.folded()(images), together(images), atol=1e-5)
