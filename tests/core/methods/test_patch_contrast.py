"""Method 0: the step loss against plain loops, safety at the ends, and that it learns."""

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.core.learning.small_training import patch_contrast_with as tiny
from tests.core.learning.small_training import same, state_of, told
from tests.core.methods import loop_reference
from tests.core.methods.loop_reference import Draws, distances, step_loss

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.core.learning.sampling import SAMPLERS
from napari_selfseg.core.learning.training_data import TrainingData
from napari_selfseg.core.methods.patch_contrast import (
    PatchContrast,
    PatchContrastObjective,
)
from napari_selfseg.core.methods.settings import PatchContrastSettings
from napari_selfseg.core.networks.confidence import joined

SIMILARITIES = ("mse", "cross-entropy", "featurised-cosine")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=generator(seed), dtype=dtype)


class Watched(PatchContrastObjective):
    """Remembers what was drawn in a step, for the loop to repeat."""

    def forward(self, images, confidence, generator):
        drawn = self.sampler

        def sampler(*arguments):
            self.locations, self.sides = drawn(*arguments)
            return self.locations, self.sides

        self.sampler = sampler
        try:
            return super().forward(images, confidence, generator)
        finally:
            self.sampler = drawn

    def loss(self, patches, is_positive, anchors, batch_size, groups=None):
        self.anchors = anchors
        return super().loss(patches, is_positive, anchors, batch_size, groups)

    @property
    def draws(self):
        return Draws(self.locations, self.sides, self.anchors)


def both_sides(entropy, confidence, n, generator):
    """Draw evenly, with at least one positive and one negative in every map."""
    locations, sides = SAMPLERS["uniform"](entropy, confidence, n, generator)
    sides[0, :, 0], sides[0, :, 1] = True, False
    return locations, sides


def pair_similarity(objective):
    match objective.similarity:
        case "mse":
            return loop_reference.mse
        case "cross-entropy":
            return loop_reference.cross_entropy
        case _:
            featuriser = copy.deepcopy(objective.featuriser).double()
            return loop_reference.featurised_cosine(featuriser)


def compare(objective, images, confidence, rtol):
    """Assert that loss, gradient and distances of a step are those of the loop."""
    confidence.requires_grad_()
    loss, measures = told(objective(images, confidence, generator(7)))
    assert loss is not None
    (gradient,) = torch.autograd.grad(loss, confidence)
    similarity = pair_similarity(objective)
    sizes = objective.patch, objective.stride
    expected = step_loss(
        images, confidence, objective.draws, *sizes, similarity, objective.temperature
    )
    (by_loop,) = torch.autograd.grad(expected, confidence)
    # relative to the terms that are added up, which may nearly cancel
    size = max(1.0, abs(expected.item()))
    assert abs(loss.item() - expected.item()) < rtol * size
    assert measures["loss"] == loss.item()
    assert (gradient - by_loop).norm() < rtol * by_loop.norm() + 1e-9
    apart = distances(images, confidence.detach(), objective.draws, *sizes, similarity)
    for k, (to_positives, to_negatives) in enumerate(apart):
        close = {"abs": max(rtol, 1e-6), "rel": rtol}
        assert measures[f"positive-positive/{k}"] == pytest.approx(to_positives, **close)
        assert measures[f"positive-negative/{k}"] == pytest.approx(to_negatives, **close)
        separation = to_negatives - to_positives
        assert measures[f"separation/{k}"] == pytest.approx(separation, **close)


