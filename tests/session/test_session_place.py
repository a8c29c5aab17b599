"""Where sessions are kept, which there are, and deleting one."""

from __future__ import annotations

import numpy as np
import pytest
from tests.session.session_states import SHAPE, state

from napari_selfseg.core.images.tile import Tile
from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.lock import SessionLock
from napari_selfseg.session.session_folder import LOCK, SessionFolder
from napari_selfseg.session.session_place import (
    PLACE_VARIABLE,
    SessionFinder,
    choose_place,
    delete_session,
    list_sessions,
    may_have_session,
    open_place,
    sessions_place,
)


@pytest.fixture(autouse=True)
def own_folders(monkeypatch, tmp_path):
    monkeypatch.delenv(PLACE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def tile(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (*SHAPE, 3), np.uint8)
    return Tile(pixels, 255.0, name="biopsy")


def kept(place, key, n=1):
    about = {"sha256": key, "shape": list(SHAPE), "name": f"tile {key}"}
    folder = SessionFolder(place / key, about)
    place.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        folder.save(state(i))
    return folder


def test_the_variable_comes_first_then_what_was_chosen_then_the_data_folder(monkeypatch, tmp_path):
    assert "napari-selfseg" in str(sessions_place())
    choose_place(tmp_path / "mine")
    assert sessions_place() == tmp_path / "mine"
    monkeypatch.setenv(PLACE_VARIABLE, str(tmp_path / "said"))
    assert sessions_place() == tmp_path / "said"
    assert open_place().is_dir()
    monkeypatch.delenv(PLACE_VARIABLE)
    choose_place(None)
    assert "napari-selfseg" in str(sessions_place())


def test_a_chosen_folder_that_is_gone_is_not_made_again(tmp_path):
    choose_place(tmp_path / "stick" / "mine")
    (tmp_path / "stick").rename(tmp_path / "pocket")
    with pytest.raises(StoreError, match="is gone"):
        open_place()
    assert not (tmp_path / "stick").exists()


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="Nothing can be kept in"):
        choose_place(tmp_path / "file" / "mine")


def test_a_damaged_setting_is_none(tmp_path):
    choose_place(tmp_path / "mine")
    (setting,) = (tmp_path / "config").rglob("sessions.json")
    for text in ("{", "[]", '{"folder": 5}', "null"):
        setting.write_text(text)
        assert "napari-selfseg" in str(sessions_place())


def test_the_same_pixels_are_the_same_session_wherever_they_come_from():
    other_name = Tile(tile().pixels.copy(), 255.0, 0.25, "another name")
    part = tile().crop(slice(0, 10), slice(None))
    one, same, other, cut = (SessionFinder(t) for t in (tile(), other_name, tile(1), part))
    assert one.key == same.key
    assert len({one.key, other.key, cut.key}) == 3
    assert one.own().path == sessions_place() / one.key


def test_all_sessions_the_newest_first(tmp_path):
    kept(tmp_path, "a", n=2)
    kept(tmp_path, "b")
    (tmp_path / "no session").mkdir()
    (tmp_path / "file").write_bytes(b"")
    newest, oldest = list_sessions(tmp_path)
    assert (newest.name, oldest.name) == ("tile b", "tile a")
    assert newest.n_corrections > 0
    assert newest.n_bytes > 500
    assert not newest.is_open
    assert list_sessions(tmp_path / "nowhere") == ()


def test_a_session_is_deleted_only_if_it_is_one_and_nobody_works_on_it(tmp_path):
    folder = kept(tmp_path, "a")
    (tmp_path / "photos").mkdir()
    with pytest.raises(StoreError, match="not the folder of a session"):
        delete_session(tmp_path / "photos")
    lock = SessionLock(folder.path / LOCK)
    lock.take()
    assert list_sessions(tmp_path)[0].is_open
    with pytest.raises(StoreError, match="close it first"):
        delete_session(folder.path)
    lock.release()
    delete_session(folder.path)
    assert not folder.path.exists()


def test_copies_are_of_the_same_image(monkeypatch, tmp_path):
    monkeypatch.setenv(PLACE_VARIABLE, str(tmp_path))
    finder = SessionFinder(tile())
    assert finder.stored() == ()
    finder.own().save(state())
    finder.copy().save(state())
    SessionFinder(tile(1)).own().save(state())
    names = [path.name for path in finder.stored()]
    assert names == [finder.key, f"{finder.key}-2"]
    assert finder.copy().path.name == f"{finder.key}-2", "it goes on in the same copy"
    assert SessionFinder(tile()).copy().path.name == f"{finder.key}-3"
    assert finder.own().about()["name"] == "biopsy"
    assert finder.under(tmp_path / "stick").path == tmp_path / "stick" / finder.key


def test_no_pixel_is_read_if_no_image_of_this_shape_is_known(monkeypatch, tmp_path):
    kept(tmp_path, "a")
    assert may_have_session(tmp_path, SHAPE)
    assert not may_have_session(tmp_path, (5, 5))
    monkeypatch.setenv(PLACE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(Tile, "sha256", lambda _: 1 / 0)
    assert SessionFinder(tile().crop(slice(0, 5), slice(0, 5))).stored() == ()
