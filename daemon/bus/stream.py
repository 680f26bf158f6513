"""The one stream: made with exactly these settings, and proven to have them.

What the API does not tell: whether the server calls fsync before it acknowledges (`jetstream.sync_interval: always`). Only
its monitoring port does (`/jsz`), and it is often closed: `sync_always` answers None then, and the operator must know
(docs/measured.md, "Synced before acknowledged").
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import nats.errors

from cutoverd.daemon.bus import stream_api
from cutoverd.daemon.bus.connection import DOUBT, REQUEST_SECONDS, Client
from cutoverd.daemon.bus.errors import Unsuitable
from cutoverd.daemon.bus.retry import RetryBudget
from cutoverd.daemon.engine.errors import Conflict, LogRegressed, ServerRefused, Unavailable
from cutoverd.daemon.engine.message import LARGEST_MESSAGE_BYTES
from cutoverd.events.subjects import STREAM, STREAM_SUBJECTS
from cutoverd.states.errors import format_reasons

OLDEST_SERVER = (2, 12)  # docs/measured.md, "Server versions"
STREAM_BYTES = 1 << 30
DUPLICATE_SECONDS = 24 * 3600
ROOM_SHARE = 0.1  # left, for a run that begins
SHORT_SHARE, SHORT_BYTES = 0.25, 1 << 20
NO_LEADER = "nobody answers for JetStream: it has no leader, or is off for this account"
EDIT_HINT = "set it with `nats stream edit`, or give this run a NATS account of its own"
# what a server may tell about itself, or set without any effect on what is kept
IGNORED = {"metadata", "description", "placement", "first_seq"}  # the last: of one that was restored


@dataclass(frozen=True)
class Room:
    """How full the stream is."""

    used_bytes: int
    limit_bytes: int  # none of its own if not positive

    @classmethod
    def of(cls, info: dict[str, Any]) -> Room:
        """As an answer about the stream has it."""
        return cls(info["state"]["bytes"], info["config"]["max_bytes"])

    @property
    def left_share(self) -> float:
        return 1 - self.used_bytes / self.limit_bytes if self.limit_bytes > 0 else 1.0

    @property
    def is_short(self) -> bool:
        """Three quarters are used, or there is room for few large messages."""
        left_bytes = self.limit_bytes - self.used_bytes
        return self.limit_bytes > 0 and (self.left_share < SHORT_SHARE or left_bytes < SHORT_BYTES)


def settings(replicas: int = 1, stream_bytes: int = STREAM_BYTES) -> dict[str, Any]:
    """The stream's configuration as the API writes it; a setting that is not named here must be off.

    docs/measured.md, "Stream settings".
    """
    return {
        "name": STREAM,
        "subjects": STREAM_SUBJECTS,
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "max_age": 0,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_bytes": stream_bytes,
        "max_msg_size": LARGEST_MESSAGE_BYTES,
        "max_consumers": -1,
        "discard": "new",
        "duplicate_window": DUPLICATE_SECONDS * 1_000_000_000,
        "compression": "none",
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": False,  # a follower might answer with what was
    }


async def prepare(client: Client, *, replicas: int = 1, stream_bytes: int = STREAM_BYTES, acknowledged_seq: int = 0) -> None:
    """Make the stream if it is missing, and prove its settings; how much it may hold is not one of them (`room.py`).

    Raises `LogRegressed` if it is missing and has acknowledged something once, `Unsuitable` naming each setting, what it is and
    what it has to be, `ServerRefused` if it is missing and we may not make it, and `Unavailable` after 30 s.
    """
    check_version(client)
    expected = settings(replicas, stream_bytes)
    budget = RetryBudget(f"stream {STREAM}")
    while True:
        try:
            there = await stream_api.find_info(client)
            if there is None and acknowledged_seq:
                raise _lost(acknowledged_seq)
            config = (there or await stream_api.create(client, expected))["config"]
            return check_settings(config, expected | {"max_bytes": config["max_bytes"]})
        except nats.errors.NoRespondersError:
            budget.last_reason = NO_LEADER
        except DOUBT as error:
            budget.last_reason = client.explain(error, budget.started)
            _check_allowed(client, budget.started)
        await budget.pause()


def _check_allowed(client: Client, since: float) -> None:
    forbidden = client.forbidden("$JS.API.", since)
    if forbidden:
        raise ServerRefused(
            f"stream {STREAM} cannot be read or made: {forbidden}",
            hint="have an administrator make it with these settings (deploy/), or give this NATS user the right",
        )


def check_version(client: Client) -> None:
    """The server we are connected to is new enough; of the others of a cluster nothing is known. Raises `Unsuitable`."""
    version = client.nc.connected_server_version
    if (version.major, version.minor) < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        raise Unsuitable(
            f"nats-server is {version.major}.{version.minor}.{version.patch}, expected {oldest} or newer", hint="upgrade it"
        )


def check_settings(config: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare every field; one that we do not know must be empty or off. Raises `Unsuitable` naming all that differ."""
    if wrong := differences(config, expected):
        raise Unsuitable(
            f"stream {STREAM}: {'; '.join(wrong)}",
            hint=EDIT_HINT,
        )


