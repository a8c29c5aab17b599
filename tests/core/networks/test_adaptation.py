"""Statistics of batch normalisation: seen, compared, mixed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_selfseg.core.networks.adaptation import (
    FAR,
    MOST_SHARE,
    distance,
    mixed,
    share_for,
    statistics_of,
)
from napari_selfseg.core.networks.unet import UNet

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def network_that_saw(images):
    torch.manual_seed(0)
    network = UNet(3, widths=(4, 6))
    network.train()
    with torch.no_grad():
        for _ in range(60):  # running statistics come close to those of the images
            network(images)
    return network.eval()


NETWORK = network_that_saw(IMAGES)


def test_the_first_statistics_are_those_of_the_first_convolution():
    first = statistics_of(NETWORK, IMAGES)[0]
    with torch.no_grad():
        features = NETWORK.down[0][0](IMAGES)
    torch.testing.assert_close(first.mean, features.mean((0, 2, 3)))
    torch.testing.assert_close(first.variance, features.var((0, 2, 3)))


def test_looking_changes_nothing():
    before = {name: value.clone() for name, value in NETWORK.state_dict().items()}
    statistics_of(NETWORK, IMAGES * 0.3)
    mixed(NETWORK, statistics_of(NETWORK, IMAGES * 0.3), 0.5)
    assert all(torch.equal(value, before[name]) for name, value in NETWORK.state_dict().items())
    assert not NETWORK.training


def test_what_was_learned_from_is_near_and_another_staining_is_far():
    near = distance(NETWORK, statistics_of(NETWORK, IMAGES))
    far = distance(NETWORK, statistics_of(NETWORK, IMAGES * 0.3))
    assert near < 0.01
    assert far > 20 * near


@torch.no_grad()
def test_all_of_a_tiles_statistics_make_it_look_usual_again():
    """A network does not notice a scale and a shift of the image once it takes its statistics."""
    changed = IMAGES * 0.5 + 0.1
    seen = statistics_of(NETWORK, changed)
    wholly = mixed(NETWORK, seen, 1.0)
    own = mixed(NETWORK, statistics_of(NETWORK, IMAGES), 1.0)
    inside = (slice(None), slice(None), slice(12, 20), slice(12, 20))  # zeros pad the border
    usual, adapted = own(IMAGES)[inside], wholly(changed)[inside]
    unadapted = NETWORK(changed)[inside]
    assert (adapted - usual).abs().mean() < 0.5 * (unadapted - usual).abs().mean()


def test_no_share_is_the_network_itself():
    seen = statistics_of(NETWORK, IMAGES * 0.3)
    assert torch.equal(mixed(NETWORK, seen, 0.0)(IMAGES), NETWORK(IMAGES))


@given(far=st.floats(0, 10), usual=st.floats(0, 1), more=st.floats(0, 10))
def test_the_share_grows_with_the_distance_up_to_a_limit(far, usual, more):
    assert 0 <= share_for(far, usual) <= share_for(far + more, usual) <= MOST_SHARE


def test_half_of_the_most_is_taken_at_three_times_the_usual_distance():
    assert share_for(FAR * 0.01, 0.01) == pytest.approx(MOST_SHARE / 2)
    assert share_for(0.01, 0.01) == pytest.approx(MOST_SHARE / 10)
    assert share_for(0.0, 0.0) == 0
    assert share_for(float("nan"), 0.01) == 0
