"""Where tests put their files: what is chosen, and that nothing of it stays behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from support import workplace

from cutoverd.daemon.host.file_lock import is_locked, try_lock


@pytest.fixture(autouse=True)
def _without_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(workplace.CHOSEN, raising=False)


def has_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(4 * 10**9, 0, free))  # type: ignore[attr-defined]


def test_memory_is_taken_if_there_is_room_and_programs_run_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has_free(monkeypatch, workplace.WANTED_BYTES)
    assert workplace.place(tmp_path) == workplace.Place(tmp_path, "in memory")
    assert list(tmp_path.iterdir()) == []


def test_without_room_it_is_tmpdir_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has_free(monkeypatch, 64 * 10**6)
    chosen = workplace.place(tmp_path)
    assert chosen.folder == Path(tempfile.gettempdir())
    assert "has 0.06 GB free, 3 GB are wanted" in chosen.why


def test_where_no_program_runs_it_is_tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> Any:
        raise PermissionError(13, "Permission denied")

    has_free(monkeypatch, workplace.WANTED_BYTES)
    monkeypatch.setattr(subprocess, "run", refused)
    assert "noexec" in workplace.place(tmp_path).why
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_such_folder_it_is_tmpdir(tmp_path: Path) -> None:
    assert workplace.place(tmp_path / "none").folder == Path(tempfile.gettempdir())


def test_whoever_names_a_place_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(workplace.CHOSEN, str(tmp_path / "mine"))
    assert workplace.place().folder == tmp_path / "mine"


def test_all_temporary_files_are_in_the_folder_of_the_session_and_go_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.environ["TMPDIR"], tempfile.gettempdir()
    with workplace.workplace(tmp_path) as folder:
        assert folder.parent == tmp_path
        assert Path(tempfile.mkdtemp()).parent == folder == Path(os.environ["TMPDIR"])
    assert list(tmp_path.iterdir()) == []
    assert (os.environ["TMPDIR"], tempfile.gettempdir()) == before


def test_found_a_session_that_just_began_swept_a_folder_that_was_being_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both removed the same files, and the one that had ended well ended with an error."""
    remove, locked = shutil.rmtree, []

    def watched(folder: Path) -> None:
        locked.append(is_locked(folder / workplace.LOCK))
        remove(folder)

    monkeypatch.setattr(shutil, "rmtree", watched)
    with workplace.workplace(tmp_path):
        pass
    assert locked == [True]


def test_what_a_killed_session_left_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    left, living, strange = (tmp_path / f"{workplace.PREFIX}{name}" for name in ("left", "living", "strange"))
    for folder in (left, living, strange):
        folder.mkdir()
    (left / workplace.LOCK).touch()
    os.utime(left / workplace.LOCK, (0, 0))
    with try_lock(living / workplace.LOCK), workplace.workplace(tmp_path):
        assert (left.exists(), living.exists(), strange.exists()) == (False, True, True)
