"""Ten million rows, there: the daemon stays small whatever the size of the database."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROWS = 10_000_000
HOURS = 3600
MEMORY_BYTES_MAX = 150 * 1000 * 1000


@pytest.mark.soak
@pytest.mark.timeout(2 * HOURS)
def test_ten_million_rows_finish_and_the_daemon_stays_small(tmp_path: Path) -> None:
    """The daemon runs in the demonstration's own process: all of its memory counts."""
    command = [sys.executable, "-m", "cutoverd.daemon", "demo", "--rows", str(ROWS)]
    with (tmp_path / "output").open("w+") as output:
        demo = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=output, stderr=output)
        process, peak_bytes = psutil.Process(demo.pid), 0
        while demo.poll() is None:
            peak_bytes = max(peak_bytes, process.memory_info().rss)
            time.sleep(0.2)
        output.seek(0)
        text = output.read()
    assert (demo.returncode, text.strip().splitlines()[-1]) == (0, "Completed"), text
    assert " 0 of them missing in production" in text
    assert peak_bytes < MEMORY_BYTES_MAX
