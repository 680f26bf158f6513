"""As which role, and with which search_path, the statements of a file run: followed from one to the next.

What is put together when it runs is not known, and nothing is said of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cutoverd.daemon.sqltext.pieces import plain_name
from cutoverd.daemon.sqltext.rules import is_transaction_command
from cutoverd.daemon.sqltext.splitter import Statement
from cutoverd.daemon.sqltext.transaction_control import Token, tokens, unquoted

_USER = "$user"
_IN_A_LIST = re.compile(r'"((?:[^"]|"")*)"|([^\s,]+)')
_BODY_SETS_PATH = re.compile(r"search_path|set_config|\bset\s+schema\b", re.IGNORECASE)
_BODY_SETS_ROLE = re.compile(r"set_config|\bset\s+(?:(?:session|local)\s+)?(?:role\b|session\s+authorization\b)", re.IGNORECASE)
_TRUE = {"true", "'true'", "'t'", "'on'", "'yes'", "'1'"}


@dataclass(frozen=True)
class RoleAndPath:
    """None: nobody knows before it runs. `login`: the role that SET ROLE NONE goes back to."""

    login: str | None
    role: str | None
    path: tuple[str, ...] | None

    @property
    def schemas(self) -> tuple[str, ...] | None:
        """Of the path, with the role's name for `"$user"`; some may not be there."""
        if self.path is None or (self.role is None and _USER in self.path):
            return None
        return tuple((self.role or "") if each == _USER else each for each in self.path)


class FileSession:
    """What holds at each statement; `now` is as it is after the last one that was followed."""

    def __init__(self, owner: str, login: str, path: str) -> None:
        """As psql begins: as the owner, in a session of `login`; `path`: the setting as SHOW prints it."""
        self.owner, self.login = owner, login
        self._first = RoleAndPath(login, owner, _listed(path))
        self.begin_file()

    def begin_file(self, *, in_transaction: bool = True) -> None:
        """Whatever the one before has set is reset in between. Found: it hid what the next file needs."""
        self.now = self._lasting = self._before = self._first
        self._inside = in_transaction

    def follow(self, statement: Statement, *, certain: bool = True) -> None:
        """Not `certain`: nobody can tell whether it is run, and so what holds after it is not known either."""
        before = self.now
        self._follow(statement)
        if self.now != before and not certain:
            self._forget()

    def _forget(self) -> None:
        self._change(False, role=None, path=None)

    def _follow(self, statement: Statement) -> None:
        verb = statement.words[0] if statement.words else ""
        if verb in {"set", "reset"}:
            self._set(list(tokens(statement.text)))
        elif verb == "do":
            self._run_body(statement.text)
        elif is_transaction_command(statement):
            self._begin_or_end(statement.words)
        elif verb == "rollback":  # to a savepoint, with all that was set since
            self._forget()
        elif statement.words[:2] == ("discard", "all"):
            self._change(False, login=self.login, role=self.owner, path=self._first.path)
        elif verb != "create" and "set_config" in statement.text.lower():
            self._call(list(tokens(statement.text)))

    def _change(self, is_local: bool, **changes: Any) -> None:
        """SET LOCAL outside of a transaction does nothing but warn."""
        if not is_local:
            self._lasting = replace(self._lasting, **changes)
        if not is_local or self._inside:
            self.now = replace(self.now, **changes)

    def _begin_or_end(self, words: Sequence[str]) -> None:
        if words[0] in {"begin", "start"}:
            self._inside, self._before = True, self.now
            return
        if words[0] in {"rollback", "abort"}:
            self._lasting = self._before
        self.now = self._before = self._lasting
        self._inside = "chain" in words and "no" not in words

    def _set(self, found: list[Token]) -> None:
        words = [plain_name(each.text) for each in found]
        has_scope = words[1:2] == ["local"] or (words[1:2] == ["session"] and words[2:3] != ["authorization"])
        at = 2 if has_scope else 1
        name, values = "".join(words[at : at + 1]).lower(), found[at + 1 :]
        if name == "session" and words[at + 1 : at + 2] == ["authorization"]:
            name, values = "session_authorization", values[1:]
        if values and values[0].text.lower() in {"=", "to"}:
            values = values[1:]
        is_reset = words[0] == "reset" or [each.text.lower() for each in values] == ["default"]
        self._give(name, None if is_reset else values, is_local=words[1:2] == ["local"])

    def _give(self, name: str, values: list[Token] | None, *, is_local: bool) -> None:
        """Without values it is reset."""
        given = _values(values or [])
        role = given[0] if given else None
        if name == "role":
            self._give_role(self.owner if values is None else role, is_local)
        elif name == "session_authorization":
            self._give_login(self.login if values is None else role, self.owner if values is None else role, is_local)
        elif name in {"search_path", "schema"} or (name == "all" and values is None):
            self._change(is_local, path=self._first.path if values is None else given)

    def _give_role(self, role: str | None, is_local: bool) -> None:
        self._change(is_local, role=self.now.login if role == "none" else role)

    def _give_login(self, login: str | None, role: str | None, is_local: bool) -> None:
        """The role goes with it: reset, it is again what the session began with."""
        self._change(is_local, login=login, role=role)

    def _call(self, found: list[Token]) -> None:
        """`set_config('search_path', 'a, b', false)`, in whatever query."""
        for at, token in enumerate(found):
            if token.kind == "name" and plain_name(token.text) == "set_config":
                self._configure(found[at + 2 : at + 7])

    def _configure(self, given: list[Token]) -> None:
        if len(given) < 5 or given[0].kind != "text" or given[1].text != ",":
            self._change(False, role=None, path=None)
            return
        is_known = given[2].kind == "text" and given[3].text == ","
        name, value = unquoted(given[0].text).lower(), unquoted(given[2].text) if is_known else None
        is_local = given[4].text.lower() in _TRUE
        if name == "search_path":
            self._change(is_local, path=None if value is None else _listed(value))
        elif name == "role":
            self._give_role(value, is_local)
        elif name == "session_authorization":
            self._give_login(value, value, is_local)

    def _run_body(self, text: str) -> None:
        if _BODY_SETS_PATH.search(text):
            self._change(False, path=None)
        if _BODY_SETS_ROLE.search(text):
            self._change(False, role=None)


def _values(found: Sequence[Token]) -> tuple[str, ...] | None:
    """Of SET: each is one name, in a literal too."""
    values = [unquoted(each.text) if each.kind == "text" else plain_name(each.text) for each in found[::2]]
    is_list = all(each.kind in {"name", "text"} for each in found[::2]) and all(each.text == "," for each in found[1::2])
    return tuple(values) if is_list and values else None


def _listed(value: str) -> tuple[str, ...]:
    """Of a setting's value: names behind commas."""
    return tuple(quoted.replace('""', '"') if quoted else bare.lower() for quoted, bare in _IN_A_LIST.findall(value))
