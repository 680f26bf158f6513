"""Whether the window is long enough, by what PreCheck measured. Pure arithmetic, and all of it is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cutoverd.states.errors import Unfit
from cutoverd.states.ports import Evidence

PARTS = {  # what was measured, and what of the night takes at least as long
    "clone": "the clone",
    "schema": "the schema files",
    "restore": "the rows written once, as the restore wrote them",
    "dump": "the rows read once, as the dump read them",
    "way back": "the names there and back",
}


def check_window(budget_seconds: float | None, proof: Evidence) -> Evidence:
    """{"measured": seconds by part, "seconds": their sum, "budget_seconds"} by what the proof of the backup measured.

    Without a budget nothing is judged, and before anything was measured nothing is known: {"not_looked_at": why}.
    Raises `Unfit` if the parts that were measured do not fit in.
    """
    measured = _measured(proof)
    if not measured:
        return {"not_looked_at": "nothing was measured yet"}
    needed = round(sum(measured.values()), 3)
    evidence = {"measured": measured, "seconds": needed, "budget_seconds": budget_seconds}
    if budget_seconds is None or needed <= budget_seconds:
        return evidence
    sum_of = " + ".join(f"{seconds:g} s {name} ({PARTS[name]})" for name, seconds in measured.items())
    raise Unfit(
        f"the window is too short: at least {needed:g} s are needed, and window.budget is {budget_seconds:g} s: {sum_of}",
        hint="a longer window.budget, more backup.jobs or faster disks; a plan that was changed is a new run",
        evidence=evidence,
    )


def _measured(proof: Mapping[str, Any]) -> dict[str, float]:
    """Of a proof that an older version took there may be less."""
    parts, way_back = proof.get("parts", {}), proof.get("way_back", {})
    clone = way_back.get("seconds", {}).get("build_new")
    there_and_back = [way_back[name] for name in ("exchange_seconds", "way_back_seconds") if name in way_back]
    given = {**parts, "clone": clone, "way back": round(sum(there_and_back), 3) if there_and_back else None}
    return {name: given[name] for name in PARTS if given.get(name) is not None}
