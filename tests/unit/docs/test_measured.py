"""A constant that was measured names the section that says so."""

import re

from support.paths import DOCS, ROOT

SECTIONS = set(re.findall(r"^### (.+)$", (DOCS / "measured.md").read_text(), re.MULTILINE))
CODE = {file: file.read_text() for folder in ("daemon", "states", "events") for file in (ROOT / folder).rglob("*.py")}
MENTION = re.compile(r'docs/measured\.md(?:, "([^"\n]+)")?')


def test_every_mention_names_a_section_that_exists():
    named = {(str(file), section) for file, text in CODE.items() for section in MENTION.findall(text)}
    assert {each for each in named if each[1] not in SECTIONS} == set()


def test_every_section_is_named_by_the_code_that_relies_on_it():
    assert SECTIONS - {section for text in CODE.values() for section in MENTION.findall(text)} == set()
