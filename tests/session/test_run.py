"""A whole training without a window: what it tells, how it stops, what it keeps."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_selfseg.core.channels import ChannelChoice
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.instances import label_image
from napari_selfseg.core.learning.convergence import COLLAPSE_MARGIN, ConvergenceMonitor
from napari_selfseg.core.methods import TrainingStep
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.core.networks.confidence import ConfidenceNetwork
from napari_selfseg.core.plausibility import suggested_label_settings
from napari_selfseg.session import preview as preview_module
from napari_selfseg.session.clock import RunClock
from napari_selfseg.session.preview import LivePreview
from napari_selfseg.session.run import (
    Finished,
    Preview,
    Progress,
    RunError,
    TrainingRequest,
    TrainingRun,
)

SMALL = {
    "n_steps": 12,
    "batch_size": 5,
    "crop_size": 64,
    "patch_um": None,
    "patch_px": 16,
    "stride_px": 8,
    "learning_rate": 5e-4,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def tile() -> Tile:
    return Tile(drawn_he_tile(160, 176, n_nuclei=12, seed=1)[0], 255.0, 0.25, "drawn")


def run_of(tile: Tile, **changes) -> TrainingRun:
    settings = PatchContrastSettings(**{**SMALL, **changes})
    return TrainingRun(TrainingRequest((tile,), settings, threads=1))


def finished(run: TrainingRun):
    *_, last = run.updates()
    assert isinstance(last, Finished)
    return last.result


def test_a_run_tells_every_step_once_and_ends_with_maps_of_the_tile(tile):
    updates = list(run_of(tile).updates())
    told = [step.step for u in updates if isinstance(u, Progress) for step in u.steps]
    assert told == list(range(1, 13))
    result = updates[-1].result
    assert result.maps.shape == (4, 160, 176)
    assert float(result.maps.min()) >= 0
    assert float(result.maps.max()) <= 1
    assert result.stopped_by == "steps"
    assert len(result.curves) == 12
    assert {"entropy", "separation", "positive-positive", "positive-negative", "skipped"} <= set(
        result.curves[-1].measures
    )
    assert result.provenance["labels_used"] == "none"


def test_the_preview_covers_the_tile_and_shows_the_chosen_polarity(tile):
    pieces = [u for u in run_of(tile).updates() if isinstance(u, Preview)]
    assert pieces
    assert all(p.confidence.dtype == np.uint8 for p in pieces)
    seen = np.zeros(tile.shape, bool)
    for piece in pieces:
        assert piece.confidence.shape == seen[piece.rows, piece.columns].shape
        seen[piece.rows, piece.columns] = True
    assert seen.all()


def test_what_is_looked_at_in_a_large_tile_is_final_before_the_rest(tile, monkeypatch):
    monkeypatch.setattr(preview_module, "SOON_THERE", 100)
    monkeypatch.setattr(preview_module, "PIECE", 40)
    run = run_of(tile)
    run.look_at(slice(20, 90), slice(60, 150))
    updates = list(run.updates())
    drawing = [isinstance(u, Progress) and u.phase == "Drawing the final map" for u in updates]
    *pieces, last = updates[drawing.index(True) + 1 :]
    result = last.result
    assert len(pieces) > 1
    seen = np.zeros(tile.shape, bool)
    for piece in pieces:
        place = piece.rows, piece.columns
        seen[place] = True
        assert (piece.channel, piece.inverted) == (result.choice.channel, result.choice.inverted)
        exact = result.confidence()[place] * 255
        assert np.abs(piece.confidence - exact).max() < 3  # of 255; half the bits
    assert seen[20:90, 60:150].all()
    assert seen.sum() == 70 * 90


def test_all_of_a_tile_is_not_drawn_twice(tile, monkeypatch):
    """Neither a small one, nor a large one that is seen as a whole."""
    *_, before, _ = run_of(tile).updates()
    assert isinstance(before, Progress)
    monkeypatch.setattr(preview_module, "SOON_THERE", 100)
    monkeypatch.setattr(preview_module, "MOST_AT_LAST", tile.shape[0] * tile.shape[1] - 1)
    *_, before, _ = run_of(tile).updates()
    assert isinstance(before, Progress)


def test_moving_on_does_not_make_the_last_round_longer(tile, monkeypatch):
    monkeypatch.setattr(preview_module, "SOON_THERE", 100)
    monkeypatch.setattr(preview_module, "PIECE", 40)
    preview = LivePreview(tile, "rgb")
    preview.look_at(slice(0, 80), slice(0, 80))
    places = []
    for piece in preview.last_round(
        ConfidenceNetwork(), ChannelChoice(0, False, 0.5, "guess", (0.5,)), 1
    ):
        places.append((piece.rows, piece.columns))
        preview.look_at(slice(0, 160), slice(0, 10 * len(places)))
    assert len(places) == len({str(place) for place in places}) == 4


def test_after_the_first_picture_pieces_take_a_twentieth_of_the_time(tile, monkeypatch):
    ticks = iter(range(100))
    clock = SimpleNamespace(perf_counter=lambda: float(next(ticks)))  # every piece takes 1 s
    monkeypatch.setattr(preview_module, "time", clock)
    preview = LivePreview(tile, "rgb")
    preview.look_at(slice(0, 40), slice(0, 40))
    assert preview.is_due(0)
    preview.piece(ConfidenceNetwork(), None, 1)  # the first picture is free
    assert preview.is_due(0)
    preview.piece(ConfidenceNetwork(), None, 2)
    assert not preview.is_due(19)
    assert preview.is_due(21)


def test_looking_elsewhere_previews_that_field_first_and_is_clipped(tile):
    preview = LivePreview(tile, "rgb")
    preview.look_at(slice(100, 5000), slice(-20, 30))
    assert preview._next() == (slice(100, 160), slice(0, 30))
    preview.look_at(slice(9999, 10_000), slice(0, 1))
    rows, _ = preview._next()
    assert 0 <= rows.start < rows.stop <= 160


def test_the_same_seed_gives_the_same_result_bit_for_bit_and_another_does_not(tile):
    first, again, other = (finished(run_of(tile, seed=s)) for s in (3, 3, 4))
    assert np.array_equal(first.maps, again.maps)
    for one, two in zip(
        first.model.network.state_dict().values(),
        again.model.network.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(one, two)
    assert not np.array_equal(first.maps, other.maps)


def test_stop_keeps_a_usable_result_and_stopping_twice_is_harmless(tile):
    run = run_of(tile, n_steps=10_000)
    for update in run.updates():
        if isinstance(update, Progress) and update.step >= 5:
            run.stop()
            run.stop()
        last = update
    assert isinstance(last, Finished)
    assert last.result.stopped_by == "user"
    assert 5 <= len(last.result.curves) < 200
    assert np.isfinite(last.result.maps.astype(np.float32)).all()


def test_stop_before_the_first_step_says_that_nothing_was_learned(tile):
    run = run_of(tile)
    run.stop()
    result = finished(run)
    assert result.curves == ()
    assert "before the first step" in result.stopped_because


def test_abandon_ends_without_a_result(tile):
    run = run_of(tile, n_steps=10_000)
    updates = []
    for update in run.updates():
        updates.append(update)
        run.abandon()
    assert not any(isinstance(u, Finished) for u in updates)


def test_pause_holds_the_steps_and_resume_goes_on(tile):
    run = run_of(tile, n_steps=8)
    run.pause()
    updates = run.updates()
    seen: list[object] = []
    done = threading.Event()

    def consume() -> None:
        seen.extend(updates)
        done.set()

    thread = threading.Thread(target=consume)
    thread.start()
    assert not done.wait(1.5)
    assert run.paused
    n_before = sum(len(u.steps) for u in list(seen) if isinstance(u, Progress))
    assert n_before <= 1
    run.resume()
    thread.join(60)
    assert isinstance(seen[-1], Finished)
    assert len(seen[-1].result.curves) == 8


def test_several_starts_are_tried_and_the_best_ones_agree_on_the_map(tile):
    run = run_of(tile, starts=4, starts_at_once=2, committee=3, n_steps=20)
    result = finished(run)
    phases = list(dict.fromkeys(step.phase for step in result.curves))
    assert phases == ["starts 1–2 of 4", "starts 3–4 of 4"]
    assert [step.step for step in result.curves] == list(range(1, 41))
    assert all(step.n_steps == 40 for step in result.curves)
    assert result.stopped_by == "steps"
    assert int(result.model.network.n_heard) == 3
    assert "best 3 draw the map together" in result.stopped_because
    assert result.choice.score == pytest.approx(result.provenance["channel_score"], abs=1e-6)
    renewed = [step.step for step in result.curves if step.renewed]
    assert result.best_step == renewed[-1]  # where the best of them was taken


@pytest.mark.parametrize("seed", [0, 1])
def test_the_preview_shows_the_map_of_the_network_that_is_there(tile, seed, monkeypatch):
    shown, monitors = [], []
    piece, start = LivePreview.piece, ConvergenceMonitor.__init__

    def watched(self, network, choice, step):
        judged = monitors[0].agreement.of(network).choice
        shown.append((choice.channel, choice.inverted) == (judged.channel, judged.inverted))
        return piece(self, network, choice, step)

    monkeypatch.setattr(
        ConvergenceMonitor, "__init__", lambda self, *a: start(self, *a) or monitors.append(self)
    )
    monkeypatch.setattr(LivePreview, "piece", watched)
    monkeypatch.setattr(LivePreview, "is_due", lambda *_: True)
    finished(run_of(tile, seed=seed, starts=3, committee=2, n_steps=8))
    assert len(shown) == 8
    assert all(shown)


def test_starts_that_bring_nothing_end_the_run(tile, monkeypatch):
    monkeypatch.setattr("napari_selfseg.core.learning.starts.BARREN", 0)
    result = finished(run_of(tile, starts=9, n_steps=2, committee=2))
    assert len(result.curves) == 2
    assert result.stopped_by == "plateau"
    assert "no better than those before; the best 2 draw" in result.stopped_because
    assert int(result.model.network.n_heard) == 2


def test_a_stop_among_the_first_starts_keeps_the_best_so_far(tile):
    run = run_of(tile, starts=6, n_steps=40)
    for update in run.updates():
        if isinstance(update, Progress) and update.step >= 2:
            run.stop()
    result = update.result
    assert result.stopped_by == "user"
    assert 1 <= result.best_step <= len(result.curves)
    assert f"the network of step {result.best_step} was kept" in result.stopped_because
    assert int(result.model.network.n_heard) == 1


def test_the_suggestion_is_that_of_the_chosen_map_and_goes_with_it(tile):
    result = finished(run_of(tile))
    assert result.suggestion.settings == suggested_label_settings(
        result.confidence(), tile.read(), tile.um_per_px
    )
    assert result.suggested_label_settings() == result.suggestion.settings
    labels = label_image(result.confidence(), result.suggestion.settings)
    assert np.array_equal(result.suggestion.labels, labels)
    assert result.scores["learned"] == result.suggestion.score
    same = replace(result.choice, how="user")
    assert result.with_choice(same).suggestion is result.suggestion
    flipped = replace(result.choice, inverted=not result.choice.inverted)
    other = result.with_choice(flipped)
    assert other.suggestion is None
    assert "learned" in result.scores
    assert "learned" not in other.scores
    assert other.provenance["scores"] == other.scores
    assert other.provenance["channel_score"] == flipped.score


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "All 12 steps were taken."),
        ({"starts": 4, "committee": 1}, "All 4 starts were tried."),
        ({"starts": 2}, "All 2 starts were tried; they draw the map together."),
    ],
)
def test_what_was_completed_is_said(changes, said):
    assert PatchContrastSettings(**{**SMALL, **changes}).completed == said


def test_starts_that_end_early_leave_less_to_do(tile):
    clock, monitor = RunClock(90), SimpleNamespace(last=None)
    steps = [TrainingStep("a", n, 90, exploring=True) for n in (1, 2, 3, 61)]
    told = clock.progress(steps, monitor, "a")
    assert (told.step, told.n_steps) == (61, 90)
    assert told.seconds_left == pytest.approx(told.seconds / 4 * 29, rel=0.5)


COLLAPSING = {"seed": 1, "crop_size": 96, "patch_px": 24, "stride_px": 10, "n_steps": 400}
"""At learning rate 5e-4 the map of the tile below dies after some 150 steps (measured)."""


@pytest.fixture(scope="module")
def dying_tile() -> Tile:
    return Tile(drawn_he_tile(256, 256, n_nuclei=25, seed=1)[0], 255.0, 0.25, "drawn")


def test_training_into_the_collapse_gets_the_earlier_map_back(dying_tile, monkeypatch):
    at_measurement: dict[int, dict[str, torch.Tensor]] = {}
    measure, restore = ConvergenceMonitor.measure, ConvergenceMonitor.restore_best
    score_at_the_end: list[float] = []

    def remember(self, step, network):
        at_measurement[step] = {k: v.clone() for k, v in network.state_dict().items()}
        return measure(self, step, network)

    def look_first(self, network):
        score_at_the_end.append(self.agreement.of(network).score)
        restore(self, network)

    monkeypatch.setattr(ConvergenceMonitor, "measure", remember)
    monkeypatch.setattr(ConvergenceMonitor, "restore_best", look_first)
    result = finished(run_of(dying_tile, **COLLAPSING, stop_early=False))
    assert len(result.curves) == 400
    assert result.curves[-1].measures["entropy"] < result.curves[100].measures["entropy"]
    assert result.best_step < 300
    assert result.choice.score > score_at_the_end[0] + COLLAPSE_MARGIN
    for name, value in result.model.network.state_dict().items():
        assert torch.equal(value, at_measurement[result.best_step][name]), name


def test_the_collapse_alarm_stops_the_training_and_says_why(dying_tile):
    result = finished(run_of(dying_tile, **COLLAPSING))
    assert result.stopped_by == "collapse"
    assert "began to die" in result.stopped_because
    assert f"step {result.best_step} was kept" in result.stopped_because
    assert len(result.curves) < 300


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (np.zeros((20, 200, 3), np.uint8), "small"),
        (np.full((200, 200, 3), 255, np.uint8), "blank|empty|nothing"),
    ],
)
def test_a_tile_that_cannot_be_learned_from_is_told_in_one_sentence(pixels, sentence):
    run = run_of(Tile(pixels, 255.0, None, "bad"))
    with pytest.raises(RunError, match=f"(?i){sentence}") as error:
        next(iter(run.updates()))
    assert not isinstance(error.value, RuntimeError)


def test_a_failure_inside_torch_never_leaves_as_a_runtime_error(tile, monkeypatch):
    from napari_selfseg.core.methods import patch_contrast

    def broken(*_args, **_kwargs):
        raise RuntimeError("shape mismatch in a kernel")

    monkeypatch.setattr(patch_contrast.PatchContrastObjective, "loss", broken)
    with pytest.raises(RunError, match="shape mismatch in a kernel"):
        list(run_of(tile).updates())


def test_grey_and_several_tiles_are_learned_from(tile):
    grey = Tile(tile.pixels[..., :1], 255.0, 0.25, "grey")
    settings = PatchContrastSettings(**{**SMALL, "n_steps": 3})
    both = TrainingRun(TrainingRequest((grey, grey), settings, threads=1))
    assert finished(both).maps.shape == (4, 160, 176)
    mixed = TrainingRun(TrainingRequest((tile, grey), settings, threads=1))
    with pytest.raises(RunError, match="together"):
        list(mixed.updates())


def test_too_large_a_region_is_refused_before_anything_is_read():
    import dask.array as da

    huge = Tile(da.zeros((50_000, 50_000, 3), np.uint8, chunks=4096), 255.0, 0.25, "huge")
    with pytest.raises(RunError, match="2500 megapixels"):
        next(iter(run_of(huge).updates()))
