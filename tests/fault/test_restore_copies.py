"""What a restore makes the journal from: of each copy what the others have lost, and what no copy has is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.lost_stream import (
    a_byte_is_flipped,
    assert_restored,
    bodies,
    folder_is_deleted,
    followed_by_another,
    goes_on,
    is_deleted,
    is_taken_on,
    is_wiped,
    lost,
    restore,
    stop_nats,
)
from support.night import a_night, at_the_first_gate
from support.servers import Cluster
from support.wire import publish

from cutoverd.daemon.bus.journal_file import FILE
from cutoverd.events import facts

pytestmark = [pytest.mark.long, pytest.mark.parametrize("cluster", ["18"], indirect=True)]


def test_the_folders_copy_is_enough_where_the_ledger_has_lost_its_own_and_its_key(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        was = lost(night, is_deleted)
        cluster.execute("DROP TABLE cutoverd.journal_copy, cutoverd.journal_key", "cutoverd")
        dry = restore(night, "--dry-run")
        assert (dry.returncode, "the ledger has 0 events" in dry.stdout) == (0, True), dry
        assert restore(night).returncode == 0
        assert_restored(night, was)
        is_taken_on(night)


def test_what_is_cut_is_filled_up_in_its_place_by_whichever_copy_has_it(cluster: Cluster, tmp_path: Path) -> None:
    """As after a restore that was killed half-way; the ledger lost its middle, the folder its end."""
    with at_the_first_gate(cluster, tmp_path) as night:
        cluster.execute("DELETE FROM cutoverd.journal_copy WHERE n BETWEEN 7 AND 9", "cutoverd")
        was = lost(night, is_wiped)
        for body in was[:5]:
            publish(night, body.decode(), "cutover.evt.night")
        file = night.run_dir / FILE
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:12]))
        first_seq = bodies(night)[0][0]
        done = restore(night)
        assert done.returncode == 0, done
        assert "stream CUTOVER stays" in done.stdout
        assert_restored(night, was)
        assert bodies(night)[0][0] == first_seq
        is_taken_on(night)


def test_where_no_copy_has_the_end_the_run_is_held_until_somebody_has_looked(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        was = lost(night, is_deleted)
        (night.run_dir / FILE).unlink()
        cluster.execute(f"DELETE FROM cutoverd.journal_copy WHERE n >= {len(was)}", "cutoverd")
        [(kept,)] = cluster.execute("SELECT count(*) FROM cutoverd.journal_copy", "cutoverd")  # one that was killed may lag
        done = restore(night)
        assert (done.returncode, "the run will be held: the end of the journal is lost" in done.stdout) == (0, True), done
        assert [body for _, body in bodies(night)][:kept] == was[:kept]
        night.start("--auto")
        assert night.exit_code() == 6, night.output[-3000:]
        assert "no copy has it" in night.cli("status").stdout
        night.close_reader()
        publish(night, "resume")
        goes_on(night)


def test_another_run_of_the_stream_is_restored_with_it_and_its_name_stays_used(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        first = shutil.copy(night.plan_file, tmp_path / "first.yaml")
        of_first = followed_by_another(night)
        was = [body for _, body in bodies(night, "cutover.evt.night2")]
        is_deleted(night)
        done = restore(night)
        assert (done.returncode, "run night (aborted) is put back too" in done.stdout) == (0, True), done
        assert [body for _, body in bodies(night)] == of_first
        assert [body for _, body in bodies(night, "cutover.evt.night2")][: len(was)] == was
        assert night.main("history", "--plan", str(first)).returncode == 0
        goes_on(night)
        used = night.main("run", str(first), "--format", "lines")
        assert (used.returncode, "run 'night' has ended already (aborted)" in used.stderr) == (1, True), used


def test_what_was_said_to_an_older_backup_of_the_stream_is_named_though_it_reaches_far_enough(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Found: a `rollback` in it lay below the last position on record: no daemon heard it, and nobody was told."""
    with at_the_first_gate(cluster, tmp_path) as night:
        night.kill()
        night.close_reader()
        stop_nats(night)
        shutil.copytree(night.state_dir / "nats", tmp_path / "backup")
        night.start()
        for _ in range(3):
            assert night.cli("send", "note", "--reason", "late").returncode == 0
        was = lost(night, stop_nats)
        shutil.rmtree(night.state_dir / "nats")
        (tmp_path / "backup").rename(night.state_dir / "nats")
        for number in range(20):
            publish(night, f"rollback{number}")
        done = restore(night)
        assert done.returncode == 0, done
        assert "nobody has answered is lost, say it again: rollback0 (on cutover.cmd" in done.stdout
        assert_restored(night, was)
        is_taken_on(night)


def test_a_command_that_nobody_answered_is_named_and_counts_only_when_it_is_said_again(cluster: Cluster, tmp_path: Path) -> None:
    """Else what was said to one gate would open another."""
    with at_the_first_gate(cluster, tmp_path) as night:
        night.kill()
        publish(night, "advance")
        was = lost(night, a_byte_is_flipped)
        done = restore(night)
        assert done.returncode == 0, done
        assert "nobody has answered is lost, say it again: advance (on cutover.cmd" in done.stdout
        assert_restored(night, was)
        [saved] = night.run_dir.glob("stream-before-*.ndjson")
        assert '"subject": "cutover.cmd"' in saved.read_text()
        assert saved.stat().st_mode & 0o777 == 0o600
        is_taken_on(night)
        assert night.events(facts.GatePassed) == []


def test_the_journal_of_a_run_that_has_ended_is_whole_again_for_history_and_finalize(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.start("--auto")
        assert night.exit_code(120) == 0, night.output[-4000:]
        was = lost(night, folder_is_deleted)
        done = restore(night)
        assert (done.returncode, "the run has ended as completed" in done.stdout) == (0, True), done
        assert [body for _, body in bodies(night)] == was
        assert "completed" in night.cli("history").stdout
        dropped = night.cli("finalize", "--confirm", night.run)
        assert (dropped.returncode, dropped.stderr) == (0, ""), dropped
        is_deleted(night)
        (night.run_dir / FILE).unlink()
        last = max(n for n, _ in cluster.execute("SELECT n, seq FROM cutoverd.journal_copy", "cutoverd"))
        cluster.execute(f"DELETE FROM cutoverd.journal_copy WHERE n = {last}", "cutoverd")
        assert restore(night).returncode == 0
        assert "no copy has it" in night.cli("history").stdout, "and nothing is held that has ended"
        assert night.cli("finalize", "--confirm", night.run).returncode == 0
        night.start()
        assert night.exit_code() == 1
        assert "has ended already (completed)" in night.output
