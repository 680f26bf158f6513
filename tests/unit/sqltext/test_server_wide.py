"""What a file may not say, since it is said of more than the copy that the file is run on."""

import pytest

from cutoverd.daemon.sqltext.lint import ScriptLint


def read(folder, text, in_transaction=True):
    (folder / "a.sql").write_text(text)
    reading = ScriptLint(folder, production="app")
    reading.read(folder / "a.sql", in_transaction=in_transaction)
    return reading


@pytest.mark.parametrize("in_transaction", [True, False])
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE ROLE reader",
        "create user reader password 'x'",
        "ALTER ROLE app_owner SET search_path = shop",
        "ALTER USER CURRENT_USER SET work_mem = '9MB'",
        "ALTER ROLE app_user IN DATABASE app SET search_path = shop",
        "DROP ROLE IF EXISTS reader",
        "ALTER GROUP readers ADD USER app_user",
        "GRANT readers TO app_user",
        "GRANT readers /* on */ TO app_user -- on\n WITH ADMIN OPTION",
        "REVOKE ADMIN OPTION FOR readers FROM app_user",
        "REASSIGN OWNED BY app_owner TO new_owner",
        "DROP OWNED BY app_user",
        "ALTER DATABASE app SET search_path = shop, public",
        'ALTER DATABASE "app" OWNER TO new_owner',
        "ALTER DATABASE App RESET ALL",
        "COMMENT ON DATABASE app IS 'new'",
        "SECURITY LABEL FOR x ON DATABASE app IS 'new'",
        "GRANT CONNECT, TEMP ON DATABASE app TO app_user",
        "REVOKE CONNECT ON DATABASE other, app FROM PUBLIC",
        'GRANT CREATE ON DATABASE :"DBNAME" TO app_user',
    ],
)
def test_what_reaches_past_the_copy_is_refused_with_its_line(tmp_path, statement, in_transaction):
    """Found: PreCheck gave production to another owner (REASSIGN OWNED); a GRANT on the database was lost in a completed run."""
    found = read(tmp_path, f"SELECT 1;\n\n{statement};\n", in_transaction).findings
    assert [(finding.file.name, finding.line) for finding in found] == [("a.sql", 3)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE USER MAPPING FOR app_user SERVER s",
        "ALTER USER MAPPING FOR app_user SERVER s OPTIONS (SET user 'x')",
        "GRANT SELECT ON shop.t TO app_user",
        'GRANT USAGE ON SCHEMA "on database app" TO app_user',
        "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner GRANT SELECT ON TABLES TO app_user",
        "ALTER TABLE role OWNER TO app_owner",
        "ALTER DATABASE other SET work_mem = '9MB'",
        "ALTER DATABASE \"App\" SET work_mem = '9MB'",
        "ALTER DATABASE :\"DBNAME\" SET work_mem = '9MB'",
        "COMMENT ON TABLE t IS 'on database app'",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$BEGIN CREATE ROLE x; END$$",
        "SET ROLE app_owner",
        "CREATE POLICY p ON t TO app_user USING (true)",
        "CREATE TABLE role (grant_id int)",
    ],
)
def test_what_stays_in_the_copy_is_not(tmp_path, statement):
    reading = read(tmp_path, f"{statement};\n")
    assert (reading.findings, reading.warnings) == ([], [])


@pytest.mark.parametrize(
    "body",
    [
        "IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'r') THEN CREATE ROLE r; END IF;",
        "EXECUTE 'ALTER DATABASE app SET work_mem = ''9MB''';",
        "GRANT CONNECT ON DATABASE app TO app_user;",
    ],
)
def test_a_block_that_may_know_better_is_a_warning(tmp_path, body):
    """It may look first whether the role is there."""
    reading = read(tmp_path, f"\nDO $$BEGIN {body} END$$;\n")
    assert (reading.findings, [(each.file.name, each.line) for each in reading.warnings]) == ([], [("a.sql", 2)])


@pytest.mark.parametrize("body", ["-- CREATE ROLE r\n PERFORM 1;", "ALTER DATABASE other SET work_mem = '9MB';"])
def test_a_block_that_does_not_is_none(tmp_path, body):
    assert read(tmp_path, f"DO $$BEGIN {body} END$$;\n").warnings == []
