"""Rights that are wider in new than in old: whoever could not see a row, or run something as its owner, and can now.

A name that old has is the measure. What only new has is judged by what everybody could do in old at all: a new table needs
grants of its own, and a role that is named in one was thought of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cutoverd.daemon.postgres.validation.rights import PUBLIC, Given, Rights, RightsFinding, Security, View

PAST = "a view reads past row level security"
BELOW = "a new table without row level security is granted, below one that has it"
EVERYBODY = "everybody can do what not everybody could"
_BY_DEFAULT = {"functions": "EXECUTE", "types": "USAGE"}  # what PostgreSQL gives everybody
GIVE_NOTHING = ("type", "language")  # which everybody may use by default: no row is shown by it
AS_OWNER = "what runs as its owner has another one"


def find_widened(before: Rights, now: Rights, gained: Iterable[Given]) -> Iterator[RightsFinding]:
    """`gained`: of what new gives, what was not held in old on the object of the same name."""
    yield from _policies(before, now)
    yield from _views(before, now)
    yield from _routines(before, now)
    yield from _exposed(before, now)
    for kind, name, role, privilege in sorted(gained):
        if role == PUBLIC:
            yield RightsFinding(EVERYBODY, role, name, f"{privilege} on {_of(kind, name)}")
    for kind, name, _, privilege in sorted(_given_anew(before, now)):
        if not _could_everybody(before, kind, privilege):
            yield RightsFinding(EVERYBODY, PUBLIC, name, f"{privilege} on {_of(kind, name)}")
    for schema, what, role, privilege in sorted(now.defaults - before.defaults):
        if role == PUBLIC and (not schema or schema in before.schemas):
            yield RightsFinding(EVERYBODY, role, schema, f"{privilege} by {what}")
    for what in sorted(_taken_from_everybody(before) - {what for schema, what, *_ in now.defaults if not schema}):
        yield RightsFinding(EVERYBODY, PUBLIC, "", f"{_BY_DEFAULT[what.rpartition(' ')[2]]} by {what}")


def _taken_from_everybody(before: Rights) -> set[str]:
    """Default privileges that took from everybody what PostgreSQL gives; where they are not kept, it gives it again."""
    restricted = {what for schema, what, *_ in before.defaults if not schema and what.rpartition(" ")[2] in _BY_DEFAULT}
    return restricted - {what for schema, what, role, _ in before.defaults if not schema and role == PUBLIC}


def find_wider(before: Rights, now: Rights, gained: Iterable[Given]) -> Iterator[str]:
    """What a person should look at: it is wider, and may well be meant."""
    for kind, name, role, privilege in sorted(gained):
        if role != PUBLIC:
            yield f"{role} can do more than in old: {privilege} on {_of(kind, name)}"
    for kind, name, _, privilege in sorted(_given_anew(before, now)):
        if _could_everybody(before, kind, privilege):
            yield f"everybody has {privilege} on {_of(kind, name)}, which old did not have"
    for kind, name in sorted(before.owners.keys() & now.owners.keys()):
        if (was := before.owners[kind, name]) != (is_ := now.owners[kind, name]):
            yield f"{_of(kind, name)} belongs to {is_}, in old to {was}"


def _policies(before: Rights, now: Rights) -> Iterator[RightsFinding]:
    """Of a table that had row level security and is there still, whatever its name is now."""
    for former, table in _kept(before, now):
        was, is_ = before.policies[former], now.policies[table]
        if was.is_on and not is_.is_on and not _asks_below(now.views.get(table)):
            yield RightsFinding("row level security is off", "", table, table if table == former else f"{former}, now {table}")
        if was.is_on and is_.is_on:
            yield from _secured(table, was, is_)
            owners = before.owners["table", former], now.owners["table", table]
            if owners[0] != owners[1] and not is_.is_forced:
                yield RightsFinding("row level security does not hold for a new owner", "", table, f"{table} ({owners[1]})")


def _kept(before: Rights, now: Rights) -> Iterator[tuple[str, str]]:
    """(its name in old, its name now) of each table by its name, or by its oid, which a clone keeps."""
    others = {is_.oid: table for table, is_ in now.policies.items() if table not in before.policies}
    for former, was in sorted(before.policies.items()):
        table = former if former in now.policies else others.get(was.oid)
        if table is not None:
            yield former, table


def _asks_below(view: View | None) -> bool:
    """Whether a view that has the place of a table leaves it to the tables below; one that reads past them is named as such."""
    return view is not None and (view.as_caller or bool(view.past and view.is_shared))


def _secured(table: str, was: Security, is_: Security) -> Iterator[RightsFinding]:
    if was.is_forced and not is_.is_forced:
        yield RightsFinding("row level security is not forced on the owner", "", table, table)
    for name, (_, permissive, *_) in sorted(is_.policies.items()):
        if name not in was.policies and permissive == "PERMISSIVE":
            yield RightsFinding("policy is new and lets more rows through", "", table, f"{name} on {table}")
        if name in was.policies and reads_otherwise(was, is_, name):
            yield RightsFinding("policy reads otherwise than in old", "", table, f"{name} on {table}")


def reads_otherwise(was: Security, is_: Security, name: str) -> bool:
    """A column that was renamed changes how the server writes a policy, and not what it keeps."""
    before, now = was.policies[name], is_.policies[name]
    return before[3:5] != now[3:5] and not (was.oid == is_.oid and before[5] == now[5])


def _views(before: Rights, now: Rights) -> Iterator[RightsFinding]:
    secured = any(security.is_on for security in before.policies.values())
    for name, view in sorted(now.views.items()):
        if (was := before.views.get(name)) is not None:
            yield from _view_kept(name, was, view)
        elif secured and view.is_shared and view.past:
            yield RightsFinding(PAST, "", name, f"{name} (of {', '.join(view.past)})")
    for name, was in sorted(before.views.items()):
        table = now.policies.get(name) if name not in now.views else None
        if secured and was.as_caller and table and not table.is_on:
            yield RightsFinding("a view with security_invoker is a table without row level security now", "", name, name)


def _view_kept(name: str, was: View, view: View) -> Iterator[RightsFinding]:
    if was.as_caller and not view.as_caller:
        yield RightsFinding("a view has lost security_invoker: it shows what its owner may see", "", name, name)
    elif not was.as_caller and not view.as_caller and view.owner != was.owner:
        yield RightsFinding(AS_OWNER, "", name, f"{name} ({view.owner}, in old {was.owner})")
    elif set(view.past) - set(was.past) and was.past:
        yield RightsFinding(PAST, "", name, f"{name} (of {', '.join(view.past)})")
    if was.is_barrier and not view.is_barrier:
        yield RightsFinding("a view has lost security_barrier", "", name, name)
    if was.checks and not view.checks:
        yield RightsFinding("a view has lost its CHECK OPTION: rows that it does not show can be written by it", "", name, name)
    elif was.checks == "cascaded" and view.checks == "local":
        yield RightsFinding(
            "a view's CHECK OPTION is LOCAL now: what views below it do not show can be written by it", "", name, name
        )


def _exposed(before: Rights, now: Rights) -> Iterator[RightsFinding]:
    """New tables by which a role gets past the security of the one above, where old had any, and no way past that one for it."""
    if not any(security.is_on for security in before.policies.values()):
        return
    could = {(above, each.role) for each in before.exposed for above in (each.above, each.above_oid)}
    for table, above, oid, role in now.exposed:
        if table not in before.policies and could.isdisjoint({(above, role), (oid, role)}):
            yield RightsFinding(BELOW, role, table, f"{table} (below {above}) to {role}")


def _routines(before: Rights, now: Rights) -> Iterator[RightsFinding]:
    for name, routine in sorted(now.routines.items()):
        was = before.routines.get(name)
        if was is None or not routine.as_owner:
            continue
        if not was.as_owner:
            yield RightsFinding("a function has become SECURITY DEFINER", "", name, name)
        elif was.owner != routine.owner:
            yield RightsFinding(AS_OWNER, "", name, f"{name} ({routine.owner}, in old {was.owner})")
        if was.has_path and not routine.has_path:
            yield RightsFinding("a SECURITY DEFINER function has lost its search_path", "", name, name)


def _given_anew(before: Rights, now: Rights) -> Iterator[Given]:
    """To everybody, on what old does not have; a type, or a function with no other rights than its caller's, gives nothing."""
    tables = {name for kind, name in before.owners if kind == "table"}
    for given in now.given:
        kind, name, role, privilege = given
        if role != PUBLIC or (kind, name) in before.owners or (kind == "column" and name.rpartition(".")[0] in tables):
            continue
        if kind in GIVE_NOTHING:
            continue
        if kind == "function" and not ((routine := now.routines.get(name)) and routine.as_owner and routine.by_everybody):
            continue
        if kind != "schema" or privilege.startswith("CREATE"):
            yield given


def _could_everybody(before: Rights, kind: str, privilege: str) -> bool:
    """On whatever there was of the kind in old."""
    if kind == "function":
        return any(routine.as_owner and routine.by_everybody for routine in before.routines.values())
    kinds = ("table", "column") if kind in ("table", "column") else (kind,)
    return any(each in kinds and role == PUBLIC and might == privilege for each, _, role, might in before.given)


def _of(kind: str, name: str) -> str:
    return name if kind in ("table", "sequence") else f"{kind} {name}"
