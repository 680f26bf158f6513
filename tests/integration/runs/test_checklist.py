"""The checklist of the night before, asked of those who know: operators, dashboards, metrics, window."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.aftermath import assert_completed
from support.night import Night, a_night, until
from support.production import names, photograph
from support.servers import Cluster

from cutoverd.events import facts

on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)


class Dashboard(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def dashboard() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Dashboard)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/health"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def scrape(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def ready(night: Night, name: str) -> tuple[int, str]:
    done = night.cli("send", "ready", "--as", name)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.long
@on_18
def test_a_night_waits_for_its_operators_even_with_auto(cluster: Cluster, tmp_path: Path) -> None:
    port = free_port()
    with (
        dashboard() as url,
        a_night(
            cluster,
            tmp_path,
            operators=["alice", "bob"],
            dashboards=[url],
            metrics={"listen": f"127.0.0.1:{port}", "scraped_within": "60s"},
            window={"budget": "1h"},
            rehearsal={},
        ) as night,
    ):
        night.start("--auto")
        until(lambda: scrape(port), "the metrics are served")
        night.wait_for(facts.StepSucceeded, step=f"precheck.prove_scraped:127.0.0.1:{port}")
        until(lambda: "waits for `ready` of alice, bob" in night.cli("status").stdout, "it waits for both")
        code, output = ready(night, "mallory")
        assert (code, "it came from mallory: it counts from alice, bob alone" in output) == (1, True), output
        assert ready(night, "alice")[0] == 0
        code, output = ready(night, "alice")
        assert (code, "alice is ready already; who is missing: bob" in output) == (1, True), output
        assert "waits for `ready` of bob" in night.cli("status").stdout
        assert ready(night, "bob")[0] == 0
        assert_completed(night)
        done = [each.event for each in night.journal() if isinstance(each.event, facts.StepSucceeded)]
        [window] = [event for event in done if event.step == "precheck.check_window"]
        assert set(window.evidence["rehearsed"]) == {"downtime", "schema", "data", "validate", "smoke"}
        steps = [event.step for event in done]
        assert steps.count(f"precheck.prove_dashboard:{url}") == 2, "once more after the gate"
        assert steps.count(f"precheck.prove_scraped:127.0.0.1:{port}") == 2


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a dashboard that does not answer": (
        {"dashboards": ["http://127.0.0.1:9/health"], "timeouts": {"http": "1s"}},
        "precheck.prove_dashboard:http://127.0.0.1:9/health",
        "GET http://127.0.0.1:9/health: saw ",
    ),
    "a window that is too short": (
        {"window": {"budget": "10ms"}, "rehearsal": {}},
        "precheck.check_window",
        "the window is too short: ",
    ),
    "metrics that nobody scrapes": (
        {"metrics": {"listen": "127.0.0.1:{port}", "scraped_within": "500ms"}},
        "precheck.prove_scraped:127.0.0.1:{port}",
        "nobody asked for http://127.0.0.1:{port}/metrics within 0.5 s",
    ),
}


@pytest.mark.parametrize("what", WRONG)
@on_18
def test_precheck_fails_for_each_point_of_the_checklist(cluster: Cluster, tmp_path: Path, what: str) -> None:
    changes, step, reason = WRONG[what]
    port = str(free_port())
    if "metrics" in changes:
        changes = {"metrics": {**changes["metrics"], "listen": f"127.0.0.1:{port}"}}
    with a_night(cluster, tmp_path, **changes) as night:
        night.start("--auto")
        assert night.exit_code() == 5, night.output
        failed = night.wait_for(facts.StepFailed)
        assert failed.step == step.replace("{port}", port)
        assert failed.reason.startswith(reason.replace("{port}", port))
        assert failed.hint
        assert f"→ {failed.hint}" in night.output
        assert failed.reason[:60] in night.cli("status").stdout
        assert names(cluster) - {"app_closed"} == {"app"}
        assert photograph(cluster) == night.before
