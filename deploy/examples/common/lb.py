"""The door between clients and the service: forwards each connection while it is open, answers 503 while it is closed.

    python app/lb.py serve  --state-file F --port N --target 127.0.0.1:M --pidfile P    (stays; SIGTERM ends it)
    python app/lb.py close  --state-file F
    python app/lb.py open   --state-file F
    python app/lb.py status --state-file F          exit 0 open, 3 closed

The state is the file's content, so it outlives the process; without a file the door is open. Whoever is being served when
it closes is served to the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pidfile
import witness

OPEN, CLOSED = 0, 3
CHUNK_BYTES = 1 << 16
CONNECT_SECONDS = 3
END_SECONDS = 5
REFUSAL = b'HTTP/1.0 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n\r\n{"status": "%s"}\n'


def is_open(state: Path) -> bool:
    try:
        return state.read_text().strip() != "closed"
    except FileNotFoundError:
        return True


def turn(state: Path, word: str) -> int:
    state.parent.mkdir(parents=True, exist_ok=True)
    fresh = state.with_name(f"{state.name}.{os.getpid()}")
    fresh.write_text(word + "\n")
    fresh.replace(state)
    return 0


async def serve(state: Path, port: int, target: str, lock: int) -> None:
    host, _, target_port = target.rpartition(":")
    serving: set[asyncio.Task[None]] = set()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        serving.add(task)
        try:
            with contextlib.suppress(OSError):
                await (_forward(reader, writer, host, int(target_port)) if is_open(state) else _refuse(reader, writer, b"closed"))
        finally:
            serving.discard(task)
            writer.close()

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    server = await asyncio.start_server(client, "127.0.0.1", port, backlog=128)
    pidfile.say(lock, listening=True)
    await ended.wait()
    server.close()
    if serving:
        await asyncio.wait(serving, timeout=END_SECONDS)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            inner_reader, inner_writer = await asyncio.open_connection(host, port)
    except OSError:
        await _refuse(reader, writer, b"nobody serves")
        return
    try:
        request = asyncio.create_task(_copy(reader, inner_writer))
        await _copy(inner_reader, writer)  # the service ends the connection once it has answered
        request.cancel()
    finally:
        inner_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, why: bytes) -> None:
    with contextlib.suppress(TimeoutError):  # closing with the request unread would reset the connection under the answer
        async with asyncio.timeout(CONNECT_SECONDS):
            await reader.read(CHUNK_BYTES)
    writer.write(REFUSAL % why)
    await writer.drain()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("verb", choices=["serve", "open", "close", "status"])
    arguments.add_argument("--state-file", required=True, type=Path)
    arguments.add_argument("--port", type=int)
    arguments.add_argument("--target", help="host:port of the service")
    arguments.add_argument("--pidfile", type=Path)
    given = arguments.parse_args()
    if given.verb == "serve":
        if not (given.port and given.target and given.pidfile):
            arguments.error("serve needs --port, --target and --pidfile")
        return _serve(given)
    witness.note(given.verb, "door")
    if given.verb == "status":
        opened = is_open(given.state_file)
        print("open" if opened else "closed")
        return OPEN if opened else CLOSED
    return turn(given.state_file, "open" if given.verb == "open" else "closed")


def _serve(given: argparse.Namespace) -> int:
    given.pidfile.parent.mkdir(parents=True, exist_ok=True)
    if (lock := pidfile.lock(given.pidfile)) is None:
        print(f"{given.pidfile} is locked: the door is already served", file=sys.stderr)
        return 1
    asyncio.run(serve(given.state_file, given.port, given.target, lock))
    return 0


if __name__ == "__main__":
    sys.exit(main())
