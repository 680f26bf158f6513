"""An error in a file that confiture built names the source and its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutoverd.daemon.confiture.source_map import Origins
from cutoverd.daemon.sqltext.rules import LintFinding
from cutoverd.states.errors import StepError

BUILT = """\
-- Body SHA-256: 0
-- Files Included: 2


/* ==========================================
 * File: 00_common/001.sql
 * ========================================== */

CREATE SCHEMA a;

/* ==========================================
 * File: 01_write/0101.sql
 * ========================================== */

CREATE TABLE a.t (
    x int
"""
SOURCES = ["db/0_schema/00_common/001.sql", "db/0_schema/01_write/0101.sql"]


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "built.sql").write_text(BUILT)
    return tmp_path / "built.sql"


@pytest.mark.parametrize(("line", "origin"), [(1, None), (9, (SOURCES[0], 1)), (15, (SOURCES[1], 1)), (16, (SOURCES[1], 2))])
def test_a_line_is_told_with_its_source(built: Path, line: int, origin: tuple[str, int] | None) -> None:
    assert Origins(built, SOURCES).of(built, line) == origin


def test_without_the_list_a_source_has_the_name_of_its_comment(built: Path) -> None:
    assert Origins(built, []).of(built, 16) == ("01_write/0101.sql", 2)


def test_a_line_of_another_file_stays_as_it_is(built: Path) -> None:
    error = StepError("1.sql:16: no", evidence={"file": "/data/1.sql", "line": 16})
    assert Origins(built, SOURCES).error(error) is error
    assert Origins(built, SOURCES).finding(LintFinding(Path("/data/1.sql"), 16, "COMMIT", "no")).problem == "COMMIT"


def test_an_error_and_a_finding_name_the_source(built: Path) -> None:
    error = StepError("built.sql:16: no", hint="mend it", evidence={"file": str(built), "line": 16})
    error_at_source = Origins(built, SOURCES).error(error)
    assert (str(error_at_source), error_at_source.hint) == (
        "db/0_schema/01_write/0101.sql:2, as built built.sql:16: no",
        "mend it",
    )
    assert error_at_source.evidence["source_line"] == 2
    assert Origins(built, SOURCES).finding(LintFinding(built, 9, "COMMIT", "no")).problem == f"{SOURCES[0]}:1, as built COMMIT"


def test_an_error_of_the_whole_built_file_names_what_it_was_built_from(built):
    error = StepError("at the end of built.sql: it violates a key", evidence={"file": str(built)})
    assert str(Origins(built, SOURCES).error(error)).endswith(f"it violates a key (built from {', '.join(SOURCES)})")
