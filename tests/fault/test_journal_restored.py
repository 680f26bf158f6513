"""The stream of a run is lost, in any way and at any moment; `cutoverd journal restore` makes it again, and the run goes on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.aftermath import assert_completed
from support.night import Night, a_night
from support.servers import Cluster, in_a_loop_of_its_own
from support.wire import publish

from cutoverd.daemon.bus import stream
from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.journal_file import FILE, read_lines
from cutoverd.daemon.embedded import nats
from cutoverd.daemon.postgres.ledger.journal_copy import read_all
from cutoverd.events import facts
from cutoverd.events.subjects import STREAM

pytestmark = [pytest.mark.long, pytest.mark.parametrize("cluster", ["18"], indirect=True)]
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
        night, lambda client: stream._ask(client, f"$JS.API.STREAM.{what}.{STREAM}", config or {})
    )
    return answer


def stop_looking(night: Night) -> None:
    if night.reader:
        night.reader.close()
        night.reader = None


# --- how a stream is lost


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
    in_a_loop_of_its_own(nats.stop(night.state_dir / "nats"))


LOSSES: list[Loss] = [
    is_deleted,
    is_remade,
    is_wiped,
    folder_is_deleted,
    a_byte_is_flipped,
    a_byte_is_flipped_and_no_index_is_there,
]


def lost(night: Night, loss: Loss) -> list[bytes]:
    """The daemon is killed and then the stream is lost; what it held."""
    night.kill()
    stop_looking(night)
    was = [body for _, body in bodies(night)]
    loss(night)
    stop_looking(night)
    return was


def assert_restored(night: Night, was: list[bytes]) -> None:
    """To the byte, beyond every sequence of before, and one event more that keeps an older daemon out."""
    there = bodies(night)
    assert [body for _, body in there][: len(was)] == was
    assert [type(each.event) for each in night.journal()[len(was) :]] == [facts.LeaderAcquired]
    in_ledger, in_folder = copies(night)
    assert [(each.seq, each.body) for each in in_ledger] == there
    assert [(each.seq, each.body) for each in in_folder] == there


def copies(night: Night) -> Any:
    in_ledger = in_a_loop_of_its_own(read_all(night.cluster.server(run=night.run, epoch=0)))[night.run]
    return in_ledger, list(read_lines(night.run_dir / FILE))


def goes_on(night: Night) -> None:
    night.release()
    night.start("--auto")
    assert night.exit_code(120) == 0, night.output[-4000:]
    assert_completed(night)


@pytest.mark.parametrize("loss", LOSSES)
def test_whatever_became_of_the_stream_the_journal_is_made_again_and_the_run_goes_on(
    cluster: Cluster, tmp_path: Path, loss: Loss
) -> None:
    """In the middle of Data, production closed."""
    with a_night(cluster, tmp_path) as night:
        night.stall("data.run_script:data/010.sql")
        night.start("--auto")
        night.wait_for_step("data.run_script:data/010.sql")
        highest = night.journal()[-1].seq
        was = lost(night, loss)
        night.start("--auto")
        assert night.exit_code() == 1, night.output[-3000:]
        assert "cutoverd journal restore" in night.output
        stop_looking(night)
        dry = restore(night, "--dry-run")
        assert (dry.returncode, f"a journal of {len(was)} events is made again" in dry.stdout) == (0, True), dry
        done = restore(night)
        assert done.returncode == 0, done
        assert_restored(night, was)
        assert bodies(night)[0][0] > highest
        again = restore(night)
        assert (again.returncode, "nothing is to be restored" in again.stdout) == (0, True), again
        goes_on(night)
