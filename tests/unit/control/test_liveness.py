"""Whether a daemon drives the run: by its lock, by its answer on the bus, and what cannot be known is said to be so."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace
from typing import Any

import nats.errors
import pytest
from unit.plan.test_plan_file import PLAN, write

from cutoverd.daemon.bus.errors import Unreachable
from cutoverd.daemon.control.liveness import asked, driven
from cutoverd.daemon.control.observe import Observation
from cutoverd.daemon.plan.load import load
from cutoverd.daemon.runtime.daemon_lock import one_daemon
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.states.run import FrozenPlan, Run

__all__ = ["write"]


def sight(leader: str, **more: Any) -> Observation:
    return Observation(Run("night-1", plan=FrozenPlan(), epoch=3, **more), Timeline(leader=leader))


async def test_after_its_daemon_is_gone_a_run_is_not_said_to_be_driven(write) -> None:
    """Found: after `kill -9` the status read as if a daemon drove the run."""
    loaded, here = load(write(PLAN)), socket.gethostname()
    with one_daemon(loaded):
        pid = (loaded.run_dir / "daemon.lock").read_text().strip()
        assert await driven(loaded, sight(f"{here}/{pid}")) == {"drives": True, "says": f"drives it ({here}/{pid}, epoch 3)"}
        early = await driven(loaded, sight(f"{here}/1"))
        assert early
        assert early["says"] == f"process {pid} on this machine has the run, and has not taken the lead yet"
    gone = await driven(loaded, sight(f"{here}/{pid}"))
    assert gone == {"drives": False, "says": "none on this machine, where its bus is: `cutoverd run` goes on"}
    assert await driven(loaded, sight("", state="completed")) is None


async def test_a_bus_that_cannot_be_asked_leaves_it_unknown(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise Unreachable("no NATS server answered", hint="see why")

    monkeypatch.setattr("cutoverd.daemon.control.liveness.bus", away)
    liveness = await driven(load(write(PLAN + "bus: {url: nats://127.0.0.1:1}\n")), sight(""))
    assert liveness == {
        "drives": None,
        "says": "none on this machine; elsewhere cannot be known: no NATS server answered; see why",
    }


@pytest.mark.parametrize(
    ("answer", "drives", "says"),
    [
        ({"epoch": 3}, True, "drives it (db1/7, epoch 3)"),
        ({"epoch": 2}, True, "drives it (epoch 2)"),
        (nats.errors.NoRespondersError(), False, "none on this machine, and none answers on the bus (one whose NATS user"),
        (nats.errors.TimeoutError(), None, "none on this machine; elsewhere cannot be known, cutover.svc.status.night-1 gave"),
    ],
    ids=["answers", "an older daemon answers", "nobody answers", "silence"],
)
async def test_a_daemon_elsewhere_is_known_by_its_answer(answer: Any, drives: bool | None, says: str) -> None:
    async def request(subject: str, timeout: float) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(data=json.dumps(answer).encode())

    client: Any = SimpleNamespace(nc=SimpleNamespace(request=request), forbidden=lambda subject, since: "")
    liveness = await asked(client, sight("db1/7"))
    assert (liveness["drives"], liveness["says"].startswith(says)) == (drives, True), liveness


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff", b"[]", b"{}", b'{"epoch": Infinity}', b'{"epoch": "x"}', b"[" * 100_000, b"9" * 5000]
)
async def test_an_answer_of_somebody_else_leaves_it_unknown(garbage: bytes) -> None:
    """Any client may answer there. Found: an epoch without end, or brackets without end, and `status` ended in a traceback."""

    async def request(subject: str, timeout: float) -> Any:
        return SimpleNamespace(data=garbage)

    client: Any = SimpleNamespace(nc=SimpleNamespace(request=request), forbidden=lambda subject, since: "")
    assert (await asked(client, sight("db1/7")))["drives"] is None
