r"""psql's variables that would let a failed script look finished: a file that sets one of them so is refused.

`ON_ERROR_ROLLBACK` is none of them: where the first error stops, it changes nothing.
"""

from __future__ import annotations

from cutoverd.daemon.sqltext.splitter import MetaCommand
from cutoverd.daemon.sqltext.variables import Variables, boolean

_GOES_ON = "what fails after it would be passed over, and the rest run; take it out, and mend what fails"
_READ_OTHERWISE = "each line would be a statement of its own then, which is not how the file was read here; take it out"
_WAITS = "psql would wait for somebody to press a key; take it out"
_OURS = "it is where cutoverd sees whether anything failed; take it out"
_LOST = "what is not followed by a COMMIT would be lost at the end of the file; write BEGIN and COMMIT where they are meant"
_WRITE_OUT = "write out its name and its value"
# name → (what it may be set to, why nothing else)
_HELD = {
    "ON_ERROR_STOP": (True, _GOES_ON),
    "SINGLELINE": (False, _READ_OTHERWISE),
    "SINGLESTEP": (False, _WAITS),
    "LAST_ERROR_SQLSTATE": (None, _OURS),
}
_ALONE = {**_HELD, "AUTOCOMMIT": (True, _LOST)}  # in a transaction of ours it has no say


def set_by_query(command: MetaCommand, variables: Variables, query: str, in_transaction: bool) -> tuple[str, str] | None:
    r"""The held variable that a column of the query has the name of, behind the prefix of its `\gset`, and why it may not be.

    They have capitals, and so the column has to be quoted.
    """
    prefix = variables.value(command.arguments)
    for name, (_, why) in (_HELD if in_transaction else _ALONE).items():
        if prefix is not None and name.startswith(prefix) and f'"{name.removeprefix(prefix)}"' in query:
            return name, why
    return None


def refused(command: MetaCommand, variables: Variables, *, in_transaction: bool) -> str | None:
    r"""Why this `\set`, `\unset`, `\getenv` or `\prompt` may not be there."""
    if command.name not in {"set", "unset", "getenv", "prompt"} or not command.arguments:
        return None
    held = _HELD if in_transaction else _ALONE
    name = variables.resolve(command.arguments[-1 if command.name == "prompt" else 0])
    if name is None:
        return _WRITE_OUT if command.name == "set" else None
    if name not in held:
        return None
    wanted, why = held[name]
    return None if _sets(command, variables, wanted) else why


def _sets(command: MetaCommand, variables: Variables, wanted: bool | None) -> bool:
    if command.name == "unset":
        return wanted is False
    return command.name == "set" and wanted is not None and boolean(variables.value(command.arguments[1:])) is wanted
