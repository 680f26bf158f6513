"""What stands in a file is valid in the client encoding that is in force there."""

import pytest

from cutoverd.daemon.sqltext.encoding import known
from cutoverd.daemon.sqltext.lint import ScriptLint


def lint(folder, text, name="a.sql"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode("latin1"))
    reading = ScriptLint(folder)
    reading.read(folder / name)
    return reading


def found(folder, text):
    return [(finding.file.name, finding.line, finding.problem) for finding in lint(folder, text).findings]


WRONG = {
    "SELECT 1;\nSELECT 'für';\n": 2,
    "SELECT 1 -- für\n;\n": 1,
    "SELECT 1;\n/* für\n*/\nSELECT 2;\n": 2,
    "COPY t FROM stdin;\na\nfür\n\\.\n": 3,
    "\\copy t from stdin\na\nfür\n\\.\n": 3,
    "\\encoding LATIN1\nSELECT 'für';\n\\encoding UTF8\nSELECT 'für';\n": 4,
    "SET client_encoding = 'LATIN1';\nSELECT 'für';\nRESET client_encoding;\nSELECT 'für';\n": 4,
    "SET NAMES 'LATIN1';\nSELECT 'für';\nSET NAMES DEFAULT;\nSELECT 'für';\n": 4,
    "SELECT set_config('client_encoding', 'utf-8', false);\nSELECT 'für';\n": 2,
    "\\set x 'für'\nSELECT :'x';\n": 1,
}


@pytest.mark.parametrize("text", WRONG)
def test_bytes_that_are_not_valid_where_they_stand_are_refused_with_their_line(tmp_path, text):
    """Found: a file in Latin-1 was seen by the server, in Data, at night."""
    assert found(tmp_path, text) == [("a.sql", WRONG[text], "byte 0xfc is not valid UTF8")]


@pytest.mark.parametrize(
    "text",
    [
        "-- für alle\nSELECT 1; -- für\n-- für",  # psql does not send them
        "\\echo für\n",
        "\\encoding LATIN1\nSELECT 'für';\n",
        "\\encoding iso-8859-1\nSELECT 'für';\n",
        "SET client_encoding TO latin1; SELECT 'für';\n",
        "SET SESSION client_encoding = 'WIN1252';\nSELECT 'für';\n",
        "SELECT pg_catalog.set_config('client_encoding', 'LATIN1', false);\nSELECT 'für';\n",
        "COPY t FROM stdin (ENCODING 'LATIN1');\nfür\n\\.\n",
        "\\if :latin1\n\\encoding LATIN1\n\\endif\nSELECT 'für';\n",  # nobody knows
    ],
)
def test_what_is_valid_there_or_never_sent_is_not(tmp_path, text):
    assert found(tmp_path, text) == []


def test_the_encoding_goes_on_behind_what_is_included_and_ends_with_the_file(tmp_path):
    (tmp_path / "latin.sql").write_text("\\encoding LATIN1\n")
    reading = lint(tmp_path, "\\i latin.sql\nSELECT 'für';\n")
    assert reading.findings == []
    (tmp_path / "b.sql").write_bytes("SELECT 'für';\n".encode("latin1"))
    reading.read(tmp_path / "b.sql")
    assert [finding.file.name for finding in reading.findings] == ["b.sql"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32-be"])
def test_a_file_in_utf16_is_refused(tmp_path, encoding):
    """psql reads each of its lines up to the first NUL: of big-endian text nothing, without an error."""
    [(name, line, problem)] = found(tmp_path, "SELECT 1;\nCOMMIT;\n".encode(encoding))
    assert (name, line) == ("a.sql", 1)
    assert "UTF-16" in problem


def test_a_byte_order_mark_is_refused_where_psql_takes_it_for_text(tmp_path):
    mark = "\ufeff".encode()
    assert found(tmp_path, mark + b"SELECT 1;\n") == []
    assert found(tmp_path, b"SELECT 1;\n" + mark + b"SELECT 2;\n")[0][1:] == (2, "a byte order mark in the middle of the file")
    lint(tmp_path, mark + b"SELECT 1;\n", "marked.sql")
    assert found(tmp_path, b"\\encoding LATIN1\n\\i marked.sql\n")[0] == ("marked.sql", 1, "a byte order mark")


@pytest.mark.parametrize("command", ["\\encoding LATIN99", "SET client_encoding = 'cp1252'"])
def test_an_encoding_that_there_is_none_of_is_refused(tmp_path, command):
    """`\\encoding` of such a name stops no psql: it goes on with the one before."""
    assert found(tmp_path, f"SELECT 1;\n{command};\n")[0][:2] == ("a.sql", 2)


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("utf-8", "UTF8"),
        ("ISO 8859-15", "ISO885915"),
        ("Windows-1252", "WINDOWS1252"),
        ("sql_ascii", "SQL_ASCII"),
        ("cp1252", None),
    ],
)
def test_a_name_is_read_as_the_server_reads_it(name, means):
    assert known(name) == means


def test_what_the_server_has_to_judge_is_kept_once(tmp_path):
    reading = lint(tmp_path, "SELECT 'für €';\nSELECT '€';\n\\encoding LATIN1\n".encode() + "SELECT 'üü';\n".encode("latin1"))
    places = {key: line for key, (_, line) in reading.texts.places.items()}
    assert places == {("UTF8", "ü".encode()): 1, ("UTF8", "€".encode()): 1, ("LATIN1", b"\xfc"): 4}
