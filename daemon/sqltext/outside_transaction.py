"""Statements that PostgreSQL runs in no transaction: where a file is run in one of ours they fail, at night and not before.

Only what is always so. What depends on the server (a subscription with a slot, a partitioned table) it says itself.
"""

from __future__ import annotations

import re

from cutoverd.daemon.sqltext.pieces import without_comments
from cutoverd.daemon.sqltext.splitter import Statement

_NEVER_INSIDE = re.compile(
    r"""vacuum\b | discard\s+all\b | alter\s+system\b
      | (?:create|drop)\s+(?:database|tablespace)\b
      | alter\s+database\s+\S+\s+set\s+tablespace\b
      | create\s+(?:unique\s+)?index\s+concurrently\b | drop\s+index\s+concurrently\b
      | reindex\s*(?:\([^)]*\)\s*)?(?:database|system|schema)\b
      | reindex\b.*\bconcurrently\b(?!\s+(?:false|off|0)\b)
      | alter\s+table\b.*\bdetach\s+partition\s+\S+\s+concurrently\b
      | cluster(?:\s*\([^)]*\)|\s+verbose)?\s*\Z""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_NAMES = re.compile(r'"[^"]*"')


def runs_in_no_transaction(statement: Statement) -> bool:
    """Judged without comments and with quoted names made plain: "concurrently" may be one."""
    if statement.words[:1] and statement.words[0] in _FIRST:
        return bool(_NEVER_INSIDE.match(_NAMES.sub("name", without_comments(statement.text)).strip()))
    return False


_FIRST = {"vacuum", "discard", "alter", "create", "drop", "reindex", "cluster"}
