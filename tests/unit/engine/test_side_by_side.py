"""Checks of Validate side by side, in the loop: whatever ends one of them, each has its own beginning and its own end."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fakes.recording_ports import ITEMS, Night

from cutoverd.daemon.engine.errors import Conflict
from cutoverd.daemon.engine.loop import Stopped
from cutoverd.daemon.progress import ProgressReading, ProgressReporter, report_progress
from cutoverd.events import facts
from cutoverd.states.errors import CheckFailed, NotLeader, OutcomeUnknown

SCRIPT, FIRST, SECOND, THIRD = "check_script.v.sql", "compare.a", "compare.b", "compare.c"
GROUP = (SCRIPT, FIRST, SECOND, THIRD)
STARTED, SUCCEEDED, FAILED, INTERRUPTED = facts.StepStarted, facts.StepSucceeded, facts.StepFailed, facts.StepInterrupted


def step_of(name: str) -> str:
    method, _, item = name.partition(".")
    return f"validate.{method}:{item}"


class SideBySide(Night):
    """Its checks end when the test says so, and as it says."""

    def __init__(self, jobs: int = 2) -> None:
        super().__init__(jobs=jobs, items={**ITEMS, "comparisons": ["a", "b", "c"]})
        self.ends: dict[str, asyncio.Event] = {}
        for name in GROUP:
            self.answer(name, dict)

    def answer(self, name: str, answer: Callable[[], Any]) -> None:
        """What it answers once it is let go; an exception if that is raised."""
        ends = self.ends.setdefault(name, asyncio.Event())

        async def act() -> Any:
            await ends.wait()
            answered = answer()
            return await answered if isinstance(answered, Awaitable) else answered

        self.world.wrong[f"validation.{name}"] = act

    def let_go(self, *names: str) -> None:
        for name in names or GROUP:
            self.ends[name].set()

    def begun(self, name: str) -> int:
        return self.world.done.count(f"validation.{name}")

    async def both_begun(self, first: str, second: str) -> None:
        await self.until(lambda: self.begun(first) > 0 and self.begun(second) > 0)

    async def steps(self) -> list[tuple[type[facts.Event], str]]:
        """Begun and ended, of those that run side by side."""
        group = {step_of(name): name for name in GROUP}
        return [(type(event), group[event.step]) for event in await self.events() if getattr(event, "step", "") in group]


def failing(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


async def test_as_many_run_as_the_plan_says_and_the_next_begins_in_the_place_of_the_one_that_ended() -> None:
    night = SideBySide()
    daemon = asyncio.create_task(night.daemon())
    await night.both_begun(SCRIPT, FIRST)
    assert await night.steps() == [(STARTED, SCRIPT), (STARTED, FIRST)]
    assert night.begun(SECOND) == 0
    night.let_go(FIRST)
    await night.until(lambda: night.begun(SECOND) == 1)
    assert (await night.steps())[2:] == [(SUCCEEDED, FIRST), (STARTED, SECOND)]
    assert not night.begun("time_query.overview"), "a query is timed alone"
    night.let_go()
    assert await daemon is Stopped.OVER
    assert night.log.run.state == "completed"
    assert Counter(await night.steps()) == Counter((kind, name) for kind in (STARTED, SUCCEEDED) for name in GROUP)


@pytest.mark.parametrize("jobs", [1, 3, 8])
async def test_no_more_run_than_the_plan_says_nor_than_there_are(jobs: int) -> None:
    night = SideBySide(jobs)
    daemon = asyncio.create_task(night.daemon())
    await night.until(lambda: sum(map(night.begun, GROUP)) == min(jobs, len(GROUP)))
    await asyncio.sleep(0.02)
    assert [night.begun(name) for name in GROUP] == [int(n < jobs) for n in range(len(GROUP))]
    night.let_go()
    assert await daemon is Stopped.OVER


async def test_a_check_that_fails_stops_nothing_that_runs_beside_it_and_one_event_names_all() -> None:
    night = SideBySide()
    night.answer(FIRST, failing(CheckFailed("3 rows differ", hint="of the second")))
    night.answer(SCRIPT, failing(CheckFailed("the sum differs", hint="of the first")))
    daemon = asyncio.create_task(night.daemon())
    await night.both_begun(SCRIPT, FIRST)
    night.let_go(FIRST)
    await night.until(lambda: night.begun(SECOND) == 1)
    assert (await night.steps())[2:] == [(FAILED, FIRST), (STARTED, SECOND)]
    night.let_go()
    assert await daemon is Stopped.OVER
    assert night.log.run.state == "rolledback"
    [failed] = [event for event in await night.events() if isinstance(event, facts.ValidationFailed)]
    assert [each.step for each in failed.failures] == [step_of(SCRIPT), step_of(FIRST)]
    assert failed.not_checked == ["validate.time_query:overview"]


@pytest.mark.parametrize(
    ("verb", "fields", "end"),
    [
        ("rollback", {"reason": "errors"}, Stopped.OVER),
        ("fail", {"reason": "a person counted"}, Stopped.OVER),
        ("hold", {"now": True, "reason": "wait"}, Stopped.NEEDS_A_PERSON),
    ],
)
async def test_what_turns_the_run_ends_all_of_them_and_each_is_said_to_be_interrupted(
    verb: str, fields: Any, end: Stopped
) -> None:
    night = SideBySide()
    daemon = asyncio.create_task(night.daemon())
    await night.both_begun(SCRIPT, FIRST)
    await night.say(verb, **fields)
    assert await daemon is end
    assert (await night.steps())[2:] == [(INTERRUPTED, SCRIPT), (INTERRUPTED, FIRST)]
    reasons = {event.reason for event in await night.events() if isinstance(event, INTERRUPTED)}
    assert len(reasons) == 1
    if verb != "hold":
        assert night.log.run.state == "rolledback"
        return
    night.let_go()
    await night.say("resume")
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "completed"
    assert [night.begun(name) for name in GROUP] == [2, 2, 1, 1]


async def test_hold_lets_what_runs_end_and_begins_no_other() -> None:
    night = SideBySide()
    daemon = asyncio.create_task(night.daemon())
    await night.both_begun(SCRIPT, FIRST)
    await night.say("hold", reason="wait")
    await night.until(lambda: night.log.run.held is not None)
    night.let_go(FIRST)
    await night.until(lambda: night.types()[-1] == "step_succeeded")
    assert not daemon.done(), "the other still runs"
    night.let_go(SCRIPT)
    assert await daemon is Stopped.NEEDS_A_PERSON
    assert [night.begun(name) for name in GROUP] == [1, 1, 0, 0]


async def test_a_hold_that_is_over_while_one_still_runs_fills_the_other_place_at_once() -> None:
    night = SideBySide()
    daemon = asyncio.create_task(night.daemon())
    await night.both_begun(SCRIPT, FIRST)
    await night.say("hold", reason="wait")
    await night.until(lambda: night.log.run.held is not None)
    night.let_go(FIRST)
    await night.until(lambda: night.types()[-1] == "step_succeeded")
    await night.say("resume")
    await night.until(lambda: night.begun(SECOND) == 1)
    assert night.begun(SCRIPT) == 1
    night.let_go()
    assert await daemon is Stopped.OVER


async def test_the_time_of_collecting_ends_all_that_still_run() -> None:
    night = SideBySide()
    night.answer(SCRIPT, failing(CheckFailed("the sum differs")))
    night.let_go(SCRIPT)
    assert await night.daemon(collect_seconds=0.1) is Stopped.OVER
    assert (await night.steps())[-2:] == [(INTERRUPTED, FIRST), (INTERRUPTED, SECOND)]
    [failed] = [event for event in await night.events() if isinstance(event, facts.ValidationFailed)]
    assert failed.not_checked[:3] == [step_of(name) for name in (FIRST, SECOND, THIRD)]
    assert failed.failed == 1


async def test_an_outcome_that_nobody_saw_is_asked_again_and_what_runs_beside_it_goes_on() -> None:
    night, lost = SideBySide(), [OutcomeUnknown("the server is gone")]
    night.answer(SCRIPT, lambda: failing(lost.pop())() if lost else {})
    daemon = asyncio.create_task(night.daemon())
    await night.both_begun(SCRIPT, FIRST)
    night.let_go(SCRIPT)
    await night.until(lambda: night.begun(SECOND) == 1)
    assert [night.begun(name) for name in GROUP] == [2, 1, 1, 0]
    night.let_go()
    assert await daemon is Stopped.OVER
    assert night.log.run.state == "completed"
    assert [name for kind, name in await night.steps() if kind is INTERRUPTED] == [SCRIPT]


async def test_an_outcome_that_stays_unknown_ends_what_runs_beside_it_and_turns_the_run_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found: it was collected as a failure is, and the others were asked of a server that had been lost six times."""
    monkeypatch.setattr("cutoverd.daemon.engine.step_executor.SLOWEST_RETRY_SECONDS", 0.0)
    night = SideBySide()
    night.answer(SCRIPT, failing(OutcomeUnknown("the server is gone")))
    night.let_go(SCRIPT)
    async with asyncio.timeout(20):
        assert await night.daemon() is Stopped.OVER
    assert (await night.steps())[-2:] == [(FAILED, SCRIPT), (INTERRUPTED, FIRST)]
    events = await night.events()
    [cut] = [event for event in events if isinstance(event, INTERRUPTED) and event.step == step_of(FIRST)]
    assert cut.reason.endswith(f"what became of {step_of(SCRIPT)} is not known")
    [failed] = [event for event in events if isinstance(event, facts.ValidationFailed)]
    assert [each.step for each in failed.failures] == [step_of(SCRIPT)]
    assert failed.not_checked[:3] == [step_of(name) for name in (FIRST, SECOND, THIRD)]
    assert night.log.run.state == "rolledback"


