"""Commands of operators: kept by the stream while no daemon runs, read in the stream's order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import nats.errors
from nats.js import errors as js_errors

from cutoverd.daemon.bus.connection import DOUBT, REQUEST_SECONDS, Client
from cutoverd.daemon.bus.reader import read
from cutoverd.daemon.bus.retry import RetryBudget
from cutoverd.daemon.bus.room import is_full
from cutoverd.daemon.engine.errors import ServerRefused
from cutoverd.daemon.engine.message import Message
from cutoverd.daemon.host.cancellation import deadline
from cutoverd.events.subjects import COMMANDS, STREAM, commands_of

PUBLISH_SECONDS = 10.0
FULL_HINT = (
    f"stream {STREAM} is full, and no daemon has raised its limit: see `journal_waits` in the daemon's log, or have an"
    f" administrator say `nats stream edit {STREAM} --max-bytes=…`; then say it again"
)


class CommandStream:
    """`cutover.cmd`, which all may use, and `cutover.cmd.<operator>`, whose sender is known."""

    def __init__(self, client: Client, *, budget_seconds: float = PUBLISH_SECONDS) -> None:
        self._client = client
        self._budget_seconds = budget_seconds

    async def read(self, start: int) -> AsyncGenerator[Message, None]:
        """Commands from stream sequence `start` on, in stream order, each once, for ever."""
        async with aclosing(read(self._client, [COMMANDS, f"{COMMANDS}.*"], start)) as messages:
            async for message in messages:
                yield message

    async def publish(self, body: bytes, *, operator: str | None = None, id: str) -> int:
        """Store a command; its stream sequence.

        Sent again with the same id until the server answers: the stream keeps the first and gives its sequence for 24 h.
        Raises `ServerRefused`, and `Unavailable` after 10 s.
        """
        subject = commands_of(operator)
        budget = RetryBudget(f"command to {subject}", self._budget_seconds)
        while True:
            try:
                async with deadline(2 * REQUEST_SECONDS):
                    ack = await self._client.js.publish(
                        subject, body, timeout=REQUEST_SECONDS, headers={"Nats-Msg-Id": id, "Nats-Expected-Stream": STREAM}
                    )
                return ack.seq
            except (js_errors.BadRequestError, nats.errors.MaxPayloadError) as error:
                raise ServerRefused(f"{subject}: {error}") from error
            except DOUBT as error:
                self._check_permitted(subject, budget.started)
                budget.last_reason = self._client.explain(error, budget.started)
                budget.hint = FULL_HINT if is_full(error) else ""
            await budget.pause()

    def _check_permitted(self, subject: str, since: float) -> None:
        forbidden = self._client.forbidden(subject, since)
        if forbidden:
            raise ServerRefused(f"{subject}: {forbidden}", hint="this NATS user may not command on that subject; use its own")
