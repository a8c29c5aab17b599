"""What is saved comes back pixel for pixel; damaged or broken off, it is never half a state."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.session.session_states import SHAPE, Killed, file_operations, layer, same, state

from napari_selfseg.core.atomic import is_leftover
from napari_selfseg.session.label_files import StoreError
from napari_selfseg.session.session_files import _digest, from_ranges, read_manifest, to_ranges
from napari_selfseg.session.session_folder import N_STATES, SessionFolder
from napari_selfseg.session.session_state import KeptValues, LayerWork, SessionState


@pytest.fixture
def folder(tmp_path):
    return SessionFolder(tmp_path / "session")


def loaded(folder):
    return SessionFolder(folder.path).load().state


# ---- there and back


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_a_state_comes_back_pixel_for_pixel(folder, dtype):
    saved = SessionState(
        {"learned": layer(1, dtype), "earlier-2": layer(2)},
        {"review": {"accepted": [3, 4]}, "name": "Größe µm"},
        {"learned": 3},
    )
    manifest = folder.save(saved)
    assert same(loaded(folder), saved)
    assert loaded(folder).runs == {"learned": 3}
    assert manifest.n_corrections > 0
    assert SessionFolder(folder.path).newest().number == manifest.number


def test_only_what_changed_is_written_again_and_old_states_go(folder):
    first = state(0)
    for i in range(6):
        layers = {**first.layers, "learned": layer(i)}
        folder.save(SessionState(layers, {"i": i}))
    images = sorted(path.name for path in (folder.path / "images").iterdir())
    assert [name for name in images if name.startswith("threshold")] == [
        "threshold-labels-000001.tif",
        "threshold-touched-000001.tif",
    ]
    assert len([name for name in images if name.startswith("learned-labels")]) == N_STATES
    assert len(list(folder.path.glob("state-*.json"))) == N_STATES
    assert loaded(folder).values == {"i": 5}


def test_arrays_that_are_equal_are_not_written_again(folder):
    folder.save(state(3))
    folder.save(state(3))
    assert len(list((folder.path / "images").iterdir())) == 4


def test_other_programs_read_the_labels(folder):
    folder.save(state(4))
    path = next((folder.path / "images").glob("learned-labels-*"))
    assert np.array_equal(np.asarray(Image.open(path)), state(4).layers["learned"].labels)


def test_nothing_in_it_says_where_the_image_was(folder, tmp_path):
    about = {"sha256": "0" * 64, "name": "tile", "shape": list(SHAPE)}
    SessionFolder(folder.path, about).save(state())
    assert folder.about() == about
    for path in folder.path.rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_an_empty_state_is_no_state(folder):
    assert folder.save(SessionState({})) is None
    assert folder.newest() is None
    with pytest.raises(StoreError, match="no stored work"):
        folder.load()


def test_layers_of_two_sizes_are_refused(folder):
    with pytest.raises(StoreError, match="differ in size"):
        folder.save(SessionState({"a": layer(), "b": layer(shape=(3, 4))}))


# ---- starting afresh


def test_what_is_set_aside_is_kept_and_not_offered(folder):
    folder.save(state(1))
    folder.save(state(2))
    folder.set_aside()
    assert SessionFolder(folder.path).newest() is None
    (kept,) = folder.earlier()
    for i in range(5):
        folder.save(state(10 + i))
    assert same(folder.load_number(kept.number).state, state(2))
    assert same(loaded(folder), state(14))


def test_setting_aside_keeps_the_newest_whole_state(folder):
    folder.save(state(1))
    newest = folder.save(state(2))
    (folder.path / "images" / newest.layers["learned"].labels.name).write_bytes(b"")
    folder.set_aside()
    (kept,) = folder.earlier()
    assert same(folder.load_number(kept.number).state, state(1))


def test_damaged_states_are_set_aside_too_and_their_images_stay(folder):
    folder.save(state(1))
    for path in folder.path.glob("state-*.json"):
        path.write_text("{")
    folder.set_aside()
    assert folder.earlier() == ()
    folder.save(state(2))
    folder.save(state(3))
    assert (folder.path / "images" / "learned-labels-000001.tif").exists()
    assert (folder.path / "earlier-000001.json").exists()


# ---- damage


@given(st.data())
def test_a_changed_byte_anywhere_gives_this_state_or_the_one_before(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "session"
    folder = SessionFolder(path)
    before, after = state(1), state(2)
    folder.save(before)
    newest = folder.save(after)
    names = [f"state-{newest.number:06d}.json", *(f"images/{i.name}" for i in newest.images())]
    file = path / data.draw(st.sampled_from(names))
    content = bytearray(file.read_bytes())
    how = data.draw(st.sampled_from(["cut", "flip", "insert", "empty", "gone", "zeros"]))
    at = data.draw(st.integers(0, 2**20)) % len(content)
    if how == "cut":
        content = content[:at]
    elif how == "flip":
        content[at] ^= data.draw(st.integers(1, 255))
    elif how == "insert":
        content[at:at] = data.draw(st.binary(min_size=1, max_size=20))
    elif how == "empty":
        content = bytearray()
    elif how == "zeros":
        content[at:] = bytes(len(content) - at)
    file.unlink() if how == "gone" else file.write_bytes(content)
    found = SessionFolder(path).load()
    whole = same(found.state, after)
    kept = {"threshold": after.layers["threshold"]}, {"learned": after.layers["learned"]}
    if not (whole or same(found.state, before)):  # both need the image that was damaged
        assert any(same(found.state, SessionState(part, after.values)) for part in kept)
        assert "threshold-" in file.name
    assert bool(found.note) == (not whole)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_a_manifest_of_anything_is_one_sentence(tmp_path_factory, anything):
    path = tmp_path_factory.mktemp("any") / "state-000001.json"
    path.write_text(json.dumps(anything), encoding="utf-8", errors="surrogatepass")
    with pytest.raises(StoreError, match="is damaged"):
        read_manifest(path)


def sealed(told):
    """Return a manifest whose sum is right, whatever it says."""
    return json.dumps({"format": 1, "sha256": _digest(told), "state": told})


@pytest.mark.parametrize(
    "change",
    [
        {"number": -1},
        {"number": "1"},
        {"saved_at": 1e300},
        {"shape": [0, 5]},
        {"shape": [10**9, 10**9]},
        {"layers": {"../../home": {}}},
        {"layers": []},
        {"runs": {"learned": 0}},
        {"runs": {"learned": "../.."}},
        {"values": [1]},
        {"more": 1},
    ],
)
def test_every_field_of_a_manifest_is_checked(folder, change):
    folder.save(state())
    (path,) = folder.path.glob("state-*.json")
    told = json.loads(path.read_text())["state"]
    path.write_text(sealed(told | change))
    with pytest.raises(StoreError, match="damaged"):
        folder.load()


@pytest.mark.parametrize(
    "name", ["../../secret-labels-000001.tif", "/etc/passwd", "learned-labels-1.tif", "a\n.tif"]
)
def test_no_file_outside_the_folder_is_read(folder, name):
    folder.save(state())
    (path,) = folder.path.glob("state-*.json")
    told = json.loads(path.read_text())["state"]
    told["layers"]["learned"]["labels"]["name"] = name
    path.write_text(sealed(told))
    with pytest.raises(StoreError, match="damaged"):
        folder.load()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 5), np.uint16),
        np.zeros(SHAPE, np.float32),
        np.zeros((*SHAPE, 3), np.uint8),
        np.full(SHAPE, -1, np.int32),
        np.zeros((2, *SHAPE), np.uint16),
    ],
)
def test_an_image_that_is_not_what_was_told_is_refused(folder, image):
    folder.save(state())
    (path,) = folder.path.glob("state-*.json")
    told = json.loads(path.read_text())["state"]
    record = told["layers"]["learned"]["labels"]
    file = folder.path / "images" / record["name"]
    tifffile.imwrite(file, image, metadata=None)
    content = file.read_bytes()
    record |= {"n_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    path.write_text(sealed(told))
    found = folder.load()
    assert set(found.state.layers) == {"threshold"}
    assert "left out (learned)" in found.note


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_not_followed(folder, tmp_path):
    folder.save(state())
    (path,) = folder.path.glob("state-*.json")
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(StoreError, match="damaged"):
        folder.load()


def test_a_manifest_of_a_newer_program_says_so(folder):
    folder.save(state())
    (path,) = folder.path.glob("state-*.json")
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"format": 2}))
    with pytest.raises(StoreError, match="newer SelfSeg"):
        read_manifest(path)


@given(st.sets(st.integers(0, 400)))
def test_reserved_numbers_come_back(numbers):
    array = np.array(sorted(numbers), np.int64)
    assert np.array_equal(from_ranges(to_ranges(array), 401), array)


@pytest.mark.parametrize("ranges", [[(3, 1)], [(1, 5), (5, 6)], [(4, 5), (1, 2)], [(0, 2**31 - 1)]])
def test_reserved_numbers_that_cannot_be_are_refused(ranges):
    with pytest.raises(StoreError, match="damaged"):
        from_ranges(ranges, 1000)


# ---- broken off


def n_operations(tmp_path, monkeypatch, act):
    folder = prepared(tmp_path / "counted")
    with file_operations(monkeypatch, lambda *_: None) as done:
        act(folder)
    return done[0]


def prepared(path):
    folder = SessionFolder(path)
    for i in range(N_STATES):  # so that old ones are removed too
        folder.save(state(i))
    return folder


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """Wait for no disk: these tests write thousands of files."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.parametrize("act", [lambda f: f.save(state(9)), lambda f: f.set_aside()])
def test_killed_between_any_two_operations_the_old_or_the_new_state_is_whole(
    tmp_path, monkeypatch, act
):
    n = n_operations(tmp_path, monkeypatch, act)
    assert n >= 5
    seen = set()
    for k in range(1, n + 1):
        folder = prepared(tmp_path / str(k))

        def die(number, _name, k=k):
            if number >= k:
                raise Killed  # nothing after it happens either: no cleaning up

        with file_operations(monkeypatch, die), pytest.raises(Killed):
            act(folder)
        after = SessionFolder(folder.path)
        old, new = state(N_STATES - 1), state(9)
        try:
            found = after.load().state
        except StoreError:  # set aside
            found = after.load_number(after.earlier()[0].number).state
        assert same(found, old) or same(found, new), f"operation {k}"
        seen.add(same(found, new))
        after.save(state(11))  # and goes on
        assert same(loaded(after), state(11))
        assert not any(is_leftover(p.name) for p in (folder.path / "images").iterdir())
    assert True in seen or act(prepared(tmp_path / "x")) is None


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_refused_at_any_operation_the_old_state_stays_and_the_next_try_works(
    tmp_path, monkeypatch, error
):
    n = n_operations(tmp_path, monkeypatch, lambda f: f.save(state(9)))
    for k in range(1, n + 1):
        folder = prepared(tmp_path / str(k))

        def refuse(number, _name, k=k):
            if number == k:
                raise OSError(error, os.strerror(error))

        refused = False
        with file_operations(monkeypatch, refuse):
            try:
                folder.save(state(9))
            except OSError:
                refused = True
        found = loaded(folder)
        assert same(found, state(9)) or (refused and same(found, state(N_STATES - 1)))
        if not same(found, state(9)):
            images = [p.name for p in (folder.path / "images").iterdir() if not is_leftover(p.name)]
            assert max(name[-10:] for name in images) == f"{N_STATES:06d}.tif", "a full disk stays"
        folder.save(state(9))
        assert same(loaded(folder), state(9))