class TestAgainstTheLoop:
    @pytest.mark.parametrize("similarity", SIMILARITIES)
    @pytest.mark.parametrize("n_maps", [1, 4])
    @given(
        shape=st.tuples(st.integers(1, 3), st.sampled_from([1, 3])),
        grid=st.tuples(st.integers(3, 8), st.integers(2, 6)),
        extra=st.tuples(st.integers(0, 12), st.integers(0, 12)),
        n_draws=st.integers(2, 5),
        temperature=st.sampled_from([1.0, 0.3]),
        seed=st.integers(0, 1000),
    )
    def test_loss_gradient_and_distances(
        self, similarity, n_maps, shape, grid, extra, n_draws, temperature, seed
    ):
        (n_images, channels), (patch, stride) = shape, grid
        if similarity == "featurised-cosine":
            patch += 15
        torch.manual_seed(seed)
        objective = Watched(patch, stride, n_draws, both_sides, similarity, temperature, channels)
        size = [patch + stride + more for more in extra]
        images = 0.05 + 0.95 * rand(n_images, channels, *size, seed=seed)
        compare(objective, images, rand(n_images, n_maps, *size, seed=seed + 1), rtol=1e-5)

    @pytest.mark.parametrize("similarity", SIMILARITIES)
    def test_in_double_precision_to_1e_10(self, similarity):
        objective = Watched(20, 7, 4, both_sides, similarity).double()
        images = rand(2, 3, 34, 41, seed=1, dtype=torch.float64)
        compare(objective, images, rand(2, 3, 34, 41, seed=2, dtype=torch.float64), rtol=1e-10)

    @pytest.mark.parametrize("sampler", SAMPLERS)
    def test_with_every_sampler(self, sampler):
        objective = Watched(8, 5, 4, SAMPLERS[sampler])
        compare(objective, rand(2, 3, 40, 40), rand(2, 2, 40, 40, seed=3), rtol=1e-5)

    def test_with_patches_as_published(self):
        objective = Watched(50, 20, 10, SAMPLERS["entropy"])
        compare(objective, rand(2, 3, 130, 110), rand(2, 2, 130, 110, seed=3), rtol=1e-5)

    def test_by_hand(self):
        """One image, one map, patches of one pixel: positives 0.2 and 0.6, negative 1."""

        def chosen(entropy, confidence, n, generator):
            return torch.tensor([[[0, 1, 2]]]), torch.tensor([[[True, True, False]]])

        objective = Watched(1, 1, 3, chosen)
        image = torch.tensor([0.4, 0.6, 1.0]).view(1, 1, 1, 3)
        confidence = torch.tensor([0.5, 1.0, 1.0]).view(1, 1, 1, 3)
        loss, _ = told(objective(image, confidence, generator()))
        expected = 0.0
        for anchor in objective.anchors[0].tolist():
            a = (0.2, 0.6)[anchor]
            for p in (0.2, 0.6):
                expected += (a - p) ** 2 - (a - 1.0) ** 2  # log of a single exponential
        assert loss.item() == pytest.approx(expected / 9, rel=1e-5)


class TestStep:
    images, confidence = rand(3, 3, 40, 44), rand(3, 4, 40, 44, seed=1)

    def objective(self, sampler=both_sides, **arguments):
        return Watched(8, 4, 6, sampler, **arguments)

    def test_anchors_are_positives(self):
        objective = self.objective()
        objective(self.images, self.confidence, generator())
        sides = objective.sides.transpose(0, 1).flatten(1)
        assert objective.anchors.shape == (4, 6)
        assert sides.gather(1, objective.anchors).all()

    def test_swapping_the_sides_changes_the_loss(self):
        def swapped(*arguments):
            locations, sides = both_sides(*arguments)
            return locations, ~sides

        loss, _ = told(self.objective()(self.images, self.confidence, generator()))
        other, _ = told(self.objective(swapped)(self.images, self.confidence, generator()))
        assert abs(loss.item() - other.item()) > 0.01 * abs(loss.item())

    def test_other_maps_by_hand(self):
        """Patches of one value; -s(a, p) is 0, so that L is the sum of the log-denominators."""
        patches = torch.tensor([[[0.0], [1.0]], [[0.5], [0.0]]])  # map, patch, value
        sides, anchors = torch.tensor([[True, False]] * 2), torch.tensor([[0]] * 2)
        objective = self.objective()
        alone, _ = objective.loss(patches[:1], sides[:1], anchors[:1], 1)
        assert alone.item() == pytest.approx(-1)  # 0 against 1
        both, _ = objective.loss(patches, sides, anchors, 1)
        # 0 against 1, 0.5 against 0, and each map's positive against the other's
        assert both.item() == pytest.approx(-1 - 0.25 - 0.25 - 0.25)
        half, _ = objective.loss(patches, sides, anchors, 2)  # 1 / (n² B)
        assert half.item() == pytest.approx(both.item() / 2)

    @pytest.mark.parametrize("side", [True, False])
    def test_a_map_without_one_side_skips_the_step(self, side):
        def one_sided(*arguments):
            locations, sides = both_sides(*arguments)
            sides[:, 2] = side
            return locations, sides

        confidence = self.confidence.clone().requires_grad_()
        step_loss = self.objective(one_sided)(self.images, confidence, generator())
        loss, measures = told(step_loss)
        assert loss is None
        step_loss.value.backward()
        assert not confidence.grad.any()
        assert "entropy" in measures
        assert "separation" not in measures

    def test_a_side_may_be_missing_in_an_image(self):
        """Lists run over the batch: what one image lacks, another has."""

        def by_image(*arguments):
            locations, sides = both_sides(*arguments)
            sides[0], sides[1:] = True, False
            return locations, sides

        loss, _ = told(self.objective(by_image)(self.images, self.confidence, generator()))
        assert loss is not None

    def test_measures_are_means_over_the_maps(self):
        _, measures = told(self.objective()(self.images, self.confidence, generator()))
        for name in ("entropy", "separation", "positive-positive", "positive-negative"):
            per_map = [measures[f"{name}/{k}"] for k in range(4)]
            assert measures[name] == pytest.approx(np.mean(per_map))

    def test_patches_are_cut_from_image_times_map(self):
        objective = self.objective()
        locations = torch.randint(90, (3, 4, 6), generator=generator(5))
        patches = objective.attended_patches(self.images, self.confidence, locations)
        assert patches.shape == (4, 18, 3 * 64)
        for b, k, i in ((0, 0, 0), (1, 3, 2), (2, 1, 5)):
            expected = loop_reference.attended_patch(
                self.images[b], self.confidence[b, k], int(locations[b, k, i]), 8, 4
            )
            torch.testing.assert_close(patches[k, b * 6 + i], expected.flatten())

    def test_the_generator_alone_decides(self):
        torch.manual_seed(0)
        loss, _ = told(self.objective()(self.images, self.confidence, generator(1)))
        torch.manual_seed(1)
        again, _ = told(self.objective()(self.images, self.confidence, generator(1)))
        other, _ = told(self.objective()(self.images, self.confidence, generator(2)))
        assert loss.item() == again.item() != other.item()

    def test_images_get_no_gradient_and_maps_do(self):
        confidence = self.confidence.clone().requires_grad_()
        loss, _ = told(self.objective()(self.images, confidence, generator()))
        loss.backward()
        assert confidence.grad.flatten(2).abs().sum(-1).gt(0).all()


