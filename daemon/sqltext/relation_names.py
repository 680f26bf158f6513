"""Which relations a statement makes, drops or alters: those that it names as such, not each name that stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cutoverd.daemon.sqltext.pieces import plain_name
from cutoverd.daemon.sqltext.transaction_control import Token

Name = tuple[str, ...]  # schema and name, or the name alone
KINDS = {"table", "view", "sequence"}
_TEMPORARY = {"temp", "temporary"}
_BEFORE_KIND = {"or", "replace", "global", "local", "unlogged", "foreign", "materialized", "recursive", *_TEMPORARY}
_NOT_A_QUERYS = {"insert", "merge"}


@dataclass(frozen=True)
class Made:
    """What a statement makes; with `may_exist` nothing is made where there is one of that name."""

    name: Name
    is_temporary: bool = False
    may_exist: bool = False


@dataclass(frozen=True)
class Altered:
    """The relation, and what follows its name, in lower case where it is not quoted."""

    name: Name
    rest: tuple[str, ...]


def made_by(found: Sequence[Token]) -> Made | None:
    """By CREATE TABLE, VIEW or SEQUENCE, or by SELECT … INTO."""
    words = [each.text.lower() for each in found]
    if words[:1] != ["create"]:
        return _into(found, words)
    kind = _behind(words, 1, _BEFORE_KIND)
    if words[kind : kind + 1] and words[kind] in KINDS:
        may_exist = words[kind + 1 : kind + 4] == ["if", "not", "exists"]
        name, _ = dotted(found, kind + (4 if may_exist else 1))
        return Made(name, bool(_TEMPORARY & set(words[1:kind])), may_exist)
    return None


def schema_made_by(found: Sequence[Token]) -> str:
    """ "" of any other statement; without a name it has its owner's."""
    words = [each.text.lower() for each in found]
    if words[:2] != ["create", "schema"]:
        return ""
    at = 5 if words[2:5] == ["if", "not", "exists"] else 2
    return "".join(dotted(found, at + (words[at : at + 1] == ["authorization"]))[0])


def dropped_by(found: Sequence[Token], kinds: set[str]) -> list[Name]:
    words = [each.text.lower() for each in found]
    at = _behind(words, 1, _BEFORE_KIND)
    if words[:1] != ["drop"] or not words[at : at + 1] or words[at] not in kinds:
        return []
    name, at = dotted(found, at + (3 if words[at + 1 : at + 3] == ["if", "exists"] else 1))
    names = [name]
    while words[at : at + 1] == [","]:
        name, at = dotted(found, at + 1)
        names.append(name)
    return names


def altered_by(found: Sequence[Token], kinds: set[str]) -> Altered | None:
    words = [each.text.lower() for each in found]
    at = _behind(words, 1, _BEFORE_KIND)
    if words[:1] != ["alter"] or not words[at : at + 1] or words[at] not in kinds:
        return None
    at += 3 if words[at + 1 : at + 3] == ["if", "exists"] else 1
    name, end = dotted(found, at + (words[at : at + 1] == ["only"]))
    return Altered(name, tuple(plain_name(each.text) for each in found[end + (words[end : end + 1] == ["*"]) :]))


def dotted(found: Sequence[Token], at: int) -> tuple[Name, int]:
    """The name that stands there, with its schema, and where it ends."""
    name = list[str]()
    while at < len(found) and found[at].kind == "name":
        name.append(plain_name(found[at].text))
        at += 1
        if at >= len(found) or found[at].text != ".":
            break
        at += 1
    return tuple(name), at


def _into(found: Sequence[Token], words: Sequence[str]) -> Made | None:
    depth = 0
    for at, token in enumerate(found):
        depth += token.text.count("(") - token.text.count(")") if token.kind == "other" else 0
        if depth == 0 and words[at] == "into" and words[at - 1] not in _NOT_A_QUERYS:
            start = _behind(words, at + 1, {"table", *_BEFORE_KIND})
            return Made(dotted(found, start)[0], bool(_TEMPORARY & set(words[at + 1 : start])))
    return None


def _behind(words: Sequence[str], at: int, skipped: set[str]) -> int:
    return next((n for n in range(at, len(words)) if words[n] not in skipped), len(words))
