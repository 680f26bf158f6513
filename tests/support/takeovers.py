"""What a daemon that was led past must not have done: pure, tried in tests/unit/test_soak_counts.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cutoverd.events import facts
from cutoverd.events.codec import Recorded

BEGINS_SECONDS = 0.5  # a command that was started before writes its line by then: it is a Python, and starts first


def acted_when_older(journal: Sequence[Recorded]) -> list[str]:
    """Events of an epoch that lie after a newer one took the run."""
    newest, late = 0, list[str]()
    for each in journal:
        epoch = each.envelope.epoch
        if epoch < newest:
            late.append(f"{each.event.wire_type()} of epoch {epoch} at sequence {each.seq}, after epoch {newest} took the run")
        if isinstance(each.event, facts.LeaderAcquired):
            newest = max(newest, each.event.epoch)
    return late


def commanded_when_older(journal: Sequence[Recorded], witnessed: Sequence[Mapping[str, Any]]) -> list[str]:
    """Commands that a daemon began after a newer one took the run; by the clock, which both read on one machine."""
    taken = [(each.event, each.envelope.time.timestamp()) for each in journal if isinstance(each.event, facts.LeaderAcquired)]
    epochs = {event.pid: event.epoch for event, _ in taken}
    return [
        f"{line['verb']} {line['what']} of epoch {epochs[line['by']]}, {line['at'] - at:.2f} s after epoch {event.epoch} led"
        for line in witnessed
        for event, at in taken
        if epochs.get(line["by"], event.epoch) < event.epoch and line["at"] > at + BEGINS_SECONDS
    ]
