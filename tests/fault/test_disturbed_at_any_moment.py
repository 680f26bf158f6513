"""The soak: words, kills, pauses and strangers that know nothing of steps, while clients write past the traffic switch.

Each run draws its moves from a seed (tests/support/soak/moves.py), ends by itself or by a word, and is then looked at:

- **lost**: a write that was acknowledged to a client and is not in production, in a run in which no loss was accepted.
- **nobody drove**: for 15 s no living daemon was the last that the journal names, and production let the application not in.
  These seconds count from the last kill, start or SIGCONT of a daemon, and from the moment at which no server was down or stood
  still by our doing. A supervisor starts daemons again, but after exit code 7, as the unit of docs/operations.md does: its
  restarts do not begin the 15 s anew.
- **deaf**: a command that the stream acknowledged is neither taken nor refused after 15 s of calm, or was stepped over. Calm is
  each moment at which a daemon drives and is not paused, and no server is down or stands still, nor was 2 s before.
- **traceback**: in what any daemon printed.
- and besides: a run without an end, production or services other than its end says, a step that hung, a session or child that
  was left behind.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from itertools import count
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.servers import DEBIAN_15, Clusters
from support.soak.proof import Result, one_run
from support.soak.table import table

MINUTES = float(os.environ.get("CUTOVERD_SOAK_MINUTES", "30"))
SEED = int(os.environ.get("CUTOVERD_SOAK_SEED", "1"))


def major_of(seed: int) -> str:
    return "15" if seed % 4 == 0 and (DEBIAN_15 / "postgres").exists() else "18"


def run_on_a_server(clusters: Clusters, folder: Path, seed: int) -> Result:
    major = major_of(seed)
    folder.mkdir()
    try:
        return one_run(clusters.fresh(major, folder), folder, seed)
    finally:
        clusters.clean(major)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning")  # nats-py's, of a server that stands still
def test_disturbed_runs_lose_nothing_and_leave_nobody_alone(
    clusters: Clusters, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "psycopg.pool")
    began, results = time.monotonic(), list[Result]()
    with capsys.disabled(), capture_logs():
        for seed in count(SEED):
            results.append(run_on_a_server(clusters, tmp_path / str(seed), seed))
            print(f"seed {seed}: {results[-1].end}, {time.monotonic() - began:.0f} s since the beginning", flush=True)
            for fault in results[-1].faults:
                print(f"seed {seed}: {fault}\n  again: make soak-disturbed MINUTES=0 SEED={seed}", flush=True)
            if time.monotonic() - began > 60 * MINUTES:
                break
        gc.collect()
        print("\n" + table(results, (time.monotonic() - began) / 60))
    assert [f"seed {each.seed}: {fault}" for each in results for fault in each.faults] == []
