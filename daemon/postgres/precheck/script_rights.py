"""Statements of the SQL files that the database's owner, as whom they run, may not run: found by the names in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cutoverd.daemon.postgres.catalog.owned import OwnedObject
from cutoverd.daemon.sqltext.mentions import Mention, Need, mentions
from cutoverd.daemon.sqltext.splitter import Statement

RELATIONS = ("table", "view", "materialized view", "foreign table", "sequence")
UNFORCED = ("no force", "disable row level security")


class ScriptJudge:
    """Called with each statement, in order; `named`: the objects that the files touch."""

    def __init__(self, owner: str, others: Sequence[OwnedObject], hidden: Sequence[tuple[str, str]]) -> None:
        """`others`: objects for which `owner` may not act; `hidden`: tables that hide rows from him, by `regclass`."""
        self._owner = owner
        self._others = others
        self._hidden = {tuple(table.replace('"', "").split(".")): table for table, _ in hidden}
        self.named: set[OwnedObject] = set()

    def __call__(self, statement: Statement) -> list[tuple[str, str]]:
        """(what is wrong, what helps), each."""
        named = list(mentions(statement))
        return [*self._of_others(statement, named), *self._of_hidden(statement, named)]

    def _of_others(self, statement: Statement, named: Sequence[Mention]) -> Iterator[tuple[str, str]]:
        for each in self._others:
            touched = [mention for mention in named if mention.is_of(each.schema, _name(each))]
            if any(mention.need is Need.OWNER for mention in touched):
                may = "only its owner may do that"
            elif touched and each.type in RELATIONS and not each.is_usable:
                may = f"{self._owner} has no right to read it"
            elif each.type == "schema" and not each.is_usable and _creates_in(statement, named, _name(each)):
                may = f"{self._owner} may not create anything in it"
            else:
                continue
            self.named.add(each)
            yield f"{each.identity} belongs to {each.owner}, and the files run as {self._owner}: {may}", each.remedy(self._owner)

    def _of_hidden(self, statement: Statement, named: Sequence[Mention]) -> Iterator[tuple[str, str]]:
        """Up to the statement that ends it: a table that is dropped, or no more secured, hides nothing."""
        text = " ".join(statement.text.lower().split())
        for name, table in list(self._hidden.items()):
            if not any(mention.is_of(name[0] if len(name) > 1 else "public", name[-1]) for mention in named):
                continue
            if statement.words[:1] == ("drop",) or any(words in text for words in UNFORCED):
                del self._hidden[name]
                continue
            wrong = f"row level security hides rows of {table} from {self._owner}, as whom the files run, and is an error there"
            yield wrong, f"ALTER ROLE {self._owner} BYPASSRLS, or begin with ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"


def _creates_in(statement: Statement, named: Sequence[Mention], schema: str) -> bool:
    return statement.words[:1] == ("create",) and bool(named) and len(named[0].name) > 1 and named[0].name[0] == schema


def _name(each: OwnedObject) -> str:
    """Without schema, arguments and quotes."""
    plain = each.identity.split("(")[0]
    return plain.removeprefix(f"{each.schema}.").replace('"', "")
