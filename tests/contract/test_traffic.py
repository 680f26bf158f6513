"""The contract of `Traffic`, on the one in memory and on real commands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.paths import SUPPORT

from cutoverd.daemon.systems.exec import ExecDoor, Site
from cutoverd.daemon.systems.memory import MemoryTraffic
from cutoverd.daemon.systems.switch import SwitchTimeouts
from cutoverd.daemon.systems.traffic import TrafficByKind
from cutoverd.states.errors import CheckFailed, NotLeader, OutcomeUnknown, StepError, TimedOut
from cutoverd.states.ports import AttemptId, Direction
from cutoverd.states.ports_systems import Traffic

ATTEMPT_ID = AttemptId("r1", 1, "cutover.open_traffic:lb", Direction.FORWARD, "e1")
DOORS = ("lb", "admin")


class InMemory:
    def __init__(self, folder: Path) -> None:
        self._memory = MemoryTraffic(DOORS, opened=["lb"])
        self.traffic: Traffic = self._memory

    def asked(self) -> list[str]:
        return [" ".join(asked) for asked in self._memory.asked]

    def break_it(self, fault: str, verb: str, name: str) -> None:
        getattr(self._memory.faults, fault).add((verb, name))

    def hide_status(self, name: str) -> None:
        self._memory.faults.unknown.add(name)


class ByCommands:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        site = Site(run="r1", epoch=1, folder=folder / "state", directory=folder)
        kinds = {name: self._kind(site, name) for name in DOORS}
        self._by_kind = TrafficByKind(kinds, site.folder, SwitchTimeouts(status_seconds=5, settle_seconds=0.1))
        self.traffic: Traffic = self._by_kind
        (folder / "lb.on").touch()

    def _kind(self, site: Site, name: str) -> ExecDoor:
        program = ["sh", str(SUPPORT / "switch.sh"), str(self._folder), name]
        return ExecDoor([*program, "open"], [*program, "close"], [*program, "status"], site)

    def asked(self) -> list[str]:
        asked = self._folder / "asked"
        return asked.read_text().splitlines() if asked.exists() else []

    def break_it(self, fault: str, verb: str, name: str) -> None:
        (self._folder / f"{name}.{verb}.{fault}").touch()
        if fault == "ignored":  # what never comes need not be waited for long
            self.traffic = replace(self._by_kind, timeouts=replace(self._by_kind.timeouts, change_seconds=1))

    def of_daemon(self, leads: Callable[[], Awaitable[bool]]) -> Traffic:
        return replace(self._by_kind, leads=leads)

    def hide_status(self, name: str) -> None:
        (self._folder / f"{name}.unknown").touch()


Rig = InMemory | ByCommands


@pytest.fixture(params=[InMemory, ByCommands])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    return request.param(tmp_path)


async def test_a_closed_door_is_seen_closed_and_opened_it_is_open(rig: Rig) -> None:
    assert await rig.traffic.is_open("lb")
    assert not await rig.traffic.is_open("admin")
    evidence = await rig.traffic.close(ATTEMPT_ID, "lb")
    assert (evidence["found"], evidence["exit"]) == ("open", 0)
    assert not await rig.traffic.is_open("lb")
    evidence = await rig.traffic.open(ATTEMPT_ID, "lb")
    assert (evidence["found"], evidence["exit"]) == ("closed", 0)
    assert await rig.traffic.is_open("lb")
    assert rig.asked() == ["close lb", "open lb"]


async def test_a_door_that_is_already_so_is_asked_nothing(rig: Rig) -> None:
    assert await rig.traffic.open(ATTEMPT_ID, "lb") == {"found": "already open"}
    assert await rig.traffic.close(ATTEMPT_ID, "admin") == {"found": "already closed"}
    assert rig.asked() == []


async def test_a_door_that_is_not_in_the_plan_is_refused_with_those_that_are(rig: Rig) -> None:
    with pytest.raises(StepError, match="no door named bl, expected one of: lb, admin"):
        await rig.traffic.is_open("bl")


@pytest.mark.parametrize(("verb", "name", "still"), [("close", "lb", "open"), ("open", "admin", "closed")])
async def test_a_refused_change_fails_with_its_exit_code_and_what_is_still_so(rig: Rig, verb: str, name: str, still: str) -> None:
    rig.break_it("refused", verb, name)
    with pytest.raises(CheckFailed, match=f"{name}.*{verb} exited 1, status still says {still}") as failed:
        await getattr(rig.traffic, verb)(ATTEMPT_ID, name)
    assert failed.value.evidence["exit"] == 1
    assert failed.value.hint


@pytest.mark.parametrize(("verb", "name", "still"), [("close", "lb", "open"), ("open", "admin", "closed")])
async def test_a_change_that_lies_about_its_success_is_not_believed(rig: Rig, verb: str, name: str, still: str) -> None:
    rig.break_it("ignored", verb, name)
    with pytest.raises(TimedOut, match=f"{name}.*{verb} exited 0, status still says {still}"):
        await getattr(rig.traffic, verb)(ATTEMPT_ID, name)


async def test_a_status_that_cannot_be_told_is_unknown_and_nothing_is_asked(rig: Rig) -> None:
    rig.hide_status("lb")
    with pytest.raises(OutcomeUnknown, match=r"lb.*exited 4"):
        await rig.traffic.is_open("lb")
    with pytest.raises(OutcomeUnknown, match="lb"):
        await rig.traffic.close(ATTEMPT_ID, "lb")
    assert rig.asked() == []


async def test_before_the_window_a_door_may_be_open_or_closed_but_has_to_say_which(rig: Rig) -> None:
    evidence = await rig.traffic.survey_statuses(ATTEMPT_ID)
    assert evidence["seen"] == {"door lb": "open", "door admin": "closed"}
    assert evidence["reasons"] == []
    assert [warning[:20] for warning in evidence["warnings"]] == ["door admin is closed"]
    rig.hide_status("admin")
    [reason] = (await rig.traffic.survey_statuses(ATTEMPT_ID))["reasons"]
    assert "admin" in reason
    assert "exited 4" in reason
    assert rig.asked() == []


async def test_an_open_that_timed_out_may_still_come_so_close_is_asked_though_it_looks_closed(rig: Rig) -> None:
    rig.break_it("ignored", "open", "admin")
    with pytest.raises(TimedOut):
        await rig.traffic.open(ATTEMPT_ID, "admin")
    await rig.traffic.close(ATTEMPT_ID, "admin")
    assert rig.asked() == ["open admin", "close admin"]
    assert await rig.traffic.close(ATTEMPT_ID, "admin") == {"found": "already closed"}


async def test_a_cancelled_open_is_not_closed_again_because_clients_may_have_written(rig: Rig) -> None:
    rig.break_it("hanging", "open", "admin")
    opening = asyncio.create_task(rig.traffic.open(ATTEMPT_ID, "admin"))
    end = time.monotonic() + 10
    while rig.asked() != ["open admin"]:
        assert time.monotonic() < end, f"asked {rig.asked()}"
        await asyncio.sleep(0.02)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert rig.asked() == ["open admin"]


@pytest.mark.parametrize(("verb", "name"), [("open", "admin"), ("close", "lb")])
async def test_a_daemon_that_was_superseded_while_it_asked_the_status_moves_no_door(tmp_path: Path, verb: str, name: str) -> None:
    """Found: of two daemons in two folders the older stood still between the status and `open`, and gave it too."""

    async def is_superseded() -> bool:
        raise NotLeader("another daemon has taken run r1 (epoch 2)")

    rig = ByCommands(tmp_path)
    with pytest.raises(NotLeader):
        await getattr(rig.of_daemon(is_superseded), verb)(ATTEMPT_ID, name)
    assert rig.asked() == []
