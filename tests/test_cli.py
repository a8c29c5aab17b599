"""The command line as other programs and people at a terminal meet it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_selfseg.cli import demo, main
from napari_selfseg.cli.console import ProgressBar, duration, finite
from napari_selfseg.cli.images import image_files
from napari_selfseg.cli.train import at_kept_step
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.settings import PRESETS
from napari_selfseg.session.store import load_run, write_labels

TINY = ["--preset", "quick", "--device", "cpu"]
TINY += ["--set", "n_steps=3", "--set", "crop_size=64", "--set", "starts=1"]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two tiles and the reference labels of the first."""
    folder = tmp_path_factory.mktemp("images")
    for seed, name in enumerate(("a", "b")):
        pixels, labels = drawn_he_tile(rows=150, columns=170, n_nuclei=15, seed=seed)
        Image.fromarray(pixels).save(folder / f"{name}.png")
        if name == "a":
            write_labels(folder / "a_labels.png", labels)
    return folder


@pytest.fixture(scope="module")
def stored(images, tmp_path_factory):
    """A stored run of tile a."""
    folder = tmp_path_factory.mktemp("stored") / "run"
    arguments = ["train", str(images / "a.png"), "--out", str(folder), "--um-per-px", "0.25"]
    assert main([*arguments, *TINY]) == 0
    return folder


@pytest.fixture
def run(capsys):
    """Run the command line; gives the exit code, standard output and standard error."""

    def run(*arguments):
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stopped:  # argparse
            code = stopped.code
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return run


def interrupt_at(monkeypatch, done, times=1):
    """Press Ctrl-C when the progress bar has got this far."""
    update = ProgressBar.update
    left = [times]

    def pressing(self, step, *args, **more):
        update(self, step, *args, **more)
        if step >= done:
            while left[0]:
                left[0] -= 1
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ProgressBar, "update", pressing)


