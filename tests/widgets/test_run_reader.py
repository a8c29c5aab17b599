"""A run folder that is dropped on napari comes back as confidence and labels."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from napari.layers import Layer
from tests.drawn_regions import drawn_regions

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.reading import tile_from_array
from napari_selfseg.core.instances import label_image
from napari_selfseg.core.methods.region_settings import RegionSettings
from napari_selfseg.core.methods.settings import PatchContrastSettings, preset_settings
from napari_selfseg.core.regions import mask_of_class
from napari_selfseg.session.run import TrainingRequest, TrainingRun
from napari_selfseg.session.store import StoreError, save_region_run, save_run
from napari_selfseg.widgets.image_layers import image_layers, um_per_px_of
from napari_selfseg.widgets.run_reader import get_run_reader


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A stored run on a drawn tile at 0.25 µm/px, its folder, result and labels."""
    rgb, _ = drawn_he_tile(rows=144, columns=160, n_nuclei=15)
    tile = tile_from_array(rgb, um_per_px=0.25, name="drawn", rgb=True)
    settings = preset_settings("quick", PatchContrastSettings, starts=1, n_steps=2)
    *_, finished = TrainingRun(TrainingRequest((tile,), settings)).updates()
    result = finished.result
    labels = label_image(result.confidence(), result.suggested_label_settings())
    folder = tmp_path_factory.mktemp("runs") / "my run"
    save_run(result, folder, labels)
    return folder, result, labels


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run[0], tmp_path / "copy")


def read(folder) -> list[Layer]:
    return [Layer.create(*each) for each in get_run_reader(str(folder))(str(folder))]


def test_confidence_and_labels_come_back_in_their_place(run):
    folder, result, labels = run
    shown, editable = read(folder)
    np.testing.assert_allclose(shown.data, result.confidence(), atol=1e-3)
    np.testing.assert_array_equal(editable.data, labels)
    assert um_per_px_of(shown) == um_per_px_of(editable) == pytest.approx(0.25)
    assert editable.editable
    assert [layer.name for layer in (shown, editable)] == ["my run confidence", "my run labels"]


def test_the_confidence_is_not_offered_as_a_tile(run):
    from napari.components import ViewerModel

    viewer = ViewerModel()
    viewer.layers.extend(read(run[0]))
    assert image_layers(viewer) == []


def test_without_labels_the_confidence_is_visible(copy):
    (copy / "result" / "labels.tif").unlink()
    (shown,) = read(copy)
    assert shown.visible


def test_foreign_folders_and_stacks_are_left_to_others(run, tmp_path):
    (tmp_path / "settings.json").write_text("{}")
    assert get_run_reader(str(tmp_path)) is None
    assert get_run_reader([str(run[0]), str(run[0])]) is None


def test_a_model_without_a_result_gets_one_sentence(copy):
    shutil.rmtree(copy / "result")
    with pytest.raises(StoreError, match="no result"):
        read(copy)


def test_a_damaged_run_gets_one_sentence(copy):
    (copy / "settings.json").write_text("{")
    with pytest.raises(StoreError):
        read(copy)


def test_regions_come_back_with_their_names_colours_and_objects(tmp_path):
    rgb, _ = drawn_regions()
    tile = tile_from_array(rgb, um_per_px=1.0, name="drawn", rgb=True)
    request = TrainingRequest((tile,), RegionSettings(device="cpu"), "regions")
    *_, finished = TrainingRun(request).updates()
    result = finished.result.renamed(1, "gland").with_structure(1, "one click")
    labels = result.labels()
    objects = mask_of_class(labels, 1, 1.0)
    save_region_run(result, tmp_path / "run", labels, None, objects)
    classes, glands = read(tmp_path / "run")
    np.testing.assert_array_equal(classes.data, labels)
    np.testing.assert_array_equal(glands.data, objects)
    assert (classes.name, glands.name) == ("run regions", "run gland")
    assert list(classes.features["class"]) == ["", "gland", "region 2", "background"]
    assert len({tuple(classes.get_color(k)) for k in (1, 2, 3)}) == 3
    assert um_per_px_of(classes) == pytest.approx(1.0)
    assert not classes.visible
    assert glands.visible
