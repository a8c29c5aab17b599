"""Method 2: its fine-tuning against a loop, its stages, and what it changes of a map."""

import math

import numpy as np
import pytest
import torch
from tests.core.learning.small_training import patch_contrast_with

from napari_selfseg.core.checkpoint import TrainedModel, load_model, save_model
from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile
from napari_selfseg.core.learning.stroke_crops import Painted, PaintedData
from napari_selfseg.core.methods import METHODS
from napari_selfseg.core.methods.local_contrast import (
    LocalContrast,
    MapObjective,
    corrected_from,
    knows_tissue,
)
from napari_selfseg.core.methods.local_contrast_settings import LocalContrastSettings
from napari_selfseg.core.networks.corrected import Corrected
from napari_selfseg.core.prediction import predict, predict_region

FEW = {"global_steps": 2, "local_steps": 2, "n_steps": 3, "batch_size": 4, "crop_size": 32}
START = {
    "start_method": "patch-contrast",
    "start_settings": patch_contrast_with(starts=1, n_confidence_maps=2).model_dump(mode="json"),
}


def settings_with(**changes):
    return LocalContrastSettings(**{**FEW, **START, **changes})


def drawn_data(seed=0, n_classes=1, shift=0.0):
    """A drawn tile with strokes in two nuclei and in two places of background."""
    pixels, truth = drawn_he_tile(128, 128, n_nuclei=16, seed=seed)
    image = pixels.astype(np.float32) / 255
    classes = np.zeros(truth.shape, np.uint8)
    for order, number in enumerate(np.unique(truth)[1:5]):
        classes[truth == number] = 2 + order % n_classes
    rows, columns = np.nonzero(truth == 0)
    classes[rows[:1500], columns[:1500]] = 1
    start = np.full(truth.shape, shift, np.float32)
    nothing = np.zeros(truth.shape, np.float32)
    return PaintedData((Painted.of(image, classes, nothing, start, 1),)), image, truth, classes


def fitted(model, data, settings):
    return list(LocalContrast().fit(model, data, settings))


# ---- the loss


def slow_map_loss(evidence, said, weight, start, keep):
    """Cross-entropy, soft Dice and keeping, pixel by pixel."""
    sums = {1: [0.0, 0.0], 2: [0.0, 0.0]}
    found = wanted = both = change = rest = 0.0
    for e, c, w, z in zip(
        *(t.flatten().tolist() for t in (evidence, said, weight, start)), strict=True
    ):
        p = 1 / (1 + math.exp(-(z + e)))
        is_object = c > 1
        sums[2 if is_object else 1][0] += w * -math.log(p if is_object else 1 - p)
        sums[2 if is_object else 1][1] += w
        found += w * p
        wanted += w * is_object
        both += w * p * is_object
        change += (1 - w) * e * e
        rest += 1 - w
    entropy = sum(total / n for total, n in sums.values() if n) / 2
    return entropy + 1 - (2 * both + 1) / (found + wanted + 1) + keep * change / rest


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_of_the_map_against_a_loop(seed):
    g = torch.Generator().manual_seed(seed)
    shape = (2, 5, 6)
    said = torch.randint(0, 3, shape, generator=g).double()
    weight = torch.rand(shape, generator=g, dtype=torch.float64) * (said > 0)
    start, evidence = torch.randn(2, *shape, generator=g, dtype=torch.float64)
    crops = torch.stack([start, said, weight, start], 1)
    got = MapObjective(0.7)(crops, evidence.unsqueeze(1), g)
    assert bool(got.usable)
    wanted = slow_map_loss(evidence, said, weight, start, 0.7)
    assert got.value.item() == pytest.approx(wanted, rel=1e-6)


def test_pixels_that_nobody_painted_only_keep_the_evidence_small():
    g = torch.Generator().manual_seed(0)
    said = torch.zeros(1, 4, 4)
    crops = torch.stack([said, said, said, torch.randn(1, 4, 4, generator=g)], 1)
    evidence = torch.randn(1, 1, 4, 4, generator=g, requires_grad=True)
    loss = MapObjective(2.0)(crops, evidence, g).value
    loss.backward()
    wanted = 2.0 * 2 * evidence.detach() / 16
    torch.testing.assert_close(evidence.grad, wanted)


# ---- the network


def test_before_anything_was_learned_there_is_no_evidence():
    model = LocalContrast().build_model(settings_with())
    tile = Tile(drawn_he_tile(96, 112, n_nuclei=9, seed=1)[0], 255, 0.25)
    drawn = predict(model, tile)
    assert drawn.shape == (3, 96, 112)
    assert not drawn[2].any()
    np.testing.assert_array_equal(drawn[:2], predict(model.start, tile))


