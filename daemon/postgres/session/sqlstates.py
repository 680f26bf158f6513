"""Which of PostgreSQL's answers are certain: what was asked has not happened, and asking again brings the same answer.

By class of SQLSTATE, and by the codes that differ from their class; never by words, which are in the server's language.
Connections that are refused have no SQLSTATE here (libpq keeps it to itself): refusal.py asks why.
"""

from __future__ import annotations

# class: certain or not. An error that leaves the session alive rolled back what it met, whatever it says.
CLASSES = {
    "03": True,  # statement not yet complete
    "08": False,  # connection exceptions: what was under way may have been committed
    "09": True,  # triggered action exception
    "0A": True,  # feature not supported
    "0B": True,  # invalid transaction initiation
    "0F": True,  # locator exception
    "0L": True,  # invalid grantor
    "0P": True,  # invalid role specification
    "0Z": True,  # diagnostics exception
    "10": True,  # XQuery error
    "20": True,  # case not found
    "21": True,  # cardinality violation
    "22": True,  # data exception
    "23": True,  # integrity constraint violation
    "24": True,  # invalid cursor state
    "25": True,  # invalid transaction state
    "26": True,  # invalid statement name
    "27": True,  # triggered data change violation
    "28": True,  # invalid authorization
    "2B": True,  # dependent privileges still exist
    "2D": True,  # invalid transaction termination
    "2F": True,  # SQL routine exception
    "34": True,  # invalid cursor name
    "38": True,  # external routine exception
    "39": True,  # external routine invocation exception
    "3B": True,  # savepoint exception
    "3D": True,  # invalid catalog name: no such database
    "3F": True,  # invalid schema name
    "40": True,  # rolled back: serialization, deadlock
    "42": True,  # syntax error or access rule violation
    "44": True,  # WITH CHECK OPTION violation
    "53": True,  # insufficient resources: disk, memory, connections
    "54": True,  # program limit exceeded
    "55": True,  # object not in prerequisite state: in use, lock not available
    "57": False,  # operator intervention: the session is ended, or the server
    "58": True,  # system error: what was asked was rolled back
    "72": True,  # snapshot too old
    "F0": True,  # configuration file error
    "HV": True,  # foreign data wrapper
    "P0": True,  # PL/pgSQL, RAISE
    "XX": True,  # internal error, data corrupted
}
CODES = {
    "25P03": False,  # idle in transaction for too long: the session is ended
    "25P04": False,  # the transaction took too long: the session is ended
    "40003": False,  # statement completion unknown, in its own words
    "57000": True,  # operator intervention, of a statement alone
    "57014": True,  # the statement was cancelled, and rolled back
    "57P04": True,  # the database was dropped
}


# somebody ended the session or the server, it crashed by another one, or has no session to give. Not: no room, no memory, too
# many locks, a missing file, or a session that is lost without a word: a file and the rows that it met can bring each about.
OF_THE_SERVER = ("57P01", "57P02", "57P03", "53300")


def is_certain(sqlstate: str | None) -> bool:
    """False without one: then the server has not said anything. A class that nobody knows was raised by somebody's function."""
    if not sqlstate:
        return False
    return CODES.get(sqlstate, CLASSES.get(sqlstate[:2], True))


def is_of_the_server(sqlstate: str | None) -> bool:
    """Whether it tells of the server alone, and nothing of what was asked for."""
    return sqlstate in OF_THE_SERVER
