"""Which relation an unqualified name means: the first one of its name along the search path, of those that are there by then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cutoverd.daemon.sqltext.relation_names import (
    KINDS,
    Altered,
    Made,
    Name,
    altered_by,
    dropped_by,
    made_by,
    schema_made_by,
)
from cutoverd.daemon.sqltext.role_and_path import RoleAndPath
from cutoverd.daemon.sqltext.transaction_control import Token

Relation: TypeAlias = tuple[str, str]  # schema, name
TEMPORARY = "pg_temp"


@dataclass
class Relations:
    """Those of the catalog, and what the files make of them. A schema comes with the roles that may not use it."""

    schemas: dict[str, frozenset[str]]
    names: set[Relation]
    _unsure: set[str] = field(default_factory=set)  # made or dropped where the path is not known

    def begin_session(self) -> None:
        """Temporary tables go with the one before."""
        self.names = {each for each in self.names if each[0] != TEMPORARY}

    def meant(self, name: Name, now: RoleAndPath) -> Relation | None:
        """None: there is none, or nobody knows before it runs which one it is."""
        if len(name) != 1:
            return _whole(name)
        if name[0] in self._unsure or now.schemas is None:
            return None
        first = () if TEMPORARY in now.schemas else (TEMPORARY,)
        return next(((each, name[0]) for each in (*first, *self._usable(now)) if (each, name[0]) in self.names), None)

    def may_be(self, name: Name, now: RoleAndPath) -> list[Relation]:
        """The one that is meant, or each of that name where that is not known."""
        if meant := self.meant(name, now):
            return [meant]
        if not name:  # psql puts it in
            return list(self.names)
        is_known = now.schemas is not None and name[-1] not in self._unsure
        return [] if is_known else [each for each in self.names if (each[1],) == name]

    def follow(self, found: Sequence[Token], now: RoleAndPath) -> Mapping[Relation, Relation | None]:
        """What has another name after it, or (None) is not there any more, or is another one of that name."""
        if altered := altered_by(found, KINDS):
            return self._alter(altered, now)
        if dropped := dropped_by(found, KINDS):
            return self._drop(dropped, now)
        if made := made_by(found):
            return self._make(made, now)
        return self._follow_schema(found)

    def _usable(self, now: RoleAndPath) -> list[str]:
        """The server passes over a schema that is not there, or that the role may not use."""
        there = [each for each in now.schemas or () if each == TEMPORARY or each in self.schemas]
        return [each for each in there if each == TEMPORARY or now.role not in self.schemas[each]]

    def _make(self, made: Made, now: RoleAndPath) -> Mapping[Relation, Relation | None]:
        if made.is_temporary and made.name:
            relation: Relation | None = (TEMPORARY, made.name[-1])
        elif len(made.name) == 1:
            relation = next(((each, made.name[0]) for each in self._usable(now)), None)
        else:
            relation = _whole(made.name)
        if relation is None:
            self._unsure |= set(made.name[-1:]) if now.schemas is None else set()
            return {}
        was_there = relation in self.names
        self.names.add(relation)
        return {} if was_there and made.may_exist else {relation: None}

    def _drop(self, dropped: Iterable[Name], now: RoleAndPath) -> Mapping[Relation, Relation | None]:
        gone = dict[Relation, Relation | None]()
        for name in dropped:
            if now.schemas is None and len(name) == 1:
                self._unsure.add(name[0])
            gone |= dict.fromkeys(self.may_be(name, now))
        return self._move(gone)

    def _alter(self, altered: Altered, now: RoleAndPath) -> Mapping[Relation, Relation | None]:
        relation, rest = self.meant(altered.name, now), altered.rest
        if relation is None or len(rest) < 3 or rest[:2] not in {("rename", "to"), ("set", "schema")}:
            return {}
        return self._move({relation: (relation[0], rest[2]) if rest[0] == "rename" else (rest[2], relation[1])})

    def _follow_schema(self, found: Sequence[Token]) -> Mapping[Relation, Relation | None]:
        if made := schema_made_by(found):
            self.schemas.setdefault(made, frozenset())
        if altered := altered_by(found, {"schema"}):
            return self._rename_schema(altered)
        dropped = {name[-1] for name in dropped_by(found, {"schema"}) if name}
        for schema in dropped:
            self.schemas.pop(schema, None)
        return self._move({each: None for each in self.names if each[0] in dropped})

    def _rename_schema(self, altered: Altered) -> Mapping[Relation, Relation | None]:
        is_renamed = len(altered.rest) > 2 and altered.rest[:2] == ("rename", "to")
        if not is_renamed or not altered.name or altered.name[-1] not in self.schemas:
            return {}
        old, new = altered.name[-1], altered.rest[2]
        self.schemas[new] = self.schemas.pop(old)
        return self._move({each: (new, each[1]) for each in self.names if each[0] == old})

    def _move(self, moved: dict[Relation, Relation | None]) -> Mapping[Relation, Relation | None]:
        self.names -= moved.keys()
        self.names |= {each for each in moved.values() if each}
        return moved


def _whole(name: Name) -> Relation | None:
    return (name[-2], name[-1]) if len(name) > 1 else None
