"""Data as cutoverd runs it against `psql -1 -f` alone, on a clone of the same database in the same server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from pathlib import Path

from psycopg import sql

from cutoverd.daemon.demo.environment import Stage, stage
from cutoverd.daemon.demo.example import FLIGHTS
from cutoverd.daemon.runtime.drive import drive
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events import facts

REPETITIONS = 3
PLAIN, OWNER, DATABASE = "plain", FLIGHTS.owner, FLIGHTS.database


def main() -> None:
    """Each repetition: a whole run, then the same scripts by psql on another clone of old; the ratio of the two."""
    ratios = []
    for repetition in range(1, REPETITIONS + 1):
        with (
            tempfile.TemporaryDirectory(prefix="cutoverd-bench-") as folder,
            stage(Path(folder) / "night", example=FLIGHTS) as night,
        ):
            ours, state, timeline = _run(night)
            theirs = _plain(night)
        ratios.append(ours / theirs)
        now = timeline.last_at
        print(
            f"{repetition}: data scripts by cutoverd {ours:.2f} s (state Data {state:.2f} s), by psql -1 -f {theirs:.2f} s, "
            f"ratio {ours / theirs:.3f}; run {sum(timeline.state_seconds(now).values()):.1f} s, "
            f"downtime {timeline.downtime_seconds(now):.1f} s"
        )
    print(f"ratios: {', '.join(f'{ratio:.3f}' for ratio in ratios)}")


def _run(night: Stage) -> tuple[float, float, Timeline]:
    """Seconds in data scripts, in the state Data, and the whole."""
    timeline, seconds = Timeline(), {}

    def observe(run, recorded):
        timeline.apply(recorded)
        if isinstance(recorded.event, facts.StepSucceeded) and recorded.event.step.startswith("data.run_script"):
            seconds[recorded.event.step] = recorded.event.seconds

    asyncio.run(drive(night.loaded, auto=True, observers=[observe]))
    return sum(seconds.values()), timeline.state_seconds(timeline.last_at)["data"], timeline


def _plain(night: Stage) -> float:
    """By hand: clone, schema, then the clock runs for the data scripts."""
    old = f"{DATABASE}_previous"
    with night.postgres.connect() as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY OWNER {}").format(
                sql.Identifier(PLAIN), sql.Identifier(old), sql.Identifier(OWNER)
            )
        )
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(PLAIN)))
        connection.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(sql.Identifier(PLAIN)))
    _psql(night, [str(file) for file in night.loaded.schema_files])
    began = time.monotonic()
    for _, file, _ in night.loaded.data_scripts:
        _psql(night, [str(file)])
    return time.monotonic() - began


def _psql(night: Stage, files: list[str]) -> None:
    command = [str(night.postgres.bin_dir / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-d", night.postgres.url(PLAIN)]
    environment = {**os.environ, "PGOPTIONS": f"-c role={OWNER}"}
    flags = [word for file in files for word in ("-f", file)]
    subprocess.run([*command, *flags], env=environment, cwd=night.home, check=True, stdout=subprocess.DEVNULL)
