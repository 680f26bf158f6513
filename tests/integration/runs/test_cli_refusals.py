"""What cannot work is told in a word and an exit code, never by a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.found_files import put
from support.small_disk import small_disk
from unit.plan.test_plan_file import PLAN


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    for name in ("schema/1.sql", "data/1.sql"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("SELECT 1;\n")
    (tmp_path / "plan.yaml").write_text(PLAN)
    return tmp_path / "plan.yaml"


def cutoverd(*words: str) -> tuple[int, str]:
    """The exit code and what it said."""
    command = [sys.executable, "-m", "cutoverd.daemon", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    output = done.stdout + done.stderr
    assert "Traceback" not in output, output
    return done.returncode, output


def test_a_state_dir_that_is_a_file(plan: Path) -> None:
    (plan.parent / "state").write_text("")
    code, output = cutoverd("run", str(plan))
    assert code == 1
    assert str(plan.parent / "state") in output


def test_a_metrics_port_that_is_taken(plan: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        plan.write_text(f"{PLAN}metrics: {{listen: '{listen}'}}\n")
        code, output = cutoverd("run", str(plan))
    assert code == 1
    assert f"cutoverd: metrics.listen {listen}: " in output
    assert not (plan.parent / "state").exists()


def test_a_metrics_port_that_cannot_be(plan: Path) -> None:
    plan.write_text(f"{PLAN}metrics: {{listen: '127.0.0.1:99999'}}\n")
    code, output = cutoverd("run", str(plan))
    assert (code, "metrics.listen 127.0.0.1:99999" in output) == (1, True)


@pytest.mark.parametrize("words", [["status"], ["history"], ["send", "note", "--reason", "x"], ["finalize"]])
def test_a_state_dir_in_which_nothing_can_be_written_is_named_with_the_reason_at_once(plan: Path, words: list[str]) -> None:
    """Found: `[Errno 30]` after half a minute."""
    with small_disk(plan.parent / "state") as disk:
        (plan.parent / "state" / "nats").mkdir()
        disk.make_read_only()
        began = time.monotonic()
        code, output = cutoverd(*words, "-p", str(plan))
    assert code == 1
    assert "looking.lock: Read-only file system\n  → state_dir of the plan has to be a folder of this user" in output
    assert time.monotonic() - began < 25


@pytest.mark.parametrize("what", ["a folder", "a link", "a pipe"])
def test_something_else_where_a_note_of_ours_belongs(plan: Path, what: str) -> None:
    """Found: a folder there kept `status` for half a minute, and it ended with `[Errno 21]`."""
    put(plan.parent / "state" / "nats" / "looked_at", what)
    began = time.monotonic()
    code, output = cutoverd("status", "-p", str(plan))
    assert (code, "this run has not started" in output) == (1, True)
    assert time.monotonic() - began < 25
    assert not os.path.lexists(plan.parent / "state" / "nats" / "looked_at")


@pytest.mark.parametrize(
    ("words", "reason"),
    [(["--reason", "x" * 5000], "reason: saw"), (["--as", "the operator"], "operator 'the operator'")],
)
def test_a_command_that_cannot_be_sent(plan: Path, words: list[str], reason: str) -> None:
    code, output = cutoverd("send", "note", "-p", str(plan), *words)
    assert code == 2
    assert reason in output


def test_a_plan_that_is_a_folder(plan: Path) -> None:
    code, output = cutoverd("run", str(plan.parent))
    assert (code, "cannot be read: Is a directory" in output) == (2, True)


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["history"], 1, "this run has not started"),
        (["history", "--type", "note_take"], 2, "did you mean note_taken?"),
        (["status", "--wait", "--timeout", "0.2"], 6, "this run has not started"),
        (["status", "--wait", "--until", "lunch"], 2, "saw 'lunch'; it is one of"),
        (["status", "--until", "gate"], 2, "belong to"),
    ],
)
def test_what_was_never_started_and_what_cannot_be_asked(plan: Path, words: list[str], code: int, reason: str) -> None:
    exit_code, output = cutoverd(*words, "-p", str(plan))
    assert (exit_code, reason in " ".join(output.replace("│", "").split())) == (code, True), output
    assert not (plan.parent / "state").exists()
