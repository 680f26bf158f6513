"""The demonstration as a newcomer runs it: to the end, and broken at each place back to where it began."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.paths import EXAMPLES

from cutoverd.daemon.demo.clients import Clients

FEW = ("--rows", "20000")
FLIGHTS = ("--example", "flights")
FAILS_IN = {
    "service": "downtime.stop_service:api",
    "schema": "schema.apply_schema",
    "validate": "validate.compare:readings",
    "smoke": "smoke.smoke_test:smoke tests",
    "cutover": "cutover.start_service:api",
}
DEMO_SECONDS = 280

pytestmark = pytest.mark.timeout(300)


def demo(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with a temporary folder of its own, from a folder that has nothing of the project."""
    command = [sys.executable, "-m", "cutoverd.daemon", "demo", *arguments]
    environment = {**os.environ, "TMPDIR": str(home)}
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=DEMO_SECONDS, check=False)


def left_behind(home: Path) -> list[str]:
    """Files in its folder, and processes that name it."""
    running = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if p.pid != os.getpid()]
    return [
        *(str(path) for path in home.iterdir()),
        *(" ".join(words) for words in running if words and str(home) in " ".join(words)),
    ]


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def what_clients_saw(summary: str) -> dict[str, float]:
    """Of the summary: requests, those without an answer, the longest gap (seconds), writes, how many of these are missing."""
    match = re.search(
        r"clients: .* made (\S+) requests, (\S+) of them .* longest gap (\S+) s\nwrites: +(\S+) acknowledged, (\d+) of", summary
    )
    assert match, summary
    names = ("requests", "errors", "gap", "writes", "missing")
    return dict(zip(names, (float(number.replace(",", "")) for number in match.groups()), strict=True))


def downtime_seconds(summary: str) -> float:
    return float(re.search(r"downtime: +(\S+) s", summary)[1])


def test_the_demo_completes_under_load_and_leaves_nothing(tmp_path):
    done = demo(tmp_path, *FEW)
    assert (done.returncode, last_line(done.stdout)) == (0, "Completed"), done.stdout + done.stderr
    assert "which has the new schema" in done.stdout
    counts = what_clients_saw(done.stdout)
    assert (counts["missing"], counts["writes"] > 40, counts["errors"] < counts["requests"]) == (0, True, True)
    assert 0 < counts["gap"] < downtime_seconds(done.stdout) + 10
    assert left_behind(tmp_path) == []


@pytest.mark.soak  # CI takes this run with the wheel
def test_the_flights_complete_and_leave_nothing(tmp_path):
    done = demo(tmp_path, *FLIGHTS)
    assert (done.returncode, last_line(done.stdout)) == (0, "Completed"), done.stdout + done.stderr
    assert "compared:  flights: 336,776 rows" in done.stdout
    assert left_behind(tmp_path) == []


def test_an_example_of_real_rows_takes_no_number_of_rows(tmp_path):
    refused = demo(tmp_path, *FLIGHTS, *FEW)
    assert (refused.returncode, "flights has the rows that it has" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("number", "ctrl_c"),
    [(signal.SIGINT, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_IGN)],
    ids=["ctrl-c", "term", "term, ctrl-c ignored"],
)
def test_a_demo_that_is_told_to_stop_leaves_nothing(tmp_path, number, ctrl_c):
    """Found: SIGTERM left its nats-server, its services and its folder behind; in a script's background it was not heard."""
    command = [sys.executable, "-m", "cutoverd.daemon", "demo", *FEW]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, ctrl_c),
    ) as running:
        assert any("run started on printoptim" in line for line in running.stdout)
        running.send_signal(number)
        running.communicate(timeout=60)
    assert running.returncode not in (0, -number)
    assert left_behind(tmp_path) == []


def named_keys(output: str) -> list[str]:
    """The keys that the event of a failed comparison names."""
    keys_line = next(line for line in output.splitlines() if "keys: " in line)
    return sorted(json.dumps(entry["key"]) for entry in json.loads(keys_line.partition("keys: ")[2]))


def failed_steps(output: str) -> list[str]:
    return [line.split(" ✖ ")[1].split("  ")[0] for line in output.splitlines() if " ✖ " in line]


@pytest.mark.soak
def test_what_a_data_script_does_wrong_is_found_by_the_rehearsal_and_production_was_not_touched(tmp_path):
    done = demo(tmp_path, *FEW, "--break", "data")
    assert (done.returncode, last_line(done.stdout)) == (5, "Aborted"), done.stdout + done.stderr
    assert failed_steps(done.stdout)[0] == "precheck.rehearse:data.run_script:db/migrations/data_migration/035_more_parts.sql"
    assert "production is as it was: row, settings, comment, content" in done.stdout
    assert (what_clients_saw(done.stdout)["errors"], what_clients_saw(done.stdout)["missing"]) == (0, 0)
    assert left_behind(tmp_path) == []


