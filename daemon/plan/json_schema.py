"""The plan file as a JSON Schema, for editors and for checks that are not ours."""

from __future__ import annotations

import json
import re
from typing import Any

from cutoverd.daemon.plan.described import describe
from cutoverd.daemon.plan.durations import PATTERN, format_duration
from cutoverd.daemon.plan.model import Plan

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "urn:cutoverd:plan"  # no host: it is had from the program that reads the plan
_CLASS_NAME = re.compile(r"\b(?:(\w+)Section|Service(Commands))\b")  # editors show parts of a plan, not our classes


def schema() -> dict[str, Any]:
    """What a plan may say; what its parts must be together (unique names, exactly one kind) only `cutoverd run` tells."""
    describe(Plan)
    ours = json.dumps(Plan.model_json_schema(by_alias=True, mode="validation"))
    made = json.loads(_CLASS_NAME.sub(lambda name: name[1] or name[2], ours))
    _as_written(made)
    return {"$schema": DIALECT, "$id": ID, **made, "title": "A cutoverd plan"}


def _as_written(node: Any) -> None:
    """Defaults of durations as a plan would have them, `4h`, not as seconds."""
    if isinstance(node, dict):
        if isinstance(node.get("default"), int | float) and _is_duration(node):
            node["default"] = format_duration(float(node["default"]))
        if isinstance(node.get("default"), dict):
            del node["default"]  # of a part: its own keys have them
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _as_written(child)


def _is_duration(node: dict[str, Any]) -> bool:
    return any(each.get("pattern") == PATTERN for each in (node, *node.get("anyOf", ())))
