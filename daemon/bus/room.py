"""Room for events: the stream's limit is raised before it is reached; where it cannot be, the writer waits for a person.

STREAM.UPDATE writes a whole configuration, and some of them take messages away. Ours cannot: it is the configuration as it was
read, every setting of it proven to be one that removes nothing, with a higher limit of bytes. Should another update come in
between, a limit that is too low refuses messages and removes none (docs/measured.md, "A stream that is full").
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from nats.js import errors as js_errors

from cutoverd.daemon.bus import stream, stream_api
from cutoverd.daemon.bus.connection import DOUBT, Client
from cutoverd.daemon.bus.errors import CannotGrow, NoRoom
from cutoverd.daemon.bus.obstacles import UPDATE, by_hand, find_obstacle
from cutoverd.daemon.bus.stream import ROOM_SHARE, Room
from cutoverd.daemon.engine.errors import BusError
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.progress import format_bytes
from cutoverd.events.subjects import STREAM

log = Logger(__name__)

# the store refuses (its limit of bytes or messages, mostly), no room on the server, limits of the account
FULL = {10077, 10047, 10002, 10023, 10028}
SMALLEST_STEP, LARGEST_STEP = 64 << 20, 1 << 30
LEAST_STEP = 1 << 20  # where account or disk leave no more than that
WITHOUT_ANSWER = "see that the NATS server answers; the run goes on by itself"
EVERY_SECONDS, TRIED_AGAIN_SECONDS = 2.0, 30.0


def is_full(error: BaseException) -> bool:
    """Whether the server takes no message because there is no room for it."""
    return isinstance(error, js_errors.APIError) and error.err_code in FULL


class JournalWaits:
    """Why no event can be written now, for those who look; and how full the stream was when it was last asked."""

    def __init__(self) -> None:
        self.reason = ""
        self.room: Room | None = None
        self._since = 0.0

    def begin(self, reason: str) -> None:
        """Or goes on, for another reason maybe."""
        if not self.reason:
            self._since = time.monotonic()
            log.error("journal_waits", reason=reason, doing="nothing else until an event can be written")
        self.reason = reason

    def end(self) -> None:
        """An event was written."""
        if self.reason:
            self.reason = ""
            log.info("journal_goes_on", after_seconds=round(time.monotonic() - self._since, 1))


class StreamGrowth:
    """Who raises the limit: the daemon that drives, before it is reached, and each append that is refused."""

    def __init__(self, client: Client, waits: JournalWaits | None = None) -> None:
        self.waits = waits or JournalWaits()
        self._client = client
        self._one_by_one = asyncio.Lock()
        self._forbidden: CannotGrow | None = None
        self._asked_again_at = 0.0  # monotonic: until then a right that was missing is taken to be missing

    async def make_room(self, refusal: str) -> CannotGrow | None:
        """For a message that was refused: None if there may be room for it now, else why not, and what to do."""
        try:
            if await self.raise_limit():
                return None
            return CannotGrow(refusal, hint=await find_obstacle(self._client))
        except DOUBT as error:
            return CannotGrow(f"{refusal}; the limit could not be raised: {error or repr(error)}", hint=WITHOUT_ANSWER)
        except BusError as error:
            return CannotGrow(f"{refusal}; {error.args[0]}", hint=error.hint)

    async def keep_headroom(self) -> None:
        """Until cancelled: raised once three quarters are used; where that cannot be, it is reported, and tried again."""
        reported = ""
        while True:
            pause = EVERY_SECONDS
            try:
                await self.raise_limit()
            except DOUBT:  # the next append says it, if it lasts
                pass
            except BusError as error:
                pause = TRIED_AGAIN_SECONDS
                if error.args[0] != reported:
                    log.warning("stream_fills", reason=error.args[0], todo=error.hint)
                reported = error.args[0]
            except Exception as error:  # in nobody's way: each append that is refused asks again
                log.warning("stream_room_not_seen", error=repr(error)[:200])
                pause = TRIED_AGAIN_SECONDS
            await asyncio.sleep(pause)

    async def raise_limit(self) -> bool:
        """Whether more messages fit than before; False if there is room enough. Raises `CannotGrow`, `Unsuitable`, `DOUBT`."""
        async with self._one_by_one:
            info = await stream_api.find_info(self._client)
            if info is None:
                raise CannotGrow(f"there is no stream {STREAM}")
            config, self.waits.room = info["config"], Room.of(info)
            lifted = _lifted(config)
            if not lifted and not self.waits.room.is_short:
                return False
            if wrong := stream.differences(config, stream.settings(), apart_from=("max_bytes", *lifted)):
                raise CannotGrow(f"stream {STREAM} was changed: {'; '.join(wrong)}", hint=stream.EDIT_HINT)
            if self._forbidden and time.monotonic() < self._asked_again_at:
                raise self._forbidden
            await self._update(info, lifted)
            return True

    async def check_room(self) -> Room:
        """The stream has room for another run, or gets it; raises `NoRoom` with what is in the way."""
        obstacle: BusError | None = None
        try:
            await self.raise_limit()
        except DOUBT as error:
            obstacle = CannotGrow(f"its limit could not be raised: {error or repr(error)}")
        except BusError as error:
            obstacle = error
        room = self.waits.room
        if room is None:
            raise obstacle or CannotGrow(f"stream {STREAM} cannot be asked for its room")
        if room.left_share < ROOM_SHARE:
            left = f"stream {STREAM} holds {room.used_bytes} of {room.limit_bytes} bytes: {room.left_share:.1%} left"
            obstacle = obstacle or CannotGrow("the limit could not be raised by more", hint=await find_obstacle(self._client))
            raise NoRoom(f"{left}, expected {ROOM_SHARE:.0%}; {obstacle.args[0]}", hint=obstacle.hint)
        return room

    async def _update(self, info: dict[str, Any], lifted: dict[str, int]) -> None:
        """By as much as account and disk let it, a megabyte at least."""
        config, limit = info["config"], info["config"]["max_bytes"]
        step = min(max(limit, SMALLEST_STEP), LARGEST_STEP)
        while True:
            raised = {**lifted, "max_bytes": max(limit, info["state"]["bytes"]) + step} if limit > 0 else lifted
            answer = await self._ask(config | raised)
            error = answer.get("error")
            if error is None:
                break
            if error.get("err_code") not in FULL or step <= LEAST_STEP:
                raise CannotGrow(
                    f"the limit of stream {STREAM} ({format_bytes(limit)}) cannot be raised: {error.get('description')}",
                    hint=await find_obstacle(self._client),
                )
            step //= 2
        self.waits.room = Room.of(answer)
        _check_kept(info, answer, raised)
        log.warning("stream_limit_raised", stream=STREAM, was=limit, **raised, used_bytes=info["state"]["bytes"])

    async def _ask(self, config: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        try:
            return await stream_api.ask(self._client, UPDATE, config)
        except DOUBT as error:
            if forbidden := self._client.forbidden(UPDATE, began):
                reason = f"the limit of stream {STREAM} may not be raised by this NATS user: {forbidden}"
                self._forbidden = CannotGrow(reason, hint=by_hand(config["max_bytes"]))
                self._asked_again_at = time.monotonic() + TRIED_AGAIN_SECONDS
                raise self._forbidden from error
            raise


def _lifted(config: dict[str, Any]) -> dict[str, int]:
    """A limit of messages is none of ours: somebody has set it since. One per subject takes old ones away, and is named."""
    return {"max_msgs": -1} if config.get("max_msgs", -1) > 0 else {}


def _check_kept(before: dict[str, Any], after: dict[str, Any], raised: dict[str, int]) -> None:
    """Nothing but the limits is another, and no message is gone; raises `CannotGrow`, for nobody to go on as if nothing was."""
    changed = stream.differences(after["config"], before["config"] | raised)
    for name in ("messages", "last_seq"):
        if after["state"][name] < before["state"][name]:
            changed.append(f"{name} is {after['state'][name]}, was {before['state'][name]}")
    if after["state"]["first_seq"] > max(before["state"]["first_seq"], 1):
        changed.append(f"first_seq is {after['state']['first_seq']}, was {before['state']['first_seq']}")
    if changed:
        log.error("stream_changed_meanwhile", stream=STREAM, changed=changed)
        raise CannotGrow(f"stream {STREAM} was changed while its limit was raised: {'; '.join(changed)}", hint=stream.EDIT_HINT)
