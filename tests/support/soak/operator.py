"""Who speaks while a run is disturbed: at random what comes to mind, and what leads on where the run waits for a word."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from support.servers import in_a_loop_of_its_own
from support.soak.fleet import Fleet
from support.soak.watch import Watch

from cutoverd.daemon.bus.commands import CommandStream
from cutoverd.daemon.bus.connection import connect
from cutoverd.daemon.bus.errors import Unreachable
from cutoverd.daemon.embedded import nats
from cutoverd.daemon.embedded.errors import DidNotStart
from cutoverd.daemon.engine.errors import Unavailable
from cutoverd.events.commands import Command, Verb, encode
from cutoverd.states.next_action import awaited_operator

WORDS: dict[str, dict[str, Any]] = {
    "advance": {},
    "hold": {},
    "hold --now": {"now": True},
    "resume": {},
    "retry": {},
    "fail": {"reason": "seen outside"},
    "rollback": {},
    "rollback --accept-loss": {"accept_loss": True, "reason": "a soak"},
    "abort": {},
    "ready": {},
    "note": {"reason": "a note"},
}
PUBLISH_SECONDS = 4.0
AGAIN_SECONDS = 3.0  # a word that did not help is sent again
MOST_WORDS = 6  # where the run waits for the same again and again; then another word


@dataclass(frozen=True)
class SentCommand:
    """A command that the stream acknowledged."""

    word: str
    seq: int
    at: float  # seconds since the epoch


@dataclass
class Operator:
    fleet: Fleet
    watch: Watch
    patience_seconds: float
    sent: list[SentCommand] = field(default_factory=list)
    helped: Counter[str] = field(default_factory=Counter)  # how often a word was sent to a wait of that kind
    _waits: object = None
    _since: float = 0.0

    def say(self, word: str) -> None:
        """Nothing is sent to a server that stands still; what was not acknowledged is not counted."""
        self.fleet.wait_for_servers("nats")
        command = Command(verb=Verb(word.partition(" ")[0]), id=uuid4().hex, run=self.fleet.night.run, **WORDS[word])
        if seq := in_a_loop_of_its_own(_publish(self.fleet, command)):
            self.sent.append(SentCommand(word, seq, time.time()))

    def attend(self) -> None:
        """Where the run has waited for a person long enough, the word that leads on."""
        run = self.watch.run
        if (waiting := awaited_operator(run)) is None:
            self._waits = None
            return
        waits = (run.state, run.held, run.failure, waiting.gate)
        if waits != self._waits:
            self._waits, self._since = waits, time.monotonic() + self.patience_seconds
        if time.monotonic() >= self._since:
            self._since = time.monotonic() + AGAIN_SECONDS
            self.say(self._word())

    def _word(self) -> str:
        """`resume` and `retry` first; where they did not help, what ends the run."""
        run = self.watch.run
        kind = "retry" if run.is_stuck else "resume" if run.held else "retry" if run.failed_in_place else "advance"
        self.helped[f"{kind} {run.state}"] += 1
        if kind == "advance" or self.helped[f"{kind} {run.state}"] <= MOST_WORDS or run.is_stuck or run.state == "rollback":
            return kind
        return "abort" if run.state == "precheck" and not run.aborting else "rollback --accept-loss"


async def _publish(fleet: Fleet, command: Command) -> int:
    """The sequence; 0 if nobody acknowledged it."""
    try:
        server = await nats.ensure(fleet.night.state_dir / "nats")
        client = await connect(server.url, user=server.user, password=server.password)
    except (DidNotStart, Unreachable):  # the first: whoever ends it at the run's end ends what is started meanwhile, too
        return 0
    try:
        return await CommandStream(client, budget_seconds=PUBLISH_SECONDS).publish(encode(command), id=command.id)
    except Unavailable:
        return 0
    finally:
        await client.close()
