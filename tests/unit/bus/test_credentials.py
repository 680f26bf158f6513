"""Who we are to a NATS of the team's."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import nats.aio.client
import nkeys
import pytest

from cutoverd.daemon.bus.connection import Client, _unreachable, connect
from cutoverd.daemon.bus.credentials import login
from cutoverd.daemon.engine.errors import ServerRefused

INFO = {"server_id": "s", "version": "2.11.0", "max_payload": 1024, "headers": True, "nonce": "once", "auth_required": True}


def credentials(folder: Path) -> Path:
    """As `nsc generate creds` writes them; the words of the token are the server's to judge."""
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode()
    lines = ["-----BEGIN NATS USER JWT-----", "a.b.c", "------END NATS USER JWT------", ""]
    lines += ["-----BEGIN USER NKEY SEED-----", seed, "------END USER NKEY SEED------", ""]
    (folder / "daemon.creds").write_text("\n".join(lines))
    return folder / "daemon.creds"


async def test_a_file_of_credentials_signs_what_the_server_asks(tmp_path: Path) -> None:
    """Found: what nats-py signs with was not installed with us, so no plan with `bus.credentials` could ever be run."""
    handshakes: list[dict[str, Any]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"INFO {json.dumps(INFO)}\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"CONNECT "):
                handshakes.append(json.loads(line.removeprefix(b"CONNECT ")))
            elif line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        client = await connect(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", **login(credentials(tmp_path)))
        await client.close()
    assert [bool(each["sig"]) for each in handshakes] == [True]
    assert handshakes[0]["jwt"] == "a.b.c"


def test_a_server_that_refused_us_and_then_closed_is_told_as_one_that_refused() -> None:
    """Found: now and then the last word of it was `Connection reset by peer`, and nobody looked at the password."""
    nc = nats.aio.client.Client()
    client = Client(nc, nc.jetstream())
    client.complaints.extend([(0.0, "nats: 'Authorization Violation'"), (0.1, "[Errno 104] Connection reset by peer")])
    assert "answered within 1 s: nats: 'Authorization Violation'" in _unreachable(["nats://h"], 1, client, TimeoutError())
    client.complaints.popleft()
    assert _unreachable(["nats://h"], 1, client, TimeoutError()).endswith("Connection reset by peer")


def test_a_file_that_holds_no_credentials_is_refused_and_not_read_without_end(tmp_path: Path) -> None:
    """Found: nats-py looked for the token in it for ever, and one that is not there ended in a traceback."""
    file = tmp_path / "daemon.creds"
    with pytest.raises(
        ServerRefused, match=r"daemon\.creds cannot be read: No such file.*; let the plan's bus\.credentials name a file"
    ):
        login(file)
    file.write_text("hunter2")
    with pytest.raises(
        ServerRefused, match="holds no NATS credentials: there is no BEGIN NATS USER JWT and no BEGIN USER NKEY"
    ) as refused:
        login(file)
    assert "hunter2" not in str(refused.value)
