"""One writes, the others see who; nobody is robbed, and a dead one holds nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from napari_selfseg.session import lock as lock_module
from napari_selfseg.session.lock import STALE_S, WATCH_S, LockLostError, SessionLock


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


@pytest.fixture
def clock(monkeypatch):
    """Let the time pass for whoever watches."""
    now = [1000.0]
    monkeypatch.setattr(lock_module.time, "monotonic", lambda: now[0])
    return now


def aged(path, seconds):
    """Make a lock look as if its last heartbeat was so long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def foreign(path, **other):
    """Write a lock as a program of another computer would."""
    told = {
        "host": "elsewhere",
        "pid": 77,
        "machine": "another boot",
        "started": 1.0,
        "token": "foreign",
        "beat": "0000000003",
    }
    path.write_text(json.dumps({**told, **other}) + "\n")


def test_one_holds_it_and_the_other_sees_who(path):
    one, other = SessionLock(path), SessionLock(path)
    assert one.take() is None
    assert one.is_mine
    holder = other.take()
    assert holder.pid == os.getpid()
    assert not other.is_mine
    one.release()
    assert other.take() is None
    assert one.take().token == json.loads(path.read_text())["token"]


def test_taking_twice_is_taking(path):
    one = SessionLock(path)
    assert one.take() is None
    assert one.take() is None
    assert one.holder() is None


def test_of_many_that_take_at_once_one_gets_it(path):
    locks = [SessionLock(path) for _ in range(12)]
    barrier = threading.Barrier(len(locks))

    def take(lock):
        barrier.wait()
        lock.take()

    threads = [threading.Thread(target=take, args=(lock,)) for lock in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lock.is_mine for lock in locks) == 1


def test_of_many_that_find_a_dead_one_at_most_one_goes_on_writing(path):
    for _ in range(20):
        dead(path)
        locks = [SessionLock(path) for _ in range(6)]
        barrier = threading.Barrier(len(locks))

        def take(lock, barrier=barrier):
            barrier.wait()
            lock.take()

        threads = [threading.Thread(target=take, args=(lock,)) for lock in locks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writing = 0
        for lock in locks:  # what is asked before anything is written
            try:
                lock.beat()
                writing += 1
            except LockLostError:
                pass
        assert writing == 1
        path.unlink()


def dead(path):
    """Write the lock of a program of this computer that has ended."""
    me = SessionLock(path)
    me.take()
    told = json.loads(path.read_text())
    path.unlink()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path.write_text(json.dumps({**told, "pid": ended.pid, "token": "dead"}) + "\n")


def test_the_lock_of_a_program_that_was_killed_is_free_at_once(path):
    dead(path)
    assert SessionLock(path).take() is None


def test_a_process_number_that_was_given_again_is_another_program(path):
    one = SessionLock(path)
    one.take()
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "started": told["started"] - 100, "token": "older"}))
    assert SessionLock(path).take() is None


def test_a_lock_of_another_computer_is_free_after_30_s_and_a_look(path, clock):
    foreign(path)
    other = SessionLock(path)
    assert other.take().host == "elsewhere"
    aged(path, STALE_S + 5)
    assert other.take() is not None
    assert other.is_in_doubt
    clock[0] += WATCH_S + 0.1
    assert other.take() is None


def test_a_heartbeat_while_we_look_on_keeps_the_lock(path, clock):
    """After a computer has slept every lock looks old."""
    foreign(path)
    aged(path, 8 * 3600)
    other = SessionLock(path)
    assert other.take() is not None
    foreign(path, beat="0000000004")
    aged(path, 8 * 3600)
    clock[0] += WATCH_S + 0.1
    assert other.take() is not None
    clock[0] += WATCH_S + 0.1
    assert other.take() is None


def test_clocks_that_differ_rob_nobody(path, clock):
    foreign(path)
    other = SessionLock(path)
    for beat in range(4, 40):
        assert other.take() is not None
        clock[0] += 5
        foreign(path, beat=f"{beat:010d}")
        aged(path, -3600)


def test_a_silent_one_is_gone_after_30_s_whatever_its_clock_says(path, clock):
    foreign(path)
    other = SessionLock(path)
    assert other.take() is not None
    clock[0] += STALE_S
    assert other.take() is None


def test_who_was_held_up_sees_that_the_lock_is_lost(path, clock):
    slow, other = SessionLock(path), SessionLock(path)
    slow.take()
    aged(path, 60)
    other.take()
    clock[0] += WATCH_S + 0.1
    assert other.take() is None
    with pytest.raises(LockLostError, match="taken over"):
        slow.beat()
    assert not slow.is_mine
    slow.release()
    other.beat()
    assert slow.take() is not None


def test_a_deleted_lock_is_made_again(path):
    one = SessionLock(path)
    one.take()
    path.unlink()
    one.beat()
    assert SessionLock(path).take() is not None


def test_a_vanished_folder_is_no_lost_lock(tmp_path):
    (tmp_path / "place").mkdir()
    one = SessionLock(tmp_path / "place" / "lock")
    one.take()
    (tmp_path / "place").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        one.beat()
    (tmp_path / "away").rename(tmp_path / "place")
    one.beat()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"{", b"[]", b"null", b'{"pid": -1}', b"[" * 3000]
)
def test_garbage_is_somebodys_until_it_is_old(path, clock, content):
    path.write_bytes(content)
    other = SessionLock(path)
    assert other.take() is not None
    aged(path, 60)
    other.take()
    clock[0] += WATCH_S + 0.1
    assert other.take() is None
    assert json.loads(path.read_text())["pid"] == os.getpid()


def test_heartbeats_are_seen_and_the_file_stays_whole(path):
    one = SessionLock(path)
    one.take()
    sizes = set()
    for _ in range(12):
        one.beat()
        sizes.add(path.stat().st_size)
    assert len(sizes) == 1
    assert int(json.loads(path.read_text())["beat"]) == 12


def test_releasing_what_another_took_leaves_it(path):
    one = SessionLock(path)
    one.take()
    foreign(path)
    one.release()
    assert json.loads(path.read_text())["token"] == "foreign"
