"""The smallest rights of the daemon's NATS user."""

from __future__ import annotations

from cutoverd.events.subjects import STREAM

DAEMON_PUBLISHES = [
    "cutover.evt.>",
    "cutover.runs",
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.*",
    f"$JS.API.STREAM.MSG.GET.{STREAM}",
    f"$JS.API.CONSUMER.CREATE.{STREAM}.>",
    "$JS.FC.>",
]
