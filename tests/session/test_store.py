"""A run comes back as it was; a fault leaves what was there; nothing private is stored."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.checkpoint import TrainedModel
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.instances import LabelSettings, label_image
from napari_selfseg.core.maps import Prediction
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.patch_contrast import PatchContrast
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.core.prediction import predict
from napari_selfseg.core.threshold import threshold_confidence
from napari_selfseg.session.curves_file import curves_from_csv, curves_to_csv
from napari_selfseg.session.provenance import build_provenance
from napari_selfseg.session.result import RunResult
from napari_selfseg.session.store import (
    StoreError,
    check_free,
    load_run,
    read_labels,
    save_run,
    write_confidence,
    write_labels,
)

CURVES = (
    TrainingStep("start 1 of 2", 1, 3, {"entropy": 0.1 + 0.2, "entropy/0": 1 / 3}),
    TrainingStep("learning", 2, 3, {"entropy": 1e-300, "skipped": 1.0}, 'A note, with "quotes".'),
    TrainingStep("learning", 3, 3, {}),
)


@pytest.fixture
def result():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    tile = Tile(pixels, white=255, um_per_px=0.25, name="patient-12")
    settings = PatchContrastSettings(n_confidence_maps=2)
    network = PatchContrast().build_model(settings, 3).eval()
    choice = ChannelChoice(1, True, 0.5, "guess", (0.1, -0.5))
    provenance = build_provenance(
        method="patch-contrast",
        settings=settings,
        tiles=[tile],
        device="cpu",
        threads=1,
        seconds=1.5,
        stopped_by="steps",
        best_step=3,
        choice=choice,
        scores={"learned": 0.6, "threshold": 0.5},
        notes=["The tile patient-12 was odd."],
    )
    return RunResult(
        model=TrainedModel(network, "patch-contrast", settings, 0.25, 3),
        curves=CURVES,
        prediction=Prediction(predict(network, tile)),
        choice=choice,
        stopped_by="steps",
        stopped_because="All steps were taken.",
        best_step=3,
        tile=tile,
        threshold=threshold_confidence(tile.read()),
        scores={"learned": 0.6, "threshold": 0.5},
        recommended="learned",
        seconds=1.5,
        provenance=provenance,
    )


@pytest.fixture
def labels():
    image = np.zeros((60, 80), np.uint16)
    image[5:20, 5:20] = 1
    image[30:50, 30:60] = 300
    return image


def everything_in(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


class TestRunFolder:
    def test_everything_comes_back(self, result, labels, tmp_path):
        label_settings = LabelSettings(threshold=0.4, split=False)
        save_run(result, tmp_path / "run", labels, label_settings)
        stored = load_run(tmp_path / "run")
        assert stored.settings == result.model.settings
        assert stored.curves == result.curves
        assert stored.choice == result.choice
        assert stored.um_per_px == 0.25
        assert stored.label_settings == label_settings
        assert stored.labels.dtype == np.uint16
        np.testing.assert_array_equal(stored.labels, labels)
        assert stored.prediction.maps.dtype == np.float16
        np.testing.assert_array_equal(stored.prediction.maps, result.maps)
        np.testing.assert_array_equal(predict(stored.model.network, result.tile), result.maps)

    def test_it_holds_the_files_that_other_programs_expect(self, result, labels, tmp_path):
        save_run(result, tmp_path / "run", labels, LabelSettings())
        assert set(everything_in(tmp_path / "run")) == {
            "model.safetensors",
            "settings.json",
            "provenance.json",
            "curves.csv",
            "result/labels.tif",
            "result/confidence.tif",
            "result/label_settings.json",
        }
        assert os.listdir(tmp_path) == ["run"]

    def test_labels_are_optional(self, result, tmp_path):
        save_run(result, tmp_path / "run")
        stored = load_run(tmp_path / "run")
        assert stored.labels is None
        assert stored.label_settings is None
        assert stored.prediction is not None

    def test_a_run_without_its_result_still_opens(self, result, labels, tmp_path):
        save_run(result, tmp_path / "run", labels)
        for path in (tmp_path / "run" / "result").iterdir():
            path.unlink()
        stored = load_run(tmp_path / "run")
        assert stored.prediction is None
        assert stored.labels is None

    def test_an_unknown_scale_is_said_and_comes_back(self, result, tmp_path):
        tile = replace(result.tile, um_per_px=None)
        told = build_provenance(
            method="patch-contrast",
            settings=result.model.settings,
            tiles=[tile],
            device="cpu",
            threads=1,
            seconds=1.0,
            stopped_by="steps",
            best_step=1,
            choice=result.choice,
            scores={},
            notes=[],
        )
        save_run(replace(result, tile=tile, provenance=told), tmp_path / "run")
        stored = load_run(tmp_path / "run")
        assert stored.um_per_px is None
        assert stored.provenance["tiles"][0]["um_per_px"] == "unknown, patch in px"

    def test_who_chose_the_label_settings_is_stored(self, result, labels, tmp_path):
        save_run(result, tmp_path / "a", labels, result.suggested_label_settings())
        save_run(result, tmp_path / "b", labels, LabelSettings(threshold=0.123))
        assert load_run(tmp_path / "a").provenance["label_settings_chosen_by"] == "suggestion"
        assert load_run(tmp_path / "b").provenance["label_settings_chosen_by"] == "user"

    def test_whether_the_labels_were_changed_is_stored(self, result, tmp_path):
        settings = result.suggested_label_settings()
        labels = label_image(result.confidence(), settings)
        save_run(result, tmp_path / "a", labels, settings)
        labels[5:9, 5:9] += 1
        save_run(result, tmp_path / "b", labels, settings)
        assert load_run(tmp_path / "a").provenance["labels_as_computed"] is True
        assert load_run(tmp_path / "b").provenance["labels_as_computed"] is False

    def test_it_opens_without_its_images(self, result, labels, tmp_path):
        save_run(result, tmp_path / "run", labels, LabelSettings(threshold=0.4))
        stored = load_run(tmp_path / "run", with_images=False)
        assert stored.prediction is None
        assert stored.labels is None
        assert stored.label_settings.threshold == 0.4

    def test_a_run_is_not_silently_overwritten(self, result, labels, tmp_path):
        save_run(result, tmp_path / "run", labels)
        before = everything_in(tmp_path / "run")
        with pytest.raises(StoreError, match="exists already"):
            save_run(result, tmp_path / "run")
        assert everything_in(tmp_path / "run") == before

    def test_a_run_is_overwritten_on_request(self, result, labels, tmp_path):
        save_run(result, tmp_path / "run")
        save_run(result, tmp_path / "run", labels, overwrite=True)
        assert load_run(tmp_path / "run").labels is not None
        assert os.listdir(tmp_path) == ["run"]

    def test_another_folder_is_never_overwritten(self, result, tmp_path):
        (tmp_path / "slides").mkdir()
        (tmp_path / "slides" / "only copy.svs").write_text("1")
        with pytest.raises(StoreError, match="not a run folder"):
            save_run(result, tmp_path / "slides", overwrite=True)
        assert (tmp_path / "slides" / "only copy.svs").exists()

    def test_a_file_in_the_way(self, result, tmp_path):
        (tmp_path / "run").write_text("a file")
        with pytest.raises(StoreError, match="exists already"):
            save_run(result, tmp_path / "run")
        with pytest.raises(StoreError, match="Nothing can be stored"):
            save_run(result, tmp_path / "run" / "deeper")

    @pytest.mark.parametrize(
        ("number", "words"), [(28, "disk is full"), (30, "read-only"), (13, "read-only")]
    )
    def test_a_disk_that_refuses_leaves_nothing_half_written(
        self, result, labels, tmp_path, monkeypatch, number, words
    ):
        def refuse(*_args, **_more):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(tifffile, "imwrite", refuse)
        with pytest.raises(StoreError, match=words) as caught:
            save_run(result, tmp_path / "run", labels)
        assert os.listdir(tmp_path) == []
        assert ".part" not in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_an_overwritten_run_stays_when_the_disk_is_full(
        self, result, labels, tmp_path, monkeypatch
    ):
        save_run(result, tmp_path / "run", labels)
        before = everything_in(tmp_path / "run")

        def full(*_args, **_more):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tifffile, "imwrite", full)
        with pytest.raises(StoreError, match="disk is full"):
            save_run(result, tmp_path / "run", overwrite=True)
        assert everything_in(tmp_path / "run") == before
        assert os.listdir(tmp_path) == ["run"]

    def test_an_interruption_while_saving_leaves_nothing(self, result, tmp_path, monkeypatch):
        def interrupt(*_args, **_more):
            raise KeyboardInterrupt

        monkeypatch.setattr(tifffile, "imwrite", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save_run(result, tmp_path / "run")
        assert os.listdir(tmp_path) == []

    def test_whether_a_place_is_free_is_said_before_training(self, result, tmp_path):
        check_free(tmp_path / "new" / "run")
        save_run(result, tmp_path / "run")
        with pytest.raises(StoreError, match="exists already"):
            check_free(tmp_path / "run")
        check_free(tmp_path / "run", overwrite=True)

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes anywhere")
    def test_a_read_only_place(self, result, tmp_path):
        tmp_path.chmod(0o500)
        try:
            with pytest.raises(StoreError, match="read-only"):
                save_run(result, tmp_path / "run")
        finally:
            tmp_path.chmod(0o700)


def no_choice(run):
    told = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps({**told, "choice": None}))


def choice_of_a_map_that_is_not_there(run):
    told = json.loads((run / "settings.json").read_text())
    told["choice"]["channel"] = 2
    (run / "settings.json").write_text(json.dumps(told))


def no_provenance(run):
    (run / "provenance.json").unlink()


def damaged_provenance(run):
    (run / "provenance.json").write_text("[1, 2")


def no_curves(run):
    (run / "curves.csv").unlink()


def cut_off_curves(run):
    text = (run / "curves.csv").read_text()
    (run / "curves.csv").write_text(text[: text.index("start") + 15])


def damaged_labels(run):
    path = run / "result" / "labels.tif"
    path.write_bytes(path.read_bytes()[:200])


def labels_of_another_size(run):
    write_labels(run / "result" / "labels.tif", np.ones((3, 3), np.uint8))


def confidence_above_one(run):
    write_confidence(run / "result" / "confidence.tif", np.full((2, 60, 80), 7.0))


def damaged_label_settings(run):
    (run / "result" / "label_settings.json").write_text('{"threshold": "high"}')


def pickled(run):
    (run / "model.safetensors").rename(run / "model.pt")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_choice, "which map is the object"),
        (choice_of_a_map_that_is_not_there, "which map is the object"),
        (no_provenance, "holds no provenance.json"),
        (damaged_provenance, "provenance.json of run is damaged"),
        (no_curves, "holds no curves.csv"),
        (cut_off_curves, "curves.csv of run is damaged"),
        (damaged_labels, "labels.tif is damaged"),
        (labels_of_another_size, "differ in size"),
        (confidence_above_one, "not in 0..1"),
        (damaged_label_settings, "label_settings.json of run is damaged"),
        (pickled, "pickled model"),
    ],
)
def test_a_damaged_run_is_told_in_one_sentence(result, labels, tmp_path, damage, words):
    save_run(result, tmp_path / "run", labels, LabelSettings())
    damage(tmp_path / "run")
    with pytest.raises(StoreError, match=words) as caught:
        load_run(tmp_path / "run")
    assert "\n" not in str(caught.value)


class TestLabelFiles:
    @pytest.mark.parametrize("suffix", [".tif", ".tiff", ".TIF", ".png"])
    def test_labels_come_back(self, labels, tmp_path, suffix):
        path = tmp_path / f"labels{suffix}"
        write_labels(path, labels, 0.25)
        np.testing.assert_array_equal(read_labels(path), labels)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
    def test_a_tiff_keeps_the_type(self, tmp_path, dtype):
        image = np.array([[0, 1], [2, 200]], dtype)
        write_labels(tmp_path / "a.tif", image)
        assert tifffile.imread(tmp_path / "a.tif").dtype == dtype

    @pytest.mark.parametrize(
        ("most", "dtype"), [(1, np.uint8), (256, np.uint16), (65_536, np.int32)]
    )
    def test_other_types_become_the_smallest_that_fits(self, tmp_path, most, dtype):
        write_labels(tmp_path / "a.tif", np.array([[0, most]], np.int64))
        read = tifffile.imread(tmp_path / "a.tif")
        assert read.dtype == dtype
        assert read.max() == most

    def test_the_resolution_is_in_the_tiff(self, labels, tmp_path):
        write_labels(tmp_path / "a.tif", labels, 0.25)
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            tags = file.pages[0].tags
            numerator, denominator = tags["XResolution"].value
            assert numerator / denominator == pytest.approx(40_000)  # px per cm
            assert tags["YResolution"].value == tags["XResolution"].value
            assert tags["ResolutionUnit"].value == 3  # centimetre
            assert "DateTime" not in tags

    def test_an_unknown_scale_is_not_made_up(self, labels, tmp_path):
        write_labels(tmp_path / "a.tif", labels)
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert file.pages[0].tags["ResolutionUnit"].value == 1  # none

    def test_the_resolution_is_in_the_png(self, labels, tmp_path):
        write_labels(tmp_path / "a.png", labels, 0.25)
        with Image.open(tmp_path / "a.png") as image:
            assert image.info["dpi"][0] == pytest.approx(25_400 / 0.25, rel=1e-3)

    def test_a_png_says_when_it_is_too_small(self, tmp_path):
        image = np.array([[0, 65_536]], np.int32)
        with pytest.raises(StoreError, match=r"at most 65,535 objects .* \.tif"):
            write_labels(tmp_path / "a.png", image)
        assert os.listdir(tmp_path) == []
        write_labels(tmp_path / "a.png", image.clip(0, 65_535))

    @pytest.mark.parametrize("name", ["a.jpg", "a", "a.npy"])
    def test_other_endings_are_refused(self, labels, tmp_path, name):
        with pytest.raises(StoreError, match=r"written as \.tif or \.png"):
            write_labels(tmp_path / name, labels)

    def test_negative_labels_are_refused(self, tmp_path):
        with pytest.raises(StoreError, match="whole numbers from 0"):
            write_labels(tmp_path / "a.tif", np.array([[-1, 1]]))

    def test_a_full_disk_leaves_the_old_file(self, labels, tmp_path, monkeypatch):
        write_labels(tmp_path / "a.tif", labels)
        before = (tmp_path / "a.tif").read_bytes()

        def full(path, *_args, **_more):
            Path(path).write_bytes(b"II*\0")
            raise OSError("1024 requested and 12 written")

        monkeypatch.setattr(tifffile, "imwrite", full)
        with pytest.raises(StoreError, match="disk is full"):
            write_labels(tmp_path / "a.tif", labels + 1)
        assert (tmp_path / "a.tif").read_bytes() == before
        assert os.listdir(tmp_path) == ["a.tif"]

    def test_confidence_is_written_as_32_bit(self, tmp_path):
        write_confidence(tmp_path / "c.tif", np.full((4, 5), 0.25, np.float16), 0.5)
        image = tifffile.imread(tmp_path / "c.tif")
        assert image.dtype == np.float32
        assert (image == 0.25).all()

    def test_three_maps_are_not_taken_for_a_colour_image(self, tmp_path):
        maps = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
        write_confidence(tmp_path / "c.tif", maps)
        with tifffile.TiffFile(tmp_path / "c.tif") as file:
            assert len(file.pages) == 3
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "c.tif"), maps)

    def test_a_mask_saved_as_a_colour_image_is_read(self, tmp_path):
        mask = np.zeros((4, 5, 3), np.uint8)
        mask[1:3] = 255
        Image.fromarray(mask).save(tmp_path / "m.png")
        assert read_labels(tmp_path / "m.png").shape == (4, 5)

    @pytest.mark.parametrize("image", [np.zeros((4, 5), np.float32), np.zeros((2, 4, 5), np.uint8)])
    def test_what_is_no_label_image_is_refused(self, tmp_path, image):
        tifffile.imwrite(tmp_path / "x.tif", image, photometric="minisblack")
        with pytest.raises(StoreError, match="no label image"):
            read_labels(tmp_path / "x.tif")

    def test_a_picture_is_no_label_image(self, tmp_path):
        image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "x.png")
        with pytest.raises(StoreError, match="no label image"):
            read_labels(tmp_path / "x.png")


class TestCurvesFile:
    def test_numbers_come_back_bit_for_bit(self):
        assert curves_from_csv(curves_to_csv(CURVES)) == CURVES

    def test_no_step_at_all(self):
        assert curves_from_csv(curves_to_csv(())) == ()

    def test_the_columns_are_named(self):
        assert curves_to_csv(CURVES).splitlines()[0] == (
            "phase,step,n_steps,note,entropy,entropy/0,skipped"
        )

    @pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "phase,step,n_steps,note\nx,one,2,\n"])
    def test_something_else_is_refused(self, text):
        with pytest.raises(ValueError, match=r"no curves|invalid literal"):
            curves_from_csv(text)


def test_a_network_on_another_layout_is_stored(result, tmp_path):
    result.model.network.to(memory_format=torch.channels_last)
    save_run(result, tmp_path / "run")
    load_run(tmp_path / "run")
