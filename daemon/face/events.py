"""An event as one JSON object on one line: for logs, and for programs that follow a run."""

from __future__ import annotations

import json
from typing import Any

from cutoverd.daemon.face.lines import line, waits_for_ready
from cutoverd.events.codec import Recorded
from cutoverd.states.decide import allowed
from cutoverd.states.run import Run


def as_json(run: Run, recorded: Recorded) -> dict[str, Any]:
    """`seq` in the stream, `time`, `type`, `data` as it was recorded; `state`, `held` and `next` of the run after it; `line`.

    `waits_for`: whose `ready` is missing, and how it is said; "" while the run does not wait for it.
    """
    envelope = recorded.envelope
    return {
        "seq": recorded.seq,
        "time": envelope.time.isoformat(),
        "type": recorded.event.wire_type(),
        "run": envelope.run,
        "epoch": envelope.epoch,
        "state": run.state,
        "held": run.held is not None,
        "data": recorded.event.model_dump(mode="json"),
        "next": list(allowed(run)),
        "line": line(run, recorded),
        "waits_for": waits_for_ready(run),
    }


def json_line(run: Run, recorded: Recorded) -> str:
    return json.dumps(as_json(run, recorded), ensure_ascii=False)
