"""The address of the team's NATS: what nats-py cannot use is refused with the plan, it would end the run in a traceback."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from cutoverd.daemon.plan.fields import host_of

RIGHT = "nats://host:4222 or tls://host:4222"


def _without_secret(url: str) -> str:
    if "@" in url:  # a user alone is a token to nats-py
        raise ValueError(
            "a plan holds no user, password or token: leave them to NATS_USER and NATS_PASSWORD, or to a file for `credentials`"
        )
    return url


def _one_server(url: str) -> str:
    if "," in url:
        raise ValueError(f"it is more than one address; give one, that server names the others of its cluster: {RIGHT}")
    return url


def _nats(url: str) -> str:
    """As nats-py takes it: `nats://` where no scheme is said. Its websockets want a library that is not ours."""
    whole = url if "://" in url else f"nats://{url}"
    try:
        split = urlsplit(whole)
    except ValueError:  # a bracket that is not closed
        raise ValueError(f"it is no address of a NATS server: {RIGHT}") from None
    if not whole.startswith(("nats://", "tls://")) or not split.netloc:
        raise ValueError(f"it is no address of a NATS server: {RIGHT}")
    _check_port(split.netloc)
    if not host_of(f"http://{split.netloc}"):
        raise ValueError(f"its host is no name that can be looked up: {RIGHT}")
    return url


def _check_port(netloc: str) -> None:
    try:
        port = urlsplit(f"nats://{netloc}").port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"its port is no number from 1 to 65535: {RIGHT}")


BusUrl = Annotated[str, AfterValidator(_without_secret), AfterValidator(_one_server), AfterValidator(_nats)]
