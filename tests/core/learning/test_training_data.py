"""The training data: which crops are drawn, from which tile, and how they are scaled."""

import dask.array as da
import numpy as np
import pytest
import torch
from tests.core.learning.small_training import random_tile

from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.core.learning import training_data
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.networks.network_input import network_input


def flat_tile(value, rows=40, columns=50, channels=1):
    return Tile(np.full((rows, columns, channels), value, np.uint8), 255)


def read_back(crops):
    """Undo 0.95 x + 0.05."""
    return (crops - 0.05) / 0.95


class TestData:
    def test_crops_are_pieces_of_the_tile_from_everywhere(self):
        """Every pixel holds its own number, so that a crop tells where it was taken."""
        ramp = np.arange(30 * 40, dtype=np.uint16).reshape(30, 40, 1)
        data = TrainingData([Tile(ramp, white=4095)])
        crops = data.draw(np.random.default_rng(0), 400, 20)
        assert crops.shape == (400, 1, 20, 20)
        assert crops.dtype == torch.float32
        numbers = (read_back(crops) * 4095).round().int().numpy()[:, 0]
        tops, lefts = numbers[:, 0, 0] // 40, numbers[:, 0, 0] % 40
        for crop, top, left in zip(numbers, tops, lefts, strict=True):
            assert np.array_equal(crop, ramp[top : top + 20, left : left + 20, 0])
        assert set(tops) == set(range(11))
        assert set(lefts) == set(range(21))

    def test_tiles_take_turns(self):
        values = [0, 60, 120, 180]
        data = TrainingData([flat_tile(v) for v in values])
        crops = data.draw(np.random.default_rng(0), 12, 16)
        drawn = (read_back(crops[:, 0, 0, 0]) * 255).round().int().tolist()
        rounds = [drawn[i : i + 4] for i in (0, 4, 8)]
        assert all(sorted(one) == values for one in rounds)
        assert len({tuple(one) for one in rounds}) > 1  # in random order

    def test_turns_go_on_over_the_steps(self):
        data = TrainingData([flat_tile(v) for v in (0, 100, 200)])
        rng = np.random.default_rng(0)
        drawn = torch.cat([data.draw(rng, 2, 8) for _ in range(3)])[:, 0, 0, 0]
        assert sorted(drawn.tolist()[:3]) == sorted(drawn.tolist()[3:])
        assert len(set(drawn.tolist())) == 3

    def test_a_restart_forgets_the_turn(self):
        data = TrainingData([flat_tile(v) for v in (0, 100, 200)])
        first = data.draw(np.random.default_rng(1), 2, 8)
        data.restart()
        assert torch.equal(data.draw(np.random.default_rng(1), 2, 8), first)

    def test_tiles_of_different_size(self):
        data = TrainingData([random_tile(30, 60), random_tile(50, 25)])
        assert data.crop_side(300) == 25
        assert data.draw(np.random.default_rng(0), 8, 25).shape == (8, 3, 25, 25)

    @pytest.mark.parametrize(
        ("rows", "columns", "side"), [(400, 500, 300), (200, 500, 200), (500, 90, 90)]
    )
    def test_crop_side_is_the_smallest_of_wanted_rows_columns(self, rows, columns, side):
        assert TrainingData([flat_tile(0, rows, columns)]).crop_side(300) == side

    def test_grey_and_colour_are_not_mixed(self):
        with pytest.raises(TileError, match="Grey and colour"):
            TrainingData([random_tile(channels=3), random_tile(channels=1)])

    def test_no_tile(self):
        with pytest.raises(TileError, match="no image"):
            TrainingData([])

    @pytest.mark.parametrize("channels", [1, 3])
    def test_optical_density(self, channels):
        tile = random_tile(channels=channels)
        region = slice(3, 20), slice(10, 30)
        found = TrainingData([tile], "optical-density").read(0, *region)
        assert np.array_equal(found, network_input(tile.read(*region), "optical-density"))
        assert not np.allclose(found, TrainingData([tile]).read(0, *region))

    def test_a_lazy_tile_gives_the_same_crops(self, monkeypatch):
        tile = random_tile(64, 64)
        lazy = Tile(da.from_array(tile.pixels, chunks=(16, 16, 3)), 255)
        expected = TrainingData([tile]).draw(np.random.default_rng(3), 5, 20)
        in_memory = TrainingData([lazy])
        assert torch.equal(in_memory.draw(np.random.default_rng(3), 5, 20), expected)
        monkeypatch.setattr(training_data, "MAX_BYTES_IN_MEMORY", 100)
        crop_by_crop = TrainingData([lazy])
        assert torch.equal(crop_by_crop.draw(np.random.default_rng(3), 5, 20), expected)

    def test_values_outside_are_clipped(self):
        data = TrainingData([Tile(np.array([[[-0.5], [1.5]]] * 2, np.float32), 1.0)])
        crops = data.draw(np.random.default_rng(0), 1, 2)
        assert crops[0, 0, 0].tolist() == pytest.approx([0.05, 1.0])

    def test_scale_is_the_median_where_all_are_known(self):
        scaled = [random_tile(um_per_px=s) for s in (0.2, 0.25, 0.5)]
        assert TrainingData(scaled).um_per_px == 0.25
        assert TrainingData([*scaled, random_tile()]).um_per_px is None
