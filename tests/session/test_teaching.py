"""What corrections teach, what another model changes, and the versions of a model."""

from __future__ import annotations

import numpy as np
import pytest

from napari_selfseg.core.images.drawn import drawn_he_tile
from napari_selfseg.core.images.tile import Tile, TileError
from napari_selfseg.session import effects
from napari_selfseg.session.effects import Drawn, Expectation, effects_on, expectation_of
from napari_selfseg.session.taught import Taught
from napari_selfseg.session.versions import LABEL_FREE, MOST, STORED, Versions

RGB, TRUTH = drawn_he_tile(96, 96, n_nuclei=8, seed=1)


def a_tile(name="tile"):
    return Tile(RGB, 255.0, name=name)


# ---- taught


def test_corrections_are_counted_by_place_and_pixel():
    labels, touched = np.zeros((20, 20), np.uint16), np.zeros((20, 20), bool)
    labels[2:5, 2:5] = 7
    touched[2:5, 2:6] = True
    touched[10:12, 10:12] = True
    taught = Taught.by(labels, touched)
    assert (taught.n_places, taught.n_object, taught.n_background) == (2, 9, 7)
    assert taught.problem == ""
    assert taught.sentence() == "2 corrections: 9 px of objects and 7 px of background."
    assert taught.says_the_same(Taught.by(labels * 3, touched))
    assert not taught.says_the_same(Taught.by(labels * 0, touched))
    assert not taught.says_the_same(None)


@pytest.mark.parametrize(("value", "told"), [(0, "background"), (3, "one kind")])
def test_corrections_that_all_say_the_same_teach_nothing(value, told):
    labels, touched = np.full((9, 9), value, np.uint16), np.zeros((9, 9), bool)
    touched[:3, :3] = True
    assert told in Taught.by(labels, touched).problem


def test_without_corrections_there_is_nothing_to_tell():
    taught = Taught.by(np.zeros((9, 9), np.uint16), np.zeros((9, 9), bool))
    assert taught.sentence() == ""
    assert "Nothing is painted" in taught.problem


# ---- effects


def drawn(labels, doubt=None):
    confidence = (labels > 0).astype(np.float32)
    return Drawn(labels, confidence, None if doubt is None else np.full(labels.shape, doubt))


def test_without_doubt_the_stain_is_asked():
    worse = np.roll(TRUTH, 30, axis=1)
    found = expectation_of(a_tile(), drawn(TRUTH), drawn(worse))
    assert not found.is_dice
    assert found.after < found.before
    assert "Agreement with the stain" in found.sentence()
    assert "(an estimate)" in found.sentence()


def test_with_doubt_it_is_an_expected_dice():
    found = expectation_of(a_tile(), drawn(TRUTH, 0.1), drawn(TRUTH, 0.1))
    assert found.is_dice
    assert "as before (an estimate)" in found.sentence()
    assert Expectation(0.7, 0.8, True).sentence() == "Expected Dice 0.70 → 0.80 (an estimate)."


def test_nothing_is_expected_of_no_objects():
    assert expectation_of(a_tile(), drawn(TRUTH), drawn(TRUTH * 0)) is None


def test_other_tiles_are_looked_at_one_by_one(monkeypatch):
    """Three at most; those that cannot be read are left out; it ends when it is told to."""
    seen = []

    def drawn_by(result, tile, should_stop):
        seen.append(tile.name)
        if tile.name == "grey":
            raise TileError("The model learned from colour images.")
        return drawn(TRUTH if result == "former" else TRUTH * 0)

    monkeypatch.setattr(effects, "_drawn_by", drawn_by)
    tiles = [a_tile(name) for name in ("a", "grey", "b", "c")]
    found = list(effects_on(tiles, "former", "now", lambda: False))
    assert [effect.name for effect in found] == ["a", "b"]
    assert found[0].counts.disappear == TRUTH.max()
    assert "c" not in seen
    assert list(effects_on(tiles, "former", "now", lambda: True)) == []


# ---- versions


class Result:
    def __init__(self, labels_used="none"):
        self.provenance = {"labels_used": labels_used}


def test_versions_are_named_and_kept_in_order():
    first, second, third = Result(), Result("your strokes"), Result("your strokes")
    begun = Versions.begun_with(first)
    assert begun.current.name == LABEL_FREE
    versions = begun.added(second, 1).gone_to(0).added(third, 1_234)
    assert [version.name for version in versions.all] == [
        "label-free",
        "1: 1 correction",
        "2: 1,234 corrections",
    ]
    assert versions.current.result is third
    assert versions.gone_to(1).current.result is second
    assert len(begun.all) == 1


def test_only_the_first_and_the_newest_versions_are_kept():
    versions = Versions.begun_with(Result())
    for n in range(1, 31):
        versions = versions.added(Result("your strokes"), n)
    assert len(versions.all) == MOST
    assert [version.number for version in versions.all] == [0, *range(31 - MOST + 1, 31)]
    assert versions.current.name == "30: 30 corrections"
    assert len({version.kind for version in versions.all}) == MOST


def test_versions_come_back_without_those_that_were_lost(tmp_path):
    told = Versions.begun_with(Result()).added(Result(), 1).added(Result(), 2).to_store()
    folders = {"learned": tmp_path / "1", "learned-2": tmp_path / "3"}
    back = Versions.taken_up(told, 2, folders)
    assert [(one.name, one.folder.name) for one in back.all] == [
        ("label-free", "1"),
        ("2: 2 corrections", "3"),
    ]
    assert back.at == 1
    assert Versions.taken_up(told, 0, folders).at == 0
    assert Versions.taken_up(told, 1, folders).at == 1  # lost: the newest one there is
    rest = back.without_current()
    assert [one.name for one in rest.all] == ["label-free"]
    assert rest.without_current() is None
    assert back.added(Result(), 5).current.number == 3


def test_a_training_that_was_not_stored_yet_leaves_none_of_the_one_before(tmp_path):
    told = Versions.begun_with(Result()).to_store()
    assert Versions.taken_up(told, 0, {"learned-1": tmp_path}) is None
    assert Versions.taken_up(told, 0, {}) is None


def test_a_session_from_before_versions_has_one(tmp_path):
    back = Versions.taken_up((), 0, {"learned": tmp_path})
    assert [one.name for one in back.all] == [STORED]


def test_a_stored_refinement_is_no_label_free_version():
    assert Versions.begun_with(Result("your strokes")).current.name == STORED


def test_another_map_changes_only_the_version_in_use():
    versions = Versions.begun_with(Result()).added(Result(), 3).gone_to(0)
    other = Result()
    changed = versions.with_result(other)
    assert changed.current.result is other
    assert changed.all[1] is versions.all[1]