def differences(config: dict[str, Any], expected: dict[str, Any], apart_from: Sequence[str] = ()) -> list[str]:
    """What is set in another way, in words."""
    names = (config.keys() | expected.keys()) - IGNORED - {*apart_from}
    return [
        f"{name} is {json.dumps(config.get(name))}, expected {json.dumps(expected.get(name, 'unset'))}"
        for name in sorted(names)
        if not _same(config.get(name), expected.get(name))
    ]


def _same(actual: Any, expected: Any) -> bool:
    if isinstance(actual, list) and isinstance(expected, list):
        return sorted(actual) == sorted(expected)
    return bool(actual == expected or (not actual and not expected))


async def sync_always(monitoring_url: str | None) -> bool | None:
    """Whether the server behind this monitoring port writes through before it acknowledges; None if it cannot be known.

    Raises `Unsuitable` if that is no address: nobody would ever be asked there.
    """
    config = await find_jetstream(monitoring_url)
    return None if config is None else bool(config.get("sync_always", False))


async def find_jetstream(monitoring_url: str | None) -> dict[str, Any] | None:
    """JetStream's configuration and use as the monitoring port has it; None if it cannot be known. Raises `Unsuitable`."""
    if not monitoring_url:
        return None
    import httpx  # by whoever starts a run; not by those who send to it or look at it

    try:
        async with httpx.AsyncClient(timeout=REQUEST_SECONDS) as http:
            answer = (await http.get(f"{monitoring_url.rstrip('/')}/jsz")).raise_for_status().json()
        return {**answer, **answer["config"]}
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ExceptionGroup) as error:
        raise Unsuitable(
            f"the NATS server's monitoring port cannot be asked at {monitoring_url}: {format_reasons(error)[0]}",
            hint="give bus.monitoring as http://host:8222, and look at HTTP_PROXY if it is set",
        ) from error
    except (httpx.HTTPError, ValueError, KeyError, AttributeError, TypeError):
        return None


async def check_sync(monitoring_url: str | None) -> None:
    """Refuse a server that is known to acknowledge before it syncs: a power cut takes such events. Raises `Unsuitable`."""
    if await sync_always(monitoring_url) is False:
        raise Unsuitable(
            f"the NATS server at {monitoring_url} syncs its store now and then, not before it acknowledges",
            hint="set `jetstream { sync_interval: always }`; by default a power cut takes two minutes of acknowledged events",
        )


async def exists(client: Client) -> bool:
    """Whether any daemon has ever prepared the stream there; raises `Unsuitable` where there can be none."""
    return await stream_api.find_info(client) is not None


async def check_possible(client: Client) -> bool:
    """Whether the stream is there; raises `Unsuitable`, `ServerRefused` or `Unavailable` where it could not be made."""
    started = time.monotonic()
    try:
        if there := await exists(client):
            return there
        if taken := await stream_api.find_overlapping(client):
            raise Unsuitable(f"stream {STREAM} cannot be had: {taken}", hint=stream_api.OVERLAP_HINT)
    except nats.errors.NoRespondersError as error:
        raise Unavailable(f"stream {STREAM}: {NO_LEADER}") from error
    except DOUBT as error:
        _check_allowed(client, started)
        raise Unavailable(f"stream {STREAM} cannot be asked for: {client.explain(error, started)}") from error
    return False


async def check_as_it_is(client: Client) -> bool:
    """As `check_possible`; what `prepare` would refuse of the server and of a stream that is there is refused here too."""
    check_version(client)
    if not await check_possible(client) or (there := await stream_api.find_info(client)) is None:
        return False
    check_settings(there["config"], settings() | {"max_bytes": there["config"]["max_bytes"]})
    return True


async def check_not_lost(client: Client, acknowledged_seq: int) -> None:
    """Raises `LogRegressed` if a server says that the stream is gone; one that cannot be asked says nothing.

    Found: a daemon whose stream was deleted waited for it without end, and nobody was told of a way out.
    """
    with suppress(Unavailable, Unsuitable, ServerRefused):
        if acknowledged_seq and not await check_possible(client):
            raise _lost(acknowledged_seq)


def _lost(acknowledged_seq: int) -> LogRegressed:
    return LogRegressed(f"there is no stream {STREAM}, and it has acknowledged an event of this run at {acknowledged_seq}")


async def find(client: Client) -> dict[str, Any] | None:
    """Configuration and state as the server writes them, None if there is no stream; raises as `check_possible`."""
    return await stream_api.find_info(client) if await check_possible(client) else None


async def ask_to_make(client: Client, first_seq: int) -> None:
    """Make it, empty, so that its first message gets that sequence; raises `DOUBT`, `Unsuitable`, `Conflict`.

    Found: in one that another had made meanwhile, from 1 on, commands lay below the position on record, and nobody heard them.
    """
    made = await stream_api.create(client, settings() | {"first_seq": first_seq})
    if (first := made["state"]["last_seq"] + 1) < first_seq:
        raise Conflict(f"somebody else has made stream {STREAM} meanwhile, from sequence {first} on")
