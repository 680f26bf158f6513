"""The window that would end too late turns the run by what the plan says: before steps, while one runs, and at a gate."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakes.recording_ports import Night

from cutoverd.daemon.engine import loop, steady_clock
from cutoverd.daemon.engine.loop import Stopped
from cutoverd.daemon.engine.steady_clock import SteadyClock
from cutoverd.events import facts

SCRIPT, COMPARED = "data.run_script:1.sql", "validate.compare:flights"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "WINDOW_READ_SECONDS", 0.02)


def night(took: dict[str, float], budget: float, on_overrun: str = "rollback", **more: Any) -> Night:
    """Rehearsed the day before; a rollback takes no time to speak of."""
    made = Night(budget_seconds=budget, on_overrun=on_overrun, state_budgets={"rollback": 0.01}, **more)
    known = {"at": "2026-11-30T12:00:00+00:00", "made_by": "rehearsal.app", "seconds": took}
    made.world.wrong["backups.find_rehearsal"] = lambda: {"identity": "x", "on_record": known}
    return made


async def said(of: Night) -> facts.WindowOverrun:
    [event] = [each for each in await of.events() if isinstance(each, facts.WindowOverrun)]
    return event


def hang(of: Night, name: str) -> None:
    async def hanging() -> None:
        await asyncio.sleep(60)

    of.world.wrong[name] = hanging


async def test_a_step_that_runs_is_interrupted_and_the_run_goes_back() -> None:
    late = night({SCRIPT: 0.1, COMPARED: 1.0}, budget=1.2)
    hang(late, "scripts.run_script.1.sql")
    assert await late.daemon(step_seconds=60) is Stopped.OVER
    assert late.log.run.state == "rolledback"
    assert (await said(late)).turns == "rollback"
    [cut] = [event for event in await late.events() if isinstance(event, facts.StepInterrupted)]
    assert (cut.step, "after its deadline" in cut.reason) == (SCRIPT, True)


async def test_it_is_held_where_the_plan_says_so_and_goes_on_by_resume() -> None:
    late = night({SCRIPT: 0.1, COMPARED: 1.0}, budget=1.2, on_overrun="hold")
    hang(late, "scripts.run_script.1.sql")
    assert await late.daemon(step_seconds=60) is Stopped.NEEDS_A_PERSON
    assert (late.log.run.state, late.log.run.held is not None) == ("data", True)
    del late.world.wrong["scripts.run_script.1.sql"]
    await late.say("resume")
    assert await late.daemon() is Stopped.OVER
    assert late.log.run.state == "completed"


async def test_a_gate_that_nobody_passes_in_time_turns_the_run() -> None:
    late = night({COMPARED: 1.0}, budget=1.3, gates=("validate",))
    assert await asyncio.wait_for(late.daemon(auto=False), 10) is Stopped.OVER
    assert late.log.run.state == "rolledback"


async def test_without_the_plans_word_it_is_said_once_and_goes_on() -> None:
    late = night({COMPARED: 1.0}, budget=1.0, on_overrun="")
    late.world.wrong["validation.compare.flights"] = lambda: asyncio.sleep(0.2, {})
    assert await late.daemon() is Stopped.OVER
    assert late.log.run.state == "completed"
    assert ((await said(late)).turns, (await said(late)).spared) == ("", "the plan does not say what then (window.on_overrun)")


async def test_by_a_clock_that_was_set_no_run_is_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SteadyClock, "is_steady", False)
    late = night({COMPARED: 1.0}, budget=1.0)
    late.world.wrong["validation.compare.flights"] = lambda: asyncio.sleep(0.2, {})
    assert await late.daemon() is Stopped.OVER
    assert (late.log.run.state, (await said(late)).spared) == ("completed", "the clock was set")


def test_a_clock_that_is_set_is_counted_on_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, real = SteadyClock(), datetime

    class Set(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return real.now(tz) + timedelta(hours=1)

    assert clock.is_steady
    monkeypatch.setattr(steady_clock, "datetime", Set)
    assert not clock.is_steady
    assert abs((clock.now() - real.now(UTC)).total_seconds()) < 5
