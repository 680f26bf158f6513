"""A NATS micro service that tells how a run stands: `cutover.svc.status`, and `cutover.svc.status.<run>` for one among several.

It answers from memory and asks nobody. Commands are never heard here: only the stream listens to those
(docs/measured.md, "Commands and answers").
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any

from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, Service, ServiceConfig

from cutoverd.daemon.bus.connection import DOUBT, REQUEST_SECONDS, Client
from cutoverd.daemon.host.cancellation import deadline
from cutoverd.daemon.host.log import Logger
from cutoverd.events.subjects import STATUS, status_of

log = Logger(__name__)

NAME = "cutoverd"
Answer = Callable[[], Mapping[str, Any]]


@asynccontextmanager
async def serving(client: Client, run: str, answer: Answer) -> AsyncIterator[None]:
    """Answer requests for as long as the block lasts. A daemon that may not serve says so, and goes on without."""
    service = await _served(client, run, answer)
    try:
        yield
    finally:
        if service:
            with suppress(*DOUBT):
                async with deadline(REQUEST_SECONDS):
                    await service.stop()


async def _served(client: Client, run: str, answer: Answer) -> Service | None:
    began = time.monotonic()
    try:
        async with deadline(2 * REQUEST_SECONDS):
            service = await _started(client, run, answer)
            await client.nc.flush()  # nats-py may send this ping before the subscriptions
            await client.nc.flush()  # a refusal comes before the answer to this one
    except DOUBT as error:
        _without(client.explain(error, began))
        return None
    if forbidden := client.forbidden(status_of(run), began) or client.forbidden(STATUS, began):
        _without(forbidden)
    return service


async def _started(client: Client, run: str, answer: Answer) -> Service:
    config = ServiceConfig(
        name=NAME, version=version("cutoverd"), description="how a run stands", metadata={"run": run}, queue_group=run
    )  # a queue of its own: the default one would give every second request for all to another run's daemon
    service = await add_service(client.nc, config)
    handler = _StatusHandler(answer)
    for name, subject in (("status", STATUS), ("status-of-run", status_of(run))):
        await service.add_endpoint(EndpointConfig(name=name, subject=subject, handler=handler))
    return service


class _StatusHandler:
    """The handler. nats.micro would send an exception's own words to whoever asked: they are not for everybody."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __call__(self, request: Request) -> None:
        try:
            body = json.dumps(self._answer(), ensure_ascii=False).encode()
        except Exception as error:
            log.error("status_not_told", exc_info=error)
            await request.respond_error("500", "the status could not be told; the daemon's log says why")
            return
        with suppress(ValueError):  # a message, not a request: nobody wants an answer
            await request.respond(body)


def _without(reason: str) -> None:
    hint = f"let the daemon's NATS user subscribe to {STATUS}.> and $SRV.>, and publish its answers"
    log.warning("status_service_not_served", reason=reason, hint=hint, doing="everything else")
