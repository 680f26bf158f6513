"""Real processes with pidfiles: started, stopped, and broken in the ways applications are."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.paths import SUPPORT

from cutoverd.daemon.host import children
from cutoverd.daemon.systems.exec import ExecDoor, ExecService, Site
from cutoverd.daemon.systems.pending_change import PendingChange
from cutoverd.daemon.systems.services import ServicesByKind
from cutoverd.daemon.systems.switch import SilentStatus, SwitchTimeouts
from cutoverd.daemon.systems.traffic import TrafficByKind
from cutoverd.states.errors import CheckFailed, OutcomeUnknown, TimedOut
from cutoverd.states.ports import AttemptId, Direction, Version

ATTEMPT_ID = AttemptId("r1", 1, "downtime.stop_service:api", Direction.FORWARD, "e1")
QUICK = SwitchTimeouts(change_seconds=1, status_seconds=5, settle_seconds=0.3)


class Application:
    """One service `api`, version old, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = Site(run="r1", epoch=1, folder=folder / "state", directory=folder)
        program = [sys.executable, "-I", "-S", str(SUPPORT / "service.py"), str(folder)]
        self.commands = ExecService([*program, "start"], [*program, "stop"], [*program, "status"], self.site)

    def services(self, timeouts: SwitchTimeouts = QUICK, **commands: Any) -> ServicesByKind:
        return ServicesByKind({"api": {Version.OLD: replace(self.commands, **commands)}}, self.site.folder, timeouts)

    def behave(self, **how: Any) -> None:
        (self.folder / "how.json").write_text(json.dumps(how))

    def asked(self) -> list[str]:
        asked = self.folder / "asked"
        return asked.read_text().split() if asked.exists() else []

    @property
    def pid(self) -> int:
        return int((self.folder / "pid").read_text())

    def runs(self) -> bool:
        return (self.folder / "pid").exists() and children.birth(self.pid) is not None


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Application]:
    application = Application(tmp_path)
    yield application
    if application.runs():
        os.kill(application.pid, signal.SIGKILL)
    assert list((tmp_path / "state" / "children").glob("*.json")) == []


@pytest.fixture
async def running(api: Application) -> Application:
    await api.services(SwitchTimeouts()).start(ATTEMPT_ID, "api", Version.OLD)
    return api


async def test_a_service_there_and_back(api: Application) -> None:
    services = api.services(SwitchTimeouts())
    started = await services.start(ATTEMPT_ID, "api", Version.OLD)
    assert api.runs()
    assert (started["found"], started["exit"]) == ("stopped", 0)
    stopped = await services.stop(ATTEMPT_ID, "api", Version.OLD)
    assert not api.runs()
    assert (stopped["found"], stopped["exit"]) == ("running", 0)
    assert api.asked() == ["start", "stop"]


async def test_a_started_service_lives_on_though_the_command_that_started_it_has_ended(running: Application) -> None:
    assert await children.end_orphans(running.site.folder) == []
    assert running.runs()


async def test_a_service_that_talks_to_the_outputs_it_inherited_is_neither_blocked_nor_killed(api: Application) -> None:
    api.behave(start="chatty")
    await api.services(SwitchTimeouts()).start(ATTEMPT_ID, "api", Version.OLD)
    await until((api.folder / "wrote").exists)
    (api.folder / "wrote").unlink()
    await until((api.folder / "wrote").exists)
    assert api.runs()


async def test_a_service_that_was_not_running_before_is_left_as_it_is(api: Application) -> None:
    assert not await api.services().is_running("api", Version.OLD)
    assert await api.services().stop(ATTEMPT_ID, "api", Version.OLD) == {"found": "already stopped"}
    assert api.asked() == []


async def test_a_service_that_needs_a_moment_is_waited_for(api: Application) -> None:
    api.behave(start_after=0.5)
    started = await api.services(SwitchTimeouts()).start(ATTEMPT_ID, "api", Version.OLD)
    assert started["seconds"] >= 0.5
    assert started["looks"] > 1


async def test_a_start_that_fails_says_what_the_command_said(api: Application) -> None:
    api.behave(start="fails")
    with pytest.raises(CheckFailed, match=r"service api \(old\): start exited 7, .*stopped.*port 8080 is taken"):
        await api.services().start(ATTEMPT_ID, "api", Version.OLD)


