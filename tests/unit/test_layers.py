"""The packages are storeys: what lies lower imports nothing from above, so there is no ring. Read from the imports themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT

# from the cellar to the roof; packages of one storey do not know each other
STOREYS = (
    ("events",),
    ("states",),
    ("host", "progress", "sqltext"),
    ("engine", "embedded", "confiture"),
    ("bus", "postgres"),
    ("plan", "systems"),
    ("views",),
    ("metrics",),
    ("runtime",),
    ("control", "terminal"),
    ("demo",),
    ("cli",),
    ("__main__",),
)
POSTGRES = (
    ("session",),
    ("ledger",),
    ("catalog",),
    ("precheck",),
    ("databases", "scripts", "compare"),
    ("validation", "backup", "stats"),
)
HEIGHT = {name: height for height, storey in enumerate(STOREYS) for name in storey}
HEIGHT |= {f"postgres.{name}": HEIGHT["postgres"] + (n + 1) / 10 for n, storey in enumerate(POSTGRES) for name in storey}
LEDGER_TABLES = {
    table
    for file in (ROOT / "daemon" / "postgres" / "ledger").glob("*.sql")
    for table in re.findall(r"CREATE TABLE IF NOT EXISTS cutoverd\.(\w+)", file.read_text())
}


def modules(root: Path) -> dict[str, Path]:
    """Dotted name below `cutoverd` → file."""
    files = [file for top in ("events", "states", "daemon") for file in (root / top).rglob("*.py")]
    return {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports(module: str, file: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of ours that a module imports, at its top or inside a function, by a whole name or a relative one."""
    here = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("cutoverd.")):
            start = ".".join(here[: len(here) - node.level + 1] if node.level else ())
            base = ".".join(filter(None, (start, (node.module or "").removeprefix("cutoverd."))))
            yield from (name if (name := f"{base}.{each.name}") in known else base for each in node.names)
        elif isinstance(node, ast.Import):
            yield from (each.name.removeprefix("cutoverd.") for each in node.names if each.name.startswith("cutoverd."))


def package(module: str) -> str:
    """`daemon.postgres.ledger.anchor` is in `postgres.ledger`, `daemon.progress` is a package of one file."""
    parts = module.removeprefix("daemon.").split(".")
    return ".".join(parts[:2]) if parts[0] == "postgres" and len(parts) > 1 else parts[0]


def edges(root: Path) -> dict[tuple[str, str], str]:
    """(importing package, imported package) → the module that does it first."""
    known, found = modules(root), dict[tuple[str, str], str]()
    for module, file in sorted(known.items()):
        for imported in imports(module, file, known):
            if package(imported) != package(module):
                found.setdefault((package(module), package(imported)), f"{module} imports {imported}")
    return found


def rises(root: Path) -> list[str]:
    """Imports of a package that does not lie lower: without one there can be no ring either."""
    return [why for (importer, imported), why in edges(root).items() if HEIGHT[importer] <= HEIGHT[imported]]


def test_every_package_has_its_storey() -> None:
    assert {package(module) for module in modules(ROOT)} - {"daemon", "postgres"} == HEIGHT.keys() - {"postgres"}


def test_no_package_imports_one_that_does_not_lie_lower() -> None:
    assert rises(ROOT) == []


@pytest.mark.parametrize(
    ("module", "planted"),
    [
        ("states/run.py", "from cutoverd.daemon.host.clock import SystemClock"),
        ("daemon/engine/loop.py", "from cutoverd.daemon.bus import journal"),
        ("daemon/postgres/session/reach.py", "from cutoverd.daemon.postgres.ledger.ledger import hold_fence"),
        ("daemon/views/status.py", "def late():\n    import cutoverd.daemon.runtime.drive"),
        ("daemon/views/status.py", "from ..runtime import drive"),
    ],
)
def test_one_import_planted_upwards_is_found(module: str, planted: str, tmp_path: Path) -> None:
    for file in modules(ROOT).values():
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(file.read_text() + (f"\n{planted}\n" if str(file.relative_to(ROOT)) == module else ""))
    assert len(rises(tmp_path)) == 1


def test_every_package_says_at_its_door_what_lives_there() -> None:
    doors = [file for top in ("events", "states", "daemon") for file in (ROOT / top).rglob("__init__.py")]
    assert [str(door.relative_to(ROOT)) for door in doors if not ast.get_docstring(ast.parse(door.read_text()))] == []


def test_the_ledgers_tables_are_read_and_written_by_the_ledger_alone() -> None:
    """But for the psql side of a script's transaction, which is SQL itself."""
    assert {"fence", "step_log", "claims", "withheld"} <= LEDGER_TABLES
    named = [f"cutoverd.{table}" for table in LEDGER_TABLES]
    readers = {
        file.relative_to(ROOT / "daemon").parent.as_posix()
        for file in (ROOT / "daemon").rglob("*")
        if file.suffix in (".py", ".sql") and any(name in file.read_text() for name in named)
    }
    assert readers == {"postgres/ledger", "postgres/scripts/sql"}
