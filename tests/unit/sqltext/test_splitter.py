"""SQL taken apart as psql does it."""

import pytest

from cutoverd.daemon.sqltext.splitter import MetaCommand, Statement, Unclosed, split


def texts(sql):
    return [piece.text for piece in split(sql) if isinstance(piece, Statement)]


def lines(sql):
    return [piece.line for piece in split(sql)]


def commands(sql):
    return [(piece.line, piece.name, piece.arguments) for piece in split(sql) if isinstance(piece, MetaCommand)]


def test_statements_end_at_semicolons_and_know_where_they_begin():
    assert list(split("SELECT 1;\n\n-- why\nSELECT\n2;")) == [
        Statement(1, "SELECT 1", ("select",)),
        Statement(4, "SELECT\n2", ("select",)),
    ]


@pytest.mark.parametrize(
    "one",
    [
        "SELECT 'a;b'",
        "SELECT 'it''s; fine'",
        r"SELECT E'a\';b'",
        'SELECT ";" FROM "x;y"',
        "SELECT $$a;b$$",
        "SELECT $q$a;$$;b$q$",
        "SELECT 1 /* ; /* nested ; */ ; */ + 1",
        "SELECT 1 -- ;\n + 1",
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END",
        "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1); END",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM 1; COMMIT; END $$",
        "SELECT a$b$c FROM t",
        "SELECT $1",
        "SELECT 1::text || :'name' || :\"column\"",
    ],
)
def test_a_semicolon_inside_ends_nothing(one):
    assert texts(f"{one};\nSELECT 2") == [one, "SELECT 2"]


def test_begin_and_end_outside_a_routine_body_are_statements():
    assert texts("BEGIN; CREATE TABLE t (c int); END;") == ["BEGIN", "CREATE TABLE t (c int)", "END"]


def test_a_byte_order_mark_and_windows_lines_change_nothing():
    assert [(s.line, s.text) for s in split("\ufeffSELECT 1;\r\nSELECT 2;\r\n")] == [(1, "SELECT 1"), (2, "SELECT 2")]


def test_copy_data_is_no_sql_and_lines_go_on_behind_it():
    sql = "COPY t (a, b) FROM stdin;\nit's\t;\nCOMMIT;\n\\.\n\nSELECT 1;"
    assert [(s.line, s.text) for s in split(sql)] == [(1, "COPY t (a, b) FROM stdin"), (6, "SELECT 1")]


def test_the_rest_of_a_line_after_copy_is_sql():
    assert texts("COPY t FROM STDIN; SELECT 1;\n'\n\\.\nSELECT 2") == ["COPY t FROM STDIN", "SELECT 1", "SELECT 2"]


def test_copy_data_without_end_reaches_to_the_end_of_the_file():
    assert texts("COPY t FROM stdin WITH (FORMAT csv);\n'a") == ["COPY t FROM stdin WITH (FORMAT csv)"]


def test_copy_from_a_file_or_of_a_table_named_stdin_brings_no_data():
    assert texts("COPY stdin FROM '/f';\nSELECT 1; COPY (SELECT 1 FROM stdin) TO STDOUT;\nSELECT 2") == [
        "COPY stdin FROM '/f'",
        "SELECT 1",
        "COPY (SELECT 1 FROM stdin) TO STDOUT",
        "SELECT 2",
    ]


def test_backslash_copy_brings_its_data_along():
    sql = "\\copy t from stdin\nBEGIN;\n\\.\nSELECT 1;"
    assert commands(sql) == [(1, "copy", ("t from stdin",))]
    assert texts(sql) == ["SELECT 1"]


def test_commands_know_their_lines_names_and_arguments():
    sql = "\\set x 'a b'\nSELECT 1 \\gset p_\n  \\i 'sub dir/f.sql'\n\\ir g.sql \\\\ SELECT 2;\n\\! rm -rf \\x ; -- all\n"
    assert commands(sql) == [
        (1, "set", ("x", "'a b'")),
        (2, "gset", ("p_",)),
        (3, "i", ("'sub dir/f.sql'",)),
        (4, "ir", ("g.sql",)),
        (5, "!", ("rm -rf \\x ; -- all",)),
    ]
    assert texts(sql) == ["SELECT 1", "SELECT 2"]


def test_a_second_command_on_the_line_is_seen():
    assert [name for _, name, _ in commands("\\echo hello \\! ls\n\\echo \\q")] == ["echo", "!", "echo", "q"]


def test_a_shell_command_without_a_blank_is_one():
    assert commands("\\!ls") == [(1, "!", ("ls",))]


def test_a_backslash_semicolon_separates_statements_that_are_sent_together():
    assert texts("SELECT 1\\; COMMIT\\; SELECT 2;") == ["SELECT 1", "COMMIT", "SELECT 2"]


def test_restrict_lines_of_a_dump_are_commands():
    assert commands("\\restrict abc\nSET x = 1;\n\\unrestrict abc\n") == [(1, "restrict", ("abc",)), (3, "unrestrict", ("abc",))]


@pytest.mark.parametrize(
    ("sql", "line", "what"),
    [
        ("SELECT 1;\nSELECT 'a", 2, "quote '"),
        ('SELECT "a', 1, 'quote "'),
        ("SELECT 1;\n\n/* never", 3, "comment"),
        ("DO $b$ BEGIN END $$", 1, r"quote \$b\$"),
        ("SELECT 1;\n\\set x 'a", 2, "quote '"),
    ],
)
def test_what_is_never_closed_is_named_with_its_line(sql, line, what):
    with pytest.raises(Unclosed, match=what) as raised:
        list(split(sql))
    assert raised.value.line == line
