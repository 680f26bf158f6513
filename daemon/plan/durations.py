"""Durations as people write them: `90s`, `15m`, `4h`, `2d`, `500ms`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_SECONDS = 366 * 86400.0  # beyond, the clock's own arithmetic ends
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def seconds_of(value: Any) -> float:
    """`4h` → 14400.0; raises ValueError with what would be right."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError("a duration is a number with a unit: 500ms, 90s, 15m, 4h or 2d")
    if (seconds := float(found[1]) * _UNITS[found[2]]) > LONGEST_SECONDS:
        raise ValueError("a duration is at most 366d")
    return seconds


Seconds = Annotated[float, BeforeValidator(seconds_of)]
