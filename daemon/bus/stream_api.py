"""What is asked of JetStream's API about the stream, and its answers as the server writes them."""

from __future__ import annotations

import json
from typing import Any

import nats.errors
from nats.js import errors as js_errors

from cutoverd.daemon.bus.connection import DOUBT, REQUEST_SECONDS, Client
from cutoverd.daemon.bus.errors import Unsuitable
from cutoverd.daemon.host.cancellation import deadline
from cutoverd.events.subjects import STREAM, STREAM_SUBJECTS

NO_STREAM, NAME_IN_USE, NO_DISK, OVERLAP = 10059, 10058, 10047, 10065
OFF_FOR_ACCOUNT = {10035, 10039, 10076}  # whatever the server does for others
OFF = "set `jetstream { store_dir: …, sync_interval: always }` in its configuration, or give bus.url another server"
OVERLAP_HINT = "end that stream, take these subjects from it, or give this run a NATS account of its own"
OFF_HINT = "give the account JetStream, or the plan a NATS user of one that has it"


async def delete(client: Client) -> None:
    """With all that it holds; raises `DOUBT`, `Unsuitable`."""
    answer = await ask(client, f"$JS.API.STREAM.DELETE.{STREAM}", {})
    if answer.get("error", {}).get("err_code") != NO_STREAM:
        _checked(answer)


async def find_overlapping(client: Client) -> str:
    """The streams that have some of our subjects, in words; "" if there is none."""
    found = dict[str, list[str]]()
    for subject in STREAM_SUBJECTS:
        answer = await ask(client, "$JS.API.STREAM.NAMES", {"subject": subject})
        for name in answer.get("streams") or ():
            found.setdefault(name, []).append(subject)
    return "; ".join(f"stream {name} has {', '.join(subjects)}" for name, subjects in found.items() if name != STREAM)


async def find_info(client: Client) -> dict[str, Any] | None:
    """As the server writes it: nats-py would drop the fields that it does not know."""
    answer = await ask(client, f"$JS.API.STREAM.INFO.{STREAM}", {})
    return None if answer.get("error", {}).get("err_code") == NO_STREAM else _checked(answer)


async def create(client: Client, config: dict[str, Any]) -> dict[str, Any]:
    """What is there then, made by us or by whoever was faster; raises `DOUBT`, `Unsuitable`."""
    answer = await ask(client, f"$JS.API.STREAM.CREATE.{STREAM}", config)
    if answer.get("error", {}).get("err_code") == OVERLAP and (taken := await _find_overlapping_if_allowed(client)):
        raise Unsuitable(f"stream {STREAM} cannot be had: subjects overlap: {taken}", hint=OVERLAP_HINT)
    if answer.get("error", {}).get("err_code") != NAME_IN_USE:  # in use: somebody was faster
        _checked(answer)
    return _checked(await ask(client, f"$JS.API.STREAM.INFO.{STREAM}", {}))


async def _find_overlapping_if_allowed(client: Client) -> str:
    """As `find_overlapping`; a user may be forbidden to list the streams."""
    try:
        return await find_overlapping(client)
    except DOUBT:
        return ""


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    error = answer.get("error")
    if error is None:
        return answer
    if error.get("err_code") in OFF_FOR_ACCOUNT:
        raise Unsuitable(f"JetStream is off for the account of this NATS user: {error.get('description')}", hint=OFF_HINT)
    if error.get("code") == 503:
        raise js_errors.ServiceUnavailableError(**error)
    hint = (
        "it may grow to 1 GiB, and JetStream takes 75 % of the free disk: make room" if error.get("err_code") == NO_DISK else ""
    )
    raise Unsuitable(f"stream {STREAM} cannot be had: {error.get('description')} (error {error.get('err_code')})", hint=hint)


async def ask(client: Client, subject: str, body: dict[str, Any] | None) -> dict[str, Any]:
    """Raises `Unsuitable` if nobody answers and the server itself says that it has no JetStream."""
    async with deadline(2 * REQUEST_SECONDS):
        try:
            content = b"" if body is None else json.dumps(body).encode()
            msg = await client.nc.request(subject, content, timeout=REQUEST_SECONDS)
        except nats.errors.NoRespondersError:
            if client.has_jetstream is False:
                raise Unsuitable(f"JetStream is off on the NATS server {client.server_name}", hint=OFF) from None
            raise
    return dict(json.loads(msg.data))
