"""The stream is made anew, so that it begins beyond every sequence that was ever seen, and messages are put back into it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import aclosing
from uuid import uuid4

from cutoverd.daemon.bus import stream, stream_api
from cutoverd.daemon.bus.connection import DOUBT, Client
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.engine.errors import Conflict, ServerRefused, Unavailable
from cutoverd.events.mac import JournalKey, is_signed
from cutoverd.events.subjects import STREAM


async def make_anew(client: Client, first_seq: int, *, is_there: bool) -> None:
    """Empty, its next message at `first_seq`; one that is there is deleted with all that it holds.

    Raises `ServerRefused` with what an administrator has to do where we may not, `Unavailable`, `Unsuitable`.
    """
    began = time.monotonic()
    try:
        if is_there:
            await stream_api.delete(client)
        await stream.ask_to_make(client, first_seq)
    except DOUBT as error:
        if forbidden := client.forbidden("$JS.API.STREAM.", began):
            raise ServerRefused(
                f"our NATS user may not make stream {STREAM} anew: {forbidden}", hint=request(first_seq, is_there=is_there)
            ) from error
        raise Unavailable(f"stream {STREAM} could not be made anew: {client.explain(error, began)}") from error


def request(first_seq: int, *, is_there: bool) -> str:
    """What an administrator does in our place, by the `nats` command."""
    config = json.dumps(stream.settings() | {"first_seq": first_seq}, separators=(",", ":"))
    lines = [
        "have an administrator do this, then say the same again (it begins beyond every sequence that was seen):",
        *([f"nats request '$JS.API.STREAM.DELETE.{STREAM}' ''"] if is_there else []),
        f"nats request '$JS.API.STREAM.CREATE.{STREAM}' '{config}'",
    ]
    return "\n    ".join(lines)


async def put_back(client: Client, subject: str, messages: Iterable[tuple[str, bytes]], key: JournalKey) -> int:
    """Append them, each by its id, after what lies there; how many. Whatever others publish in between is stepped over.

    Raises `Conflict` if it is signed by our key: an older daemon, whose event in the middle of them would break the journal.
    """
    journal, count = Journal(client, subject), 0
    async with aclosing(journal.replay()) as there:
        async for _ in there:
            pass
    for id, body in messages:
        await _append(journal, id, body, key)
        count += 1
    return count


async def _append(journal: Journal, id: str, body: bytes, key: JournalKey) -> None:
    while True:
        try:
            await journal.append(id, body)
            return
        except Conflict as conflict:
            async with aclosing(journal.read_on()) as newer:
                async for message in newer:
                    if is_signed(message.data) and (key.has_signed(message.data) or key.of_runs.has_signed(message.data)):
                        raise conflict
            id = uuid4().hex  # the server remembers the ids of what was purged: docs/measured.md, "A stream that is made again"
