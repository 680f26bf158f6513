"""Found: who mended a file that PreCheck had refused got no daemon any more, and so no `abort`, and no other run either."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes.recording_ports import World
from unit.plan.test_freeze import plan_of

from cutoverd.daemon.bus.memory import MemoryStream
from cutoverd.daemon.engine.inbox import InboxItem
from cutoverd.daemon.engine.loop import RunLoop, Stopped
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.plan.freeze import PlanChanged
from cutoverd.daemon.plan.load import load
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.runtime import leadership
from cutoverd.events import facts
from cutoverd.events.codec import decode
from cutoverd.events.commands import Command
from cutoverd.states.run import Run

URL = "postgresql://cutover@127.0.0.1/app"
REFUSED = "run night-1 began with other contents of: data/1.sql: `abort` it, then start a run with a name of its own"


class Runs:
    """Daemons that take one run one after the other; the server has seen the epoch that the last of them had."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.stream, self.world = folder, MemoryStream(), World()
        self.inbox: asyncio.Queue[InboxItem] = asyncio.Queue()
        plan_of(folder, 1)
        self.epoch_there: int | None = None
        self.log = self._log()
        monkeypatch.setattr(leadership.ledger, "current_epoch", self._epoch)
        monkeypatch.setattr(leadership.claims, "claim", self._claim)
        monkeypatch.setattr(leadership, "_end_orphans", self._no_orphans)
        monkeypatch.setattr(leadership.ledger, "acquire_fence", self._no_orphans)
        monkeypatch.setattr(leadership, "check_not_taken_back", self._no_orphans)
        monkeypatch.setattr(leadership, "find_behind", self._not_behind)

    def _log(self) -> RunLog:
        return RunLog("night-1", self.stream.journal("cutover.evt.night-1"))

    async def _epoch(self, server: Server) -> int:
        return self.log.run.epoch if self.epoch_there is None else self.epoch_there

    async def _claim(self, server: Server, above: int) -> int:
        return above + 1

    async def _not_behind(self, server: Server, run: Run, epoch_there: int) -> str:
        return ""

    async def _no_orphans(self, server: Server) -> list[str]:
        return []

    async def taken(self, url: str = URL) -> RunLog:
        """Led by another daemon, that loads the plan anew."""
        self.log = self._log()
        await leadership.take_over(load(self.folder / "plan.yaml"), self.log, Server(url, "night-1", 0, self.folder))
        return self.log

    async def driven(self) -> Stopped:
        return await RunLoop(self.log, self.world.ports(), self.inbox, step_seconds=5, auto=True).drive()

    async def say(self, verb: str) -> None:
        seq = await self.stream.store("cutover.cmd", "", b"")
        self.inbox.put_nowait(Command(verb=verb, seq=seq, sent_at=datetime.now(UTC)))

    def events(self) -> list[facts.Event]:
        return [decode(m.data).event for m in self.stream.messages if m.subject.startswith("cutover.evt")]

    def mend(self) -> None:
        (self.folder / "data/1.sql").write_text("SELECT 2;\n")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(tmp_path, monkeypatch)


async def test_a_daemon_that_finds_a_file_changed_in_precheck_takes_no_step_and_says_that_abort_is_left(runs: Runs) -> None:
    await runs.taken()
    runs.mend()
    await runs.taken()
    assert await runs.driven() is Stopped.NEEDS_A_PERSON
    assert runs.log.run.failure is not None
    assert runs.log.run.failure.reason.startswith(REFUSED)
    assert runs.world.done == []
    assert not [event for event in runs.events() if isinstance(event, facts.StepStarted)]


async def test_an_abort_that_was_said_before_a_daemon_came_ends_a_run_whose_file_was_changed(runs: Runs) -> None:
    await runs.taken()
    runs.mend()
    await runs.say("abort")
    await runs.taken()
    assert await runs.driven() is Stopped.OVER
    assert runs.log.run.state == "aborted"


async def test_what_was_changed_is_told_once_however_often_a_daemon_comes(runs: Runs) -> None:
    await runs.taken()
    runs.mend()
    for _ in range(3):
        await runs.taken()
    [failure] = [event for event in runs.events() if isinstance(event, facts.FailureReported)]
    assert failure.by == facts.DAEMON


async def test_an_abort_under_way_is_gone_on_with_whatever_was_changed(runs: Runs) -> None:
    await (await runs.taken()).append(facts.AbortRequested(by="alice"))
    runs.mend()
    await runs.taken()
    assert await runs.driven() is Stopped.OVER
    assert runs.log.run.state == "aborted"
    assert not [event for event in runs.events() if isinstance(event, facts.FailureReported)]


@pytest.mark.parametrize(
    ("url", "epoch_there", "where"),
    [("postgresql://cutover@127.0.0.1/other", 1, "database app"), (URL, 0, "another server")],
    ids=["another database", "another server"],
)
async def test_a_changed_plan_that_names_another_database_is_refused_for_abort_would_not_find_what_the_run_made(
    runs: Runs, url: str, epoch_there: int, where: str
) -> None:
    await runs.taken()
    runs.epoch_there = epoch_there
    (runs.folder / "plan.yaml").write_text((runs.folder / "plan.yaml").read_text() + "# a word\n")
    with pytest.raises(PlanChanged, match=rf"plan\.yaml; and it began on {where}, which database\.url does not name"):
        await runs.taken(url=url)


async def test_a_changed_file_is_refused_once_production_was_touched(runs: Runs) -> None:
    log = await runs.taken()
    await log.append(facts.Transitioned(source="precheck", target="downtime", trigger="proceed"))
    runs.mend()
    with pytest.raises(PlanChanged, match=r"began with other contents of: data/1\.sql$") as refused:
        await runs.taken()
    assert "put back what was there" in refused.value.hint