def test_a_disk_that_is_full_in_the_middle_of_a_file(tmp_path, monkeypatch):
    n = n_operations(tmp_path, monkeypatch, lambda f: f.save(state(9)))
    for k in range(1, n + 1):
        folder = prepared(tmp_path / str(k))
        some = lambda number, name, k=k: 10 if number == k and name == "write" else None  # noqa: E731
        try:
            with file_operations(monkeypatch, some):
                folder.save(state(9))
        except OSError:
            assert same(loaded(folder), state(N_STATES - 1))
        folder.save(state(9))
        assert same(loaded(folder), state(9))


@pytest.mark.skipif(os.name == "nt", reason="no limits there")
def test_a_real_limit_of_the_system(tmp_path):
    """A process that may write 600 bytes a file: the old state stays."""
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.session.session_states import state
from napari_selfseg.session.session_folder import SessionFolder
from pathlib import Path
folder = SessionFolder(Path(sys.argv[1]))
folder.save(state(1))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
try:
    folder.save(state(2))
except OSError as error:
    print("refused")
"""
    place = tmp_path / "session"
    done = subprocess.run(
        [sys.executable, "-c", code, place], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "refused"
    assert same(SessionFolder(place).load().state, state(1))


def test_a_folder_that_vanished_is_not_made_beside_its_drive(tmp_path):
    folder = SessionFolder(tmp_path / "drive" / "session")
    (tmp_path / "drive").mkdir()
    folder.save(state(1))
    (tmp_path / "drive").rename(tmp_path / "unplugged")
    with pytest.raises(FileNotFoundError):
        folder.save(state(2))
    assert not (tmp_path / "drive").exists()


def test_a_session_folder_that_vanished_is_made_again_with_all_of_it(folder):
    folder.save(state(1))
    shutil.rmtree(folder.path)
    folder.save(state(1))
    assert same(loaded(folder), state(1))


# ---- values and strokes


def test_strokes_say_what_is_known():
    labels = np.array([[0, 3, 3, 0]], np.uint16)
    touched = np.array([[True, True, False, False]])
    work = LayerWork(labels, touched, np.array([3]))
    assert work.strokes().tolist() == [[1, 2, 0, 0]]
    assert work.strokes(are_classes=True).tolist() == [[1, 4, 0, 0]]
    many = LayerWork(labels * 100, touched, np.array([300]))
    with pytest.raises(ValueError, match="at most 254 classes"):
        many.strokes(are_classes=True)


def test_values_come_back_to_whom_they_belong_also_later():
    values, got = KeptValues(), []
    values.register("review", lambda: {"accepted": [1]}, got.append)
    assert values.collect() == {"review": {"accepted": [1]}}
    values.hand_out({"review": [2], "versions": [3]})
    assert got == [[2]]
    assert values.collect() == {"review": {"accepted": [1]}, "versions": [3]}
    values.register("versions", lambda: None, got.append)
    assert got == [[2], [3]]


BAD = [lambda: object(), lambda: float("nan"), lambda: 1 / 0, lambda: "\ud83d"]


@pytest.mark.parametrize("bad", BAD)
def test_a_value_that_cannot_be_kept_does_not_stop_the_others(bad):
    values = KeptValues()
    told = [lambda: [1]]
    values.register("review", lambda: told[0](), lambda _: None)
    values.register("other", lambda: 2, lambda _: None)
    values.collect()
    told[0] = bad
    assert values.collect() == {"review": [1], "other": 2}


def test_a_receiver_that_fails_does_not_stop_the_others():
    values, got = KeptValues(), []
    values.register("one", lambda: 1, lambda value: value["x"])
    values.register("two", lambda: 2, got.append)
    values.hand_out({"one": 5, "two": 6})
    assert got == [6]