async def test_the_time_out_of_one_is_none_of_the_other() -> None:
    night = SideBySide()
    daemon = asyncio.create_task(night.daemon(step_seconds=0.5))
    await night.both_begun(SCRIPT, FIRST)
    night.let_go(FIRST, SECOND, THIRD)
    assert await daemon is Stopped.OVER
    [failed] = [event for event in await night.events() if isinstance(event, FAILED)]
    assert (failed.step, failed.error) == (step_of(SCRIPT), "TimedOut")
    assert {name for kind, name in await night.steps() if kind is SUCCEEDED} == {FIRST, SECOND, THIRD}


async def test_a_daemon_that_leads_no_more_ends_all_and_records_nothing_after_it() -> None:
    night = SideBySide()
    daemon = asyncio.create_task(night.daemon())
    await night.both_begun(SCRIPT, FIRST)
    before = len(await night.events())
    night.inbox.put_nowait(NotLeader("another daemon has taken run night (epoch 2)"))
    with pytest.raises(NotLeader, match="epoch 2"):
        await daemon
    assert len(await night.events()) == before
    assert still_running() == []


async def test_one_that_learns_that_another_daemon_leads_ends_the_other_too() -> None:
    night = SideBySide()
    night.answer(SCRIPT, failing(NotLeader("epoch 1 of run night may not act")))
    daemon = asyncio.create_task(night.daemon())
    await night.both_begun(SCRIPT, FIRST)
    night.let_go(SCRIPT)
    with pytest.raises(NotLeader):
        await daemon
    assert still_running() == []
    assert (await night.steps())[2:] == []


