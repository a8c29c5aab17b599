"""A review of drawn label images, from what is doubtful to numbers that hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.session.review import begin
from napari_selfseg.session.review_changes import accepting, followed, noticed, rejecting
from napari_selfseg.session.review_findings import Evidence, look_through
from napari_selfseg.session.review_numbers import Surroundings, numbers_of
from napari_selfseg.session.review_tile import evidence_of, surroundings_of

SIDE, CELL = 6, 12  # px, of an object and from one to the next


def grid(n_rows, n_columns, dtype=np.uint16):
    """Return a label image with one square object in every cell."""
    labels = np.zeros((n_rows * CELL, n_columns * CELL), dtype)
    for k in range(n_rows * n_columns):
        row, column = divmod(k, n_columns)
        labels[row * CELL + 3 :, column * CELL + 3 :][:SIDE, :SIDE] = k + 1
    return labels


def found_in(labels, touched=None, **evidence):
    confidence = np.where(labels > 0, 0.9, 0.1).astype(np.float32)
    return look_through(labels, Evidence(confidence, **evidence), touched)


def done(labels, edit):
    """Return labels after an action."""
    after = labels.copy()
    part = after[edit.rows, edit.columns]
    part[edit.mask] = edit.values[edit.mask]
    return after


def touched_by(labels, edit):
    touched = np.zeros(labels.shape, bool)
    touched[edit.rows, edit.columns] = edit.mask
    return touched


class Cohort:
    """A grid of which some objects are wrong and some are missing, and who knows which."""

    def __init__(self, seed, wrong, missing, side=14):
        rng = np.random.default_rng(seed)
        self.full = grid(side, side)
        n = side * side
        self.wrong = set((np.flatnonzero(rng.random(n) < wrong) + 1).tolist())
        self.missing = set((np.flatnonzero(rng.random(n) < missing) + 1).tolist()) - self.wrong
        self.predicted = np.where(np.isin(self.full, list(self.missing)), 0, self.full)
        self.true = n - len(self.wrong)
        self.findings = found_in(self.predicted)
        self.review = begin(self.findings.units, seed)

    def check(self, n):
        """Decide on the first ``n`` items as one who knows; return the numbers."""
        review, labels = self.review, self.predicted.copy()
        for item in review.items[:n]:
            unit = item.unit
            if unit.kind == "object":
                if unit.number in self.wrong:
                    labels[self.predicted == unit.number] = 0
                review = review.decide(
                    item, "rejected" if unit.number in self.wrong else "accepted"
                )
                continue
            top, left, bottom, right = unit.box
            missing = 0
            for k in self.missing:
                rows, columns = np.nonzero(self.full == k)
                row, column = np.floor(rows.mean()), np.floor(columns.mean())
                if top <= row < bottom and left <= column < right:
                    labels[self.full == k] = k
                    missing += 1
            review = review.decide(item, "fixed" if missing else "accepted")
        self.reviewed, self.labels = review, labels
        return numbers_of(review, self.findings, labels, Surroundings(um_per_px=0.5))


@pytest.mark.parametrize(("wrong", "missing"), [(0.01, 0.2), (0.05, 0.01), (0.2, 0.05), (0.5, 0.2)])
def test_the_limits_hold_the_true_count(wrong, missing):
    held = []
    for seed in range(20):
        cohort = Cohort(seed, wrong, missing)
        made = cohort.check(90).count.corrected
        held.append(made.low <= cohort.true <= made.high)
    assert np.mean(held) >= 0.93


def test_the_corrected_count_is_nearer_than_the_labels_own():
    errors = []
    for seed in range(12):
        cohort = Cohort(seed, 0.3, 0.02)
        count = cohort.check(90).count
        errors.append((abs(count.corrected.estimate - cohort.true), abs(count.raw - cohort.true)))
    ours, raw = np.mean(errors, axis=0)
    assert ours < 0.7 * raw


def test_all_numbers_are_exact_when_all_is_checked():
    cohort = Cohort(3, 0.2, 0.1)
    numbers = cohort.check(10_000)
    for line in numbers.lines:
        made = line.corrected
        assert made.low == pytest.approx(made.estimate) == pytest.approx(made.high)
    assert numbers.count.corrected.estimate == cohort.true
    true_area = 36 * cohort.true / cohort.full.size
    assert numbers.area_fraction.corrected.estimate == pytest.approx(100 * true_area)
    assert numbers.density.corrected.estimate == pytest.approx(
        cohort.true / (cohort.full.size * 0.25e-6)
    )
    n_predicted = len(cohort.findings.table)
    error_rate = 100 * len(cohort.wrong) / n_predicted
    assert numbers.error_rate.corrected.estimate == pytest.approx(error_rate)
    assert numbers.n_more == 0


def test_more_checked_is_narrower_and_fewer_are_left():
    cohort = Cohort(1, 0.1, 0.05)
    few, many = cohort.check(90), cohort.check(190)
    assert many.count.corrected.half_width < few.count.corrected.half_width
    assert many.n_more < few.n_more


def test_nothing_is_said_before_a_random_item_was_checked():
    numbers = Cohort(0, 0.1, 0.1).check(0)
    assert np.isnan(numbers.count.corrected.estimate)
    assert numbers.n_more is None
    assert numbers.count.raw == len(Cohort(0, 0.1, 0.1).findings.table)


def test_a_part_of_the_tile():
    cohort = Cohort(2, 0.2, 0.1)
    cohort.check(10_000)
    within = np.zeros(cohort.full.shape, bool)
    within[: 5 * CELL] = True
    numbers = numbers_of(
        cohort.reviewed, cohort.findings, cohort.labels, Surroundings(um_per_px=0.5), within
    )
    assert numbers.count.corrected.estimate == pytest.approx(numbers.count.raw, abs=5)
    assert numbers.n_objects < 5 * 14 + 1
    whole = numbers_of(
        cohort.reviewed, cohort.findings, cohort.labels, Surroundings(um_per_px=0.5), within | True
    )
    assert whole.count.corrected.estimate == cohort.true


def test_what_was_fixed_early_speaks_for_no_other():
    """A person who mends an object in passing does so because it is wrong."""
    cohort = Cohort(4, 0.3, 0.0)
    before = cohort.check(60)
    later = cohort.reviewed.items[60:]
    item = next(i for i in later if i.unit.number in cohort.wrong and i.unit.kind == "object")
    labels = np.where(cohort.labels == item.unit.number, 0, cohort.labels)
    review = cohort.reviewed.decide(item, "fixed", seen=False)
    after = numbers_of(review, cohort.findings, labels, Surroundings(um_per_px=0.5))
    assert after.count.corrected == before.count.corrected
    assert after.count.raw == before.count.raw - 1


def test_counted_but_not_drawn_objects_count():
    findings = found_in(grid(6, 6))
    review = begin(findings.units)
    for item in review.items:
        missing = 2 if item.unit.kind == "region" else 0
        verdict = "rejected" if missing else "accepted"
        review = review.decide(item, verdict, missing=missing)
    numbers = numbers_of(review, findings, findings.labels, Surroundings())
    n_places = sum(unit.kind == "region" for unit in findings.units)
    assert numbers.count.corrected.estimate == 36 + 2 * n_places
    assert numbers.density.unit == "/ megapixel"


def test_a_trimmed_object_is_a_small_error():
    findings = found_in(grid(5, 5))
    review = begin(findings.units)
    labels = findings.labels.copy()
    rows, columns = np.nonzero(labels == 7)
    labels[rows.min(), columns] = np.where(
        labels[rows.min(), columns] == 7, 0, labels[rows.min(), columns]
    )
    for item in review.items:
        fixed = item.unit.kind == "object" and item.unit.number == 7
        review = review.decide(item, "fixed" if fixed else "accepted")
    numbers = numbers_of(review, findings, labels, Surroundings())
    assert numbers.error_rate.corrected.estimate == pytest.approx(100 * (6 / 36) / 25)
    assert numbers.count.corrected.estimate == 25


def test_dab_positive_share():
    findings = found_in(grid(8, 8))
    density = np.where(findings.labels % 4 == 1, 0.5, 0.05) * (findings.labels > 0)
    around = Surroundings(dab=density)
    review = begin(findings.units)
    labels = findings.labels.copy()
    for item in review.items:
        wrong = item.unit.kind == "object" and item.unit.number in (1, 5, 9, 2)
        if wrong:
            labels[labels == item.unit.number] = 0
        review = review.decide(item, "rejected" if wrong else "accepted")
    share = numbers_of(review, findings, labels, around).positive_share
    assert share.corrected.estimate == pytest.approx(100 * 13 / 60)
    assert share.raw == pytest.approx(100 * 13 / 60)
    strict = numbers_of(review, findings, labels, Surroundings(dab=density, positive_od=0.6))
    assert strict.positive_share.corrected.estimate == 0


@pytest.mark.parametrize("labels", [np.zeros((40, 50), np.uint8), grid(1, 1)])
def test_tiles_with_no_or_one_object(labels):
    findings = found_in(labels)
    review = begin(findings.units)
    numbers_of(review, findings, labels, Surroundings())
    for item in review.items:
        review = review.decide(item, "accepted")
    numbers = numbers_of(review, findings, labels, Surroundings())
    assert numbers.count.corrected.estimate == numbers.count.raw == int(labels.max())
    assert numbers.n_more == 0


# ---- what is looked at


def test_what_a_person_touched_is_known():
    labels = grid(5, 5)
    touched = labels == 7
    touched[:30] |= labels[:30] == 0
    found = found_in(labels, touched)
    assert 7 not in {unit.number for unit in found.units if unit.kind == "object"}
    assert len(found.units) < len(found_in(labels).units) - 1


def test_nobody_looks_for_objects_on_glass():
    labels = grid(8, 8)
    tissue = np.zeros(labels.shape, bool)
    tissue[:, : labels.shape[1] // 2] = True
    found = found_in(labels, tissue=tissue)
    regions = [unit for unit in found.units if unit.kind == "region"]
    assert regions
    assert all(
        tissue[unit.box[0] : unit.box[2], unit.box[1] : unit.box[3]].any() for unit in regions
    )
    numbers = numbers_of(begin(found.units), found, labels, Surroundings(tissue))
    assert numbers.area_fraction.raw == pytest.approx(100 * 2 * 36 / CELL**2)


def test_twenty_thousand_objects():
    labels = grid(142, 142, np.uint16)
    findings = found_in(labels)
    review = begin(findings.units)
    assert sum(unit.kind == "object" for unit in findings.units) == 142 * 142
    touched = np.zeros(labels.shape, bool)
    for item in review.items[:40]:
        review = review.decide(item, "accepted")
        touched[labels == item.unit.number] = True
    review = noticed(review, findings, labels, touched)
    numbers = numbers_of(review, findings, labels, Surroundings(um_per_px=0.5))
    assert numbers.count.raw == 142 * 142
    assert numbers.count.corrected.low < 142 * 142 < numbers.count.corrected.high


# ---- changes


@pytest.fixture
def started():
    findings = found_in(grid(6, 6))
    return begin(findings.units), findings


def object_item(review, number):
    return next(i for i in review.items if i.unit.kind == "object" and i.unit.number == number)


def test_accepting_changes_nothing_and_makes_all_of_it_known(started):
    review, findings = started
    edit = accepting(object_item(review, 8), findings.labels)
    assert np.array_equal(done(findings.labels, edit), findings.labels)
    assert np.array_equal(touched_by(findings.labels, edit), findings.labels == 8)


def test_accepting_a_place_makes_the_clear_background_known(started):
    review, findings = started
    item = next(i for i in review.items if i.unit.kind == "region")
    edit = accepting(item, findings.labels)
    touched = touched_by(findings.labels, edit)
    assert touched.any()
    assert not touched[findings.labels > 0].any()
    assert np.array_equal(done(findings.labels, edit), findings.labels)


def test_rejecting_deletes_and_undo_makes_undecided(started):
    review, findings = started
    item = object_item(review, 8)
    edit = rejecting(item, findings.labels)
    labels, touched = done(findings.labels, edit), touched_by(findings.labels, edit)
    assert np.array_equal(labels != findings.labels, findings.labels == 8)
    review = review.decide(item, "rejected")
    assert noticed(review, findings, labels, touched).decision(item).verdict == "rejected"
    undone = noticed(review, findings, findings.labels, np.zeros_like(touched))
    assert undone.decision(item) is None
    assert rejecting(item, labels) is None
    assert accepting(item, labels) is None


def test_an_acceptance_that_was_undone_is_undecided(started):
    review, findings = started
    item = object_item(review, 3)
    review = review.decide(item, "accepted")
    known = findings.labels == 3
    assert noticed(review, findings, findings.labels, known).decision(item) is not None
    assert noticed(review, findings, findings.labels, ~known & False).decision(item) is None


def test_changed_objects_are_fixed_and_the_others_are_not(started):
    review, findings = started
    labels = findings.labels.copy()
    labels[labels == 4] = 0
    rows, columns = np.nonzero(labels == 9)
    labels[rows.max() + 1, columns] = 9
    labels[60:64, 60:64] = 500
    now = noticed(review, findings, labels, labels != findings.labels)
    fixed = {
        item.unit.number
        for item in now.items
        if item.unit.kind == "object" and now.decision(item) is not None
    }
    assert {4, 9} <= fixed
    assert len(now.decisions) <= len(fixed) + 1
    assert all(made.verdict == "fixed" for made in now.decisions.values())


def test_an_added_object_fixes_its_place(started):
    review, findings = started
    labels = findings.labels.copy()
    labels[0:3, 0:3] = 77
    now = noticed(review, findings, labels, labels == 77)
    fixed = [item.unit for item in now.items if now.decision(item) is not None]
    assert [(unit.kind, unit.number) for unit in fixed] == [("region", 0)]


def test_another_prediction_is_told_from_a_persons_work(started):
    review, findings = started
    item = object_item(review, 8)
    review = review.decide(item, "accepted")
    touched = findings.labels == 8
    labels = findings.labels.copy()
    labels[findings.labels == 20] = 0  # gone
    shifted = np.where(labels > 20, labels - 1, labels)  # and the rest has other numbers
    evidence = Evidence(np.where(shifted > 0, 0.9, 0.1).astype(np.float32))
    now, found = followed(review, findings, shifted, touched, evidence)
    assert now.round == 1
    assert now.decision(item).verdict == "accepted"
    assert {i.unit.number for i in now.items[1:] if i.unit.kind == "object"} == {
        number for number in range(1, 36) if number != 8
    }
    kept = {i.id for i in now.items} & {i.id for i in review.items}
    gone = object_item(review, 20).id
    assert kept == {i.id for i in review.items} - {gone}
    assert np.array_equal(found.labels, shifted)


def test_a_review_without_decisions_begins_anew_with_another_prediction(started):
    review, findings = started
    labels = np.where(findings.labels == 3, 0, findings.labels)
    evidence = Evidence(np.where(labels > 0, 0.9, 0.1).astype(np.float32))
    now, _ = followed(review, findings, labels, np.zeros(labels.shape, bool), evidence)
    assert now.round == 0
    assert len(now.items) == len(review.items) - 1


def test_labels_of_another_size_are_another_prediction(started):
    review, findings = started
    review = review.decide(review.items[0], "accepted")
    labels = grid(3, 3)
    evidence = Evidence(np.where(labels > 0, 0.9, 0.1).astype(np.float32))
    now, _ = followed(review, findings, labels, np.zeros(labels.shape, bool), evidence)
    assert not now.decisions
    assert sum(i.unit.kind == "object" for i in now.items) == 9


# ---- the tile


@pytest.mark.parametrize("scale", [0.5, None])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_evidence_of_a_tile(scale, dtype):
    white = np.iinfo(dtype).max
    rng = np.random.default_rng(0)
    pixels = (white * rng.uniform(0.3, 0.8, (64, 80, 3))).astype(dtype)
    tile = Tile(pixels, float(white), scale)
    confidence = rng.random((64, 80)).astype(np.float32)
    evidence = evidence_of(tile, confidence, 0.5)
    around = surroundings_of(tile, evidence.tissue)
    assert evidence.tissue.shape == evidence.stain.shape == (64, 80)
    assert around.um_per_px == scale


def test_a_large_tile_is_thinned(monkeypatch):
    monkeypatch.setattr("napari_selfseg.session.review_tile.LARGEST_READ", 1000)
    tile = Tile(np.full((101, 77, 3), 120, np.uint8), 255.0, 0.5)
    assert evidence_of(tile, np.zeros((101, 77), np.float32), 0.5).tissue.shape == (101, 77)


def test_dab_is_found_on_immunohistochemistry():
    from skimage.data import immunohistochemistry

    tile = Tile(immunohistochemistry()[:256, :256], 255.0, None)
    assert surroundings_of(tile, None).dab.shape == (256, 256)
