"""What `nats pub` puts on the wire: a plain PUB from a bare socket, no id, no reply."""

from __future__ import annotations

import json
import socket

from support.night import Night

from cutoverd.daemon.embedded.nats import Nats

WIRE_SECONDS = 10


def publish(night: Night, payload: str = "advance", subject: str = "cutover.cmd") -> None:
    """Returns once the night's server has taken it."""
    publish_to(night.nats(), payload, subject)


def publish_to(server: Nats, payload: str = "advance", subject: str = "cutover.cmd") -> None:
    """Returns once that server has taken it."""
    body = payload.encode()
    host, _, port = server.url.removeprefix("nats://").partition(":")
    who = {"verbose": False, "pedantic": False, "user": server.user, "pass": server.password, "lang": "none", "version": "0"}
    with socket.create_connection((host, int(port)), WIRE_SECONDS) as wire, wire.makefile("rb") as answers:
        assert answers.readline().startswith(b"INFO ")
        request = f"CONNECT {json.dumps(who)}\r\nPUB {subject} {len(body)}\r\n".encode()
        wire.sendall(request + body + b"\r\nPING\r\n")
        assert answers.readline() == b"PONG\r\n"
