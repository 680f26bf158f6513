"""JSON cut to a number of bytes: the beginning of everything that is too long, and how much is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

LONGEST_KEY = 256
LEAST_BYTES = 512  # what a part is cut to before whole parts are left out
MARK_BYTES = 48  # for saying how much is missing


def first_of(lines: Sequence[str], most: int, of_what: str = "") -> list[str]:
    """The first `most` of them, and how many more there are: what is left out without a word nobody knows of."""
    more = len(lines) - most
    return [*lines[:most], *([f"and {more} more{of_what and f': {of_what}'}"] if more > 0 else [])]


def shortened(value: Any, budget_bytes: int) -> Any:
    """`value` as it is if its JSON has at most `budget_bytes`; else its beginning, in which short parts are kept whole."""
    if _size(value) <= budget_bytes:
        return value
    match value:
        case str():
            return _text(value, budget_bytes)
        case list():
            return _list(value, budget_bytes)
        case dict():
            return _dict(value, budget_bytes)
    return str(value)[:budget_bytes]  # a number of more digits than anybody reads


def _size(value: Any) -> int:
    return len(json.dumps(value))


def _text(text: str, budget_bytes: int) -> str:
    kept = text[: max(0, budget_bytes - MARK_BYTES)]
    while _size(kept) > max(2, budget_bytes - MARK_BYTES):
        kept = kept[: len(kept) * 3 // 4]
    return f"{kept}… ({len(text) - len(kept)} more characters)"


def _list(items: list[Any], budget_bytes: int) -> list[Any]:
    shares = _shares([_size(item) + 2 for item in items], budget_bytes - MARK_BYTES)
    kept = [shortened(item, share - 2) for item, share in zip(items, shares, strict=False)]
    return kept if len(kept) == len(items) else [*kept, f"… {len(items) - len(kept)} more"]


def _dict(items: dict[str, Any], budget_bytes: int) -> dict[str, Any]:
    named = {key if len(key) <= LONGEST_KEY else f"{key[:LONGEST_KEY]}…": value for key, value in items.items()}
    overheads = [_size(key) + 4 for key in named]
    sizes = [_size(value) + overhead for value, overhead in zip(named.values(), overheads, strict=True)]
    shares = _shares(sizes, budget_bytes - MARK_BYTES)
    kept = {
        key: shortened(value, share - overhead)
        for (key, value), share, overhead in zip(named.items(), shares, overheads, strict=False)
    }
    return kept if len(kept) == len(items) else {**kept, "…": f"{len(items) - len(kept)} more"}


def _shares(sizes: list[int], budget_bytes: int) -> list[int]:
    """The bytes for each part: the small ones whole, the others as much as is left for each; or for the first parts alone."""
    level = _level(sizes, budget_bytes)
    if level >= LEAST_BYTES:
        return [min(size, level) for size in sizes]
    shares: list[int] = []
    for size in sizes:
        budget_bytes -= min(size, LEAST_BYTES)
        if budget_bytes < 0:
            break
        shares.append(min(size, LEAST_BYTES))
    return shares


def _level(sizes: list[int], budget_bytes: int) -> int:
    """Cut to it, all parts together fit."""
    level, left = 0, budget_bytes
    for position, size in enumerate(sorted(sizes)):
        level = left // (len(sizes) - position)
        if size > level:
            break
        left -= size
    return level
