"""What `cutoverd check` says before the window about the stream's room: how much there is, and whether it can grow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cutoverd.daemon.bus import stream, stream_api
from cutoverd.daemon.bus.connection import DOUBT, Client
from cutoverd.daemon.bus.obstacles import SCARCE_BYTES, UPDATE, by_hand, find_account, may_update, raise_account
from cutoverd.daemon.bus.stream import ROOM_SHARE, STREAM_BYTES, Room
from cutoverd.daemon.progress import format_bytes
from cutoverd.events.subjects import STREAM


@dataclass(frozen=True)
class Outlook:
    """In words; `todo` is empty where nothing has to be done before the window."""

    detail: str
    todo: str = ""
    is_short: bool = False  # for a run that begins


async def find_outlook(client: Client, monitoring_url: str | None) -> Outlook:
    """Asks only, and writes nothing; what may not be asked is said to be unknown. Raises `Unsuitable`, `DOUBT`."""
    info = await stream_api.find_info(client)
    room = Room.of(info) if info else Room(0, STREAM_BYTES)
    left = await _find_left(client, monitoring_url)
    detail = _describe(room, info is not None)
    if info is None:
        return _of_new(detail, left)
    if room.limit_bytes <= 0:
        return _of_left(f"{detail}, and has no limit of its own", left)
    allowed = await may_update(client)
    if allowed is False:
        return Outlook(
            f"{detail}; this NATS user may not raise that: whoever may publish can fill it, and then the run waits",
            by_hand(max(2 * room.limit_bytes, STREAM_BYTES)),
            room.left_share < ROOM_SHARE,
        )
    can = "can be raised" if allowed else f"whether it can be raised is not known (nobody answered on {UPDATE})"
    return replace(_of_left(f"{detail}; its limit {can}", left), is_short=room.left_share < ROOM_SHARE)


def _describe(room: Room, is_there: bool) -> str:
    if not is_there:
        return f"stream {STREAM} will be made, for {format_bytes(room.limit_bytes)}"
    of = f" of {format_bytes(room.limit_bytes)}" if room.limit_bytes > 0 else ""
    return f"stream {STREAM} holds {format_bytes(room.used_bytes)}{of}"


@dataclass(frozen=True)
class Left:
    """What may still be stored or reserved, by whose word, and how to have more."""

    bytes: int | None  # None if there is no limit, or nobody tells
    whose: str
    todo: str


async def _find_left(client: Client, monitoring_url: str | None) -> Left:
    """The narrowest of account and server."""
    found = [Left(None, "of the account is not known", "")]
    try:
        account = await find_account(client)
    except DOUBT:
        account = None
    if account is not None:
        found = [Left(account.left_bytes, "of its account", raise_account(account))]
    if server := await stream.find_jetstream(monitoring_url):
        found.append(
            Left(_left_of(server), "of the server's JetStream", "raise jetstream.max_file_store, or give it a larger disk")
        )
    return min(found, key=lambda each: each.bytes if each.bytes is not None else 1 << 62)


def _left_of(jsz: dict[str, Any]) -> int | None:
    most, taken = jsz.get("max_storage", -1), max(jsz.get("storage", 0), jsz.get("reserved_storage", 0))
    return most - taken if most > 0 else None


def _of_new(detail: str, left: Left) -> Outlook:
    if left.bytes is not None and left.bytes < STREAM_BYTES:
        return Outlook(f"{detail}; only {format_bytes(left.bytes)} {left.whose} are left", left.todo)
    return Outlook(detail)


def _of_left(detail: str, left: Left) -> Outlook:
    if left.bytes is None:
        return Outlook(detail)
    description = f"{detail}; {format_bytes(max(left.bytes, 0))} {left.whose} are left for it"
    return Outlook(description, left.todo if left.bytes < SCARCE_BYTES else "")
