"""Whether a daemon drives a run, as far as that can be known from here: by its lock on this machine, by its answer on the bus."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import nats.errors

from cutoverd.daemon.bus.connection import DOUBT, REQUEST_SECONDS, Client
from cutoverd.daemon.control.observe import Observation
from cutoverd.daemon.engine.errors import BusError
from cutoverd.daemon.host.cancellation import deadline
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.runtime.daemon_lock import FILE, driver_of
from cutoverd.daemon.runtime.open_bus import bus
from cutoverd.events.subjects import status_of

NONE_HERE = "none on this machine"
NOT_AN_ANSWER = (ValueError, KeyError, TypeError, OverflowError, RecursionError)  # any client may answer there
MAY_NOT_SERVE = "one whose NATS user may not serve would not"


async def driven(loaded: LoadedPlan, observation: Observation) -> dict[str, Any] | None:
    """{"drives": true, false, or null where it cannot be known, "says": in words}; None of a run that needs no daemon."""
    if observation.run.plan is None or observation.run.is_over:
        return None
    try:
        if (pid := driver_of(loaded.run_dir)) is not None:
            return _liveness_document(True, _by_the_lock(pid, observation))
    except OSError as error:
        return _liveness_document(None, f"cannot be known: {loaded.run_dir / FILE}: {error.strerror}")
    if not loaded.plan.bus:  # its bus is on this machine, and so would be its daemon
        return _liveness_document(False, f"{NONE_HERE}, where its bus is: `cutoverd run` goes on")
    try:
        async with bus(loaded, keep=False) as client:
            return await asked(client, observation)
    except (BusError, *DOUBT) as error:
        return _liveness_document(None, f"{NONE_HERE}; elsewhere cannot be known: {error}")


async def asked(client: Client, observation: Observation) -> dict[str, Any]:
    """By the micro service that each daemon is, wherever it runs."""
    subject, began = status_of(observation.run.name), time.monotonic()
    try:
        async with deadline(2 * REQUEST_SECONDS):
            answer = json.loads((await client.nc.request(subject, timeout=REQUEST_SECONDS)).data)
        return _liveness_document(True, _drives(observation, int(answer["epoch"])))
    except nats.errors.NoRespondersError:
        return _liveness_document(False, f"{NONE_HERE}, and none answers on the bus ({MAY_NOT_SERVE})")
    except (*DOUBT, *NOT_AN_ANSWER) as error:
        why = client.forbidden(subject, began) or str(error) or repr(error)
        return _liveness_document(None, f"{NONE_HERE}; elsewhere cannot be known, {subject} gave no answer: {why}")


def _by_the_lock(pid: str, observation: Observation) -> str:
    if observation.timeline.leader == f"{socket.gethostname()}/{pid}":
        return _drives(observation, observation.run.epoch)
    return f"process {pid or '?'} on this machine has the run, and has not taken the lead yet"


def _drives(observation: Observation, epoch: int) -> str:
    who = f"{observation.timeline.leader}, " if epoch == observation.run.epoch else ""
    return f"drives it ({who}epoch {epoch})"


def _liveness_document(drives: bool | None, says: str) -> dict[str, Any]:
    return {"drives": drives, "says": says}
