"""What a statement of a file may not be, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cutoverd.daemon.sqltext.pieces import without_comments
from cutoverd.daemon.sqltext.splitter import Statement

NO_TRANSACTION = "-- cutoverd: no-transaction"
_TRANSACTION = {"begin", "commit", "end", "rollback", "abort"}
_TRANSACTION_PAIRS = {("start", "transaction"), ("prepare", "transaction")}
_QUOTES = re.compile(r"set\s+(?:(?:session|local)\s+)?standard_conforming_strings\b", re.IGNORECASE)
_QUOTES_BY_CALL = re.compile(
    r"\bset_config\s*\(\s*e?'standard_conforming_strings'\s*,(?!\s*e?'(?:on|true|yes|1)'\s*,)", re.IGNORECASE
)
_QUOTES_ON = re.compile(r"(?:=|\bto)\s*'?(?:on|true|yes|1|default)\b", re.IGNORECASE)
QUOTES_ADVICE = "what follows would be read otherwise than it was here; take it out, and write E'…' where a backslash escapes"
TRANSACTION_ADVICE = f"the file is run in one transaction of ours; take it out, or begin the file with `{NO_TRANSACTION}`"
OUTSIDE_ADVICE = (
    "it cannot run in a transaction, and the file is run in one of ours; "
    f"move it to a file of its own that begins with `{NO_TRANSACTION}`"
)
DO_ADVICE = (
    "the file is run in one transaction of ours, where that fails; take it out, or move the block to a data script of its own "
    f"that begins with `{NO_TRANSACTION}`"
)
CALL_ADVICE = (
    "the file is run in one transaction of ours, where that fails; call one that does not, or move the call to a data script of "
    f"its own that begins with `{NO_TRANSACTION}`"
)
ROLE_ADVICE = (
    "the files run as the database's owner, and what is made from here on is the daemon's own role's, where Validate refuses it; "
    "take it out (RESET ROLE goes back to the owner)"
)
_LEAVES_OWNER = re.compile(
    r"set\s+(?:(?:session|local)\s+)?(?:role\b\s*(?:=|to\b)?\s*'?none\b|session\s+authorization\s+default\b)|reset\s+session\s+authorization\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class LintFinding:
    """Why a file cannot be run as it is."""

    file: Path
    line: int
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.problem}: {self.advice}"


def is_transaction_command(statement: Statement) -> bool:
    """Whether it begins or ends a transaction; savepoints do not."""
    words = statement.words
    if words[:1] == ("rollback",) and "to" in words[1:3]:
        return False
    return bool(words) and (words[0] in _TRANSACTION or words[:2] in _TRANSACTION_PAIRS)


def leaves_owner(statement: Statement) -> bool:
    """Whether what follows is run as the role of the session itself; `RESET ROLE` goes back to what the session began with."""
    return statement.words[:1] in {("set",), ("reset",)} and bool(_LEAVES_OWNER.match(without_comments(statement.text)))


def switches_quotes(statement: Statement) -> bool:
    """Whether a backslash in '…' means something else after it, as far as it says so itself.

    A routine that is made here may: it is not run by that, and a setting of its own ends with it.
    """
    if _QUOTES.match(statement.text):
        return not _QUOTES_ON.search(statement.text)
    if statement.words[:1] == ("create",) or not _QUOTES_BY_CALL.search(statement.text):
        return False
    return bool(_QUOTES_BY_CALL.search(without_comments(statement.text)))
