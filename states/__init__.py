"""The table: every state, what leads where, and who says so. Read it at three in the morning.

PreCheck ─▶ Downtime ─▶ Schema ─▶ Data ─▶ Validate ─▶ Smoke ─▶ Cutover ─▶ Monitor ─▶ Completed
    └▶ Aborted   └──────────┴────────┴────────┴──────────┴────────┴──────────┘
                                                  ▼
                                              Rollback ─▶ RolledBack      (fails ─▶ Stuck ─ `retry` ─▶ Rollback)
"""

from __future__ import annotations

from cutoverd.states.cutover import Cutover
from cutoverd.states.data import Data
from cutoverd.states.downtime import Downtime
from cutoverd.states.guards import loss_accepted, nothing_written
from cutoverd.states.machine import Row, machine_of
from cutoverd.states.monitor import Monitor
from cutoverd.states.precheck import PreCheck
from cutoverd.states.rollback import Rollback
from cutoverd.states.schema import Schema
from cutoverd.states.smoke import Smoke
from cutoverd.states.step import State
from cutoverd.states.validate import Validate

WAY: tuple[type[State], ...] = (PreCheck, Downtime, Schema, Data, Validate, Smoke, Cutover, Monitor)  # the way there
_WORKING: tuple[type[State], ...] = (*WAY, Rollback)
STATES: dict[str, type[State]] = {state.name: state for state in _WORKING}

STUCK = "stuck"  # the way back failed; a person is needed
COMPLETED, ROLLED_BACK, ABORTED = "completed", "rolledback", "aborted"
ENDS = (COMPLETED, ROLLED_BACK, ABORTED)

TABLE: tuple[Row, ...] = (
    # the way there
    Row("precheck", "proceed", "downtime", "all checks passed, the gate too, the cheap checks once more"),
    Row("downtime", "proceed", "schema", "nobody can write to old"),
    Row("schema", "proceed", "data", "the schema files are applied"),
    Row("data", "proceed", "validate", "the rows are moved"),
    Row("validate", "proceed", "smoke", "old and new hold the same"),
    Row("smoke", "proceed", "cutover", "the new version works"),
    Row("cutover", "proceed", "monitor", "clients are in"),
    Row("monitor", "proceed", COMPLETED, "the time to watch is over"),
    # nothing was touched
    Row("precheck", "abort", ABORTED, "`abort`"),
    # by itself, as long as nobody has written to new
    Row("downtime", "fail", "rollback", "a step failed, or `fail`"),
    Row("schema", "fail", "rollback", "a step failed, or `fail`"),
    Row("data", "fail", "rollback", "a step failed, or `fail`"),
    Row("validate", "fail", "rollback", "a step failed, or `fail`"),
    Row("smoke", "fail", "rollback", "a step failed, or `fail`, and nothing was written to new", nothing_written),
    Row("cutover", "fail", "rollback", "a step failed, or `fail`, and nothing was written to new", nothing_written),
    # by a person; what was written to new is given up only with `accept_loss`
    Row("downtime", "rollback", "rollback", "`rollback`"),
    Row("schema", "rollback", "rollback", "`rollback`"),
    Row("data", "rollback", "rollback", "`rollback`"),
    Row("validate", "rollback", "rollback", "`rollback`"),
    Row("smoke", "rollback", "rollback", "`rollback`", loss_accepted),
    Row("cutover", "rollback", "rollback", "`rollback`", loss_accepted),
    Row("monitor", "rollback", "rollback", "`rollback`", loss_accepted),
    # the end of the way back
    Row("rollback", "proceed", ROLLED_BACK, "production is as it was"),
    Row("rollback", "fail", STUCK, "a step of the way back failed"),
    Row(STUCK, "retry", "rollback", "`retry`"),
)

MACHINE = machine_of(TABLE, [*STATES, STUCK, *ENDS])  # fails here, at import, if a row names what there is not


class NotInTable(ValueError):
    """the table has no such transition"""


def target(source: str, trigger: str) -> str:
    """Where `trigger` leads from `source`; raises `NotInTable`, naming what may be done there instead."""
    found = MACHINE.get_transitions(trigger, source)
    if not found:
        raise NotInTable(f"{trigger!r} leads nowhere from {source!r}; from there: {', '.join(triggers(source)) or 'nothing'}")
    return str(found[0].dest)


def triggers(source: str) -> list[str]:
    """What the table allows from `source`."""
    return MACHINE.get_triggers(source)
