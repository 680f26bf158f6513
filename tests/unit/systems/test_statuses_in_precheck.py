"""PreCheck asks each status of the plan, says all that is wrong with them at once, and starts nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from cutoverd.daemon.systems.memory import MemoryServices, MemoryTraffic
from cutoverd.states.errors import Unfit
from cutoverd.states.ports import AttemptId, Direction, Version
from cutoverd.states.precheck import PreCheck
from cutoverd.states.step import Context

ATTEMPT_ID = AttemptId("night", 1, "precheck.check_services", Direction.FORWARD, "e1")
ALL = tuple(Version)


async def check_services(services: MemoryServices, traffic: MemoryTraffic) -> Any:
    ports: Any = SimpleNamespace(services=services, traffic=traffic)
    return await PreCheck.check_services.run(Context(ports, ATTEMPT_ID, "", datetime.now(UTC), 0.0))


async def test_all_that_statuses_say_is_on_record() -> None:
    evidence = await check_services(MemoryServices({"api": ALL}, [("api", Version.OLD)]), MemoryTraffic(["lb"], ["lb"]))
    assert evidence["seen"]["service api (new)"] == "stopped"
    assert evidence["seen"]["door lb"] == "open"
    assert evidence["warnings"] == []


async def test_a_status_that_lies_and_a_door_that_does_not_tell_are_found_at_once_before_the_window() -> None:
    """Found: PreCheck asked no status; the one that lied was believed in Cutover, and clients were let in to nothing."""
    services, traffic = MemoryServices({"api": ALL}, [("api", Version.OLD), ("api", Version.NEW)]), MemoryTraffic(["lb"])
    traffic.faults.unknown.add("lb")
    with pytest.raises(Unfit) as unfit:
        await check_services(services, traffic)
    early, untold = unfit.value.evidence["reasons"]
    assert early.startswith("service api (new): its status exited 0, it runs; expected 3")
    assert untold.startswith("door lb: ")
    assert "then `retry`" in unfit.value.hint
    assert (services.asked, traffic.asked) == ([], [])