def still_running() -> list[str]:
    """Coroutines of steps that nobody has ended."""
    return [name for task in asyncio.all_tasks() if "attempt" in (name := getattr(task.get_coro(), "__qualname__", ""))]


async def test_a_conflict_beside_a_check_that_runs_ends_it_and_all_that_have_no_outcome_are_taken_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    night = SideBySide()
    daemon = asyncio.create_task(night.daemon())
    await night.both_begun(SCRIPT, FIRST)
    append, refused = night.log._journal.append, []

    async def rival_was_there(id: str, body: bytes) -> int:
        if not refused:
            refused.append(id)
            raise Conflict("another daemon has appended")
        return await append(id, body)

    monkeypatch.setattr(night.log._journal, "append", rival_was_there)
    night.let_go(SCRIPT)
    await night.until(lambda: night.begun(FIRST) == 2)
    night.let_go()
    assert await daemon is Stopped.OVER
    assert night.log.run.state == "completed"
    assert [night.begun(name) for name in GROUP] == [2, 2, 1, 1]


async def test_what_one_reports_is_not_taken_for_the_others_progress() -> None:
    night, reporter = SideBySide(), ProgressReporter()
    reporter.collect_from_here()

    def reporting(name: str) -> Callable[[], Any]:
        async def act() -> dict[str, Any]:
            await asyncio.gather(asyncio.create_task(report(name)))
            await asyncio.sleep(3600)
            return {}

        return act

    async def report(name: str) -> None:
        report_progress(f"reading {name}")

    for name in (SCRIPT, FIRST):
        night.answer(name, reporting(name))
    night.let_go()
    daemon = asyncio.create_task(night.daemon())
    await night.until(lambda: all(reporter.of(step_of(name)).doing for name in (SCRIPT, FIRST)))
    assert [reporter.of(step_of(name)) for name in (SCRIPT, FIRST)] == [
        ProgressReading(f"reading {name}") for name in (SCRIPT, FIRST)
    ]
    await end(daemon)
    assert still_running() == [], "a daemon that is stopped leaves none of them behind"


