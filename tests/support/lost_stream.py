"""How the stream of a night is lost, and what its journal is afterwards."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

from support.aftermath import assert_completed
from support.night import Night, until
from support.servers import in_a_loop_of_its_own
from support.wire import publish

from cutoverd.daemon.bus import stream, stream_api
from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.journal_file import FILE, read_lines
from cutoverd.daemon.embedded import nats
from cutoverd.daemon.postgres.ledger.journal_copy import read_all
from cutoverd.events import facts
from cutoverd.events.subjects import STREAM

Loss = Callable[[Night], None]


def restore(night: Night, *words: str) -> subprocess.CompletedProcess[str]:
    return night.main("journal", "restore", str(night.plan_file), "--confirm", night.run, *words, seconds=120)


def on_the_bus(night: Night, use: Callable[[Client], Any]) -> Any:
    """What `use` makes of a connection to the night's server."""

    async def connected() -> Any:
        client = await connect(server.url, user=server.user, password=server.password)
        try:
            return await use(client)
        finally:
            await client.close()

    server = night.nats()
    return in_a_loop_of_its_own(connected())


def bodies(night: Night, subject: str = "cutover.evt.night") -> list[tuple[int, bytes]]:
    async def read(client: Client) -> list[tuple[int, bytes]]:
        return [(message.seq, message.data) async for message in Journal(client, subject).replay()]

    found: list[tuple[int, bytes]] = on_the_bus(night, read)
    return found


def ask(night: Night, what: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = on_the_bus(
        night, lambda client: stream_api.ask(client, f"$JS.API.STREAM.{what}.{STREAM}", config or {})
    )
    return answer


def is_deleted(night: Night) -> None:
    assert ask(night, "DELETE")["success"]


def is_remade(night: Night) -> None:
    is_deleted(night)
    ask(night, "CREATE", stream.settings())
    publish(night, "a stranger's", "cutover.evt.night")


def is_wiped(night: Night) -> None:
    """What an administrator does who empties it: its settings keep anybody from a purge, so he makes it anew."""
    last_seq = ask(night, "INFO")["state"]["last_seq"]
    is_deleted(night)
    ask(night, "CREATE", stream.settings() | {"first_seq": last_seq + 1})


def folder_is_deleted(night: Night) -> None:
    stop_nats(night)
    shutil.rmtree(night.state_dir / "nats")


def a_byte_is_flipped(night: Night) -> None:
    """In the middle of the run's events: that one alone is gone, and what follows does not follow."""
    middle = night.journal()[8].envelope.id.encode()
    stop_nats(night)
    [block] = [file for file in (night.state_dir / "nats").rglob("*.blk") if middle in file.read_bytes()]
    content = bytearray(block.read_bytes())
    content[content.rindex(middle)] ^= 1
    block.write_bytes(content)


def a_byte_is_flipped_and_no_index_is_there(night: Night) -> None:
    """The server itself cuts the stream before it."""
    a_byte_is_flipped(night)
    for index in (night.state_dir / "nats").rglob("index.db"):
        index.unlink()


def stop_nats(night: Night) -> None:
    night.close_reader()
    in_a_loop_of_its_own(nats.stop(night.state_dir / "nats"))


def lost(night: Night, loss: Loss) -> list[bytes]:
    """The daemon is killed once its folder has all, and then the stream is lost; what it held."""
    if night.daemons[-1].poll() is None:
        until_copied(night)
    night.kill()
    night.close_reader()
    was = [body for _, body in bodies(night)]
    loss(night)
    night.close_reader()
    return was


def copies(night: Night) -> Any:
    in_ledger = in_a_loop_of_its_own(read_all(night.cluster.server(run=night.run, epoch=0)))[night.run]
    return in_ledger, list(read_lines(night.run_dir / FILE))


def until_copied(night: Night) -> None:
    """The copies lag by one event: of a daemon that is killed at once, the last is in the stream alone."""
    subject = f"cutover.evt.{night.run}"
    until(lambda: len(list(read_lines(night.run_dir / FILE))) >= len(bodies(night, subject)), "the folder has it too")


def assert_restored(night: Night, was: list[bytes]) -> None:
    """To the byte, beyond every sequence of before, and one event more that keeps an older daemon out."""
    there = bodies(night)
    assert [body for _, body in there][: len(was)] == was
    assert [type(each.event) for each in night.journal()[len(was) :]] == [facts.LeaderAcquired]
    in_ledger, in_folder = copies(night)
    assert [(each.seq, each.body) for each in in_ledger] == there
    assert [(each.seq, each.body) for each in in_folder] == there


def goes_on(night: Night) -> None:
    night.release()
    night.start("--auto")
    assert night.exit_code(120) == 0, night.output[-4000:]
    assert_completed(night)


def followed_by_another(night: Night) -> list[bytes]:
    """Run `night` is aborted, and `night2` waits at its first gate, its daemon killed; the events of the first."""
    assert night.cli("send", "abort").returncode == 0
    assert night.exit_code() == 5
    night.close_reader()
    of_first = [body for _, body in bodies(night)]
    night.run = "night2"
    night.write_plan(run="night2")
    night.start()
    night.wait_for(facts.GateReached, gate="downtime")
    until_copied(night)
    night.kill()
    night.close_reader()
    return of_first


def is_taken_on(night: Night) -> None:
    """The next daemon takes the run, and is heard."""
    night.start()
    assert night.cli("send", "note", "--reason", "here").returncode == 0, night.output[-4000:]
