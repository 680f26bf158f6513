"""Whether somebody scrapes our own metrics."""

from __future__ import annotations

import asyncio
import time

import pytest

from cutoverd.daemon.metrics.scrape_check import ScrapedCheck
from cutoverd.daemon.metrics.server import Scrapes
from cutoverd.daemon.systems.checks import ChecksByKind
from cutoverd.states.errors import TimedOut
from cutoverd.states.ports import AttemptId, Direction

ATTEMPT_ID = AttemptId("night", 1, "precheck.prove_scraped:127.0.0.1:9187", Direction.FORWARD, "e1")
LISTEN = "127.0.0.1:9187"


async def test_nobody_scraped() -> None:
    with pytest.raises(TimedOut, match=r"nobody asked for http://127.0.0.1:9187/metrics within 0.1 s$") as timed_out:
        await ScrapedCheck(Scrapes(), LISTEN, 0.1).prove(ATTEMPT_ID)
    assert "metrics.scraped_within" in timed_out.value.hint


async def test_a_scrape_that_comes_while_it_is_waited_for_counts() -> None:
    scrapes = Scrapes()
    asyncio.get_running_loop().call_later(0.05, scrapes.note)
    evidence = await ScrapedCheck(scrapes, LISTEN, 20).prove(ATTEMPT_ID)
    assert evidence["scrapes"] == 1


async def test_a_scrape_of_long_ago_does_not_count() -> None:
    began = time.monotonic()
    scrapes = Scrapes(lambda: time.monotonic() - 100 if time.monotonic() < began + 0.05 else time.monotonic())
    scrapes.note()
    await asyncio.sleep(0.06)
    with pytest.raises(TimedOut, match="the last who did came 100 s ago"):
        await ScrapedCheck(scrapes, LISTEN, 0.1).prove(ATTEMPT_ID)


async def test_who_does_not_serve_metrics_says_that_it_was_not_looked_at() -> None:
    assert "not_looked_at" in await ChecksByKind({}, {}).prove_scraped(ATTEMPT_ID)
