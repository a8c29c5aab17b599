"""Prediction in pieces equals prediction in one go."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_selfseg.core import prediction
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.networks.confidence import ConfidenceNetwork
from napari_selfseg.core.prediction import (
    PredictionStopped,
    for_prediction,
    nearest_first,
    pieces,
    predict,
    predict_pieces,
    predict_region,
)


@pytest.fixture(scope="module")
def network() -> ConfidenceNetwork:
    torch.manual_seed(0)
    network = ConfidenceNetwork()
    with torch.no_grad():  # statistics of something, and maps that are not all near 0.5
        network(torch.rand(2, 3, 64, 64))
        network.head.weight.mul_(10)
    return network.eval()


@pytest.fixture(scope="module")
def tile() -> Tile:
    pixels = np.random.default_rng(0).integers(0, 256, (230, 260, 3), dtype=np.uint8)
    return Tile(pixels, 255.0, 0.25, "noise")


@pytest.fixture(params=[False, True], ids=["all bits", "half the bits"])
def precision(request, monkeypatch) -> bool:
    """Emulated where the processor has no bfloat16: slower there, the same numbers."""
    monkeypatch.setattr(prediction, "has_bfloat16", lambda device: request.param)
    return request.param


@pytest.mark.usefixtures("precision")
def test_no_seam_is_left(network, tile):
    predicting = for_prediction(network)
    whole = predict_region(predicting, tile, slice(0, 230), slice(0, 260))
    assert whole.max() - whole.min() > 0.2  # otherwise there would be nothing to see
    in_pieces = predict(network, tile, piece=64)
    assert in_pieces.shape == (4, 230, 260)
    assert np.abs(in_pieces.astype(np.float32) - whole).max() < 1e-3  # half precision
    inner = predict_region(predicting, tile, slice(90, 140), slice(100, 170))
    assert np.abs(inner - whole[:, 90:140, 100:170]).max() < 1e-4


def test_half_the_bits_draw_nearly_the_same(network, tile, precision):
    everything = slice(0, 230), slice(0, 260)
    exact = predict_region(network, tile, *everything)
    drawn = predict_region(for_prediction(network), tile, *everything)
    assert drawn.dtype == np.float32
    assert np.abs(drawn - exact).max() < (0.02 if precision else 1e-5)
    assert (np.abs(drawn - exact).max() > 1e-5) == precision
    assert next(network.parameters()).dtype == torch.float32


def test_the_border_is_continued_and_draws_no_frame(network):
    """A tile that is the same everywhere has the same map everywhere, also along its border."""
    even = Tile(np.full((200, 200, 3), 150, np.uint8), 255.0, 0.25, "even")
    drawn = predict_region(network, even, slice(0, 200), slice(0, 200))
    frame = np.abs(drawn[:, 0] - drawn[:, 100]).max()
    with torch.inference_mode():  # zeros right behind the border
        alone = network(torch.full((1, 3, 200, 200), 150 / 255))[0].numpy()
    assert frame < 0.1 * np.abs(alone[:, 0] - alone[:, 100]).max()


def test_too_small_a_halo_would_show(network, tile):
    whole = predict_region(network, tile, slice(0, 230), slice(0, 260))
    without = predict_region(network, tile, slice(90, 140), slice(100, 170), halo=0)
    assert np.abs(without - whole[:, 90:140, 100:170]).max() > 1e-3


def test_a_lazy_tile_gives_the_same(network, tile):
    import dask.array as da

    lazy = Tile(da.from_array(tile.pixels, chunks=100), 255.0, 0.25, "lazy")
    assert np.array_equal(predict(network, lazy), predict(network, tile))


def test_pieces_come_in_the_order_they_are_wanted_in(network, tile):
    whole = predict_region(network, tile, slice(0, 230), slice(0, 260))
    seen = slice(150, 200), slice(10, 60)
    wanted = nearest_first(pieces(slice(0, 230), slice(0, 260), 64), *seen)
    came = []
    for place, maps in predict_pieces(network, tile, wanted):
        np.testing.assert_allclose(maps, whole[:, *place], atol=1e-4)
        came.append(place)
    assert came == wanted
    far = [abs(r.start + r.stop - 350) + abs(c.start + c.stop - 70) for r, c in came]
    assert far[0] == min(far)
    assert far[-1] == max(far)


def test_only_the_next_piece_is_read_ahead(network, tile):
    class Watched:
        shape, dtype, read = tile.pixels.shape, tile.pixels.dtype, 0

        def __getitem__(self, place):
            self.read += 1
            return tile.pixels[place]

    pixels = Watched()
    places = list(pieces(slice(0, 230), slice(0, 260), 64))
    for n, _ in enumerate(predict_pieces(network, Tile(pixels, 255.0), places), start=1):
        # this one, the one that is computed and the one that is read
        assert n <= pixels.read <= min(n + 2, len(places))


def test_a_piece_that_cannot_be_read_says_so(network, tile):
    class Broken:
        shape, dtype = tile.pixels.shape, tile.pixels.dtype

        def __getitem__(self, place):
            if place[0].start > 0:
                raise OSError("the share is gone")
            return tile.pixels[place]

    with pytest.raises(OSError, match="the share is gone"):
        predict(network, Tile(Broken(), 255.0), piece=100)


def test_the_mode_of_the_network_is_restored(network, tile):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    predict_region(network, tile, slice(0, 40), slice(0, 40))
    assert network.training
    network.eval()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("training", [False, True])
def test_the_mode_of_a_network_that_cannot_be_folded_is_restored(tile, training):
    plain = torch.nn.Conv2d(3, 2, 1).train(training)
    predict(plain, tile)
    assert plain.training == training


def test_it_can_be_stopped_between_pieces(network, tile):
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(PredictionStopped):
        predict(network, tile, piece=64, should_stop=stop)
    assert len(asked) == 3


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 90), st.integers(0, 50))
def test_pieces_cover_every_pixel_once(n_rows, n_columns, size, offset):
    covered = np.zeros((n_rows + offset, n_columns), int)
    for rows, columns in pieces(slice(offset, n_rows + offset), slice(0, n_columns), size):
        assert 0 < rows.stop - rows.start <= size
        assert 0 < columns.stop - columns.start <= size
        covered[rows, columns] += 1
    assert (covered[offset:] == 1).all()
    assert not covered[:offset].any()