async def test_a_status_that_exits_1_when_stopped_is_told_long_before_the_time_is_up(running: Application) -> None:
    """Found: 1 was taken for "not yet", and the downtime lasted 60 s longer until somebody heard of it."""
    status = ["sh", "-c", 'test -e pid && kill -0 "$(cat pid)" 2>&-']
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match=r"service api \(old\): \[sh, .*\] exited 1, expected 0 \(it runs\) or 3") as unknown:
        await running.services(SwitchTimeouts(change_seconds=12, silent_seconds=0.5), status_command=status).stop(
            ATTEMPT_ID, "api", Version.OLD
        )
    assert time.monotonic() - began < 9, "12 s were there to wait"
    assert "and 3 while it is stopped" in unknown.value.hint


async def test_a_service_that_does_not_answer_while_it_starts_is_waited_for(api: Application) -> None:
    api.behave(start_after=1)
    status = ["sh", "-c", "test -e begun || { touch begun; exit 3; }; test -e pid"]
    services = api.services(SwitchTimeouts(silent_seconds=0.2), status_command=status)
    assert (await services.start(ATTEMPT_ID, "api", Version.OLD))["looks"] > 1


@pytest.mark.parametrize("code", [-9, 137, 0])
async def test_a_status_that_did_not_answer_by_itself_gets_all_the_time(code: int) -> None:
    untold = SilentStatus(0.0)
    unknown = OutcomeUnknown("killed, or late", evidence={"exit": code} if code else {})
    assert not any(untold.is_for_good(unknown) for _ in range(3))
    assert not untold.is_for_good(None)


async def test_a_service_that_dies_at_once_is_not_started(api: Application) -> None:
    api.behave(start="dies")
    with pytest.raises(TimedOut, match="start exited 0, status still says stopped after"):
        await api.services().start(ATTEMPT_ID, "api", Version.OLD)


async def test_a_service_that_stays_in_the_foreground_times_out_and_is_gone(api: Application) -> None:
    api.behave(start="foreground")
    with pytest.raises(TimedOut, match="start did not end in time, status still says stopped"):
        await api.services().start(ATTEMPT_ID, "api", Version.OLD)
    assert not api.runs()


async def test_a_service_that_does_not_stop_fails_within_its_time_out(running: Application) -> None:
    running.behave(stop="nothing")
    with pytest.raises(TimedOut, match=r"service api \(old\): stop exited 0, status still says running after 1\.") as late:
        await running.services().stop(ATTEMPT_ID, "api", Version.OLD)
    assert late.value.evidence["exit"] == 0
    assert running.runs()


async def test_a_stop_that_exits_5_and_yet_stops_is_fine_and_noted(running: Application) -> None:
    running.behave(stop="fails_but_stops")
    stopped = await running.services().stop(ATTEMPT_ID, "api", Version.OLD)
    assert stopped["exit"] == 5
    assert not running.runs()


async def test_a_stop_that_hangs_is_ended_and_the_service_still_runs(running: Application) -> None:
    running.behave(stop="hangs")
    with pytest.raises(TimedOut, match="stop did not end in time, status still says running"):
        await running.services().stop(ATTEMPT_ID, "api", Version.OLD)
    assert running.runs()


async def test_a_service_that_drains_after_its_stop_timed_out_is_running_once_started_again(api: Application) -> None:
    """Seen running in the way back, it would have died under the old database after RolledBack."""
    api.behave(stop_after=2)
    await api.services(SwitchTimeouts()).start(ATTEMPT_ID, "api", Version.OLD)
    drained = api.pid
    with pytest.raises(TimedOut):
        await api.services().stop(ATTEMPT_ID, "api", Version.OLD)
    assert api.runs()
    started = await api.services(SwitchTimeouts(settle_seconds=5)).start(ATTEMPT_ID, "api", Version.OLD)
    assert started["found"] == "stopped"
    assert api.runs()
    assert api.pid != drained


async def test_a_service_that_comes_up_after_its_start_timed_out_is_stopped_by_the_way_back(api: Application) -> None:
    api.behave(start_after=2)
    with pytest.raises(TimedOut):
        await api.services().start(ATTEMPT_ID, "api", Version.OLD)
    await api.services(SwitchTimeouts(settle_seconds=5)).stop(ATTEMPT_ID, "api", Version.OLD)
    assert not api.runs()
    assert api.asked() == ["start", "stop"]


