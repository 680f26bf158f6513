"""A plan file may hold anything: it is loaded, or refused by file and line, and that within two seconds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.hostile import unsafe
from unit.plan.test_plan_file import PLAN

from cutoverd.daemon.plan import bounded_yaml
from cutoverd.daemon.plan.load import BadPlan, LoadedPlan, load

MIB = 1 << 20
SECONDS = 2.0


def bomb(line: str) -> str:
    """Each line has nine of the line before."""
    names = "abcdefghij"
    lines = [line.format(name=name, inner=", ".join([f"*{before}"] * 9)) for before, name in pairwise(names)]
    return "\n".join(["a: &a {k: 1, l: 2}", *lines])


HOSTILE: dict[str, tuple[str | bytes, int, str]] = {  # the file, the line that is told, and why
    "nested 1,500 times": ("[" * 1500, 1, "nesting"),
    "a MiB of brackets": ("[" * (MIB - 1), 1, "nesting"),
    "nested mappings": ("{a: " * (MIB // 4 - 1), 1, "deep in each other"),
    "nested by indentation": ("".join(f"{' ' * n}a:\n" for n in range(1400)), 51, "more than 50 deep"),
    "nested dashes": ("- " * (MIB // 2 - 1), 1, "deep in each other"),
    "a number of 5,000 digits": (f"state_dir: x\nrun: {'9' * 5000}", 2, "a number of 5000 characters, expected 100 at most"),
    "a hexadecimal number without end": (f"run: 0x{'f' * 100_000}", 1, "a number of 100002 characters"),
    "a number of minutes and seconds without end": (f"run: 1{':59' * 10_000}", 1, "a number of 30001 characters"),
    "a list as key": ("state_dir: x\n[a]: b", 2, "a key is a word, saw a list or a mapping"),
    "no key": ("~: 1", 1, "a key is a word, and YAML reads ~ as nothing: write it in quotes"),
    "a number as key": ("x: {1: a}", 1, "YAML reads 1 as a number"),
    "a word that YAML takes for true": ("on: 1", 1, "YAML reads on as true or false"),
    "a moment of nothing": ("run: !!timestamp x", 1, "no timestamp can be made of it: it is not written as one"),
    "a mapping as key": ("? {a: b}\n: c", 1, "a key is a word"),
    "an alias bomb": (bomb("{name}: &{name} [{inner}]"), 5, "more than 20000 values, with those that aliases stand for"),
    "a bomb of merges": (bomb("{name}: &{name} {{<<: [{inner}], z{name}: 1}}"), 5, "more than 20000 values"),
    "a file of more than a MiB": ("x: 1\n" + "#" * MIB, 2, "a file of more than 1048576 bytes"),
    "a NUL": (f"{PLAN}\0", 18, r"a character that may not be there: '\x00'"),
    "a NUL by an escape": ('run: "a\\0b"', 1, r"a character that no text may have: '\x00'"),
    "half of a character by an escape": ('x: 1\nrun: "\\ud800"', 2, "not YAML"),
    "NULs alone": ("\0" * 500, 1, r"'\x00'"),
    "an escape sequence": ("x: 1\ny: \x1b[2J", 2, r"'\x1b'"),
    "UTF-16": (PLAN.encode("utf-16"), 1, "it is UTF-16 or UTF-32, expected UTF-8"),
    "UTF-16 without a mark": (PLAN.encode("utf-16-le"), 1, "it is UTF-16"),
    "UTF-32": (PLAN.encode("utf-32"), 1, "it is UTF-16 or UTF-32"),
    "Latin-1": (f"{PLAN}# ".encode() + b"\xe9", 18, "byte 0xe9 is no UTF-8"),
    "a tag of Python": ("x: 1\nrun: !!python/object/apply:os.system [ls]", 2, "could not determine a constructor"),
    "deep tags of Python": ("!!python/tuple [" * 1500 + "]" * 1500, 1, "deep in each other"),
    "100,000 keys": ("".join(f"k{n}: 1\n" for n in range(100_000)), 10_000, "more than 20000 values"),
    "20,000 mistakes": (f"health: [{'a,' * 19_000}]", 1, "and more; mend these first"),
    "a day that there is not": ("x: 1\nrun: 2026-13-45", 2, "no timestamp can be made of it: month must be in 1..12"),
    "an integer of nothing": ("run: !!int ''", 1, "no int can be made of it"),
    "a moment before the year 1": (f"{PLAN}window: {{opens: '0001-01-01T00:00:00+14:00'}}", 18, "in the years from 1 to 9999"),
    "a path that no system takes": (PLAN.replace("state_dir: state", f"state_dir: {'a' * 5000}"), 2, "255 between two slashes"),
    "a pattern that no system takes": (PLAN.replace("schema/*.sql", "*" * 3000), 9, "schema.files"),
    "a key of a line's length": (f"{'a' * 1000}: 1", 1, "(1000 characters)"),
    "an unknown alias": ("a: *b", 1, "undefined alias"),
    "two documents": ("a: 1\n---\nb: 2", 2, "another document"),
    "a secret among a million": (f"{PLAN}x: '{'://:' * 200_000}tiger@'", 18, "saw a value of"),
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    for name in ("schema/1.sql", "data/1.sql"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("SELECT 1;\n")

    def written(text: str | bytes) -> Path:
        (tmp_path / "plan.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "plan.yaml"

    return written


def loaded(path: Path) -> LoadedPlan | list[str]:
    """The plan, or what is wrong with it; at once."""
    began = time.process_time()  # of this process: the machine may be busy with others
    try:
        return load(path)
    except BadPlan as error:
        message = str(error)
    finally:
        assert time.process_time() - began < SECONDS
    assert not unsafe(message)
    assert len(message) < 200_000
    place = re.compile(rf"{re.escape(str(path))}:(\d+:| … and more)")
    assert not [line for line in message.splitlines() if not place.match(line)], message
    return message.splitlines()


@pytest.mark.parametrize(("text", "line", "why"), HOSTILE.values(), ids=HOSTILE)
def test_it_is_refused_by_file_and_line_within_two_seconds(
    write: Callable[[str | bytes], Path], text: str | bytes, line: int, why: str
) -> None:
    """Found: tracebacks, exit code 1 instead of 2, and an alias bomb that took all memory."""
    path = write(text)
    wrong = loaded(path)
    assert isinstance(wrong, list)
    assert f"{path}:{line}: " in "\n".join(wrong)
    assert why in "\n".join(wrong)
    assert "tiger" not in "\n".join(wrong)


@pytest.mark.parametrize("name", ["nested 1,500 times", "a number of 5,000 digits", "a list as key", "an alias bomb", "UTF-16"])
def test_without_libyaml_too(write: Callable[[str | bytes], Path], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    slow = type("Slow", (yaml.SafeLoader,), {"construct_object": bounded_yaml._Loader.construct_object})
    monkeypatch.setattr(bounded_yaml, "_Loader", slow)
    assert isinstance(loaded(write(HOSTILE[name][0])), list)


def test_aliases_and_merges_within_reason_are_taken(write: Callable[[str | bytes], Path]) -> None:
    text = PLAN.replace("old: {start: [./api, start]", "old: &api {start: [./api, start]") + "dashboards: []\n"
    text = text.replace("services:\n", "services:\n  - name: worker\n    old: {<<: *api, stop: [./worker, stop]}\n")
    text = text.replace("  - name: worker\n    old: {<<: *api, stop: [./worker, stop]}\n", "")
    text = text.replace("schema: {", "  - {name: worker, old: {<<: *api, stop: [./worker, stop]}}\nschema: {")
    plan = loaded(write(text))
    assert isinstance(plan, LoadedPlan)
    assert plan.plan.services[1].old.stop == ["./worker", "stop"]


@pytest.mark.parametrize("given", ["a pipe", "a device", "a folder", "links in a ring"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, given: str) -> None:
    path = {"a pipe": tmp_path / "pipe", "a device": Path("/dev/zero"), "a folder": tmp_path}.get(given, tmp_path / "a.yaml")
    if given == "a pipe":
        os.mkfifo(path)
    elif given == "links in a ring":  # found: a traceback
        path.symlink_to("a.yaml")
    with pytest.raises(BadPlan, match=rf"{path}: cannot be read: "):
        load(path)


@pytest.mark.parametrize("line", ["\\i {}", "\\copy t from {}", "\\lo_import {}"])
@pytest.mark.parametrize("named", ["pipe", "ring", "~nobody.such/a.sql", "a" * 300])
def test_a_script_may_name_anything(write: Callable[[str | bytes], Path], tmp_path: Path, line: str, named: str) -> None:
    """Found: loading a plan waited for a pipe, and ended in a traceback over links in a ring. PreCheck tells of these."""
    path = write(PLAN)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "ring").symlink_to("ring")
    (tmp_path / "data/1.sql").write_text(line.format(named))
    plan = loaded(path)
    assert isinstance(plan, LoadedPlan)
    assert set(plan.hashes()) == {"data/1.sql", "schema/1.sql"}


@pytest.mark.parametrize("name", ["nested 1,500 times", "a number of 5,000 digits", "an alias bomb", "UTF-16", "a NUL"])
def test_the_command_exits_with_2(write: Callable[[str | bytes], Path], name: str) -> None:
    command = [sys.executable, "-m", "cutoverd.daemon", "check", str(write(HOSTILE[name][0]))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr


FRAGMENTS = st.sampled_from(
    [
        *("*a", "&a ", "!!", "!!int ", "!!float ''", "!!timestamp x", "!!binary é", "!!set ", "!!omap ", "<<: ", "? ", "|", ">-"),
        *("%YAML 9.9", "---", "...", "\t", "\n", "{", "[", "}", "]", ": ", "- ", "'", '"', "#", "\\", "0x", "0o8", "1:99:99"),
        *("1e999", ".inf", ".nan", "~", "2026-02-30", "0001-01-01T00:00:00+14:00", "\ufeff", "\x85", "\u2028", "\0", "é", "😀"),
        *("9" * 200, "://u:p@", "**/", "../", "//", "${A}"),
    ]
)
WORDS = st.text(st.characters(codec="utf-8"), max_size=40) | FRAGMENTS | st.from_regex(r"\d{1,30}(ms|s|m|h|d)", fullmatch=True)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.dates() | st.datetimes() | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=8,
)
WHOLE = yaml.safe_load(PLAN) | {
    "window": {"opens": "2026-12-05T22:00:00Z", "budget": "4h", "states": {"data": "1h"}},
    "bus": {"url": "nats://127.0.0.1:4222", "credentials": "x", "monitoring": "http://127.0.0.1:8222"},
    "metrics": {"listen": "127.0.0.1:1", "scraped_within": "1m"},
    "backup": {"directory": "b", "jobs": 2},
    "monitor": {"for": "1h", "every": "5s"},
    "operators": ["dba"],
    "gates": ["downtime"],
    "timeouts": {"step": "1h"},
    "dashboards": ["http://127.0.0.1:1/"],
}


def places(value: Any) -> list[list[Any]]:
    """Paths of all that is in it."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [[key, *rest] for key, part in parts for rest in [[], *places(part)]]


def replaced(value: Any, place: list[Any], by: Any) -> Any:
    if not place:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(copy[place[0]], place[1:], by)
    return copy


SPLICED = st.builds(
    lambda at, cut, by: PLAN[: at % len(PLAN)] + by + PLAN[at % len(PLAN) + cut :],
    st.integers(0),
    st.integers(0, 20),
    FRAGMENTS | WORDS,
)
CHANGED = st.builds(
    lambda place, by: yaml.safe_dump(replaced(WHOLE, place, by), allow_unicode=True), st.sampled_from(places(WHOLE)), VALUES
)
slow_folder = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@slow_folder
@given(text=SPLICED | CHANGED | st.binary(max_size=200) | st.lists(FRAGMENTS, max_size=30).map("".join))
def test_whatever_it_holds_it_is_loaded_or_refused_by_its_lines(write: Callable[[str | bytes], Path], text: str | bytes) -> None:
    loaded(write(text))
