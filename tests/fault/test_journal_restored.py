"""The stream of a run is lost, in any way and at any moment; `cutoverd journal restore` makes it again, and the run goes on."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.aftermath import assert_completed
from support.night import Night, a_night, until
from support.production import photograph
from support.rivals import Rivals
from support.servers import Cluster, in_a_loop_of_its_own
from support.wire import publish

from cutoverd.daemon.bus import stream, stream_api
from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.journal_file import FILE, read_lines
from cutoverd.daemon.control import restore as restoring
from cutoverd.daemon.embedded import nats
from cutoverd.daemon.embedded.loopback import HOST, free_port
from cutoverd.daemon.embedded.nats_binary import program
from cutoverd.daemon.plan.load import load
from cutoverd.daemon.postgres.ledger.journal_copy import read_all
from cutoverd.events import facts
from cutoverd.events.codec import decode, encode
from cutoverd.events.mac import JournalKey
from cutoverd.events.subjects import STREAM
from cutoverd.states.errors import NotLeader

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
        night, lambda client: stream_api.ask(client, f"$JS.API.STREAM.{what}.{STREAM}", config or {})
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


# the other two in CI by tests/integration/bus/test_make_anew.py and tests/unit/engine/test_chains.py
IN_CI = (is_deleted, is_remade, folder_is_deleted, a_byte_is_flipped)
LOSSES: list[Loss] = [
    is_deleted,
    is_remade,
    is_wiped,
    folder_is_deleted,
    a_byte_is_flipped,
    a_byte_is_flipped_and_no_index_is_there,
]


def lost(night: Night, loss: Loss) -> list[bytes]:
    """The daemon is killed once its folder has all, and then the stream is lost; what it held."""
    if night.daemons[-1].poll() is None:
        copied = lambda: len(list(read_lines(night.run_dir / FILE))) >= len(bodies(night))  # noqa: E731
        until(copied, "the folder has it too")
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


@pytest.mark.parametrize("loss", [pytest.param(each, marks=[] if each in IN_CI else pytest.mark.soak) for each in LOSSES])
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
        observed = night.cli("status")
        assert (observed.returncode, "cutoverd journal restore" in observed.stderr) == (1, True), "found: it had not started"
        dry = restore(night, "--dry-run")
        assert (dry.returncode, f"a journal of {len(was)} events is made again" in dry.stdout) == (0, True), dry
        done = restore(night)
        assert done.returncode == 0, done
        assert_restored(night, was)
        assert bodies(night)[0][0] > highest
        again = restore(night)
        assert (again.returncode, "nothing is to be restored" in again.stdout) == (0, True), again
        goes_on(night)


MOMENTS = [
    "smoke.smoke_test:page",
    pytest.param("smoke.exchange_names", marks=pytest.mark.soak),
    pytest.param("schema.build_new", marks=pytest.mark.soak),
    pytest.param("cutover.open_traffic:door", marks=pytest.mark.soak),
]


@pytest.mark.parametrize("step", MOMENTS)
def test_at_any_moment_of_the_night_the_run_goes_on_from_where_it_was(cluster: Cluster, tmp_path: Path, step: str) -> None:
    with a_night(cluster, tmp_path) as night:
        night.stall(step)
        night.start("--auto")
        night.wait_for_step(step)
        was = lost(night, is_deleted)
        assert restore(night).returncode == 0
        assert_restored(night, was)
        goes_on(night)


def test_the_folders_copy_is_enough_where_the_ledger_has_lost_its_own_and_its_key(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        was = lost(night, is_deleted)
        cluster.execute("DROP TABLE cutoverd.journal_copy, cutoverd.journal_key", "cutoverd")
        dry = restore(night, "--dry-run")
        assert (dry.returncode, "the ledger has 0 events" in dry.stdout) == (0, True), dry
        assert restore(night).returncode == 0
        assert_restored(night, was)
        goes_on(night)


def test_on_the_way_back_the_run_goes_on_back(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.knob("smoke api test", exit=1)
        night.stall("smoke.exchange_names", "back")
        night.start("--auto")
        night.wait_for_step("smoke.exchange_names", "back")
        was = lost(night, is_deleted)
        assert restore(night).returncode == 0
        assert_restored(night, was)
        night.release()
        night.start("--auto")
        assert night.exit_code(120) == 3, night.output[-4000:]
        assert photograph(cluster) == night.before


def test_in_monitor_the_watch_goes_on_as_if_the_stream_had_never_been_lost(cluster: Cluster, tmp_path: Path) -> None:
    """After a `resume`, whose sequence is another one now."""
    with a_night(cluster, tmp_path) as night:
        night.write_plan(monitor={"for": "10m", "every": "1s"}, gates=[])
        night.start()
        night.wait_for(facts.StepStarted, step="monitor.watch")
        assert night.cli("send", "hold", "--now").returncode == 0
        assert night.cli("send", "resume").returncode == 0
        until(lambda: watch_of(night).get("answered_seq"), "a round is kept that knows of the resume")
        watched = watch_of(night)
        was = lost(night, is_deleted)
        assert restore(night).returncode == 0
        assert_restored(night, was)
        night.start()
        until(lambda: watch_of(night)["rounds"] > watched["rounds"], f"it watches\n{night.output[-3000:]}")
        assert watch_of(night)["answered_seq"] == watched["answered_seq"]
        assert night.cli("send", "hold").returncode == 0, "it is heard at its new sequence"


def watch_of(night: Night) -> dict[str, Any]:
    """As the daemon has kept it."""
    kept = night.run_dir / "watch.json"
    return dict(json.loads(kept.read_text())) if kept.exists() else {}


def test_a_run_that_was_held_is_held_still_and_hears_what_is_said_now(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        assert night.cli("send", "hold", "--reason", "look").returncode == 0
        was = lost(night, folder_is_deleted)
        assert restore(night).returncode == 0
        assert_restored(night, was)
        night.start()
        for verb in ("resume", "advance"):
            answer = night.cli("send", verb)
            assert answer.returncode == 0, answer
        night.wait_for(facts.GatePassed, gate="downtime")
        night.kill()
        goes_on(night)


def test_a_command_that_nobody_answered_is_named_and_counts_only_when_it_is_said_again(cluster: Cluster, tmp_path: Path) -> None:
    """Else what was said to one gate would open another."""
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
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
        night.start()
        assert night.cli("send", "note", "--reason", "here").returncode == 0
        assert night.events(facts.GatePassed) == []


def test_a_daemon_that_waits_for_its_lost_stream_elsewhere_steps_down(cluster: Cluster, tmp_path: Path) -> None:
    """It has another `state_dir`, so no lock tells of it."""
    with a_night(cluster, tmp_path, state_dir="state") as night:
        night.nats()
        night.stall("data.run_script:data/010.sql")
        old = Rivals(night, random.Random(1)).start("--auto")
        night.wait_for_step("data.run_script:data/010.sql")
        was = [body for _, body in bodies(night)]
        is_deleted(night)
        stop_looking(night)
        done = restore(night)
        assert done.returncode == 0, done
        assert [body for _, body in bodies(night)][: len(was)] == was
        assert old.wait(60) == 7, night.output[-4000:]
        goes_on(night)


def test_a_daemon_whose_stream_is_deleted_while_it_works_ends_and_says_what_helps(cluster: Cluster, tmp_path: Path) -> None:
    """Found: it waited for it without end, production closed."""
    with a_night(cluster, tmp_path) as night:
        night.stall("data.run_script:data/010.sql")
        night.start("--auto")
        night.wait_for_step("data.run_script:data/010.sql")
        is_deleted(night)
        stop_looking(night)
        night.release()
        assert night.exit_code(120) == 1, night.output[-4000:]
        assert "cutoverd journal restore" in night.output
        assert restore(night).returncode == 0
        goes_on(night)


def test_a_daemon_on_this_machine_is_not_taken_from(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        is_deleted(night)
        refused = restore(night)
        assert (refused.returncode, "is driven by process" in refused.stderr) == (7, True), refused
        assert ask(night, "INFO")["error"]["err_code"] == stream_api.NO_STREAM


def test_nothing_is_done_where_the_stream_has_more_than_its_copies(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        night.kill()
        (night.run_dir / FILE).unlink()
        cluster.execute("DELETE FROM cutoverd.journal_copy WHERE n > 5", "cutoverd")
        was = bodies(night)
        done = restore(night)
        assert (done.returncode, "nothing is to be restored" in done.stdout) == (0, True), done
        assert bodies(night) == was
        assert cluster.execute("SELECT epoch FROM cutoverd.fence", "cutoverd") == [(1,)]


def test_what_is_cut_is_filled_up_in_its_place_by_whichever_copy_has_it(cluster: Cluster, tmp_path: Path) -> None:
    """As after a restore that was killed half-way; the ledger lost its middle, the folder its end."""
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
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
        goes_on(night)


def test_copies_that_the_ledgers_key_did_not_sign_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        was = lost(night, is_deleted)
        cluster.execute("DELETE FROM cutoverd.journal_copy", "cutoverd")
        file, forged = night.run_dir / FILE, JournalKey((b"somebody's",))
        kept = list(read_lines(file))
        resigned = [forged.sign(each.body[:-74] + b"}") for each in kept]
        write(file, resigned)
        refused = restore(night)
        assert (refused.returncode, "not of the ledger's key" in refused.stderr) == (1, True), refused
        assert ask(night, "INFO")["error"]["err_code"] == stream_api.NO_STREAM
        write(file, [*was, resigned[-1]])
        assert restore(night).returncode == 0
        assert_restored(night, was)


def write(file: Path, messages: list[bytes]) -> None:
    file.write_bytes(b"".join(b'{"n":%d,"seq":%d,"event":%b}\n' % (n, n, body) for n, body in enumerate(messages, 1)))


def test_where_no_copy_has_the_end_the_run_is_held_until_somebody_has_looked(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
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
        stop_looking(night)
        publish(night, "resume")
        goes_on(night)


def test_another_run_of_the_stream_is_restored_with_it_and_its_name_stays_used(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        assert night.cli("send", "abort").returncode == 0
        assert night.exit_code() == 5
        first = tmp_path / "first.yaml"
        shutil.copy(night.plan_file, first)
        stop_looking(night)
        of_first = [body for _, body in bodies(night)]
        night.run = "night2"
        night.write_plan(run="night2")
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        night.kill()
        stop_looking(night)
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


def test_a_run_whose_production_was_taken_back_is_not_restored(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.stall("data.run_script:data/010.sql")
        night.start("--auto")
        night.wait_for_step("data.run_script:data/010.sql")
        lost(night, folder_is_deleted)
        assert (
            night.main("rollback", str(night.plan_file), "--without-journal", "--confirm", night.run, seconds=120).returncode == 3
        )
        refused = restore(night)
        assert (refused.returncode, "taken back without its journal" in refused.stderr) == (1, True), refused
        assert not (night.state_dir / "nats").exists()


def test_the_runs_name_has_to_be_said(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        nobody = restore(night)
        assert (nobody.returncode, "no daemon has ever taken run night" in nobody.stderr) == (1, True), nobody
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        lost(night, is_deleted)
        unsaid = night.main("journal", "restore", str(night.plan_file))
        assert (unsaid.returncode, "nobody confirmed" in unsaid.stderr) == (2, True), unsaid
        wrong = night.main("journal", "restore", str(night.plan_file), "--confirm", "nigth")
        assert (wrong.returncode, "expected the run's name" in wrong.stderr) == (2, True), wrong
        assert ask(night, "INFO")["error"]["err_code"] == stream_api.NO_STREAM


RIGHTS = [
    "cutover.evt.>",
    "cutover.runs",
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.*",
    f"$JS.API.STREAM.MSG.GET.{STREAM}",
    f"$JS.API.CONSUMER.CREATE.{STREAM}.>",
    "$JS.FC.>",
]


@pytest.fixture
def a_teams_nats(tmp_path: Path) -> Iterator[str]:
    """Its daemon's user has the smallest rights; the stream is an administrator's."""
    port = free_port()
    may = {"publish": RIGHTS, "subscribe": ["_INBOX.>", "cutover.svc.>", "$SRV.>"]}
    users = [{"user": "admin", "password": "admin"}, {"user": "daemon", "password": "daemon", "permissions": may}]
    store = {"store_dir": str(tmp_path / "store"), "sync_interval": "always"}
    conf = {"listen": f"{HOST}:{port}", "authorization": {"users": users}, "jetstream": store}
    (tmp_path / "nats.conf").write_text(json.dumps(conf))
    process = subprocess.Popen([program(), "-c", tmp_path / "nats.conf", "-l", tmp_path / "nats.log"])
    try:
        until(lambda: "Server is ready" in _text(tmp_path / "nats.log"), "nats-server is ready")
        yield f"nats://{HOST}:{port}"
    finally:
        process.kill()
        process.wait()


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def as_admin(url: str, requests: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """What JetStream answers."""

    async def asked() -> list[dict[str, Any]]:
        client = await connect(url, user="admin", password="admin")
        try:
            return [json.loads((await client.nc.request(subject, body.encode())).data) for subject, body in requests]
        finally:
            await client.close()

    return in_a_loop_of_its_own(asked())


def test_where_we_may_not_make_the_stream_an_administrator_is_told_what_to_do(
    cluster: Cluster, tmp_path: Path, a_teams_nats: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_USER", "daemon")
    monkeypatch.setenv("NATS_PASSWORD", "daemon")
    create, delete = f"$JS.API.STREAM.CREATE.{STREAM}", f"$JS.API.STREAM.DELETE.{STREAM}"
    as_admin(a_teams_nats, [(create, json.dumps(stream.settings()))])
    (tmp_path / "night").mkdir()
    with a_night(cluster, tmp_path / "night", bus={"url": a_teams_nats}) as night:
        night.start()
        until(lambda: "gate" in night.output, f"the run waits\n{night.output[-3000:]}")
        night.kill()
        was = list(read_lines(night.run_dir / FILE))
        as_admin(a_teams_nats, [(delete, ""), (create, json.dumps(stream.settings()))])
        refused = restore(night)
        assert (refused.returncode, "our NATS user may not make stream" in refused.stderr) == (1, True), refused
        asked = re.findall(r"nats request '([^']+)' '([^']*)'", refused.stderr)
        assert [subject for subject, _ in asked] == [delete, create]
        assert [answer.get("error") for answer in as_admin(a_teams_nats, asked)] == [None, None]
        done = restore(night)
        assert (done.returncode, "stream CUTOVER stays" in done.stdout) == (0, True), done
        restored = list(read_lines(night.run_dir / FILE))
        assert [each.body for each in restored][: len(was)] == [each.body for each in was]
        assert restored[0].seq > was[-1].seq
        night.start("--auto")
        assert night.exit_code(120) == 0, night.output[-4000:]


def test_killed_at_any_moment_it_is_said_again_and_finishes(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.stall("data.run_script:data/010.sql")
        night.start("--auto")
        night.wait_for_step("data.run_script:data/010.sql")
        was = lost(night, is_deleted)
        words = [sys.executable, "-m", "cutoverd.daemon", "journal", "restore", str(night.plan_file), "--confirm", night.run]
        for number in range(8):
            killed = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
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


class Killed(BaseException):
    """As by SIGKILL, at a certain line."""


def restored_until(night: Night, words: str) -> None:
    """In this process; killed once it has said that line."""

    def say(line: str) -> None:
        if words in line:
            raise Killed

    with pytest.raises(Killed):
        in_a_loop_of_its_own(restoring.restore(load(night.plan_file), say))


def flip_a_byte_of(night: Night, n: int) -> None:
    """In the middle of the run's events, so that the stream has to be made anew."""
    found = night.journal()[n].envelope.id.encode()
    stop_looking(night)
    stop_nats(night)
    [block] = [file for file in (night.state_dir / "nats").rglob("*.blk") if found in file.read_bytes()]
    content = bytearray(block.read_bytes())
    content[content.rindex(found)] ^= 1
    block.write_bytes(content)