class TestTrain:
    def test_the_json_is_one_object_with_what_the_contract_names(self, run, images, tmp_path):
        out = tmp_path / "run"
        done = run("train", images / "a.png", "--out", out, "--seed", 4, "--json", *TINY)
        assert done.code == 0
        told = json.loads(done.out)
        assert {
            "seconds", "steps", "stopped_by", "labels_used", "channel", "polarity",
            "separation", "entropy", "score", "run",
        } <= set(told)  # fmt: skip
        assert told["steps"] == 3
        assert told["stopped_by"] == "steps"
        assert told["labels_used"] == "none"
        assert told["polarity"] in ("normal", "inverted")
        assert 0 <= told["score"] <= 1
        assert 0 <= told["entropy"] <= 1
        assert "3 of 3" in done.err

    def test_the_run_holds_what_was_asked_for(self, run, images, tmp_path):
        out = tmp_path / "new" / "run"
        arguments = ["--seed", 4, "--um-per-px", 0.5, "--set", "learning-rate=0.01"]
        assert run("train", images / "a.png", "--out", out, *TINY, *arguments).code == 0
        stored = load_run(out)
        assert stored.settings.seed == 4
        assert stored.settings.learning_rate == 0.01
        assert stored.settings.n_draws == PRESETS["quick"]["n_draws"]
        assert stored.um_per_px == 0.5
        assert stored.provenance["preset"] == "own"
        assert stored.provenance["tiles"][0]["name"] == "a"
        assert stored.labels.shape == (150, 170)
        assert stored.labels.max() == np.unique(stored.labels).size - 1

    def test_in_words_it_says_the_same(self, run, images, tmp_path):
        done = run("train", images / "a.png", "--out", tmp_path / "run", *TINY)
        assert done.code == 0
        assert "3 steps" in done.out
        assert "Labels used: none" in done.out
        assert "a guess" in done.out
        assert "recommends" in done.out
        assert str(tmp_path / "run") in done.out

    def test_a_folder_is_learned_from_without_its_label_images(self, run, images, tmp_path):
        done = run("train", images, "--out", tmp_path / "run", *TINY)
        assert done.code == 0
        names = [tile["name"] for tile in load_run(tmp_path / "run").provenance["tiles"]]
        assert names == ["a", "b"]
        assert "Left out 1 label" in done.err

    def test_the_same_seed_gives_the_same_run_and_another_does_not(self, run, images, tmp_path):
        for name, seed in (("one", 1), ("same", 1), ("other", 2)):
            out = tmp_path / name
            assert run("train", images / "a.png", "--out", out, "--seed", seed, *TINY).code == 0
        one, same, other = (load_run(tmp_path / name) for name in ("one", "same", "other"))
        np.testing.assert_array_equal(one.prediction.maps, same.prediction.maps)
        assert (one.prediction.maps != other.prediction.maps).any()
        assert one.provenance["reproducible_bit_for_bit"] is True

    def test_anonymous_drops_the_names(self, run, images, tmp_path):
        out = tmp_path / "run"
        secret = tmp_path / "Jane Doe 1970.png"
        shutil.copy(images / "a.png", secret)
        assert run("train", secret, "--out", out, "--anonymous", *TINY).code == 0
        for path in out.rglob("*.*"):
            assert b"Jane Doe" not in path.read_bytes()

    def test_without_a_scale_it_says_so(self, run, images, tmp_path):
        assert run("train", images / "a.png", "--out", tmp_path / "run", *TINY).code == 0
        tile = load_run(tmp_path / "run").provenance["tiles"][0]
        assert tile["um_per_px"] == "unknown, patch in px"

    def test_an_interruption_keeps_what_was_learned(self, run, images, tmp_path, monkeypatch):
        interrupt_at(monkeypatch, 2)
        monkeypatch.setattr("napari_selfseg.session.clock.UPDATE_EVERY", 0.0)
        more = ["--set", "n_steps=5000", "--json"]
        before = signal.getsignal(signal.SIGINT)
        done = run("train", images / "a.png", "--out", tmp_path / "run", *TINY, *more)
        assert done.code == 130
        told = json.loads(done.out)
        assert told["stopped_by"] == "user"
        assert 2 <= told["steps"] < 100
        stored = load_run(tmp_path / "run")
        assert len(stored.curves) == told["steps"]
        assert stored.provenance["reproducible_bit_for_bit"] is False
        assert signal.getsignal(signal.SIGINT) is before

    def test_a_second_interruption_ends_it(self, run, images, tmp_path, monkeypatch):
        interrupt_at(monkeypatch, 1, times=2)
        monkeypatch.setattr("napari_selfseg.session.clock.UPDATE_EVERY", 0.0)
        done = run("train", images / "a.png", "--out", tmp_path / "run", *TINY)
        assert done.code == 130
        assert done.out == ""
        assert os.listdir(tmp_path) == []

    def test_a_run_that_is_there_is_not_overwritten_unless_asked(self, run, images, stored):
        before = (stored / "provenance.json").read_bytes()
        done = run("train", images / "a.png", "--out", stored, *TINY)
        assert done.code == 2
        assert "exists already" in done.err
        assert (stored / "provenance.json").read_bytes() == before

    def test_overwrite(self, run, images, stored, tmp_path):
        out = shutil.copytree(stored, tmp_path / "run")
        more = ["--overwrite", "--seed", "9"]
        assert run("train", images / "a.png", "--out", out, *TINY, *more).code == 0
        assert load_run(out).settings.seed == 9

    def test_a_full_disk_is_a_failure_in_one_sentence(self, run, images, tmp_path, monkeypatch):
        def full(*_args, **_more):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tifffile, "imwrite", full)
        done = run("train", images / "a.png", "--out", tmp_path / "run", *TINY, "--json")
        assert done.code == 1
        assert done.out == ""
        assert done.err.splitlines()[-1].endswith("the disk is full.")
        assert os.listdir(tmp_path) == []

    def test_an_unforeseen_failure_is_told_in_one_line(self, run, images, tmp_path, monkeypatch):
        def fail(self):
            raise ZeroDivisionError("by zero")

        monkeypatch.setattr("napari_selfseg.session.run.TrainingRun.updates", fail)
        done = run("train", images / "a.png", "--out", tmp_path / "run", *TINY)
        assert done.code == 1
        assert "ZeroDivisionError: by zero" in done.err.splitlines()[-1]
        assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("best_step", "entropy"), [(4, 0.5), (2, 0.15), (12, 0.5), (0, 0.5), (1, 0.1)]
)
def test_the_curves_are_told_at_the_step_that_was_kept(best_step, entropy):
    curves = [TrainingStep("start 1", i, 14, {"entropy": i / 10}) for i in (1, 2)]
    curves += [TrainingStep("learning", i, 14, {"entropy": 0.5}) for i in range(3, 13)]
    curves += [TrainingStep("learning", i, 14, {}) for i in (13, 14)]
    result = SimpleNamespace(curves=curves, best_step=best_step)
    assert at_kept_step(result, "entropy") == pytest.approx(entropy)
    assert at_kept_step(result, "separation") is None


