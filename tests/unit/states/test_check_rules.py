"""Monitor: what is made of samples, and 48 hours of it by a clock that tests set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.world import Checks, Items, World, finished
from hypothesis import given
from hypothesis import strategies as st

from cutoverd.daemon.systems.monitor import MonitorChecksByKind
from cutoverd.daemon.systems.watch_file import read_kept
from cutoverd.events import facts
from cutoverd.states.check_rules import (
    CheckStanding,
    ClockReading,
    Rule,
    Rules,
    Sample,
    Watched,
    breached,
    changes,
    evaluate,
    fold_round,
    resume_watch,
    seconds_between,
    tick,
)
from cutoverd.states.errors import CheckFailed
from cutoverd.states.monitor import Monitor, watch_on
from cutoverd.states.ports import AttemptId, Direction, Evidence
from cutoverd.states.step import Context

ENTERED = datetime(2026, 12, 6, 2, 0, tzinfo=UTC)
HOUR = 3600.0
GOOD, BAD = Sample(True, 0.0, "0"), Sample(True, 9.0, "9")
ERRORS = Rules({"errors": Rule(120.0, above=1.0)})
AWAY = Sample(False, None, "ConnectError: refused")


# one sample


@pytest.mark.parametrize(
    ("rule", "sample", "ok"),
    [
        (Rule(0, above=5), Sample(True, 5.0, "5"), True),
        (Rule(0, above=5), Sample(True, 5.1, "5.1"), False),
        (Rule(0, below=5), Sample(True, 5.0, "5"), True),
        (Rule(0, below=5), Sample(True, 4.9, "4.9"), False),
        (Rule(0, above=5, below=1), Sample(True, 3.0, "3"), True),
        (Rule(0, above=0), Sample(True, None, "no number"), False),
        (Rule(0), Sample(True, None, "status 200"), True),
        (Rule(0), Sample(False, None, "status 500"), False),
        (Rule(0, above=5), AWAY, False),
    ],
)
def test_a_number_is_bad_beyond_its_threshold_and_a_check_that_cannot_be_made_is_bad(rule: Rule, sample: Sample, ok: bool):
    standing = evaluate(rule, sample, None, 7.0)
    assert standing.ok is ok
    assert standing.bad_since == (None if ok else 7.0)


def test_what_was_seen_and_what_is_allowed_are_told():
    assert evaluate(Rule(0, above=0.05), Sample(True, 0.07, "0.07"), None, 0.0).saw == "0.07, allowed up to 0.05"
    assert evaluate(Rule(0, below=10), Sample(True, 3.0, "3"), None, 0.0).saw == "3, allowed down to 10"
    assert evaluate(Rule(0), AWAY, None, 0.0).saw == "ConnectError: refused"


# many


def at(seconds: float, *, set_by: float = 0.0, boot: str = "one") -> ClockReading:
    """So many seconds after Monitor was entered; the clock that people set has been moved by `set_by`."""
    return ClockReading(ENTERED + timedelta(seconds=seconds + set_by), boot, 1000.0 + seconds)


def rounds(samples: list[bool], rules: Rules) -> list[bool]:
    """Whether each round of a check, good (True) or bad, finds a breach."""
    so_far, breaches = resume_watch(None, at(0), ENTERED, 0, rules), []
    for number, good in enumerate(samples):
        so_far = fold_round(so_far, {"errors": GOOD if good else BAD}, at(number * rules.every_seconds), rules)
        breaches.append(bool(breached(so_far, rules)))
    return breaches


@given(samples=st.lists(st.booleans(), max_size=60), rounds_long=st.integers(0, 6))
def test_a_check_is_breached_exactly_while_it_was_bad_for_as_long_as_its_rule_says(samples: list[bool], rounds_long: int):
    rules = Rules({"errors": Rule(15.0 * rounds_long, above=1.0)})
    bad = [all(not good for good in samples[max(0, n - rounds_long) : n + 1]) and n >= rounds_long for n in range(len(samples))]
    assert rounds(samples, rules) == bad


@given(samples=st.lists(st.booleans(), max_size=60))
def test_only_a_change_is_an_event(samples: list[bool]):
    rules, on_record = Rules({"errors": Rule(15.0, above=1.0)}), set[str]()
    so_far, events = resume_watch(None, at(0), ENTERED, 0, rules), list[facts.Event]()
    for number, good in enumerate(samples):
        so_far = fold_round(so_far, {"errors": GOOD if good else BAD}, at(number * 15.0), rules)
        for change in changes(so_far, rules, on_record):
            on_record ^= {change.check}
            events.append(change)
        assert on_record == set(breached(so_far, rules))
    kinds = [type(event) for event in events]
    assert kinds == [facts.CheckBreached, facts.CheckRecovered] * (len(kinds) // 2) + [facts.CheckBreached] * (len(kinds) % 2)


# clocks


@given(set_by=st.floats(-1e6, 1e6), seconds=st.floats(0, 1e6))
def test_a_clock_that_was_set_moves_no_watch(set_by: float, seconds: float):
    so_far = tick(resume_watch(None, at(0), ENTERED, 0, ERRORS), at(seconds, set_by=set_by), ERRORS)
    assert so_far.elapsed_seconds == pytest.approx(seconds)
    assert so_far.clock_set_seconds == pytest.approx(set_by, abs=1e-3)


@given(set_by=st.floats(-1e6, 1e6), seconds=st.floats(0, 1e6), rebooted=st.booleans())
def test_no_time_between_two_readings_is_negative(set_by: float, seconds: float, rebooted: bool):
    later = at(seconds, set_by=set_by)
    assert seconds_between(at(0), replace(later, boot="two", boot_seconds=1.0) if rebooted else later) >= 0


def test_a_gap_that_is_too_long_was_watched_by_nobody_and_what_was_bad_counts_anew():
    so_far = fold_round(resume_watch(None, at(0), ENTERED, 0, ERRORS), {"errors": BAD}, at(0), ERRORS)
    short = fold_round(so_far, {"errors": BAD}, at(60), ERRORS)
    long = fold_round(so_far, {"errors": BAD}, at(HOUR), ERRORS)
    assert (short.unwatched_seconds, short.standings["errors"].bad_since) == (0, 0)
    assert (long.unwatched_seconds, long.standings["errors"].bad_since) == (HOUR, HOUR)
    assert not breached(long, ERRORS)


# the whole watch


class Interrupted(Exception):
    """the daemon is gone"""


@dataclass
class Site:
    """Clock and checks in one: whoever sleeps lets the time pass, and what happens at a second of it."""

    rules: Rules = ERRORS
    seconds: float = 0.0
    set_by: float = 0.0
    boot: str = "one"
    sample_now: Callable[[float], Sample] = lambda seconds: GOOD
    takes: Callable[[float], float] = lambda seconds: 0.0  # seconds that a round takes which begins at that second
    kept: Watched | None = None
    sampled_at: list[float] = field(default_factory=list)
    events: list[facts.Event] = field(default_factory=list)
    ends_at: float = float("inf")  # the daemon's life

    def reading(self) -> ClockReading:
        return at(self.seconds, set_by=self.set_by, boot=self.boot)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.seconds >= self.ends_at:
            raise Interrupted

    async def sample(self, attempt_id: AttemptId) -> dict[str, Sample]:
        self.sampled_at.append(self.seconds)
        samples = {name: self.sample_now(self.seconds) for name in self.rules.checks}
        self.seconds += self.takes(self.seconds)
        return samples

    async def recall(self) -> Watched | None:
        return self.kept

    async def keep(self, watched: Watched) -> None:
        self.kept = watched

    async def record(self, event: facts.Event) -> None:
        self.events.append(event)

    def context(self, *, watch_seconds: float = 48 * HOUR, **more: object) -> Context:
        items: Items = {}
        ports = replace(World(items, {}, {}).ports(), monitor_checks=self, clock=self, checks=Checks())
        attempt_id = AttemptId("night", 1, "monitor.watch", Direction.FORWARD, "e1")
        return Context(ports, attempt_id, "", ENTERED, watch_seconds, record=self.record, **more)  # type: ignore[arg-type]

    def watch(self, **more: Any) -> Evidence:
        return finished(Monitor.watch.run(self.context(**more)))  # type: ignore[attr-defined]


def test_48_hours_are_watched_round_by_round_and_nothing_is_recorded_as_long_as_nothing_changes():
    site = Site()
    evidence = site.watch()
    assert site.seconds == 48 * HOUR
    assert len(site.sampled_at) == evidence["rounds"] == 48 * 240 + 1
    assert site.events == []
    assert (evidence["elapsed_seconds"], evidence["unwatched_seconds"], evidence["clock_set_seconds"]) == (48 * HOUR, 0, 0)
    assert evidence["checks"] == {"errors": {"ok": True, "value": 0.0, "saw": "0"}}


def test_a_check_that_flaps_for_48_hours_without_a_breach_records_nothing():
    site = Site(sample_now=lambda seconds: BAD if int(seconds / 15) % 8 else GOOD)
    site.watch()
    assert site.events == []


def test_a_breach_ends_the_step_once_it_lasted_and_says_what_and_how_long():
    site = Site(sample_now=lambda seconds: BAD if seconds >= HOUR else GOOD)
    with pytest.raises(CheckFailed, match=r"^errors: 9, allowed up to 1, for 120 s$") as failed:
        site.watch()
    assert site.seconds == HOUR + 120
    assert site.events == [facts.CheckBreached(check="errors", saw="9, allowed up to 1", value=9.0, seconds=120.0)]
    assert failed.value.evidence["checks"]["errors"]["ok"] is False
    assert "`resume` goes on watching" in failed.value.hint


def test_a_check_that_cannot_be_made_is_breached_after_the_same_time():
    site = Site(sample_now=lambda seconds: AWAY)
    with pytest.raises(CheckFailed, match="errors: ConnectError: refused, for 120 s"):
        site.watch()


def test_a_restart_goes_on_where_the_watch_was_and_ends_when_it_should():
    site = Site()
    for end in (HOUR, 20 * HOUR, 47 * HOUR):
        site.ends_at = end
        with pytest.raises(Interrupted):
            site.watch()
        site.seconds += 5  # until the next daemon
    site.ends_at = float("inf")
    evidence = site.watch()
    assert site.seconds == 48 * HOUR
    assert evidence["elapsed_seconds"] == 48 * HOUR
    assert evidence["unwatched_seconds"] == 0
    assert max(later - earlier for earlier, later in zip(site.sampled_at, site.sampled_at[1:], strict=False)) <= 20


def test_a_breach_under_way_survives_a_restart():
    site = Site(sample_now=lambda seconds: BAD if seconds >= HOUR else GOOD, ends_at=HOUR + 60)
    with pytest.raises(Interrupted):
        site.watch()
    site.ends_at = float("inf")
    with pytest.raises(CheckFailed):
        site.watch()
    assert site.seconds == HOUR + 120


@pytest.mark.parametrize("set_by", [-40 * HOUR, 40 * HOUR])
@pytest.mark.parametrize("while_nobody_watches", [True, False])
def test_a_clock_set_forward_or_back_does_not_shorten_the_watch(set_by: float, while_nobody_watches: bool):
    site = Site(ends_at=2 * HOUR)

    def jump(seconds: float) -> Sample:
        site.set_by = set_by if seconds >= HOUR and not while_nobody_watches else site.set_by
        return GOOD

    site.sample_now = jump
    with pytest.raises(Interrupted):
        site.watch()
    site.set_by, site.ends_at = set_by, float("inf")
    evidence = site.watch()
    assert site.seconds == 48 * HOUR
    assert evidence["clock_set_seconds"] == set_by


def test_a_machine_that_was_booted_meanwhile_counts_by_the_clock_that_people_set():
    site = Site(ends_at=2 * HOUR)
    with pytest.raises(Interrupted):
        site.watch()
    site.boot, site.seconds, site.ends_at = "two", 3 * HOUR, float("inf")
    evidence = site.watch()
    assert site.seconds == 48 * HOUR
    assert evidence["unwatched_seconds"] == HOUR + 15


def test_a_daemon_that_comes_after_the_end_still_looks_for_as_long_as_a_breach_takes():
    """Whatever the clock says of the time without it: nothing is claimed that nobody saw."""
    site = Site(seconds=50 * HOUR)
    evidence = site.watch()
    assert site.seconds == 50 * HOUR + 120
    assert len(site.sampled_at) == 9
    assert evidence["unwatched_seconds"] == 50 * HOUR
    bad = Site(seconds=50 * HOUR, sample_now=lambda seconds: BAD)
    with pytest.raises(CheckFailed):
        bad.watch()


def test_without_checks_the_time_alone_is_watched():
    site = Site(rules=Rules())
    assert site.watch()["checks"] == {}
    assert site.seconds == 48 * HOUR


# the end


def first_slower_than_the_others(seconds: float) -> float:
    return 0.1 if seconds else 0.5


def test_a_check_that_was_bad_in_every_round_lets_no_watch_end_though_the_first_round_took_longest():
    site = Site(sample_now=lambda seconds: BAD, takes=first_slower_than_the_others)
    with pytest.raises(CheckFailed, match=r"errors: 9, allowed up to 1, for 13[0-9.]+ s"):
        site.watch(watch_seconds=120)
    assert [type(event) for event in site.events] == [facts.CheckBreached]


def test_a_check_that_is_bad_when_the_time_is_up_is_watched_until_it_is_breached():
    site = Site(sample_now=lambda seconds: BAD if seconds >= 48 * HOUR - 60 else GOOD, takes=lambda seconds: 0.1)
    with pytest.raises(CheckFailed):
        site.watch()
    assert site.seconds == pytest.approx(48 * HOUR + 60, abs=site.rules.every_seconds + 1)


def test_a_check_that_is_bad_when_the_time_is_up_is_watched_until_it_is_good_round_by_round():
    site = Site(sample_now=lambda seconds: BAD if 48 * HOUR - 60 <= seconds < 48 * HOUR + 30 else GOOD)
    assert site.watch()["checks"]["errors"]["ok"] is True
    assert (site.seconds, site.sampled_at[-3:]) == (48 * HOUR + 30, [48 * HOUR, 48 * HOUR + 15, 48 * HOUR + 30])
    assert site.events == []


def test_a_check_that_is_bad_ever_since_a_resume_after_the_time_is_up_holds_the_run_again():
    site = Site(sample_now=lambda seconds: BAD, takes=lambda seconds: 0.5 if seconds in (50 * HOUR, 51 * HOUR) else 0.1)
    site.seconds, site.kept = 50 * HOUR, Watched(at(50 * HOUR), elapsed_seconds=50 * HOUR)
    site.seconds = 51 * HOUR
    with pytest.raises(CheckFailed):
        site.watch(answered_seq=7)


# held, and after it


def held(site: Site, until: float, **more: Any) -> None:
    site.ends_at = until
    with pytest.raises(Interrupted):
        finished(watch_on(site.context(**more)))
    site.ends_at = float("inf")


def test_a_held_run_is_watched_and_recovery_and_breach_are_on_record():
    site = Site(sample_now=lambda seconds: GOOD if HOUR <= seconds < 2 * HOUR else BAD)
    with pytest.raises(CheckFailed):
        site.watch()
    held(site, 3 * HOUR, breached=frozenset({"errors"}))
    assert [type(event) for event in site.events] == [facts.CheckBreached, facts.CheckRecovered, facts.CheckBreached]
    assert site.kept
    assert site.kept.elapsed_seconds == pytest.approx(3 * HOUR, abs=15)


def test_a_check_that_flaps_while_the_run_is_held_is_asked_no_more_often_for_all_that_is_said():
    """Each event on record, and each command, begins the looking anew."""
    rules = Rules({"errors": Rule(0.0, above=1.0)})
    site = Site(rules, sample_now=lambda seconds: BAD if int(seconds / 15) % 2 else GOOD)
    on_record = frozenset[str]()
    for second in range(1, 600):
        held(site, second, breached=on_record)
        if site.events:
            on_record = frozenset({"errors"}) if isinstance(site.events[-1], facts.CheckBreached) else frozenset()
        site.seconds = second
    assert len(site.sampled_at) == 40
    assert len(site.events) == 39


def test_after_resume_what_is_still_bad_counts_anew_and_what_is_good_lets_the_watch_go_on():
    site = Site(sample_now=lambda seconds: BAD if seconds < 2 * HOUR else GOOD)
    with pytest.raises(CheckFailed):
        site.watch()
    held(site, HOUR, breached=frozenset({"errors"}))
    with pytest.raises(CheckFailed, match="for 120 s"):
        site.watch(answered_seq=7)
    assert site.seconds == HOUR + 120
    assert [type(event) for event in site.events] == [facts.CheckBreached, facts.CheckBreached]
    held(site, 2 * HOUR, breached=frozenset({"errors"}), answered_seq=7)
    assert site.watch(answered_seq=9)["elapsed_seconds"] == 48 * HOUR


async def test_what_is_known_of_a_watch_is_read_again_by_the_next_daemon(tmp_path: Path):
    watched = Watched(at(5), 3, 5.0, 1.0, 0.5, 2, {"errors": CheckStanding(False, 9.0, "9", 1.5)})
    await MonitorChecksByKind(ERRORS, {}, tmp_path).keep(watched)
    assert read_kept(tmp_path) == watched
    (tmp_path / "watch.json").write_text('{"at"')
    assert read_kept(tmp_path) is None
    await MonitorChecksByKind(ERRORS, {}, tmp_path / "gone").keep(watched)
    assert read_kept(tmp_path / "gone") is None
