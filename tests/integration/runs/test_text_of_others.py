"""What others wrote is on record whole, and reaches a terminal without a way to act on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.hostile import HOSTILE, unsafe
from support.servers import in_a_loop_of_its_own, skip
from unit.plan.test_plan_file import PLAN

from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.stream import prepare
from cutoverd.daemon.embedded import nats
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.plan.load import load
from cutoverd.daemon.runtime.open_bus import bus
from cutoverd.events import facts
from cutoverd.events.subjects import events_of

STARTED = facts.RunStarted(plan_sha256="", files={}, items={"services": ["api"]}, gates=["downtime"], production="app")
FAILED = facts.StepFailed(step="precheck.prove_backup", direction="forward", seconds=1, error="E", reason=HOSTILE, hint=HOSTILE)
NOTED = facts.NoteTaken(by=None, text=HOSTILE)


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[Path]:
    for name in ("schema/1.sql", "data/1.sql"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("SELECT 1;\n")
    (tmp_path / "plan.yaml").write_text(PLAN)
    yield tmp_path / "plan.yaml"
    in_a_loop_of_its_own(nats.stop(tmp_path / "state" / "nats"))


async def record(plan: Path, *events: facts.Event) -> None:
    async with bus(load(plan)) as client:
        await prepare(client)
        runlog = RunLog("night-1", Journal(client, events_of("night-1")))
        for event in events:
            await runlog.append(event)


def cutoverd(*words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "cutoverd.daemon", *words]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, env={**os.environ, **environment})
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


@pytest.mark.parametrize("words", [["history"], ["status"], ["history", "-f", "json"], ["status", "-f", "json"]])
def test_history_and_status_show_it_escaped_and_json_has_it_whole(plan: Path, words: list[str]) -> None:
    in_a_loop_of_its_own(record(plan, STARTED, FAILED, NOTED))
    done = cutoverd(*words, "-p", str(plan))
    text = done.stdout.decode()
    assert done.returncode == 0
    assert not unsafe(text)
    assert "23:59:59 ✔ gate cutover passed" in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("23:59:59")]
    if words == ["history", "-f", "json"]:
        notes = [each["data"]["text"] for each in map(json.loads, text.splitlines()) if each["type"] == "note_taken"]
        assert notes == [HOSTILE.replace("\udcff", "\\udcff")], "as it is on record"


def test_a_terminal_without_utf_8_shows_what_it_can(plan: Path) -> None:
    """Found: the first ✔ ended the command in a traceback."""
    in_a_loop_of_its_own(record(plan, STARTED, NOTED))
    done = cutoverd("history", "-p", str(plan), PYTHONIOENCODING="latin-1")
    assert (done.returncode, rb"\u2714" in done.stdout) == (0, True)


def test_a_run_whose_server_runs_is_shown_though_nothing_can_be_written_in_its_folder(plan: Path) -> None:
    in_a_loop_of_its_own(record(plan, STARTED))
    state = plan.parent / "state"
    read_only = f"mount --bind '{state}' '{state}' && mount -o remount,ro,bind '{state}' || exit 99"
    command = f"{read_only}; exec '{sys.executable}' -m cutoverd.daemon status -p '{plan}'"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    if "unshare failed" in done.stderr or done.returncode == 99:
        skip(f"nothing can be mounted here: {done.stderr}")
    assert (done.returncode, "precheck" in done.stdout) == (0, True), done.stderr


@contextmanager
def full() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["check", "--help"], ["schema"], ["history"], ["status"]])
def test_an_output_that_cannot_be_written_is_an_error_of_one_line(plan: Path, words: list[str]) -> None:
    """Found: tracebacks, and a Python's exit code."""
    in_a_loop_of_its_own(record(plan, STARTED))
    command = [sys.executable, "-m", "cutoverd.daemon", *words]
    with full() as out:
        done = subprocess.run(
            command, stdout=out, stderr=subprocess.PIPE, timeout=60, check=False, env={**os.environ, "CUTOVERD_PLAN": str(plan)}
        )
    assert (done.returncode, len(done.stderr.decode().splitlines())) == (1, 1), done.stderr
    assert done.stderr.startswith(b"cutoverd: ")


def test_a_demonstration_in_a_file_is_refused(plan: Path) -> None:
    done = cutoverd("demo", "--folder", str(plan))
    assert (done.returncode, done.stderr.decode()) == (1, f"cutoverd: {plan}: File exists\n")


def test_a_closed_input_confirms_nothing(plan: Path) -> None:
    command = f"exec '{sys.executable}' -m cutoverd.daemon finalize -p '{plan}' <&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
