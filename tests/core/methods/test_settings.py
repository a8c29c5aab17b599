"""Settings: checked, frozen, torch-free; presets; from µm to px."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from napari_selfseg.core.images.tissue import STRIDES
from napari_selfseg.core.methods import METHODS
from napari_selfseg.core.methods.settings import (
    PRESETS,
    PatchContrastSettings,
    TrainingSettings,
    preset_settings,
)


@pytest.mark.parametrize("preset", PRESETS)
class TestPresets:
    def test_is_valid_and_says_nothing_unknown(self, preset):
        settings = preset_settings(preset)
        assert isinstance(settings, PatchContrastSettings)
        assert PRESETS[preset].keys() <= PatchContrastSettings.model_fields.keys()
        assert all(getattr(settings, name) == v for name, v in PRESETS[preset].items())

    def test_changes_go_on_top(self, preset):
        settings = preset_settings(preset, seed=7, n_steps=3)
        assert (settings.seed, settings.n_steps) == (7, 3)
        assert settings.crop_size == preset_settings(preset).crop_size

    def test_another_methods_settings_take_what_they_know(self, preset):
        settings = preset_settings(preset, TrainingSettings)
        assert type(settings) is TrainingSettings
        assert settings.n_steps == PRESETS[preset]["n_steps"]

    @pytest.mark.parametrize("um_per_px", [None, 0.25, 0.5])
    def test_crops_hold_patches_enough(self, preset, um_per_px):
        settings = preset_settings(preset)
        needed = settings.patch_size(um_per_px) + STRIDES * settings.stride(um_per_px)
        assert settings.crop_size >= needed


def test_as_published_is_what_was_published():
    settings = preset_settings("as-published")
    told = settings.model_dump(
        include={
            "batch_size",
            "crop_size",
            "learning_rate",
            "weight_decay",
            "patch_px",
            "stride_px",
            "n_draws",
            "n_confidence_maps",
            "sampler",
            "similarity",
            "image_space",
            "temperature",
            "starts",
        }
    )
    assert told == {
        "batch_size": 10,
        "crop_size": 300,
        "learning_rate": 2e-4,
        "weight_decay": 1e-4,
        "patch_px": 50,
        "stride_px": 20,
        "n_draws": 10,
        "n_confidence_maps": 4,
        "sampler": "entropy",
        "similarity": "mse",
        "image_space": "rgb",
        "temperature": 1.0,
        "starts": 1,
    }


def test_unknown_preset():
    with pytest.raises(KeyError):
        preset_settings("slow")


class TestChecks:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"n_steps": 0},
            {"learning_rate": 0.0},
            {"learning_rate": -1e-3},
            {"batch_size": 0},
            {"crop_size": 10},
            {"seed": -1},
            {"seed": 2**31},
            {"device": "tpu"},
            {"n_confidence_maps": 0},
            {"patch_px": 4},
            {"patch_um": 0.0},
            {"stride_px": 0},
            {"n_draws": 0},
            {"sampler": "entropie"},
            {"similarity": "euclid"},
            {"temperature": 0.0},
            {"starts": 0},
            {"no_such_setting": 1},
        ],
        ids=str,
    )
    def test_wrong_values_are_refused(self, wrong):
        with pytest.raises(ValidationError) as caught:
            PatchContrastSettings(**wrong)
        assert next(iter(wrong)) in str(caught.value)

    def test_the_featuriser_needs_18_px(self):
        with pytest.raises(ValidationError, match="at least 18 px"):
            PatchContrastSettings(similarity="featurised-cosine", patch_px=17)
        PatchContrastSettings(similarity="featurised-cosine", patch_px=18)
        PatchContrastSettings(similarity="mse", patch_px=17)

    @pytest.mark.parametrize("sampler", ["probabilistic", "top-k"])
    def test_half_of_one_draw_is_no_negative(self, sampler):
        with pytest.raises(ValidationError, match=f"{sampler} sampler needs at least 2"):
            PatchContrastSettings(sampler=sampler, n_draws=1)
        PatchContrastSettings(sampler=sampler, n_draws=2)
        PatchContrastSettings(sampler="entropy", n_draws=1)

    def test_are_frozen(self):
        with pytest.raises(ValidationError):
            PatchContrastSettings().seed = 1

    def test_survive_json(self):
        settings = preset_settings("quick", seed=5, patch_um=None)
        assert PatchContrastSettings.model_validate_json(settings.model_dump_json()) == settings

    @pytest.mark.parametrize("name", PatchContrastSettings.model_fields)
    def test_every_field_speaks_to_the_user(self, name):
        field = PatchContrastSettings.model_fields[name]
        assert field.title
        assert field.description
        assert field.description.endswith(".")


class TestScale:
    @pytest.mark.parametrize(
        ("um_per_px", "patch", "stride"),
        [(0.25, 50, 20), (0.5, 25, 10), (0.125, 100, 40), (0.2431, 51, 20), (None, 50, 20)],
    )
    def test_a_patch_is_12_5_um(self, um_per_px, patch, stride):
        settings = PatchContrastSettings()
        assert settings.patch_size(um_per_px) == patch
        assert settings.stride(um_per_px) == stride

    def test_px_count_where_um_are_off(self):
        settings = PatchContrastSettings(patch_um=None, patch_px=30, stride_px=7)
        assert (settings.patch_size(0.25), settings.stride(0.25)) == (30, 7)

    def test_a_coarse_image_leaves_at_least_8_px_and_a_step(self):
        settings = PatchContrastSettings(stride_px=1)
        assert (settings.patch_size(10.0), settings.stride(10.0)) == (8, 1)

    def test_and_18_px_for_the_featuriser(self):
        settings = PatchContrastSettings(similarity="featurised-cosine")
        assert settings.patch_size(10.0) == 18
        assert settings.patch_size(0.25) == 50


class TestTotalSteps:
    def test_one_start_is_just_trained(self):
        settings = PatchContrastSettings(n_steps=30, starts_at_once=9)
        assert (settings.total_steps, settings.starts_per_step) == (30, 1)

    def test_several_starts_share_steps(self):
        settings = PatchContrastSettings(n_steps=30, starts=7, starts_at_once=3)
        assert settings.total_steps == 3 * 30
        assert settings.starts_per_step == pytest.approx(7 / 3)


def test_the_methods_table_agrees_with_the_methods():
    for entry in METHODS.values():
        method = entry.load()
        assert method.title == entry.title
        assert method.needs_annotation == entry.needs_annotation
        assert method.Settings is entry.Settings


def test_settings_and_the_methods_table_come_without_torch():
    code = "import sys, napari_selfseg.core.methods; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