def one_px(folder):
    Image.new("RGB", (1, 1)).save(folder / "x.png")
    return [folder / "x.png"]


def blank(folder):
    Image.new("RGB", (150, 150), (255, 255, 255)).save(folder / "x.png")
    return [folder / "x.png"]


def no_image(folder):
    (folder / "x.png").write_text("no image")
    return [folder / "x.png"]


def nothing(folder):
    return [folder / "x.png"]


def empty_folder(folder):
    (folder / "e").mkdir()
    return [folder / "e"]


def only_labels(folder):
    (folder / "e").mkdir()
    Image.new("L", (150, 150)).save(folder / "e" / "x_labels.png")
    return [folder / "e"]


def pattern_without_files(folder):
    return [folder / "*.png"]


class TestMistakes:
    @pytest.mark.parametrize(
        ("image", "words"),
        [
            (one_px, "px"),
            (blank, "x"),
            (no_image, "x.png"),
            (nothing, "There is no file"),
            (empty_folder, "holds no image"),
            (only_labels, "only label images"),
            (pattern_without_files, "No file is called like"),
        ],
    )
    def test_an_image_that_cannot_be_learned_from(self, run, tmp_path, image, words):
        done = run("train", *image(tmp_path), "--out", tmp_path / "run", *TINY, "--json")
        assert done.code == 2
        assert done.out == ""
        assert words in done.err
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            (["--set", "n_steps"], "NAME=VALUE"),
            (["--set", "n_step=3"], "did you mean n_steps?"),
            (["--set", "n_steps=0"], "n_steps"),
            (["--set", "n_steps=many"], "n_steps"),
            (["--set", "xyzzy=1"], "there are seed, device"),
            (["--seed", "-1"], "seed"),
            (["--seed", "one"], "--seed"),
            (["--preset", "best"], "--preset"),
            (["--method", "magic"], "--method"),
            (["--um-per-px", "0"], "--um-per-px: 0 is no number above 0"),
            (["--um-per-px", "nan"], "no number above 0"),
            (["--um-per-px", "a"], "no number above 0"),
            (["--frobnicate"], "frobnicate"),
        ],
    )
    def test_a_wrong_flag_is_told_in_one_sentence(self, run, images, tmp_path, flags, words):
        done = run("train", images / "a.png", "--out", tmp_path / "run", *flags)
        assert done.code == 2
        assert done.out == ""
        assert words in done.err
        assert len(done.err.splitlines()) == 1

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")
    def test_a_graphics_card_that_is_not_there(self, run, images, tmp_path):
        out = tmp_path / "run"
        done = run("train", images / "a.png", "--out", out, *TINY, "--device", "cuda")
        assert done.code == 2
        assert "No CUDA" in done.err

    def test_no_command(self, run):
        done = run()
        assert done.code == 2
        assert "COMMAND" in done.err


