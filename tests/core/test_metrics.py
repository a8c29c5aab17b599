import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.metrics.panoptic_quality import compute_panoptic_quality

from napari_selfseg.core.metrics import aji, compare, dice, object_dice, panoptic_quality

# Two rows of ten pixels. Reference: object 1 in columns 0-3, object 2 in columns 5-8.
REFERENCE = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 2, 0]] * 2, dtype=np.uint16)
# Prediction: 7 in columns 0-2 (6 of 8 px of object 1), 3 in columns 6-9 (6 of 8 px of object 2,
# and 2 px outside), 9 in column 4 (2 px, wrong).
PREDICTED = np.array([[7, 7, 7, 0, 9, 0, 3, 3, 3, 3]] * 2, dtype=np.int32)

label_images = hnp.arrays(np.uint8, (7, 9), elements=st.integers(0, 5))


def slow_aji(predicted, reference):
    """Write out the definition of Kumar et al. with loops."""
    intersection = union = 0
    used = set()
    numbers = [n for n in np.unique(predicted) if n]
    for r in (n for n in np.unique(reference) if n):
        ious = {
            p: ((predicted == p) & (reference == r)).sum()
            / ((predicted == p) | (reference == r)).sum()
            for p in numbers
        }
        best = max(ious, key=ious.get, default=None)
        if best is None or ious[best] == 0:
            union += (reference == r).sum()
            continue
        intersection += ((predicted == best) & (reference == r)).sum()
        union += ((predicted == best) | (reference == r)).sum()
        used.add(best)
    union += sum((predicted == p).sum() for p in numbers if p not in used)
    return intersection / union if union else 1.0


def test_hand_worked_case():
    # foreground: 16 px in the reference, 16 in the prediction, 12 in both
    assert dice(PREDICTED, REFERENCE) == pytest.approx(2 * 12 / 32)
    # intersections 6 + 6, unions 8 + 10, and the 2 px of object 9 that nothing chose
    assert aji(PREDICTED, REFERENCE) == pytest.approx(12 / 20)
    # matches 6/8 and 6/10; one false positive: RQ = 2 / (2 + 1/2), SQ = (.75 + .6) / 2
    pq, sq, rq = panoptic_quality(PREDICTED, REFERENCE)
    assert sq == pytest.approx(0.675)
    assert rq == pytest.approx(0.8)
    assert pq == pytest.approx(0.54)
    # Dice of the pairs 12/14 and 12/16; predicted areas 6, 8, 2 (no partner), reference 8, 8
    forward = (6 * 12 / 14 + 8 * 12 / 16 + 0) / 16
    backward = (8 * 12 / 14 + 8 * 12 / 16) / 16
    assert object_dice(PREDICTED, REFERENCE) == pytest.approx((forward + backward) / 2)


def test_one_prediction_over_two_objects_counts_twice_in_aji():
    reference = np.array([[1, 1, 2, 2]])
    predicted = np.array([[5, 5, 5, 5]])
    assert aji(predicted, reference) == pytest.approx((2 + 2) / (4 + 4))
    assert panoptic_quality(predicted, reference) == (0.0, 0.0, 0.0)  # IoU of just one half


def test_a_missed_object_adds_its_area_to_the_union():
    reference = np.array([[1, 1, 0, 2, 2, 2]])
    predicted = np.array([[1, 1, 0, 0, 0, 0]])
    assert aji(predicted, reference) == pytest.approx(2 / 5)
    assert panoptic_quality(predicted, reference)[2] == pytest.approx(2 / 3)


def test_objects_that_do_not_touch_the_partner_at_all():
    reference = np.array([[1, 1, 0, 0]])
    predicted = np.array([[0, 0, 1, 1]])
    assert dice(predicted, reference) == 0
    assert aji(predicted, reference) == 0
    assert panoptic_quality(predicted, reference) == (0, 0, 0)
    assert object_dice(predicted, reference) == 0


