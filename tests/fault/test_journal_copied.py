"""The journal is kept three times, to the byte: in the stream, in the ledger, and in the run's folder."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.aftermath import assert_completed
from support.night import Night, a_night
from support.servers import Cluster, in_a_loop_of_its_own

from cutoverd.daemon.bus.connection import connect
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.journal_file import FILE, read_lines
from cutoverd.daemon.embedded.nats import Nats
from cutoverd.daemon.postgres.ledger.journal_copy import read_all
from cutoverd.events import facts

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)


async def messages(server: Nats) -> list[tuple[int, bytes]]:
    client = await connect(server.url, user=server.user, password=server.password)
    try:
        return [(message.seq, message.data) async for message in Journal(client, "cutover.evt.night").replay()]
    finally:
        await client.close()


def copies(night: Night) -> list[list[tuple[int, bytes]]]:
    """Of the ledger and of the folder."""
    in_ledger = in_a_loop_of_its_own(read_all(night.cluster.server(run=night.run, epoch=0)))[night.run]
    return [[(each.seq, each.body) for each in copy] for copy in (in_ledger, read_lines(night.run_dir / FILE))]


def test_every_event_is_in_stream_ledger_and_folder_after_kills_and_a_copy_that_lost_its_end(
    cluster: Cluster, tmp_path: Path
) -> None:
    with a_night(cluster, tmp_path) as night:
        night.start("--auto")
        night.wait_for(facts.StepStarted, step="downtime.fence_old")
        night.kill()
        file = night.run_dir / FILE
        assert file.stat().st_mode & 0o777 == 0o600
        file.write_bytes(file.read_bytes()[:-40])
        cluster.execute("DELETE FROM cutoverd.journal_copy WHERE n > 5", "cutoverd")
        night.take_over("--auto")
        assert night.exit_code() == 0, night.output[-4000:]
        whole = in_a_loop_of_its_own(messages(night.nats()))
        assert copies(night) == [whole, whole]
        assert_completed(night)


def test_a_fence_is_not_begun_before_the_ledger_knows_that_it_was_announced(cluster: Cluster, tmp_path: Path) -> None:
    """What cannot be copied holds up nothing but what must not be hidden by a lost stream."""
    with a_night(cluster, tmp_path) as night:
        cluster.execute(
            "CREATE FUNCTION night.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
            "CREATE TRIGGER no BEFORE INSERT ON cutoverd.journal_copy EXECUTE FUNCTION night.no();",
            "cutoverd",
        )
        night.start("--auto")
        night.wait_for(facts.StepStarted, step="downtime.close_traffic:door")
        time.sleep(2)
        assert "door.door" in night.systems()
        assert night.witnessed() == []
        cluster.execute("DROP TRIGGER no ON cutoverd.journal_copy", "cutoverd")
        assert night.exit_code() == 0, night.output[-4000:]
        assert_completed(night)
