"""What is printed is a courtesy: a reader that is slow, gone or asleep makes nobody wait."""

from __future__ import annotations

import os
import time

from cutoverd.daemon.terminal.nonblocking import NonBlockingWriter


def test_what_is_written_comes_out_in_order():
    reads, writes = os.pipe()
    with NonBlockingWriter(writes) as out:
        for n in range(100):
            out.write(f"line {n} ✔\n")
    os.close(writes)
    with os.fdopen(reads, encoding="utf-8") as pipe:
        assert pipe.read() == "".join(f"line {n} ✔\n" for n in range(100))


def test_a_reader_that_is_asleep_makes_nobody_wait_and_is_told_what_it_missed():
    reads, writes = os.pipe()
    began = time.monotonic()
    out = NonBlockingWriter(writes, most_bytes=200_000)
    for n in range(5000):
        out.write(f"{n:06} {'x' * 93}\n")
    assert time.monotonic() - began < 2
    assert out.is_behind
    with os.fdopen(reads, encoding="utf-8") as pipe:
        line, lines = "", []
        while "were not shown: nobody read them" not in line:
            lines.append(line := pipe.readline())
        assert lines[0].startswith("000000 ")
        assert int(line.split()[1]) == 5000 - (len(lines) - 1)
    with out:
        pass
    os.close(writes)


def test_a_reader_that_is_gone_fails_nothing():
    reads, writes = os.pipe()
    os.close(reads)
    with NonBlockingWriter(writes) as out:
        for _ in range(10):
            out.write("nobody\n")
    os.close(writes)
    assert not out.is_behind


def test_a_pipe_that_somebody_made_non_blocking_is_waited_for():
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    out = NonBlockingWriter(writes)
    out.write("x" * 200_000)
    with os.fdopen(reads, "rb") as pipe:
        assert len(pipe.read(200_000)) == 200_000
    with out:
        pass
    os.close(writes)
