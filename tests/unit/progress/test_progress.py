"""What is said of a running step: counted where the whole is known, in words else, and never with what is data."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cutoverd.daemon.metrics.step_collector import StepMetrics
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.stats.activity import Activity
from cutoverd.daemon.progress import Progress, ProgressReading, ProgressReporter, format_bytes, format_seconds, report_progress
from cutoverd.daemon.runtime import progress_tracker
from cutoverd.daemon.runtime.progress_tracker import ProgressTracker
from cutoverd.daemon.sqltext.locate import StatementLocator
from cutoverd.daemon.sqltext.redact import redact
from cutoverd.daemon.views.timeline import Running
from cutoverd.events import facts
from cutoverd.events.codec import Envelope, Recorded
from cutoverd.states.evolve import evolve
from cutoverd.states.run import Run

NOW = datetime(2026, 12, 5, 22, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reading", "words", "ratio"),
    [
        (ProgressReading(), "", None),
        (ProgressReading("copying 1.2 GB"), "copying 1.2 GB", None),
        (ProgressReading("a.sql:7", 12, 48, "statements"), "12 of 48 statements, a.sql:7", 0.25),
        (ProgressReading("", 3000, None, "rows"), "3,000 rows", None),
        (ProgressReading("", 500_000, 1_000_000, "bytes"), "500.0 kB of 1.0 MB", 0.5),
        (ProgressReading("", 90, 3600, "seconds"), "1:30 of 1:00:00", 0.025),
        (ProgressReading("", 12, 10, "rows"), "12 of 10 rows", 1.0),
        (ProgressReading("", 0, 0, "rows"), "0 rows", None),
    ],
)
def test_what_is_seen_in_words(reading, words, ratio):
    assert (reading.describe(), reading.ratio) == (words, ratio)


def test_sizes_and_times_as_people_read_them():
    assert [format_bytes(n) for n in (0, 999, 24e9, 3e12)] == ["0 B", "999 B", "24.0 GB", "3.0 TB"]
    assert [format_seconds(n) for n in (0.04, 59.94, 61, 3600, 90061)] == ["0.0 s", "59.9 s", "1:01", "1:00:00", "25:01:01"]


@pytest.mark.parametrize(
    ("query", "redacted"),
    [
        ("INSERT INTO a VALUES ('Ann''s card', 4111, E'it\\'s', $x$ 'secret' $x$)", "INSERT INTO a VALUES (?, ?, ?, ?)"),
        ("-- for Ann\nUPDATE /* 42 */ t1\n   SET b2 = 'x'", "UPDATE t1 SET b2 = ?"),
        ('SELECT "a\'b" FROM c', 'SELECT "a\'b" FROM c'),
        ("INSERT INTO a VALUES ('cut by the serv", "INSERT INTO a VALUES (?"),
        ("DO $$ BEGIN PERFORM pay('4111", "DO ?"),
        ("SELECT /* cut", "SELECT"),
    ],
)
def test_a_statement_is_shown_without_the_data_in_it(query, redacted):
    assert redact(query) == redacted


def test_a_long_statement_is_cut():
    assert len(redact("SELECT " + "a, " * 200)) == 100


def test_an_activity_tells_what_the_server_tells_or_else_the_statement():
    assert Activity(
        "d", "CREATE INDEX i ON t (x)", "", ProgressReading("CREATE INDEX: building", 34, 100, "blocks")
    ).describe() == ("CREATE INDEX: building: 34%")
    assert (
        Activity("d", "COPY t FROM stdin", "", ProgressReading("COPY FROM", 1200, None, "rows")).describe()
        == "COPY FROM: 1,200 rows"
    )
    assert Activity("d", "SELECT 'x'").describe() == "SELECT ?"


@pytest.fixture
def scripts(tmp_path: Path) -> list[tuple[str, Path]]:
    (tmp_path / "1.sql").write_text("-- first\nCREATE TABLE a (\n  id int -- key\n);\n\nINSERT INTO a SELECT 1;\n")
    long = "SELECT " + ", ".join(f"{n} AS column_{n}" for n in range(200))
    (tmp_path / "2.sql").write_text(f"INSERT INTO a SELECT 1;\n\n{long};\n{long}, 1;\n")
    return [(name, tmp_path / name) for name in ("1.sql", "2.sql", "missing.sql")]


def test_a_statement_is_found_in_its_file_with_its_line(scripts):
    found = StatementLocator(scripts)
    assert len(found.places) == 5
    place = found.find("CREATE TABLE a (\n  id int \n);")  # an older psql leaves the comment out
    assert place is not None
    assert (place.file, place.line, place.number) == ("1.sql", 2, 1)
    assert found.find("SELECT something_else") is None
    assert found.find("") is None


def test_a_script_only_goes_forwards(scripts):
    found = StatementLocator(scripts)
    assert [found.find("INSERT INTO a SELECT 1;").number for _ in range(2)] == [2, 2]
    assert found.find(scripts[1][1].read_text().splitlines()[2]).number == 4
    assert found.find("INSERT INTO a SELECT 1;") is None


def test_a_statement_that_the_server_has_cut_is_found_by_its_beginning(scripts):
    found, text = StatementLocator(scripts), scripts[1][1].read_text().splitlines()[2]
    place = found.find(text[:1023])
    assert place is not None
    assert (place.file, place.line) == ("2.sql", 3)


def test_a_step_tells_only_those_who_listen():
    report_progress("nobody hears this")
    reporter = ProgressReporter()
    reporter.collect_from_here()
    report_progress("hashing", 1, 2, "rows")
    assert reporter.of("") == ProgressReading("hashing", 1, 2, "rows")


def a_tracker(watch_seconds: float = 0.0) -> tuple[ProgressTracker, object]:
    tracker = ProgressTracker(SimpleNamespace(plan=SimpleNamespace(run="r"), run_dir=Path("there is none")))  # type: ignore[arg-type]
    seq = 0

    def happens(event: facts.Event, seconds: float = 0.0) -> None:
        nonlocal seq
        seq += 1
        recorded = Recorded(seq, Envelope("", "r", NOW + timedelta(seconds=seconds), seq, "", 1, 0, event))
        tracker(evolve(tracker.run, recorded), recorded)

    happens(facts.RunStarted(plan_sha256="", files={}, items={}, gates=[], watch_seconds=watch_seconds))
    return tracker, happens


def test_the_running_step_is_known_from_its_announcement_to_its_outcome():
    tracker, happens = a_tracker()
    assert tracker.progress(NOW) is None
    happens(facts.StepStarted(step="precheck.check_server", direction="forward", attempt=2), 10)
    tracker.reporter.report("precheck.check_server", ProgressReading("looking"))
    assert tracker.progress(NOW + timedelta(seconds=13)) == Progress(
        "precheck.check_server", "forward", 2, 3.0, ProgressReading("looking")
    )
    assert tracker.progress(NOW).seconds == 0, "a clock that was set back"
    happens(facts.NoteTaken(by=None, text="still there?"), 14)
    assert tracker.progress(NOW).reading.doing == "looking"
    happens(facts.StepSucceeded(step="precheck.check_server", direction="forward", seconds=5), 15)
    assert tracker.progress(NOW) is None
    happens(facts.StepStarted(step="precheck.check_files", direction="forward", attempt=1), 16)
    assert tracker.progress(NOW).reading == ProgressReading(), "what another step told is no news of this one"
    happens(facts.StepSucceeded(step="precheck.check_files", direction="forward", seconds=5), 17)
    happens(facts.StepStarted(step="precheck.check_server", direction="forward", attempt=3), 18)
    assert tracker.progress(NOW).reading == ProgressReading(), "nor is what an earlier attempt told"


FIRST, SECOND, THIRD = "validate.check_script:v", "validate.compare:a", "validate.compare:b"


async def test_of_steps_side_by_side_each_has_its_own_progress_and_no_session_is_taken_for_one_of_them(
    monkeypatch: pytest.MonkeyPatch,
):
    tracker, happens = a_tracker()
    happens(facts.StepStarted(step=FIRST, direction="forward", attempt=1), 10)
    happens(facts.StepStarted(step=SECOND, direction="forward", attempt=2), 12)
    tracker.reporter.report(SECOND, ProgressReading("hashing", 1, 4, "rows"))
    asked = list[str]()

    async def read(server: object, running: Running) -> ProgressReading:
        asked.append(running.step)
        return ProgressReading("SELECT ?")

    monkeypatch.setattr("cutoverd.daemon.runtime.progress_tracker.EVERY_SECONDS", 0.001)
    monkeypatch.setattr(tracker, "_read", read)
    at = NOW + timedelta(seconds=20)
    async with tracker.tracking(None):
        await asyncio.sleep(0.02)
        assert asked == []
        assert tracker.all_progress(at) == [
            Progress(FIRST, "forward", 1, 10.0),
            Progress(SECOND, "forward", 2, 8.0, ProgressReading("hashing", 1, 4, "rows")),
        ]
        document = tracker.status_document(at)
        assert (document["progress"]["step"], [each["step"] for each in document["progress_beside"]]) == (FIRST, [SECOND])
        assert (document["running"]["step"], [each["step"] for each in document["running_beside"]]) == (FIRST, [SECOND])
        happens(facts.StepSucceeded(step=SECOND, direction="forward", seconds=5), 20)
        happens(facts.StepStarted(step=THIRD, direction="forward", attempt=1), 20)
        assert [each.step for each in tracker.all_progress(at)] == [FIRST, THIRD]
        happens(facts.StepSucceeded(step=FIRST, direction="forward", seconds=5), 20)
        while tracker.progress(at).reading.doing != "SELECT ?":  # whose it is, is known again
            await asyncio.sleep(0.001)
        assert {*asked} == {THIRD}


async def test_a_look_that_goes_wrong_in_a_way_nobody_foresaw_leaves_nothing_stale_and_the_looking_goes_on(
    monkeypatch: pytest.MonkeyPatch,
):
    tracker, happens = a_tracker()
    happens(facts.StepStarted(step="precheck.check_server", direction="forward", attempt=1))
    polls, over = 0, asyncio.Event()
    readings: list[ProgressReading] = []

    async def read(server: object, running: object) -> ProgressReading:
        nonlocal polls
        readings.append(tracker.progress(NOW).reading)
        polls += 1
        if polls == 2:
            raise KeyError("relname")
        if polls == 4:
            over.set()
        return ProgressReading(f"look {polls}")

    monkeypatch.setattr("cutoverd.daemon.runtime.progress_tracker.EVERY_SECONDS", 0.001)
    monkeypatch.setattr(tracker, "_read", read)
    async with tracker.tracking(None):
        await asyncio.wait_for(over.wait(), 30)
    assert [reading.doing for reading in readings[:4]] == ["", "look 1", "", "look 3"]


async def test_a_step_of_the_rehearsal_is_as_far_as_its_session_on_the_copy_tells(
    scripts: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Found: of a data script on the copy no place was known, and of the clone no size."""
    server = Server("postgresql://cutover@db/app", "r", 1, tmp_path)
    busy = [Activity("app_try_n", "INSERT INTO a SELECT 1;")]
    sizes: list[str] = []

    async def activities(_: object) -> list[Activity]:
        return busy

    async def size_bytes(_: object, database: str) -> int:
        sizes.append(database)
        return 1_200_000

    monkeypatch.setattr(progress_tracker, "activities", activities)
    monkeypatch.setattr(progress_tracker, "size_bytes", size_bytes)
    tracker, _ = a_tracker()
    plan = SimpleNamespace(rehearsal=SimpleNamespace(database=None))
    tracker._loaded = SimpleNamespace(plan=plan, data_scripts=[(name, file, None) for name, file in scripts])  # type: ignore[assignment]
    running = Running("precheck.rehearse:data.run_script:1.sql", "forward", 1, NOW)
    assert (await tracker._read(server, running)).describe() == "1 of 2 statements, 1.sql:6, INSERT INTO a SELECT ?"
    busy[:] = [Activity("app_try_p", "CREATE DATABASE app_try_b TEMPLATE app_try_p")]
    clone = Running("precheck.rehearse:schema.build_new", "forward", 1, NOW)
    assert (await tracker._read(server, clone)).describe() == "copying 1.2 MB"
    assert sizes == ["app_try_p"]


