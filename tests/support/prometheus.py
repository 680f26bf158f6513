"""A real Prometheus, and what it answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from support.servers import skip

from cutoverd.daemon.embedded.loopback import free_port

START_SECONDS = 30


def program(name: str) -> str:
    """`prometheus` or `promtool`; the test is skipped if it is not installed."""
    found = shutil.which(name)
    if not found:
        skip(f"{name} is not installed: apt-get install prometheus")
    return str(found)


@dataclass
class Prometheus:
    """One that runs; every question may name the moment it is asked for."""

    port: int

    def instant(self, expr: str, at: float) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series."""
        answer = self._ask("query", query=expr, time=f"{at:.3f}")
        return [(each["metric"], float(each["value"][1])) for each in answer["result"]]

    def over(self, expr: str, start: float, end: float, step: float) -> list[list[tuple[float, float]]]:
        """Time and value of each point of each series."""
        answer = self._ask("query_range", query=expr, start=f"{start:.3f}", end=f"{end:.3f}", step=str(step))
        return [[(float(at), float(value)) for at, value in each["values"]] for each in answer["result"]]

    def is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).close()
        except OSError:
            return False
        return True

    def _ask(self, what: str, **parameters: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            reply: dict[str, Any] = json.load(answer)
        assert reply["status"] == "success", reply
        data: dict[str, Any] = reply["data"]
        return data


@contextmanager
def watching(target: str, folder: Path, interval: str) -> Iterator[Prometheus]:
    """Asks `target` every `interval`, as the job `cutoverd`."""
    server, port = program("prometheus"), free_port()
    folder.mkdir()
    job = {
        "job_name": "cutoverd",
        "static_configs": [{"targets": [target]}],
        "scrape_interval": interval,
        "scrape_timeout": interval,
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    command = [server, f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        prometheus, deadline = Prometheus(port), time.monotonic() + START_SECONDS
        while not prometheus.is_ready():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield prometheus
    finally:
        process.terminate()
        process.wait(20)
