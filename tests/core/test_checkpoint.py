"""A model comes back bit for bit; what is damaged, foreign or dangerous is refused politely."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_selfseg.core.checkpoint import (
    CheckpointError,
    TrainedModel,
    load_model,
    read_settings,
    save_model,
)
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.methods.patch_contrast import PatchContrast
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.core.networks.consensus import Opinion
from napari_selfseg.core.prediction import predict


@pytest.fixture
def tile():
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    return Tile(pixels, white=255)


@pytest.fixture
def model():
    settings = PatchContrastSettings(seed=3, n_confidence_maps=2, image_space="optical-density")
    network = PatchContrast().build_model(settings, n_channels=3)
    network.to(memory_format=torch.channels_last).train()
    with torch.no_grad():  # batch statistics that are not the initial ones
        network(torch.rand(4, 3, 40, 40, generator=torch.Generator().manual_seed(0)))
    return TrainedModel(network.eval(), "patch-contrast", settings, 0.25, 3)


@pytest.fixture
def folder(model, tmp_path):
    save_model(model, tmp_path / "run")
    return tmp_path / "run"


def change_settings(folder, **changes):
    path = folder / "settings.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | changes))


def change_weights(folder, change):
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


def test_the_same_maps_bit_for_bit(model, folder, tile):
    loaded = load_model(folder)
    before = predict(model.network, tile, model.image_space)
    after = predict(loaded.network, tile, loaded.image_space)
    assert before.std() > 0
    np.testing.assert_array_equal(before, after)


def test_everything_else_comes_back(model, folder):
    loaded = load_model(folder)
    assert loaded.method == "patch-contrast"
    assert loaded.settings == model.settings
    assert loaded.um_per_px == 0.25
    assert loaded.n_channels == 3
    assert loaded.image_space == "optical-density"
    assert not loaded.network.training


def test_an_unknown_scale_stays_unknown(model, tmp_path):
    save_model(TrainedModel(model.network, model.method, model.settings, None, 3), tmp_path)
    assert load_model(tmp_path).um_per_px is None


def test_a_grey_model(tmp_path):
    settings = PatchContrastSettings()
    network = PatchContrast().build_model(settings, n_channels=1)
    save_model(TrainedModel(network, "patch-contrast", settings, 0.5, 1), tmp_path)
    assert load_model(tmp_path).network.n_channels == 1


def test_saving_leaves_only_two_files(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "settings.json"]


def test_further_values_are_kept(model, tmp_path):
    save_model(model, tmp_path, extra={"choice": {"channel": 1}})
    assert read_settings(tmp_path)["choice"] == {"channel": 1}
    load_model(tmp_path)


class Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.parametrize("name", ["model.pt", "weights.pkl", "last.ckpt", "MODEL.PTH"])
def test_a_pickle_is_never_opened(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match=r"pickled model .* only model.safetensors is read"):
        load_model(tmp_path)


def test_a_pickle_under_the_right_name_is_never_opened(folder):
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(folder)


def no_folder(folder):
    return folder.parent / "nothing"


def a_file(folder):
    return folder / "settings.json"


def empty_folder(folder):
    (folder.parent / "empty").mkdir()
    return folder.parent / "empty"


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def no_settings(folder):
    (folder / "settings.json").unlink()


def cut_off_settings(folder):
    path = folder / "settings.json"
    path.write_bytes(path.read_bytes()[:-30])


def settings_of_nulls(folder):
    (folder / "settings.json").write_bytes(b"\x00\xff" * 100)


def deep_settings(folder):
    (folder / "settings.json").write_text("[" * 100_000)


def huge_settings(folder):
    (folder / "settings.json").write_text(" " * 2_000_000 + "{}")


def a_list(folder):
    (folder / "settings.json").write_text("[]")


def something_else(folder):
    (folder / "settings.json").write_text('{"format": "car"}')


def newer(folder):
    change_settings(folder, format_version=99)


def no_version(folder):
    change_settings(folder, format_version="one")


def unknown_method(folder):
    change_settings(folder, method="../../secret")


def method_that_is_a_list(folder):
    change_settings(folder, method=["patch-contrast"])


def unknown_setting(folder):
    change_settings(folder, settings={"n_stepz": 3})


def setting_out_of_range(folder):
    change_settings(folder, settings={"n_confidence_maps": 1_000_000_000})


def settings_that_are_a_list(folder):
    change_settings(folder, settings=[1, 2])


def two_channels(folder):
    change_settings(folder, n_channels=2)


def negative_scale(folder):
    change_settings(folder, um_per_px=-1.0)


def infinite_scale(folder):
    change_settings(folder, um_per_px=float("inf"))


def cut_off_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def empty_weights(folder):
    (folder / "model.safetensors").write_bytes(b"")


def missing_tensor(folder):
    change_weights(folder, lambda state: state.pop("head.bias"))


def additional_tensor(folder):
    change_weights(folder, lambda state: state.update(evil=torch.zeros(3)))


def wrong_shape(folder):
    change_weights(folder, lambda state: state.update({"head.bias": torch.zeros(7)}))


def wrong_type(folder):
    change_weights(folder, lambda state: state.update({"head.bias": torch.zeros(2).double()}))


def not_a_number(folder):
    change_weights(folder, lambda state: state["head.bias"].fill_(float("nan")))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_folder, "There is no run folder"),
        (a_file, "There is no run folder"),
        (empty_folder, "is no run folder"),
        (no_weights, "holds no model.safetensors"),
        (no_settings, "holds no settings.json"),
        (cut_off_settings, "damaged"),
        (settings_of_nulls, "damaged"),
        (deep_settings, "damaged"),
        (huge_settings, "damaged"),
        (a_list, "no SelfSeg model"),
        (something_else, "no SelfSeg model"),
        (newer, "newer napari-selfseg"),
        (no_version, "damaged"),
        (unknown_method, "does not have; it has patch-contrast"),
        (method_that_is_a_list, "does not have"),
        (unknown_setting, "unknown or out of range: n_stepz"),
        (setting_out_of_range, "unknown or out of range: n_confidence_maps"),
        (settings_that_are_a_list, "damaged"),
        (two_channels, "what kind of image"),
        (negative_scale, "what kind of image"),
        (infinite_scale, "what kind of image"),
        (cut_off_weights, "damaged"),
        (empty_weights, "damaged"),
        (missing_tensor, "head.bias is missing"),
        (additional_tensor, "evil is unknown"),
        (wrong_shape, r"head.bias has the shape \(7,\) instead of \(2,\)"),
        (wrong_type, "head.bias has numbers of another type"),
        (not_a_number, "head.bias holds numbers that are not finite"),
    ],
)
def test_what_is_damaged_is_told_in_one_sentence(folder, damage, words):
    folder = damage(folder) or folder
    with pytest.raises(CheckpointError, match=words) as caught:
        load_model(folder)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")


def test_a_settings_file_that_lacks_a_newer_field_gets_its_default(folder):
    change_settings(folder, settings={"n_confidence_maps": 2})
    assert load_model(folder).settings == PatchContrastSettings(n_confidence_maps=2)


def test_a_full_disk_leaves_the_old_model(model, folder, monkeypatch):
    before = (folder / "model.safetensors").read_bytes()
    with torch.no_grad():
        model.network.head.bias.fill_(1.0)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match="disk is full"):
        save_model(model, folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert len(list(folder.iterdir())) == 2


@pytest.fixture
def consensus(tmp_path):
    """The folder of three starts of which two agree, and the model in it."""
    settings = PatchContrastSettings(starts=3, committee=2, n_confidence_maps=2)
    method = PatchContrast()
    network = method.build_model(settings)
    states = []
    for seed in (1, 2):
        one = method.build_network(settings.model_copy(update={"seed": seed}))
        with torch.no_grad():
            one(torch.rand(4, 3, 40, 40, generator=torch.Generator().manual_seed(seed)))
        states.append(one.state_dict())
    network.listen_to([Opinion(states[0], 1, False), Opinion(states[1], 0, True)])
    network.to(memory_format=torch.channels_last).eval()
    model = TrainedModel(network, "patch-contrast", settings, 0.25, 3)
    save_model(model, tmp_path / "consensus")
    return tmp_path / "consensus", model


def test_a_consensus_comes_back_bit_for_bit(consensus, tile):
    folder, model = consensus
    loaded = load_model(folder)
    assert int(loaded.network.n_heard) == 2
    maps = predict(model.network, tile)
    np.testing.assert_array_equal(predict(loaded.network, tile), maps)
    loaded.network.n_heard.fill_(1)
    assert not np.array_equal(predict(loaded.network, tile), maps)


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("n_heard", (), 0, "0 of 2 members"),
        ("n_heard", (), -1, "-1 of 2 members"),
        ("n_heard", (), 99, "99 of 2 members"),
        ("channels", (0,), 7, "names a map that there is not"),
        ("channels", (1,), -1, "names a map that there is not"),
    ],
)
def test_a_consensus_with_impossible_numbers_is_refused(consensus, name, place, value, words):
    folder, _ = consensus

    def change(state):
        state[name][place] = value

    change_weights(folder, change)
    with pytest.raises(CheckpointError, match=words):
        load_model(folder)