class TestSegment:
    def test_one_image(self, run, images, stored, tmp_path):
        done = run(
            "segment", stored, images / "b.png", "--out", tmp_path / "b.tif",
            "--confidence", tmp_path / "c.tif", "--um-per-px", "0.25", "--json",
        )  # fmt: skip
        assert done.code == 0
        told = json.loads(done.out)
        labels = tifffile.imread(tmp_path / "b.tif")
        confidence = tifffile.imread(tmp_path / "c.tif")
        assert labels.shape == confidence.shape == (150, 170)
        assert confidence.dtype == np.float32
        assert told["images"][0]["objects"] == labels.max()
        assert told["channel"] == load_run(stored).choice.channel
        assert told["labels_used"] == "none"

    def test_the_result_carries_its_provenance(self, run, images, stored, tmp_path):
        assert run("segment", stored, images / "b.png", "--out", tmp_path / "b.tif").code == 0
        told = json.loads((tmp_path / "b.provenance.json").read_text())
        assert told["image"]["name"] == "b"
        assert len(told["image"]["sha256"]) == 64
        assert told["run"]["seed"] == 0
        assert told["labels_used"] == "none"
        assert str(tmp_path) not in json.dumps(told)
        assert str(images) not in json.dumps(told)

    def test_anonymous(self, run, images, stored, tmp_path):
        secret = tmp_path / "Jane.png"
        shutil.copy(images / "b.png", secret)
        out = tmp_path / "x.tif"
        assert run("segment", stored, secret, "--out", out, "--anonymous").code == 0
        told = (tmp_path / "x.provenance.json").read_text()
        assert "Jane" not in told
        assert json.loads(told)["run"]["tiles"][0]["name"] == "tile 1"

    def test_the_trained_tile_gives_the_trained_labels(self, run, images, stored, tmp_path):
        arguments = ["--out", tmp_path / "a.tif", "--um-per-px", "0.25"]
        assert run("segment", stored, images / "a.png", *arguments).code == 0
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), load_run(stored).labels)

    def test_several_images_go_into_a_folder(self, run, images, stored, tmp_path):
        out, confidence = tmp_path / "out", tmp_path / "confidence"
        done = run("segment", stored, images, "--out", out, "--confidence", confidence)
        assert done.code == 0
        assert sorted(path.name for path in out.glob("*.tif")) == ["a.tif", "b.tif"]
        assert (confidence / "a_confidence.tif").is_file()
        assert len(done.out.splitlines()) == 2

    def test_binary(self, run, images, stored, tmp_path):
        out = tmp_path / "b.png"
        assert run("segment", stored, images / "b.png", "--out", out, "--binary").code == 0
        with Image.open(out) as image:
            assert set(np.unique(np.asarray(image))) <= {0, 1}

    def test_another_map_and_polarity(self, run, images, stored, tmp_path):
        confidence = {}
        for polarity in ("normal", "inverted"):
            done = run(
                "segment", stored, images / "b.png", "--out", tmp_path / f"{polarity}.tif",
                "--confidence", tmp_path / f"{polarity}_c.tif",
                "--channel", "2", "--polarity", polarity, "--json",
            )  # fmt: skip
            assert json.loads(done.out)["channel"] == 2
            assert json.loads(done.out)["polarity"] == polarity
            confidence[polarity] = tifffile.imread(tmp_path / f"{polarity}_c.tif")
        np.testing.assert_allclose(
            confidence["normal"], 1 - confidence["inverted"], rtol=0, atol=1e-6
        )
        assert json.loads((tmp_path / "normal.provenance.json").read_text())[
            "channel_chosen_by"
        ] == "user"  # fmt: skip

    def test_another_scale_is_brought_to_the_runs(self, run, images, stored, tmp_path):
        arguments = ["--out", tmp_path / "b.tif", "--um-per-px", "0.5", "--json"]
        done = run("segment", stored, images / "b.png", *arguments)
        image = json.loads(done.out)["images"][0]
        assert image["rescaled"] is True
        assert tifffile.imread(tmp_path / "b.tif").shape == (150, 170)

    def test_what_the_user_set_in_the_run_is_used(self, run, images, stored, tmp_path):
        own = shutil.copytree(stored, tmp_path / "own")
        told = json.loads((own / "provenance.json").read_text())
        changes = {"label_settings_chosen_by": "user"}
        (own / "provenance.json").write_text(json.dumps(told | changes))
        settings = json.loads((own / "result" / "label_settings.json").read_text())
        changed = settings | {"threshold": 0.123, "min_area": 40}
        (own / "result" / "label_settings.json").write_text(json.dumps(changed))
        arguments = ["--out", tmp_path / "b.tif", "--um-per-px", "0.25", "--json"]
        done = run("segment", own, images / "b.png", *arguments)
        used = json.loads(done.out)["images"][0]["label_settings"]
        assert used["threshold"] == 0.123
        assert used["min_area"] == 40

    def test_one_bad_image_does_not_stop_the_others(self, run, images, stored, tmp_path):
        folder = tmp_path / "mixed"
        folder.mkdir()
        (folder / "0 broken.png").write_bytes(b"no image")
        shutil.copy(images / "b.png", folder)
        done = run("segment", stored, folder, "--out", tmp_path / "out", "--json")
        assert done.code == 2
        told = json.loads(done.out)
        assert told["failed"] == ["0 broken.png"]
        assert [image["name"] for image in told["images"]] == ["b"]
        assert "0 broken.png" in done.err
        assert (tmp_path / "out" / "b.tif").is_file()

    def test_an_interruption_keeps_what_was_finished(
        self, run, images, stored, tmp_path, monkeypatch
    ):
        interrupt_at(monkeypatch, 1)
        done = run("segment", stored, images, "--out", tmp_path / "out", "--json")
        assert done.code == 130
        assert [image["name"] for image in json.loads(done.out)["images"]] == ["a"]
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            "a.provenance.json",
            "a.tif",
        ]

    def test_a_result_that_is_there_is_not_overwritten_unless_asked(
        self, run, images, stored, tmp_path
    ):
        (tmp_path / "b.tif").write_bytes(b"corrected by hand")
        arguments = ["segment", stored, images / "b.png", "--out", tmp_path / "b.tif"]
        done = run(*arguments)
        assert done.code == 2
        assert "exists already" in done.err
        assert (tmp_path / "b.tif").read_bytes() == b"corrected by hand"
        assert run(*arguments, "--overwrite").code == 0
        assert tifffile.imread(tmp_path / "b.tif").shape == (150, 170)

    def test_the_image_itself_is_never_overwritten(self, run, images, stored, tmp_path):
        shutil.copy(images / "b.png", tmp_path)
        before = (tmp_path / "b.png").read_bytes()
        image = tmp_path / "b.png"
        done = run("segment", stored, image, "--out", image, "--overwrite")
        assert done.code == 2
        assert (tmp_path / "b.png").read_bytes() == before

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            (["--out", "x.jpg"], r".tif or .png"),
            (["--channel", "4"], "maps 0 to 3"),
            (["--channel", "-1"], "maps 0 to 3"),
            (["--polarity", "sideways"], "--polarity"),
            (["--confidence", "c.png"], "Confidence is written as .tif"),
        ],
    )
    def test_a_wrong_flag(self, run, images, stored, tmp_path, monkeypatch, flags, words):
        monkeypatch.chdir(tmp_path)
        done = run("segment", stored, images / "b.png", "--out", "x.tif", *flags)
        assert done.code == 2
        assert words in done.err
        assert os.listdir(tmp_path) == []

    def test_a_file_is_no_place_for_two_images(self, run, images, stored, tmp_path):
        done = run("segment", stored, images, "--out", tmp_path / "x.tif")
        assert done.code == 2
        assert "must be a folder" in done.err

    def test_two_images_of_the_same_name(self, run, images, stored, tmp_path):
        shutil.copy(images / "b.png", tmp_path / "B.png")
        done = run("segment", stored, images / "b.png", tmp_path / "B.png", "--out", tmp_path)
        assert done.code == 2
        assert "same result file" in done.err

    def test_a_folder_that_is_no_run(self, run, images, tmp_path):
        done = run("segment", tmp_path, images / "b.png", "--out", tmp_path / "x.tif")
        assert done.code == 2
        assert "is no run folder" in done.err

    def test_a_pickle(self, run, images, tmp_path):
        (tmp_path / "model.ckpt").write_bytes(b"\x80\x04")
        done = run("segment", tmp_path, images / "b.png", "--out", tmp_path / "x.tif")
        assert done.code == 2
        assert "pickled model" in done.err

    def test_a_grey_image_for_a_colour_model(self, run, stored, tmp_path):
        grey = np.random.default_rng(0).integers(0, 256, (100, 100), dtype=np.uint8)
        Image.fromarray(grey).save(tmp_path / "g.png")
        done = run("segment", stored, tmp_path / "g.png", "--out", tmp_path / "x.tif")
        assert done.code == 2
        assert "grey" in done.err


