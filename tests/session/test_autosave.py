"""In the background: the newest is saved, a fault is told until it is over, one window writes."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time

import pytest
from tests.session.session_states import same, state

from napari_selfseg.session import autosave as autosave_module
from napari_selfseg.session import lock as lock_module
from napari_selfseg.session import waiting
from napari_selfseg.session.autosave import Autosave
from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.lock import SessionLock
from napari_selfseg.session.session_folder import LOCK, SessionFolder
from napari_selfseg.session.session_state import SessionState

ABOUT = {"sha256": "ab" * 32, "shape": [24, 31], "name": "tile"}
SOON = 20.0  # s


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Try again soon."""
    monkeypatch.setattr(waiting, "FIRST_RETRY_S", 0.05)
    monkeypatch.setattr(waiting, "LAST_RETRY_S", 0.1)
    monkeypatch.setattr(autosave_module, "BEAT_S", 0.1)
    monkeypatch.setattr(autosave_module, "WATCHING_S", 0.05)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "session"


@pytest.fixture
def begin(place):
    """Return the function that makes an autosave of the session; all are closed at the end."""
    made = []

    def made_one(path=place, **kwargs):
        made.append(Autosave(lambda: SessionFolder(path, ABOUT), **kwargs))
        return made[-1]

    yield made_one
    for one in made:
        one.close()
        assert one.wait(SOON)


def until(condition):
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def stored(place):
    try:
        return SessionFolder(place).load().state
    except StoreError:
        return SessionState({})


def test_what_is_handed_over_is_saved(begin, place):
    one = begin()
    one.save(state(1))
    assert one.wait(SOON)
    assert same(stored(place), state(1))
    assert one.status.saved_at is not None
    assert SessionFolder(place).about() == ABOUT
    assert (place / LOCK).exists()
    one.close(state(2))
    assert one.wait(SOON)
    assert same(stored(place), state(2))
    assert not (place / LOCK).exists()


def test_handing_over_takes_no_time_though_the_disk_does(begin, monkeypatch):
    goes_on = threading.Event()
    save = SessionFolder.save

    def slow(*args):
        goes_on.wait(SOON)
        return save(*args)

    monkeypatch.setattr(SessionFolder, "save", slow)
    one = begin()
    for i in range(50):
        one.save(state(i))
    assert one.status.is_waiting
    goes_on.set()
    assert one.wait(SOON)


def test_of_those_that_wait_the_newest_is_saved_and_the_demanded_one(begin, place, monkeypatch):
    goes_on, begun = threading.Event(), threading.Event()
    saved, save = [], SessionFolder.save

    def slow(self, what, *args):
        begun.set()
        goes_on.wait(SOON)
        saved.append(what.values["review"][0])
        return save(self, what, *args)

    monkeypatch.setattr(SessionFolder, "save", slow)
    one = begin()
    one.save(state(0))
    assert begun.wait(SOON)
    for i in range(1, 6):
        one.save(state(i), at_all_costs=i == 3)
    goes_on.set()
    assert one.wait(SOON)
    assert saved == [0, 3, 5]
    assert same(stored(place), state(5))


def test_closing_without_anything_makes_nothing(begin, place):
    one = begin()
    one.close()
    assert one.wait(SOON)
    assert not place.exists()


# ---- faults