def test_what_a_daemon_that_is_gone_had_begun_does_not_run():
    tracker, happens = a_tracker()
    happens(facts.StepStarted(step="precheck.check_server", direction="forward", attempt=1))
    happens(facts.LeaderAcquired(epoch=2, host="h", pid=1))
    assert tracker.progress(NOW) is None


def test_metrics_of_the_running_step_come_and_go():
    registry, current = CollectorRegistry(), list[Progress]()
    registry.register(StepMetrics("r", lambda: current))
    assert b"cutover_step_elapsed_seconds{" not in generate_latest(registry)
    current[:] = [Progress("data.run_script:a.sql", "forward", 1, 12.5)]
    assert b'cutover_step_elapsed_seconds{direction="forward",run="r",step="data.run_script:a.sql"} 12.5' in generate_latest(
        registry
    )
    assert b"cutover_step_progress_ratio{" not in generate_latest(registry), "what nobody knows is not 0"
    current[:] = [
        Progress("data.run_script:a.sql", "forward", 1, 12.5, ProgressReading("", 1, 4, "statements")),
        Progress("data.run_script:b.sql", "forward", 1, 2.5),
    ]
    assert b'cutover_step_progress_ratio{direction="forward",run="r",step="data.run_script:a.sql"} 0.25' in generate_latest(
        registry
    )
    assert b'cutover_step_elapsed_seconds{direction="forward",run="r",step="data.run_script:b.sql"} 2.5' in generate_latest(
        registry
    )


def test_an_unknown_progress_says_so():
    document = Progress("smoke.smoke_test:page", "forward", 1, 2.04).as_json()
    assert (document["known"], document["ratio"], document["seconds"]) == (False, None, 2.0)
    assert Run("r").plan is None
