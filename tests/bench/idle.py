"""What a daemon costs while it waits at a gate: resident memory and CPU time, beside the embedded nats-server's."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from cutoverd.daemon.demo.environment import stage
from cutoverd.daemon.demo.example import FLIGHTS
from cutoverd.daemon.embedded import nats

SECONDS = 30
GATE = "the gate before downtime waits"


def main() -> None:
    """A daemon at the gate before Downtime, watched for half a minute."""
    with tempfile.TemporaryDirectory(prefix="cutoverd-bench-") as folder, stage(Path(folder) / "night", example=FLIGHTS) as night:
        command = [sys.executable, "-m", "cutoverd.daemon", "run", str(night.loaded.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
            assert daemon.stdout is not None
            for line in daemon.stdout:
                if GATE in line:
                    break
            server = nats.find(night.loaded.state_dir / "nats")
            assert server is not None
            _watch({"daemon": daemon.pid, "nats-server": server.pid})
            daemon.terminate()


def _watch(pids: dict[str, int]) -> None:
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    began = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
    time.sleep(SECONDS)
    for name, process in processes.items():
        spent = sum(process.cpu_times()[:2]) - began[name]
        resident = process.memory_info().rss / 1e6
        print(f"{name}: {resident:.0f} MB resident, {spent:.2f} s of CPU in {SECONDS} s ({100 * spent / SECONDS:.2f} %)")
