"""Two daemons of one run, in memory: what one appends is a conflict to the other, and a takeover is not a failure."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from fakes.recording_ports import Night

from cutoverd.daemon.bus.memory import MemoryJournal
from cutoverd.daemon.engine.errors import Conflict
from cutoverd.daemon.engine.loop import Stopped
from cutoverd.daemon.engine.run_log import MOST_CONFLICTS, RunLog
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.runtime import leadership
from cutoverd.daemon.runtime.leadership import watch_for_newer
from cutoverd.events import facts
from cutoverd.states.errors import CheckFailed, NotLeader, OutcomeUnknown


def taken_by_another(night: Night) -> None:
    raise NotLeader("another daemon has taken run night (epoch 2)")


def failing(error: Exception) -> Any:
    def fail() -> None:
        raise error

    return fail


async def rival(night: Night, epoch: int) -> RunLog:
    """Another daemon's view of the journal, up to its end."""
    log = RunLog("night", night.stream.journal("cutover.evt.night"))
    await log.replay()
    log.epoch = epoch
    return log


async def acquire(log: RunLog) -> None:
    await log.append(facts.LeaderAcquired(epoch=log.epoch, host="there", pid=2))


async def test_what_an_older_daemon_recorded_meanwhile_is_read_and_the_run_goes_on() -> None:
    night = Night()

    async def older_appends() -> dict[str, Any]:
        del night.world.wrong["scripts.apply_schema"]
        older = await rival(night, 0)
        await older.append(facts.NoteTaken(by=None, text="late"))
        return {}

    night.world.wrong["scripts.apply_schema"] = older_appends
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "completed"
    assert [event.text for event in await night.events() if isinstance(event, facts.NoteTaken)][:1] == ["late"]


async def test_a_step_whose_outcome_always_comes_too_late_is_not_taken_for_ever() -> None:
    night = Night()

    async def older_appends() -> dict[str, Any]:
        await (await rival(night, 0)).append(facts.NoteTaken(by=None, text="late"))
        return {}

    night.world.wrong["scripts.apply_schema"] = older_appends
    with pytest.raises(Conflict):
        await night.daemon()


async def test_an_older_daemon_that_finds_a_newer_one_in_the_journal_stops() -> None:
    night = Night()

    async def newer_leads() -> dict[str, Any]:
        await acquire(await rival(night, 2))
        return {}

    night.world.wrong["scripts.apply_schema"] = newer_leads
    with pytest.raises(NotLeader, match=r"another daemon has taken run night \(epoch 2\)"):
        await night.daemon()
    assert isinstance((await night.events())[-1], facts.LeaderAcquired), "and it records nothing after it"


async def test_what_a_takeover_ends_is_not_recorded_as_a_failed_step() -> None:
    night = Night()

    def ended() -> None:
        night.leads = lambda: taken_by_another(night)  # type: ignore[assignment,return-value]
        raise CheckFailed("psql was ended by a signal")

    night.world.wrong["scripts.apply_schema"] = ended
    with pytest.raises(NotLeader):
        await night.daemon()
    assert isinstance((await night.events())[-1], facts.StepStarted)


async def test_found_the_error_of_a_step_that_a_takeover_ended_was_fetched_by_nobody() -> None:
    """And asyncio wrote a traceback of it into what the daemon prints."""
    night, unfetched = Night(), list[str]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unfetched.append(context["message"]))

    async def ended() -> dict[str, Any]:
        night.inbox.put_nowait(NotLeader("another daemon has taken run night (epoch 2)"))
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise NotLeader("epoch 1 of run night may not act") from None
        return {}

    night.world.wrong["scripts.apply_schema"] = ended
    with pytest.raises(NotLeader, match="epoch 2"):
        await night.daemon()
    gc.collect()
    assert unfetched == []


async def test_a_failure_while_nobody_can_say_who_leads_is_an_outcome_that_nobody_saw() -> None:
    night = Night()

    def ended() -> None:
        night.leads = lambda: False
        del night.world.wrong["scripts.apply_schema"]
        raise CheckFailed("psql was ended by a signal")

    night.world.wrong["scripts.apply_schema"] = ended
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "completed"
    [interrupted] = [event for event in await night.events() if isinstance(event, facts.StepInterrupted)]
    assert "psql was ended by a signal; whether another daemon has taken the run could not be asked" in interrupted.reason