@pytest.mark.parametrize("shrink", [1, 2])
def test_evidence_in_pieces_is_that_of_the_whole(shrink):
    model = LocalContrast().build_model(settings_with())
    model.correction.shrink.fill_(shrink)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.correction.learner.head.weight)
    tile = Tile(drawn_he_tile(300, 260, n_nuclei=30, seed=1)[0], 255, 0.25)
    whole = predict(model.correction, tile, piece=1000)
    pieces = predict(model.correction, tile, piece=130)
    np.testing.assert_allclose(whole.astype(float), pieces.astype(float), atol=2e-2)
    part = predict_region(model.correction, tile, slice(40, 100), slice(8, 77))
    np.testing.assert_allclose(part, whole[:, 40:100, 8:77].astype(float), atol=2e-2)


# ---- learning


@pytest.mark.parametrize("mode", ["sampled", "stride", "block"])
def test_all_stages_are_told_in_order(mode):
    data, *_ = drawn_data()
    settings = settings_with(mode=mode)
    steps = fitted(LocalContrast().build_model(settings), data, settings)
    assert [step.step for step in steps] == list(range(1, 8))
    assert {step.n_steps for step in steps} == {7}
    assert [step.phase for step in steps] == ["views"] * 2 + ["strokes"] * 2 + ["map"] * 3
    assert all(math.isfinite(step.measures["loss"]) for step in steps)


def test_the_start_learns_nothing():
    data, *_ = drawn_data()
    settings = settings_with()
    model = LocalContrast().build_model(settings)
    before = {name: value.clone() for name, value in model.start.state_dict().items()}
    fitted(model, data, settings)
    for name, value in model.start.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_the_same_seed_learns_the_same():
    data, *_ = drawn_data()
    settings = settings_with()
    models = [LocalContrast().build_model(settings) for _ in range(2)]
    for model in models:
        fitted(model, data, settings)
    for one, other in zip(*(m.state_dict().values() for m in models), strict=True):
        assert torch.equal(one, other)


def test_every_stop_leaves_a_usable_model():
    data, image, *_ = drawn_data()
    settings = settings_with()
    tile = Tile(image, 1.0, 0.25)
    for stop_after in (1, 3, 5):
        model = LocalContrast().build_model(settings)
        for step in LocalContrast().fit(model, data, settings):
            if step.step == stop_after:
                break
        assert np.isfinite(predict(model, tile).astype(float)).all()


def test_the_map_follows_the_strokes_also_where_nobody_painted():
    """A map that knows nothing learns nuclei from four of sixteen; an untrained one does not."""
    data, image, truth, classes = drawn_data(shift=-1.0)
    settings = settings_with(
        global_steps=10, local_steps=10, n_steps=60, learning_rate=3e-3, keep=0.02
    )
    model = LocalContrast().build_model(settings)
    fitted(model, data, settings)
    evidence = predict(model.correction, Tile(image, 1.0, 0.25))[0].astype(float)
    unpainted = classes == 0
    inside = evidence[unpainted & (truth > 0)].mean()
    outside = evidence[unpainted & (truth == 0)].mean()
    assert inside > outside + 1.0


def test_several_classes_get_maps_of_their_own():
    data, image, *_, classes = drawn_data(n_classes=2)
    settings = settings_with(n_classes=2)
    model = LocalContrast().build_model(settings)
    assert model.n_confidence_maps == 3 == settings.n_confidence_maps
    fitted(model, data, settings)
    assert predict(model.correction, Tile(image, 1.0, 0.25)).shape == (3, *classes.shape)


def test_a_saved_model_draws_the_same(tmp_path):
    data, image, *_ = drawn_data()
    settings = settings_with()
    model = LocalContrast().build_model(settings)
    fitted(model, data, settings)
    save_model(TrainedModel(model, "local-contrast", settings, 0.25, 3), tmp_path)
    loaded = load_model(tmp_path)
    assert isinstance(loaded.network, Corrected)
    tile = Tile(image, 1.0, 0.25)
    np.testing.assert_array_equal(predict(loaded.network, tile), predict(model, tile))


# ---- where it starts from


def test_the_learner_begins_with_what_the_starts_larger_network_knows():
    kind = patch_contrast_with(starts=2, committee=2, refinement_steps=5, n_confidence_maps=3)
    refined = METHODS["patch-contrast"].load().build_model(kind, 3)
    settings = settings_with(start_settings=kind.model_dump(mode="json"), global_steps=0)
    assert not knows_tissue(refined)
    refined.learned(2, 0.1)
    assert knows_tissue(refined)
    model = corrected_from(refined, settings, 4, 3)
    assert int(model.correction.shrink) == 2
    known = refined.pupils.members[0].down[0][0].weight
    assert torch.equal(model.correction.learner.down[0][0].weight, known)
    assert not model.correction.learner.head.weight.any()


def test_a_second_round_goes_on_from_the_first():
    data, *_ = drawn_data()
    settings = settings_with()
    first = LocalContrast().build_model(settings)
    fitted(first, data, settings)
    second = corrected_from(first, settings, 1, 3)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
