"""The contract of `Services`, on the one in memory and on real commands."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.paths import SUPPORT

from cutoverd.daemon.systems.exec import ExecService, Site
from cutoverd.daemon.systems.memory import MemoryServices
from cutoverd.daemon.systems.services import ServicesByKind
from cutoverd.daemon.systems.switch import SwitchTimeouts
from cutoverd.states.errors import CheckFailed, NotLeader, OutcomeUnknown, StepError, TimedOut
from cutoverd.states.ports import AttemptId, Direction, Version
from cutoverd.states.ports_systems import Services

ATTEMPT_ID = AttemptId("r1", 1, "cutover.start_service:api", Direction.FORWARD, "e1")
OLD, NEW, TEST = Version.OLD, Version.NEW, Version.TEST
CONFIGURED = {"api": (OLD, NEW, TEST), "importer": (OLD,)}


class InMemory:
    def __init__(self, folder: Path) -> None:
        self._memory = MemoryServices(CONFIGURED, running=[("api", OLD), ("importer", OLD)])
        self.services: Services = self._memory

    def asked(self) -> list[str]:
        return [f"{verb} {name}-{version}" for verb, name, version in self._memory.asked]

    def break_it(self, fault: str, verb: str, name: str, version: Version) -> None:
        getattr(self._memory.faults, fault).add((verb, name))

    def mend_it(self, fault: str, verb: str, name: str, version: Version) -> None:
        getattr(self._memory.faults, fault).remove((verb, name))

    def hide_status(self, name: str, version: Version) -> None:
        self._memory.faults.unknown.add(name)


class ByCommands:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        site = Site(run="r1", epoch=1, folder=folder / "state", directory=folder)
        kinds = {name: {v: self._kind(site, f"{name}-{v}") for v in versions} for name, versions in CONFIGURED.items()}
        self._by_kind = ServicesByKind(kinds, site.folder, SwitchTimeouts(status_seconds=5, settle_seconds=0.1))
        self.services: Services = self._by_kind
        for name in CONFIGURED:
            (folder / f"{name}-old.on").touch()

    def _kind(self, site: Site, name: str) -> ExecService:
        program = ["sh", str(SUPPORT / "switch.sh"), str(self._folder), name]
        return ExecService([*program, "start"], [*program, "stop"], [*program, "status"], site)

    def of_daemon(self, leads: Callable[[], Awaitable[bool]]) -> Services:
        return replace(self._by_kind, leads=leads)

    def asked(self) -> list[str]:
        asked = self._folder / "asked"
        return asked.read_text().splitlines() if asked.exists() else []

    def break_it(self, fault: str, verb: str, name: str, version: Version) -> None:
        (self._folder / f"{name}-{version}.{verb}.{fault}").touch()
        if fault == "ignored":  # what never comes need not be waited for long
            timeouts = replace(self._by_kind.timeouts, change_seconds=1)
            self.services = replace(self._by_kind, timeouts=timeouts)

    def mend_it(self, fault: str, verb: str, name: str, version: Version) -> None:
        (self._folder / f"{name}-{version}.{verb}.{fault}").unlink()

    def hide_status(self, name: str, version: Version) -> None:
        (self._folder / f"{name}-{version}.unknown").touch()


Rig = InMemory | ByCommands


@pytest.fixture(params=[InMemory, ByCommands])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    return request.param(tmp_path)


async def test_what_runs_is_seen(rig: Rig) -> None:
    assert await rig.services.is_running("api", OLD)
    assert not await rig.services.is_running("api", NEW)
    assert rig.asked() == []


async def test_a_stopped_service_is_seen_stopped_and_started_it_runs_again(rig: Rig) -> None:
    evidence = await rig.services.stop(ATTEMPT_ID, "api", OLD)
    assert evidence["found"] == "running"
    assert evidence["exit"] == 0
    assert not await rig.services.is_running("api", OLD)
    evidence = await rig.services.start(ATTEMPT_ID, "api", OLD)
    assert evidence["found"] == "stopped"
    assert await rig.services.is_running("api", OLD)
    assert rig.asked() == ["stop api-old", "start api-old"]


async def test_evidence_is_json_with_seconds_and_without_the_environment(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TEST", "swordfish")
    evidence = await rig.services.stop(ATTEMPT_ID, "api", OLD)
    assert evidence["seconds"] >= 0
    assert "swordfish" not in json.dumps(dict(evidence))


async def test_starting_what_runs_asks_nothing_of_it(rig: Rig) -> None:
    assert await rig.services.start(ATTEMPT_ID, "api", OLD) == {"found": "already running"}
    assert rig.asked() == []


async def test_stopping_what_is_stopped_asks_nothing_of_it(rig: Rig) -> None:
    assert await rig.services.stop(ATTEMPT_ID, "api", NEW) == {"found": "already stopped"}
    assert rig.asked() == []


async def test_a_service_that_runs_is_fine_and_one_that_has_ended_is_told(rig: Rig) -> None:
    assert await rig.services.check(ATTEMPT_ID, "api", OLD) == {"running": True, "health": []}
    with pytest.raises(CheckFailed, match=r"api.* has ended by itself") as failed:
        await rig.services.check(ATTEMPT_ID, "api", NEW)
    assert failed.value.hint
    assert await rig.services.check(ATTEMPT_ID, "importer", NEW) == {"configured": False}
    assert rig.asked() == []


async def test_a_version_that_the_plan_leaves_out_never_runs_and_is_left_alone(rig: Rig) -> None:
    assert not await rig.services.is_running("importer", NEW)
    assert await rig.services.start(ATTEMPT_ID, "importer", NEW) == {"configured": False}
    assert await rig.services.stop(ATTEMPT_ID, "importer", NEW) == {"configured": False}
    assert rig.asked() == []


async def test_a_service_that_is_not_in_the_plan_is_refused_with_those_that_are(rig: Rig) -> None:
    with pytest.raises(StepError, match="no service named apy, expected one of: api, importer"):
        await rig.services.start(ATTEMPT_ID, "apy", NEW)


@pytest.mark.parametrize(("verb", "version", "still"), [("start", NEW, "stopped"), ("stop", OLD, "running")])
async def test_a_refused_change_fails_with_its_exit_code_and_what_is_still_so(
    rig: Rig, verb: str, version: Version, still: str
) -> None:
    rig.break_it("refused", verb, "api", version)
    with pytest.raises(CheckFailed, match=f"api.*{verb} exited 1, status still says {still}") as failed:
        await getattr(rig.services, verb)(ATTEMPT_ID, "api", version)
    assert failed.value.evidence["exit"] == 1
    assert failed.value.hint


@pytest.mark.parametrize(("verb", "version", "still"), [("start", NEW, "stopped"), ("stop", OLD, "running")])
async def test_a_change_that_lies_about_its_success_is_not_believed(rig: Rig, verb: str, version: Version, still: str) -> None:
    rig.break_it("ignored", verb, "api", version)
    with pytest.raises(TimedOut, match=f"api.*{verb} exited 0, status still says {still}") as failed:
        await getattr(rig.services, verb)(ATTEMPT_ID, "api", version)
    assert failed.value.hint


async def test_a_status_that_cannot_be_told_is_unknown_and_nothing_is_asked(rig: Rig) -> None:
    rig.hide_status("api", OLD)
    with pytest.raises(OutcomeUnknown, match=r"api.*exited 4"):
        await rig.services.is_running("api", OLD)
    with pytest.raises(OutcomeUnknown, match="api") as unknown:
        await rig.services.stop(ATTEMPT_ID, "api", OLD)
    assert unknown.value.hint
    assert rig.asked() == []


async def test_a_start_that_timed_out_may_still_come_so_stop_is_asked_though_it_looks_stopped(rig: Rig) -> None:
    rig.break_it("ignored", "start", "api", NEW)
    with pytest.raises(TimedOut):
        await rig.services.start(ATTEMPT_ID, "api", NEW)
    await rig.services.stop(ATTEMPT_ID, "api", NEW)
    assert rig.asked() == ["start api-new", "stop api-new"]
    assert await rig.services.stop(ATTEMPT_ID, "api", NEW) == {"found": "already stopped"}


async def test_a_stop_that_timed_out_may_still_come_so_start_is_asked_though_it_looks_running(rig: Rig) -> None:
    rig.break_it("ignored", "stop", "api", OLD)
    with pytest.raises(TimedOut):
        await rig.services.stop(ATTEMPT_ID, "api", OLD)
    await rig.services.start(ATTEMPT_ID, "api", OLD)
    assert rig.asked() == ["stop api-old", "start api-old"]
    assert await rig.services.start(ATTEMPT_ID, "api", OLD) == {"found": "already running"}


async def test_before_the_window_each_status_is_asked_and_all_is_as_it_should_be(rig: Rig) -> None:
    evidence = await rig.services.survey_statuses(ATTEMPT_ID)
    assert evidence["seen"] == {
        "service api (old)": "running",
        "service api (new)": "stopped",
        "service api (test)": "stopped",
        "service importer (old)": "running",
    }
    assert (evidence["reasons"], evidence["warnings"], rig.asked()) == ([], [], [])


async def test_a_new_version_that_says_it_runs_before_it_was_started_is_found(rig: Rig) -> None:
    """Found: a status of [/bin/true] was believed at night, nothing was started, and clients were let in to nothing."""
    await rig.services.start(ATTEMPT_ID, "api", NEW)
    [reason] = (await rig.services.survey_statuses(ATTEMPT_ID))["reasons"]
    assert reason.startswith("service api (new): its status exited 0, it runs; expected 3, stopped, or it would be believed")


async def test_each_status_that_cannot_be_told_is_found_before_the_window(rig: Rig) -> None:
    """Found: a status that knows neither 0 nor 3 was first asked in the window."""
    rig.hide_status("importer", OLD)
    [reason] = (await rig.services.survey_statuses(ATTEMPT_ID))["reasons"]
    assert reason.startswith("service importer (old): ") or isinstance(rig, InMemory)
    assert "exited 4" in reason


async def test_an_old_version_that_is_stopped_is_good_to_know(rig: Rig) -> None:
    await rig.services.stop(ATTEMPT_ID, "api", OLD)
    evidence = await rig.services.survey_statuses(ATTEMPT_ID)
    assert evidence["reasons"] == []
    assert [warning[:28] for warning in evidence["warnings"]] == ["service api (old) is stopped"]


async def test_a_new_version_that_is_the_same_unit_as_an_old_one_may_run(tmp_path: Path) -> None:
    site = Site(run="r1", epoch=1, folder=tmp_path / "state", directory=tmp_path)
    one = ExecService(["start-old"], ["stop"], [sys.executable, "-I", "-S", "-c", ""], site)
    services = ServicesByKind({"api": {OLD: one, NEW: replace(one, start_command=["start-new"])}}, site.folder)
    assert await services.survey_statuses(ATTEMPT_ID) == {
        "seen": {"service api (old)": "running", "service api (new)": "running"},
        "reasons": [],
        "warnings": [],
    }


async def test_a_failed_start_can_be_tried_again(rig: Rig) -> None:
    rig.break_it("refused", "start", "api", NEW)
    with pytest.raises(CheckFailed):
        await rig.services.start(ATTEMPT_ID, "api", NEW)
    rig.mend_it("refused", "start", "api", NEW)
    await rig.services.start(ATTEMPT_ID, "api", NEW)
    assert await rig.services.is_running("api", NEW)
    assert rig.asked() == ["start api-new", "start api-new"]


async def test_a_cancelled_start_is_stopped_again(rig: Rig) -> None:
    rig.break_it("hanging", "start", "api", NEW)
    starting = asyncio.create_task(rig.services.start(ATTEMPT_ID, "api", NEW))
    await until(lambda: rig.asked() == ["start api-new"])
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert rig.asked() == ["start api-new", "stop api-new"]
    assert not await rig.services.is_running("api", NEW)


async def is_superseded() -> bool:
    raise NotLeader("another daemon has taken run r1 (epoch 2)")


async def is_not_known() -> bool:
    return False


@pytest.mark.parametrize("leads", [is_superseded, is_not_known])
async def test_a_start_that_a_takeover_has_ended_is_not_stopped_again(
    tmp_path: Path, leads: Callable[[], Awaitable[bool]]
) -> None:
    """Found: the older daemon stopped what the newer one had started, in another folder, after the run had completed."""
    rig, leading = ByCommands(tmp_path), [True]

    async def asked() -> bool:
        return True if leading else await leads()

    rig.break_it("hanging", "start", "api", NEW)
    starting = asyncio.create_task(rig.of_daemon(asked).start(ATTEMPT_ID, "api", NEW))
    await until(lambda: rig.asked() == ["start api-new"])
    leading.clear()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert rig.asked() == ["start api-new"]


@pytest.mark.parametrize("change", ["start", "stop"])
async def test_a_daemon_that_was_superseded_while_it_asked_the_status_changes_no_service(tmp_path: Path, change: str) -> None:
    """Found: of two daemons in two folders the older stood still between the status and the command, and gave it too."""
    rig = ByCommands(tmp_path)
    with pytest.raises(NotLeader):
        await getattr(rig.of_daemon(is_superseded), change)(ATTEMPT_ID, "api", NEW if change == "start" else OLD)
    assert rig.asked() == []
    running = await rig.services.is_running("api", OLD), await rig.services.is_running("api", NEW)
    assert running == (True, False)


async def test_a_service_is_changed_where_nobody_can_be_asked_who_leads(tmp_path: Path) -> None:
    rig = ByCommands(tmp_path)
    await rig.of_daemon(is_not_known).start(ATTEMPT_ID, "api", NEW)
    assert await rig.services.is_running("api", NEW)


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.02)
