"""Where a restore is refused, or has nothing to do: nothing is touched, and what helps is said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.lost_stream import (
    ask,
    assert_restored,
    bodies,
    folder_is_deleted,
    is_deleted,
    lost,
    restore,
)
from support.nats_rights import DAEMON_PUBLISHES
from support.night import a_night, at_the_first_gate, stalled_at, until
from support.servers import Cluster, configured_nats, in_a_loop_of_its_own

from cutoverd.daemon.bus import stream, stream_api
from cutoverd.daemon.bus.connection import connect
from cutoverd.daemon.bus.journal_file import FILE, read_lines
from cutoverd.events import facts
from cutoverd.events.mac import JournalKey
from cutoverd.events.subjects import STREAM

pytestmark = [pytest.mark.long, pytest.mark.parametrize("cluster", ["18"], indirect=True)]


def test_a_daemon_on_this_machine_is_not_taken_from(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        is_deleted(night)
        refused = restore(night)
        assert (refused.returncode, "is driven by process" in refused.stderr) == (7, True), refused
        assert ask(night, "INFO")["error"]["err_code"] == stream_api.NO_STREAM


def test_nothing_is_done_where_the_stream_has_more_than_its_copies(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        night.kill()
        (night.run_dir / FILE).unlink()
        cluster.execute("DELETE FROM cutoverd.journal_copy WHERE n > 5", "cutoverd")
        was = bodies(night)
        done = restore(night)
        assert (done.returncode, "nothing is to be restored" in done.stdout) == (0, True), done
        assert bodies(night) == was
        assert cluster.execute("SELECT epoch FROM cutoverd.fence", "cutoverd") == [(1,)]


def test_copies_that_the_ledgers_key_did_not_sign_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
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


def test_a_run_whose_production_was_taken_back_is_not_restored(cluster: Cluster, tmp_path: Path) -> None:
    with stalled_at("data.run_script:data/010.sql", cluster, tmp_path) as night:
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


@pytest.fixture
def a_teams_nats(tmp_path: Path) -> Iterator[str]:
    """Its daemon's user has the smallest rights; the stream is an administrator's."""
    may = {"publish": DAEMON_PUBLISHES, "subscribe": ["_INBOX.>", "cutover.svc.>", "$SRV.>"]}
    users = [{"user": "admin", "password": "admin"}, {"user": "daemon", "password": "daemon", "permissions": may}]
    store = {"store_dir": str(tmp_path / "store"), "sync_interval": "always"}
    settings = {"authorization": {"users": users}, "jetstream": store}
    with configured_nats(tmp_path, "\n".join(f"{key}: {json.dumps(value)}" for key, value in settings.items())) as url:
        yield url


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