class TestEvaluate:
    labels = np.zeros((40, 40), np.uint16)
    labels[2:12, 2:12] = 1
    labels[20:30, 20:30] = 2

    @pytest.fixture
    def folders(self, tmp_path):
        write_labels(tmp_path / "predicted" / "x.tif", self.labels)
        write_labels(tmp_path / "predicted" / "y.tif", self.labels)
        write_labels(tmp_path / "reference" / "x_labels.png", self.labels)
        Image.fromarray(np.uint8(255) * (self.labels == 1)).save(
            tmp_path / "reference" / "y_mask.png"
        )
        return tmp_path / "predicted", tmp_path / "reference"

    def test_files(self, run, folders):
        predicted, reference = folders
        arguments = [predicted / "x.tif", reference / "x_labels.png", "--json"]
        done = run("evaluate", *arguments)
        assert done.code == 0
        told = json.loads(done.out)
        assert told["n"] == 1
        assert told["mean"] == {"dice": 1, "aji": 1, "pq": 1, "sq": 1, "rq": 1}

    def test_folders_are_matched_by_name(self, run, folders):
        told = json.loads(run("evaluate", *folders, "--json").out)
        scores = {image["name"]: image for image in told["images"]}
        assert scores["x"]["dice"] == 1
        assert scores["y"]["dice"] == pytest.approx(2 / 3)  # 100 of 200 + 100 px
        assert told["mean"]["dice"] == pytest.approx(5 / 6)

    def test_the_table(self, run, folders):
        lines = run("evaluate", *folders).out.splitlines()
        assert lines[0].split()[:4] == ["image", "Dice", "AJI", "PQ"]
        assert lines[1].split()[:2] == ["x", "1.000"]
        assert lines[-1].startswith("mean of 2")
        assert "0.833" in lines[-1]

    def test_the_parts_of_a_mask_are_its_objects(self, run, folders, tmp_path):
        Image.fromarray(np.uint8(255) * (self.labels > 0)).save(tmp_path / "m.png")
        arguments = [folders[0] / "x.tif", tmp_path / "m.png", "--json"]
        image = json.loads(run("evaluate", *arguments).out)["images"][0]
        assert image["aji"] == 1
        assert image["objects"] == "connected parts of the mask (reference)"

    def test_confidence_maps_beside_the_labels_are_not_taken_for_labels(self, run, folders):
        tifffile.imwrite(folders[0] / "x_confidence.tif", np.zeros((40, 40), np.float32))
        assert run("evaluate", *folders).code == 0

    def test_missing_references_are_said_and_left_out(self, run, folders):
        (folders[1] / "y_mask.png").unlink()
        done = run("evaluate", *folders, "--json")
        assert json.loads(done.out)["n"] == 1
        assert "No reference for 1 of 2" in done.err

    def test_nothing_matches(self, run, folders):
        done = run("evaluate", folders[0], folders[0])
        assert done.code == 2
        assert "X_labels.png" in done.err

    @pytest.mark.parametrize("shape", [(40, 41), (10, 10)])
    def test_different_sizes(self, run, folders, tmp_path, shape):
        write_labels(tmp_path / "r.png", np.ones(shape, np.uint8))
        done = run("evaluate", folders[0] / "x.tif", tmp_path / "r.png")
        assert done.code == 2
        assert f"40 × 40 px, but r.png has {shape[0]} × {shape[1]} px" in done.err

    def test_a_file_that_is_not_there(self, run, tmp_path):
        done = run("evaluate", tmp_path / "x.tif", tmp_path / "y.png")
        assert done.code == 2
        assert "no file or folder" in done.err


