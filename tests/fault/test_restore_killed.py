"""A restore that is killed, or overtaken by a newer daemon, is said again and finishes."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.lost_stream import (
    a_byte_is_flipped,
    ask,
    assert_restored,
    bodies,
    followed_by_another,
    goes_on,
    is_deleted,
    is_taken_on,
    lost,
    restore,
)
from support.night import Night, at_the_first_gate, stalled_at
from support.rivals import Rivals
from support.servers import Cluster, in_a_loop_of_its_own
from support.wire import publish

from cutoverd.daemon.bus.journal_file import FILE
from cutoverd.daemon.control import restore as restoring
from cutoverd.daemon.plan.load import load
from cutoverd.events import facts
from cutoverd.events.codec import decode, encode
from cutoverd.states.errors import NotLeader

pytestmark = [pytest.mark.long, pytest.mark.parametrize("cluster", ["18"], indirect=True)]


def test_killed_at_any_moment_it_is_said_again_and_finishes(cluster: Cluster, tmp_path: Path) -> None:
    with stalled_at("data.run_script:data/010.sql", cluster, tmp_path) as night:
        was = lost(night, is_deleted)
        for number in range(8):
            killed = begin_restore(night, night.plan_file)
            after = number // 2  # so many of its actions; a moment later the next one is under way
            lines = 0
            while lines < after and (line := killed.stdout.readline() if killed.stdout else b""):
                lines += line.startswith("✔".encode())
            time.sleep(0.02 * (number % 2))
            killed.kill()
            killed.communicate()
            if number == 4:
                is_deleted(night)
        done = restore(night)
        assert done.returncode == 0, done
        assert [body for _, body in bodies(night)][: len(was)] == was
        assert {type(each.event) for each in night.journal()[len(was) :]} <= {facts.LeaderAcquired}, "of those that came that far"
        goes_on(night)


class Killed(BaseException):
    """As by SIGKILL, at a certain line."""


def restored_until(night: Night, words: str) -> None:
    """In this process; killed once it has said that line."""

    def say(line: str) -> None:
        if words in line:
            raise Killed

    with pytest.raises(Killed):
        in_a_loop_of_its_own(restoring.restore(load(night.plan_file), say))


def test_killed_once_its_own_events_are_back_it_finishes_with_the_other_runs_of_the_stream(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Found: said again it called the journal whole, and the others, one of another ledger among them, were never put back."""
    with at_the_first_gate(cluster, tmp_path) as night:
        of_first = followed_by_another(night)
        of_strangers = encode(replace(decode(of_first[0]), run="theirs"))
        publish(night, of_strangers.decode(), "cutover.evt.theirs")
        publish(night, '{"mac":"' + 64 * "0" + '"}', "cutover.evt.nobodys")
        registry = [body for _, body in bodies(night, "cutover.runs")]
        a_byte_is_flipped(night)
        restored_until(night, "events of run night2 are put back")
        done = restore(night)
        assert (done.returncode, "run night (aborted) is put back too" in done.stdout) == (0, True), done
        assert [body for _, body in bodies(night)] == of_first
        assert [body for _, body in bodies(night, "cutover.evt.theirs")] == [of_strangers]
        assert [body for _, body in bodies(night, "cutover.runs")] == registry
        again = restore(night)
        assert (again.returncode, "nothing is to be restored" in again.stdout) == (0, True), again
        is_taken_on(night)


def test_killed_once_the_stream_is_deleted_it_finds_what_the_stream_alone_had(cluster: Cluster, tmp_path: Path) -> None:
    """Found: it lay in a file that nobody read, and the end of the journal counted as lost."""
    with at_the_first_gate(cluster, tmp_path) as night:
        night.kill()
        was = [body for _, body in bodies(night)]
        (night.run_dir / FILE).unlink()
        cluster.execute("DELETE FROM cutoverd.journal_copy WHERE n > 20", "cutoverd")
        a_byte_is_flipped(night)
        restored_until(night, "the stream is made anew")
        done = restore(night)
        assert (done.returncode, "is lost" in done.stdout) == (0, False), done
        assert_restored(night, was)
        is_taken_on(night)


def test_a_newer_daemon_that_came_while_the_stream_was_read_keeps_its_stream(cluster: Cluster, tmp_path: Path) -> None:
    """Found: an older restore that had stood still deleted the stream that the newer one had made, and gone on with."""
    with at_the_first_gate(cluster, tmp_path) as night:
        night.kill()
        a_byte_is_flipped(night)
        created = ask(night, "INFO")["created"]

        def say(line: str) -> None:
            if "is kept in" in line:
                cluster.execute("UPDATE cutoverd.claims SET epoch = 50", "cutoverd")

        with pytest.raises(NotLeader, match="epoch 50"):
            in_a_loop_of_its_own(restoring.restore(load(night.plan_file), say))
        assert ask(night, "INFO")["created"] == created


@pytest.mark.parametrize("gap", [0.0, pytest.param(0.3, marks=pytest.mark.soak), pytest.param(0.8, marks=pytest.mark.soak)])
def test_two_at_once_from_two_machines_make_one_stream(cluster: Cluster, tmp_path: Path, gap: float) -> None:
    """The newer one is not disturbed: the older one ends by saying who leads, or finds nothing to do."""
    with at_the_first_gate(cluster, tmp_path, state_dir="state") as night:
        was = lost(night, is_deleted)
        rivals = [begin_restore(night, night.plan_file)]
        time.sleep(gap)
        rivals.append(begin_restore(night, Rivals(night, random.Random(0)).furnish_machine()))
        outcomes = [(rival.communicate(timeout=120)[0].decode(), rival.returncode) for rival in rivals]
        assert min(code for _, code in outcomes) == 0, outcomes
        assert all(code == 0 or "another daemon has taken" in output for output, code in outcomes), outcomes
        assert [body for _, body in bodies(night)][: len(was)] == was
        assert {type(each.event) for each in night.journal()[len(was) :]} == {facts.LeaderAcquired}
        assert restore(night).returncode == 0, "the older one's folder may hold what it had begun: that is finished"
        again = restore(night)
        assert (again.returncode, "nothing is to be restored" in again.stdout) == (0, True), (again.stdout, outcomes)
        is_taken_on(night)


def begin_restore(night: Night, plan_file: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "cutoverd.daemon", "journal", "restore", str(plan_file), "--confirm", night.run]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
