"""The plan file as a JSON Schema, for editors and for checks that are not ours."""

from __future__ import annotations

from typing import Any

from cutoverd.daemon.plan.durations import PATTERN, format_duration
from cutoverd.daemon.plan.model import Plan

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "urn:cutoverd:plan"  # no host: it is had from the program that reads the plan


def schema() -> dict[str, Any]:
    """What a plan may say; what its parts must be together (unique names, exactly one kind) only `cutoverd run` tells."""
    made = Plan.model_json_schema(by_alias=True, mode="validation")
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
