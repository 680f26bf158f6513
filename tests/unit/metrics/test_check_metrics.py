"""The last samples of Monitor, as a scrape and as `status` tell them."""

from __future__ import annotations

from pathlib import Path

from unit.states.test_check_rules import ERRORS, at

from cutoverd.daemon.cli.status import _plain
from cutoverd.daemon.metrics.run_metrics import RunMetrics
from cutoverd.daemon.systems.monitor import MonitorChecksByKind
from cutoverd.daemon.views.monitor_checks import checks_of
from cutoverd.states.check_rules import CheckStanding, Watched


def watched(value: float | None, *, ok: bool) -> Watched:
    return Watched(
        at(60), elapsed_seconds=60.0, rounds=5, standings={"errors": CheckStanding(ok, value, "seen", None if ok else 30.0)}
    )


async def test_a_scrape_tells_the_last_number_of_a_check_and_none_that_is_past(tmp_path: Path):
    metrics = RunMetrics("night", "1")
    watching = MonitorChecksByKind(ERRORS, {}, tmp_path, [metrics.record_round])
    labels = {"run": "night", "check": "errors"}

    async def scrape_after(value: float | None, *, ok: bool) -> tuple[float | None, float | None]:
        await watching.keep(watched(value, ok=ok))
        return tuple(metrics.registry.get_sample_value(f"cutover_check_{what}", labels) for what in ("ok", "value"))

    assert await scrape_after(None, ok=False) == (0, None)
    assert await scrape_after(7.0, ok=True) == (1, 7)
    assert await scrape_after(None, ok=False) == (0, None), "7 is no longer true"


async def test_status_tells_the_last_samples_of_this_machine(tmp_path: Path):
    assert checks_of({"state": "monitor"}, tmp_path) == {}
    await MonitorChecksByKind(ERRORS, {}, tmp_path).keep(watched(7.0, ok=False))
    document = checks_of({"state": "monitor"}, tmp_path)
    assert document["checks"] == {"errors": {"ok": False, "value": 7.0, "saw": "seen"}}
    assert _plain(document["checks"]) == "errors bad (seen)"
    assert (document["watched_seconds"], document["checked_at"]) == (60.0, "2026-12-06T02:01:00+00:00")
    assert checks_of({}, tmp_path) == {}, "a run that has not started"
