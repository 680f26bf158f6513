"""`cutoverd check` says what PreCheck would find, and leaves catalogs, stream, files and services as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.aftermath import assert_completed
from support.night import Night, a_night, at_the_first_gate, stalled_at, until
from support.production import catalogs, names
from support.servers import Cluster, in_a_loop_of_its_own

from cutoverd.daemon.bus.connection import connect
from cutoverd.daemon.bus.journal_file import FILE
from cutoverd.daemon.embedded import nats
from cutoverd.daemon.postgres.session.names import LEDGER
from cutoverd.events import facts

on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)


def check(night: Night, *words: str) -> tuple[int, str]:
    """The exit code, and what it said."""
    done = night.main("check", str(night.plan_file), *words)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def findings(night: Night, verdict: str) -> list[dict[str, Any]]:
    _, output = check(night, "-f", "json")
    return [finding for finding in json.loads(output)["findings"] if finding["verdict"] == verdict]


def files(folder: Path) -> dict[str, tuple[int, int] | None]:
    """Size and time by path; a folder by its name, and nothing of the embedded server's store, which `stream` looks into."""
    return {str(path): _stamp(path) for path in folder.rglob("*") if "nats" not in path.parts}


def _stamp(path: Path) -> tuple[int, int] | None:
    return None if path.is_dir() else (path.stat().st_size, path.stat().st_mtime_ns)


def anchored(night: Night) -> int:
    return int(json.loads((night.run_dir / "anchor.json").read_text())["seq"])


def stream(night: Night) -> Any:
    """What the server says of the stream: messages, sequences and settings."""

    async def asked() -> Any:
        server = nats.find(night.state_dir / "nats")
        assert server
        client = await connect(server.url, user=server.user, password=server.password)
        try:
            info = await client.js.stream_info("CUTOVER")
        finally:
            await client.close()
        return info.state.messages, info.state.last_seq, info.state.bytes, info.config

    return in_a_loop_of_its_own(asked())


def test_check_before_the_first_start_makes_nothing(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))  # what it puts there for a while is looked for, too
    with a_night(cluster, tmp_path) as night:
        cluster.execute(f"DROP DATABASE {LEDGER}")
        before = catalogs(cluster), files(tmp_path), night.systems()
        code, output = check(night)
        assert code == 0, output
        assert "✔ precheck.check_server  the server, the role and the names are fit for it" in output
        assert "◷ precheck.prove_backup  not tried: it writes" in output
        assert "◷ precheck.check_window  nothing was rehearsed" in output
        assert "✔ precheck.find_rehearsal  the plan leaves the rehearsal out" in output
        assert "⚠ precheck.find_rehearsal  the window is not rehearsed: each night would be two" in output
        assert "the embedded nats-server does not run, and is not started to look" in output
        assert (catalogs(cluster), files(tmp_path), night.systems()) == before
        assert not night.state_dir.exists()
        assert names(cluster) == {"app"}


@on_18
def test_check_wants_no_rehearsal_on_record_before_there_could_be_one(cluster: Cluster, tmp_path: Path) -> None:
    """Found: of a plan that had never been rehearsed it said that a later rehearsal had found something wrong."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        code, output = check(night)
        assert code == 0, output
        assert "✔ precheck.find_rehearsal  " in output
        assert "◷ precheck.check_rehearsal  nothing is rehearsed yet" in output


@on_18
def test_check_beside_a_run_changes_no_catalog_stream_file_or_service(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        until(lambda: anchored(night) == stream(night)[1], "the last event is anchored")
        before = catalogs(cluster), stream(night), files(tmp_path), night.systems()
        code, output = check(night)
        assert code == 0, output
        assert "✔ bus  the run may begin, or go on, on its stream" in output
        assert "⚠ bus  run night is under way, in precheck" in output
        assert (catalogs(cluster), stream(night), files(tmp_path), night.systems()) == before


@on_18
def test_check_says_of_a_run_whose_copies_cannot_be_read_that_it_could_not_look(cluster: Cluster, tmp_path: Path) -> None:
    """Found: it was taken for one that never began, without a word, and PreCheck's steps were judged."""
    with at_the_first_gate(cluster, tmp_path) as night:
        until(lambda: anchored(night) == stream(night)[1], "the last event is anchored")
        file, whole = night.run_dir / FILE, (night.run_dir / FILE).read_bytes()
        [[rows]] = cluster.execute("SELECT json_agg(c) FROM cutoverd.journal_copy c", LEDGER)
        file.unlink()
        cluster.execute("ALTER TABLE cutoverd.journal_copy RENAME message TO letter", LEDGER)
        warned = "⚠ bus  run night: whether it is under way, or has ended, could not be looked at: "
        assert f'{warned}PostgreSQL says: column "message" does not exist' in check(night)[1]
        cluster.execute("ALTER TABLE cutoverd.journal_copy RENAME letter TO message", LEDGER)
        cluster.execute("UPDATE cutoverd.journal_copy SET message = '{}'", LEDGER)
        code, output = check(night)
        assert code == 0, output
        assert f"{warned}the ledger has {len(rows)} events, and after 0 what comes is damaged" in output
        assert "`cutoverd status` reads the journal itself" in output
        file.write_bytes(whole)
        assert "could not be looked at" not in check(night)[1]


