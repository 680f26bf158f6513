"""An event as one JSON object on one line: for logs, and for programs that follow a run."""

from __future__ import annotations

from typing import Any

from cutoverd.daemon.host.printable import json_text
from cutoverd.daemon.views.event_lines import line, waits_for_ready
from cutoverd.events.codec import Recorded
from cutoverd.states.decide import allowed_verbs
from cutoverd.states.next_action import awaited_operator
from cutoverd.states.run import Run


def as_json(run: Run, recorded: Recorded) -> dict[str, Any]:
    """`seq` in the stream, `time`, `type`, `data` as it was recorded; `line`.

    Of the run after it: `state`, `held`, `waits_for`, what only a person can end and how it is said if it is `ready`, and `next`.
    """
    envelope, waits = recorded.envelope, awaited_operator(run)
    return {
        "seq": recorded.seq,
        "time": envelope.time.isoformat(),
        "type": recorded.event.wire_type(),
        "run": envelope.run,
        "epoch": envelope.epoch,
        "state": run.state,
        "held": run.held is not None,
        "waits_for": waits_for_ready(run) or (waits.reason if waits else ""),
        "data": recorded.event.model_dump(mode="json"),
        "next": list(allowed_verbs(run)),
        "line": line(run, recorded),
    }


def json_line(run: Run, recorded: Recorded) -> str:
    return json_text(as_json(run, recorded))