class TestSaturation:
    @pytest.mark.parametrize("similarity", SIMILARITIES)
    @pytest.mark.parametrize("sampler", SAMPLERS)
    @pytest.mark.parametrize("scale", [100.0, 300.0])
    def test_confidence_of_0_and_1_is_finite_in_value_and_gradient(
        self, similarity, sampler, scale
    ):
        torch.manual_seed(0)
        logits = (scale * (rand(2, 2, 60, 60, seed=4) - 0.5).sign()).requires_grad_()
        images = 0.05 + 0.95 * rand(2, 3, 60, 60).round()
        objective = PatchContrastObjective(20, 10, 6, SAMPLERS[sampler], similarity)
        confidence = torch.sigmoid(logits)
        assert (confidence == 1).any()
        loss, measures = told(objective(images, confidence, generator()))
        assert loss is not None
        loss.backward()
        assert loss.isfinite()
        assert logits.grad.isfinite().all()
        assert all(np.isfinite(value) for value in measures.values())
        assert all(p.grad.isfinite().all() for p in objective.parameters())

    @pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
    def test_a_constant_map(self, value):
        confidence = torch.full((2, 2, 60, 60), value)
        objective = PatchContrastObjective(20, 10)
        loss, measures = told(objective(rand(2, 3, 60, 60), confidence, generator()))
        assert measures["entropy"] == (1 if value == 0.5 else 0)
        assert (loss is None) == (value != 0.5)


