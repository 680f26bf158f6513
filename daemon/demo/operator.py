"""The operator of the demonstration: looks at what the run says, and commands it over the bus as anybody would."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import psycopg

from cutoverd.daemon import desk
from cutoverd.daemon.demo.stage import Break, Stage
from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.events.commands import Command, Verb
from cutoverd.states.run import Run

NAME = "demo"
WAIT_SECONDS = 60.0


class Operator:
    """An observer of the run log that says `advance` at each gate, and breaks what is to be broken."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._gates: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, run: Run, recorded: Recorded) -> None:
        if isinstance(recorded.event, facts.GateReached):
            self._gates.put_nowait(recorded.event.gate)

    async def work(self) -> NoReturn:
        """Until cancelled; raises RuntimeError if a gate cannot be passed."""
        while True:
            gate = await self._gates.get()
            if gate == "validate" and self._stage.broken is Break.VALIDATE:
                await asyncio.to_thread(self._corrupt)
            command = Command(verb=Verb.ADVANCE, run=self._stage.loaded.plan.run)
            receipt = await desk.send(self._stage.loaded, command, NAME, WAIT_SECONDS)
            if receipt.answer is None or not isinstance(receipt.answer.event, facts.GatePassed):
                raise RuntimeError(f"the gate before {gate} was not passed: {receipt.answer and receipt.answer.event}")

    def _corrupt(self) -> None:
        """By plain SQL, on a connection that the daemon knows nothing of; no count changes."""
        new = f"{self._stage.example.database}_next"
        with psycopg.connect(self._stage.postgres.url(new)) as connection:
            connection.execute((self._stage.home / "break" / "validate.sql").read_bytes())