# what fails in the others is tried in CI on a smaller database (tests/integration/runs, tests/fault)
@pytest.mark.parametrize("where", [pytest.param(each, marks=[] if each == "validate" else pytest.mark.soak) for each in FAILS_IN])
def test_a_broken_demo_rolls_back_and_production_is_as_it_was(tmp_path, where):
    done = demo(tmp_path, *FEW, "--break", where)
    assert (done.returncode, last_line(done.stdout)) == (3, "RolledBack"), done.stdout + done.stderr
    assert failed_steps(done.stdout)[0] == FAILS_IN[where]
    assert (
        "production is as it was: row, settings, comment, content, login of the application, services, traffic, "
        "rows that clients added to" in done.stdout
    )
    left_over = "printoptim_closed" if where == "service" else "printoptim_closed, printoptim_next"
    assert f"left over: {left_over}\n" in done.stdout
    assert "which has the old schema" in done.stdout
    assert what_clients_saw(done.stdout)["missing"] == 0
    assert left_behind(tmp_path) == []
    if where == "validate":
        assert named_keys(done.stdout) == corrupted("printoptim", "readings")


@pytest.mark.soak  # CI goes that way in tests/integration/runs/test_run_monitored.py
def test_a_demo_broken_in_monitor_goes_back_and_the_writes_that_it_gives_up_are_kept(tmp_path):
    done = demo(tmp_path, *FEW, "--break", "monitor")
    assert (done.returncode, last_line(done.stdout)) == (3, "RolledBack"), done.stdout + done.stderr
    assert re.search(r"✖ check (the api answers|machines are there) is breached: GET \S+: status 503", done.stdout), done.stdout
    assert "monitor → rollback by demo: the new version does not do what it should" in done.stdout
    assert "production is as it was: row, settings, comment, content" in done.stdout
    assert "left over: printoptim_closed, printoptim_next\n" in done.stdout
    # the last: what the smoke tests wrote is named when clients are admitted
    *_, written = [json.loads(line.partition("written: ")[2]) for line in done.stdout.splitlines() if "⚠ written: {" in line]
    assert set(written) <= {"fleet.tb_meter_reading", "fleet.tb_ticket"}
    given_up = int(re.search(r"; (\d+) more were made after the cutover and given up", done.stdout)[1])
    assert 0 < given_up <= sum(table["inserted"] for table in written.values())
    assert what_clients_saw(done.stdout)["missing"] == 0
    assert left_behind(tmp_path) == []


@pytest.mark.long
def test_a_demo_broken_in_precheck_is_aborted_and_nothing_was_touched(tmp_path):
    done = demo(tmp_path, *FEW, "--break", "precheck")
    assert (done.returncode, last_line(done.stdout)) == (5, "Aborted"), done.stdout + done.stderr
    assert "035_more_parts.sql:3: COMMIT" in done.stdout
    assert "production is as it was: row, settings, comment, content" in done.stdout
    assert "left over: nothing\n" in done.stdout
    counts = what_clients_saw(done.stdout)
    assert (counts["errors"], counts["missing"]) == (0, 0)
    assert left_behind(tmp_path) == []


def test_writes_that_cannot_be_looked_for_are_told_so_and_not_called_missing():
    """Found: after a run that was Stuck the look for lost writes ended the demo with an error that hid the state."""
    counts = {"clients": 4, "requests": 9, "errors": 1, "longest_gap_seconds": 2.0}
    found = Clients(Path("acknowledged"), counts, {"unknown": "the database is not currently accepting connections"})
    assert (found.lost, found.unknown) == (False, True)
    assert found.lines()[1] == "writes:    they cannot be looked for: the database is not currently accepting connections"


def corrupted(example: str, comparison: str) -> list[str]:
    """As an event tells keys: by their text."""
    expected = json.loads((EXAMPLES / example / "break" / "validate.expected.json").read_text())
    return sorted(json.dumps({column: str(value) for column, value in key.items()}) for key in expected[comparison])


@pytest.mark.soak  # the same way as printoptim's, with more rows
def test_corrupted_flights_are_named_and_taken_back(tmp_path):
    done = demo(tmp_path, *FLIGHTS, "--break", "validate")
    assert (done.returncode, last_line(done.stdout)) == (3, "RolledBack"), done.stdout + done.stderr
    assert "production is as it was: row, settings, comment, content" in done.stdout
    assert named_keys(done.stdout) == corrupted("flights", "weather")
    assert left_behind(tmp_path) == []
