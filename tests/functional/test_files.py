"""Files appear whole or not at all, never over another one, and for their owner only."""

import ctypes
import errno
import fcntl
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from custody.backends import files
from custody.backends.files import create_directory, read_file, replace_atomically, write_new
from custody.testing.asserts import refuses


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_new_file_holds_the_data_and_is_for_its_owner_only(tmp_path):
    path = tmp_path / "signed.psbt"
    write_new(path, b"data")
    assert read_file(path, 4) == b"data"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["signed.psbt"]


@pytest.mark.parametrize("what", ["file", "directory", "dangling link"])
def test_nothing_that_stands_there_is_overwritten(tmp_path, what):
    path = tmp_path / "signed.psbt"
    if what == "file":
        path.write_bytes(b"first")
    elif what == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nowhere")
    with refuses("FILE_EXISTS"):
        write_new(path, b"second")
    assert names(tmp_path) == ["signed.psbt"]
    if what == "file":
        assert path.read_bytes() == b"first"


def test_a_file_that_appears_while_ours_is_written_stays(tmp_path, monkeypatch):
    path = tmp_path / "signed.psbt"
    whole = os.fsync

    def somebody_is_faster(descriptor: int) -> None:
        path.write_bytes(b"theirs")
        whole(descriptor)

    monkeypatch.setattr(files.os, "fsync", somebody_is_faster)
    with refuses("FILE_EXISTS"):
        write_new(path, b"ours")
    assert path.read_bytes() == b"theirs"
    assert names(tmp_path) == ["signed.psbt"]


def no_hard_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_a_card_without_hard_links_gets_the_whole_file_and_keeps_its_others(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "link", no_hard_links)
    write_new(tmp_path / "a.psbt", b"data")
    assert read_file(tmp_path / "a.psbt", 10) == b"data"
    assert names(tmp_path) == ["a.psbt"]
    # Whoever is faster between the early answer and the name: the kernel decides.
    monkeypatch.setattr(files.os.path, "lexists", lambda _: False)
    with refuses("FILE_EXISTS"):
        write_new(tmp_path / "a.psbt", b"other")
    assert read_file(tmp_path / "a.psbt", 10) == b"data"
    assert names(tmp_path) == ["a.psbt"]


def test_a_file_without_hard_links_is_under_its_name_only_once_it_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "link", no_hard_links)
    seen: list[list[str]] = []

    def pieces() -> Iterator[bytes]:
        for each in (b"one", b"two"):
            seen.append(names(tmp_path))
            yield each

    write_new(tmp_path / "a.psbt", pieces())
    assert all("a.psbt" not in each and len(each) == 1 for each in seen)


@pytest.mark.parametrize("number", [errno.EINVAL, None])
def test_a_medium_that_could_only_write_over_another_file_is_not_written_to(tmp_path, monkeypatch, number):
    def refused(*_: object) -> int:
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(files.os, "link", no_hard_links)
    monkeypatch.setattr(files, "_renameat2", lambda: None if number is None else refused)
    with refuses("FILE_UNUSABLE") as caught:
        write_new(tmp_path / "a.psbt", b"data")
    assert "another medium" in str(caught.error)
    assert names(tmp_path) == []


def test_what_killed_writers_left_is_taken_away_and_what_a_living_one_holds_stays(tmp_path):
    left = tmp_path / ".a.psbt.0123456789abcdef.tmp"
    for size in (0, 4):
        left.write_bytes(bytes(size))
        write_new(tmp_path / f"b{size}", b"")
        assert left.exists()
        write_new(tmp_path / ("a.psbt" if size else "x"), b"")
        files.remove_leftovers(tmp_path)
        assert not left.exists()
    left.write_bytes(b"held")
    ours = tmp_path / "notes.tmp"
    ours.write_bytes(b"a person's")
    with left.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        files.remove_leftovers(tmp_path)
        assert left.exists()
    files.remove_leftovers(tmp_path)
    assert not left.exists()
    assert ours.exists()


def test_a_temporary_file_that_was_taken_for_left_behind_is_made_again(tmp_path, monkeypatch):
    whole, tried = files.fcntl.flock, []

    def cleaned_first(descriptor: int, how: int) -> None:
        if not tried:
            tried.append(descriptor)
            for each in tmp_path.glob(".a.psbt.*"):
                each.unlink()
        whole(descriptor, how)

    monkeypatch.setattr(files.fcntl, "flock", cleaned_first)
    write_new(tmp_path / "a.psbt", b"data")
    assert read_file(tmp_path / "a.psbt", 10) == b"data"


def test_a_clean_up_that_fails_does_not_hide_the_error_before_it(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def gone(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files.os, "fsync", full)
    monkeypatch.setattr(files.Path, "unlink", gone)
    for write in (write_new, replace_atomically):
        with refuses("FILE_UNUSABLE") as caught:
            write(tmp_path / "a.psbt", b"data")
        assert "No space left" in str(caught.error)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with refuses("FILE_UNUSABLE"):
        write_new(tmp_path / "a.psbt", b"data")
    assert names(tmp_path) == []


@pytest.mark.parametrize("write", [write_new, replace_atomically])
def test_a_file_that_does_not_fit_is_told_of_as_itself(tmp_path, write):
    # A limit on the size of files stands for a full medium: writing fails, and so does closing what was not written.
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limit[1]))
    try:
        with refuses("FILE_UNUSABLE") as caught:
            write(tmp_path / "a.psbt", b"more than ten bytes")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "too large" in str(caught.error)
    assert names(tmp_path) == []


def test_a_full_disk_keeps_the_old_state(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    replace_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with refuses("FILE_UNUSABLE"):
        replace_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["state.json"]


def test_a_directory_that_is_missing_is_named(tmp_path):
    with refuses("FILE_MISSING") as caught:
        write_new(tmp_path / "nowhere" / "a.psbt", b"data")
    assert str(tmp_path / "nowhere") in str(caught.error)


def test_reading_stops_at_the_cap(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(11))
    assert read_file(path, 11) == bytes(11)
    with refuses("FILE_TOO_LARGE"):
        read_file(path, 10)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with refuses("FILE_MISSING"):
        read_file(tmp_path / "nothing", 10)


def test_a_pipe_or_a_directory_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with refuses("FILE_UNUSABLE"):
        read_file(tmp_path / "pipe", 10)
    with refuses("FILE_IS_FOLDER"):
        read_file(tmp_path, 10)


def test_a_name_with_escape_codes_is_shown_escaped(tmp_path):
    with refuses("FILE_MISSING") as caught:
        read_file(tmp_path / "a\x1b[2Jb", 10)
    assert "\x1b" not in str(caught.error)
    assert "a\\x1b[2Jb" in str(caught.error)


def test_directories_are_made_for_their_owner_only_all_the_way(tmp_path):
    create_directory(tmp_path / "a" / "b" / "c")
    create_directory(tmp_path / "a" / "b" / "c")
    for each in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / each).stat().st_mode) == 0o700


def test_a_directory_that_others_may_write_in_is_refused(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    with refuses("FILE_UNUSABLE"):
        create_directory(shared)


def test_a_file_where_a_directory_should_be_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with refuses("FILE_UNUSABLE"):
        create_directory(tmp_path / "a")
    with refuses("FILE_UNUSABLE"):
        create_directory(tmp_path / "a" / "b")
