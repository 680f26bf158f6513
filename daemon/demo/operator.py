"""The operators of the demonstration: they look at what the run says, and command it over the bus as anybody would."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NoReturn

import psycopg

from cutoverd.daemon.control import send
from cutoverd.daemon.demo.environment import Break, Stage
from cutoverd.daemon.host.polling import Polling
from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.events.commands import Command, Verb
from cutoverd.states.monitor import Monitor
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run
from cutoverd.states.validate import Validate

NAME = "demo"
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.1
LAST_FINDING = str(PreCheck.make_placeholder)
WORSE = "the new version does not do what it should"
OperatorCommand = tuple[str, Command]  # by whom


class Operator:
    """An observer of the run log that says what a person would have to say, and breaks what is to be broken."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._events: asyncio.Queue[tuple[Run, facts.Event]] = asyncio.Queue()

    def __call__(self, run: Run, recorded: Recorded) -> None:
        self._events.put_nowait((run, recorded.event))

    async def work(self) -> NoReturn:
        """Until cancelled; raises RuntimeError if the run does not take what is said."""
        while True:
            run, event = await self._events.get()
            await self._break(event)
            for by, command in self._answers(run, event):
                receipt = await send.send(self._stage.loaded, command, by, WAIT_SECONDS)
                if receipt.answer is None or receipt.is_refused:
                    raise RuntimeError(f"{by}'s `{command.verb}` was not taken: {receipt.answer and receipt.answer.event}")

    def _answers(self, run: Run, event: facts.Event) -> Iterator[OperatorCommand]:
        name = run.name
        match event:
            case facts.StepSucceeded(step=step) if step == LAST_FINDING:
                yield from ((by, Command(verb=Verb.READY, run=name)) for by in self._stage.loaded.plan.operators)
            case facts.GateReached():
                yield NAME, Command(verb=Verb.ADVANCE, run=name)
            case facts.StepFailed() | facts.ValidationFailed() if run.state == PreCheck.name and run.failure:
                yield NAME, Command(verb=Verb.ABORT, run=name, reason="PreCheck found something")
            case facts.RunHeld() if run.state == Monitor.name:
                yield NAME, Command(verb=Verb.ROLLBACK, run=name, accept_loss=True, reason=WORSE)

    async def _break(self, event: facts.Event) -> None:
        match event, self._stage.broken:
            case facts.GateReached(gate=Validate.name), Break.VALIDATE:
                await asyncio.to_thread(self._run_sql, f"{self._stage.example.database}_next", "validate.sql")
            case facts.Transitioned(target=Monitor.name), Break.MONITOR:
                await self._until_clients_have_written()
                await asyncio.to_thread(self._run_sql, self._stage.example.database, "monitor.sql")

    async def _until_clients_have_written(self) -> None:
        """So that the way back gives something up."""
        acknowledged, polling = self._stage.acknowledged, Polling(WAIT_SECONDS, pause_seconds=POLL_SECONDS)
        before = acknowledged.stat().st_size if acknowledged.exists() else None
        while before is not None and acknowledged.stat().st_size == before and not polling.is_over:
            await polling.pause()

    def _run_sql(self, database: str, file: str) -> None:
        """By plain SQL, on a connection that the daemon knows nothing of."""
        with psycopg.connect(self._stage.postgres.url(database)) as connection:
            connection.execute((self._stage.home / "break" / file).read_bytes())