class TestDemo:
    @pytest.fixture
    def quick_is_quicker(self, monkeypatch):
        changes = {"starts": 1, "n_steps": 3, "crop_size": 64}
        monkeypatch.setitem(PRESETS, "quick", {**PRESETS["quick"], **changes})

    def test_headless_writes_everything_and_says_where(self, run, tmp_path, quick_is_quicker):
        out = tmp_path / "demo"
        done = run("demo", "--headless", "--out", out)
        assert done.code == 0
        assert str(out) in done.out
        with Image.open(out / "overlay.png") as picture:
            assert min(picture.size) > 512
        with Image.open(out / "curves.png") as picture:
            assert min(picture.size) > 300
        labels = tifffile.imread(out / "labels.tif")
        assert labels.shape == (512, 512)
        assert labels.max() > 0
        assert tifffile.imread(out / "confidence.tif").shape == (512, 512)
        assert load_run(out / "run").labels.shape == (512, 512)
        for name in ("overlay.png", "labels.tif", "confidence.tif", "curves.png", "run"):
            assert name in done.out

    def test_without_a_display_it_runs_headless(self, run, tmp_path, monkeypatch, quick_is_quicker):
        monkeypatch.setattr(demo, "why_no_window", lambda *_: "There is no display.")
        monkeypatch.chdir(tmp_path)
        done = run("demo", "--json")
        assert done.code == 0
        assert "There is no display." in done.err
        told = json.loads(done.out)
        assert told["labels_used"] == "none"
        assert (tmp_path / "demo-output" / "overlay.png").is_file()

    def test_with_a_display_it_opens_the_window(self, run, monkeypatch):
        monkeypatch.setattr(demo, "why_no_window", lambda *_: "")
        monkeypatch.setattr(demo, "in_window", lambda as_json: 0)
        monkeypatch.setattr(demo, "headless", lambda options: pytest.fail("no window"))
        assert run("demo").code == 0

    def test_results_that_are_there_are_kept(self, run, tmp_path, monkeypatch):
        (tmp_path / "demo-output").mkdir()
        (tmp_path / "demo-output" / "mine").write_text("1")
        monkeypatch.chdir(tmp_path)
        assert demo.free_name(demo.Path("demo-output")).name == "demo-output-2"
        done = run("demo", "--headless", "--out", "demo-output")
        assert done.code == 2
        assert "exists already" in done.err

    @pytest.mark.parametrize(
        ("environment", "reason"),
        [
            ({}, "There is no display."),
            ({"DISPLAY": ""}, "There is no display."),
            ({"DISPLAY": ":0", "QT_QPA_PLATFORM": "offscreen"}, "without a display"),
        ],
    )
    def test_no_display_on_linux(self, environment, reason):
        assert reason in demo.why_no_window(environment, "linux")

    @pytest.mark.parametrize(
        ("code", "error", "reason"),
        [
            (0, "", ""),
            (-6, "could not load the Qt platform plugin xcb", "system library"),
            (1, "QtBindingsNotFoundError: No Qt bindings could be found", "napari-selfseg[all]"),
        ],
    )
    def test_qt_is_tried_in_another_process(self, monkeypatch, code, error, reason):
        tried = SimpleNamespace(returncode=code, stderr=error)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: tried)
        for platform, environment in (("linux", {"WAYLAND_DISPLAY": "w"}), ("win32", {})):
            assert reason in demo.why_no_window(environment, platform)


