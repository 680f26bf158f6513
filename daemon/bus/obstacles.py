"""What keeps the stream's limit where it is: a right, the account, the server; and what an administrator does about it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cutoverd.daemon.bus import stream_api
from cutoverd.daemon.bus.connection import DOUBT, Client
from cutoverd.daemon.progress import format_bytes
from cutoverd.events.subjects import STREAM

UPDATE = f"$JS.API.STREAM.UPDATE.{STREAM}"
SCARCE_BYTES = 64 << 20


def by_hand(max_bytes: int) -> str:
    """What an administrator says where the daemon's NATS user may not."""
    return f"`nats stream edit {STREAM} --max-bytes={max_bytes}`, or let this NATS user publish to {UPDATE} (deploy/nats)"


async def find_obstacle(client: Client) -> str:
    """What of account or server leaves no more room, as something to do; best guesses where neither may be asked."""
    both = (
        "raise max_file of its account and jetstream.max_file_store of the server, or make room on its disk:"
        " the run goes on by itself"
    )
    try:
        account = await find_account(client)
    except DOUBT:
        return both
    if account is not None and account.left_bytes is not None and account.left_bytes < SCARCE_BYTES:
        return f"{raise_account(account)}; the run goes on by itself"
    return (
        "the server has no more for JetStream: raise jetstream.max_file_store, or make room on its disk and start it again"
        " (by default it takes 75 % of what is free when it starts); the run goes on by itself"
    )


@dataclass(frozen=True)
class Account:
    """What the account may store in files; a negative limit is none."""

    limit_bytes: int
    taken_bytes: int
    stream_bytes: int  # the most of one stream

    @property
    def left_bytes(self) -> int | None:
        """None if it has no limit."""
        return self.limit_bytes - self.taken_bytes if self.limit_bytes >= 0 else None


def raise_account(account: Account) -> str:
    """What its administrator does."""
    return (
        f"the account may store {format_bytes(account.limit_bytes)}, and {format_bytes(account.taken_bytes)} are taken or"
        " reserved: raise its limit (jetstream.max_file, or `nsc edit account --js-disk-storage`)"
    )


async def find_account(client: Client) -> Account | None:
    """None where the account says it in another way (limits by replicas); raises DOUBT if we may not ask."""
    info = await stream_api.ask(client, "$JS.API.INFO", {})
    limits = info.get("limits") or {}
    if "max_storage" not in limits or info.get("tiers"):
        return None
    taken = max(info.get("storage", 0), info.get("reserved_storage", 0))
    return Account(limits["max_storage"], taken, limits.get("storage_max_stream_bytes", -1))


async def may_update(client: Client) -> bool | None:
    """Whether we may raise the limit; None if nobody says. Asked without a configuration: that can change nothing."""
    began = time.monotonic()
    try:
        await stream_api.ask(client, UPDATE, None)
        return True
    except DOUBT:
        return False if client.forbidden(UPDATE, began) else None
