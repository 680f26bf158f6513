"""What `status`, `history` and `send` tell from the stream alone, once and for as long as somebody waits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.night import Night, a_night
from support.servers import Cluster

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
AT_THE_GATE = ["advance", "hold", "abort", "fail", "note"]


def json_output(night: Night, *words: str, code: int = 0) -> Any:
    done = night.cli(*words, "-f", "json")
    assert (done.returncode, done.stderr) == (code, "")
    return json.loads(done.stdout)


@pytest.mark.long
def test_every_reply_lists_what_may_be_done_next(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.start()
        assert json_output(night, "status", "--wait", "--until", "gate")["next"] == AT_THE_GATE
        assert night.cli("status", "--wait", "--timeout", "0.3").returncode == 6
        noted = json_output(night, "send", "note", "--reason", "Bob is here", "--as", "alice")
        assert (noted["handled"], noted["refused"], noted["next"]) == (True, False, AT_THE_GATE)
        assert noted["answer"]["data"] == {"by": "alice", "text": "Bob is here"}
        refused = json_output(night, "send", "resume", code=1)
        assert (refused["refused"], refused["answer"]["data"]["reason"]) == (True, "the run is not held")
        assert refused["next"] == refused["answer"]["data"]["next"] == AT_THE_GATE

        lines, recorded = night.cli("history").stdout.splitlines(), night.journal()
        assert len([line for line in lines if line[:6].strip().isdigit()]) == len(recorded), "some have further lines"
        assert lines[-2].endswith("⚠ resume by anonymous refused: the run is not held (now: advance, hold, abort, fail, note)")
        assert lines[-1] == "next: advance, hold, abort, fail, note"
        noted_alone = night.cli("history", "--type", "note_taken", "--since", str(recorded[1].seq)).stdout.splitlines()
        assert [line.partition(" ✔ ")[2] for line in noted_alone[:-1]] == ["note by alice: Bob is here"]

        night.kill()
        kept = json_output(night, "send", "abort", "--wait", "0.2", code=6)
        assert (kept["handled"], kept["answer"], kept["next"]) == (False, None, AT_THE_GATE)
        night.start()
        assert night.cli("status", "--wait").returncode == 5
        followed = [json.loads(line) for line in night.cli("history", "--follow", "-f", "json").stdout.splitlines()]
        assert [each["seq"] for each in followed] == [each.seq for each in night.journal()]
        assert (followed[-1]["state"], followed[-1]["next"]) == ("aborted", [])
