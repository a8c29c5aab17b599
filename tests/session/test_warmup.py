"""What the presets are said to cost, and the timing it rests on."""

from dataclasses import replace

import torch

from napari_selfseg.core.methods.settings import PRESETS, preset_settings
from napari_selfseg.core.networks import precision
from napari_selfseg.session.warmup import DeviceReport, preset_seconds, warm_up

torch.set_num_threads(1)
REPORT = DeviceReport("cpu", 1, 1.6, 0.4, has_bfloat16=True)


def seconds(preset, report=REPORT, shape=(1000, 1000)):
    return preset_seconds(report, preset_settings(preset), shape)


def test_more_thorough_presets_cost_more():
    assert 0 < seconds("quick") < seconds("standard") < seconds("thorough")


def test_all_the_bits_cost_more_where_there_is_a_refinement():
    in_full = replace(REPORT, has_bfloat16=False)
    assert seconds("standard", in_full) > 1.3 * seconds("standard")
    assert seconds("as-published", in_full) == seconds("as-published")


def test_a_slower_machine_and_a_larger_tile_cost_more():
    slower = replace(REPORT, seconds_per_megapixel_step=3.2, seconds_per_megapixel_predict=0.8)
    for preset in PRESETS:
        assert seconds(preset, slower) > 1.9 * seconds(preset)
        assert seconds(preset, shape=(4000, 4000)) > seconds(preset)


def test_the_warm_up_times_this_device(monkeypatch):
    monkeypatch.setattr(precision, "_processor_has_bfloat16", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    report = warm_up(threads=1)
    assert report.problem is None
    assert report.device == "cpu"
    assert report.seconds_per_megapixel_step > 0
    assert report.seconds_per_megapixel_predict > 0
    assert report.has_bfloat16