@pytest.mark.parametrize(
    ("error", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only")]
)
def test_a_fault_is_told_until_it_is_over_and_nothing_is_dropped(
    begin, place, monkeypatch, error, words
):
    is_full = [True]
    write = os.write

    def full(*args):
        if is_full[0]:
            raise OSError(error, os.strerror(error))
        return write(*args)

    monkeypatch.setattr(os, "write", full)
    one = begin()
    for i in range(5):
        one.save(state(i))
        until(lambda: words in one.status.problem)
    assert one.status.is_waiting
    is_full[0] = False
    until(lambda: not one.status.problem)
    assert one.wait(SOON)
    assert same(stored(place), state(4))


def test_a_problem_stays_told_while_it_is_tried_again(begin, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(SessionFolder, "save", refuse)
    one = begin()
    one.save(state(0))
    until(lambda: one.status.problem)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        assert one.status.problem
        time.sleep(0.005)


def test_a_folder_that_was_deleted_is_filled_again_without_a_change(begin, place):
    one = begin()
    one.save(state(1))
    assert one.wait(SOON)
    shutil.rmtree(place)
    until(lambda: place.exists() and SessionFolder(place).newest() is not None)
    until(lambda: not one.status.problem)
    assert same(stored(place), state(1))


def test_a_drive_that_was_unplugged_and_comes_back(tmp_path, begin):
    drive = tmp_path / "drive"
    drive.mkdir()
    one = begin(drive / "session")
    one.save(state(1))
    assert one.wait(SOON)
    drive.rename(tmp_path / "unplugged")
    one.save(state(2))
    until(lambda: "the folder is gone" in one.status.problem)
    assert not drive.exists()
    (tmp_path / "unplugged").rename(drive)
    until(lambda: not one.status.problem)
    assert one.wait(SOON)
    assert same(stored(drive / "session"), state(2))


def test_a_place_that_cannot_be_found_is_told_in_its_own_words(place):
    def nowhere():
        raise StoreError("Your work cannot be saved: the drive is in the drawer.")

    one = Autosave(nowhere)
    one.save(state(0))
    until(lambda: "drawer" in one.status.problem)
    one.close()
    assert one.wait(SOON)


def test_closing_with_a_full_disk_ends(begin, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(SessionFolder, "save", refuse)
    one = begin()
    one.save(state(0))
    one.close(state(1))
    assert one.wait(SOON)


# ---- runs


def writes(folder):
    """Stand for a run."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")


def test_a_run_is_stored_once_and_the_states_after_it_name_it(begin, place):
    one = begin()
    one.save_run("learned", writes)
    one.save(state(1))
    assert one.wait(SOON)
    until(lambda: stored(place).runs == {"learned": 1})
    one.save_run("learned", writes)
    one.save(state(2))
    assert one.wait(SOON)
    until(lambda: stored(place).runs == {"learned": 2})
    assert SessionFolder(place).runs() == (1, 2)


def test_a_slow_run_does_not_hold_the_states_up(begin, place):
    goes_on = threading.Event()

    def slow(folder):
        goes_on.wait(SOON)
        writes(folder)

    one = begin()
    one.save(state(0))
    assert one.wait(SOON)
    one.save_run("learned", slow)
    one.save(state(1))
    until(lambda: same(stored(place), state(1)))
    assert stored(place).runs == {}
    goes_on.set()
    until(lambda: stored(place).runs == {"learned": 1})


def test_a_run_that_the_disk_refused_is_tried_again(begin, place):
    tries = []

    def second(folder):
        tries.append(folder)
        if len(tries) < 3:
            raise StoreError("The run could not be stored: the disk is full.")
        writes(folder)

    one = begin()
    one.save(state(0))
    one.save_run("learned", second)
    until(lambda: "disk is full" in one.status.problem)
    until(lambda: stored(place).runs == {"learned": 1})
    assert one.status.problem == ""


def test_a_run_of_a_session_that_was_taken_up_stays_named(begin, place):
    one = begin()
    one.save_run("learned", writes)
    one.save(state(0))
    until(lambda: stored(place).runs)
    one.close()
    assert one.wait(SOON)
    two = begin(is_fresh=False, runs={"learned": 1})
    two.save(state(1))
    assert two.wait(SOON)
    assert stored(place).runs == {"learned": 1}


# ---- starting afresh, and two windows


def test_what_was_done_before_is_kept_when_another_work_begins(begin, place):
    one = begin()
    one.save_run("learned", writes)
    one.save(state(1))
    until(lambda: stored(place).runs)
    one.save(state(2))
    one.set_aside(runs={"learned": 7})
    one.save(state(3))
    one.save(state(4))
    assert one.wait(SOON)
    folder = SessionFolder(place)
    assert same(stored(place), state(4))
    assert stored(place).runs == {"learned": 7}
    (kept,) = folder.earlier()
    assert same(folder.load_number(kept.number).state, state(2))


def test_starting_afresh_keeps_what_was_there(begin, place):
    one = begin()
    one.save(state(1))
    one.close()
    assert one.wait(SOON)
    two = begin(is_fresh=True)
    two.save(state(2))
    two.save(state(3))
    assert two.wait(SOON)
    folder = SessionFolder(place)
    assert same(folder.load().state, state(3))
    (kept,) = folder.earlier()
    assert same(folder.load_number(kept.number).state, state(1))


def test_the_second_window_saves_nothing_and_says_who_does(begin, place):
    one, two = begin(), begin()
    one.save(state(1))
    assert one.wait(SOON)
    two.save(state(2))
    until(lambda: two.status.is_elsewhere)
    assert two.status.holder.pid == os.getpid()
    assert two.status.is_waiting
    one.save(state(3))
    until(lambda: same(stored(place), state(3)))
    one.close()
    assert one.wait(SOON)
    until(lambda: two.status.holder is None)
    assert two.status.is_elsewhere, "it does not write before somebody wants it"
    assert same(stored(place), state(3))
    two.take_over()
    until(lambda: same(stored(place), state(2)))
    (kept,) = SessionFolder(place).earlier()
    assert same(SessionFolder(place).load_number(kept.number).state, state(3))


def test_a_copy_goes_on_beside(begin, place, tmp_path):
    one, two = begin(), begin()
    one.save(state(1))
    assert one.wait(SOON)
    two.save_run("learned", writes)
    two.save(state(2))
    until(lambda: two.status.is_elsewhere)
    two.move_to(lambda: SessionFolder(tmp_path / "copy"))
    until(lambda: stored(tmp_path / "copy").runs)
    two.save(state(3))
    until(lambda: same(stored(tmp_path / "copy"), state(3)))
    assert same(stored(place), state(1))
    assert not two.status.is_elsewhere


def test_who_was_held_up_writes_nothing_over_the_work_of_another(begin, place):
    one = begin()
    one.save(state(1))
    assert one.wait(SOON)
    (place / LOCK).unlink()  # as if it had slept and somebody found its lock old
    other = SessionLock(place / LOCK)
    while other.take() is not None:
        (place / LOCK).unlink(missing_ok=True)
    one.save(state(2))
    until(lambda: one.status.is_elsewhere)
    assert same(stored(place), state(1))
    other.release()


def test_a_lock_in_doubt_is_watched_without_a_word(begin, place, monkeypatch):
    monkeypatch.setattr(lock_module, "WATCH_S", 0.3)
    place.mkdir()
    (place / LOCK).write_bytes(b"")
    os.utime(place / LOCK, (1, 1))
    one = begin()
    one.save(state(1))
    assert one.wait(SOON)
    assert same(stored(place), state(1))
    assert not one.status.is_elsewhere
