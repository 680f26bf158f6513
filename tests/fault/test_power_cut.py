"""After a power cut files of our own may be empty, hold NULs, or half of what was written: the next daemon goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.aftermath import assert_completed
from support.found_files import CUT, put
from support.night import Night, a_night, at_the_first_gate, stalled_at, until
from support.servers import Cluster

from cutoverd.daemon.embedded import nats
from cutoverd.daemon.host.launcher import birth
from cutoverd.events import facts

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
OURS = ("anchor.json", "daemon.lock", "files.json", "watch.json", "begun/*", "children/epoch")
OF_NATS = ("server.json", "server.pid", "server.conf")


def cut_the_power(night: Night, what: str) -> list[Path]:
    """Daemon, nats-server and every child are gone at once, and each file of ours is as it may be left; which."""
    server = nats.find(night.state_dir / "nats")
    assert server
    night.kill()
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: birth(server.pid) is None, "the nats-server is gone")
    night.close_reader()
    found = [file for pattern in OURS for file in night.run_dir.glob(pattern)]
    found += [night.state_dir / "nats" / name for name in OF_NATS]
    record = night.run_dir / "children" / "4194400.json"
    for file in [*found, record]:
        put(file, what)
    return found


@pytest.mark.long
def test_every_file_of_ours_is_cut_at_a_gate_and_the_next_daemon_completes_the_run(cluster: Cluster, tmp_path: Path) -> None:
    """In each of the ways that a power cut leaves a file, one after the other."""
    with a_night(cluster, tmp_path, gates=["cutover"]) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="cutover")
        for number, what in enumerate(CUT, 1):
            cut = cut_the_power(night, what)
            assert {file.name for file in cut} >= {"anchor.json", "daemon.lock", "files.json", "epoch", *OF_NATS}
            for words in (["status"], ["history"]):
                done = night.cli(*words)
                assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
            before = len(night.output)
            night.take_over(*["--auto"] * (number == len(CUT)))
            for named in ("anchor.json", "children/epoch"):
                until(lambda at=str(night.run_dir / named), end=before: at in night.output[end:], f"{named} is named ({what})")
        assert_completed(night)
        leaders = [each.event for each in night.journal() if isinstance(each.event, facts.LeaderAcquired)]
        assert [leader.epoch for leader in leaders] == list(range(1, len(CUT) + 2))


@pytest.mark.long
def test_a_change_that_was_begun_and_whose_note_is_cut_is_looked_at_again(cluster: Cluster, tmp_path: Path) -> None:
    """The note does not tell any more what was begun: then nothing is believed at first sight."""
    with stalled_at("downtime.stop_service:worker", cluster, tmp_path) as night:
        assert "service.worker.old" in {file.name for file in cut_the_power(night, "empty")}
        night.start("--auto")
        assert_completed(night)


def test_the_epoch_is_the_highest_of_ledger_journal_and_file(cluster: Cluster, tmp_path: Path) -> None:
    """A ledger that was restored from yesterday does not lower it."""
    with at_the_first_gate(cluster, tmp_path, gates=["downtime"]) as night:
        night.kill()
        (night.run_dir / "children" / "epoch").write_text("41")
        night.start()
        assert night.wait_for(facts.LeaderAcquired, epoch=42)
        assert night.cli("send", "abort").returncode == 0
        assert night.exit_code() == 5
