"""Files of our own are written whole, and what lies there is read with doubt: a power cut must not stop a later daemon."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.found_files import CONTENTS, EVERYTHING, OTHERS, put

from cutoverd.daemon.host import private_files
from cutoverd.daemon.host.file_lock import is_locked, try_lock
from cutoverd.daemon.host.private_files import (
    UnusableFile,
    find_private,
    make_private_folder,
    open_private,
    read_private,
    remove_private,
    write_private,
)


def test_the_file_is_synced_before_it_gets_its_name_and_its_folder_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "anchor.json", list[tuple[str, bool]]()
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append((kind, path.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_private(path, "1")
    assert synced == [("file", False), ("folder", True)]


@pytest.mark.parametrize("what", EVERYTHING)
def test_whatever_lies_there_is_replaced_and_no_folder_of_anybodys_is_lost(tmp_path: Path, what: str) -> None:
    path = tmp_path / "epoch"
    put(path, what)
    write_private(path, "7")
    assert (path.is_symlink(), read_private(path), stat.S_IMODE(path.stat().st_mode)) == (False, b"7", 0o600)
    if what == "a link":
        assert (tmp_path / "epoch.elsewhere").read_text() == "17", "where a link leads, nothing is ours"
    kept = [file.read_text() for file in tmp_path.glob("epoch.found-*/*")]
    assert kept == (["kept"] if what == "a folder" else [])


@pytest.mark.parametrize("what", EVERYTHING)
def test_what_is_none_of_ours_is_named_once_and_taken_for_nothing(tmp_path: Path, what: str) -> None:
    put(tmp_path / "watch.json", what)
    with capture_logs() as lines:
        for _ in range(3):
            assert find_private(tmp_path / "watch.json", lambda content: json.loads(content)["seq"]) is None
    if what == "a dangling link":
        assert "it is a link, and a file of ours belongs there" in lines[0]["reason"]
    assert [line["path"] for line in lines] == [str(tmp_path / "watch.json")]


@pytest.mark.parametrize(
    ("what", "reason"), [("empty", "it is empty"), ("NULs", "it holds 512 NULs"), ("garbage", "it holds b'")]
)
def test_the_reason_tells_what_the_file_holds(tmp_path: Path, what: str, reason: str) -> None:
    assert private_files.describe(CONTENTS[what]).startswith(reason)


def test_a_file_that_is_not_there_is_no_reason_for_a_word(tmp_path: Path) -> None:
    with capture_logs() as lines:
        assert find_private(tmp_path / "gone", bytes) is None
    assert lines == []


@pytest.mark.parametrize("what", list(OTHERS))
def test_what_is_no_file_is_not_waited_for_and_is_told_by_its_kind(tmp_path: Path, what: str) -> None:
    put(tmp_path / "server.json", what)
    with pytest.raises(UnusableFile, match=r"server\.json: it is a (folder|link|pipe), and a file of ours belongs there"):
        read_private(tmp_path / "server.json")


@pytest.mark.parametrize("what", list(OTHERS))
def test_a_log_is_written_beside_what_lies_there(tmp_path: Path, what: str) -> None:
    put(tmp_path / "server.log", what)
    with open_private(tmp_path / "server.log") as log:
        log.write(b"it began")
    assert read_private(tmp_path / "server.log") == b"it began"


@pytest.mark.parametrize("what", list(OTHERS))
def test_a_lock_that_is_no_file_is_held_by_nobody_and_never_taken(tmp_path: Path, what: str) -> None:
    put(tmp_path / "server.lock", what)
    assert not is_locked(tmp_path / "server.lock")
    with pytest.raises(UnusableFile, match=r"server\.lock: it is a"), try_lock(tmp_path / "server.lock"):
        pytest.fail("whoever follows a link locks another file than others do")


@pytest.mark.parametrize("what", [*EVERYTHING, "nothing"])
def test_a_note_is_removed_whatever_it_is(tmp_path: Path, what: str) -> None:
    if what != "nothing":
        put(tmp_path / "looked_at", what)
    remove_private(tmp_path / "looked_at")
    assert not os.path.lexists(tmp_path / "looked_at")


def test_a_draft_that_could_not_be_written_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_private(tmp_path / "anchor.json", "1")
    assert os.listdir(tmp_path) == []


def test_a_folder_of_ours_that_is_a_file_is_named(tmp_path: Path) -> None:
    put(tmp_path / "state", "empty")
    with pytest.raises(UnusableFile, match=r"state: it is a file, and a folder of ours belongs there"):
        make_private_folder(tmp_path / "state")
