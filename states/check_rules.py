"""What Monitor makes of what its checks see. Pure: 48 hours of it are tried in a moment.

Seconds of the watch are counted from entering Monitor by a clock that nobody can set, as far as there is one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from cutoverd.events import facts

MISSED_ROUNDS = 3  # a longer gap was watched by nobody, and what was bad before it counts anew


@dataclass(frozen=True)
class ClockReading:
    """A moment by two clocks: one that people set, and one that only a reboot resets."""

    at: datetime
    boot: str  # which start of which machine
    boot_seconds: float  # since then


def seconds_between(earlier: ClockReading, later: ClockReading) -> float:
    """By the clock that nobody sets, if it is the same one; else by the other. Never negative."""
    if earlier.boot == later.boot and later.boot_seconds >= earlier.boot_seconds:
        return later.boot_seconds - earlier.boot_seconds
    return max(0.0, (later.at - earlier.at).total_seconds())


@dataclass(frozen=True)
class Rule:
    """When a check is breached: it was bad for `for_seconds`; a number is bad beyond a threshold."""

    for_seconds: float
    above: float | None = None
    below: float | None = None


@dataclass(frozen=True)
class Rules:
    """Of all checks, by name; a round asks each of them once."""

    checks: Mapping[str, Rule] = field(default_factory=dict)
    every_seconds: float = 15.0  # from the end of a round to the next one
    sample_seconds: float = 10.0  # a check that takes longer could not be made

    @property
    def longest_gap_seconds(self) -> float:
        return MISSED_ROUNDS * (self.every_seconds + self.sample_seconds)

    @property
    def longest_for_seconds(self) -> float:
        return max((rule.for_seconds for rule in self.checks.values()), default=0.0)


@dataclass(frozen=True)
class Sample:
    """What a check saw once; one that could not be made has not passed. `value` only where a threshold asks for it."""

    passed: bool
    value: float | None
    saw: str


@dataclass(frozen=True)
class CheckStanding:
    """How a check stands after its last sample."""

    ok: bool
    value: float | None
    saw: str
    bad_since: float | None = None  # in seconds of the watch; None while it is ok


@dataclass(frozen=True)
class Watched:
    """How far a watch is. Kept between rounds, so that the next daemon goes on from there."""

    at: ClockReading
    answered_seq: int = 0  # of the resume under which it was made
    elapsed_seconds: float = 0.0  # since Monitor was entered
    unwatched_seconds: float = 0.0  # of these, in gaps between rounds that were too long
    clock_set_seconds: float = 0.0  # by how much the clock was set meanwhile, forward or back
    rounds: int = 0
    standings: Mapping[str, CheckStanding] = field(default_factory=dict)


def resume_watch(kept: Watched | None, now: ClockReading, entered_at: datetime, answered_seq: int, rules: Rules) -> Watched:
    """Where a watch goes on: after a restart from what was kept, and without it from the time on record.

    What was bad before somebody said `resume` was weighed by him: it counts anew.
    """
    if kept is None:
        elapsed = max(0.0, (now.at - entered_at).total_seconds())
        return Watched(now, answered_seq, elapsed, elapsed if elapsed > rules.longest_gap_seconds else 0.0)
    moved = tick(kept, now, rules)
    return moved if kept.answered_seq == answered_seq else replace(_counting_anew(moved), answered_seq=answered_seq)


def due_in(kept: Watched | None, now: ClockReading, answered_seq: int, rules: Rules) -> float:
    """Seconds until the next round: neither a restart nor a word said while the run is held brings it on; `resume` does."""
    if kept is None or not kept.rounds or kept.answered_seq != answered_seq:
        return 0.0
    return max(0.0, rules.every_seconds - seconds_between(kept.at, now))


def ends_after(watched: Watched, watch_seconds: float, rules: Rules) -> float:
    """The second from which on the watch may end: never before whoever watches now has looked for as long as a breach takes."""
    return max(watch_seconds, watched.elapsed_seconds + rules.longest_for_seconds)


def tick(watched: Watched, now: ClockReading, rules: Rules) -> Watched:
    """The same watch, later; after too long a gap no check is known to have been bad all the time."""
    gap = seconds_between(watched.at, now)
    set_by = (now.at - watched.at.at).total_seconds() - gap
    later = replace(
        watched,
        at=now,
        elapsed_seconds=watched.elapsed_seconds + gap,
        clock_set_seconds=watched.clock_set_seconds + set_by,
    )
    if gap <= rules.longest_gap_seconds:
        return later
    return replace(_counting_anew(later), unwatched_seconds=watched.unwatched_seconds + gap)


def _counting_anew(watched: Watched) -> Watched:
    return replace(watched, standings={name: replace(each, bad_since=None) for name, each in watched.standings.items()})


def fold_round(watched: Watched, samples: Mapping[str, Sample], now: ClockReading, rules: Rules) -> Watched:
    """What is known once each check was asked."""
    later = tick(watched, now, rules)
    standings = {
        name: evaluate(rules.checks[name], sample, later.standings.get(name), later.elapsed_seconds)
        for name, sample in samples.items()
    }
    return replace(later, rounds=later.rounds + 1, standings=standings)


def evaluate(rule: Rule, sample: Sample, before: CheckStanding | None, elapsed_seconds: float) -> CheckStanding:
    """How a check stands after one more sample."""
    wrong = _wrong(rule, sample)
    if not wrong:
        return CheckStanding(True, sample.value, sample.saw)
    since = before.bad_since if before else None
    return CheckStanding(False, sample.value, wrong, elapsed_seconds if since is None else since)


def _wrong(rule: Rule, sample: Sample) -> str:
    """Why a sample is bad; empty if it is good."""
    if not sample.passed:
        return sample.saw
    if rule.above is not None and (sample.value is None or sample.value > rule.above):
        return f"{sample.saw}, allowed up to {rule.above:g}"
    if rule.below is not None and (sample.value is None or sample.value < rule.below):
        return f"{sample.saw}, allowed down to {rule.below:g}"
    return ""


def breached(watched: Watched, rules: Rules) -> dict[str, CheckStanding]:
    """The checks that were bad for as long as their rule says."""
    return {name: each for name, each in watched.standings.items() if _is_breached(each, rules.checks[name], watched)}


def _is_breached(standing: CheckStanding, rule: Rule, watched: Watched) -> bool:
    return standing.bad_since is not None and watched.elapsed_seconds - standing.bad_since >= rule.for_seconds


def all_ok(watched: Watched) -> bool:
    """Whether a watch may end as things stand: what is bad is not yet known to be a breach or none."""
    return all(each.ok for each in watched.standings.values())


def changes(watched: Watched, rules: Rules, on_record: Collection[str]) -> list[facts.CheckBreached | facts.CheckRecovered]:
    """The events that are missing: what is breached and not on record, and what is on record and ok again."""
    news = {name: each for name, each in breached(watched, rules).items() if name not in on_record}
    recovered = {name: each for name, each in watched.standings.items() if each.ok and name in on_record}
    return [
        *(facts.CheckBreached(check=name, saw=e.saw, value=e.value, seconds=bad_seconds(e, watched)) for name, e in news.items()),
        *(facts.CheckRecovered(check=name, saw=each.saw, value=each.value) for name, each in recovered.items()),
    ]


def bad_seconds(standing: CheckStanding, watched: Watched) -> float:
    """For how long it has been bad."""
    return 0.0 if standing.bad_since is None else round(watched.elapsed_seconds - standing.bad_since, 3)