async def test_a_stale_daemon_begins_nothing_outside_the_ledger() -> None:
    night = Night()

    def fence() -> dict[str, Any]:
        night.leads = lambda: taken_by_another(night)  # type: ignore[assignment,return-value]
        return {}

    night.world.wrong["traffic.close.door"] = fence
    with pytest.raises(NotLeader):
        await night.daemon()
    assert "services.stop.worker.old" not in night.world.done


async def test_a_daemon_that_only_waits_hears_that_a_newer_one_leads() -> None:
    night = Night()
    daemon = asyncio.create_task(night.daemon(auto=False))
    await night.until(lambda: night.log.run.gate is not None)
    watching = asyncio.create_task(watch_for_newer(night.stream.journal("cutover.evt.night"), night.log, night.inbox))
    await acquire(await rival(night, 2))
    with pytest.raises(NotLeader):
        await asyncio.wait_for(daemon, 5)
    await watching


async def test_a_message_that_is_no_event_does_not_blind_who_watches_for_a_newer_daemon() -> None:
    night = Night()
    log = await rival(night, 1)
    await acquire(log)
    watching = asyncio.create_task(watch_for_newer(night.stream.journal("cutover.evt.night"), log, night.inbox))
    await night.stream.store("cutover.evt.night", "", b"\xff{")
    await acquire(await rival(night, 2))
    await asyncio.wait_for(watching, 5)
    assert isinstance(night.inbox.get_nowait(), NotLeader)


async def test_a_newer_daemon_says_that_it_leads_after_what_the_older_one_recorded() -> None:
    night = Night()
    older, newer = await rival(night, 1), await rival(night, 2)
    await acquire(older)
    await older.append(facts.NoteTaken(by=None, text="late"))
    await leadership._append_after_older_daemon(newer, facts.LeaderAcquired(epoch=2, host="here", pid=1))
    assert newer.run.epoch == 2
    with pytest.raises(Conflict):
        await older.append(facts.NoteTaken(by=None, text="later"))


async def test_of_two_newer_daemons_the_one_of_the_higher_epoch_leads() -> None:
    night = Night()
    second, third = await rival(night, 2), await rival(night, 3)
    await acquire(third)
    with pytest.raises(NotLeader, match="epoch 3"):
        await leadership._append_after_older_daemon(second, facts.LeaderAcquired(epoch=2, host="here", pid=1))


async def test_conflicts_without_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night()
    tries = 0

    async def conflict(self: MemoryJournal, id: str, body: bytes) -> int:
        nonlocal tries
        tries += 1
        raise Conflict("cutover.evt.night ends elsewhere")

    log = await rival(night, 2)
    monkeypatch.setattr(MemoryJournal, "append", conflict)
    with pytest.raises(Conflict):
        await leadership._append_after_older_daemon(log, facts.LeaderAcquired(epoch=2, host="here", pid=1))
    assert tries == MOST_CONFLICTS + 1


async def test_what_was_observed_before_a_conflict_is_not_observed_again() -> None:
    night = Night()
    observed: list[int] = []
    await acquire(await rival(night, 1))
    log = RunLog(
        "night", night.stream.journal("cutover.evt.night"), observers=[lambda run, recorded: observed.append(recorded.seq)]
    )
    await log.replay()
    log.epoch = 1
    await log.catch_up(Conflict("elsewhere"))
    assert observed == [1]


@pytest.mark.parametrize("at", ["_end_orphans", "ledger.acquire_fence", "check_not_taken_back"])
async def test_a_session_that_a_newer_daemon_ends_in_a_takeover_is_no_error(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: it met the last of the three, and the older daemon ended by exit code 1: "the connection was lost"."""

    async def goes_well(server: Server) -> list[str]:
        return []

    async def is_ended(server: Server) -> list[str]:
        raise OutcomeUnknown("the connection was lost: terminating connection due to administrator command")

    async def newest(server: Server) -> int:
        return 3

    for name in ("_end_orphans", "ledger.acquire_fence", "check_not_taken_back"):
        monkeypatch.setattr(f"cutoverd.daemon.runtime.leadership.{name}", is_ended if name == at else goes_well)
    monkeypatch.setattr(leadership.claims, "newest", newest)
    with pytest.raises(NotLeader, match="epoch 3"):
        await leadership._acquire(await rival(Night(), 2), Server("postgresql://nowhere/there", "night", 2, tmp_path))
