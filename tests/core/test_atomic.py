"""Nothing is ever half-written, and nothing that was there is lost."""

import errno
import os
import stat

import pytest

from napari_selfseg.core.atomic import (
    atomic_file,
    atomic_folder,
    is_free,
    is_leftover,
    sync_folder,
    why_not_written,
    write_whole,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_only_at_the_end(tmp_path):
    place = tmp_path / "new" / "labels.tif"
    with atomic_file(place) as beside:
        beside.write_text("all")
        assert not place.exists()
        assert beside.parent == place.parent  # renamed within one file system
    assert place.read_text() == "all"
    assert names(place.parent) == ["labels.tif"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_an_interrupted_file_leaves_the_old_one(tmp_path, error):
    place = tmp_path / "labels.tif"
    place.write_text("old")

    def write():
        with atomic_file(place) as beside:
            beside.write_text("ne")
            raise error

    with pytest.raises(type(error)):
        write()
    assert place.read_text() == "old"
    assert names(tmp_path) == ["labels.tif"]


def test_a_folder_takes_its_place_only_at_the_end(tmp_path):
    place = tmp_path / "run"
    with atomic_folder(place) as beside:
        (beside / "a").write_text("1")
        assert not place.exists()
    assert names(place) == ["a"]
    assert names(tmp_path) == ["run"]


def test_a_folder_with_content_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("precious")
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "run"):
        pytest.fail("the folder must not even be begun")
    assert (tmp_path / "run" / "mine").read_text() == "precious"


def test_a_folder_that_appears_meanwhile_is_not_replaced(tmp_path):
    place = tmp_path / "run"

    def write():
        with atomic_folder(place) as beside:
            (beside / "a").write_text("ours")
            place.mkdir()
            (place / "a").write_text("theirs")

    with pytest.raises(FileExistsError):
        write()
    assert (place / "a").read_text() == "theirs"
    assert names(tmp_path) == ["run"]


def test_an_empty_folder_counts_as_free(tmp_path):
    (tmp_path / "run").mkdir()
    with atomic_folder(tmp_path / "run") as beside:
        (beside / "a").write_text("1")
    assert names(tmp_path / "run") == ["a"]


def test_replacing_leaves_nothing_of_the_old_folder(tmp_path):
    place = tmp_path / "run"
    place.mkdir()
    (place / "old").write_text("1")
    with atomic_folder(place, replace=True) as beside:
        (beside / "new").write_text("2")
    assert names(place) == ["new"]
    assert names(tmp_path) == ["run"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_be_renamed(tmp_path, monkeypatch):
    place = tmp_path / "run"
    place.mkdir()
    (place / "old").write_text("1")
    rename = os.replace

    def refuse_the_new_one(source, target):
        if (source / "new").exists():
            raise PermissionError(errno.EACCES, "open in another program")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse_the_new_one)
    with pytest.raises(PermissionError), atomic_folder(place, replace=True) as beside:
        (beside / "new").write_text("2")
    assert names(place) == ["old"]
    assert names(tmp_path) == ["run"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_others_in_the_laboratory_may_read_what_is_written(tmp_path):
    with atomic_folder(tmp_path / "run") as beside:
        (beside / "a").write_text("1")
    plain = tmp_path / "plain"
    plain.mkdir()
    assert (tmp_path / "run").stat().st_mode == plain.stat().st_mode


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_into_nowhere_is_not_free(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert not is_free(tmp_path / "link")
    assert is_free(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (OSError("4096 requested and 1024 written"), "disk is full"),
        (OSError(errno.EROFS, "Read-only file system"), "read-only"),
        (PermissionError(errno.EACCES, "denied"), "read-only"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_the_reason_is_told_in_a_users_words(error, words):
    assert words in why_not_written(error)


def test_a_small_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    write_whole(path, b"first")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        write_whole(path, b"second")
    assert path.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


def test_a_write_that_takes_a_part_only_goes_on(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda stream, content: write(stream, content[:3]))
    write_whole(tmp_path / "file", b"a longer content")
    assert (tmp_path / "file").read_bytes() == b"a longer content"


@pytest.mark.skipif(os.name == "nt", reason="Windows does it by itself")
def test_content_and_name_are_on_the_disk_in_this_order(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace

    def synced(stream):
        done.append("folder" if stat.S_ISDIR(os.fstat(stream).st_mode) else "file")
        fsync(stream)

    def replaced(*names):
        done.append("name")
        replace(*names)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write_whole(tmp_path / "file", b"content")
    assert done == ["file", "name", "folder"]
    done.clear()
    with atomic_folder(tmp_path / "run") as beside:
        (beside / "result").mkdir()
        (beside / "result" / "labels").write_bytes(b"1")
    assert done.index("file") < done.index("name")
    assert done[-1] == "folder"


def test_a_drive_that_cannot_sync_folders_is_no_fault(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.EINVAL, "no such thing here")

    monkeypatch.setattr(os, "fsync", refuse)
    sync_folder(tmp_path)


def test_leftovers_are_told_from_other_files(tmp_path):
    with atomic_file(tmp_path / "labels.tif") as beside:
        assert is_leftover(beside.name)
        beside.write_bytes(b"")
    assert not is_leftover("labels.tif")
