"""The queue: its order, what is drawn, decisions, other predictions, files."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_selfseg.core.doubtful import Places
from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.review import ReviewError, Unit, begin
from napari_selfseg.session.review_clock import ReviewClock
from napari_selfseg.session.review_file import (
    COLUMNS,
    decisions_to_csv,
    review_from_json,
    review_to_json,
    write_decisions,
)
from napari_selfseg.session.review_findings import Findings

VERDICTS = st.sampled_from(["accepted", "rejected", "fixed"])


def units(n_objects, n_regions, seed=0):
    rng = np.random.default_rng(seed)
    kinds = ["object"] * n_objects + ["region"] * n_regions
    return [
        Unit(kind, k, float(k), 0.0, (k, 0, k + 1, 1), round(float(rng.random()), 4))
        for k, kind in enumerate(kinds)
    ]


@st.composite
def reviews(draw):
    """Draw a review with some decisions, made in turn or not."""
    review = begin(
        units(draw(st.integers(0, 25)), draw(st.integers(0, 8))), draw(st.integers(0, 9))
    )
    if draw(st.booleans()):
        review = review.with_doubtful_in_a_row(draw(st.integers(0, 5)))
    for item in review.items[: draw(st.integers(0, len(review.items)))]:
        if draw(st.booleans()):
            seen = draw(st.booleans())
            review = review.decide(item, draw(VERDICTS), draw(st.floats(0, 99)), seen)
    return review


@given(reviews())
def test_every_unit_is_in_the_queue_once(review):
    assert sorted(item.id for item in review.items) == list(range(len(review.items)))


@given(reviews())
def test_what_came_up_is_what_the_stage_says(review):
    """All up to a rank of doubt and all up to a random turn have come up, and no others."""
    for place, item in enumerate(review.items):
        by_doubt, n_objects, n_regions = item.stage
        drawn = {"object": n_objects, "region": n_regions}
        came_up = {i.id for i in review.items[: place + 1]}
        due = {i.id for i in review.items if i.rank < by_doubt or i.turn < drawn[i.unit.kind]}
        assert came_up == due


def test_every_fourth_is_random_and_a_place_is_among_them():
    items = begin(units(200, 60)).items[:24]
    assert [item.by for item in items].count("random") >= 6
    kinds = [item.unit.kind for item in items if item.by == "random"]
    assert kinds[:3] == ["object", "region", "object"]
    doubts = [item.unit.doubt for item in items if item.by == "doubt"]
    assert doubts == sorted(doubts, reverse=True)


def test_random_turns_are_uniform():
    first = [
        next(i for i in begin(units(5, 0), seed).items if i.turn == 0).unit.number
        for seed in range(400)
    ]
    assert np.bincount(first, minlength=5).min() > 50


@given(reviews(), VERDICTS)
def test_the_order_is_stable_whatever_is_decided(review, verdict):
    order = review.items
    for item in order[::2]:
        review = review.decide(item, verdict).go_to(3)
    for item in order[::4]:
        review = review.withdraw(item)
    assert review.items == order


@given(reviews(), st.integers(0, 4))
def test_another_mixture_leaves_what_had_its_turn(review, in_a_row):
    n = review.reached
    changed = review.with_doubtful_in_a_row(in_a_row)
    assert changed.items[:n] == review.items[:n]
    assert {i.id for i in changed.items} == {i.id for i in review.items}
    assert changed.stage == review.stage
    if not in_a_row:
        assert all(item.by == "random" for item in changed.items[n:])


@given(reviews())
def test_next_goes_through_all_that_are_undecided(review):
    visited = set()
    while (place := review.next_undecided()) is not None:
        item = review.items[place]
        assert item.id not in review.decisions
        assert item.id not in visited
        visited.add(item.id)
        review = review.go_to(place).decide(item, "accepted")
    assert review.n_decided == len(review.items)


@given(reviews())
def test_inclusion_is_certain_for_the_doubtful_and_a_share_for_the_others(review):
    by_doubt, n_objects, n_regions = review.stage
    for kind in ("object", "region"):
        rest = [i for i in review.items if i.unit.kind == kind and i.rank >= by_doubt]
        chances = {review.inclusion(i) for i in rest}
        assert len(chances) <= 1
        drawn = sum(i.turn < (n_objects if kind == "object" else n_regions) for i in rest)
        assert sum(review.inclusion(i) for i in rest) == pytest.approx(drawn)
    assert all(review.inclusion(i) == 1 for i in review.items if i.rank < by_doubt)


def test_a_random_item_that_is_skipped_is_told():
    review = begin(units(20, 5))
    assert review.n_skipped == 0
    review = review.decide(review.items[8], "accepted")
    assert review.n_skipped == 2
    for item in review.items[:8]:
        review = review.decide(item, "accepted")
    assert review.n_skipped == 0


def test_time_and_turn_add_up_when_a_decision_is_changed():
    review = begin(units(3, 0))
    item = review.items[0]
    review = review.decide(item, "fixed", 2.0, seen=False).decide(item, "rejected", 3.0)
    assert review.decision(item).seconds == 5
    assert review.decision(item).seen
    assert (review.count("rejected"), review.count("fixed"), review.n_decided) == (1, 0, 1)


@given(reviews(), st.data())
def test_another_prediction_keeps_decisions_and_the_order_of_what_stays(review, data):
    open_ones = [i for i in review.items if i.id not in review.decisions]
    stays = [item for item in open_ones if data.draw(st.booleans())]
    moved = {
        Unit(i.unit.kind, 1000 + i.unit.number, 0.0, 0.0, (0, 0, 1, 1), 0.5): i.id for i in stays
    }
    new = units(4, 2, seed=7)
    now = review.renewed([*moved, *new], moved)
    assert now.decisions == review.decisions
    n = len(review.decisions)
    assert [i.id for i in now.items[:n]] == [i.id for i in review.items if i.id in review.decisions]
    tail = sorted(now.items[n:], key=lambda item: item.rank)
    ids = [item.id for item in tail]
    assert ids[: len(stays)] == [i.id for i in sorted(stays, key=lambda item: item.rank)]
    assert not set(ids[len(stays) :]) & {i.id for i in review.items}
    assert {item.unit for item in tail} == {*moved, *new}
    assert now.stage == (0, 0, 0)
    assert now.at == n


def test_an_empty_queue():
    review = begin([])
    assert review.current is None
    assert review.next_undecided() is None
    assert review.go_to(5).at == 0
    assert review.stage == (0, 0, 0)
    assert decisions_to_csv(review).strip() == ",".join(COLUMNS)


# ---- files


def findings(review, dtype=np.uint16):
    labels = np.arange(12, dtype=dtype).reshape(3, 4)
    places = Places(np.array([0, 3]), np.array([0, 2, 4]))
    return Findings(labels, places, tuple(i.unit for i in review.items))


@given(reviews(), st.sampled_from([np.uint8, np.uint16, np.int32]))
def test_it_comes_back_from_json(review, dtype):
    text = review_to_json(review, findings(review, dtype))
    again, found = review_from_json(text)
    assert vars(again) == vars(review)
    assert found.labels.dtype == dtype
    assert np.array_equal(found.labels, findings(review, dtype).labels)
    assert found.places.box.tolist() == findings(review).places.box.tolist()
    assert review_to_json(again, found) == text


@pytest.mark.parametrize(
    "damage",
    [
        lambda told: "",
        lambda told: "[]",
        lambda told: json.dumps({**told, "format": "another"}),
        lambda told: json.dumps({k: v for k, v in told.items() if k != "items"}),
        lambda told: json.dumps({**told, "decisions": {"99": {"verdict": "accepted"}}}),
        lambda told: json.dumps({**told, "labels": {**told["labels"], "zlib": "AAAA"}}),
        lambda told: json.dumps({**told, "labels": {**told["labels"], "dtype": "O"}}),
        lambda told: json.dumps({**told, "items": {**told["items"], "id": [1]}}),
    ],
)
def test_damaged_files_are_told_in_one_sentence(damage):
    review = begin(units(3, 1))
    told = json.loads(review_to_json(review, findings(review)))
    with pytest.raises(ReviewError, match="damaged or of another version"):
        review_from_json(damage(told))


def test_the_table_of_decisions(tmp_path):
    review = begin(units(9, 3))
    review = review.decide(review.items[0], "rejected", 4.26)
    region = next(i for i in review.items[1:] if i.unit.kind == "region")
    review = review.decide(region, "rejected", 1.0, missing=2)
    path = tmp_path / "case.csv"
    write_decisions(path, review)
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["decision"] == "rejected"
    assert rows[0]["seconds"] == "4.3"
    assert rows[0]["inclusion_probability"] == "1"
    assert sum(int(row["missing"] or 0) for row in rows) == 2
    assert {row["object"] for row in rows if row["kind"] == "region"} == {""}
    assert [row["item"] for row in rows] == [str(k) for k in range(1, 13)]


def test_the_table_needs_its_ending(tmp_path):
    with pytest.raises(StoreError, match=r"\.csv"):
        write_decisions(tmp_path / "case.txt", begin([]))
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be written"):
        write_decisions(tmp_path / "file" / "case.csv", begin([]))


# ---- the clock


def test_the_clock_stands_while_nobody_does_anything():
    now = [100.0]
    clock = ReviewClock(lambda: now[0])
    now[0] += 10
    assert clock.seconds == 10
    clock.act()
    now[0] += 29
    assert not clock.is_idle
    now[0] += 600
    assert clock.is_idle
    assert clock.seconds == 40
    clock.act()
    now[0] += 5
    assert clock.restart() == 45
    assert clock.seconds == 0