class TestImageFiles:
    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("b.png", "a.TIF", "a_labels.png", "B_MASK.tif", "notes.txt", "._b.png"):
            (tmp_path / name).write_text("")
        return tmp_path

    def names(self, *arguments):
        return [path.name for path in image_files([str(argument) for argument in arguments])]

    def test_a_folder(self, folder):
        assert self.names(folder) == ["a.TIF", "b.png"]

    def test_a_pattern_as_windows_leaves_it(self, folder):
        assert self.names(folder / "*.png") == ["b.png"]

    def test_a_pattern_as_other_shells_expand_it(self, folder):
        assert self.names(*sorted(folder.glob("*.png"))) == ["._b.png", "b.png"]

    def test_a_single_file_is_taken_as_it_is(self, folder):
        assert self.names(folder / "a_labels.png") == ["a_labels.png"]

    def test_nothing_twice(self, folder):
        assert self.names(folder / "b.png", folder) == ["b.png", "a.TIF"]


class TestConsole:
    def test_without_a_terminal_there_are_few_plain_lines(self, capsys):
        bar = ProgressBar()
        for step in range(1, 101):
            bar.update(step, 100, "Learning", 12.0)
        err = capsys.readouterr().err
        assert err.splitlines() == [
            "Learning: 1 of 100, 12 s left",
            "Learning: 100 of 100",
        ]
        assert "\r" not in err

    def test_on_a_terminal_the_line_is_redrawn_and_taken_away(self):
        written = []
        terminal = SimpleNamespace(isatty=lambda: True, write=written.append, flush=lambda: None)
        bar = ProgressBar(terminal)
        bar.update(50, 100, "Learning", 75)
        bar.close()
        assert written[0].startswith("\r[############------------] Learning: 50 of 100, 1:15 min")
        assert written[1].strip() == ""
        assert "\n" not in "".join(written)

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.4, "0 s"), (59, "59 s"), (60, "1:00 min"), (125, "2:05 min"), (3720, "1:02 h")],
    )
    def test_durations(self, seconds, text):
        assert duration(seconds) == text

    def test_json_holds_no_nan(self):
        told = {"a": float("nan"), "b": [float("inf"), 1.5], "c": (1, None)}
        assert finite(told) == {"a": None, "b": [None, 1.5], "c": [1, None]}


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["train"], ["--version"]])
def test_help_and_mistakes_answer_without_torch_or_napari(arguments):
    script = (
        "import sys\n"
        "from napari_selfseg.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "finally:\n"
        "    loaded = {'torch', 'napari', 'skimage', 'scipy', 'qtpy'} & set(sys.modules)\n"
        "    print('loaded:', sorted(loaded))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_later_commands_are_not_promised(run):
    out = run("--help").out
    for command in ("export", "report"):
        assert command not in out
