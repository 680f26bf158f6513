"""Who scrapes regularly sees a run's last state; who does not keeps nobody waiting."""

from __future__ import annotations

import errno
import socket
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge
from support.servers import skip

from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.daemon.metrics.server import Scrapes, served


def scrapes_at(*seconds: float) -> Scrapes:
    clock: Iterator[float] = iter(seconds)
    scrapes = Scrapes(lambda: next(clock))
    for _ in seconds:
        scrapes.note()
    return scrapes


@pytest.mark.parametrize(("at", "lingers"), [((), 0), ((5.0,), 0), ((0.0, 15.0), 30), ((0.0, 1.0, 16.0), 30), ((0.0, 300.0), 60)])
def test_the_end_is_shown_for_two_intervals_and_a_minute_at_most(at: tuple[float, ...], lingers: float) -> None:
    assert scrapes_at(*at).linger_seconds == lingers


def test_nobody_waits_longer_for_a_scrape_that_does_not_come() -> None:
    assert not scrapes_at(0.0, 0.01).wait_for_one_more()


def test_every_scrape_counts_and_one_more_ends_the_wait() -> None:
    registry, port = CollectorRegistry(), free_port()
    Gauge("cutover_held", "", registry=registry).set(1)
    with served(registry, f"127.0.0.1:{port}") as scrapes:
        for count in (1, 2):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                assert b"cutover_held 1.0" in answer.read()
            assert scrapes.count == count


def test_metrics_listen_on_an_ipv6_address() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        if probe.connect_ex(("::1", 9)) not in (0, errno.ECONNREFUSED):
            skip("this machine has no IPv6 loopback")
    port = free_port()
    with served(CollectorRegistry(), f"[::1]:{port}") as scrapes, urllib.request.urlopen(f"http://[::1]:{port}/", timeout=10):
        assert scrapes.count == 1