async def test_a_daemon_that_was_killed_while_it_started_a_service_does_not_start_it_twice(api: Application) -> None:
    PendingChange.of(api.site.folder, "service", "api", "old").write("start")
    later = asyncio.create_task(asyncio.to_thread(lambda: (time.sleep(0.3), (api.folder / "pid").write_text(str(os.getpid())))))
    found = await api.services(SwitchTimeouts(settle_seconds=10)).start(ATTEMPT_ID, "api", Version.OLD)
    await later
    (api.folder / "pid").unlink()
    assert found == {"found": "already running"}
    assert api.asked() == []


async def test_a_status_that_hangs_is_unknown_and_ended(api: Application) -> None:
    api.behave(status="hangs")
    with pytest.raises(OutcomeUnknown, match=r"service api \(old\): .*gave no answer within 0.5 s") as unknown:
        await api.services(SwitchTimeouts(status_seconds=0.5)).is_running("api", Version.OLD)
    assert "exit 0 while it runs and 3 while it is stopped" in unknown.value.hint


async def test_a_status_that_crashes_is_not_taken_for_a_stopped_service(running: Application) -> None:
    """Python's exit code after an exception, 1, is also LSB's "dead"; Downtime would have gone on beside a live service."""
    running.behave(status="crashes")
    with pytest.raises(OutcomeUnknown, match=r"(?s)exited 1, expected 0 \(it runs\) or 3.*no such module: lb"):
        await running.services().stop(ATTEMPT_ID, "api", Version.OLD)
    assert running.runs()


async def test_a_command_that_is_not_there_is_named(api: Application) -> None:
    with pytest.raises(OutcomeUnknown, match=r"\[\./missing\] exited 127, .*cannot run \./missing: No such file"):
        await api.services(status_command=["./missing"]).is_running("api", Version.OLD)
    with pytest.raises(CheckFailed, match=r"start exited 127, .*cannot run \./missing: No such file"):
        await api.services(start_command=["./missing"]).start(ATTEMPT_ID, "api", Version.OLD)


async def test_a_command_is_found_in_the_folder_of_the_plan_and_told_the_run(api: Application) -> None:
    script = api.folder / "importer"
    script.write_text(f"#!{sys.executable} -IS\nimport os\nopen('told', 'w').write(os.environ['CUTOVERD_RUN'])\n")
    script.chmod(0o755)
    with pytest.raises(TimedOut):
        await api.services(start_command=["./importer", "start"]).start(ATTEMPT_ID, "api", Version.OLD)
    assert (api.folder / "told").read_text() == "r1"


async def test_cancelled_before_anything_was_asked_a_running_service_is_left_running(running: Application) -> None:
    running.behave(status="hangs")
    starting = asyncio.create_task(running.services(SwitchTimeouts()).start(ATTEMPT_ID, "api", Version.OLD))
    await until(lambda: bool(list((running.site.folder / "children").glob("*.json"))))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert running.runs()
    assert running.asked() == ["start"]


async def test_a_door_that_opens_late_was_not_proven_closed(api: Application) -> None:
    """Were it, the way back would be taken for free, and the writes that came through it would be lost."""
    door = ExecDoor(*(getattr(api.commands, f"{verb}_command") for verb in ("start", "stop", "status")), api.site)
    api.behave(start_after=1.5)
    with pytest.raises(TimedOut):
        await TrafficByKind({"lb": door}, api.site.folder, QUICK).open(ATTEMPT_ID, "lb")
    assert await TrafficByKind({"lb": door}, api.site.folder, SwitchTimeouts(settle_seconds=10)).is_open("lb")


async def test_a_door_whose_command_fails_after_it_did_its_work_is_believed_by_its_status(running: Application) -> None:
    door = ExecDoor(*(getattr(running.commands, f"{verb}_command") for verb in ("start", "stop", "status")), running.site)
    running.behave(stop="fails_but_stops")
    closed = await TrafficByKind({"lb": door}, running.site.folder, QUICK).close(ATTEMPT_ID, "lb")
    assert (closed["found"], closed["exit"]) == ("open", 5)
    assert not await TrafficByKind({"lb": door}, running.site.folder, QUICK).is_open("lb")


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.02)
