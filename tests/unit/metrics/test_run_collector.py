"""What a scrape is told, from recorded nights: a daemon that takes a run over tells what the one before it would have told."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from prometheus_client.core import Metric
from support.paths import ROOT

from cutoverd.daemon.metrics.run_collector import RunGauges
from cutoverd.daemon.metrics.run_metrics import RunMetrics
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events import facts
from cutoverd.events.codec import GENESIS, Chain, Envelope, Recorded
from cutoverd.states.evolve import evolve
from cutoverd.states.run import Run

JOURNALS = ROOT / "tests" / "unit" / "events" / "journals"
START = datetime(2026, 12, 5, 22, tzinfo=UTC)


def recorded(name: str) -> list[Recorded]:
    chain, found = Chain(), []
    for line in (JOURNALS / f"{name}_0.1.jsonl").read_text(encoding="utf-8").splitlines():
        each = json.loads(line)
        found.append(chain.checked(each["message"].encode(), each["seq"]))
        chain = chain.extended(each["message"].encode(), each["seq"])
    return found


def samples_after(events: list[Recorded], now: datetime | None = None) -> dict[tuple[str, ...], float]:
    """Value by name and label values, the run's name left out."""
    gauges, run = RunGauges("night", lambda: now or events[-1].envelope.time), Run("night")
    for each in events:
        run = evolve(run, each)
        gauges.apply(run, each)
    return {key: value for family in gauges.collect() for key, value in _samples(family)}


def _samples(family: Metric) -> list[tuple[tuple[str, ...], float]]:
    return [((each.name, *(v for k, v in each.labels.items() if k != "run")), each.value) for each in family.samples]


def event_of(seconds: float, event: facts.Event, seq: int = 1) -> Recorded:
    return Recorded(seq, Envelope(str(seq), "night", START + timedelta(seconds=seconds), seq, GENESIS, 1, 0, event))


def test_a_completed_night_tells_its_comparison_its_checks_and_when_each_transition_was_taken() -> None:
    events = recorded("completed")
    samples = samples_after(events)
    assert samples["cutover_comparison_rows", "machines", "old"] == samples["cutover_comparison_rows", "machines", "new"] == 500
    assert samples["cutover_comparison_differences", "machines", "changed"] == 0
    assert samples["cutover_validation_ok", "compare", "machines"] == 1
    assert samples["cutover_validation_checks", "validate/001.sql", "passed"] == 2
    last = next(each for each in reversed(events) if isinstance(each.event, facts.Transitioned))
    assert (
        samples["cutover_transition_timestamp_seconds", "monitor", "completed", "proceed", ""] == last.envelope.time.timestamp()
    )


def test_times_stand_still_once_the_run_is_over() -> None:
    events = recorded("rolledback")
    at_the_end, later = samples_after(events), samples_after(events, events[-1].envelope.time + timedelta(days=1))
    for name in ("cutover_downtime_seconds", "cutover_window_seconds"):
        assert 0 < at_the_end[name,] == later[name,]


def test_steps_done_count_up_to_the_steps_of_the_state() -> None:
    events, counts = recorded("completed"), set()
    for end in range(3, len(events)):
        samples = samples_after(events[:end])
        assert samples["cutover_steps_done",] <= samples["cutover_steps",]
        counts.add((samples["cutover_steps_done",], samples["cutover_steps",]))
    assert any(done == steps > 3 for done, steps in counts)


def test_budgets_are_told_if_the_plan_gives_them() -> None:
    started = facts.RunStarted(plan_sha256="0", files={}, items={}, gates=[], budget_seconds=900, state_budgets={"data": 60})
    samples = samples_after([event_of(0, started)])
    assert samples["cutover_window_budget_seconds",] == 900
    assert samples["cutover_state_budget_seconds", "data"] == 60
    without = samples_after([event_of(0, started.model_copy(update={"budget_seconds": None, "state_budgets": {}}))])
    assert ("cutover_window_budget_seconds",) not in without


def test_the_window_begins_with_downtime_and_ends_when_the_run_watches() -> None:
    timeline = Timeline()
    moved = [("precheck", "downtime", 100), ("downtime", "schema", 110), ("cutover", "monitor", 160)]
    for source, target, at in moved:
        assert timeline.window_seconds(START + timedelta(seconds=at)) == (0 if at < 110 else at - 100)
        timeline.apply(event_of(at, facts.Transitioned(source=source, target=target, trigger="proceed")))
    assert timeline.window_seconds(START + timedelta(days=2)) == 60


def test_an_aborted_run_had_no_window() -> None:
    timeline = Timeline()
    timeline.apply(event_of(5, facts.Transitioned(source="precheck", target="aborted", trigger="abort")))
    assert timeline.window_seconds(START + timedelta(days=1)) == 0


REFUSED = facts.RefusedCommand(seq=7, verb="fail", by="eve", reason="late")


@pytest.mark.parametrize(
    ("event", "command"),
    [
        (facts.GatePassed(gate="downtime", by="alice"), ("advance", "alice", "accepted")),
        (facts.GatePassed(gate="downtime", by="auto"), ("advance", "auto", "accepted")),
        (facts.RunHeld(reason="look", by="bob"), ("hold", "bob", "accepted")),
        (facts.CommandRejected(verb="advance", by=None, reason="no gate"), ("advance", "", "rejected")),
        (facts.CommandsRejected(count=2, first=REFUSED, last=REFUSED), ("fail", "eve", "rejected")),
        (facts.FailureReported(by="probe", reason="wrong sums"), ("fail", "probe", "accepted")),
    ],
)
def test_who_spoke_is_told_by_verb_operator_and_outcome(event: facts.Event, command: tuple[str, str, str]) -> None:
    gauges = RunGauges("night", lambda: START)
    gauges.apply(Run("night"), event_of(3, event))
    samples = [key for family in gauges.collect() for key, _ in _samples(family)]
    assert ("cutover_command_timestamp_seconds", *command) in samples


def test_scrapes_while_the_run_goes_on_see_no_half_of_it() -> None:
    gauges, run, over = RunGauges("night", lambda: START), Run("night"), Event()
    with ThreadPoolExecutor() as scraper:
        scraped = scraper.submit(lambda: [len(gauges.collect()) for _ in iter(over.is_set, True)])
        for _ in range(20):
            for each in recorded("completed"):
                run = evolve(run, each) if run.last_seq < each.seq else run
                gauges.apply(run, each)
        over.set()
        assert scraped.result(30), "none of them failed"


@pytest.mark.parametrize(
    "event",
    [facts.RunHeld(reason="traffic may be open", by=None), facts.FailureReported(by=facts.DAEMON, reason="a file was changed")],
)
def test_a_hold_or_a_failure_by_the_daemon_itself_is_no_command(event: facts.Event) -> None:
    metrics = RunMetrics("night", "1")
    assert list(metrics.registry.collect()), "a scrape before the first event"
    metrics(Run("night"), event_of(3, event))
    assert not [f for f in metrics.registry.collect() if f.name == "cutover_commands" and f.samples]