def test_empty_images_are_defined():
    empty, full = np.zeros((4, 5), np.uint16), np.ones((4, 5), np.uint16)
    for score in (dice, aji, object_dice):
        assert score(empty, empty) == 1
        assert score(empty, full) == 0
        assert score(full, empty) == 0
    assert panoptic_quality(empty, empty) == (1, 1, 1)
    assert panoptic_quality(empty, full) == panoptic_quality(full, empty) == (0, 0, 0)


def test_compare_holds_every_score():
    scores = compare(PREDICTED, REFERENCE)
    pq, sq, rq = panoptic_quality(PREDICTED, REFERENCE)
    assert scores == {
        "dice": dice(PREDICTED, REFERENCE),
        "aji": aji(PREDICTED, REFERENCE),
        "pq": pq,
        "sq": sq,
        "rq": rq,
        "object_dice": object_dice(PREDICTED, REFERENCE),
        "n_predicted": 3,
        "n_reference": 2,
    }


def test_masks_and_huge_numbers():
    assert dice(PREDICTED > 0, REFERENCE) == dice(PREDICTED, REFERENCE)
    huge = PREDICTED.astype(np.int64) * 400_000_000
    assert compare(huge, REFERENCE) == compare(PREDICTED, REFERENCE)
    assert compare(REFERENCE, huge) == compare(REFERENCE, PREDICTED)
    nearly_full = np.full((2, 10), 2**40)
    assert aji(nearly_full, REFERENCE) == aji(np.ones((2, 10), int), REFERENCE)


@pytest.mark.parametrize("score", [dice, aji, panoptic_quality, object_dice, compare])
def test_what_is_no_pair_of_label_images_is_refused(score):
    labels = np.ones((4, 5), int)
    with pytest.raises(ValueError, match=r"differ in size: 4 × 5 px and 5 × 4 px\."):
        score(labels, labels.T)
    with pytest.raises(ValueError, match="whole numbers"):
        score(labels, labels * 0.5)
    with pytest.raises(ValueError, match="no negative numbers"):
        score(labels, -labels)


@settings(max_examples=80, deadline=None)
@given(label_images, label_images)
def test_aji_equals_its_definition(a, b):
    # where two predicted objects tie, the definition leaves open which is chosen
    ties = {float(aji(np.where(a > 0, order[a], 0), b)) for order in permutations_of_labels()}
    assert any(slow_aji(a, b) == pytest.approx(value) for value in ties)


def permutations_of_labels():
    for shift in range(5):
        for direction in (1, -1):
            yield np.array([0, *np.roll(np.arange(1, 6)[::direction], shift)])


@settings(max_examples=80, deadline=None)
@given(label_images, label_images)
def test_panoptic_quality_equals_monai(a, b):
    if not a.any() or not b.any():
        return  # MONAI calls two empty images a disagreement
    expected = [
        float(compute_panoptic_quality(torch.tensor(a), torch.tensor(b), metric_name=name))
        for name in ("pq", "sq", "rq")
    ]
    assert panoptic_quality(a, b) == pytest.approx(expected, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(label_images, label_images)
def test_symmetry_and_range(a, b):
    for score in (dice, object_dice, lambda p, q: panoptic_quality(p, q)[0]):
        assert score(a, b) == pytest.approx(score(b, a))
    for value in (dice(a, b), aji(a, b), object_dice(a, b), *panoptic_quality(a, b)):
        assert 0 <= value <= 1


@settings(max_examples=40, deadline=None)
@given(label_images, st.permutations(range(1, 6)))
def test_an_image_agrees_with_itself_however_it_is_numbered(a, numbers):
    renumbered = np.array([0, *numbers])[a]
    scores = compare(renumbered, a)
    assert [scores[k] for k in ("dice", "aji", "pq", "sq", "rq", "object_dice")] == [1] * 6
    assert scores["n_predicted"] == scores["n_reference"]


def test_masks_are_taken_as_one_object():
    mask, reference = PREDICTED > 0, REFERENCE > 0
    as_numbers = compare(mask.astype(np.uint8), reference.astype(np.uint8))
    assert compare(mask, reference) == as_numbers