def drawn_tile(side=96, seed=1, **about):
    pixels, _ = drawn_he_tile(side, side, n_nuclei=side // 8, seed=seed)
    return Tile(pixels, 255, **about)


def trained(settings, *tiles, data=None):
    tiles = tiles or (drawn_tile(),)
    data = data or TrainingData(tiles, settings.image_space)
    model = PatchContrast().build_model(settings, data.n_channels)
    steps = list(PatchContrast().fit(model, data, settings))
    return model, steps


class TestFit:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"similarity": "cross-entropy", "sampler": "top-k"},
            {"similarity": "featurised-cosine", "patch_px": 18, "stride_px": 6, "crop_size": 40},
            {"image_space": "optical-density", "sampler": "probabilistic"},
            {"n_confidence_maps": 1, "sampler": "uniform", "temperature": 0.5},
        ],
        ids=str,
    )
    def test_takes_every_choice(self, changes):
        settings = tiny(**changes)
        model, steps = trained(settings)
        assert [s.step for s in steps] == [1, 2, 3]
        assert any("loss" in s.measures for s in steps)
        assert not any(s.note for s in steps)
        before = PatchContrast().build_model(settings)
        assert not same(state_of(model), state_of(before))
        assert all(value.isfinite().all() for value in model.state_dict().values())

    def test_several_tiles_of_different_size_and_grey(self):
        grey = [
            Tile(np.random.default_rng(i).integers(0, 256, shape, np.uint8), 255)
            for i, shape in enumerate([(40, 70, 1), (66, 33, 1)])
        ]
        model, steps = trained(tiny(), *grey)
        assert len(steps) == 3
        assert model.n_channels == 1

    def test_optical_density_is_not_rgb(self):
        rgb, _ = trained(tiny())
        density, _ = trained(tiny(image_space="optical-density"))
        assert not same(state_of(rgb), state_of(density))

    def test_the_same_seed_bit_for_bit_and_another_one(self):
        torch.manual_seed(3)
        settings = tiny(
            similarity="featurised-cosine",
            patch_px=18,
            stride_px=5,
            starts=3,
            starts_at_once=2,
            batch_size=2,  # 14 crops of 3 tiles: the first training ends within a round
        )
        data = TrainingData([drawn_tile(seed=s) for s in range(3)])
        model, steps = trained(settings, data=data)
        torch.manual_seed(4)
        again, repeated = trained(settings, data=data)  # also with data that was used before
        assert same(state_of(model), state_of(again))
        assert steps == repeated
        other, _ = trained(settings.model_copy(update={"seed": 1}), data=data)
        assert not same(state_of(model), state_of(other))

    @pytest.mark.parametrize("starts", [1, 5])
    def test_building_leaves_the_random_numbers_of_others_alone(self, starts):
        before = torch.get_rng_state()
        settings = tiny(starts=starts)
        model = PatchContrast().build_model(settings)
        PatchContrast().build_objective(settings, TrainingData([drawn_tile()]))
        joined([PatchContrast().build_network(settings)] * 2)
        model.folded()
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(3)
        again = PatchContrast().build_model(settings)
        assert same(state_of(model), state_of(again))

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_learns_to_separate_and_to_decide(self, seed):
        """On crops and draws that are the same before and after."""
        settings = tiny(
            seed=seed,
            patch_px=12,
            stride_px=6,
            crop_size=64,
            batch_size=5,
            n_draws=10,
            n_steps=30,
            learning_rate=5e-3,
        )
        data = TrainingData([drawn_tile(160)])
        method = PatchContrast()
        model, objective = method.build_model(settings), method.build_objective(settings, data)
        before = judged(model, objective, data)
        steps = list(method.fit(model, data, settings))
        after = judged(model, objective, data)
        assert len(steps) == 30
        assert after["separation"] > before["separation"] + 0.03
        assert after["entropy"] < before["entropy"] - 0.1

    def test_steps_on_the_same_patches_lower_the_loss(self):
        torch.manual_seed(0)
        model = PatchContrast().build_model(tiny(seed=5))
        objective = PatchContrastObjective(8, 4, 6, both_sides)
        crops = TrainingData([drawn_tile()]).draw(np.random.default_rng(0), 3, 32)
        positives = None

        def fixed(entropy, confidence, n, generator):
            nonlocal positives
            if positives is None:
                positives = both_sides(entropy, confidence, n, generator)
            return positives

        objective.sampler = fixed
        adam = torch.optim.Adam(model.parameters(), lr=1e-3)
        losses = []
        for _ in range(25):
            adam.zero_grad()
            loss, _ = told(objective(crops, model(crops), generator(1)))
            loss.backward()
            adam.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0] - 0.1
        assert sum(b < a for a, b in itertools.pairwise(losses)) >= 20


def judged(model, objective, data):
    """Mean measures of a network on fixed crops; its state stays as it is."""
    model = copy.deepcopy(model).train()
    crops = data.draw(np.random.default_rng(99), 6, 64)
    with torch.no_grad():
        maps = model(crops)
        each = [told(objective(crops, maps, generator(i))) for i in range(6)]
    measures = [measures for loss, measures in each if loss is not None]
    assert len(measures) >= 3
    return {name: np.mean([m[name] for m in measures]) for name in ("separation", "entropy")}


class TestPatchesAndCrops:
    def test_patch_follows_the_scale_of_the_tiles(self):
        data = TrainingData([drawn_tile(um_per_px=0.5)])
        objective = PatchContrast().build_objective(PatchContrastSettings(), data)
        assert (objective.patch, objective.stride, objective.least_crop) == (25, 10, 55)

    def test_a_crop_too_small_for_the_patches_grows(self):
        settings = tiny(patch_px=40, stride_px=10, crop_size=32, n_steps=1)
        _, steps = trained(settings)
        assert len(steps) == 1

    def test_a_tile_too_small_for_the_patches_is_refused(self):
        settings = tiny(patch_px=40, stride_px=20)
        with pytest.raises(TileError, match="smaller than the 100 × 100 px"):
            trained(settings)
