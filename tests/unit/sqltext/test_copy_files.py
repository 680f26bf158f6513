"""Files of data that a script names are there, and are what they are said to be."""

import os
import tracemalloc

import pytest

from cutoverd.daemon.sqltext import copy_files
from cutoverd.daemon.sqltext.encoding import Texts
from cutoverd.daemon.sqltext.lint import ScriptLint


def lint(folder, text):
    (folder / "a.sql").write_text(text)
    reading = ScriptLint(folder)
    reading.read(folder / "a.sql")
    return reading


def found(folder, text):
    return [(finding.file.name, finding.line) for finding in lint(folder, text).findings]


READS = [
    "\\copy t from rows.csv",
    "\\copy t from 'rows.csv' with (format csv, header)",
    "\\copy public.t (a, b) from rows.csv;",
    "\\copy \"from\" (a) FROM 'rows.csv' csv",
    "\\lo_import rows.csv",
    "\\set data rows.csv\n\\lo_import :data",
    "\\cd data\n\\copy t from ../rows.csv",
]


@pytest.mark.parametrize("command", READS)
def test_a_file_that_is_copied_from_has_to_be_there(tmp_path, command):
    """Found: a missing one was seen in Data, at night."""
    assert found(tmp_path, f"SELECT 1;\n{command}\n") == [("a.sql", 2 + command.count("\n"))]
    (tmp_path / "rows.csv").write_text("1\n")
    reading = lint(tmp_path, f"SELECT 1;\n{command}\n")
    assert (reading.findings, list(reading.data_files)) == ([], [tmp_path / "rows.csv"])


@pytest.mark.parametrize(
    "command",
    [
        "\\copy t from stdin\n1\n\\.\n",
        "\\copy t to pstdout\n",
        "\\copy t from program 'cat rows.csv'",
        "\\copy (select a from t) to 'rows.csv'",
        "\\copy (select 'x from y') to rows.csv\n\\copy t from rows.csv",
        "select 1 \\g rows.csv\n\\copy t from rows.csv",
        "\\if false\n\\copy t from rows.csv\n\\endif",
        "COPY t FROM '/on/the/server.csv';",
    ],
)
def test_a_file_that_is_not_read_or_made_before_need_not(tmp_path, command):
    reading = lint(tmp_path, command)
    assert (reading.findings, reading.data_files) == ([], {})


def test_a_folder_and_a_file_that_is_not_valid_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "rows.csv").write_bytes("a\nfür\n".encode("latin1"))
    reading = lint(tmp_path, "\\copy t from folder\n\\copy t from rows.csv\n")
    assert [finding.line for finding in reading.findings] == [1, 2]
    assert "rows.csv: line 2 has byte 0xfc, which is not valid UTF8" in reading.findings[1].problem


@pytest.mark.parametrize("right", ["(ENCODING 'LATIN1')", "(format csv, encoding 'latin1')", "(format binary)", "with binary"])
def test_a_file_is_read_in_the_encoding_that_the_command_names(tmp_path, right):
    (tmp_path / "rows.csv").write_bytes("für\n".encode("latin1"))
    assert found(tmp_path, f"\\copy t from rows.csv {right}\n") == []


def test_a_file_in_utf16_and_a_mark_that_would_be_data_are_refused(tmp_path):
    (tmp_path / "rows.csv").write_bytes("1,a\n".encode("utf-16-be"))
    assert "line 1 has byte 0x00" in lint(tmp_path, "\\copy t from rows.csv csv").findings[0].problem
    (tmp_path / "rows.csv").write_bytes("\ufeff1,a\n".encode())
    assert found(tmp_path, "\\copy t from rows.csv csv\n\\copy t from rows.csv (header match)") == [("a.sql", 1), ("a.sql", 2)]
    assert found(tmp_path, "\\copy t from rows.csv csv header\n\\copy t from rows.csv with (format csv, header)") == []


@pytest.mark.parametrize("command", ["\\copy t from pstdin", "\\copy t (a) FROM PSTDIN with (format csv)"])
def test_rows_that_psql_would_be_given_by_nobody_are_refused(tmp_path, command):
    """Found: psql has no input of its own in a run, so the table stayed empty without a word."""
    assert found(tmp_path, f"SELECT 1;\n{command}\n") == [("a.sql", 2)]


@pytest.mark.parametrize("command", ["\\copy t to pstdout", "\\copy (SELECT 'from pstdin') to pstdout"])
def test_rows_that_go_to_its_output_are_not(tmp_path, command):
    assert found(tmp_path, f"{command}\n") == []


@pytest.mark.parametrize("command", ["\\copy t from {}", "\\lo_import {}", "\\i {}"])
@pytest.mark.parametrize("named", ["pipe", "/dev/zero"])
def test_a_pipe_is_not_waited_for_and_a_device_not_read(tmp_path, command, named):
    """Found: `\\copy t from '/dev/zero'` took the machine's memory, and a pipe the night."""
    os.mkfifo(tmp_path / "pipe")
    (finding,) = lint(tmp_path, command.format(named)).findings
    assert (finding.line, "it is no file but a pipe or a device" in str(finding)) == (1, True)


def test_a_ring_of_links_is_refused_at_its_line(tmp_path):
    (tmp_path / "ring").symlink_to("ring")
    reading = lint(tmp_path, "\\i ring\n\\copy t from ring\n\\cd ring\n")
    assert [(finding.line, "symbolic links" in str(finding)) for finding in reading.findings] == [(1, True), (2, True)]


def test_a_file_of_one_line_is_read_in_parts(tmp_path):
    """Found: a file without a new line was read whole, whatever its size."""
    (tmp_path / "rows").write_bytes(b"x" * (64 << 20))
    tracemalloc.start()
    assert copy_files.wrong_encoding(tmp_path / "rows", "UTF8", Texts()) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.parametrize(("encoding", "codec"), [("UTF8", "utf-8"), ("LATIN1", "latin1"), ("SJIS", "shift_jis")])
@pytest.mark.parametrize("before", range(4))
def test_no_part_of_a_long_line_begins_within_a_character(tmp_path, monkeypatch, encoding, codec, before):
    monkeypatch.setattr(copy_files, "_CHUNK_BYTES", 16)
    text = "x" * before + ("für, " if codec == "latin1" else "ソース, 能, ") * 20
    (tmp_path / "rows").write_bytes(text.encode(codec))
    texts = Texts()
    assert copy_files.wrong_encoding(tmp_path / "rows", encoding, texts) is None
    assert all(raw.decode(codec) in text for _, raw in texts.places)
    (tmp_path / "rows").write_bytes(text.encode(codec) + "\n€".encode()[:-1])
    assert (copy_files.wrong_encoding(tmp_path / "rows", encoding, texts) is None) == (encoding != "UTF8")