async def end(daemon: asyncio.Task[Any]) -> None:
    daemon.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await daemon


class Unlucky(SideBySide):
    """Each check takes a while of its own and ends as luck has it; nothing is let go by hand."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance.randint(1, 4))
        self.chance, self.wrong = chance, {name for name in GROUP if chance.random() < 0.15}
        for name in GROUP:
            self.answer(name, self._by_chance(name))
        self.let_go()

    def _by_chance(self, name: str) -> Callable[[], Any]:
        async def act() -> dict[str, Any]:
            for _ in range(self.chance.randint(0, 4)):
                await asyncio.sleep(0)
            if self.chance.random() < 0.15:
                raise OutcomeUnknown("the server is gone")
            if name in self.wrong:
                raise CheckFailed("no")
            return {}

        return act


@pytest.mark.parametrize("seed", range(40))
async def test_in_whatever_order_they_end_and_wherever_the_daemon_dies_each_is_judged_once(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead after any message, twice: the next daemon takes those again that have no outcome, and no other."""
    monkeypatch.setattr("cutoverd.daemon.engine.step_executor.SLOWEST_RETRY_SECONDS", 0.0)
    night = Unlucky(random.Random(seed))
    for _ in range(2):
        await dead_after(night, night.chance.randint(55, 90))
    if not night.log.run.is_over:
        assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == ("rolledback" if night.wrong else "completed")
    steps = await night.steps()
    judged = Counter(name for kind, name in steps if kind in (SUCCEEDED, FAILED))
    assert judged == Counter(GROUP)
    assert {name for kind, name in steps if kind is FAILED} == night.wrong
    assert most_at_once(await night.events()) <= night.jobs


async def dead_after(night: Night, messages: int) -> None:
    daemon = asyncio.create_task(night.daemon())
    with contextlib.suppress(asyncio.CancelledError):
        while len(night.stream.messages) < messages and not daemon.done():
            await asyncio.sleep(0)
        daemon.cancel()
        await daemon


def most_at_once(events: list[facts.Event]) -> int:
    """Under way at the same time; what a dead daemon had begun is not."""
    under_way, most = set[str](), 0
    for event in events:
        match event:
            case facts.LeaderAcquired():
                under_way.clear()
            case facts.StepStarted():
                assert event.step not in under_way, f"{event!r} twice"
                under_way.add(event.step)
            case facts.StepSucceeded() | facts.StepFailed() | facts.StepInterrupted():
                assert event.step in under_way, f"{event!r} of what did not run"
                under_way.discard(event.step)
        most = max(most, len(under_way))
    return most