def test_killed_once_its_own_events_are_back_it_finishes_with_the_other_runs_of_the_stream(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Found: said again it called the journal whole, and the others, one of another ledger among them, were never put back."""
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        assert night.cli("send", "abort").returncode == 0
        assert night.exit_code() == 5
        stop_looking(night)
        of_first = [body for _, body in bodies(night)]
        of_strangers = encode(replace(decode(of_first[0]), run="theirs"))
        night.run = "night2"
        night.write_plan(run="night2")
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        night.kill()
        publish(night, of_strangers.decode(), "cutover.evt.theirs")
        publish(night, '{"mac":"' + 64 * "0" + '"}', "cutover.evt.nobodys")
        registry = [body for _, body in bodies(night, "cutover.runs")]
        flip_a_byte_of(night, 8)
        restored_until(night, "events of run night2 are put back")
        done = restore(night)
        assert (done.returncode, "run night (aborted) is put back too" in done.stdout) == (0, True), done
        assert [body for _, body in bodies(night)] == of_first
        assert [body for _, body in bodies(night, "cutover.evt.theirs")] == [of_strangers]
        assert [body for _, body in bodies(night, "cutover.runs")] == registry
        again = restore(night)
        assert (again.returncode, "nothing is to be restored" in again.stdout) == (0, True), again
        goes_on(night)


def test_killed_once_the_stream_is_deleted_it_finds_what_the_stream_alone_had(cluster: Cluster, tmp_path: Path) -> None:
    """Found: it lay in a file that nobody read, and the end of the journal counted as lost."""
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        night.kill()
        was = [body for _, body in bodies(night)]
        (night.run_dir / FILE).unlink()
        cluster.execute("DELETE FROM cutoverd.journal_copy WHERE n > 20", "cutoverd")
        flip_a_byte_of(night, 8)
        restored_until(night, "the stream is made anew")
        done = restore(night)
        assert (done.returncode, "is lost" in done.stdout) == (0, False), done
        assert_restored(night, was)
        goes_on(night)


def test_a_newer_daemon_that_came_while_the_stream_was_read_keeps_its_stream(cluster: Cluster, tmp_path: Path) -> None:
    """Found: an older restore that had stood still deleted the stream that the newer one had made, and gone on with."""
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        night.kill()
        flip_a_byte_of(night, 8)
        created = ask(night, "INFO")["created"]

        def say(line: str) -> None:
            if "is kept in" in line:
                cluster.execute("UPDATE cutoverd.claims SET epoch = 50", "cutoverd")

        with pytest.raises(NotLeader, match="epoch 50"):
            in_a_loop_of_its_own(restoring.restore(load(night.plan_file), say))
        assert ask(night, "INFO")["created"] == created


def test_what_was_said_to_an_older_backup_of_the_stream_is_named_though_it_reaches_far_enough(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Found: a `rollback` in it lay below the last position on record: no daemon heard it, and nobody was told."""
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        night.kill()
        stop_looking(night)
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
        goes_on(night)
