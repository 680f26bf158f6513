"""Durations as people write them: `90s`, `15m`, `4h`, `2d`, `500ms`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_SECONDS = 366 * 86400.0  # beyond, the clock's own arithmetic ends
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
PATTERN = r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$"  # the same for a JSON Schema


def seconds_of(value: Any) -> float:
    """`4h` → 14400.0; raises ValueError with what would be right."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError("a duration is a number with a unit: 500ms, 90s, 15m, 4h or 2d")
    if (seconds := float(found[1]) * _UNITS[found[2]]) > LONGEST_SECONDS:
        raise ValueError("a duration is at most 366d")
    return seconds


def format_duration(seconds: float) -> str:
    """14400.0 → `4h`: in the largest unit that leaves a whole number."""
    if not seconds:
        return "0s"
    unit = max((unit for unit in _UNITS if (seconds / _UNITS[unit]).is_integer()), key=lambda unit: _UNITS[unit], default="s")
    return f"{seconds / _UNITS[unit]:g}{unit}"


_Written = Annotated[
    str, Field(pattern=PATTERN, description="a number with its unit", examples=["500ms", "90s", "15m", "4h", "2d"])
]
Seconds = Annotated[float, BeforeValidator(seconds_of, json_schema_input_type=_Written)]
