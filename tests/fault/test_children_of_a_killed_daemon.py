"""SIGKILL of the process that runs a child: the child lives on, and the next daemon ends exactly it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cutoverd.daemon.host import children, launcher

PARENT = """
import asyncio, sys
from pathlib import Path
from cutoverd.daemon.host import children
folder, epoch, group, *argv = sys.argv[1:]
asyncio.run(children.run(argv, folder=Path(folder), epoch=int(epoch), step="data.load", timeout_seconds=60, group=group == "1"))
"""
SLEEPER = [sys.executable, "-c", "import sys, os, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"]


def until(what, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return answer


def parent(folder: Path, *argv: str, epoch: int = 1, group: bool = True) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", PARENT, str(folder), str(epoch), "1" if group else "0", *argv])


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)


@pytest.fixture
def orphan(tmp_path):
    """(pid of a child whose parent was killed, folder)."""
    daemon = parent(tmp_path, *SLEEPER, str(tmp_path / "pid"))
    pid = int(until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    kill(daemon)
    assert launcher.birth(pid), "the child should have outlived its parent"
    yield pid, tmp_path
    if launcher.birth(pid):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def bystander(tmp_path):
    process = subprocess.Popen([*SLEEPER, str(tmp_path / "bystander")])
    yield process
    kill(process)


async def test_the_orphan_of_a_killed_daemon_is_ended_and_no_other_process(orphan, bystander):
    pid, folder = orphan
    assert [child.pid for child in await children.end_orphans(folder, older_than_epoch=2)] == [pid]
    assert launcher.birth(pid) is None
    assert bystander.poll() is None
    assert list((folder / "children").glob("*.json")) == []


async def test_an_orphan_of_the_same_or_a_higher_epoch_is_left_alone(orphan):
    pid, folder = orphan
    assert await children.end_orphans(folder, older_than_epoch=1) == []
    assert launcher.birth(pid)
    assert [child.pid for child in await children.end_orphans(folder)] == [pid]


async def test_a_process_that_got_the_pid_of_a_dead_child_is_left_alone(orphan):
    pid, folder = orphan
    record = folder / "children" / f"{pid}.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "birth": "another boot 1", "token": "0" * 16}))
    assert await children.end_orphans(folder) == []
    assert launcher.birth(pid)
    assert not record.exists()


async def test_what_a_dead_child_left_in_its_group_is_found_and_ended(tmp_path):
    nested = [*SLEEPER, str(tmp_path / "nested")]
    daemon = parent(tmp_path, sys.executable, "-c", f"import subprocess, time; subprocess.Popen({nested!r}); time.sleep(60)")
    pid = int(until(lambda: (tmp_path / "nested").exists() and (tmp_path / "nested").read_text()))
    kill(daemon)
    leader = int(next((tmp_path / "children").glob("*.json")).stem)
    os.kill(leader, signal.SIGKILL)
    until(lambda: launcher.birth(leader) is None)
    assert launcher.birth(pid)
    assert [child.pid for child in await children.end_orphans(tmp_path)] == [leader]
    assert launcher.birth(pid) is None


async def test_an_application_that_a_service_command_started_is_never_an_orphan(tmp_path):
    nested = [*SLEEPER, str(tmp_path / "application")]
    start = f"import subprocess, time; subprocess.Popen({nested!r}); time.sleep(60)"
    daemon = parent(tmp_path, sys.executable, "-c", start, group=False)
    pid = int(until(lambda: (tmp_path / "application").exists() and (tmp_path / "application").read_text()))
    kill(daemon)
    try:
        assert len(await children.end_orphans(tmp_path)) == 1
        assert launcher.birth(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_no_child_begins_unseen_when_its_parent_is_killed_at_any_moment_of_the_start(tmp_path):
    for attempt in range(12):
        folder = tmp_path / str(attempt)
        daemon = parent(folder, *SLEEPER, str(folder / "pid"))
        until(lambda folder=folder: (folder / "children").exists())
        await asyncio.sleep(attempt * 0.008)
        kill(daemon)
        await children.end_orphans(folder)
        await asyncio.sleep(0.1)  # longer than a launch: whoever would begin has begun
        begun = folder / "pid"
        assert not begun.exists() or not begun.read_text() or launcher.birth(int(begun.read_text())) is None
        assert list((folder / "children").glob("*.json")) == []
