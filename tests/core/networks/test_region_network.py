"""The network of the regions: cells at fixed places, memberships that add up, its state is all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.drawn_regions import EMPTY, GLAND, drawn_regions

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.networks.network_input import network_input
from napari_selfseg.core.networks.region_network import RegionNetwork, blur
from napari_selfseg.core.prediction import predict, predict_region

RGB, TRUTH = drawn_regions(233, 301)


def network(n_channels=3, um_per_px=0.5, cell_um=2.0, n_classes=3):
    made = RegionNetwork(n_channels, n_classes)
    made.set_scale(um_per_px, cell_um, (6.0, 3.0, 10.0))
    generator = torch.Generator().manual_seed(0)
    pixels = RGB if n_channels == 3 else RGB[..., :1]
    x = torch.from_numpy(network_input(pixels / np.float32(255)))[None]
    rows = made.features(x)[0].flatten(1).T
    made.mean.copy_(rows.mean(0))
    made.spread.copy_(rows.std(0))
    drawn = torch.randperm(len(rows), generator=generator)[:n_classes]
    made.take_classes(((rows[drawn] - made.mean) / made.spread).numpy(), 0.1)
    return made.eval()


@pytest.mark.parametrize("n_channels", [1, 3])
def test_memberships_add_up_to_one_and_have_the_size_of_the_image(n_channels):
    maps = network(n_channels)(torch.rand(2, n_channels, 61, 50))
    assert maps.shape == (2, 3, 61, 50)
    assert float(maps.min()) >= 0
    assert torch.allclose(maps.sum(1), torch.ones(2, 61, 50), atol=1e-5)


@pytest.mark.parametrize("um_per_px", [0.29, 0.5, 2.0, 3.0])
def test_pieces_fit_together_without_a_seam(um_per_px):
    made = network(um_per_px=um_per_px)
    assert made.alignment == max(1, round(2.0 / um_per_px))
    tile = Tile(RGB, 255.0, um_per_px)
    whole = predict_region(made, tile, slice(0, 233), slice(0, 301))
    assert whole.max() - whole.min() > 0.5  # otherwise there would be nothing to see
    for rows, columns in (
        (slice(101, 150), slice(77, 130)),  # not where a cell begins
        (slice(0, 50), slice(250, 301)),
        (slice(190, 233), slice(3, 90)),
    ):
        piece = predict_region(made, tile, rows, columns)
        assert np.abs(piece - whole[:, rows, columns]).max() < 1e-4
    in_pieces = predict(made, tile, piece=70)
    assert np.abs(in_pieces.astype(np.float32) - whole).max() < 1e-3  # half precision


def test_a_halo_that_is_too_small_would_show():
    made, tile = network(), Tile(RGB, 255.0, 0.5)
    whole = predict_region(made, tile, slice(0, 233), slice(0, 301))
    without = predict_region(made, tile, slice(101, 150), slice(77, 130), halo=0)
    assert np.abs(without - whole[:, 101:150, 77:130]).max() > 1e-3


def test_the_class_with_most_haematoxylin_is_first():
    amounts = network(n_classes=6).amounts()
    assert (amounts.diff() <= 0).all()
    assert float(amounts[0]) > float(amounts[-1])


def test_glass_is_told_apart_from_pale_tissue():
    made = network()
    x = torch.from_numpy(network_input(RGB / np.float32(255)))[None]
    features = made.features(x)[0]
    cells = TRUTH[::4, ::4].copy()[: features.shape[1], : features.shape[2]]
    cells[:, :65] = np.where(cells[:, :65] == EMPTY, 0, cells[:, :65])  # the middle of the strip
    means = [features[:, torch.from_numpy(cells == k)].mean(1) for k in (GLAND, EMPTY)]
    standard = (torch.stack([*means, means[0]]) - made.mean) / made.spread
    made.take_classes(standard.numpy(), 1.0)
    assert made.glass() == 2  # the last: it has least haematoxylin
    made.take_classes(standard[[0, 2, 2]].numpy(), 1.0)
    assert made.glass() is None


def test_the_state_is_all_there_is():
    made = network(um_per_px=0.29)
    again = RegionNetwork(3, 3)
    again.load_state_dict(made.state_dict())
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(x), made(x))
    assert (again.alignment, again.halo) == (made.alignment, made.halo)


def test_a_dark_field_is_read_as_its_negative():
    made = network(1)
    light = torch.rand(1, 1, 40, 40)
    as_input = 0.95 * light + 0.05
    bright = made.features(as_input)
    made.dark_field.fill_(True)
    assert torch.allclose(made.features(0.95 * (1 - light) + 0.05), bright, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "value"), [("stride", 0), ("stride", 10**6), ("sigmas", -1.0), ("spread", 0.0)]
)
def test_damaged_numbers_are_told(name, value):
    made = network()
    assert made.problem() == ""
    getattr(made, name).fill_(value)
    assert made.problem()


def test_a_blur_keeps_the_mean_and_spreads_by_sigma():
    image = torch.zeros(1, 1, 41, 41)
    image[..., 20, 20] = 1
    blurred = blur(image, 2.5)[0, 0]
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-5)
    away = torch.arange(41) - 20
    spread = float((blurred.sum(1) * away**2).sum()) ** 0.5
    assert spread == pytest.approx(2.5, rel=0.03)
