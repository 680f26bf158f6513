"""All that a stream holds, before it is made anew: events by run, the registry, commands; and kept in a file."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cutoverd.daemon.bus import stream
from cutoverd.daemon.bus.connection import DOUBT, Client
from cutoverd.daemon.bus.stored import fetch_stored, parse_stored
from cutoverd.daemon.engine.errors import Unavailable
from cutoverd.daemon.engine.message import Message
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.host.private_files import NOT_OURS, describe, open_own, open_private, sync_folder
from cutoverd.events.codec import is_event
from cutoverd.events.mac import is_signed
from cutoverd.events.subjects import EVENTS, RUNS

log = Logger(__name__)

MOST_COMMANDS = 1000
LONGEST_COMMAND = 200  # of one that is only to be named


@dataclass
class Content:
    """What lies in the stream; without one, nothing."""

    is_there: bool = False
    last_seq: int = 0
    first_seq: int = 0  # from where on it has given sequences away
    events: dict[str, list[Message]] = field(default_factory=dict)  # by run
    runs: list[Message] = field(default_factory=list)
    commands: deque[Message] = field(default_factory=lambda: deque(maxlen=MOST_COMMANDS))  # the last of them
    foreign: Counter[str] = field(default_factory=Counter)  # that are no events, by run: a flood is not kept

    def add(self, message: Message) -> None:
        if message.subject == RUNS:
            self.runs.append(message)
        elif message.subject.startswith(f"{EVENTS}."):
            self._add_event(message.subject.removeprefix(f"{EVENTS}."), message)
        else:
            short = message.data[:LONGEST_COMMAND]
            self.commands.append(Message(message.seq, short, message.at, message.subject))

    def _add_event(self, run: str, message: Message) -> None:
        if is_signed(message.data) or is_event(message.data):
            self.events.setdefault(run, []).append(message)
        else:
            self.foreign[run] += 1

    def merge(self, later: Content) -> None:
        """What an attempt found and kept after this one; what both hold is there once."""
        self.last_seq = max(self.last_seq, later.last_seq)
        self.runs += later.runs
        self.commands += later.commands
        for run, messages in later.events.items():
            have = set(self.bodies(run))
            self.events.setdefault(run, []).extend(each for each in messages if each.data not in have)

    def bodies(self, run: str) -> tuple[bytes, ...]:
        return tuple(message.data for message in self.events.get(run, ()))


async def read_content(client: Client | None) -> Content:
    """Raises as `stream.check_possible`."""
    there = await stream.find(client) if client else None
    content = Content(there is not None)
    if client and there:
        content.first_seq, content.last_seq = there["state"]["first_seq"], there["state"]["last_seq"]
        await _each(client, lambda message, _: content.add(message))
    return content


async def save_content(client: Client, path: Path) -> int:
    """A line of JSON for each message (`subject`, `seq`, `hdrs`, `data`, `time`; base64), on the disk; how many there are."""
    with open_private(path) as file:
        count = 0

        def write(message: Message, stored: dict[str, Any]) -> None:
            nonlocal count
            count += 1
            file.write(json.dumps(stored).encode() + b"\n")

        await _each(client, write)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
    return count


def read_saved(path: Path) -> Content:
    """What `save_content` has kept, up to a line that it did not write. Raises `UnusableFile`, OSError."""
    content = Content()
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        for line in file:
            try:
                message = parse_stored(json.loads(line))
            except NOT_OURS:
                log.warning("file_not_ours", path=str(path), reason=describe(line), doing="goes on without the rest of it")
                break
            content.add(message)
            content.last_seq = message.seq
    return content


async def _each(client: Client, use: Callable[[Message, dict[str, Any]], None]) -> None:
    try:
        async for message, stored in fetch_stored(client):
            use(message, stored)
    except DOUBT as error:
        raise Unavailable(f"the stream could not be read whole: {client.explain(error, 0.0)}") from error
