"""What `nats pub` puts on the wire: a plain PUB from a bare socket, no id, no reply."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

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


class Wire:
    """A client without any library: it sends what no library would, and comes back when the server has enough of it."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection((str(self._address.hostname), self._address.port or 0), WIRE_SECONDS)
        self._answers = self._socket.makefile("rb")
        who = {"verbose": False, "pedantic": False, "headers": True, "no_responders": False}
        who |= {"user": self._address.username, "pass": self._address.password}
        self._socket.sendall(f"CONNECT {json.dumps(who)}\r\n".encode())
        assert self._answers.readline().startswith(b"INFO ")

    def send(self, lines: bytes) -> list[bytes]:
        """What the server said of it, once it has taken all of it or has closed the connection; [] for nothing."""
        replies: list[bytes] = []
        try:
            self._socket.sendall(lines + b"PING\r\n")
            while (line := self._answers.readline()) != b"PONG\r\n":
                if not line:
                    raise ConnectionError
                replies.append(line)
        except ConnectionError:
            self.close()
            self._connect()
            replies.append(b"closed")
        return replies

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def hpub(subject: bytes, headers: bytes, body: bytes = b"", reply: bytes = b"") -> bytes:
    """HPUB as it stands on the wire; `headers` is the whole block, well formed or not. Without headers: PUB."""
    to = subject + (b" " + reply if reply else b"")
    if not headers:
        return b"PUB %b %d\r\n%b\r\n" % (to, len(body), body)
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (to, len(headers), len(headers) + len(body), headers, body)