@pytest.mark.long
@on_18
def test_check_refuses_a_run_that_has_ended(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.start("--auto")
        assert_completed(night)
        for words in ("the server of the bus is gone with the run", "the bus answers"):
            found = json.loads(check(night, "-f", "json")[1])["findings"]
            assert [each["says"] for each in found if each["verdict"] == "unfit"] == [
                "run 'night' has ended already (completed)"
            ], words
            assert [each["says"] for each in found if each["check"].startswith("precheck")] == [
                "not looked at: what stands there now is the doing of run night"
            ]
            assert any("`cutoverd finalize`" in each["todo"] for each in found)
            night.nats()


@on_18
def test_check_of_a_run_in_its_window_says_that_and_nothing_that_follows_from_it(cluster: Cluster, tmp_path: Path) -> None:
    """Found: production was said to be missing while it was fenced by that very run."""
    with stalled_at("schema.build_new", cluster, tmp_path) as night:
        code, output = check(night)
        assert code == 0, output
        assert "⚠ bus  run night is under way, in schema\n      → `cutoverd status` says how it stands" in output
        assert "◷ precheck  not looked at: what stands there now is the doing of run night" in output
        assert "precheck." not in output
        assert output.endswith("the run is past PreCheck: whether it may begin is no question any more\n")
        night.release()


@on_18
def test_check_by_a_role_that_cannot_write_names_what_it_lacks(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        cluster.execute(f"DROP DATABASE {LEDGER}")
        cluster.execute("REVOKE app_owner, pg_signal_backend, pg_monitor, pg_read_all_data, pg_checkpoint FROM cutover")
        cluster.execute("REVOKE CONNECT ON DATABASE app FROM PUBLIC")
        cluster.execute("ALTER ROLE cutover NOCREATEDB; ALTER ROLE cutover SET default_transaction_read_only = on")
        before = catalogs(cluster)
        code, output = check(night)
        assert code == 5, output
        for lack in (
            "role cutover may not create databases: ALTER ROLE",
            "role cutover may not act for app_owner",
            "role cutover lacks pg_monitor, and what other sessions do cannot be seen without it",
            "✖ precheck.check_coverage",
            "⚠ precheck.check_room  sizes cannot be seen: our role may not ask for the size of app: GRANT pg_monitor TO it",
        ):
            assert lack in output, output
        assert "read-only" not in output, "our sessions are not, whatever is set"
        assert catalogs(cluster) == before


@on_18
def test_check_tells_every_finding_with_what_to_do(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, dashboards=["http://127.0.0.1:9/api/health"], timeouts={"http": "1s"}) as night:
        night.knob("health page", exit=1)
        (tmp_path / "data/010.sql").write_text("SELECT 1;\nCOMMIT;\n")
        cluster.execute("CREATE DATABASE app_try_n")
        unfit = findings(night, "unfit")
        assert {finding["check"] for finding in unfit} == {
            "precheck.check_files",
            "precheck.check_server",
            "precheck.prove_dashboard:http://127.0.0.1:9/api/health",
            "precheck.prove_health:page",
        }
        assert [finding["says"] for finding in unfit if not finding["todo"]] == []
        assert any("010.sql:2: COMMIT" in finding["says"] for finding in unfit)
        assert any("app_try_n is in the way" in finding["says"] for finding in unfit)
        assert check(night)[0] == 5


@on_18
def test_a_database_that_does_not_exist_is_a_finding(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.write_plan(database={"url": cluster.url("apq")})
        code, output = check(night)
        assert code == 5
        assert "there is no database apq: database.url must end with one of app, cutoverd, postgres" in output
        night.start("--auto")
        assert night.exit_code() == 5
        assert night.wait_for(facts.StepFailed).reason.startswith("there is no database apq: database.url must end with")
        assert night.cluster.execute("SELECT 1 FROM pg_database WHERE datname LIKE 'apq%'") == []


def test_check_where_no_server_answers_could_not_look(tmp_path: Path, cluster: Cluster) -> None:
    with a_night(cluster, tmp_path) as night:
        night.write_plan(database={"url": "postgresql://cutover@127.0.0.1:9/app"})
        code, output = check(night)
        assert code == 1
        assert "no session could be had: cutoverd" in output
        night.write_plan(run="a run")
        assert check(night)[0] == 2
